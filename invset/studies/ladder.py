"""``sampler=ladder``: the same starting codes taken through several ranges; one column a code, one
row a range.

Down a column only the activation changes, and the code moves no farther than it must: one sees what
the neuron adds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from invset.core.checks import check_range
from invset.core.gauss_newton import gauss_newton_step, jacobian, tangent
from invset.core.kept import Kept
from invset.core.options import option
from invset.core.target import ActivationRange, InverseSet
from invset.errors import InvsetError
from invset.samplers.base import State, Status, closest, extent
from invset.samplers.stream import MARGIN

#: Passes between two looks at who has arrived.
LOOK = 4


@dataclass(frozen=True)
class Ladder:
    """K codes through every range, each rung by Gauss-Newton steps from the same start.

    Attributes:
        K: columns.
        ranges: (z1, z2) of each row, in raw activation units; of one neuron.
        mu0: penalty of the Gauss-Newton steps, constant; see `invset.core.gauss_newton`.
        tolerance: distance from its level at which a code has arrived, as a share of the width.
        longest: limit of one step, in standard deviations in root mean square.
        max_age: steps for one rung.
        spare: codes that are tried for each column; the ones that reach most rungs are kept.
    """

    K: int = option(20, at_least=1)
    ranges: Sequence[Sequence[float]] = ()
    mu0: float = option(1e3, above=0)
    tolerance: float = option(0.25, at_least=0)
    longest: float = option(0.4, at_least=0)
    max_age: int = option(40, at_least=1)
    spare: float = option(1.5, at_least=0)

    columns = ("f_min", "f_mean", "f_max", "rung", "arrived")

    def __post_init__(self) -> None:
        if not self.ranges:
            raise InvsetError(
                "a ladder needs ranges; type for example 'sampler.ranges=[[1,2],[3,4],[5,6]]'"
            )
        for ends in self.ranges:
            check_range(*ends)
        if self.K < 1:
            raise InvsetError(
                f"K must be a whole number of at least 1, not {self.K}; for example K=20"
            )

    @property
    def n(self) -> int:
        """Most samples that there can be: one a cell."""
        return self.K * len(self.ranges)

    def init(self, target: InverseSet, rng: torch.Generator) -> State:
        if target.p != 1:
            raise InvsetError(
                f"a ladder is for one neuron, not {target.p}; use sampler=stream for intersections"
            )
        u = target.region.sample(max(self.K, round(self.K * self.spare)), rng)
        with torch.no_grad():
            f, e = target(u)
        # every column has its place in the range, the same on every rung
        place = (
            (torch.arange(len(u), device=u.device) * 0.6180339887 + 0.5).frac().to(u).unsqueeze(1)
        )
        extra: dict[str, Any] = {"rung": 0, "start": u, "place": place, "rungs": [], "cells": []}
        return State(
            u, Kept.empty(self.n, u, f, e), 0, 0, Status.RUNNING, closest(target, f[0], f), extra
        )

    def round(self, target: InverseSet, state: State, rng: torch.Generator) -> tuple[State, Tensor]:
        """Take all codes to the next rung."""
        x = dict(state.extra)
        range_ = ActivationRange.of([tuple(self.ranges[x["rung"]])], state.u)  # type: ignore[list-item]
        level = range_.z1 + (MARGIN + (1 - 2 * MARGIN) * x["place"]) * range_.width
        u = x["start"].clone()
        f, e = torch.full_like(level, torch.nan), state.kept.e[:1].expand(len(u), -1).clone()
        arrived = torch.zeros(len(u), dtype=torch.bool, device=u.device)
        rows, code_steps = [], 0
        for _ in range(0, self.max_age, LOOK):
            active = (
                (~arrived).nonzero().squeeze(1)
            )  # one look at the device: who has arrived leaves the batch
            if not len(active):
                break
            rung = self._climb(target, range_, u[active], level[active])
            u[active], f[active], e[active], arrived[active] = rung
            rows += [
                torch.cat([extent(f), torch.stack([f.new_tensor(x["rung"]), arrived.sum().to(f)])])
            ] * LOOK
            code_steps += LOOK * len(active)
        steps = state.steps + len(rows)
        x["rungs"] = [*x["rungs"], {"u": u, "f": f, "e": e, "arrived": arrived, "steps": steps}]
        x["rung"] += 1
        best = closest(target, state.best_f, f)
        after = replace(
            state, steps=steps, code_steps=state.code_steps + code_steps, best_f=best, extra=x
        )
        return self._finish(after) if x["rung"] == len(self.ranges) else after, torch.stack(rows)

    def _climb(
        self, target: InverseSet, range_: ActivationRange, u: Tensor, level: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """`LOOK` passes of some codes towards their levels; return them, their activations and
        encodings, and who has arrived.
        """
        mu = torch.full((len(u),), float(self.mu0), device=u.device, dtype=u.dtype)
        scale, radius = target.region.scale, getattr(target.region, "radius", torch.inf)
        for last in [False] * (LOOK - 1) + [True]:
            u = u.detach().requires_grad_(not last)
            f, e = target(u)
            residual = ((f - level) / range_.width).detach()
            arrived = range_.contains(f.detach(), MARGIN) & (residual.abs() <= self.tolerance).all(
                1
            )
            if last:
                break
            rows = tangent(jacobian(f, u) / range_.width * scale, u.detach(), radius)
            moved = target.region.project(
                u.detach() + scale * gauss_newton_step(rows, residual, mu, self.longest)
            )
            u = torch.where(arrived.unsqueeze(1), u.detach(), moved)
        return u.detach(), f.detach(), e.detach(), arrived

    def _finish(self, state: State) -> State:
        """Keep the K columns that reached most rungs, in the order they were drawn."""
        rungs = state.extra["rungs"]
        reached = torch.stack([r["arrived"] for r in rungs])
        best = reached.sum(0).argsort(descending=True, stable=True)[: self.K].sort().values
        kept, cells, count = state.kept, [], 0
        for number, rung in enumerate(rungs):
            here = reached[number, best]
            kept = kept.add(
                here, rung["u"][best], rung["f"][best], rung["e"][best], rung["steps"], best
            )
            numbers = count + here.long().cumsum(0) - 1
            cells.append(torch.where(here, numbers, -1).tolist())
            count += int(here.sum())
        status = (
            Status.REACHED if count == self.n else Status.BUDGET if count else Status.UNREACHABLE
        )
        return replace(
            state, kept=kept, status=status, extra={**state.extra, "rungs": [], "cells": cells}
        )
