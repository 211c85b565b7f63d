"""Which of a judge's classes a label means."""

from __future__ import annotations

import torchvision

from invset.nets.classes import KINDS, classes_of
from invset.nets.embedded import ASSETS, CIFAR10, mini_network
from invset.nets.labels import labels

IMAGENET = labels("imagenet")


def first_names(numbers: tuple[int, ...]) -> list[str]:
    return [IMAGENET[i].split(",")[0] for i in numbers]


def test_imagenets_names_are_themselves_in_every_list_of_them() -> None:
    itself = [(i,) for i in range(1000)]
    assert classes_of(IMAGENET, IMAGENET) == itself
    categories = torchvision.models.ResNet18_Weights.DEFAULT.meta["categories"]
    assert categories != IMAGENET
    assert classes_of(categories, IMAGENET) == itself
    numbers = (ASSETS / "imagenet-wnids.txt").read_text().splitlines()
    assert numbers == sorted(set(numbers))
    assert classes_of(numbers, IMAGENET) == itself
    known = {"n01443537": "goldfish", "n02129165": "lion", "n09472597": "volcano"}
    assert [first_names(one) for one in classes_of(list(known), IMAGENET)] == [
        [name] for name in known.values()
    ]


def test_mini64s_classes_are_all_there() -> None:
    names = mini_network(name="mini64").labels
    assert names is not None
    found = classes_of(names, IMAGENET)
    # "crane" is a bird or a machine: either counts
    assert {name: len(one) for name, one in zip(names, found, strict=True) if len(one) != 1} == {
        "crane": 2
    }
    assert all(
        IMAGENET[one[0]] == name for name, one in zip(names, found, strict=True) if name != "crane"
    )


def test_kinds_of_cifar_10() -> None:
    assert {*CIFAR10} - {*KINDS} == {"deer"}
    found = dict(zip(CIFAR10, classes_of(CIFAR10, IMAGENET), strict=True))
    assert found["deer"] == ()
    assert len(found["dog"]) == 118
    assert first_names(found["cat"]) == [
        "tabby",
        "tiger cat",
        "Persian cat",
        "Siamese cat",
        "Egyptian cat",
    ]
    assert first_names(found["frog"]) == ["bullfrog", "tree frog", "tailed frog"]
    assert first_names(found["truck"]) == [
        "fire engine",
        "garbage truck",
        "moving van",
        "tow truck",
        "trailer truck",
    ]
    ends = [(7, 24), (80, 100), (127, 146)]
    birds = [name for pair in ends for name in first_names(pair)]
    assert birds == [
        "cock",
        "great grey owl",
        "black grouse",
        "black swan",
        "white stork",
        "albatross",
    ]
    assert len(found["bird"]) == 59
    everything = [i for one in found.values() for i in one]
    assert len(everything) == len(set(everything))  # no class is of two kinds


def test_other_lists_go_by_names_alone() -> None:
    judge = ["cat, tom", "crane (bird)", "crane (machine)", "dog"]
    assert classes_of(["tom", "cat", "crane", "Dog", "crane (bird)", "do", ""], judge) == [
        (0,),
        (0,),
        (1, 2),
        (3,),
        (1,),
        (),
        (),
    ]
    assert classes_of(["bird", "n01443537"], judge) == [(), ()]
