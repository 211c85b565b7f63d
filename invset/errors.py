"""The errors that a person can cause: one sentence each, shown without a traceback."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any


class InvsetError(Exception):
    """Bad input: the message says what was wrong, what is allowed, and what to type instead."""


def first_lines(error: BaseException, most: int = 300) -> str:
    """What an error of a library says, short enough for one sentence.

    A state dict that does not fit names hundreds of tensors. A lone word, of a `KeyError` deep
    inside, tells a person nothing and is left out.
    """
    text = " ".join(str(error).split())
    if " " not in text:
        return ""
    return text if len(text) <= most else text[:most] + " …"


def brief(text: str, word: int = 200, most: int = 3000) -> str:
    """A sentence in which nothing that was typed, or read from a file, is endless.

    Args:
        text: what is told.
        word: characters of a word that has more than that, half of them from each end.
        most: characters of the whole.
    """

    def cut(found: re.Match[str]) -> str:
        return f"{found[0][: word // 2]}…{found[0][-word // 2 :]}"

    text = re.sub(rf"\S{{{word + 1},}}", cut, text)
    return text if len(text) <= most else f"{text[:most]} …"


#: How PyTorch and the libraries that it calls say it: "CUDA out of memory", "CUDA error: out of
#: memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUFFT_ALLOC_FAILED", "can't allocate memory".
_NO_MEMORY = re.compile(
    r"out[ _]of[ _](\w+_)?memory|allocate memory|alloc(ation)?_failed", re.IGNORECASE
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there is too little memory: PyTorch has several for that, on CPUs
    a `RuntimeError` like any other.
    """
    found = isinstance(error, RuntimeError) and _NO_MEMORY.search(str(error))
    return isinstance(error, MemoryError) or bool(found)


def did_you_mean(word: Any, allowed: Iterable[str], limit: int = 3, before: str = "") -> str:
    """Return `` Did you mean a, b?`` for the closest allowed words, or an empty string; `before`
    stands before each.
    """
    lowered = {str(a).lower(): str(a) for a in allowed}
    close = difflib.get_close_matches(str(word).lower(), lowered, n=limit, cutoff=0.5)
    return f" Did you mean {', '.join(before + lowered[c] for c in close)}?" if close else ""
