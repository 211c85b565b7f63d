"""Which classes of one network are what another network's label means.

A label means the class of the same name; a WordNet number that of ImageNet with this number; and a
few plain names, those of CIFAR-10, all kinds of them that ImageNet has, such as 118 breeds of dog.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from invset.nets.embedded import ASSETS
from invset.nets.labels import labels as published_labels
from invset.nets.labels import words

#: Plain names -> ImageNet's classes of this kind, counted from 0; what CIFAR-10 leaves out
#: (pickups, warships' kin such as submarines, small open boats) is left out. ImageNet has no deer.
KINDS: dict[str, tuple[int, ...]] = {
    "airplane": (404, 895),  # airliner, warplane
    # beach wagon, cab, convertible, jeep, limousine, minivan, Model T, racer, sports car
    "automobile": (436, 468, 511, 609, 627, 656, 661, 751, 817),
    # cock … great grey owl, black grouse … black swan, white stork … albatross
    "bird": (*range(7, 25), *range(80, 101), *range(127, 147)),
    "cat": (*range(281, 286),),  # tabby … Egyptian cat
    "dog": (*range(151, 269),),  # Chihuahua … Mexican hairless
    "frog": (30, 31, 32),  # bullfrog, tree frog, tailed frog
    "horse": (339,),  # sorrel
    # aircraft carrier, catamaran, container ship, fireboat, lifeboat, liner, pirate ship, schooner,
    # speedboat, trimaran, yawl
    "ship": (403, 484, 510, 554, 625, 628, 724, 780, 814, 871, 914),
    "truck": (555, 569, 675, 864, 867),  # fire engine, garbage, moving, tow and trailer truck
}

#: Lists of ImageNet's names differ in some; that many of 1,000 have to be alike.
_ALIKE = 950


def classes_of(labels: Sequence[str], of: Sequence[str]) -> list[tuple[int, ...]]:
    """Classes of another network that each label means, counted from 0; empty where it has none.

    Args:
        labels: names of one network's units.
        of: names of the other's.
    """
    names = [_names(one) for one in of]
    firsts = [_names(one)[:1] for one in labels]
    if len(labels) == len(of):
        # ImageNet's classes in their order: some of their names are there twice
        alike = sum(a == b[:1] for a, b in zip(firsts, names, strict=True))
        if alike >= _ALIKE:
            return [(i,) for i in range(len(of))]
    whole = {one: (i,) for i, one in enumerate(of)}
    known = {**_kinds(of), **whole}
    return [
        known.get(label) or tuple(i for i, one in enumerate(names) if first and first[0] in one)
        for label, first in zip(labels, firsts, strict=True)
    ]


def _kinds(of: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """What is known of ImageNet's classes beside their names; empty for other names."""
    if list(of) != published_labels("imagenet"):
        return {}
    numbers = (ASSETS / "imagenet-wnids.txt").read_text(encoding="utf-8").splitlines()
    return {**KINDS, **{number: (i,) for i, number in enumerate(numbers)}}


def _names(label: str) -> list[str]:
    """The synonyms in a label, without what stands in brackets behind them."""
    parts = (words(re.sub(r"\(.*?\)", "", part)) for part in label.split(","))
    return [part for part in parts if part]
