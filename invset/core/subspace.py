"""A few directions of code space: where a method moves that can't move in all of them.

    u = P(origin + Σ_j (low_j + x_j (high_j - low_j)) v_j),     x in [0, 1]^d

with orthonormal directions v_j and the projection P onto the region. The directions are the
region's principal ones, or random (Wang et al. 2013, REMBO, with directions made orthonormal). The
origin is a draw of the region without its part along the directions, so that the points with the
spread of draws are as natural as draws.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from invset.core.ball import send
from invset.core.space import Region
from invset.errors import InvsetError

#: Draws of the region that say how far it reaches.
DRAWS = 256

#: How far points may lie from the middle, in half the extent of the draws.
REACH = 1.1

#: Most numbers in a code of which all are used under "auto", and numbers of a subspace there.
SMALL = 20
FEW = 16

#: Most numbers in a code of which all may be used: a matrix of as many rows and columns is made.
MOST = 4096


@dataclass(frozen=True)
class Kind:
    """What kind of subspace.

    Attributes:
        name: "auto", "none" (all directions), "pca" or "random".
        count: directions; 0 where the name says it.
    """

    name: str
    count: int = 0

    @classmethod
    def of(cls, text: str) -> Kind:
        """From what a person types: auto, none, pca:16 or random:16.

        Raises:
            InvsetError: something else.
        """
        name, colon, count = text.partition(":")
        plain = name in ("auto", "none") and not colon
        counted = name in ("pca", "random") and count.isascii() and count.isdigit() and int(count)
        if not plain and not counted:
            raise InvsetError(
                f"sampler.subspace is auto, none, pca:16 or random:16 with any number above 0, not"
                f" {text}"
            )
        return cls(name, int(count or 0))

    def within(self, space: Region) -> Kind:
        """The kind in a region: "auto" is decided.

        Raises:
            InvsetError: the region has no such directions.
        """
        if space.dim <= (MOST if self.name == "none" else SMALL if self.name == "auto" else 0):
            return Kind("none", space.dim)
        if self.name == "auto":
            return Kind("random" if space.principal(FEW) is None else "pca", FEW)
        if self.name == "none" and space.dim > MOST:
            raise InvsetError(
                f"sampler.subspace=none is for codes of at most {MOST} numbers, and here they have"
                f" {space.dim}; type sampler.subspace=random:{FEW}"
            )
        if self.count > space.dim:
            raise InvsetError(
                f"sampler.subspace={self.name}:{self.count} is more than the {space.dim} numbers of"
                " a code; type sampler.subspace=none for all of them"
            )
        if self.name == "pca" and space.principal(self.count) is None:
            raise InvsetError(
                "sampler.subspace=pca needs a region whose codes spread more in some directions,"
                f" and here all are alike; type sampler.subspace=random:{self.count}"
            )
        return self


@dataclass(frozen=True)
class Subspace:
    """Directions with bounds.

    Attributes:
        origin: with shape (dim,).
        directions: orthonormal rows, with shape (d, dim).
        low, high: of the points along each, in coordinates' units, each with shape (d,).
    """

    origin: Tensor
    directions: Tensor
    low: Tensor
    high: Tensor

    @classmethod
    def drawn(cls, kind: Kind, space: Region, rng: torch.Generator) -> Subspace:
        """A subspace of a kind that was decided by `Kind.within`."""
        draws = space.sample(DRAWS, rng)
        directions = _directions(kind, space, draws, rng)
        along = draws @ directions.T
        origin = draws[0] - along[0] @ directions
        if kind.name == "none":
            origin = torch.zeros_like(origin)
        low, high = along.amin(0), along.amax(0)
        middle, half = (low + high) / 2, REACH * (high - low) / 2
        half = torch.where(half > 0, half, torch.full_like(half, space.scale))
        return cls(origin, directions, middle - half, middle + half)

    def lift(self, x: Tensor, space: Region) -> Tensor:
        """Points, with shape (B, d), to coordinates, with shape (B, dim)."""
        s = send(x, self.low.device).to(self.low)
        return space.project(
            self.origin + (self.low + s * (self.high - self.low)) @ self.directions
        )

    def points(self, u: Tensor) -> Tensor:
        """Coordinates, with shape (B, dim), to the points in [0, 1]^d that are nearest along the
        directions.
        """
        along = u @ self.directions.T
        return ((along - self.low) / (self.high - self.low)).clamp(0, 1)


def _directions(kind: Kind, space: Region, draws: Tensor, rng: torch.Generator) -> Tensor:
    """Orthonormal rows, with shape (d, dim)."""
    if kind.name == "none":
        return torch.eye(space.dim, dtype=draws.dtype, device=draws.device)
    if kind.name == "pca":
        principal = space.principal(kind.count)
        assert principal is not None
        return principal.to(draws)
    drawn = torch.randn(space.dim, kind.count, generator=rng, dtype=torch.float64)
    return torch.linalg.qr(drawn).Q.T.contiguous().to(draws)
