"""The YAML of a run's folder, which may be somebody else's: read, and nothing more."""

from __future__ import annotations

from pathlib import Path

import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from invset.errors import InvsetError, first_lines

#: Bytes. A configuration is text that a person may read.
_LARGEST = 10_000_000


def read_yaml(path: Path) -> DictConfig | ListConfig:
    """A configuration, with nothing in it resolved.

    Raises:
        InvsetError: it can't be read, is no YAML, is large, or repeats parts of itself by name,
            which multiplies it.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise InvsetError(f"{path} is larger than any configuration; it is not read")
        text = path.read_text(encoding="utf-8")
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise InvsetError(f"{path} has an alias (*name), which invset does not write")
        return OmegaConf.create(text)  # type: ignore[return-value]
    except (OSError, ValueError, yaml.YAMLError, OmegaConfBaseException, RecursionError) as error:
        raise InvsetError(f"{path} is no configuration. {first_lines(error)}".strip()) from error
