"""``invset fetch``: bring published weights into the cache."""

from __future__ import annotations

from invset.errors import InvsetError, did_you_mean
from invset.hub.cache import cache_folder
from invset.hub.cards import WEIGHTS
from invset.hub.obtain import fetch, present


def main(words: list[str]) -> int:
    """Fetch what is named and print its paths; without names, or with --help, list what there is.

    Args:
        words: what was typed behind ``invset fetch``.

    Raises:
        InvsetError: an unknown name, or a file that can't be had.
    """
    if not words or "--help" in words or "-h" in words:
        print(listing())
        return 0
    for word in words:
        if word != "all" and word not in WEIGHTS:
            known = ", ".join([*WEIGHTS, "all"])
            raise InvsetError(
                f"invset fetch knows no {word!r}.{did_you_mean(word, [*WEIGHTS, 'all'])} It takes"
                f" {known}"
            )
    for name, path in fetch(WEIGHTS if "all" in words else words).items():
        print(f"{name}: {path}")
    return 0


def listing() -> str:
    """What can be fetched, under which licence, and what is there already."""
    lines = ["usage: invset fetch NAME ...", ""]
    for name, entry in WEIGHTS.items():
        path = present(entry)
        goal = cache_folder() / entry.sources[0].file
        where = f"in the cache: {path}" if path else f"not in the cache; goes to {goal}"
        lines += [
            f"  {name:<15} {entry.about}",
            f"  {'':<15} {entry.size}; licence: {entry.licence}",
            f"  {'':<15} {where}",
        ]
    lines += [
        f"  {'all':<15} all of them",
        "",
        (
            "INVSET_CACHE=/a/folder/of/yours chooses another cache. Files put there by hand, under"
            " these names, are found."
        ),
    ]
    return "\n".join(lines)
