"""Between moving and fixed views of robust neurons: what one promised, and what the other shows.

Steps on moving views aim for a level of the fixed ones, which alone decide. The two differ by
chance, and by much more where moving views are smaller: f̄ is then some multiple of what it is in
fixed views. The ratio is measured whenever views come to rest, from all codes together, and costs
no pass.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from invset.core.target import Seen, Target

#: How far one measurement may change the ratio, either way.
_MOST = 4.0


@dataclass(frozen=True)
class Gap:
    """The gap so far.

    Attributes:
        ratio: of f̄ in fixed views to that in moving views, with shape (p,); `Moving.ratio` before
            it is known.
        promised: f̄ in fixed views that the latest step of each code was to end at, with shape (K,
            p).
        slopes: of that step, with shape (K, p, dim); (K, p, 0) where views never move.
    """

    ratio: Tensor
    promised: Tensor
    slopes: Tensor

    @classmethod
    def empty(cls, u: Tensor, target: Target) -> Gap:
        """Before the first step.

        Args:
            u: coordinates, with shape (K, dim).
            target: what is sampled.
        """
        moving = target.moving
        ratio = 1.0 if moving is None else moving.ratio
        slopes = u.new_zeros(len(u), target.p, 0 if moving is None else u.shape[1])
        return cls(u.new_full((target.p,), ratio), u.new_zeros(len(u), target.p), slopes)

    def rows(self, chosen: Tensor) -> Gap:
        """Some of the codes, by their row numbers."""
        return replace(self, promised=self.promised[chosen], slopes=self.slopes[chosen])

    def averaged(self, slopes: Tensor, momentum: float, known: Tensor) -> Tensor:
        """Slopes of f̄ in fixed views, evened out over steps, each of which has views of its own.

        Args:
            slopes: of this step in moving views, with shape (K, p, dim).
            momentum: share of the earlier ones.
            known: the codes that have earlier ones, a boolean with shape (K,).
        """
        mean = torch.where(known.view(-1, 1, 1), slopes.lerp(self.slopes, momentum), slopes)
        return mean * self.ratio.unsqueeze(1)

    def read(
        self, seen: Seen, slopes: Tensor, momentum: float, known: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Activations in fixed views, with shape (K, p), and their slopes, with shape (K, p, dim):
        as they were seen, or as moving views let expect them.

        Args:
            seen: a look.
            slopes: its slopes.
            momentum: share of the earlier slopes.
            known: the codes that have earlier ones, a boolean with shape (K,).
        """
        f = seen.f.detach()
        if not seen.moving:
            return f, slopes
        return f * self.ratio, self.averaged(slopes, momentum, known)

    def after(self, promised: Tensor, slopes: Tensor) -> Gap:
        """After a step on moving views; `slopes` are those of f̄ in fixed views."""
        return replace(self, promised=promised, slopes=slopes / self.ratio.unsqueeze(1))

    def measured(self, f: Tensor, known: Tensor) -> Gap:
        """After a look at fixed views.

        Args:
            f: f̄ in fixed views, with shape (K, p).
            known: the codes with a promise, a boolean with shape (K,).
        """
        promised = self.promised * known.unsqueeze(1)
        square = promised.square().sum(0)
        # the line through the origin that fits best
        change = (f * promised).sum(0) / square.clamp_min(1e-30)
        change = torch.where(square > 0, change.clamp(1 / _MOST, _MOST), 1.0)
        return replace(self, ratio=self.ratio * change)


@dataclass(frozen=True)
class Phase:
    """What a step is among the steps of a run.

    Attributes:
        moving: whether it looks at moving views.
        rests: whether it is the first on fixed views after some on moving ones.
        pushes: whether it goes towards more diversity, too.
    """

    moving: bool
    rests: bool
    pushes: bool

    @classmethod
    def of(cls, target: Target, steps: int, moving: int, fixed: int, pushes: bool) -> Phase:
        """Of step number `steps`."""
        if target.moving is None:
            return cls(False, False, pushes)
        rests = comes_to_rest(steps, moving, fixed)
        return cls(moves(target, steps, moving, fixed), rests, pushes)


def moves(target: Target, steps: int, moving: int, fixed: int) -> bool:
    """Whether step number `steps` of rounds of `moving` and `fixed` steps looks at moving views."""
    return target.moving is not None and steps % (moving + fixed) < moving


def comes_to_rest(steps: int, moving: int, fixed: int) -> bool:
    """Whether step number `steps` is the first on fixed views after some on moving ones."""
    return steps % (moving + fixed) == moving > 0


def none_of(codes: Tensor) -> Tensor:
    """No code of a batch: a boolean with shape (K,)."""
    return torch.zeros(len(codes), dtype=torch.bool, device=codes.device)
