"""``invset fit spectrum``: how strong each frequency is in pictures of yours."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from invset.commands.pictures import read_inputs
from invset.files.image8bit import Image8Bit
from invset.files.rundir import folder_of
from invset.nets.amplitudes import Amplitudes


def main(cfg: DictConfig) -> None:
    """Read the pictures, measure, and write one file."""
    out = Path(cfg.out)
    folder = folder_of(out)
    pictures = read_inputs(Image8Bit().sized(cfg.size), cfg.data, cfg.limit)
    found = Amplitudes.fit(pictures)
    folder.write(out.name, found.save)
    print(
        f"{len(pictures)} pictures of {cfg.size} pixels: amplitudes fall as 1/frequency^"
        f"{found.decay:.2f}\n{out}"
    )
