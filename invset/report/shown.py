"""What the sections of a run's page share: the samples that are shown, and a card for each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from invset.analysis.record import DASH
from invset.analysis.selection import MOST, shown
from invset.report.folder import Run, Sample
from invset.report.page import activation
from invset.report.thumbnails import Thumbnails, thumbnails

#: Most links to samples of the same origin.
_KIN = 12


@dataclass(frozen=True)
class Shown:
    """The samples of a page; of more than `MOST`, these many evenly spread over the activation.

    Attributes:
        run: the run.
        places: where they are in `run.samples`.
        samples: they themselves.
        thumbs: their pictures.
        cards: all that the page says of each.
    """

    run: Run
    places: list[int]
    samples: list[Sample]
    thumbs: Thumbnails
    cards: list[dict[str, Any]]

    @classmethod
    def of(cls, run: Run, most: int | None = None) -> Shown:
        """Choose the samples of a run, at most `most` (None: `MOST`)."""
        places = shown([s.after[0] for s in run.samples], MOST if most is None else most)
        samples = [run.samples[i] for i in places]
        thumbs = thumbnails([run.picture(s) for s in samples])
        cards = [_card(run, place, thumbs, i) for i, place in enumerate(places)]
        _add_frames(run, places, cards)
        _add_kin(samples, cards)
        return cls(run, places, samples, thumbs, cards)

    @property
    def f(self) -> np.ndarray:
        """Activations of the first neuron, with shape (samples shown,)."""
        return np.array([s.after[0] for s in self.samples])

    @property
    def first_activation(self) -> str:
        """What samples are sorted and groups are described by."""
        names = self.run.names
        return "activation" if len(names) == 1 else f"activation of {names[0]}"

    def tensor(self, name: str) -> np.ndarray | None:
        """A tensor with a row a sample, of the samples shown; None if the folder has none."""
        held = self.run.tensors.get(name)
        return None if held is None else held[self.places]

    def with_icon(self, place: int) -> dict[str, Any]:
        """A card with a small picture."""
        return {**self.cards[place], "icon": self.thumbs.icon(place)}


def _card(run: Run, place: int, thumbs: Thumbnails, number: int) -> dict[str, Any]:
    """All that the page says about a sample; `number` is its place among those shown."""
    sample = run.samples[place]
    activations = ", ".join(
        f"{name} {activation(value)}" for name, value in zip(run.names, sample.after, strict=True)
    )
    values = {one.key: float(run.tensors[one.key][place]) for one in run.columns}
    order = {"number": sample.number, "activation": sample.after[0], "step": sample.step, **values}
    facts = [*_facts(run, sample), *([one.title, _said(values[one.key])] for one in run.columns)]
    return {
        "number": sample.number,
        "in_range": sample.in_range,
        "src": thumbs.pictures[number],
        "width": thumbs.width,
        "height": thumbs.height,
        "alt": f"Sample {sample.number}: {activations}",
        "title": f"Sample {sample.number}: {activations}",
        "frame": "",
        "caption": " ".join(map(activation, sample.after)),
        "order": {attribute(key): f"{value:.7g}" for key, value in order.items()},
        "details": {
            "facts": facts,
            "file": f"samples/{sample.number:05d}.png",
            "kin": [],
            "kin_name": "Of the same parent",
        },
    }


def _facts(run: Run, sample: Sample) -> list[list[str]]:
    facts = [
        [f"Activation of {name}", f"{after:.5g} ({before:.5g} before {run.rounding})"]
        for name, before, after in zip(run.names, sample.before, sample.after, strict=True)
    ]
    cells = run.table[sample.number - 1] if run.table else {}
    columns = run.medium.get("columns", [])
    units = {one["name"]: one["unit"] for one in columns if one.get("unit")}
    return [
        *facts,
        *([name, f"{cell} {units.get(name, '')}".rstrip()] for name, cell in cells.items()),
        ["In range", "yes" if sample.in_range else "no"],
        ["Result at", f"gradient step {sample.step}"],
        ["Origin", f"{sample.origin}, of parent {sample.parent}"],
    ]


def _said(value: float) -> str:
    return DASH if math.isnan(value) else f"{value:.3g}"


def attribute(key: str) -> str:
    """What is behind ``data-`` in HTML for a key."""
    return key.replace(".", "-").replace("_", "-")


def _add_frames(run: Run, places: list[int], cards: list[dict[str, Any]]) -> None:
    """Where in its picture each sample's largest activation is, in CSS's per cent; of pictures of
    inputs that are no pictures, of none.
    """
    grid = (run.summary.get("largest") or {}).get("grid")
    if not grid or run.medium.get("legend"):
        return
    rows, columns = run.tensors["largest.row"], run.tensors["largest.column"]
    high, wide = 100 / grid[0], 100 / grid[1]
    for place, card in zip(places, cards, strict=True):
        row, column = float(rows[place]), float(columns[place])
        if not math.isnan(row):
            corner = f"left:{column * wide:.4g}%;top:{row * high:.4g}%"
            card["frame"] = f"{corner};width:{wide:.4g}%;height:{high:.4g}%"


def _add_kin(samples: list[Sample], cards: list[dict[str, Any]]) -> None:
    """Links between samples of one parent: the first one of them, then the nearest in time."""
    families: dict[int, list[int]] = {}
    for i, sample in enumerate(samples):
        families.setdefault(sample.parent, []).append(i)
    for family in families.values():
        for i in family:
            others = [j for j in family if j != i]
            near = sorted(others, key=partial(_distance, i, family[0]))[:_KIN]
            cards[i]["details"]["kin"] = sorted(samples[j].number for j in near)


def _distance(i: int, first: int, j: int) -> tuple[bool, int]:
    """How far j is from i among samples of one parent, whose first one comes before all."""
    return j != first, abs(j - i)
