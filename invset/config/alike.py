"""Jobs of a sweep that differ in plain options alone, such as ``neuron=1,2,3``: the first is
composed of all option files, and the others of the first, which takes a tenth of the time.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence

from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from invset.config.names import kept, named

#: Options of the top level that no option file, and nothing that is composed, depends on.
PLAIN = ("neuron", "z1", "z2", "range", "layer", "seed")

_PLAIN = re.compile(rf"({'|'.join(PLAIN)})=[\w.,:\[\] +-]*", re.ASCII)


class Alike:
    """Composes jobs.

    Args:
        compose: makes the configuration of a job of its words, of all option files.
    """

    def __init__(self, compose: Callable[[Sequence[str]], DictConfig]) -> None:
        self.compose = compose
        self.form: tuple[str, ...] = ()
        self.first: DictConfig | None = None
        self.parsed: list[Override] = []

    def __call__(self, words: Sequence[str]) -> DictConfig:
        """The configuration of a job.

        Args:
            words: what was typed for it.
        """
        plain = [i for i, word in enumerate(words) if _PLAIN.fullmatch(word)]
        form = tuple(_key(w) if i in plain else w for i, w in enumerate(words))
        if self.first is not None and form == self.form:
            made = self._like_the_first(self.first, words, plain)
            if made is not None:
                return made
        cfg = self.compose(words)
        self.form, self.first = form, None
        if plain and _listed(cfg, words):
            self.first = copy.deepcopy(cfg)
            self.parsed = _parsed(words)
        return cfg

    def _like_the_first(
        self, first: DictConfig, words: Sequence[str], plain: Sequence[int]
    ) -> DictConfig | None:
        """None where a word can't be read: what is wrong with it, the long way tells."""
        cfg = copy.deepcopy(first)
        try:
            changed = _parsed([words[i] for i in plain])
            ConfigLoaderImpl._apply_overrides_to_config(changed, cfg)
        except Exception:
            return None
        parsed = list(self.parsed)
        for i, one in zip(plain, changed, strict=True):
            parsed[i] = one
            cfg.hydra.overrides.task[i] = words[i]
        how = cfg.hydra.job.config.override_dirname
        cfg.hydra.job.override_dirname = get_overrides_dirname(
            overrides=[one for one in parsed if not one.is_hydra_override()],
            kv_sep=how.kv_sep,
            item_sep=how.item_sep,
            exclude_keys=how.exclude_keys,
        )
        return cfg


def _listed(cfg: DictConfig, words: Sequence[str]) -> bool:
    """Whether the words stand in the configuration one by one, as they were typed."""
    task = [str(one) for one in cfg.hydra.overrides.task._iter_ex(False)]
    return task == list(words)


def _parsed(words: Sequence[str]) -> list[Override]:
    found = OverridesParser.create().parse_overrides([kept(word) for word in words])
    for one in found:
        named(one)
    return found


def _key(word: str) -> str:
    return word.partition("=")[0]
