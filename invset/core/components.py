"""Principal components: the one place where they are computed.

Of N rows with d numbers the smaller of two matrices is decomposed: the covariance (d × d), or the
rows' inner products (N × N), whose eigenvectors u give the directions Xᵀu / |Xᵀu|. Only what is
wanted of the directions is ever there, and copies of the rows are there a block at a time: codes
have 65,536 numbers today.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

#: Numbers in a block: 8 MB in float64.
_BLOCK = 1 << 20

#: Directions with less of the largest variance than this have none.
_NONE = 1e-12

#: Directions with less of it are made orthogonal once more: their rounding errors are larger.
_LITTLE = 1e-6


@dataclass(frozen=True)
class Components:
    """Orthonormal directions of N rows with d numbers, by falling variance.

    Attributes:
        mean: with shape (d,), in float64.
        directions: as columns, with shape (d, r), r at most min(N, d): all that have variance, at
            least 1e-12 of the largest one, or the first of them. The largest entry of each is
            positive.
        variance: along each direction, with shape (r,), in float64.
    """

    mean: Tensor
    directions: Tensor
    variance: Tensor

    def along(self, x: Tensor) -> Tensor:
        """Places of rows, with shape (N, d), along the directions, with shape (N, r)."""
        found = self.mean.new_zeros(len(x), len(self.variance))
        step = _step(max(x.shape[0], len(self.variance)))
        rows = _columns(self.directions.T, None, step)
        for (_, part), (_, ways) in zip(_columns(x, self.mean, step), rows, strict=True):
            found.addmm_(part, ways.T)
        return found


def principal_components(
    x: Tensor, share: float | None = None, dtype: torch.dtype = torch.float64
) -> Components:
    """Components of rows, computed in float64.

    Args:
        x: with shape (N, d), N >= 2.
        share: the fewest directions are given that hold this part of the variance, in (0, 1]; None:
            all that have any.
        dtype: of the directions.
    """
    mean = torch.empty(x.shape[1], dtype=torch.float64, device=x.device)
    for some, part in _columns(x, None):
        mean[some] = part.mean(0)
    dual = len(x) <= x.shape[1]
    values, vectors = torch.linalg.eigh(_of_rows(x, mean) if dual else _of_columns(x, mean))
    variance = values.flip(0).clamp_min(0) / (len(x) - 1)
    count = _holding(variance, share)
    variance = variance[:count]
    chosen = vectors.flip(1)[:, :count].contiguous()
    directions = _directions(x, mean, chosen, dtype) if dual else chosen.to(dtype)
    if dual and count and variance[-1] < _LITTLE * variance[0]:
        _make_orthonormal(directions)
    # the sign of an eigenvector is arbitrary: fixed here, so that every machine agrees
    upward = directions.amax(0) >= -directions.amin(0)
    return Components(mean, directions.mul_(upward.to(dtype).mul_(2).sub_(1)), variance)


def _holding(variance: Tensor, share: float | None) -> int:
    """How many directions have variance; the fewest that hold a share of it."""
    varied = int((variance > _NONE * variance[0]).sum())
    if share is None:
        return varied
    part = variance.cumsum(0) / variance.sum().clamp_min(1e-300)
    return min(int((part < share).sum()) + 1, varied)


def _of_rows(x: Tensor, mean: Tensor | None) -> Tensor:
    """Inner products of the centred rows, with shape (N, N)."""
    found = torch.zeros(len(x), len(x), dtype=torch.float64, device=x.device)
    for _, part in _columns(x, mean):
        found.addmm_(part, part.T)
    return found


def _of_columns(x: Tensor, mean: Tensor) -> Tensor:
    """Inner products of the centred columns, with shape (d, d)."""
    found = mean.new_zeros(len(mean), len(mean))
    for _, part in _columns(x.T, None):
        part.sub_(mean.unsqueeze(1))
        found.addmm_(part, part.T)
    return found


def _directions(x: Tensor, mean: Tensor, vectors: Tensor, dtype: torch.dtype) -> Tensor:
    """Unit columns Xᵀu / |Xᵀu| of the centred rows X, with shape (d, r)."""
    found = x.new_empty(x.shape[1], vectors.shape[1], dtype=dtype)
    square = mean.new_zeros(vectors.shape[1])
    block = mean.new_empty(_step(len(x)), vectors.shape[1])
    for some, part in _columns(x, mean):
        along = torch.mm(part.T, vectors, out=block[: part.shape[1]])
        found[some] = along
        square += along.square_().sum(0)
    return found.div_(square.sqrt().to(dtype))  # float64 would copy all of it


def _make_orthonormal(directions: Tensor) -> None:
    """Columns that nearly are, in place, by their Cholesky factor."""
    rows = directions.T
    factor = torch.linalg.cholesky(_of_rows(rows, None))
    for some, part in _columns(rows, None):
        rows[:, some] = torch.linalg.solve_triangular(factor, part, upper=False).to(rows)


def _columns(
    x: Tensor, mean: Tensor | None, step: int | None = None
) -> Iterator[tuple[slice, Tensor]]:
    """Columns of x, without their mean, in float64, some at a time: where they are, and what."""
    step = step or _step(len(x))
    # one block for all: an allocator does not give back what is freed between other things
    block = torch.empty(len(x), min(step, x.shape[1]), dtype=torch.float64, device=x.device)
    for begin in range(0, x.shape[1], step):
        some = slice(begin, min(begin + step, x.shape[1]))
        part = block[:, : some.stop - begin].copy_(x[:, some])
        yield some, part if mean is None else part.sub_(mean[some])


def _step(rows: int) -> int:
    """Columns in a block."""
    return max(1, _BLOCK // max(1, rows))
