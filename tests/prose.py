"""Prose of the documents: the length of sentences, and words that have another name here.

python tests/prose.py             # what is against tests/prose.yaml, and exit code 1 if anything is
python tests/prose.py figures     # sentence length of each document: median, 90th percentile
"""

from __future__ import annotations

import re
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]

_FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
#: Marks at the beginning of a line: list items, quotes.
_MARK = re.compile(r"^\s*([-*>]|\d+\.)\s+")
_END = re.compile(r"(?<=[.?!])[)\"*_]*\s+")


@dataclass(frozen=True)
class Sentence:
    """A sentence, with the number from 1 of the line that its paragraph begins in."""

    line: int
    text: str

    @property
    def words(self) -> int:
        """Words; what is in code marks is one, and signs are none."""
        return len(re.findall(r"[^\W_][\w.,'’×°%/=-]*", self.text))


@cache
def rules() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "tests" / "prose.yaml").read_text(encoding="utf-8"))


def text_of(path: Path) -> str:
    """A document's Markdown; of a script in cells, that of its cells of text, line by line."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return text
    lines = []
    inside = False
    for line in text.splitlines():
        if line.startswith("# %%"):
            inside = "[markdown]" in line
        shown = inside and line.startswith("#") and not line.startswith("# %%")
        lines.append(line[2:] if shown else "")
    return "\n".join(lines)


def paragraphs(text: str) -> Iterator[tuple[int, str]]:
    """Paragraphs and list items in one line each, and where they begin; no code, headings, tables,
    pictures or comments.
    """
    blank = _FENCED.sub(lambda found: "\n" * found[0].count("\n"), text)
    blank = re.sub(r"<!--.*?-->", lambda found: "\n" * found[0].count("\n"), blank, flags=re.DOTALL)
    begun, held = 0, []
    after_blank = True
    for number, line in enumerate([*blank.splitlines(), ""], start=1):
        code = line.startswith("    ") and after_blank and not _MARK.match(line)
        skipped = code or re.match(r"\s*(#|\||!\[|---)", line) or not line.strip()
        if held and (skipped or _MARK.match(line)):
            yield begun, " ".join(held)
            held = []
        if not skipped:
            begun = begun if held else number
            held.append(_MARK.sub("", line).strip())
        # lines of a code block follow each other without a blank
        after_blank = not line.strip() or code


def sentences(text: str) -> Iterator[Sentence]:
    """Sentences of a document."""
    for line, paragraph in paragraphs(text):
        plain = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", paragraph)
        plain = re.sub(r"`[^`]*`", "\0code", plain)
        plain = re.sub(r"\b(e\.g|i\.e|et al|eq|cf|vs)\.", r"\1", plain)
        plain = re.sub(r"\*+|(?<!\w)_|_(?!\w)", "", plain)
        for one in _END.split(plain):
            if one.strip():
                yield Sentence(line, one.strip().replace("\0", ""))


def faults(path: Path) -> list[str]:
    """What is against the rules in a document, each with file and line."""
    name = path.relative_to(ROOT).as_posix()
    text = text_of(path)
    found = [
        f"{name}:{one.line}: {one.words} words, at most {rules()['longest']}: {one.text}"
        for one in sentences(text)
        if one.words > rules()["longest"]
    ]
    for line, paragraph in paragraphs(text):
        plain = re.sub(r"`[^`]*`", "", paragraph)
        for word, better in rules()["instead"].items():
            hit = re.search(word, plain, re.IGNORECASE)
            if hit:
                found.append(f"{name}:{line}: {hit[0]!r}: write {better}")
    return found


def glossary() -> dict[str, str]:
    """Words of the glossary and what they mean."""
    text = (ROOT / rules()["glossary"]["page"]).read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", text, re.MULTILINE)
    return {word: meaning for word, meaning in rows if word != "word"}


def figures() -> Iterator[str]:
    """A line for each document."""
    listed = set(rules()["pages"])
    documents = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    for path in documents:
        counts = [one.words for one in sentences(text_of(path))]
        name = path.relative_to(ROOT).as_posix()
        if len(counts) > 1:
            high = statistics.quantiles(counts, n=10)[-1]
            held = "held" if name in listed else ""
            yield f"{name:32} {len(counts):4} {statistics.median(counts):5.1f} {high:5.1f} {held}"


def main() -> int:
    if sys.argv[1:] == ["figures"]:
        print(f"{'document':32} sentences, median, 90th percentile of words")
        print("\n".join(figures()))
        return 0
    found = [fault for page in rules()["pages"] for fault in faults(ROOT / page)]
    print("\n".join(found) or f"{len(rules()['pages'])} pages are as tests/prose.yaml says")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
