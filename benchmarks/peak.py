"""(b) Our gradient step against the measured peak of this machine, with a profile that says where
the time goes.

    python benchmarks/peak.py [--pair mini caffenet] [--K 10] [--repeats 10] [--threads 2]

Peak is the most floating-point operations a second that a matrix product or one of the step's own
convolutions (forwards, alone) reaches, in each repeat anew, with the same threads. Operations are
those of convolutions, deconvolutions and fully connected layers, forwards and for the gradient in
their inputs, as `torch.utils.flop_counter` counts them on PyTorch's own layers; the benchmark ends
if that is not twice the sum that `by_hand` makes of the layers' shapes. Share of peak is operations
a second of a whole step, divided by the peak of the same repeat; the goal is 0.80.

Fully connected layers read each weight for 2 K operations, which is memory's speed and not the
processor's. So a second bound is told: operations of maps at the peak, plus the weights of fully
connected layers, read twice, at the measured speed of memory.

The profile times every operator where PyTorch dispatches it (`Ledger`), which is exact on a CPU,
where operators run one after the other.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from common import Spread, bar, begin, once, pair, parser, some_codes, write
from step import plain, shared
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from invset import Generator, Network, Neuron, Problem
from invset.problem.allocator import keep_freed_memory

GOAL = 0.80
NEURONS = [Neuron("fc8", 1, (0.0, 1.0))]
WEIGHTED = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


@dataclass(frozen=True)
class Layer:
    """A convolution, a deconvolution or a fully connected layer at work.

    Attributes:
        name: path of the module.
        module: the layer itself.
        shape: of its input, (K, ...).
        flops: floating-point operations of a forward pass; the gradient in its input takes as many.
    """

    name: str
    module: nn.Module
    shape: tuple[int, ...]
    flops: int


def by_hand(module: nn.Module, x: Tensor, y: Tensor) -> int:
    """Operations of a forward pass from x to y: an addition and a multiplication for each weight at
    each place that it meets.
    """
    weight = module.weight
    # each input of a deconvolution, each output of the others meets the weights of one channel
    return 2 * (x if isinstance(module, nn.ConvTranspose2d) else y).numel() * weight[0].numel()


def layers_of(network: Network, generator: Generator, codes: Tensor) -> list[Layer]:
    """All layers with weights, in order, by one pass."""
    found: list[Layer] = []

    def seen(name: str, module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        found.append(
            Layer(name, module, tuple(inputs[0].shape), by_hand(module, inputs[0], output))
        )

    named = [*generator.module.named_modules(), *network.module.named_modules()]
    handles = [
        m.register_forward_hook(partial(seen, name.split(".")[-1]))
        for name, m in named
        if isinstance(m, WEIGHTED)
    ]
    with torch.no_grad():
        network.module(generator(codes))
    for handle in handles:
        handle.remove()
    return found


def counted(network: Network, generator: Generator, codes: Tensor) -> int:
    """Operations of a pass and its gradient in the codes, as PyTorch counts them on its own
    layers.
    """
    usual = Network(
        plain(network.module),
        image_size=network.image_size,
        aliases=network.aliases,
        output="fc8",
        encoder="fc6",
    )
    problem = Problem(usual, Generator(plain(generator.module), generator.code_dim), "fc6", NEURONS)
    u = codes.clone().requires_grad_()
    with FlopCounterMode(display=False) as counter:
        f, e = problem.evaluate(u)
        (f.sum() + e.sum()).backward()  # autograd.grad is more than the counter can follow
    return counter.get_total_flops()


def question(network: Network, generator: Generator, codes: Tensor) -> Callable[[], Tensor]:
    """The step of benchmarks/step.py, with the images rounded to 8 bits as usual."""
    problem = Problem(network, generator, "fc6", NEURONS)
    with torch.no_grad():
        earlier = problem.evaluate(codes)[1]
    return shared(problem, codes, earlier)


def candidates(layers: list[Layer]) -> dict[str, tuple[int, Callable[[], Tensor]]]:
    """What the peak is the largest of: name -> (operations, what does them)."""
    found: dict[str, tuple[int, Callable[[], Tensor]]] = {}
    for side in (512, 1024, 2048):
        a, b = torch.randn(2, side, side)
        found[f"product {side}"] = 2 * side**3, partial(torch.mm, a, b)
    for layer in layers:
        if isinstance(layer.module, nn.Conv2d):
            weight, m = layer.module.weight, layer.module
            wide = (
                weight.is_contiguous(memory_format=torch.channels_last)
                and not weight.is_contiguous()
            )
            x = torch.randn(layer.shape).contiguous(
                memory_format=torch.channels_last if wide else torch.contiguous_format
            )
            found[layer.name] = (
                layer.flops,
                partial(F.conv2d, x, weight, None, m.stride, m.padding, 1, m.groups),
            )
    return found


def memory_speed(megabytes: int = 256) -> Callable[[], Tensor]:
    """Reads that many megabytes, once."""
    return torch.ones(megabytes * 2**18).sum


class Ledger(TorchDispatchMode):
    """Writes down every operator: layer, direction, operations, seconds.

    Attributes:
        rows: (name of the layer or of the operator, "forward", "backward" or "", operations,
            milliseconds).
    """

    def __init__(self, clock: str) -> None:
        super().__init__()
        self.clock = time.process_time if clock == "cpu" else time.perf_counter
        self.rows: list[tuple[str, str, int, float]] = []
        self.layer: str | None = None
        self._weights: dict[int, str] = {}

    def watch(self, *modules: nn.Module) -> None:
        """Name the operators of these modules' innermost layers."""
        for module in modules:
            for name, child in module.named_modules():
                if not list(child.children()):
                    child.register_forward_pre_hook(partial(self._enter, name.split(".")[-1]))
                    child.register_forward_hook(partial(self._enter, None))
                    packed = getattr(child, "_packed", None)
                    if packed:
                        self._weights[id(packed[2])] = name.split(".")[-1]

    def _enter(self, layer: str | None, *_: Any) -> None:
        self.layer = layer

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        start = self.clock()
        out = func(*args, **(kwargs or {}))
        taken = 1000 * (self.clock() - start)
        flops = operations(func, args, kwargs or {}, out)
        tensors = [a for a in args if isinstance(a, Tensor)]
        if flops and self.layer:
            self._weights |= {_place(t): self.layer for t in tensors[1:]}
            self.rows.append((self.layer, "forward", flops, taken))
        elif flops:
            # weights come last in the operators of backward passes; others' addresses are used
            # again and again
            self.rows.append(
                (self._weights.get(_place(tensors[-1]), func.__name__), "backward", flops, taken)
            )
        else:
            self.rows.append((func.__name__.split(".")[0], "", 0, taken))
        return out


def _place(tensor: Tensor) -> int:
    """What makes a tensor the same: packed weights have no address that may be asked for."""
    return id(tensor) if tensor.is_mkldnn else tensor.data_ptr()


def operations(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> int:
    """Floating-point operations of one operator; 0 for those that are not products."""
    if func._overloadpacket in flop_registry:
        return flop_registry[func._overloadpacket](*args, **kwargs, out_val=out)
    if "_linear_pointwise" in func.__name__:  # packed weights (invset/nets/fast.py)
        return 2 * out.numel() * args[0].shape[1]
    return 0


def profile(step: Callable[[], Any], ledger: Ledger, passes: int) -> list[dict[str, Any]]:
    """Milliseconds of a step by layer and direction, and by operator for the rest, most first."""
    which = 0 if ledger.clock is time.process_time else 1
    _under(ledger, step)
    ledger.rows.clear()
    whole = 0.0
    for _ in range(passes):
        whole += once(step)[which]  # the ledger's own time is in none of these
        _under(ledger, step)
    groups: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for name, way, flops, taken in ledger.rows:
        groups.setdefault((name, way), []).append((flops, taken))
    groups["Python, autograd", ""] = [(0, whole - sum(taken for *_, taken in ledger.rows))]
    rows = []
    for (name, way), entries in groups.items():
        flops, taken = sum(f for f, _ in entries), sum(t for _, t in entries)
        speed = flops / taken / 1e6 if flops else None
        rows.append(
            {
                "name": name,
                "way": way,
                "milliseconds": taken / passes,
                "share": taken / whole,
                "gflops": speed,
            }
        )
    return sorted(rows, key=lambda row: -row["milliseconds"])


def summary(table: list[dict[str, Any]], kinds: dict[str, type]) -> dict[str, float]:
    """Share of time of the convolutions, the deconvolutions, the fully connected layers, and of all
    that is no product.
    """
    names = {
        nn.Conv2d: "convolutions",
        nn.ConvTranspose2d: "deconvolutions",
        nn.Linear: "fully connected",
    }
    found = dict.fromkeys([*names.values(), "the rest"], 0.0)
    for row in table:
        kind = next(
            (
                name
                for base, name in names.items()
                if row["way"] and issubclass(kinds.get(row["name"], object), base)
            ),
            "the rest",
        )
        found[kind] += row["share"]
    return found


def _under(ledger: Ledger, step: Callable[[], Any]) -> None:
    with ledger:
        step()


def shares(
    step: Callable[[], Any],
    flops: int,
    tried: dict[str, tuple[int, Callable[[], Any]]],
    weights: int,
    arguments: Any,
    clock: str,
    name: str,
) -> list[dict[str, float]]:
    """Each repeat: the peak, memory's speed, a step; and the shares of both bounds. `weights` are
    those of fully connected layers.
    """
    rows = []
    read = memory_speed()
    which = 0 if clock == "cpu" else 1
    for repeat in bar(range(arguments.repeats + 1), f"{name}: products, convolutions, steps"):
        speeds = {label: work / once(run)[which] / 1e6 for label, (work, run) in tried.items()}
        memory = 256 * 2**20 / once(read)[which] / 1e6  # GB/s
        taken = once(step)[which]
        best = max(speeds, key=lambda label: speeds[label])
        bound = (flops - 4 * arguments.K * weights) / speeds[
            best
        ] / 1e6 + 2 * 4 * weights / memory / 1e6
        row = {
            "milliseconds": taken,
            "gflops": flops / taken / 1e6,
            "peak": speeds[best],
            "memory": memory,
            "bound": bound,
        }
        if repeat:
            rows.append(
                {
                    **row,
                    "share_of_peak": row["gflops"] / row["peak"],
                    "share_of_bound": bound / taken,
                    "speeds": speeds,
                }
            )
    return rows


def measure(name: str, arguments: Any, clock: str) -> dict[str, Any]:
    """One pair: operations, shares, profile."""
    network, generator = pair(name)
    codes = some_codes(generator, arguments.K)
    layers, flops = layers_of(network, generator, codes), counted(network, generator, codes)
    hand = 2 * sum(layer.flops for layer in layers)
    if flops != hand:
        raise SystemExit(
            f"{name}: PyTorch counts {flops} operations, the shapes of the layers say {hand}"
        )
    step = question(network, generator, codes)
    step()  # weights are packed and laid out by now
    weights = sum(
        layer.module.weight.numel() for layer in layers if isinstance(layer.module, nn.Linear)
    )
    rows = shares(step, flops, candidates(layers), weights, arguments, clock, name)
    found = {key: Spread.of(row[key] for row in rows) for key in rows[0] if key != "speeds"}
    print(
        f"{name}: {flops / 1e9:.1f} GFLOP a step of {arguments.K} codes,"
        f" {found['milliseconds'].median:.0f} ms {clock}"
    )
    print(f"  step {found['gflops']} GFLOP/s, peak {found['peak']}, memory {found['memory']} GB/s")
    print(
        f"  share of peak {found['share_of_peak']} (goal {GOAL}), share of peak and memory's speed"
        f" {found['share_of_bound']}"
    )
    ledger = Ledger(clock)
    ledger.watch(generator.module, network.module)
    table = profile(step, ledger, passes=3)
    parts = summary(table, {layer.name: type(layer.module) for layer in layers})
    print("  share of time: " + ", ".join(f"{kind} {share:.0%}" for kind, share in parts.items()))
    for row in table[: arguments.rows]:
        speed = (
            f"{row['gflops']:6.0f} GFLOP/s  {row['gflops'] / found['peak'].median:4.0%} of peak"
            if row["gflops"]
            else ""
        )
        print(
            f"    {row['name'] + ' ' + row['way']:42} {row['milliseconds']:7.1f} ms"
            f" {row['share']:6.1%}  {speed}"
        )
    return {
        "flops": flops,
        **{key: s.as_dict() for key, s in found.items()},
        "repeats": rows,
        "parts": parts,
        "profile": table,
    }


def main() -> None:
    """Measure, print and write."""
    arguments_ = parser(__doc__, "peak", pairs=True)
    arguments_.add_argument(
        "--rows",
        type=int,
        default=20,
        help="lines of the profile that are printed (20); the file has all",
    )
    arguments = arguments_.parse_args()
    clock = begin(arguments)
    keep_freed_memory()
    write(arguments, {name: measure(name, arguments, clock) for name in arguments.pair})


if __name__ == "__main__":
    main()
