"""What MkDocs does beside what mkdocs.yml says: the site shows files that lie outside of docs/.

Pages link to files as they lie in the repository, so that the links work there, too. Here
``../CHANGELOG.md`` becomes the page of the changelog, and a file of ``examples/`` a file of the
site. Tutorials are scripts in cells (``# %%``), and become pages.
"""

from __future__ import annotations

import ast
import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

#: Documents of the top folder, and the pages that they become.
DOCUMENTS = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "README.md": "index.md",
    "examples": "examples.md",
}

#: Where the pictures of tutorials lie.
PICTURES = "images/tutorials"

_CELL = re.compile(r"^# %%(.*)\n", re.MULTILINE)
_LINK = re.compile(r"(\]\()([^)\s#]+)((?:#[^)\s]*)?\))")


def page_of(script: str) -> str:
    """Cells of a script as Markdown; links of its text are those of a file in examples/.

    A picture that a cell saves stands below it.

    Args:
        script: source in cells.
    """
    _, *parts = _CELL.split(script)
    cells = zip(parts[::2], parts[1::2], strict=True)
    return "\n\n".join(_cell(kind, body.strip("\n")) for kind, body in cells) + "\n"


def _cell(kind: str, body: str) -> str:
    if "[markdown]" in kind:
        return re.sub(r"^# ?", "", body, flags=re.MULTILINE)
    pictures = re.findall(r'\.save\("([\w-]+\.png)"\)', body)
    shown = [f"![What this cell saves](../docs/{PICTURES}/{name})" for name in pictures]
    return "\n\n".join([f"```python\n{body}\n```", *shown])


def tutorials() -> dict[str, Path]:
    """Pages of tutorials, and their scripts."""
    scripts = sorted((ROOT / "examples").glob("tutorial_*.py"))
    return {f"tutorials/{path.stem.removeprefix('tutorial_')}.md": path for path in scripts}


def examples_page() -> str:
    """A page that lists the examples, each with the first line of its docstring."""
    lines = ["# Examples", "", "Files that run. Each says at its top what is typed.", ""]
    for path in example_files():
        name = path.relative_to(ROOT).as_posix()
        lines.append(f"- [{name}]({name}): {_about(path)}")
    return "\n".join(lines) + "\n"


def example_files() -> list[Path]:
    """Files of examples/ that a person reads."""
    kinds = {".py", ".yaml", ".csv", ".jinja"}
    return sorted(path for path in (ROOT / "examples").rglob("*") if path.suffix in kinds)


def _about(path: Path) -> str:
    """What a file says of itself."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        heading = re.search(r"^# # (.*)", text, re.MULTILINE)
        docstring = ast.get_docstring(ast.parse(text))
        return (
            heading[1] if heading else (docstring or path.stem).split("\n\n")[0].replace("\n", " ")
        )
    first = text.splitlines()[0]
    return f"`{first.removeprefix('# ')}`" if path.suffix == ".yaml" else "read by the above"


def rewritten(text: str, folder: str, page: str) -> str:
    """Markdown with links to files of the repository as links of the site.

    Args:
        text: of a document.
        folder: of the repository that its links begin in, for example "docs/models".
        page: of the site that shows it, for example "models/mini.md".
    """

    def link(found: re.Match[str]) -> str:
        target = found[2]
        if re.match(r"[a-z]+:", target):
            return found[0]
        return (
            f"{found[1]}{_to(posixpath.normpath(posixpath.join(folder, target)), page)}{found[3]}"
        )

    return _LINK.sub(link, text)


def _to(file: str, page: str) -> str:
    """The link from a page to what shows a file of the repository."""
    scripts = {path.relative_to(ROOT).as_posix(): name for name, path in tutorials().items()}
    shown = {**DOCUMENTS, **scripts}.get(file, file.removeprefix("docs/"))
    return posixpath.relpath(shown, posixpath.dirname(page) or ".")


# what MkDocs calls


def on_files(files: Any, config: Any) -> Any:
    """Add the pages and files that are made here."""
    from mkdocs.structure.files import File

    made = {shown: ROOT / name for name, shown in DOCUMENTS.items() if name.endswith(".md")}
    made.pop("index.md")
    for page, path in made.items():
        text = rewritten(path.read_text(encoding="utf-8"), "", page)
        files.append(File.generated(config, page, content=text))
    for page, path in tutorials().items():
        text = rewritten(page_of(path.read_text(encoding="utf-8")), "examples", page)
        files.append(File.generated(config, page, content=text))
    files.append(File.generated(config, "examples.md", content=examples_page()))
    for path in example_files():
        name = path.relative_to(ROOT).as_posix()
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Let the links of a page of docs/ lead to pages."""
    if page.file.generated_by:
        return markdown
    folder = posixpath.join("docs", posixpath.dirname(page.file.src_uri))
    return rewritten(markdown, folder, page.file.src_uri)
