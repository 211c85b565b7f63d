"""What a Python file says, without running it: its classes, their fields, and plain values."""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import inspect
import math
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any


class Unreadable(Exception):
    """A file, a class or a value can't be told from the source alone."""


@cache
def scope_of(module: str) -> Scope:
    """The names of a module.

    Raises:
        Unreadable: there is no such module, or no source of it.
    """
    path = _file(module)
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError) as error:
        raise Unreadable(f"{path}: {error}") from error
    scope = Scope(module, path.name == "__init__.py")
    for node in tree.body:
        scope.add(node)
    return scope


def _file(module: str) -> Path:
    """The file of a module; no package above it is imported, unless it is already."""
    top, *rest = module.split(".")
    spec = _top(top)
    name = top
    for part in rest:
        if spec is None or spec.submodule_search_locations is None:
            break
        name = f"{name}.{part}"
        spec = importlib.machinery.PathFinder.find_spec(name, spec.submodule_search_locations)
    if spec is None or name != module or not spec.origin or not spec.origin.endswith(".py"):
        raise Unreadable(f"there is no source of {module!r}")
    return Path(spec.origin)


def _top(name: str) -> importlib.machinery.ModuleSpec | None:
    loaded = sys.modules.get(name)
    if loaded is not None and loaded.__spec__ is not None:
        return loaded.__spec__
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError):  # an empty name, as of `_target_: build`
        return None


@dataclass
class Scope:
    """Names at the top of one file.

    Attributes:
        module: its name.
        package: whether the file is a package's ``__init__.py``.
        classes: definitions by name.
        values: what is assigned to a name.
        imports: name here -> (module, name there); an imported module has the name "".
        functions: names of functions.
    """

    module: str
    package: bool
    classes: dict[str, ast.ClassDef] = field(default_factory=dict)
    values: dict[str, ast.expr] = field(default_factory=dict)
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)
    functions: set[str] = field(default_factory=set)

    def add(self, node: ast.stmt) -> None:
        """Take in one statement."""
        if isinstance(node, ast.ClassDef):
            self.classes[node.name] = node
        elif isinstance(node, ast.FunctionDef):
            self.functions.add(node.name)
        elif isinstance(node, ast.Assign):
            self.values |= {one.id: node.value for one in node.targets if isinstance(one, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            self.values[node.target.id] = node.value
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                self.imports[alias.asname or alias.name] = (self._absolute(node), alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                self.imports[alias.asname or alias.name] = (alias.name, "")

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.module.split(".")
        above = parts[: len(parts) - node.level + self.package]
        return ".".join([*above, *([node.module] if node.module else [])])

    def origin(self, name: str) -> tuple[str, str]:
        """Module and name of what is called `name` here."""
        first, _, rest = name.partition(".")
        if first not in self.imports:
            return self.module, name
        module, there = self.imports[first]
        return (module, rest) if not there else (module, f"{there}.{rest}".rstrip("."))

    def find_class(self, name: str) -> tuple[Scope, ast.ClassDef]:
        """A class's definition and the file it is in, which may be one that this file imports.

        Raises:
            Unreadable: there is none.
        """
        if name in self.classes:
            return self, self.classes[name]
        module, there = self.origin(name)
        if module == self.module:
            raise Unreadable(f"{self.module} defines no class {name}")
        return scope_of(module).find_class(there)

    def is_dataclass(self, node: ast.ClassDef) -> bool:
        """Whether a class is decorated as one."""
        names = [
            ast.unparse(one.func if isinstance(one, ast.Call) else one)
            for one in node.decorator_list
        ]
        return any(self.origin(name) == ("dataclasses", "dataclass") for name in names)

    def base(self, node: ast.expr) -> tuple[str, str] | None:
        """Module and name of a base class that is a dataclass, or None: then it has no options."""
        name = ast.unparse(node.value if isinstance(node, ast.Subscript) else node)
        try:
            scope, found = self.find_class(name)
        except Unreadable:
            return None
        return (scope.module, found.name) if scope.is_dataclass(found) else None

    def fields(self, node: ast.ClassDef) -> Iterator[tuple[str, str, ast.expr | None]]:
        """Name, annotation and default of every field that the class itself defines."""
        for one in node.body:
            if not isinstance(one, ast.AnnAssign) or not isinstance(one.target, ast.Name):
                continue
            kind = ast.unparse(one.annotation).strip("'\"")
            if kind.startswith(("ClassVar", "typing.ClassVar")):
                continue
            call = self.call(one.value)
            if call is None or "init" not in call[2]:  # field(init=False) is no option
                yield one.target.id, kind, one.value

    def call(self, node: ast.expr | None) -> tuple[str, list[ast.expr], dict[str, ast.expr]] | None:
        """Function, positional and named arguments, or None: no call, or that of a number."""
        if not isinstance(node, ast.Call) or ast.unparse(node.func) == "float":
            return None
        named = {one.arg: one.value for one in node.keywords if one.arg is not None}
        return ast.unparse(node.func), list(node.args), named

    def made_by(self, factory: ast.expr) -> ast.expr:
        """What a ``default_factory`` makes: the body of a lambda, or a call of the name."""
        if isinstance(factory, ast.Lambda):
            return factory.body
        empty: dict[str, ast.expr] = {"list": ast.List([]), "dict": ast.Dict([], [])}
        name = ast.unparse(factory)
        return empty[name] if name in empty else ast.Call(factory, [], [])

    def literal(self, node: ast.expr) -> Any:
        """A plain value: a literal, ``math.inf``, ``float("inf")``, or a name for one.

        Raises:
            Unreadable: it is something else.
        """
        text = ast.unparse(node)
        sign = -1 if text.startswith("-") else 1
        if text.lstrip("-") in ("math.inf", "float('inf')"):
            return sign * math.inf
        if isinstance(node, (ast.Name, ast.Attribute)):
            module, name = self.origin(text)
            scope = self if module == self.module else scope_of(module)
            if name in scope.values:
                return scope.literal(scope.values[name])
            if name in scope.imports:
                return scope.literal(ast.Name(name))
        try:
            return ast.literal_eval(node)
        except (ValueError, TypeError, SyntaxError) as error:
            raise Unreadable(f"{self.module}: {text} is no plain value") from error


def attributes(node: ast.ClassDef) -> dict[str, str]:
    """Field -> what the ``Attributes:`` of a class's docstring say of it."""
    text = inspect.cleandoc(ast.get_docstring(node) or "")
    _, _, section = text.partition("Attributes:\n")
    found: dict[str, str] = {}
    names: list[str] = []
    for line in section.splitlines():
        if line and not line.startswith(" "):
            break  # the next section
        begun = re.match(r" {4}(\w+(?:, \w+)*): (.*)", line)
        if begun:
            names = begun[1].split(", ")
            found |= dict.fromkeys(names, begun[2])
        elif line.strip():
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
    return found
