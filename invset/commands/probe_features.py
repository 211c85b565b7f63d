"""``invset probe sae=FILE layer=NAME`` without ``feature=``: which features are on."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor

from invset.commands.own_folder import begin_in, job_folder
from invset.core.products import products
from invset.files.rundir import RunDir
from invset.problem.in_views import InViews
from invset.problem.position import described
from invset.problem.problem import Problem
from invset.studies.probing import until
from invset.studies.spending import FORWARD, Spending
from invset.studies.survey import LEAST, MOST, Feature, features_in, surveyed, worth_a_look

#: Inputs in one pass.
_BATCH = 32


def asks_for_features(cfg: DictConfig) -> bool:
    """Whether all features are meant, not one of them."""
    return cfg.sae is not None and cfg.feature is None and cfg.neurons is None


def with_one_feature(cfg: DictConfig) -> DictConfig:
    """The same for feature 0 where all are meant: it stands for the place where they are read."""
    if not asks_for_features(cfg):
        return cfg
    one = cfg.copy()
    one.feature = 0
    return one


@torch.no_grad()
def probe_features(
    cfg: DictConfig,
    problem: Problem,
    inputs: Tensor | None,
    codes: Tensor | None,
    words: Sequence[str],
) -> None:
    """Look at all features, print those that are worth a look, and write ``features.csv`` and
    ``probe.json``.

    Args:
        cfg: of the probe.
        problem: of one feature of the autoencoder.
        inputs: real ones in stored form; None: what is made of `codes`.
        codes: with shape (N, code_dim), without real inputs.
        words: of the command that samples a feature, without its number and its range.
    """
    feature = problem.neurons[0].feature
    assert feature is not None
    encoder = feature.encoder.on(problem.network.device)
    seen = codes if inputs is None else inputs
    assert seen is not None
    parts, count = seen.to(problem.network.device).split(_BATCH), len(seen)
    noun = f"{problem.medium.noun}s"
    noun = f"{noun} of random codes" if inputs is None else f"real {noun}"
    with (
        Spending(FORWARD * count, cfg.code_steps, cfg.seconds) as spending,
        products("float32"),
    ):
        spending.begin(f"{encoder.features} features in {noun}")

        def look(part: Tensor) -> Tensor:
            x = problem.made(part) if inputs is None else problem.medium.restore(part)
            return features_in(problem, encoder, x)

        f = torch.cat(until(look, list(parts), spending, 1.0))
    found = surveyed(f)
    rundir = RunDir(job_folder(), listed=True)
    begin_in(rundir, cfg)
    told = f"{len(f)} {noun}" if len(f) == count else f"{len(f)} of {count} {noun}"
    print("\n".join([_read(problem), *_said(found, told, words, inputs is None)]))
    header = ["feature", "count", "share", "p50", "p90", "largest", "z1", "z2"]
    rundir.write_csv("features.csv", header, map(_row, found))
    command = f"invset probe {shlex.join(rundir.typed())}"
    rundir.write_json("probe.json", {"command": command, "inputs": told, "features": len(found)})
    print(rundir / "features.csv")


def _read(problem: Problem) -> str:
    """Where features are read."""
    neuron, place, shape = problem.neurons[0], problem.places[0], problem.shapes[0]
    at = described(neuron.position, place.at, shape)
    views = problem.readout
    of_views = ""
    if isinstance(views, InViews):
        of_views = f", mean over {views.robust.M} views (robust=0 reads the whole picture)"
    return f"Read: features of layer {neuron.layer} {at}{of_views}."


def _said(found: list[Feature], inputs: str, words: Sequence[str], of_codes: bool) -> list[str]:
    """The table, and what to type."""
    never = sum(one.count == 0 for one in found)
    often = sum(one.share > MOST for one in found)
    rare = sum(one.rare for one in found)
    lines = [
        f"{len(found)} features in {inputs}: {never} are on in none of them, {often} in more than a"
        f" quarter.",
    ]
    best = worth_a_look(found)
    if not best:
        most = "type a larger codes=, or images=/path/to/images"
        return [*lines, f"None is on in {LEAST} of them or more, and in a quarter at most: {most}."]
    lines += [
        f"{rare} are on in {LEAST} of them or more, and in a quarter at most. The strongest of"
        " these, by the median activation where they are on:",
        "",
        f"{'feature':>8}  {'on in':>6}  {'median':>9}  {'p90':>9}  {'largest':>9}",
        *(
            f"{one.number:>8}  {one.share:>6.1%}  {one.p50:>9.4g}  {one.p90:>9.4g}"
            f"  {one.largest:>9.4g}"
            for one in best
        ),
        "",
    ]
    ranged = next((one for one in best if one.ends), None)
    if ranged is None or ranged.ends is None:
        return lines
    z1, z2 = ranged.ends
    typed = [*words, f"feature={ranged.number}", f"z1={z1:g}", f"z2={z2:g}"]
    lines += [f"To sample feature {ranged.number}:", f"  {shlex.join(typed)}"]
    if of_codes:
        lines.append(
            "Random codes may excite other features than photographs do: type"
            " images=/path/to/images (folder, zip or tar) for these."
        )
    return lines


def _row(one: Feature) -> list[Any]:
    z1, z2 = one.ends or ("", "")
    numbers = (one.share, one.p50, one.p90, one.largest)
    return [one.number, one.count, *(f"{value:.7g}" for value in numbers), z1, z2]
