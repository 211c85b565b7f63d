"""(a) Our gradient step against the one that a user would write, side by side.

    python benchmarks/step.py [--pair mini caffenet] [--K 10] [--repeats 10] [--threads 2]

All take the gradient of eq. (11) in K codes: f of one unit of fc8, E = fc6, both ends of the range,
K earlier samples.

- naive: one pass of the generator, a pass of the network to its end for E (read by a hook) and
  another for f, distances by `torch.cdist`, `backward` with weights that require gradients; the
  networks are PyTorch's own layers;
- one pass: the same layers frozen, one pass of both networks for E and f, distances by their
  moments;
- ours: `Problem` and `Target` as samplers use them, with our layers where they are faster, maps
  laid out as it pays.

The ratios are to naive; the goal is 0.33. Before anything is timed the three gradients are
compared; if they differ by more than 0.03 (relative, 2-norm), the benchmark ends. They differ at
all because float32 sums in another order now and then choose another pixel in a pool; images are
not rounded to 8 bits here, which would make that larger. `caffenet` is CaffeNet and PPGN's
generator with random weights, of full width.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from common import begin, pair, parser, side_by_side, some_codes, write
from torch import Tensor, nn

from invset import Generator, Network, Neuron, Problem
from invset.core.lagrangian import constraints, penalty, slack
from invset.core.moments import Moments, cross, pairwise
from invset.core.space import Free
from invset.nets.fast import accelerate
from invset.problem.allocator import keep_freed_memory
from invset.problem.runtime import Runtime

UNIT, MU, LAMBDA = 1, 10.0, 0.1
GOAL = 0.33
TOLERANCE = 0.03
Step = Callable[[], Tensor]


def plain(module: nn.Module) -> nn.Module:
    """A copy made of PyTorch's own layers alone."""
    return accelerate(copy.deepcopy(module), on=False)


class Naive:
    """The step as one would write it down.

    Args:
        network: images to fc8.
        generator: codes to images.
        fc6: the layer of `network` that is E.
        range_: (z1, z2).
        codes: with shape (K, code_dim).
        earlier: encodings of C0, with shape (N, d).
    """

    def __init__(
        self,
        network: nn.Module,
        generator: nn.Module,
        fc6: nn.Module,
        range_: tuple[float, float],
        codes: Tensor,
        earlier: Tensor,
    ) -> None:
        self.network, self.generator, self.range = network, generator, range_
        self.codes, self.earlier = codes.clone().requires_grad_(), earlier
        fc6.register_forward_hook(
            lambda _module, _inputs, output: setattr(self, "encodings", output)
        )

    def __call__(self) -> Tensor:
        for module in (self.network, self.generator):
            module.requires_grad_(True)
            module.zero_grad()
        self.codes.grad = None
        images = self.generator(self.codes).clamp(0, 1)
        self.network(images)
        e = self.encodings
        f = self.network(images)[:, UNIT - 1]
        distances = torch.cdist(e, e).square().sum() + torch.cdist(e, self.earlier).square().sum()
        z1, z2 = self.range
        terms = torch.zeros(())
        for g in ((f - (z1 + z2) / 2) / (z2 - z1), ((z1 + z2) / 2 - f) / (z2 - z1)):
            s = torch.relu(g - LAMBDA / MU).detach()
            terms = terms + (-LAMBDA * (g - s) + MU / 2 * (g - s) ** 2).sum()
        (terms - distances).backward()
        return self.codes.grad


def shared(problem: Problem, codes: Tensor, earlier: Tensor) -> Step:
    """The step of a sampler: one pass for E and f, moments for the distances, no gradients of
    weights.
    """
    target = problem.target(Free(codes))
    moments = Moments.of(earlier)

    def step() -> Tensor:
        seen = target.look(codes, grad=True)
        g = constraints(seen.f, target.range)
        lambda_ = torch.full_like(g, LAMBDA)
        terms = penalty(g, slack(g.detach(), lambda_, MU), lambda_, MU).sum()
        return target.pull(seen, terms - pairwise(seen.e) - cross(seen.e, moments))

    return step


def steps(network: Network, generator: Generator, K: int) -> dict[str, Step]:
    """The three steps from the same codes, with the same earlier samples."""
    codes = some_codes(generator, 2 * K)
    network_, generator_ = (
        plain(network.module),
        plain(generator.module),
    )  # before ours are laid out another way

    def question(f: Network, G: Generator, range_: tuple[float, float], **runtime: Any) -> Problem:
        return Problem(
            f, G, "fc6", [Neuron("fc8", UNIT, range_)], eight_bit=False, runtime=Runtime(**runtime)
        )

    usual = Network(
        network_,
        name="plain",
        image_size=network.image_size,
        aliases=network.aliases,
        output="fc8",
        encoder="fc6",
    )
    with torch.no_grad():
        f, e = question(
            usual, Generator(generator_, generator.code_dim), (0.0, 1.0), channels_last=False
        ).evaluate(codes)
    # the middle of the range away from f, so that the terms of eq. (9) count
    width = float(f.std()) + 1e-3
    range_, earlier = (float(f.mean()) + width, float(f.mean()) + 2 * width), e[K:]
    fc6 = network_.get_submodule(network.resolve("fc6"))
    one_pass = shared(
        question(usual, Generator(generator_, generator.code_dim), range_, channels_last=False),
        codes[:K],
        earlier,
    )

    def frozen() -> Tensor:
        network_.requires_grad_(False)
        generator_.requires_grad_(False)
        return one_pass()

    naive = Naive(network_, generator_, fc6, range_, codes[:K], earlier)
    return {
        "naive": naive,
        "one pass": frozen,
        "ours": shared(question(network, generator, range_), codes[:K], earlier),
    }


def differences(found: dict[str, Step]) -> dict[str, float]:
    """Relative differences of the gradients from that of the first step."""
    gradients = {name: step().clone() for name, step in found.items()}
    first = gradients[next(iter(gradients))]
    return {name: float((g - first).norm() / first.norm()) for name, g in gradients.items()}


def main() -> None:
    """Compare gradients, measure, print and write."""
    arguments = parser(__doc__, "step", pairs=True).parse_args()
    clock = begin(arguments)
    keep_freed_memory()
    results: dict[str, Any] = {}
    for name in arguments.pair:
        found = steps(*pair(name), arguments.K)
        unlike = differences(found)
        if max(unlike.values()) > TOLERANCE:
            raise SystemExit(
                f"{name}: the gradients are not the same, relative differences {unlike}"
            )
        times = side_by_side(found, arguments.repeats, clock, f"{name}: naive, one pass, ours")
        first = times["naive"]
        results[name] = {
            label: {**t.as_dict(first), "gradient_differs_by": unlike[label]}
            for label, t in times.items()
        }
        for label, r in results[name].items():
            print(
                f"{name:9} {label:9} {r['milliseconds']['median']:7.0f} ms {clock}   ratio"
                f" {times[label].over(first)}   gradient differs by {unlike[label]:.0e}"
            )
        print(
            f"{name:9} goal {GOAL}:"
            f" {'met' if times['ours'].over(first).median <= GOAL else 'missed'}"
        )
    write(arguments, results)


if __name__ == "__main__":
    main()
