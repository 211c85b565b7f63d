"""The components of a configuration: parts with a class of their own, whose options they have."""

from __future__ import annotations

from collections.abc import Iterator

from omegaconf import DictConfig, OmegaConf

from invset.config import schema


def fill_in(node: DictConfig, targets: dict[str, str], path: str = "") -> None:
    """Lay every component of a configuration over the options of its class, in place.

    Args:
        node: a part of the configuration.
        targets: path -> class that was typed in place of the file's; of what the file gives, it
            gets the options that it has.
        path: of `node`, with a dot behind it.
    """
    for key, part in parts(node):
        here = f"{path}{key}"
        if here == "hydra":
            continue
        typed = targets.get(here)
        filled = schema.structured(typed or _target(part) or "")
        if filled is not None:
            node[key] = _laid_over(filled, part, typed)
            part = node[key]
        fill_in(part, targets, f"{here}.")


def _laid_over(filled: DictConfig, part: DictConfig, typed: str | None) -> DictConfig:
    if typed is not None:
        known = {key: part._get_node(key) for key in part if key in filled}
        part = OmegaConf.create({**known, "_target_": typed})
    for key, inner in parts(part):
        default = filled._get_node(key) if key in filled else None
        if isinstance(default, DictConfig) and _target(inner) not in (None, _target(default)):
            filled[key] = {}  # options of the class by default are none of the one that is given
    filled.merge_with(part)
    options = schema.read(filled["_target_"]) or {}
    for key in map(str, part):
        if OmegaConf.is_missing(part, key):  # a value that the file wants to be typed
            filled[key] = "???"
        elif key in options and options[key].is_off(part._get_node(key)):
            filled[key] = "off"
    return filled


def parts(node: DictConfig) -> Iterator[tuple[str, DictConfig]]:
    """What holds options of its own in a part of a configuration, by its key."""
    for key in list(node):
        part = node._get_node(key)
        if isinstance(part, DictConfig) and not part._is_none() and not part._is_missing():
            yield str(key), part


def components(node: DictConfig, path: str = "") -> Iterator[tuple[str, DictConfig]]:
    """Every component of a configuration whose options are known, with what is typed before its
    keys, for example ``sampler.step.``.
    """
    for key, part in parts(node):
        if key == "hydra":
            continue
        if options_of(part) is not None:
            yield f"{path}{key}.", part
        yield from components(part, f"{path}{key}.")


def options_of(part: DictConfig) -> dict[str, schema.Option] | None:
    """The options of a component, or None where it names no class that can be read."""
    return schema.read(_target(part) or "")


def _target(part: DictConfig) -> str | None:
    if "_target_" not in part or OmegaConf.is_missing(part, "_target_"):
        return None
    return str(part["_target_"])
