"""What the benchmarks share: the clock, repeats in turns, quartiles, networks, processes, the JSON
file.

A machine's speed wanders, by its temperature and by what else it does. So nothing is compared
across runs: every repeat takes each of the things compared once, in turn, and divides by the first
of them in the same repeat. Printed are the median of these ratios and their quartiles.

Two clocks run. CPU time of one thread hardly minds other work on the machine. CPU time of several
threads counts those that spin while they wait for the slowest, and does not tell whether they
helped; then only the wall clock is honest, on a machine that does nothing else. ``--clock auto``
takes CPU time with one thread and the wall clock with more; both are in the file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from invset import mini_generator, mini_network
from invset.nets.caffe.caffenet import CaffeNet
from invset.nets.caffe.upconv_fc6 import UpConvFc6
from invset.nets.fast import accelerate
from invset.nets.generator import Generator
from invset.nets.network import Network

PAIRS = ("mini", "caffenet")


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of some values; a quartile between two values is interpolated."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Summarise at least one value."""
        low, median, high = np.quantile(list(values), [0.25, 0.5, 0.75]).tolist()
        return cls(median, low, high)

    def __str__(self) -> str:
        return f"{self.median:.2f} [{self.low:.2f}, {self.high:.2f}]"

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


@dataclass(frozen=True)
class Timed:
    """What one thing took, in each repeat.

    Attributes:
        cpu, wall: milliseconds by each clock.
        clock: the one that counts, "cpu" or "wall".
    """

    cpu: list[float]
    wall: list[float]
    clock: str

    @property
    def milliseconds(self) -> list[float]:
        return self.cpu if self.clock == "cpu" else self.wall

    def over(self, first: Timed) -> Spread:
        """Ratios to `first`, repeat by repeat."""
        return Spread.of(
            mine / theirs
            for mine, theirs in zip(self.milliseconds, first.milliseconds, strict=True)
        )

    def as_dict(self, first: Timed) -> dict[str, Any]:
        """For the JSON file."""
        times = {"cpu_milliseconds": self.cpu, "wall_milliseconds": self.wall}
        return {
            "ratio": self.over(first).as_dict(),
            "milliseconds": Spread.of(self.milliseconds).as_dict(),
            **times,
        }


def once(
    function: Callable[[], Any], cpu_time: Callable[[], float] = time.process_time
) -> tuple[float, float]:
    """CPU and wall milliseconds of one call."""
    wall, cpu = time.perf_counter(), cpu_time()
    function()
    return 1000 * (cpu_time() - cpu), 1000 * (time.perf_counter() - wall)


def side_by_side(
    steps: dict[str, Callable[[], Any]],
    repeats: int,
    clock: str,
    waiting_for: str,
    cpu_time: Callable[[], float] = time.process_time,
) -> dict[str, Timed]:
    """Take each of `steps` once in every repeat, in turn, after one call of each that does not
    count.
    """
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
    for repeat in bar(range(repeats + 1), waiting_for):
        for name, step in steps.items():
            taken = once(step, cpu_time)
            if repeat:
                times[name].append(taken)
    return {
        name: Timed([cpu for cpu, _ in pairs], [wall for _, wall in pairs], clock)
        for name, pairs in times.items()
    }


def side_by_side_processes(
    commands: dict[str, list[str]], repeats: int, clock: str, waiting_for: str
) -> dict[str, Timed]:
    """The same for whole processes, whose output is thrown away."""

    def children() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    starts = {
        name: partial(subprocess.run, command, check=True, stdout=subprocess.DEVNULL)
        for name, command in commands.items()
    }
    return side_by_side(starts, repeats, clock, waiting_for, children)


def bar(things: Sequence[Any] | range, waiting_for: str) -> Any:
    """Iterate; what takes more than two seconds shows how far it is."""
    return tqdm(things, desc=waiting_for, unit="repeat", delay=2, leave=False)


def choose_clock(name: str, threads: int) -> str:
    """What ``--clock auto`` means."""
    return name if name != "auto" else "cpu" if threads == 1 else "wall"


def parser(
    doc: str | None, name: str, repeats: int = 10, pairs: bool = False
) -> argparse.ArgumentParser:
    """The options that all benchmarks have."""
    found = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if pairs:
        about = (
            "networks: the embedded pair; CaffeNet and PPGN's generator with random weights, 2 to"
            " 3 GB"
        )
        found.add_argument("--pair", nargs="+", default=list(PAIRS), choices=PAIRS, help=about)
        found.add_argument("--K", type=int, default=10, help="codes of a pass")
    found.add_argument(
        "--repeats", type=int, default=repeats, help=f"how often each is measured ({repeats})"
    )
    found.add_argument(
        "--threads",
        type=int,
        default=torch.get_num_threads(),
        help="threads of torch (PyTorch's own choice)",
    )
    found.add_argument(
        "--clock",
        default="auto",
        choices=["auto", "cpu", "wall"],
        help="auto: cpu with one thread, else wall",
    )
    found.add_argument(
        "--out",
        type=Path,
        default=Path("outputs/benchmarks") / f"{name}.json",
        help="JSON file to write",
    )
    return found


def begin(arguments: argparse.Namespace) -> str:
    """Set the threads; return the clock that counts."""
    torch.set_num_threads(arguments.threads)
    return choose_clock(arguments.clock, arguments.threads)


def machine() -> dict[str, Any]:
    """What a figure depends on."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")  # Linux; elsewhere Python knows
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def write(arguments: argparse.Namespace, results: Any) -> None:
    """Write the JSON file: the machine, the options, the results."""
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    options = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in vars(arguments).items()
    }
    told = {"machine": machine(), "options": options, "results": results}
    arguments.out.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    print(f"-> {arguments.out}")


def pair(name: str, device: str | torch.device = "cpu") -> tuple[Network, Generator]:
    """The embedded network and its generator, or CaffeNet and PPGN's generator with random
    weights.
    """
    if name == "mini":
        return mini_network(device=device), mini_generator(device=device)
    return random_pair(CaffeNet(), UpConvFc6(), 4096, device)


def random_pair(
    network: nn.Module,
    generator: nn.Module,
    code_dim: int,
    device: str | torch.device = "cpu",
) -> tuple[Network, Generator]:
    """A CaffeNet and a generator of its images, with random weights that neither quench nor inflate
    what passes (He et al. 2015).
    """
    rng = torch.Generator().manual_seed(0)
    for module in [*network.modules(), *generator.modules()]:
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            # what one output sums over: a kernel with stride meets each output of a deconvolution
            # at fewer places
            up = isinstance(module, nn.ConvTranspose2d)
            fan = (
                module.weight[:, 0].numel() / module.stride[0] ** 2
                if up
                else module.weight[0].numel()
            )
            nn.init.normal_(module.weight, 0, (2 / fan) ** 0.5, generator=rng)
            nn.init.zeros_(module.bias)
    aliases = {"fc6": "relu6", "fc7": "relu7"}
    found = Network(
        accelerate(network),
        name="caffenet",
        image_size=network.data.size,
        aliases=aliases,
        output="fc8",
        encoder="fc6",
        device=device,
    )
    return found, Generator(accelerate(generator), code_dim, name="upconv", device=device)


def some_codes(generator: Generator, count: int) -> Tensor:
    """Codes with shape (count, code_dim): from the prior, or for random weights such that pictures
    have some contrast.
    """
    rng = torch.Generator().manual_seed(0)  # on the device of the prior, or on the CPU
    if generator.prior is not None:
        return generator.prior.decode(generator.prior.sample(count, rng))
    return 60 * torch.randn(count, generator.code_dim, generator=rng).clamp_min(0)


def in_a_process(file: str, words: Sequence[object], python: str = sys.executable) -> Any:
    """What ``python file words`` prints, as JSON: a process of its own has its own memory and its
    own allocator.
    """
    done = subprocess.run(
        [python, file, *map(str, words)],
        check=True,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    return json.loads(done.stdout)
