"""What neurons are called: the outputs of the published networks, and which neuron a name or a
number means.

Line i of a file of names is neuron i, counted from 1 as in the paper.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from invset.errors import InvsetError, did_you_mean
from invset.files.reading import read_lines

#: imagenet.txt: synset_words.txt of ILSVRC 2012 without the WordNet numbers, and with a word added
#: to the two cranes, 135 and 518, which are called the same there; places205.txt:
#: categoryIndex_places205.txt without the numbers.
FOLDER = Path(__file__).parents[1] / "assets" / "labels"


def labels(name: str) -> list[str]:
    """Names of the classes of a data set, in the order of a network's outputs.

    Args:
        name: "imagenet" (1000 names, synonyms behind commas) or "places205".

    Raises:
        InvsetError: no such list.
    """
    path = FOLDER / f"{name}.txt"
    if not path.is_file():
        known = sorted(file.stem for file in FOLDER.glob("*.txt"))
        raise InvsetError(
            f"there are no labels of {name!r}.{did_you_mean(name, known)} There are those of"
            f" {', '.join(known)}"
        )
    return path.read_text(encoding="utf-8").splitlines()


def find_neuron(number: int | str, units: int, labels: Sequence[str] | None, layer: str) -> int:
    """Index from 0 of a unit given by its number from 1 or by its label. The one place where
    numbers become indices.

    Args:
        number: what was typed.
        units: how many neurons the layer has.
        labels: what they are called, or None.
        layer: what messages call it.

    Raises:
        InvsetError: no such unit, or a name that fits several labels.
    """
    if isinstance(number, str) and re.fullmatch(r"\s*[+-]?\d+\s*", number):
        number = int(number)
    if isinstance(number, int) and not isinstance(number, bool):
        if not 1 <= number <= units:
            raise InvsetError(
                f"neuron={number} is out of range: layer {layer} has neurons 1 to {units}"
            )
        return number - 1
    if labels is None:
        raise InvsetError(
            f"the neurons of layer {layer} have no names; type a number from 1 to {units}, not"
            f" {number!r}"
        )
    fits = _fitting(str(number), labels)
    if len(fits) > 1:
        listed = ", ".join(f"{labels[i]} (neuron={i + 1})" for i in fits[:8])
        more = f" and {len(fits) - 8} more" if len(fits) > 8 else ""
        raise InvsetError(f"neuron={number} fits several labels: {listed}{more}; type one number")
    if not fits:
        synonyms = [part.strip() for label in labels for part in label.split(",")]
        raise InvsetError(
            f"no neuron of layer {layer} is called {number!r}.{did_you_mean(number, synonyms)}"
            f" Numbers go from 1 to {units}; all names: invset list labels, with the same network="
        )
    return fits[0]


def _fitting(name: str, labels: Sequence[str]) -> list[int]:
    """Indices of the labels that are called `name`, or have a synonym that is; if there are none,
    of those that contain it.
    """
    wanted, *names = ([words(part) for part in text.split(",")] for text in (name, *labels))
    typed = ", ".join(wanted)
    if not typed:
        return []
    exact = [i for i, parts in enumerate(names) if wanted == parts or typed in parts]
    # whole words only: "hors" is a typing mistake, not a horse
    return exact or [
        i
        for i, parts in enumerate(names)
        if re.search(rf"\b{re.escape(typed)}\b", ", ".join(parts))
    ]


def words(text: str) -> str:
    """``gas_station``, ``Gas station`` and ``gas-station`` are one name."""
    return " ".join(re.split(r"[\s_/-]+", text.lower())).strip()


def read_labels(path: str | Path) -> list[str]:
    """Names of units from a text file with one a line.

    Raises:
        InvsetError: no such file, or no text.
    """
    hint = "give a text file with one name a line, or a list: network.labels=[cat,dog]"
    return read_lines(path, "labels", hint)
