"""A configuration that lies in a folder, which may be somebody else's: it names code, and Hydra
runs what a configuration names.

What invset's own configurations name may run. Anything else runs if the person who types the
command names it, too.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from invset.config.compose import config_dir
from invset.errors import InvsetError
from invset.files.own_options import began_elsewhere

#: Classes that an option may name, and that no configuration of ours does.
_ALSO = frozenset({"invset.files.image8bit.Image8Bit", "invset.core.steps.Plain"})

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


def check_foreign(
    cfg: DictConfig,
    trust: Sequence[str],
    folder: Path,
    how: Sequence[str] = (),
    command: str = "",
) -> None:
    """Raise `InvsetError` for a configuration whose parts are not all ours or trusted.

    Args:
        cfg: of a run.
        trust: modules, or functions and classes, that may run, as ``--trust`` names them.
        folder: of the run.
        how: options that are typed to go on with it.
        command: that is typed again with ``--trust``; empty: the one that goes on with the run.
    """
    held = OmegaConf.to_container(cfg, resolve=False)
    for path, text in _texts(held):
        # a resolver reads the environment, or calls code; and what stands for much may multiply
        if re.search(r"(?<!\\)\$\{", text):
            raise InvsetError(
                f"{folder}/.hydra/config.yaml has {path}={text}, which stands for something else;"
                " put the value itself there"
            )
    _check_found(trust, folder)
    unknown: dict[str, str] = {}
    for path, target in targets(held):
        if not isinstance(target, str) or not _NAME.fullmatch(target):
            raise InvsetError(f"{folder}/.hydra/config.yaml has {path}={target}, no name of code")
        if target not in ours() and not _trusted(target, trust):
            unknown.setdefault(target, path)
    if unknown:
        names = [*trust, *unknown]
        again = f"{command} --trust {','.join(names)}" if command else go_on(folder, names, how)
        began = "" if command or all(map(_is_there, unknown)) else began_elsewhere(folder)
        if began:  # where the code lies
            again = f"cd {shlex.quote(began)}, and there {go_on(folder.resolve(), names, how)}"
        told = " and ".join(f"{target} ({path})" for target, path in unknown.items())
        raise InvsetError(
            f"the run in {folder} runs code that is not invset's: {told}; if you know it, type:"
            f" {again}"
        )


def _check_found(names: Sequence[str], folder: Path) -> None:
    """Raise `InvsetError` for a module that is named as trusted, and is not there."""
    for name in names:
        if _is_there(name):
            continue
        began = began_elsewhere(folder)
        there = f"; the run began elsewhere, so type first: cd {shlex.quote(began)}"
        raise InvsetError(
            f"--trust names {name}, but there is neither a file {name.partition('.')[0]}.py in"
            f" this directory nor an installed package{there if began else ''}"
        )


def _is_there(name: str) -> bool:
    """Whether the module of a name is found; nothing of it is run."""
    try:
        return find_spec(name.partition(".")[0]) is not None
    except (ImportError, ValueError):  # no name of a module
        return False


def go_on(folder: Path, trust: Sequence[str], how: Sequence[str] = ()) -> str:
    """The command that goes on with a run.

    Args:
        folder: of the run.
        trust: what of its code is not invset's: see `foreign`.
        how: options that take the place of the run's.
    """
    words = ["--trust", ",".join(trust)] if trust else []
    return shlex.join(["invset", "run", "--resume", str(folder), *how, *words])


def foreign(cfg: DictConfig) -> list[str]:
    """What a configuration runs that is not invset's, and that a person names who goes on."""
    named = [str(target) for _, target in targets(OmegaConf.to_container(cfg, resolve=True))]
    return sorted({target for target in named if target not in ours()})


def as_values(cfg: DictConfig) -> Any:
    """A configuration as `check_foreign` takes it back: what stands for something else is
    replaced by it.
    """
    return _literal(OmegaConf.to_container(cfg, resolve=True))


def _literal(held: Any) -> Any:
    if isinstance(held, dict):
        return {key: _literal(one) for key, one in held.items()}
    if isinstance(held, list):
        return [_literal(one) for one in held]
    return held.replace("${", r"\${") if isinstance(held, str) else held


def targets(held: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Where in a container each ``_target_`` is, and what it names."""
    for key, one in _items(held):
        inner = f"{path}.{key}" if path else str(key)
        if key == "_target_":
            yield inner, one
        yield from targets(one, inner)


def _texts(held: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a container, keys too, and where it is."""
    for key, one in _items(held):
        inner = f"{path}.{key}" if path else str(key)
        yield from ((inner, text) for text in (key, one) if isinstance(text, str))
        yield from _texts(one, inner)


def _items(held: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(held, dict):
        yield from held.items()
    elif isinstance(held, list):
        yield from enumerate(held)


@cache
def ours() -> frozenset[str]:
    """What invset's own configurations name."""
    texts = [path.read_text(encoding="utf-8") for path in config_dir().rglob("*.yaml")]
    named = (re.findall(r"_target_: (invset\.[\w.]+)", text) for text in texts)
    return _ALSO.union(*named)


def _trusted(target: str, trust: Sequence[str]) -> bool:
    """Whether a target was named, or is defined in a module that was."""
    if target in trust:
        return True
    modules = [name for name in trust if target.startswith(f"{name}.")]
    return any(_defined_in(target, name) for name in modules)


def _defined_in(target: str, module: str) -> bool:
    """Whether a trusted module, or package, defines a target: not what it has imported, as in
    ``my_network.os.system``.
    """
    holder, _, name = target.rpartition(".")
    try:
        if find_spec(holder) is None:
            return False
        import_module(holder)
    except ImportError:
        return False
    made = getattr(getattr(sys.modules[holder], name, None), "__module__", None)
    return made in (holder, module) or str(made).startswith(f"{module}.")
