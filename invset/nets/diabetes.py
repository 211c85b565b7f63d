"""``network=diabetes``: a regression over scikit-learn's diabetes table, in the data's own units.

442 patients (Efron, Hastie, Johnstone and Tibshirani 2004, Least Angle Regression): ten measures at
the beginning, and a number for how far the disease has progressed one year later, 25 to 346. The
rows ship inside scikit-learn. Everything here is trained on first use, in seconds, on four fifths
of the rows, and kept in the cache.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from invset.core.context import own_context
from invset.errors import InvsetError
from invset.files.tabular import Table
from invset.hub.made import made
from invset.nets.boosted import Boosted, grow
from invset.nets.fit_rows import one_thread
from invset.nets.generator import Generator
from invset.nets.network import Network
from invset.nets.regressor import RECIPE, Regressor, fit_regressor
from invset.nets.table_vae import vae_of

#: Our name of each column -> that of the lowest and highest value in the data, and of its unit.
#: Which sex is 1 is not told.
COLUMNS = {
    "age": (19, 79, "years"),
    "sex": (1, 2, ""),
    "bmi": (18.0, 42.2, "kg/m²"),
    "pressure": (62.0, 133.0, "mmHg"),
    "cholesterol": (97, 301, "mg/dl"),
    "ldl": (41.6, 242.4, "mg/dl"),
    "hdl": (22.0, 99.0, "mg/dl"),
    "chol_hdl": (2.0, 9.09, ""),
    "log_trig": (3.2581, 6.107, ""),
    "sugar": (58, 124, "mg/dl"),
}

#: What the network tells.
TARGET = "progression"

#: Rows that nothing is trained on.
HELD_OUT = 88

#: Of the trees: shallow, slow and on half of the rows each, as few rows want it.
TREES: dict[str, Any] = {
    "n_estimators": 150,
    "max_depth": 2,
    "learning_rate": 0.05,
    "subsample": 0.5,
    "random_state": 0,
}


def diabetes_table() -> Table:
    """The ten columns."""
    whole = ["age", "cholesterol", "sugar"]
    return Table(
        list(COLUMNS),
        {name: (low, high) for name, (low, high, _) in COLUMNS.items() if name != "sex"},
        whole,
        {"sex": ["1", "2"]},
        {name: unit for name, (_, _, unit) in COLUMNS.items() if unit},
    )


def diabetes_rows() -> tuple[Tensor, Tensor]:
    """All rows in stored form, float32 with shape (442, 10), and their targets, with shape (442,).

    Raises:
        InvsetError: scikit-learn is missing, and the rows are not in the cache yet.
    """
    found = made("diabetes-rows", {"version": 1}, _read)
    return found["rows"], found["target"]


def _read() -> dict[str, Tensor]:
    try:
        from sklearn.datasets import load_diabetes
    except ImportError as error:
        raise InvsetError(
            'the diabetes table comes with scikit-learn: pip install "invset[tables]"'
        ) from error
    held = load_diabetes(scaled=False)
    rows = torch.from_numpy(held.data).float()
    rows[:, 1] -= 1  # numbers of categories are from 0
    return {"rows": rows, "target": torch.from_numpy(held.target).float()}


def split() -> tuple[Tensor, Tensor]:
    """Numbers of the rows that are trained on, with shape (354,), and of the others, with shape
    (88,).
    """
    order = torch.randperm(442, generator=torch.Generator().manual_seed(0))
    return order[HELD_OUT:].sort().values, order[:HELD_OUT].sort().values


def _trained() -> tuple[Tensor, Tensor]:
    rows, target = diabetes_rows()
    chosen, _ = split()
    return rows[chosen], target[chosen]


@own_context()
def diabetes_network(
    medium: Table | None = None, device: str | torch.device = "cpu", name: str = "diabetes"
) -> Network:
    """The regression that is asked.

    Args:
        medium: None: the ten columns.
        device: where the weights go.
        name: what reports call it.
    """
    recipe = {"version": 1, "training": RECIPE}
    module = Regressor(len(COLUMNS))
    found = made("diabetes-network", recipe, lambda: fit_regressor(*_trained()).state_dict())
    module.load_state_dict(found)
    return _network(module, medium, name, "standard", device)


@own_context()
def diabetes_trees(
    medium: Table | None = None, device: str | torch.device = "cpu", name: str = "diabetes_trees"
) -> Network:
    """Another regression of the same rows, by gradient boosting: the judge of the first.

    Args:
        medium: None: the ten columns.
        device: where the trees go.
        name: what reports call it.
    """
    with one_thread():
        found = made("diabetes-trees", {"version": 1, **TREES}, lambda: grow(*_trained(), **TREES))
    return _network(Boosted(found), medium, name, "leaves", device)


def _network(
    module: torch.nn.Module,
    medium: Table | None,
    name: str,
    encoder: str,
    device: str | torch.device,
) -> Network:
    return Network(
        module,
        name=name,
        labels=[TARGET],
        output="output",
        encoder=encoder,
        medium=medium or diabetes_table(),
        real=diabetes_rows()[0],
        device=device,
    )


@own_context()
def diabetes_generator(
    code_dim: int = 4,
    spread: float = 0.5,
    share: float = 0.95,
    device: str | torch.device = "cpu",
) -> Generator:
    """The decoder of a variational autoencoder of the same rows.

    Args:
        code_dim: numbers in a code.
        spread: how far rows scatter about what their code gives, in standard deviations of the
            columns.
        share: part of the rows' codes that the natural region must hold, in (0, 1].
        device: where codes are.
    """
    rows, _ = _trained()
    return vae_of(diabetes_table(), rows, "diabetes", code_dim, spread, share, device)
