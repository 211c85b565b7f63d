"""``invset run --resume FOLDER``: what may be typed, and what the folder says was asked."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from omegaconf import DictConfig

from invset.config.foreign import check_foreign
from invset.errors import InvsetError
from invset.files.owner import refuse_links
from invset.files.reading import read_config
from invset.files.rundir import AGAIN, check_resumable

USAGE = """usage: invset run --resume FOLDER [--accept KINDS] [--trust NAMES]

  Goes on with an interrupted run, as it was: no other options.

  --accept KINDS  what may differ from when it was interrupted, with commas: files, weights, code,
                  versions, device, threads. The samples are then others than of a run in one go.
  --trust NAMES   code of your own that the run's configuration names, with commas: my_network, or
                  my_network.build. Nothing else outside of invset is run.
"""


@dataclass(frozen=True)
class Resumption:
    """What was typed.

    Attributes:
        folder: of the run.
        accept: kinds of surroundings that may differ.
        trust: modules, or what is in them, that may run.
    """

    folder: Path
    accept: Sequence[str]
    trust: Sequence[str]

    def config(self) -> DictConfig:
        """What was asked.

        Raises:
            InvsetError: the folder holds no run to go on with, or names code that is not trusted.
        """
        check_resumable(self.folder)
        refuse_links(self.folder)
        cfg = read_config(self.folder / ".hydra" / "config.yaml", AGAIN)
        if not isinstance(cfg, DictConfig):
            raise InvsetError(f"{self.folder}/.hydra/config.yaml is no configuration; {AGAIN}")
        check_foreign(cfg, self.trust, self.folder)
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
            f"--resume takes one run folder, --accept and --trust, because a run goes on as it"
            f" was ({message}); type: invset run --resume outputs/DATE/TIME"
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
    typed = parser.parse_intermixed_args(list(words))
    return Resumption(Path(typed.folder), _listed(typed.accept), _listed(typed.trust))


def _listed(words: Sequence[str]) -> list[str]:
    return [one for word in words for one in word.split(",") if one]
