"""Training of small modules on the rows of a table, in seconds, with the same result each time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from invset.core.context import own_context
from invset.errors import InvsetError

#: Fewer rows than this train nothing.
FEWEST = 20


@dataclass(frozen=True)
class Recipe:
    """How a module is trained.

    Attributes:
        steps: of AdamW, whose rate falls to 0 as a cosine.
        batch: rows of a step, drawn anew.
        rate: of the first step.
        decay: of the weights, in units of the rate.
        seed: of the first weights and of all draws.
    """

    steps: int
    batch: int = 64
    rate: float = 3e-3
    decay: float = 0.0
    seed: int = 0


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums are not split among threads, whose number would change their last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def fit_rows(
    build: Callable[[], nn.Module],
    loss: Callable[[nn.Module, Tensor, torch.Generator], Tensor],
    count: int,
    recipe: Recipe,
) -> nn.Module:
    """Train a module on the CPU, in one thread.

    Args:
        build: makes it; its weights are drawn by torch's own generator, which is seeded.
        loss: of the module, of the numbers of some rows, and of a generator for draws.
        count: rows.
        recipe: how.

    Raises:
        InvsetError: too few rows, or a loss that is not finite.
    """
    if count < FEWEST:
        raise InvsetError(f"{count} rows are too few to train on; give {FEWEST} or more")
    with own_context(), one_thread():
        torch.manual_seed(recipe.seed)
        module = build().train()
        rng = torch.Generator().manual_seed(recipe.seed)
        rule = torch.optim.AdamW(module.parameters(), recipe.rate, weight_decay=recipe.decay)
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(rule, recipe.steps)
        for _ in range(recipe.steps):
            rows = torch.randint(count, (min(recipe.batch, count),), generator=rng)
            value = loss(module, rows, rng)
            rule.zero_grad()
            value.backward()
            rule.step()
            falling.step()
        if not torch.isfinite(value):
            raise InvsetError("a training on rows of a table ended with a loss that is no number")
        return module.eval()
