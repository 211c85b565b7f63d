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

    With a goal other than a range, row i holds the best code of search i so far (`best`), and a row
    that is not used yet has step -1.

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

        counts = (numbers(n + 1) - 1, numbers(n + 1), numbers(n + 1), numbers())
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

    def best(
        self,
        chosen: Tensor,
        seen: Seen,
        search: Tensor,
        loss: Callable[[Tensor], Tensor],
        step: int = 0,
        origin: int = 0,
    ) -> Kept:
        """Take, for each search, the best of its chosen rows where it beats what is kept of it.

        Args:
            chosen: rows that may be taken, a boolean with shape (B,).
            seen: the rows.
            search: number from 0 of the search of each row, with shape (B,); rows of those from n
                on are dropped.
            loss: activations, with shape (B, p), to what is minimised, with shape (B,).
            step: of these rows.
            origin: of these rows.
        """
        places = torch.arange(self.n + 1, device=search.device)
        mine = chosen & (search == places[:-1].unsqueeze(1))  # (n, B)
        lowest, row = torch.where(mine, loss(seen.f.detach()), torch.inf).min(1)
        used = self.step[:-1] >= 0
        better = mine.any(1) & (~used | (lowest < loss(self.f[:-1])))
        better = torch.cat([better, better.new_zeros(1)])  # the last row stays unused
        row = torch.cat([row, row.new_zeros(1)])

        def taken(old: Tensor, new: Tensor) -> Tensor:
            where = better.unsqueeze(1) if old.ndim == 2 else better
            return torch.where(where, new.detach().to(old.dtype), old)

        return Kept(
            u=taken(self.u, seen.u[row]),
            f=taken(self.f, seen.f[row]),
            e=taken(self.e, seen.e[row]),
            step=taken(self.step, torch.full_like(self.step, step)),
            parent=taken(self.parent, places),
            origin=taken(self.origin, torch.full_like(self.origin, origin)),
            count=(used | better[:-1]).sum(),
        )

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
        rows = (self.step[:-1] >= 0).nonzero().squeeze(1)[: int(self.count)]
        return {f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name != "count"}
