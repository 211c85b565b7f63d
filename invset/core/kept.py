"""The samples that a sampler has kept so far, in buffers that are written without asking the device
how many there are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from invset.core.target import InverseSet


@dataclass(frozen=True)
class Kept:
    """Up to n samples; rows from `count` on are unused.

    Each buffer has n + 1 rows: what is to be dropped is written to the last one, so that no step
    has to branch.

    Attributes:
        u: coordinates, with shape (n + 1, dim).
        f: activations, with shape (n + 1, p).
        e: encodings, with shape (n + 1, d).
        step: gradient step at which the sample was taken, with shape (n + 1,).
        parent: row of the batch, or number of the seed, that it came from, with shape (n + 1,).
        count: samples kept, with shape ().
    """

    u: Tensor
    f: Tensor
    e: Tensor
    step: Tensor
    parent: Tensor
    count: Tensor

    @classmethod
    def empty(cls, n: int, u: Tensor, f: Tensor, e: Tensor) -> Kept:
        """Buffers for n samples like the rows of `u`, `f` and `e`."""
        rows = [torch.zeros(n + 1, x.shape[1], dtype=x.dtype, device=x.device) for x in (u, f, e)]
        numbers = [
            torch.zeros(shape, dtype=torch.long, device=u.device)
            for shape in ((n + 1,), (n + 1,), ())
        ]
        return cls(*rows, *numbers)

    @property
    def n(self) -> int:
        return len(self.step) - 1

    def add(
        self, chosen: Tensor, u: Tensor, f: Tensor, e: Tensor, step: int, parent: Tensor
    ) -> Kept:
        """Append the rows where `chosen` (boolean, with shape (B,)); what comes after the n-th is
        dropped.

        Rows below `count` are never written again, so an earlier `Kept` stays as it was.
        """
        row = self.count + chosen.long().cumsum(0) - 1
        row = torch.where(chosen & (row < self.n), row, self.n)
        for buffer, value in ((self.u, u), (self.f, f), (self.e, e), (self.parent, parent)):
            buffer.index_copy_(0, row, value.detach().to(buffer.dtype))
        self.step.index_fill_(0, row, step)
        count = (self.count + chosen.sum()).clamp_max(self.n)
        return Kept(self.u, self.f, self.e, self.step, self.parent, count)

    @torch.no_grad()
    def confirmed(
        self, target: InverseSet, since: Kept, batch_size: int, inside: Callable[[Tensor], Tensor]
    ) -> Kept:
        """The samples, those since an earlier state measured again without a gradient: who is not
        inside then goes.

        Only where passes that will be differentiated are not exact; it waits for the device, so
        once a round.

        Args:
            target: the inverse set.
            since: an earlier state of these samples, which stays as it is.
            batch_size: samples a pass.
            inside: activations, with shape (B, p), to a boolean with shape (B,).
        """
        if target.exact:
            return self
        first, last = int(since.count), int(self.count)
        if first == last:
            return self
        f, e = (
            torch.cat(parts)
            for parts in zip(*map(target, self.u[first:last].split(batch_size)), strict=True)
        )
        stay = inside(f).nonzero().squeeze(1)
        for buffer, value in ((self.u, self.u[first:last]), (self.f, f), (self.e, e)):
            buffer[first : first + len(stay)] = value[stay]
        for numbers in (self.step, self.parent):
            numbers[first : first + len(stay)] = numbers[first:last][stay]
        return replace(self, count=since.count + len(stay))

    def trimmed(self) -> dict[str, Tensor]:
        """The rows in use, by name; reads `count` back from the device."""
        count = int(self.count)
        return {f.name: getattr(self, f.name)[:count] for f in fields(self) if f.name != "count"}
