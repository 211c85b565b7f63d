"""YAML files of options, ours and those of ``--config-dir``: read with their names as they stand
there, and with one sentence for whatever is wrong with a file.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from hydra._internal.config_repository import ConfigRepository
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf._utils import get_yaml_loader

from invset.config.names import NUMBERED, OWN, is_name, is_plain
from invset.errors import InvsetError, first_lines

#: What YAML reads as something else than a text, but for null, which is no name.
_TAGS = tuple(f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "bool"))

_TEXT = yaml.resolver.BaseResolver.DEFAULT_SCALAR_TAG


class OptionFiles(ConfigRepository):
    """Hydra's, whose folders are read by `_Folder`."""

    def initialize_sources(self, config_search_path: ConfigSearchPath) -> None:
        """Look up the folders of a search path."""
        super().initialize_sources(config_search_path)
        self.sources = [
            _Folder(one.provider, one.path) if one.scheme() == _Folder.scheme() else one
            for one in self.sources
        ]

    def load_config(self, config_path: str) -> ConfigResult | None:
        """Read a file, and what it says is to be composed with it.

        Raises:
            InvsetError: it holds no options.
        """
        try:
            return super().load_config(config_path)
        except Exception as error:  # whatever a decoder raises, it is the file's
            found = self._find_object_source(config_path, ObjectType.CONFIG)
            folder = found.path if found is not None else "."
            raise InvsetError(
                f"{Path(folder) / config_path}.yaml can't be read as options in YAML:"
                f" {first_lines(error)}"
            ) from error


class _Folder(FileConfigSource):
    def load_config(self, config_path: str) -> ConfigResult:
        file = Path(self.path) / self._normalize_file_name(config_path)
        text = file.read_text(encoding="utf-8-sig")  # editors may begin it with a BOM
        header = ConfigSource._get_header_dict(text[:512])
        return ConfigResult(self.provider, f"file://{self.path}", read(text), header)


def read(text: str) -> DictConfig | ListConfig:
    """The options of a YAML file, names as they stand there.

    Raises:
        yaml.YAMLError: it is none.
        ValueError: it holds a lone word.
    """
    return OmegaConf.create(_plain(text))


@lru_cache(maxsize=256)
def _plain(text: str) -> Any:
    """The same as lists and dictionaries, which jobs of a sweep share."""
    loader = get_yaml_loader()(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return {}
        if isinstance(node, yaml.ScalarNode):
            raise ValueError("it holds a lone word; options are key: value")
        _keep(node, ())
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _keep(node: yaml.Node, path: tuple[str, ...]) -> None:
    """Let names in a part of a file be texts, in place."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if OWN not in path and key.tag in _TAGS:
                key.tag = _TEXT
            _keep(value, (*path, str(key.value)))
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _keep(value, path)
    elif node.tag in _TAGS and is_name(path) and not _is_number(node, path):
        node.tag = _TEXT


def _is_number(node: yaml.Node, path: tuple[str, ...]) -> bool:
    return path[-1] in NUMBERED and is_plain(node.value)
