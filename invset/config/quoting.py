"""Text that Hydra's grammar of overrides has no place for: letters beyond ASCII, ``(1)``, ``~``,
an apostrophe. Values are put in quotes; keys, which can't be, are written in ASCII.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

#: What a text without quotes may hold.
_PLAIN = re.compile(r"(?:[\w/\-+.$%*@?|\\ \t:]|\$\{[^}]*\}|\\.)*", re.ASCII)

#: A part of a value: an escaped character, an interpolation, a text in quotes, or one character.
_PART = re.compile(
    r"""\\.|\$\{[^}]*\}|'(?:[^'\\]|\\.)*'(?=\s*(?:[,\]}:]|$))|"(?:[^"\\]|\\.)*"(?=\s*(?:[,\]}:]|$))"""
    r"""|.""",
    re.DOTALL,
)

#: What a key that is written in ASCII begins with.
_CODED = "%?"


def quoted(text: str) -> str:
    """A text in quotes, as Hydra reads it back."""
    mark = "'" if "'" not in text or '"' in text else '"'
    escaped = re.sub(rf"(\\*)({mark}|$)", _escaped, text)
    return f"{mark}{escaped}{mark}"


def _escaped(found: re.Match[str]) -> str:
    """Backslashes count only before a quote, where each is doubled."""
    return found[1] * 2 + (f"\\{found[2]}" if found[2] else "")


def coded(key: str) -> str:
    """A key in ASCII, which Hydra takes for a text; once only."""
    return key if key.startswith(_CODED) else _CODED + quote(key, safe=". ").replace("~", "%7E")


def decoded(key: str) -> str:
    """What `coded` was given; other keys as they are."""
    return unquote(key.removeprefix(_CODED)) if key.startswith(_CODED) else key


def with_quotes(value: str) -> str:
    """A value, a list of them or a dictionary, with quotes around what needs them."""
    pieces: list[str] = []
    text = ""
    braces: list[str] = []  # that are open, "[" or "{"
    for part in _PART.findall(value):
        if part in ("[", "{") and not text.strip():
            braces.append(part)
        elif part == ":" and braces[-1:] == ["{"] and text.strip():
            text = _key(text)
        elif part in ("]", "}") and braces and ("[{".index(braces[-1]) == "]}".index(part)):
            braces.pop()
            text = _text(text)
        elif part == ",":
            text = _text(text)
        else:
            text += part
            continue
        pieces += [text, part]
        text = ""
    return "".join([*pieces, _text(text)])


def _text(text: str) -> str:
    plain = text.strip()
    if _PLAIN.fullmatch(plain) or plain.startswith(("'", '"')):
        return text
    return text.replace(plain, quoted(re.sub(r"\\([\\()\[\]{}:=, \t])", r"\1", plain)))


def _key(text: str) -> str:
    plain = text.strip()
    if len(plain) > 1 and plain[0] == plain[-1] and plain[0] in ("'", '"'):
        return coded(re.sub(r"\\(['\"\\])", r"\1", plain[1:-1]))
    return text if _PLAIN.fullmatch(plain) else text.replace(plain, coded(plain))
