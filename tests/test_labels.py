"""The shipped names, and what typing them finds."""

from __future__ import annotations

import pytest
from torch import nn

from invset.errors import InvsetError
from invset.nets.labels import labels
from invset.nets.network import Network
from invset.problem.neuron import Neuron, find

#: Numbers and names in the paper.
PAPER = {
    981: "volcano",
    947: "cardoon",
    1000: "toilet tissue",
    664: "monastery",
    862: "toilet seat",
}


def named(name: str) -> Network:
    names = labels(name)
    return Network(
        nn.Sequential(nn.Flatten(), nn.Linear(12, len(names))),
        image_size=2,
        labels=names,
        output="1",
        encoder="0",
    )


@pytest.fixture(scope="module")
def imagenet() -> Network:
    return named("imagenet")


@pytest.fixture(scope="module")
def places() -> Network:
    return named("places205")


def test_lengths_and_order() -> None:
    imagenet, places = labels("imagenet"), labels("places205")
    assert (len(imagenet), len(set(imagenet))) == (1000, 1000)
    assert (len(places), len(set(places))) == (205, 205)
    assert {number: imagenet[number - 1].split(",")[0] for number in PAPER} == PAPER
    assert (places[87], places[140]) == ("gas_station", "phone_booth")
    assert (imagenet[0], imagenet[999]) == (
        "tench, Tinca tinca",
        "toilet tissue, toilet paper, bathroom tissue",
    )
    # counted from 0 these would be another order, as wrong by one as it is silent
    assert (imagenet[981], imagenet[947]) == ("ballplayer, baseball player", "mushroom")
    assert all(name == name.strip() and name for name in imagenet + places)


def test_unknown_lists() -> None:
    with pytest.raises(InvsetError, match=r"no labels of 'imagnet'\. Did you mean imagenet\?"):
        labels("imagnet")


@pytest.mark.parametrize(
    ("typed", "number"),
    [
        *[
            ("volcano", 981),
            ("Volcano", 981),
            (" volcano ", 981),
            ("981", 981),
            ("981 ", 981),
            ("cardoon", 947),
            ("monastery", 664),
        ],
        *[
            ("toilet paper", 1000),
            ("toilet_tissue", 1000),
            ("toilet  seat", 862),
            ("tench,Tinca tinca", 1),
            ("jack-o'-lantern", 608),
        ],
        *[("maillot, tank suit", 640), ("crane (bird)", 135), ("Granny smith", 949)],
    ],
)
def test_names_of_imagenet(imagenet: Network, typed: str, number: int) -> None:
    assert find(imagenet, Neuron("1", typed)).index == number - 1


@pytest.mark.parametrize(
    ("typed", "number"),
    [
        ("gas station", 88),
        ("gas_station", 88),
        ("gas-station", 88),
        ("phone booth", 141),
        ("church", 63),
    ],
)
def test_names_of_places(places: Network, typed: str, number: int) -> None:
    assert find(places, Neuron("1", typed)).index == number - 1


@pytest.mark.parametrize(
    ("name", "synonyms"),
    [("imagenet", {"cardigan", "harp", "maillot", "missile", "partridge"}), ("places205", set())],
)
def test_every_whole_label_finds_its_own_neuron(name: str, synonyms: set[str]) -> None:
    network = named(name)
    for index, label in enumerate(labels(name)):
        if label in synonyms:
            with pytest.raises(InvsetError, match=rf"neuron={index + 1}\b"):
                find(network, Neuron("1", label))
        else:
            assert find(network, Neuron("1", label)).index == index


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (
            "crane",
            (
                r"fits several labels: crane \(bird\) \(neuron=135\), crane \(machine\)"
                r" \(neuron=518\); type one number"
            ),
        ),
        ("volcno", r"Did you mean volcano"),
        ("goldfsh", r"Did you mean goldfish"),
        ("dog", r"\(neuron=252\) and \d+ more; type one number"),
        ("", "is called ''"),
        ("--5", "is called '--5'"),
        ("²", "is called '²'"),
        ("1001", "neurons 1 to 1000"),
    ],
)
def test_mistakes(imagenet: Network, typed: str, message: str) -> None:
    with pytest.raises(InvsetError, match=message):
        find(imagenet, Neuron("1", typed))
