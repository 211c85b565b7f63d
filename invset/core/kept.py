"""The samples that a run has kept so far, in buffers that are written without asking the device how
many there are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from invset.core.target import Seen, Target


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
        origin: number from 0 of the word in `Sampler.origins`, with shape (n + 1,).
        count: samples kept, with shape ().
    """

    u: Tensor
    f: Tensor
    e: Tensor
    step: Tensor
    parent: Tensor
    origin: Tensor
    count: Tensor

    @classmethod
    def empty(cls, n: int, like: Seen) -> Kept:
        """Buffers for n samples like the rows of `like`."""

        def rows(x: Tensor) -> Tensor:
            return torch.zeros(n + 1, x.shape[1], dtype=x.dtype, device=x.device)

        def numbers(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.long, device=like.u.device)

        counts = (numbers(n + 1), numbers(n + 1), numbers(n + 1), numbers())
        return cls(rows(like.u), rows(like.f), rows(like.e), *counts)

    @property
    def n(self) -> int:
        return len(self.step) - 1

    def add(
        self, chosen: Tensor, seen: Seen, parent: Tensor, step: int = 0, origin: int = 0
    ) -> Kept:
        """Append the rows where `chosen` (boolean, with shape (B,)); what comes after the n-th is
        dropped.

        Rows below `count` are never written again, so an earlier `Kept` stays as it was.
        """
        row = self.count + chosen.long().cumsum(0) - 1
        row = torch.where(chosen & (row < self.n), row, self.n)
        values = ((self.u, seen.u), (self.f, seen.f), (self.e, seen.e), (self.parent, parent))
        for buffer, value in values:
            buffer.index_copy_(0, row, value.detach().to(buffer.dtype))
        self.step.index_fill_(0, row, step)
        self.origin.index_fill_(0, row, origin)
        return replace(self, count=(self.count + chosen.sum()).clamp_max(self.n))

    def or_more(self, other: Kept) -> Kept:
        """These samples, or the others where those are more."""
        fewer = self.count < other.count
        pairs = {f.name: (getattr(other, f.name), getattr(self, f.name)) for f in fields(self)}
        return Kept(**{name: torch.where(fewer, *pair) for name, pair in pairs.items()})

    def confirmed(
        self, target: Target, since: int, batch_size: int, accepts: Callable[[Tensor], Tensor]
    ) -> Kept:
        """The samples, those from number `since` on measured again without a gradient: those that
        are not accepted are dropped.

        Only where passes that will be differentiated are not exact. It waits for the device, so the
        driver calls it once a look.

        Args:
            target: the inverse set.
            since: samples that were confirmed before; they stay as they are.
            batch_size: samples a pass.
            accepts: activations, with shape (B, p), to a boolean with shape (B,).
        """
        last = int(self.count)
        if since >= last:
            return self
        parts = [target.look(u) for u in self.u[since:last].split(batch_size)]
        f = torch.cat([seen.f for seen in parts])
        e = torch.cat([seen.e for seen in parts])
        stay = accepts(f).nonzero().squeeze(1)
        end = since + len(stay)
        for buffer, value in ((self.u, self.u[since:last]), (self.f, f), (self.e, e)):
            buffer[since:end] = value[stay]
        for numbers in (self.step, self.parent, self.origin):
            numbers[since:end] = numbers[since:last][stay]
        return replace(self, count=since + torch.zeros_like(self.count) + len(stay))

    def trimmed(self) -> dict[str, Tensor]:
        """The rows in use, by name; reads `count` back from the device."""
        count = int(self.count)
        return {f.name: getattr(self, f.name)[:count] for f in fields(self) if f.name != "count"}
