"""Every sampler on small functions in float64: coordinates and activations of its samples, by
name.
"""

from __future__ import annotations

from cases import cube, linear, plain_set, seeded, tanh_net
from chain_toy import target as ppgn_target
from torch import Tensor

from invset.samplers.full import Full
from invset.samplers.ppgn import PPGN
from invset.samplers.stream import Stream
from invset.samplers.two_stage import TwoStage
from invset.studies.ladder import Ladder
from invset.studies.study import study_of


def toys() -> dict[str, tuple[Tensor, Tensor]]:
    w = linear()
    slab = plain_set(lambda c: c @ w, [(0.9, 1.2)], cube())
    bent = plain_set(tanh_net(p=2), [(-0.2, 0.2), (-0.2, 0.2)], cube())
    published = {"constraint": "paper", "slack": "frozen", "units": "raw", "walk": 0.0}
    runs = {
        "stream, slab": (Stream(K=5, n=30), slab),
        "stream, tanh": (Stream(K=5, n=30), bent),
        "two_stage, slab": (TwoStage(K=5, n=30), slab),
        "two_stage, tanh": (TwoStage(K=5, n=30, walk=0.0), bent),
        "two_stage, published": (TwoStage(K=5, n=30, **published), slab),
        "full, slab": (Full(K=7, n=20, inner_steps=6, tolerance=0.01), slab),
        "full, tanh": (Full(K=20, n=20, inner_steps=6, max_outer=30), bent),
        "ppgn": (PPGN(K=3, n=12, n_iters=8, eps1=0.1, eps3=0.2), ppgn_target()),
        "ladder, slab": (Ladder(K=4, ranges=[(0.0, 0.5), (0.9, 1.2)]), slab),
    }
    found = {}
    for name, (sampler, target) in runs.items():
        study = study_of(sampler)
        samples = study.found(target, study.run(target, seeded()))
        found[name] = (samples.u, samples.f)
    return found
