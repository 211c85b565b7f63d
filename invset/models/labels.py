"""What the outputs of the published networks are called: line i of a file is neuron i, counted from 1 as in the paper."""

from __future__ import annotations

from pathlib import Path

from invset.errors import InvsetError, did_you_mean

#: imagenet.txt: synset_words.txt of ILSVRC 2012 without the WordNet numbers, and with a word added to the two cranes, 135 and 518,
#: which are called the same there; places205.txt: categoryIndex_places205.txt without the numbers.
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
        raise InvsetError(f"there are no labels of {name!r}.{did_you_mean(name, known)} There are those of {', '.join(known)}")
    return path.read_text(encoding="utf-8").splitlines()
