"""What option files say of their options: comments behind the values, which YAML drops."""

from __future__ import annotations

import re
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from invset.config.compose import config_dir, own_dir

_LINE = re.compile(r"(?P<indent> *)(?P<key>\w+):(?P<value>.*?)(?:  # (?P<about>.*))?")


def abouts(group: str, option: str) -> dict[str, str]:
    """Option, such as ``weights`` or ``module._target_``, -> its comment; also those of the files
    that the file begins with. Ours, and of the folder of ``--config-dir``, which comes first.
    """
    shelves = [folder / group for folder in (own_dir(), config_dir()) if folder is not None]
    path = next(filter(Path.is_file, (shelf / f"{option}.yaml" for shelf in shelves)), None)
    if path is None:
        return {}
    raw = OmegaConf.load(path)
    before = raw.get("defaults", []) if isinstance(raw, DictConfig) else []
    found: dict[str, str] = {}
    for name in before:
        if isinstance(name, str) and name != "_self_":
            found |= abouts(group, name)
    return found | _of(path.read_text(encoding="utf-8"))


def _of(text: str) -> dict[str, str]:
    found = {}
    above: list[tuple[int, str]] = []
    for line in text.splitlines():
        read = _LINE.fullmatch(line)
        if read is None:
            continue
        indent = len(read["indent"])
        above = [one for one in above if one[0] < indent] + [(indent, read["key"])]
        if read["about"]:
            found[".".join(key for _, key in above)] = read["about"]
    return found
