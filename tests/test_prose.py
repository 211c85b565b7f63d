"""Prose of the pages that tests/prose.yaml names, and the counting itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from prose import (
    ROOT,
    TEXTS,
    faults,
    faults_of_texts,
    glossary,
    paragraphs,
    rules,
    sentences,
    text_of,
)


@pytest.mark.parametrize("page", rules()["pages"])
def test_a_page_is_as_the_rules_say(page: str) -> None:
    assert faults(ROOT / page) == []


@pytest.mark.parametrize("kind", rules()["texts"])
def test_comments_help_and_errors_are_as_the_rules_say(kind: str) -> None:
    assert faults_of_texts(kind) == []


YAML = """# @package _global_
# invset run a=1    (what it does)
x: "#"  # a meaning; null: 'b={c: 1}' is short for b.c=2: docs/b.md
"""

CODE = '''class A:
    """A component.

    Attributes:
        k: codes
            at a time.
    """

    k: int = option(1, at_least=1)


def check(x):
    raise InvsetError(f"x={x} is bad; " "type " + known(x))
'''


def test_texts_outside_the_documents_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prose_texts.ROOT", tmp_path)
    about = {"run": ("module", None, "do it:  invset run a=1")}
    monkeypatch.setattr("prose_texts.COMMANDS", about)
    for folder, name, text in (("configs", "a.yaml", YAML), ("invset", "a.py", CODE)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text(text, encoding="utf-8")
    assert {kind: list(texts()) for kind, texts in TEXTS.items()} == {
        "comments": [
            ("configs/a.yaml:2", "what it does"),
            ("configs/a.yaml:3", "a meaning; null: `…` is short for `…`: docs/b.md"),
        ],
        "help": [("invset run", "do it"), ("invset/a.py:1", "`k`: codes at a time.")],
        "errors": [("invset/a.py:13", "`…` is bad; type `…`")],
    }


def test_the_glossary_is_short_and_in_order() -> None:
    words = list(glossary())
    assert 15 <= len(words) <= rules()["glossary"]["most"]
    assert words == sorted(words, key=str.lower)
    assert all(len(meaning.split()) <= rules()["longest"] for meaning in glossary().values())


TEXT = """# A heading. It does not count

One two `a b c` four, see
[five six](there.md). Seven eight by Vendi et al. 2023!

| a table | it has a sentence. |

- an item
  that goes on
- another. It ends

    code. is not prose
    nor. this

```python
x = "nor. this"
```

The last.
"""


def test_sentences_are_found() -> None:
    assert [(one.line, one.words, one.text) for one in sentences(TEXT)] == [
        (3, 7, "One two code four, see five six."),
        (3, 7, "Seven eight by Vendi et al 2023!"),
        (6, 4, "it has a sentence."),
        (8, 5, "an item that goes on"),
        (10, 1, "another."),
        (10, 2, "It ends"),
        (19, 2, "The last."),
    ]


def test_cells_of_a_script_are_read() -> None:
    script = ROOT / "examples" / "tutorial_horse.py"
    lines = [line for line, _ in paragraphs(text_of(script))]
    source = script.read_text(encoding="utf-8").splitlines()
    assert len(lines) > 5
    assert all(source[line - 1].startswith("# ") for line in lines)


def test_faults_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prose.ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(f"Fine.\n\n{'word ' * 26}end.\n\nThe rungs of `the rung`.\n", encoding="utf-8")
    rules_file = Path(__file__).with_name("prose.yaml")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "prose.yaml").write_bytes(rules_file.read_bytes())
    long, word = faults(page)
    assert long.startswith("page.md:3: 27 words, at most 25")
    assert word == "page.md:5: 'rungs': write row of the ladder"
