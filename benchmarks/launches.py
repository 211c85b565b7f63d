"""What a step asks of a CUDA device: kernels, waits, and copies from and to the host, counted by
the fake device of the tests; no GPU is needed.

    python benchmarks/launches.py [--K 4]

Samplers step on the embedded pair; `two_stage` in each stage; trainings on tiny networks with batch
norm. Kernels are counted as operators, of which some are several.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from common import begin, parser, write

from invset import Neuron, Problem, mini_generator, mini_network
from invset.nets.mini import LAYER_ALIASES, MiniNet
from invset.nets.network import Network
from invset.nets.upconv import UpConv
from invset.samplers.full import Full
from invset.samplers.ppgn import PPGN
from invset.samplers.stream import Stream
from invset.samplers.two_stage import TwoStage
from invset.training.classification import NetworkSettings, NetworkTraining
from invset.training.discriminator import Discriminator
from invset.training.generator_settings import GeneratorSettings
from invset.training.inversion import GeneratorTraining

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from fake_device import FakeCuda
from toys import two_classes

#: Steps before those that are counted, and these.
BEFORE, STEPS = 2, 4

Counts = dict[str, float]


def counted(cuda: FakeCuda, step: Callable[[], Any]) -> Counts:
    """Means a step."""
    for _ in range(BEFORE):
        step()
    cuda.clear()
    for _ in range(STEPS):
        step()
    kinds: dict[str, Counter[str]] = {
        "kernels": cuda.kernels,
        "waits": cuda.waits,
        "from the host": cuda.from_host,
        "to the host": cuda.to_host,
    }
    return {name: sum(count.values()) / STEPS for name, count in kinds.items()}


def sampler_step(sampler: Any, stage: str = "") -> Callable[[], None]:
    """A step of a sampler on the embedded pair."""
    problem = Problem(
        mini_network(device="cuda"),
        mini_generator(device="cuda"),
        neurons=[Neuron("fc8", "horse", (4, 6))],
    )
    rng = torch.Generator().manual_seed(0)
    target = problem.target(problem.region("auto", rng, plain=sampler.space == "codes"))
    state = sampler.init(target, rng)
    if stage:
        state = replace(state, stage=stage)

    def step() -> None:
        nonlocal state
        state, _ = sampler.step(target, state, rng)

    return step


def network_step() -> Callable[[], float]:
    """An epoch of one step."""
    net = MiniNet((4, 4, 4, 4, 4), fc6=8, fc7=8, n_out=2, size=8, batch_norm=True)
    settings = NetworkSettings(epochs=99, batch_size=16, crop=1, cutout=2)
    training = NetworkTraining(net, settings, 1, "cuda")
    data = two_classes(16)
    return lambda: training.train_epoch(data)


def generator_step() -> Callable[[], Any]:
    """A step of the generator and its discriminator."""
    net = MiniNet((4, 4, 4, 4, 4), fc6=8, fc7=8, size=8)
    encoder = Network(
        net, image_size=8, aliases=LAYER_ALIASES, output="fc8", encoder="fc6", device="cuda"
    )
    maker = UpConv(8, 8, (12,), 6, ((6, 6),)).initialize(torch.Generator().manual_seed(0))
    settings = GeneratorSettings(steps=99, batch_size=8, layers=("conv2", "fc6"))
    training = GeneratorTraining(encoder, "fc6", maker, Discriminator(8, (6,)), settings)
    data = two_classes(8)
    return lambda: training.train_step(data.images)


def steps(K: int) -> dict[str, Callable[[], Callable[[], Any]]]:
    """Name -> what makes a step."""
    two_stage = TwoStage(K=K, n=20)
    return {
        "stream": lambda: sampler_step(Stream(K=K, n=20)),
        "two_stage, seeds": lambda: sampler_step(two_stage, "seeds"),
        "two_stage, sampling": lambda: sampler_step(two_stage, "sampling"),
        "full": lambda: sampler_step(Full(K=K, n=20)),
        "ppgn": lambda: sampler_step(PPGN(K=K, n=20)),
        "train network": network_step,
        "train generator": generator_step,
    }


def main() -> None:
    """Count, and print a table."""
    options = parser(__doc__, "launches")
    options.add_argument("--K", type=int, default=4, help="codes of a pass")
    arguments = options.parse_args()
    begin(arguments)
    found = {}
    for name, make in steps(arguments.K).items():
        with FakeCuda() as cuda:
            found[name] = counted(cuda, make())
        if len(found) == 1:
            print("| step |", " | ".join(found[name]), "|")
            print("|---" * (1 + len(found[name])) + "|")
        print(f"| {name} |", " | ".join(f"{value:g}" for value in found[name].values()), "|")
    write(arguments, found)


if __name__ == "__main__":
    main()
