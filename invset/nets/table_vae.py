"""``generator=table_vae``: a decoder of a table's rows, trained as a variational autoencoder
(Kingma and Welling 2014) on first use.

    min  E_q(c|x) [ -log p(x|c) ] + KL( q(c|x) || N(0, I) )

q(c|x) is Gaussian. Numbers are Gaussian about the decoder's output, `spread` standard deviations of
their column wide; a column of two categories is Bernoulli. Columns of more categories are taken as
numbers. G(c) is the decoder's mean: rows are as typical as the mean is, and scatter less
than real ones. The natural region of codes is that of the means of q of the real rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from invset.core.options import Bounds, check_option
from invset.core.space import CodePrior
from invset.errors import InvsetError
from invset.files.tabular import Table
from invset.hub.made import made
from invset.nets.fit_rows import Recipe, fit_rows
from invset.nets.generator import Generator
from invset.nets.regressor import Standard

#: Training takes about three seconds.
RECIPE = Recipe(steps=1000, batch=128, rate=5e-3)


class RowVAE(nn.Module):
    """Encoder and decoder of rows, with shape (N, columns).

    Args:
        two: which columns have two categories, boolean with shape (columns,).
        code_dim: numbers in a code.
        width: units of the hidden layers.
    """

    two: Tensor

    def __init__(self, two: Tensor, code_dim: int, width: int = 64) -> None:
        super().__init__()
        columns = len(two)
        self.register_buffer("two", two)
        self.standard = Standard(columns)
        self.encoder = nn.Sequential(
            nn.Linear(columns, width), nn.Tanh(), nn.Linear(width, 2 * code_dim)
        )
        self.decoder = nn.Sequential(
            nn.Linear(code_dim, width), nn.Tanh(), nn.Linear(width, columns)
        )

    def encode(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the standard deviation of q(c|x), each with shape (N, code_dim)."""
        mean, log_std = self.encoder(self.standard(rows)).chunk(2, dim=1)
        return mean, log_std

    def forward(self, codes: Tensor) -> Tensor:
        """The decoder's mean in the table's units, with shape (N, columns)."""
        out = self.decoder(codes)
        numbers = self.standard.mean + self.standard.std * out
        return torch.where(self.two, out.sigmoid(), numbers)

    def loss(self, rows: Tensor, spread: float, rng: torch.Generator) -> Tensor:
        """The negative evidence lower bound of rows, the mean over them, without constants.

        Args:
            rows: with shape (N, columns).
            spread: standard deviation of p(x|c), in those of the columns.
            rng: draws one code a row.
        """
        mean, log_std = self.encode(rows)
        draw = torch.randn(mean.shape, generator=rng)
        out = self.decoder(mean + log_std.exp() * draw)
        numbers = ((self.standard(rows) - out) / spread).square() / 2
        words = nn.functional.binary_cross_entropy_with_logits(
            out, rows.clamp(0, 1), reduction="none"
        )
        told = torch.where(self.two, words, numbers).sum(1)
        divergence = (mean.square() + (2 * log_std).exp() - 1 - 2 * log_std).sum(1) / 2
        return (told + divergence).mean()


def table_vae(
    medium: Table | None,
    rows: str | Path | None = None,
    code_dim: int = 4,
    spread: float = 0.5,
    share: float = 0.95,
    device: str | torch.device = "cpu",
) -> Generator:
    """A decoder of the rows of a CSV file, trained on first use and kept in the cache.

    Args:
        medium: the table, as the network's.
        rows: CSV file of real rows; its first line names the columns.
        code_dim: numbers in a code.
        spread: how far rows scatter about what their code gives, in standard deviations of the
            columns; less makes codes tell more of a row.
        share: part of the real rows' codes that the natural region must hold, in (0, 1].
        device: where codes are.

    Raises:
        InvsetError: the network takes no rows, or the file does not hold some.
    """
    if not isinstance(medium, Table):
        raise InvsetError(
            "generator=table_vae makes rows, but the network takes pictures; type network=table"
        )
    if rows is None:
        raise InvsetError(
            "generator=table_vae learns from real rows: type generator.rows=real.csv, or"
            " generator=table, which is not trained"
        )
    return vae_of(medium, medium.load(rows), "table_vae", code_dim, spread, share, device)


def vae_of(
    medium: Table,
    real: Tensor,
    name: str,
    code_dim: int = 4,
    spread: float = 0.5,
    share: float = 0.95,
    device: str | torch.device = "cpu",
) -> Generator:
    """The same of rows in stored form, with shape (N, columns); `name` is what reports call it."""
    check_option("generator.code_dim", code_dim, "int", Bounds(at_least=1), 4)
    check_option("generator.spread", spread, "float", Bounds(above=0), 0.5)
    recipe = _recipe(medium, real, code_dim, spread)
    module = RowVAE(_of_two(medium), code_dim)
    module.load_state_dict(made(name, recipe, lambda: fit_vae(medium, real, code_dim, spread)))
    with torch.no_grad():
        codes, _ = module.eval().encode(real)
    prior = CodePrior.fit(codes, variance=1.0, share=share)
    return Generator(module, code_dim, name=name, prior=prior, medium=medium, device=device)


def fit_vae(medium: Table, real: Tensor, code_dim: int, spread: float) -> dict[str, Tensor]:
    """Train; see `vae_of`. Returns the state dict of a `RowVAE`."""

    def build() -> RowVAE:
        built = RowVAE(_of_two(medium), code_dim)
        built.standard = Standard.of(real)
        return built

    def loss(module: nn.Module, chosen: Tensor, rng: torch.Generator) -> Tensor:
        assert isinstance(module, RowVAE)
        return module.loss(real[chosen], spread, rng)

    return fit_rows(build, loss, len(real), RECIPE).state_dict()


def _of_two(medium: Table) -> Tensor:
    """Which columns have two categories, boolean with shape (columns,)."""
    return torch.tensor([len(medium.words.get(name, ())) == 2 for name in medium.names])


def _recipe(medium: Table, real: Tensor, code_dim: int, spread: float) -> Mapping[str, Any]:
    """What the weights depend on."""
    return {
        "version": 1,
        "rows": hashlib.sha256(real.numpy().tobytes()).hexdigest(),
        "two": _of_two(medium).tolist(),
        "code_dim": code_dim,
        "spread": float(spread),
        "training": RECIPE,
    }
