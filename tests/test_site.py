"""The site: pages name what there is, links lead somewhere, nothing is loaded from elsewhere."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import invset
from invset.config.compose import samplers

ROOT = Path(__file__).parents[1]
HOOKS = runpy.run_path(str(ROOT / "docs" / "site" / "hooks.py"))
page_of, rewritten = HOOKS["page_of"], HOOKS["rewritten"]

SCRIPT = """# %% [markdown]
# # A title
#
# Text.

# %%
x = 1
sheet.save("a-sheet.png")
"""


def test_a_script_becomes_a_page() -> None:
    code = '```python\nx = 1\nsheet.save("a-sheet.png")\n```'
    picture = "![What this cell saves](../docs/images/tutorials/a-sheet.png)"
    assert page_of(SCRIPT) == f"# A title\n\nText.\n\n{code}\n\n{picture}\n"


@pytest.mark.parametrize(
    ("folder", "page", "link", "shown"),
    [
        ("docs", "faq.md", "range.md#a", "range.md#a"),
        ("docs", "faq.md", "../CHANGELOG.md", "changelog.md"),
        ("docs", "faq.md", "../README.md", "index.md"),
        ("docs", "extending.md", "../examples", "examples.md"),
        ("docs", "extending.md", "../examples/a_medium.py", "examples/a_medium.py"),
        ("docs", "index.md", "../examples/tutorial_horse.py", "tutorials/horse.md"),
        ("docs/models", "models/mini.md", "../judge.md", "../judge.md"),
        ("", "changelog.md", "docs/judge.md", "judge.md"),
        ("examples", "tutorials/horse.md", "../docs/judge.md", "../judge.md"),
        ("docs", "faq.md", "https://arxiv.org/abs/1910.04857", "https://arxiv.org/abs/1910.04857"),
        ("docs", "faq.md", "#here", "#here"),
    ],
)
def test_links_lead_to_pages(folder: str, page: str, link: str, shown: str) -> None:
    assert rewritten(f"see [it]({link}).", folder, page) == f"see [it]({shown})."


def text_of(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def test_the_api_has_every_public_name() -> None:
    shown = re.findall(r"^::: invset\.[\w.]+\.(\w+)$", text_of("api.md"), re.MULTILINE)
    assert set(invset.__all__) - {"__version__"} - set(shown) == set()


def test_the_table_of_samplers_has_all() -> None:
    lines = text_of("samplers.md").splitlines()
    table = [line for line in lines if line.startswith("| `") and "`sampler=`" not in line]
    named = [name for row in table for name in re.findall(r"`(\w+)`", row.split(" | ")[0])]
    assert sorted(named) == sorted(samplers())
    for row in table:
        file = re.search(r"`(\w+\.py)`", row)
        assert file is not None, row
        folder = "studies" if "`invset/studies/`" in row else "samplers"
        assert (ROOT / "invset" / folder / file[1]).is_file(), row


def test_variables_that_are_read_are_in_the_table() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "invset").rglob("*.py"))
    read = re.findall(r"os\.environ(?:\.get\(|\[)\"(\w+)\"", source)
    assert "INVSET_CACHE" in read
    inside = {"COMP_LINE"}  # the shell's own, when it completes
    assert [name for name in read if f"`{name}`" not in text_of("install.md")] == [
        name for name in read if name in inside
    ]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for name in ("mkdocs", "material", "mkdocstrings"):
        if importlib.util.find_spec(name) is None:
            pytest.skip("needs the extra docs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(folder)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_there_and_found(site: Path) -> None:
    for page in ("index", "tutorials/horse", "samplers", "glossary", "faq", "api", "changelog"):
        assert (site / f"{page}.html").is_file(), page
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    places = {one["location"] for one in index["docs"]}
    assert "faq.html#my-range-was-not-reached-why" in places
    assert any(place.startswith("api.html#invset.problem.result.Result.save") for place in places)
    assert (site / "examples" / "a_sampler.py").read_bytes() == (
        ROOT / "examples" / "a_sampler.py"
    ).read_bytes()
    assert not (site / "site" / "hooks.py").exists()


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    loads = re.compile(r"<(?:script|img|iframe|link)\b[^>]*(?:src|href)=\"?(?:https?:)?//[^>]*>")
    found = {
        f"{page.relative_to(site)}: {tag}"
        for page in site.rglob("*.html")
        for tag in loads.findall(page.read_text(encoding="utf-8"))
    }
    assert found == set()


def test_source_stands_in_no_page_as_text(site: Path) -> None:
    """A list or a table that Markdown did not see would show its marks."""
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        body = re.sub(r"<(pre|code|script|style)\b.*?</\1>", "", text, flags=re.DOTALL)
        plain = re.sub(r"<[^>]+>", "", body)
        assert not re.search(r"^\s*(\|.*\||```|#{1,4} )", plain, re.MULTILINE), page.name
        assert "](" not in plain, page.name
        assert not re.search(r"<p>[^<]*\n- ", body), page.name
