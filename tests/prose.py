"""Prose of the documents, help, errors and configurations: the length of sentences, and words that
have another name here.

python tests/prose.py             # what is against tests/prose.yaml, and exit code 1 if anything is
python tests/prose.py PAGE …      # the same of pages, listed in prose.yaml or not
python tests/prose.py figures     # of each document: median and 90th percentile of words, faults
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

import prose_texts
import yaml

ROOT = Path(__file__).parents[1]

#: Texts outside the documents -> what gives them.
TEXTS = {
    "comments": prose_texts.comments,
    "help": prose_texts.helps,
    "errors": prose_texts.errors,
}

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
    """Paragraphs, list items, and cells of tables that end as a sentence does, in one line each,
    and where they begin; no code, headings, pictures or comments.
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
        if line.lstrip().startswith("|"):
            for cell in re.split(r"(?<!\\)\|", line):
                if re.search(r"[.?!][)\"*_]*$", cell.strip()):
                    yield number, cell.strip()
        # lines of a code block follow each other without a blank
        after_blank = not line.strip() or code


def sentences(text: str) -> Iterator[Sentence]:
    """Sentences of a document."""
    for line, paragraph in paragraphs(text):
        yield from split(line, paragraph)


def split(line: int, paragraph: str) -> Iterator[Sentence]:
    """Sentences of a paragraph that begins in `line`."""
    plain = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", paragraph)
    plain = re.sub(r"`[^`]*`", "\0code", plain)
    plain = re.sub(r"\b(e\.g|i\.e|et al|eq|cf|vs)\.", r"\1", plain)
    plain = re.sub(r"\*+|(?<!\w)_|_(?!\w)", "", plain)
    for one in _END.split(plain):
        if one.strip():
            yield Sentence(line, one.strip().replace("\0", ""))


def _faults(place: str, line: int, paragraph: str) -> Iterator[str]:
    """What is against the rules in a paragraph."""
    for one in split(line, paragraph):
        if one.words > rules()["longest"]:
            yield f"{place}: {one.words} words, at most {rules()['longest']}: {one.text}"
    plain = re.sub(r"`[^`]*`", "", paragraph)
    for word, better in rules()["instead"].items():
        hit = re.search(word, plain, re.IGNORECASE)
        if hit:
            yield f"{place}: {hit[0]!r}: write {better}"


def faults(path: Path) -> list[str]:
    """What is against the rules in a document, each with file and line."""
    name = path.relative_to(ROOT).as_posix()
    return [
        fault
        for line, paragraph in paragraphs(text_of(path))
        for fault in _faults(f"{name}:{line}", line, paragraph)
    ]


def faults_of_texts(kind: str) -> list[str]:
    """What is against the rules in the texts of a kind of `TEXTS`, each with its place."""
    return [fault for place, text in TEXTS[kind]() for fault in _faults(place, 0, text)]


def glossary() -> dict[str, str]:
    """Words of the glossary and what they mean."""
    text = (ROOT / rules()["glossary"]["page"]).read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", text, re.MULTILINE)
    return {word: meaning for word, meaning in rows if word != "word"}


def figures() -> Iterator[str]:
    """A line for each document and kind of text, and one for all."""
    documents = [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    ]
    everything: list[int] = []
    for path in documents:
        counts = [one.words for one in sentences(text_of(path))]
        everything += counts
        name = path.relative_to(ROOT).as_posix()
        yield _figures(name, counts, faults(path), name in rules()["pages"])
    yield _figures("all documents", everything, [], False)
    for kind, texts in TEXTS.items():
        counts = [one.words for _, text in texts() for one in split(0, text)]
        yield _figures(kind, counts, faults_of_texts(kind), kind in rules()["texts"])
    wide = ", ".join(f"{folder} {n}" for folder, n in prose_texts.wide_lines().items())
    yield f"lines of more than 100 columns: {wide}"


def _figures(name: str, counts: list[int], found: list[str], held: bool) -> str:
    high = statistics.quantiles(counts, n=10)[-1] if len(counts) > 1 else 0
    long = sum(words > rules()["longest"] for words in counts)
    others = sum(": write " in fault for fault in found)
    middle = statistics.median(counts)
    numbers = f"{len(counts):5} {middle:5.1f} {high:5.1f} {long:5} {others:5}"
    return f"{name:32} {numbers} {'held' if held else ''}".rstrip()


def main() -> int:
    if sys.argv[1:] == ["figures"]:
        print(f"{'document':32} sentences; words: median, 90th percentile; too long; other words")
        print("\n".join(figures()))
        return 0
    pages = [Path(name).resolve() for name in sys.argv[1:]]
    found = [
        fault
        for page in pages or [ROOT / name for name in rules()["pages"]]
        for fault in faults(page)
    ]
    if not pages:
        found += [fault for kind in rules()["texts"] for fault in faults_of_texts(kind)]
    print("\n".join(found) or f"{len(rules()['pages'])} pages are as tests/prose.yaml says")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
