"""``invset list``: the names that can be typed. What an option is, its own file says in its first
line.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, ListConfig, OmegaConf

from invset.commands.listed_layers import layers
from invset.config.compose import compose, config_dir, own_dir
from invset.config.file_comments import abouts
from invset.config.parts import components, options_of
from invset.config.published import is_published
from invset.core.checks import check_choice
from invset.errors import InvsetError, did_you_mean

log = logging.getLogger(__name__)

#: What can be listed -> what it is.
KINDS = {
    "networks": "options of network=",
    "layers": (
        "layers of a network, their shapes and neurons, and what to type with one: invset list"
        " layers network=mini"
    ),
    "neurons": "neurons of a layer: invset list neurons network=mini layer=fc8",
    "labels": (
        "names of the output's neurons, here those that hold a word: invset list labels"
        " network=caffenet volc"
    ),
    "generators": "options of generator=",
    "samplers": "options of sampler=",
    "options": (
        "options of a sampler or network, what they may be, their values and meaning: invset list"
        " options sampler=stream, invset list options network=torchvision, or invset list options"
        " train network"
    ),
    "experiments": "options of experiment=",
}


def main(cfg: DictConfig) -> None:
    """Print one thing a line.

    Raises:
        InvsetError: nothing of this kind, or none that holds the words.
    """
    if cfg.what is None:
        print("\n".join(_table(KINDS.items())))
        return
    what = str(cfg.what)
    check_choice("the word behind `invset list`", what, KINDS)
    words = [str(word) for word in cfg.words]
    if what == "options" and words[:1] == ["train"]:
        cfg = _training(words[1:2])
        words = words[2:]
    closing: Callable[[list[str]], str] | None = None
    if what == "layers":
        lines, closing = layers(cfg)
    else:
        lines = _LISTS.get(what, group)(cfg)
    kept = [line for line in lines if all(word.lower() in line.lower() for word in words)]
    if not kept:
        raise InvsetError(
            f"none of the {len(lines)} {what} holds {' and '.join(words)}.{_nearest(words, lines)}"
        )
    print("\n".join(kept), flush=True)
    if closing is not None:
        log.info("%s", closing(kept))


def _training(what: list[str]) -> DictConfig:
    """The configuration of ``invset train network`` and the like."""
    known = ("network", "generator", "autoencoder")
    check_choice("the word behind `train`", "".join(what), known)
    return compose(f"train_{what[0]}")


def _nearest(words: list[str], lines: list[str]) -> str:
    known = {word for line in lines for word in re.split(r"[\s,]+", line) if word}
    return did_you_mean(" ".join(words), sorted(known))


def _table(rows: Iterable[tuple[str, str]]) -> list[str]:
    rows = list(rows)
    width = max(len(name) for name, _ in rows)
    return [f"{name:<{width}}  {about}".rstrip() for name, about in rows]


def options(cfg: DictConfig) -> list[str]:
    """Every option of the components of a configuration: what is typed, its value, what it may be,
    and the sentence of its class's docstring.
    """
    rows = []
    for path, part in components(cfg):
        for name, option in (options_of(part) or {}).items():
            missing = OmegaConf.is_missing(part, name)
            value = "???" if missing else _shown(part[name])
            if value is not None:
                rows.append((f"{path}{name}={value}", f"{option.allowed()}: {option.about}"))
    return _table(rows + _of_network(cfg))


def _of_network(cfg: DictConfig) -> list[tuple[str, str]]:
    """Options of the network that was typed, with the comments of its file: a function makes it,
    whose options are in no class.
    """
    network = cfg.get("network")  # trainings have none
    if network is None or not HydraConfig.initialized() or options_of(network) is not None:
        return []
    made = HydraConfig.get()
    if not any(word.startswith("network=") for word in made.overrides.task):
        return []
    told = abouts("network", str(made.runtime.choices["network"]))
    rows = []
    for name, about in told.items():
        path, _, key = name.rpartition(".")
        part = OmegaConf.select(cfg.network, path) if path else cfg.network
        value = "???" if OmegaConf.is_missing(part, key) else OmegaConf.select(part, key)
        if not isinstance(value, DictConfig):
            rows.append((f"network.{name}={_shown(value)}", about))
    return rows


def _shown(value: Any) -> str | None:
    """As it is typed; None for a component, whose own options are listed."""
    if isinstance(value, DictConfig):
        return None
    if isinstance(value, ListConfig):
        return f"[{','.join(map(str, value))}]"
    if isinstance(value, bool) or value is None:
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def group(cfg: DictConfig) -> list[str]:
    """The options of a group of configs, ours and those of ``--config-dir``, each with what its
    first line says in brackets, or with its command.
    """
    found = {}
    for folder in filter(None, (config_dir(), own_dir())):
        shelf = folder / cfg.what.removesuffix("s")
        for path in shelf.rglob("*.yaml"):
            found[path.relative_to(shelf).with_suffix("").as_posix()] = about(path)
    return _table(sorted(found.items()))


def about(path: Path) -> str:
    """``# invset run …    (what it is)`` to ``what it is``; without brackets, the command."""
    lines = path.read_text(encoding="utf-8").splitlines()
    first = next((line for line in lines if not line.startswith("# @package")), "")
    command, _, rest = first.removeprefix("# ").partition("    (")
    return rest.removesuffix(")") or command


def neurons(cfg: DictConfig) -> list[str]:
    """Number and name of each neuron of a layer; where neurons have no names, which numbers there
    are.
    """
    from invset.config import build
    from invset.config.device import choose_device

    network = build.blank_network(cfg.network, choose_device(cfg.device))
    layer = network.output if cfg.layer is None else str(cfg.layer)
    shape = network.shape(layer)
    if layer == network.output and network.labels:
        return _numbered(network.labels)
    kind = {
        2: f"channels of {shape[0]} tokens, read at position=",
        3: f"channels of {'x'.join(map(str, shape[1:]))} maps, read at position=",
    }.get(len(shape), "units")
    return [f"1 to {network.units(layer)}: the neurons of {layer} have numbers only ({kind})"]


def labels(cfg: DictConfig) -> list[str]:
    """Names of the output's neurons; those of the published networks need neither weights nor
    torch.
    """
    if is_published(cfg.network) and cfg.network.labels in ("imagenet", "places205"):
        from invset.nets.labels import labels as names

        return _numbered(names(cfg.network.labels))
    return neurons(cfg)


def _numbered(names: list[str]) -> list[str]:
    return [f"{number:>4}  {name}" for number, name in enumerate(names, start=1)]


_LISTS: dict[str, Callable[[DictConfig], list[str]]] = {
    "options": options,
    "neurons": neurons,
    "labels": labels,
}
