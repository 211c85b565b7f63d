"""(f) The tables of docs/speed.md that are of a GPU: a step of `stream` with each option of
`runtime:`, its memory, its own part, and whole runs.

    python benchmarks/gpu.py [--pair mini caffenet] [--K 10 100 1000] [--seconds 420]
    python benchmarks/gpu.py --device cpu --pair mini --K 4 --n 8 --repeats 1 --options off

- Steps: every repeat takes a round of steps with each option in turn, and waits for the device at
  its end. Printed are milliseconds of a step without options, and the other options' ratios to it.
- The sampler's own part: the same, with networks replaced by one product.
- Whole runs: seconds until n samples are found, and how many of them are in range.

Options that the device does not have are left out. Tables come in the order of what they are worth;
those for which less than `--seconds` are left are left out, and the file says which.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from common import PAIRS, Spread, begin, pair, parser, side_by_side, some_codes, write

from invset import Generator, InverseSetSampler, Network, Neuron, Problem
from invset.core.ranges import ActivationRange
from invset.core.space import CodePrior, Free
from invset.core.target import Target, Whole
from invset.errors import InvsetError
from invset.problem.runtime import Runtime
from invset.problem.whole_step import WholeStep
from invset.samplers.stream import Stream

OPTIONS: dict[str, dict[str, Any]] = {
    "off": {},
    "tf32": {"autocast": "tf32"},
    "bf16": {"autocast": "bf16"},
    "cuda_graphs": {"cuda_graphs": True},
    "tf32, cuda_graphs": {"autocast": "tf32", "cuda_graphs": True},
    "bf16, cuda_graphs": {"autocast": "bf16", "cuda_graphs": True},
    "channels_last": {"channels_last": True},
    "bf16, channels_last": {"autocast": "bf16", "channels_last": True},
}

#: GFLOP of a code's step, forwards and backwards once each (benchmarks/peak.py); the diversity's
#: backward pass is another third.
OPERATIONS = {"mini": 1.01 * 4 / 3, "caffenet": 6.92 * 4 / 3}

#: Codes at a time up to which steps are recorded: beyond, launches are hidden, and a recording of
#: each option keeps the memory of a step.
RECORDED = 100

#: Steps of a round, before the host waits for the device.
ROUND = 5

#: Encodings and codes of the product that stands for the networks.
WIDTH = 256


def wait(device: torch.device) -> None:
    """Let the device end what it was given to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def rounds(target: Target, K: int, device: torch.device) -> Callable[[], None]:
    """A function that takes a round of steps, and waits; recordings are made before."""
    sampler = Stream(K=K, n=10**6 * K)
    rng = torch.Generator().manual_seed(0)
    state = sampler.init(target, rng)

    def steps() -> None:
        nonlocal state
        for _ in range(ROUND):
            state, _ = sampler.step(target, state, rng)
        wait(device)

    steps()
    return steps


def network_steps(
    name: str, K: int, labels: list[str], device: torch.device
) -> Iterator[tuple[str, Any]]:
    """Rounds with each option that the device has, by name, and bytes of a code at the peak."""
    # options share their networks, but for those that lay the weights out anew
    pairs = {laid_out: pair(name, device) for laid_out in (False, True)}
    for label in labels:
        options = OPTIONS[label]
        if options.get("cuda_graphs") and K > RECORDED:
            continue
        try:
            networks = pairs["channels_last" in options]
            problem = asked(networks, (0.0, 1.0), {"channels_last": False, **options})
        except InvsetError as error:
            print(f"{name}, {label}: left out ({error})")
            continue
        begun = allocated(device)
        steps = rounds(problem.target(region_of(problem)), K, device)
        yield label, (steps, (allocated(device, peak=True) - begun) / K)


def asked(
    networks: tuple[Network, Generator], ends: tuple[float, float], options: dict[str, Any]
) -> Problem:
    """Unit 8 of fc8 (horse in the embedded network), with options of `runtime:`."""
    return Problem(*networks, "fc6", [Neuron("fc8", 8, ends)], runtime=Runtime(**options))


def region_of(problem: Problem) -> CodePrior | Free:
    """The generator's own, or any code where weights are random."""
    prior = problem.generator.prior
    return prior or Free(some_codes(problem.generator, 256).to(problem.network.device))


def allocated(device: torch.device, peak: bool = False) -> int:
    """Bytes of tensors on the device, at most since it was last asked without `peak`."""
    if device.type != "cuda":
        return 0
    if peak:
        return torch.cuda.max_memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def own_steps(K: int, device: torch.device) -> dict[str, Callable[[], None]]:
    """Rounds of one product in place of the networks, as they are and recorded."""
    rng = torch.Generator().manual_seed(0)
    weights = torch.randn(WIDTH, WIDTH, generator=rng).to(device) / WIDTH**0.5

    def evaluate(codes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        e = codes @ weights
        return e[:, :1], e

    def target(whole: Whole | None) -> Target:
        region = CodePrior.gaussian(WIDTH).to(device)
        return Target(evaluate, ActivationRange.of([(1.0, 2.0)], weights), region, whole=whole)

    found = {"as it is": rounds(target(None), K, device)}
    if device.type == "cuda":
        found["recorded"] = rounds(target(Whole(evaluate, WholeStep())), K, device)
    return found


def whole_runs(name: str, device: torch.device, n: int) -> dict[str, dict[str, Any]]:
    """Seconds of a run of the embedded pair with ten codes at a time, and with a hundred."""
    found = {}
    for label, K, options in (
        ("K = 10", min(10, n), {}),
        ("K = 100", min(100, n), {}),
        ("K = 100, tf32, cuda_graphs", min(100, n), OPTIONS["tf32, cuda_graphs"]),
    ):
        if options and device.type != "cuda":
            continue
        problem = asked(pair(name, device), (10.0, 12.0), options)
        for _ in range(2):  # the first sets libraries up
            begun = time.perf_counter()
            result = InverseSetSampler(k=K, n=n).run(problem)
            wait(device)
            seconds = time.perf_counter() - begun
        found[label] = {
            "seconds": seconds,
            "samples": len(result),
            "in_range": float(result.in_range.float().mean()),
            "code_steps": result.meter.code_steps,
        }
        print(f"| {name}, n = {n}, {label} | {seconds:.2f} s | {found[label]['in_range']:.0%} |")
    return found


def told(name: str, K: int, arguments: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """One row of the table of steps, printed."""
    steps: dict[str, Callable[[], None]] = {}
    memory = {}
    for label, (round_, each) in network_steps(name, K, arguments.options, device):
        steps[label], memory[label] = round_, each
    times = side_by_side(steps, arguments.repeats, "wall", f"{name}, K = {K}")
    names = list(times)
    first = times[names[0]]
    step = Spread.of(first.milliseconds).median / ROUND
    cells = [f"{step:.2f} ms", *(str(times[label].over(first)) for label in names[1:])]
    print(f"| {name}, K = {K} | " + " | ".join(cells) + " |")
    speed = OPERATIONS.get(name, 0) * K / step
    print(
        f"  {speed:.2f} TFLOP/s, {memory['off'] / 1e6:.2f} MB a code; options: {', '.join(times)}"
    )
    return {
        label: {**t.as_dict(first), "steps": ROUND, "bytes_a_code": memory[label]}
        for label, t in times.items()
    }


def tables(arguments: argparse.Namespace, device: torch.device) -> Iterator[tuple[str, Any]]:
    """Names of the tables, and what makes each, in the order of what they are worth."""
    for K in arguments.K:
        for name in arguments.pair:
            yield f"{name}, K = {K}", lambda name=name, K=K: told(name, K, arguments, device)
        if arguments.K[0] == K:
            yield f"own part, K = {K}", lambda K=K: own(K, arguments, device)
            if "mini" in arguments.pair:
                yield "whole runs", lambda: whole_runs("mini", device, arguments.n)


def own(K: int, arguments: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Milliseconds of the sampler's own part of a step, printed."""
    times = side_by_side(own_steps(K, device), arguments.repeats, "wall", "the sampler's own part")
    first = times["as it is"]
    for label, t in times.items():
        step = Spread.of(t.milliseconds).median / ROUND
        print(f"| the sampler's own part, K = {K}, {label} | {step:.2f} ms | {t.over(first)} |")
    return {label: {**t.as_dict(first), "steps": ROUND} for label, t in times.items()}


def graphics(device: torch.device) -> dict[str, Any]:
    """What a figure depends on."""
    if device.type != "cuda":
        return {"name": device.type}
    about = torch.cuda.get_device_properties(device)
    return {
        "name": about.name,
        "memory": about.total_memory,
        "capability": f"{about.major}.{about.minor}",
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def main() -> None:
    """Measure, print and write."""
    arguments_ = parser(__doc__, "gpu")
    arguments_.add_argument("--device", default="cuda", help="where (cuda)")
    arguments_.add_argument("--pair", nargs="+", default=list(PAIRS), help="networks")
    arguments_.add_argument("--K", type=int, nargs="+", default=[10, 100, 1000], help="codes")
    arguments_.add_argument(
        "--options", nargs="+", default=list(OPTIONS), choices=OPTIONS, help="the first is 1"
    )
    arguments_.add_argument("--n", type=int, default=100, help="samples of a whole run")
    arguments_.add_argument("--seconds", type=float, default=420, help="after which none begins")
    arguments = arguments_.parse_args()
    if arguments.device != "cpu" and not torch.cuda.is_available():
        raise SystemExit("there is no CUDA device here; a trial is in --help")
    begin(arguments)
    device = torch.device(arguments.device)
    begun = time.monotonic()
    results: dict[str, Any] = {"device": graphics(device), "left_out": []}
    for name, table in tables(arguments, device):
        if time.monotonic() - begun > arguments.seconds:
            results["left_out"].append(name)
            continue
        results[name] = table()
        if device.type == "cuda":
            torch.cuda.empty_cache()
    print(f"{time.monotonic() - begun:.0f} s; left out: {', '.join(results['left_out']) or 'none'}")
    write(arguments, results)


if __name__ == "__main__":
    main()
