"""``generator=table``: the code is the row itself, column by column in units of its own spread, so
that steps are as long in one column as in another.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from invset.core.space import CodePrior
from invset.errors import InvsetError
from invset.files.tabular import Table
from invset.nets.generator import Generator


class Rows(nn.Module):
    """Codes to rows of a table, both with shape (N, columns): row = centre + scale * code."""

    centre: Tensor
    scale: Tensor

    def __init__(self, centre: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("centre", centre)
        self.register_buffer("scale", scale)

    def forward(self, codes: Tensor) -> Tensor:
        return self.centre + self.scale * codes


def table_generator(
    medium: Table | None,
    rows: str | Path | None = None,
    share: float = 0.95,
    device: str | torch.device = "cpu",
) -> Generator:
    """The identity of a table's rows.

    Without `rows`, codes go from -1 (lowest value) to 1 (highest), start anywhere between, and
    ``prior=clip`` keeps them there. With `rows`, codes are standardised by their mean and standard
    deviation, and the natural region is a Gaussian with their covariance: what leaves the bounds is
    clamped.

    Args:
        medium: the table, as the network's.
        rows: CSV file of real rows; its first line names the columns.
        share: part of the real rows that the natural region must hold, in (0, 1].
        device: where codes are.

    Raises:
        InvsetError: the network takes no rows, or the file does not hold some.
    """
    if not isinstance(medium, Table):
        raise InvsetError(
            "generator=table makes rows, but the network takes pictures; type network=table"
        )
    if not 0 < share <= 1:
        raise InvsetError(f"generator.share must be above 0 and at most 1, not {share}")
    low = medium.low
    high = medium.high
    count = len(medium.columns)
    if rows is None:

        def start(number: int, rng: torch.Generator) -> Tensor:
            codes = 2 * torch.rand(number, count, generator=rng, device=rng.device) - 1
            return codes.to(device)

        module = Rows((low + high) / 2, (high - low) / 2)
        return Generator(
            module,
            count,
            name="table",
            clip=(-1.0, 1.0),
            start=start,
            medium=medium,
            device=device,
        )
    real = medium.load(rows)
    if len(real) < 2:
        raise InvsetError(f"{rows} holds {len(real)} rows; a natural region needs two at least")
    spread = real.std(0)
    # a column that is the same in all rows stays what it is
    module = Rows(real.mean(0), torch.where(spread > 0, spread, 1.0))
    prior = CodePrior.fit((real - module.centre) / module.scale, variance=1.0, share=share)
    return Generator(module, count, name="table", prior=prior, medium=medium, device=device)
