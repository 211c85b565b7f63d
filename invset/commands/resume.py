"""``invset run --resume FOLDER``: what may be typed, and what the folder says was asked."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from invset.config.foreign import check_foreign
from invset.config.words import separated
from invset.errors import InvsetError, first_lines
from invset.files.owner import refuse_links
from invset.files.plan import FREE
from invset.files.reading import read_config
from invset.files.rundir import AGAIN, check_resumable

USAGE = """usage: invset run --resume FOLDER [device=cpu] [runtime.NAME=VALUE]
                  [progress=false] [checkpoint_seconds=60] [--accept KINDS] [--trust NAMES]

  Goes on with an interrupted run, as it was, or on another device or with other options of
  runtime: these don't change what a sample is. Nor does progress=, or checkpoint_seconds=. No
  other options.

  --accept KINDS  what may differ from when it was interrupted, with commas: runtime, files,
                  weights, code, versions, device, threads. The samples are then others than of a
                  run in one go. Options that are typed need not be accepted.
  --trust NAMES   code of your own that the run's configuration names, with commas: my_network, or
                  my_network.build. Nothing else outside of invset is run.
"""


#: Options that may be others than before: they say how codes are evaluated, or change no sample.
_HOW = re.compile(rf"(device|runtime\.\w+|{'|'.join(sorted(FREE))})=")


@dataclass(frozen=True)
class Resumption:
    """What was typed.

    Attributes:
        folder: of the run.
        how: options, ``device=cpu``, that take the place of the run's.
        accept: kinds of surroundings that may differ; those of options that were typed, too.
        trust: modules, or what is in them, that may run.
    """

    folder: Path
    how: Sequence[str]
    accept: Sequence[str]
    trust: Sequence[str]

    def config(self) -> DictConfig:
        """What was asked.

        Raises:
            InvsetError: the folder holds no run to go on with, or names code that is not trusted;
                an option can't be read.
        """
        check_resumable(self.folder)
        refuse_links(self.folder)
        cfg = read_config(self.folder / ".hydra" / "config.yaml", AGAIN)
        if not isinstance(cfg, DictConfig):
            raise InvsetError(f"{self.folder}/.hydra/config.yaml is no configuration; {AGAIN}")
        check_foreign(cfg, self.trust, self.folder, self.how)
        for word in self.how:
            OmegaConf.update(cfg, *_option(word), force_add=True)
        return cfg

    def check(self, cfg: DictConfig) -> None:
        """Raise `InvsetError` for a state that is damaged, or is not of this configuration: before
        anything is made of it.
        """
        from invset.commands.run_surroundings import check_asked

        check_asked(cfg, self.folder / "state.pt")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InvsetError(
            "--resume takes one run folder, device=, progress=, options such as"
            f" runtime.micro_batch=5, --accept and --trust, and nothing else ({message}); type:"
            " invset run --resume outputs/DATE/TIME"
        )


def parsed(words: Sequence[str]) -> Resumption | None:
    """What was typed behind ``invset run``; None for help, which is printed.

    Raises:
        InvsetError: other words.
    """
    if "--help" in words or "-h" in words:
        print(USAGE, end="")
        return None
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("folder")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--accept", action="append", default=[])
    parser.add_argument("--trust", action="append", default=[])
    how = [word for word in words if _HOW.match(word)]
    typed = parser.parse_intermixed_args([word for word in words if word not in how])
    kinds = [kind for word in how if (kind := re.split("[.=]", word)[0]) not in FREE]
    accept = [*separated(typed.accept), *kinds]
    return Resumption(Path(typed.folder), how, accept, separated(typed.trust))


def _option(word: str) -> tuple[str, Any]:
    """Key and value of an option."""
    try:
        read = OverridesParser.create().parse_override(word)
    except HydraException as error:
        raise InvsetError(f"{word} can't be read ({first_lines(error)}); type key=value") from error
    if read.is_sweep_override():
        raise InvsetError(f"{word} has several values; a run goes on with one of them")
    return read.key_or_group, read.value()
