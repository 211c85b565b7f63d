"""The options of a component, read from the source of its class, so that torch is not imported.

A component is a frozen dataclass that a configuration names by `_target_`. Its fields are its
options; types, defaults, bounds and words stand there and nowhere else (`invset.core.options`).
`read` finds them without running the file: annotated fields, literal defaults, calls of ``option``
and ``field``, the fields of base classes, and what the docstring's ``Attributes:`` say of each.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, make_dataclass
from functools import cache
from typing import Any

from omegaconf import DictConfig, Node, OmegaConf

from invset.config.source import Scope, Unreadable, attributes, scope_of
from invset.core.options import Bounds, check_option

#: Annotation -> the type that OmegaConf holds a value to; other annotations take any value.
_TYPES = {"int": int, "float": float, "bool": bool}


@dataclass(frozen=True)
class Option:
    """One field of a component.

    Attributes:
        name: of the field.
        kind: the annotation, for example "float" or "int | None".
        default: a plain value, a dictionary with `_target_` for another component, or MISSING.
        bounds: of numbers, and words of a text.
        about: what the docstring says; empty if nothing.
    """

    name: str
    kind: str
    default: Any
    bounds: Bounds
    about: str

    def check(self, key: str, value: Any) -> None:
        """Raise `InvsetError` unless `value` can be this option's; `key` is what was typed."""
        check_option(key, value, self.kind, self.bounds, self.default)

    def is_off(self, node: Any) -> bool:
        """Whether a node is the word "off", which YAML reads as false."""
        value = node._value() if isinstance(node, Node) else node
        return value is False and self.bounds.words is not None and "off" in self.bounds.words

    def allowed(self) -> str:
        """What the value may be, in words, for example "a number above 0 and at most 1"."""
        return self.bounds.allowed(self.kind)


@cache
def read(target: str) -> dict[str, Option] | None:
    """The options of the dataclass that ``_target_: TARGET`` names, in the order of its fields.

    Returns:
        None where there is no such dataclass, or one whose fields can't be read from its source:
        its values are checked when it is made.
    """
    module, _, name = target.rpartition(".")
    try:
        return _options(module, name)
    except Unreadable:
        return None


def _options(module: str, name: str) -> dict[str, Option]:
    scope, node = scope_of(module).find_class(name)
    if not scope.is_dataclass(node):
        raise Unreadable(f"{module}.{name} is no dataclass")
    found: dict[str, Option] = {}
    for base in reversed(node.bases):
        path = scope.base(base)
        if path is not None:
            found |= _options(*path)
    abouts = attributes(node)
    for known, about in abouts.items():
        if known in found:
            found[known] = Option(**{**vars(found[known]), "about": about})
    for one, kind, value in scope.fields(node):
        about = abouts.get(one) or (found[one].about if one in found else "")
        default, bounds = _default(scope, value)
        found[one] = Option(one, kind, default, bounds, about)
    return found


def _default(scope: Scope, value: Any) -> tuple[Any, Bounds]:
    """Default and bounds of a field, from what stands behind its ``=``."""
    call = scope.call(value)
    if call is None:
        return (MISSING if value is None else component(scope, value)), Bounds()
    function, positional, named = call
    if function == "option":
        default = positional[0] if positional else named.pop("default", None)
        bounds = Bounds(**{key: scope.literal(node) for key, node in named.items()})
        return (MISSING if default is None else component(scope, default)), bounds
    if function == "field":
        factory = named.get("default_factory")
        default = scope.made_by(factory) if factory is not None else named.get("default")
        return (MISSING if default is None else component(scope, default)), Bounds()
    return component(scope, value), Bounds()


def component(scope: Scope, value: Any) -> Any:
    """A literal; or ``Adam(0.15)`` as ``{_target_: …steps.Adam, lr: 0.15, …}``."""
    call = scope.call(value)
    if call is None:
        return scope.literal(value)
    function, positional, named = call
    module, name = scope.origin(function)
    options = read(f"{module}.{name}")
    if options is None:
        raise Unreadable(f"{function}(…) is no dataclass that can be read")
    given = dict(zip(options, (scope.literal(node) for node in positional), strict=False))
    given |= {key: scope.literal(node) for key, node in named.items()}
    defaults = {one.name: one.default for one in options.values() if one.default is not MISSING}
    values = {name: given.get(name, defaults.get(name, "???")) for name in options}
    return {"_target_": f"{module}.{name}", **values}


def structured(target: str) -> DictConfig | None:
    """The component as OmegaConf's structured config, every option at its default ("???" where
    there is none), which knows its keys and converts their values; None as `read`.
    """
    options = read(target)
    if options is None:
        return None
    fields: list[Any] = [("_target_", str, field(default=target))]
    fields += [(one.name, _type(one.kind), _field(one.default)) for one in options.values()]
    return OmegaConf.structured(make_dataclass(target.rpartition(".")[2], fields))


def _type(kind: str) -> Any:
    plain, _, optional = kind.partition(" | ")
    if plain not in _TYPES or optional not in ("", "None"):
        return Any
    return _TYPES[plain] | None if optional else _TYPES[plain]


def _field(default: Any) -> Any:
    if default is MISSING:
        return field(default="???")
    if isinstance(default, (list, tuple, dict)):
        return field(
            default_factory=lambda: list(default) if isinstance(default, tuple) else default
        )
    return field(default=default)
