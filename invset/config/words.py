"""What is typed, spelled out for Hydra."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from invset.errors import InvsetError

#: Commands that a generator can be typed for.
WITH_GENERATOR = ("run", "probe")

#: Flags of Hydra's that a value stands behind.
VALUED = (
    *("--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn"),
    *("--cfg", "-c", "--package", "-p"),
)

#: Part with several options -> the one that a number behind its name is.
_SHORT = {"robust": "M", "perturbed": "count"}

#: Whole numbers from one to another.
_FROM_TO = re.compile(r"(neuron|seed)=(\d+)\.\.(\d+)")


def listed(rest: list[str]) -> list[str]:
    """``labels volc network=mini`` as Hydra takes it: ``what=labels 'words=["volc"]'
    network=mini``.
    """
    named = {i + 1 for i, word in enumerate(rest) if word in VALUED}
    plain = {
        i: word
        for i, word in enumerate(rest)
        if "=" not in word and not word.startswith("-") and i not in named
    }
    words = [json.dumps(word, ensure_ascii=False) for word in plain.values()]
    return [
        *(word for i, word in enumerate(rest) if i not in plain),
        *(f"what={word}" for word in words[:1]),
        f"words=[{','.join(words[1:])}]",
    ]


def separated(words: Iterable[str]) -> list[str]:
    """The parts of words that hold several, with commas between them."""
    return [one for word in words for one in word.split(",") if one]


def counted(words: list[str]) -> list[str]:
    """``neuron=1..1000`` and ``seed=0..9`` are sweeps over whole numbers, the last one too.

    Raises:
        InvsetError: the last number is below the first.
    """
    found = [_FROM_TO.fullmatch(word) for word in words]
    if not any(found):
        return words
    for one in found:
        if one and int(one[3]) < int(one[2]):
            raise InvsetError(f"{one[0]} counts down; type {one[1]}={one[3]}..{one[2]}")
    spelled = [
        f"{one[1]}=range({one[2]},{int(one[3]) + 1})" if one else word
        for one, word in zip(found, words, strict=True)
    ]
    sweeping = {"-m", "--multirun", "hydra.mode=MULTIRUN"} & {*words}
    return spelled if sweeping else [*spelled, "-m"]


def meant(command: str | None, words: list[str]) -> list[str]:
    """The words of a command as its configuration has them."""
    words = [spelled_out(word) for word in words]
    if command == "compare":
        return with_spectrum(with_ranges(words))
    return with_spectrum(words) if command in WITH_GENERATOR else words


def spelled_out(word: str) -> str:
    """``robust=8`` is short for ``robust.M=8``, ``perturbed=200`` for ``perturbed.count=200``, and
    ``comparator=mini64``, which names a network, for ``+network@comparator=mini64``.
    """
    key, equals, value = word.partition("=")
    if key == "comparator" and value not in ("", "null"):
        return f"+network@{word}"
    return f"{key}.{_SHORT[key]}{equals}{value}" if key in _SHORT else word


def with_ranges(words: list[str]) -> list[str]:
    """A whole ``fractions=`` replaces those that are there, to which Hydra would add it. They are
    left out where ranges are given in another way and fractions are not typed.
    """
    keys = [word.partition("=")[0] for word in words]
    if "fractions" in keys:
        first = keys.index("fractions")
        return [*words[:first], "fractions=null", *words[first:]]
    own = any(key.lstrip("+~").split(".")[0] == "fractions" for key in keys)
    others = {key.split(".")[0] for key in keys} & {"ranges", "quantiles", "goals"}
    return [*words, "fractions=null"] if others and not own else words


def with_spectrum(words: list[str]) -> list[str]:
    """``network=custom`` alone gets ``generator=spectrum``: it brings no generator, and the option
    of its name is for one that is named, too.
    """
    given = dict(word.lstrip("+~").partition("=")[::2] for word in words)
    of_pictures = given.get("network.channels", "3") == "3" and "network.medium" not in given
    named = any(key.split(".")[0] == "generator" for key in given)
    if given.get("network") != "custom" or named or not of_pictures:
        return words
    size = given.get("network.image_size", "224")
    return [*words, "generator=spectrum", f"generator.size={224 if size == 'null' else size}"]
