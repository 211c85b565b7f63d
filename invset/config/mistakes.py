"""What was mistyped, in one sentence, from what Hydra raises over several lines."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from invset.errors import did_you_mean

#: Most options of a group that a sentence lists.
_MANY = 20


def config_dir() -> Path:
    """configs/ lies inside an installed package, and beside it in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def one_sentence(error: Exception, config: str) -> str:
    """What was wrong, and what to type instead.

    Args:
        error: of Hydra or OmegaConf.
        config: name of the command's configuration.
    """
    text = " ".join(str(error).split())
    text = (
        text.split(" To append to your config")[0]
        .split(" full_key:")[0]
        .split(" See https://hydra.cc")[0]
    )
    text = (
        text.split(" Config search path")[0].split(", set env var HYDRA_FULL_ERROR")[0].rstrip(".")
    )
    found = re.match(r"In '.*': Could not find '([^/']*)/([^']*)'", text)
    if found:
        return _no_option(*found.groups())
    found = re.search(r"Missing mandatory value: (\S+)", text)
    if found:
        return _missing(found[1])
    found = re.match(r"Ambiguous value for argument '([^=']*)=(.*?)' 1\.", text)
    if found:
        key, values = found.groups()
        return (
            f"{key} got several values: a list is typed '{key}=[{values}]', and a sweep over them"
            " needs -m"
        )
    override = getattr(error, "override", None)  # of OverrideParseException
    if override and "=" not in override:
        return f"options are typed key=value, not {override}"
    if override:
        return (
            f"can't read {override}: are all brackets and quotes closed? A list is typed"
            " 'key=[a,b]', several words 'key=\"a b\"'"
        )
    found = re.match(r"Could not override '([^']*)'", text)
    if found:
        return _no_key(found[1], config)
    return text + "."


def _no_option(group: str, option: str) -> str:
    known = sorted(
        p.relative_to(config_dir() / group).with_suffix("").as_posix()
        for p in (config_dir() / group).rglob("*.yaml")
    )
    same = [name for name in known if name.endswith(f"/{option}")]  # experiment=fig1
    hint = f" Did you mean {', '.join(same)}?" if same else did_you_mean(option, known)
    names = (
        f"It has {', '.join(known)}" if len(known) <= _MANY else f"All names: invset list {group}s"
    )
    return f"{group} has no option {option}.{hint} {names}"


def _missing(key: str) -> str:
    """With the comment that the option has in its file."""
    name = key.split(".")[-1]
    lines = (
        line
        for path in sorted(config_dir().rglob("*.yaml"))
        for line in path.read_text(encoding="utf-8").splitlines()
    )
    abouts = dict.fromkeys(
        m[1] for line in lines if (m := re.match(rf"\s*{re.escape(name)}: \?\?\?  # (.*)", line))
    )
    about = f" ({next(iter(abouts))})" if len(abouts) == 1 else ""
    return f"{key} is missing; type {key}=…{about}"


def _no_key(key: str, config: str) -> str:
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        keys = _keys(compose(config))
    command = "invset " + config.replace("_", " ")
    return f"{command} has no option {key}.{did_you_mean(key, keys)} All options: {command} --help"


def _keys(node: Any, prefix: str = "") -> list[str]:
    from omegaconf import DictConfig

    keys: list[str] = []
    for key in node:
        keys.append(f"{prefix}{key}")
        value = node._get_node(key)
        if isinstance(value, DictConfig) and not value._is_none() and not value._is_missing():
            keys += _keys(value, f"{prefix}{key}.")
    return keys
