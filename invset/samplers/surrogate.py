"""A Gaussian process in place of the network, and where to look next: all that is BoTorch's.

The process is BoTorch's default (a squared exponential kernel, a length scale for each axis, priors
after Hvarfner et al. 2024). Acquisition functions are those of Ament et al. 2023 (logarithms, whose
slope does not vanish where an improvement is unlikely).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from invset.errors import InvsetError

#: Steps of L-BFGS when processes are fitted, which goes on from the fit before.
FIT_STEPS = 20

#: Draws that expectations of a batch are taken over, of a quasi-random sequence.
DRAWS = 64


def botorch() -> Any:
    """BoTorch, imported when it is first needed.

    Raises:
        InvsetError: it is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what it imports
            import botorch.acquisition.analytic
            import botorch.acquisition.logei
            import botorch.optim.fit
            import botorch.utils.sampling
    except ImportError as error:
        raise InvsetError(
            "sampler=bayesian needs BoTorch; type pip install 'invset[bo]'"
        ) from error
    return botorch


@contextmanager
def alone(seed: int) -> Iterator[None]:
    """Let BoTorch take gradients, and draw from PyTorch's own generator, which is afterwards as it
    was.
    """
    with torch.random.fork_rng(devices=[]), torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of L-BFGS, whose steps end before it is at rest
        torch.manual_seed(seed)
        yield


@dataclass(frozen=True)
class Hunt:
    """How the points are found at which an acquisition function is largest.

    Attributes:
        bounds: of the box to look in, with shape (2, d).
        draws: points of a quasi-random sequence, or batches of points, to look at first.
        starts: the best of them, at which L-BFGS starts.
        climb: steps of L-BFGS; 0: the best draw is taken.
        seed: of all draws.
    """

    bounds: Tensor
    draws: int
    starts: int
    climb: int
    seed: int

    def top(self, gain: Any, count: int) -> Tensor:
        """The best batch, with shape (count, d)."""
        library = botorch()
        drawn = library.utils.sampling.draw_sobol_samples(
            self.bounds, self.draws, count, seed=self.seed
        )
        with torch.no_grad():
            order = gain(drawn).argsort(descending=True, stable=True)
        if self.climb == 0:
            return drawn[order[0]]
        found, _ = library.optim.optimize_acqf(
            gain,
            self.bounds,
            q=count,
            num_restarts=min(self.starts, self.draws),
            batch_initial_conditions=drawn[order[: self.starts]],
            options={"maxiter": self.climb},
            retry_on_optimization_warning=False,
        )
        return found.detach()

    @property
    def sampler(self) -> Any:
        """Of the outcomes of a batch."""
        normal = botorch().sampling.normal.SobolQMCNormalSampler
        return normal(torch.Size([DRAWS]), seed=self.seed)


@dataclass(frozen=True)
class Surrogate:
    """Independent Gaussian processes of several outcomes.

    Attributes:
        model: BoTorch's, of standardised outcomes.
        mean, sd: of each outcome before, with shape (m,).
    """

    model: Any
    mean: Tensor
    sd: Tensor

    @classmethod
    def fitted(cls, x: Tensor, y: Tensor, before: dict[str, Tensor]) -> Surrogate:
        """Fit to points in the unit cube, with shape (N, d), and outcomes, with shape (N, m).

        Args:
            x: points, float64.
            y: outcomes, float64.
            before: `parameters` of an earlier fit to start at; others are left aside.
        """
        library = botorch()
        mean = y.mean(0)
        sd = y.std(0, correction=0)
        sd = torch.where(sd > 0, sd, torch.ones_like(sd))
        model = library.models.SingleTaskGP(x, (y - mean) / sd, outcome_transform=None)
        named = dict(model.named_parameters())
        if {k: v.shape for k, v in named.items()} == {k: v.shape for k, v in before.items()}:
            model.load_state_dict(before, strict=False)
        from gpytorch.mlls import ExactMarginalLogLikelihood

        likelihood = ExactMarginalLogLikelihood(model.likelihood, model)
        library.optim.fit.fit_gpytorch_mll_scipy(likelihood, options={"maxiter": FIT_STEPS})
        return cls(model.eval().requires_grad_(False), mean, sd)

    @property
    def parameters(self) -> dict[str, Tensor]:
        """Of the fit, by their names in GPyTorch."""
        return {name: value.detach().clone() for name, value in self.model.named_parameters()}

    def lengths(self, outcomes: int) -> Tensor:
        """Length scales of the first outcomes, their geometric mean, with shape (d,)."""
        found = self.model.covar_module.lengthscale.detach()
        return found.view(-1, found.shape[-1])[:outcomes].log().mean(0).exp()

    def standard(self, value: Tensor, outcome: int) -> Tensor:
        """A value of an outcome in the model's units."""
        return (value - self.mean[outcome]) / self.sd[outcome]

    def best(self, hunt: Hunt, count: int, best: Tensor) -> Tensor:
        """The batch with the largest log expected improvement of outcome 0, with shape (count, d).

        Args:
            hunt: how to look for it.
            count: points of the batch, which are chosen together.
            best: outcome 0 so far.
        """
        logei = botorch().acquisition.logei
        top = self.standard(best, 0)
        gain = logei.qLogExpectedImprovement(self.model, top, sampler=hunt.sampler)
        return hunt.top(gain, count)

    def feasible(self, hunt: Hunt, count: int, ends: Tensor) -> Tensor:
        """The batch that most likely has a point inside all ranges, with shape (count, d).

        Args:
            hunt, count: as of `best`.
            ends: of the range of each outcome, with shape (m, 2).
        """
        logei = botorch().acquisition.logei
        sides = [side for j in range(len(ends)) for side in self._sides(j, ends[j])]
        chance = logei.qLogProbabilityOfFeasibility(self.model, sides, sampler=hunt.sampler)
        return hunt.top(chance, count)

    def _sides(self, outcome: int, ends: Tensor) -> list[Callable[[Tensor], Tensor]]:
        """Functions of draws that are below 0 inside."""
        low = self.standard(ends[0], outcome)
        high = self.standard(ends[1], outcome)
        return [lambda y: low - y[..., outcome], lambda y: y[..., outcome] - high]

    def farthest(self, hunt: Hunt, count: int, ends: Tensor) -> Tensor:
        """Points one after the other, each with the largest log expected improvement of the last
        outcome over 0, which is a distance, times the chance to be inside all ranges; with shape
        (count, d).

        The next point takes the one before for a sample: its distance is 0, and its other
        outcomes are as expected.

        Args:
            hunt, count: as of `best`.
            ends: of the range of each outcome but the last, with shape (m - 1, 2).
        """
        analytic = botorch().acquisition.analytic
        last = len(ends)
        zero = self.standard(torch.zeros_like(self.mean[last]), last)
        ranges = {
            j: (self.standard(low, j).item(), self.standard(high, j).item())
            for j, (low, high) in enumerate(ends)
        }
        model = self.model
        chosen: list[Tensor] = []
        while len(chosen) < count:
            gain = analytic.LogConstrainedExpectedImprovement(model, zero, last, ranges)
            chosen.append(hunt.top(gain, 1))
            if len(chosen) < count:
                expected = model.posterior(chosen[-1]).mean.detach().clone()
                expected[:, last] = zero
                model = model.condition_on_observations(chosen[-1], expected)
        return torch.cat(chosen)
