"""The natural region of code space: where the codes of real images lie.

Codes of real images have a mean, a covariance and a typical distance from the mean. In the whitened
coordinates of their principal components

    c = mean + basis · (scale * w)

real codes look like w ~ N(0, I), and the natural region is the ball |w| <= radius that holds a
given share of them. Codes are optimised in w and projected onto the ball, which bounds the
diversity objective and makes every step scale-free. PPGN's clipping to [0, 30] (Nguyen et al. 2017)
and DGN-AM's bounds per unit (Nguyen et al. 2016) are poorer forms of the idea; `Box` is that,
`Free` is the paper's unbounded code space.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import cached_property
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from invset.core.ball import WALK, Ball, InBall, send
from invset.core.components import principal_components
from invset.core.coordinates import Coordinates
from invset.core.options import Bounds, check_option
from invset.core.values import ByValue
from invset.errors import InvsetError


class Region(Protocol):
    """Coordinates u that a sampler moves in, and the part of them that it may use.

    Attributes:
        name: as in ``prior=``: "natural", "clip" or "none".
        dim: numbers in one u.
        scale: the unit of step lengths: typical distance of one coordinate from its mean, or 1 for
            the codes' own units.
        plain: whether coordinates are the codes themselves.
        walk: share of a fresh draw in the code that follows a sample, in (0, 1], where the sampler
            has none of its own.
    """

    @property
    def name(self) -> str: ...

    @property
    def dim(self) -> int: ...

    @property
    def scale(self) -> float: ...

    @property
    def plain(self) -> bool: ...

    @property
    def walk(self) -> float: ...

    def to(self, device: str | torch.device) -> Region:
        """The same on another device."""
        ...

    def decode(self, u: Tensor) -> Tensor:
        """Coordinates, with shape (B, dim), to codes, with shape (B, code_dim)."""
        ...

    def encode(self, codes: Tensor) -> Tensor:
        """Codes to coordinates; the nearest ones where no coordinates give just these codes."""
        ...

    def project(self, u: Tensor) -> Tensor:
        """The nearest coordinates inside the region."""
        ...

    def tangent(self, rows: Tensor, u: Tensor) -> Tensor:
        """Slopes, with shape (B, p, dim), without what `project` would take back from a step."""
        ...

    def sample(self, count: int, rng: torch.Generator) -> Tensor:
        """Draw `count` coordinates to start at."""
        ...

    def ways(self, rows: Tensor) -> Tensor:
        """Directions, with shape (B, p, dim), in which steps raise the activations with these
        slopes: the slopes themselves where every coordinate has the same weight.
        """
        ...

    def calm(self, u: Tensor) -> Tensor:
        """Where a step begins: u, or a little nearer to the middle, so that what the neuron does
        not need goes away.
        """
        ...

    def pace(self, age: Tensor) -> Tensor:
        """Share of the longest step that is allowed to codes that took so many already, with shape
        (B,).
        """
        ...

    def mixed(self, u: Tensor, fresh: Tensor, share: float) -> Tensor:
        """Coordinates between u (share 0) and `fresh` (share 1) that spread as these do; they may
        lie outside of the region.

            m + √(1 - share²) (u - m) + share (fresh - m)

        m is the middle of natural coordinates: 0 in the natural region.
        """
        ...

    def principal(self, count: int) -> Tensor | None:
        """The directions along which codes spread most, orthonormal rows with shape (count, dim);
        None where no direction is known to differ from the others.
        """
        ...


@dataclass(frozen=True, eq=False)
class CodePrior(ByValue, InBall):
    """The natural region: a ball in whitened principal components.

    Attributes:
        mean: with shape (code_dim,).
        basis: orthonormal principal directions as columns, with shape (code_dim, dim).
        deviation: standard deviation along each direction, with shape (dim,).
        radius: of the ball, in standard deviations, with shape ().
    """

    mean: Tensor
    basis: Tensor
    deviation: Tensor
    radius: Tensor

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if not isinstance(value, Tensor):
                object.__setattr__(self, one.name, torch.as_tensor(value).float())
        shapes = [tuple(getattr(self, one.name).shape) for one in fields(self)]
        wanted = [self.basis.shape[:1], self.basis.shape, self.basis.shape[1:], ()]
        if self.basis.ndim != 2 or shapes != [tuple(shape) for shape in wanted]:
            raise InvsetError(
                "a prior has a mean (code_dim,), a basis (code_dim, dim), a deviation (dim,) and a"
                f" radius (), not {', '.join(map(str, shapes))}"
            )

    @property
    def dim(self) -> int:
        return self.basis.shape[1]

    @classmethod
    def fit(cls, codes: Tensor, variance: float = 0.98, share: float = 0.95) -> CodePrior:
        """Fit to the codes of real images.

        Args:
            codes: a tensor or array with shape (N, code_dim), N well above the number of directions
                that are kept.
            variance: part of the total variance that the directions kept must hold, in (0, 1].
            share: part of the real codes that the ball must hold, in (0, 1].

        Raises:
            InvsetError: a number outside of these, or codes that are all equal.
        """
        check_option("variance", variance, "float", Bounds(above=0, at_most=1), 0.98)
        check_option("share", share, "float", Bounds(above=0, at_most=1), 0.95)
        x = torch.as_tensor(codes)
        finite = x.ndim == 2 and x.numel() and x.sum().isfinite()
        if not finite:
            raise InvsetError(
                f"codes are finite numbers with shape (N, code_dim), not of shape {tuple(x.shape)}"
            )
        if len(x) < 2 or not (x != x[0]).any():
            raise InvsetError(
                f"a prior needs codes that differ, not {len(x)} equal ones; give more pictures"
            )
        kept = principal_components(x, variance, torch.float32)
        deviation = kept.variance.sqrt()
        radius = (kept.along(x) / deviation).norm(dim=1).quantile(share)
        return cls(kept.mean.float(), kept.directions, deviation.float(), radius.float())

    @staticmethod
    def gaussian(code_dim: int, share: float = 0.95) -> Ball:
        """The region of codes that are N(0, I) by construction: see `Ball.holding`."""
        return Ball.holding(code_dim, share)

    def to(self, device: str | torch.device) -> CodePrior:
        """The same prior on another device."""
        return CodePrior(*(getattr(self, f.name).to(device) for f in fields(self)))

    def decode(self, u: Tensor) -> Tensor:
        return self.mean.to(u) + (u * self.deviation.to(u)) @ self.basis.to(u).T

    def encode(self, codes: Tensor) -> Tensor:
        return (codes - self.mean.to(codes)) @ self.basis.to(codes) / self.deviation.to(codes)

    def principal(self, count: int) -> Tensor:
        order = self.deviation.argsort(descending=True, stable=True)[:count]
        rows = torch.zeros(len(order), self.dim, device=order.device)
        return rows.scatter_(1, order.unsqueeze(1), 1)


@dataclass(frozen=True, eq=False)
class Box(ByValue, Coordinates):
    """Codes between bounds: PPGN's [0, 30], DGN-AM's bounds per unit, or the pixels' [0, 1].

    Attributes:
        low, high: a number, or one per unit, with shape (code_dim,).
        start: codes drawn from, with shape (N, code_dim): real or random ones.
    """

    low: float | Tensor
    high: float | Tensor
    start: Tensor
    name: ClassVar[str] = "clip"
    plain: ClassVar[bool] = True
    walk: ClassVar[float] = WALK

    @property
    def dim(self) -> int:
        return self.start.shape[1]

    def to(self, device: str | torch.device) -> Box:
        """The same on another device."""
        low, high = (
            end.to(device) if isinstance(end, Tensor) else end for end in (self.low, self.high)
        )
        return Box(low, high, self.start.to(device))

    @cached_property
    def middle(self) -> Tensor:
        """Mean of the start codes, with shape (code_dim,)."""
        return self.start.mean(0)

    @cached_property  # reading it waits for the device, so once
    def scale(self) -> float:
        spread = self.start.std(0, correction=0).square().mean().sqrt().item()
        return spread or 1.0  # one start code, or equal ones, have no spread

    def project(self, u: Tensor) -> Tensor:
        low, high = (end.to(u) if isinstance(end, Tensor) else end for end in (self.low, self.high))
        return u.clamp(min=low).clamp(
            max=high
        )  # in two calls, as one end may be a number and the other a tensor

    def principal(self, count: int) -> Tensor | None:
        if len(self.start) <= count:  # so few codes span no such directions
            return None
        found = principal_components(self.start).directions.T[:count]
        return found if len(found) == count else None

    def sample(self, count: int, rng: torch.Generator) -> Tensor:
        # without replacement: two equal codes would move together for ever
        rounds = -(-count // len(self.start))
        index = torch.cat(
            [
                torch.randperm(len(self.start), generator=rng, device=rng.device)
                for _ in range(rounds)
            ]
        )[:count]
        return self.project(self.start[send(index, self.start.device)])

    def mixed(self, u: Tensor, fresh: Tensor, share: float) -> Tensor:
        middle = self.middle.to(u)  # about it, the mixture spreads as both do
        return middle + math.sqrt(1 - share**2) * (u - middle) + share * (fresh - middle)


class Free(Box):
    """The whole code space, as published: nothing is projected, and steps are in the codes' own
    units.
    """

    name: ClassVar[str] = "none"
    scale: ClassVar[float] = 1.0  # type: ignore[misc]

    def __init__(self, start: Tensor) -> None:
        super().__init__(-math.inf, math.inf, start)

    def to(self, device: str | torch.device) -> Free:
        """The same on another device."""
        return Free(self.start.to(device))

    def project(self, u: Tensor) -> Tensor:
        return u
