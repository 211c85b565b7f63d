"""``invset draw FOLDER``: the pictures of a run that kept codes alone (``keep=codes``)."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from invset.errors import InvsetError

if TYPE_CHECKING:
    from torch import Tensor

    from invset.problem.problem import Problem

log = logging.getLogger(__name__)

USAGE = """usage: invset draw FOLDER ... [--trust NAMES]

  Makes the pictures of runs, or of the jobs of sweeps, that kept codes alone (keep=codes), from
  these codes: samples/ and report.html. Activations are measured again on them.

  --trust NAMES  code of your own that the configuration names, with commas: my_network, or
                 my_network.build. Nothing else outside of invset is run.
"""

_EXAMPLE = "type for example: invset draw outputs/DATE/TIME"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InvsetError(f"invset draw takes folders and --trust ({message}); {_EXAMPLE}")


def main(words: list[str]) -> int:
    """Draw, and print the paths of the pages.

    Args:
        words: what was typed behind ``invset draw``.

    Raises:
        InvsetError: other words; a folder without codes, with pictures, or of code that is not
            trusted; a process works in it.
    """
    if "--help" in words or "-h" in words:
        print(USAGE, end="")
        return 0
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--trust", action="append", default=[])
    typed = parser.parse_intermixed_args(words)
    from invset.config.words import separated
    from invset.files.job_list import jobs_of
    from invset.files.owner import at_rest

    for folder in typed.folders:
        if not folder.is_dir():
            raise InvsetError(f"there is no folder {folder}; {_EXAMPLE}")
        for one in jobs_of(folder) or [folder]:
            with at_rest(one):
                draw(one, separated(typed.trust))
    return 0


def draw(folder: Path, trust: Sequence[str] = ()) -> None:
    """Write the pictures and the page of a run; nothing for one that has failed.

    Args:
        folder: of the run.
        trust: modules, or what is in them, that may run.

    Raises:
        InvsetError: see `main`.
    """
    from invset.config import build
    from invset.config.foreign import check_foreign
    from invset.files.reading import read_config, read_json
    from invset.files.rundir import RunDir
    from invset.files.tensors import read_safetensors
    from invset.report.run_page import write_report

    if (folder / "failed.json").is_file():
        return
    again = "type the folder of a run that has ended"
    summary = read_json(folder / "summary.json", "a run's summary", again)
    if summary.get("keep") != "codes":
        raise InvsetError(f"{folder} has its pictures; invset draw makes those of keep=codes")
    cfg = read_config(folder / ".hydra" / "config.yaml", again)
    check_foreign(cfg, trust, folder, command=f"invset draw {folder}")
    held, _ = read_safetensors(folder / "samples.safetensors", "samples", again)
    problem = build.problem(cfg)
    stored, f = _drawn(problem, held["codes"])
    rundir = RunDir(folder, listed=True)
    rundir.write_samples(problem.medium, stored)
    moved = float((f - held["activations"]).abs().max()) if len(f) else 0.0
    about = f"activations on them differ by {moved:.2g} at most from those that were measured"
    log.info("%d pictures in %s; %s", len(f), folder, about)
    del summary["keep"]
    rundir.write_json("summary.json", summary)
    print(write_report(folder))


def _drawn(problem: Problem, codes: Tensor) -> tuple[Tensor, Tensor]:
    """Inputs of codes in stored form, as they are shown, and activations on those that the network
    sees.
    """
    import torch

    from invset.core.products import products
    from invset.problem.saved import displayed, saved

    inputs: list[Tensor] = []
    activations = [torch.zeros(0, len(problem.neurons))]
    with torch.no_grad(), products("float32"):
        codes = codes.to(problem.network.device)
        inputs.append(problem.medium.store(problem.medium.blank()[:0].to(codes)).cpu())
        for _, stored, measured in saved(problem, codes):
            inputs.append(stored.cpu())
            activations.append(measured[0].cpu())
        shown = displayed(problem, codes)
    # what is blank may be of another size than what a generator makes
    seen = torch.cat(inputs[1:] or inputs)
    return seen if shown is None else shown, torch.cat(activations)
