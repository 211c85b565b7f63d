"""Prose that stands in configurations and code: comments of YAML, help, and messages of errors.

Each function gives texts with the file and the line that they begin in. What a program fills in,
and what stands in code marks, is one word.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import yaml

from invset.cli import COMMANDS
from invset.config.source import attributes

ROOT = Path(__file__).parents[1]

#: A place, such as ``configs/run.yaml:12``, and the text that begins there.
Text = tuple[str, str]

Node = TypeVar("Node", bound=ast.AST)

_FILLED_IN = "`…`"
#: What is typed as it stands: a quoted 'key=value', or key=value.
_TYPED = re.compile(r"(?<!\w)'[^']*[=:][^']*'(?!\w)|[\w.]+=(?:[^\s,;)]*[^\s,;:.)])?")
#: A comment that is a command, with what it does in parentheses behind four blanks.
_COMMAND = re.compile(r"invset .*?(?:\s{2,}\((.*)\))?$")
_COMMENT = re.compile(r"^(?P<before>[^#'\"]*|(?:[^#'\"]|'[^']*'|\"[^\"]*\")*?)(?:^|\s)# ?(.*)$")


def comments() -> Iterator[Text]:
    """Comments of all files in configs/; lines of comment alone, one below the other, are one."""
    for path in sorted((ROOT / "configs").rglob("*.yaml")):
        begun, held = 0, ""
        for number, line in enumerate([*path.read_text(encoding="utf-8").splitlines(), ""], 1):
            found = _COMMENT.match(line)
            alone = found is not None and not found["before"].strip()
            if held and not alone:
                yield _place(path, begun), _TYPED.sub(_FILLED_IN, held)
                held = ""
            if found is None:
                continue
            text = _plain(found[2])
            if not alone:
                yield _place(path, number), _TYPED.sub(_FILLED_IN, text)
            elif text:
                begun = begun if held else number
                held = f"{held} {text}".strip()


def _plain(comment: str) -> str:
    """What a comment says beside a command."""
    command = _COMMAND.fullmatch(comment)
    if command:
        return command[1] or ""
    return "" if comment.startswith("@package") else comment


def helps() -> Iterator[Text]:
    """What --help says of each command, and what the options' docstrings say."""
    for name, (_, config, about) in COMMANDS.items():
        yield f"invset {name}", about.split(":  ")[0]
        if config is not None:
            cfg = yaml.safe_load((ROOT / "configs" / f"{config}.yaml").read_text(encoding="utf-8"))
            header = cfg.get("hydra", {}).get("help", {}).get("header", "")
            yield f"configs/{config}.yaml", header.partition(": ")[2]
    for path, node in _nodes(ast.ClassDef):
        if any(_calls(value, "option") for value in ast.walk(node)):
            for option, about in attributes(node).items():
                told = _TYPED.sub(_FILLED_IN, about)
                yield _place(path, node.lineno), f"`{option}`: {told}"


def errors() -> Iterator[Text]:
    """The messages of ``InvsetError(…)`` that stand where it is made."""
    for path, node in _nodes(ast.Call):
        if _calls(node, "InvsetError") and node.args:
            text = _text(node.args[0])
            if text != _FILLED_IN:
                yield _place(path, node.lineno), _TYPED.sub(_FILLED_IN, text)


def _nodes(kind: type[Node]) -> Iterator[tuple[Path, Node]]:
    for path in sorted((ROOT / "invset").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, kind):
                yield path, node


def _calls(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def _text(node: ast.expr) -> str:
    """A text as far as it stands in the source."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(map(_text, node.values))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left) + _text(node.right)
    return _FILLED_IN


def _place(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT).as_posix()}:{line}"


def wide_lines(most: int = 100) -> dict[str, int]:
    """Lines of more than `most` columns in each folder of code and configurations."""
    folders = {"configs": "*.yaml", "invset": "*.py", "tests": "*.py", "benchmarks": "*.py"}
    counts = {}
    for folder, pattern in folders.items():
        lines = (
            line
            for path in (ROOT / folder).rglob(pattern)
            for line in path.read_text(encoding="utf-8").splitlines()
        )
        counts[folder] = sum(len(line) > most for line in lines)
    return counts
