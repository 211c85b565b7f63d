"""What a sweep is going to take: samples, bytes of the disk and time, told in its first job before
that samples. As jobs end, `invset.commands.status.forecast` tells it again, by what they took.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from PIL import Image
from torch import Tensor

from invset.commands.status import told_bytes
from invset.core.space import Region
from invset.files.plan import read_plan
from invset.problem.problem import Problem
from invset.report.animation import has_encoder, save_gif
from invset.report.grid import SIDE, enlarge
from invset.report.page import duration
from invset.report.sheet import FEW, MOST
from invset.report.thumbnails import BUDGET

log = logging.getLogger(__name__)

#: Pictures that are drawn to see how many bytes they take.
_DRAWN = 8

#: Code-steps a sample that time is told for, before any job has ended.
_CODE_STEPS = 4

#: Bytes of a job's folder that do not depend on its samples: configuration and summary; its page.
_FOLDER = 36_000
_PAGE = 60_000

#: Bytes a sample in tables and small tensors, in the list of files, and of its caption.
_ROW, _LISTED, _CAPTION = 165, 230, 650

#: Frames of an animation, at most, for which its bytes are told.
_FRAMES = 200


@dataclass(frozen=True)
class Sizes:
    """Mean bytes of a sample in the files of a run.

    Attributes:
        tensors: its code and encoding.
        picture: its own file.
        cell: its part of ``samples.png``.
        frame: its part of the animations.
    """

    tensors: float
    picture: float
    cell: float
    frame: float

    def of_job(self, n: int, keep: str = "all", report: bool = True, animation: bool = True) -> int:
        """Bytes of the folder of a job.

        Args:
            n: its samples.
            keep, report, animation: as in ``configs/run.yaml``.
        """
        total: float = _FOLDER + n * _ROW
        if keep != "pictures":
            total += n * self.tensors
        if keep != "codes":
            cell = max(self.cell, self.picture) if n <= FEW else self.cell
            total += n * (self.picture + _LISTED) + min(n, MOST) * (cell + _CAPTION)
            total += min(n, _FRAMES) * self.frame if animation else 0
            # in base64
            total += _PAGE + min(1.4 * n * self.picture, BUDGET) if report else 0
        return round(total)


def tell_plan(cfg: DictConfig, problem: Problem, region: Region, n: int) -> None:
    """Say what a sweep takes, in its first job and before that samples.

    Args:
        cfg: of the job.
        problem, region: of the job.
        n: its samples.
    """
    if not HydraConfig.initialized():
        return
    hydra = HydraConfig.get()
    if hydra.mode != RunMode.MULTIRUN or hydra.job.num or problem.stochastic:
        return
    plan = read_plan(Path(os.path.abspath(Path(hydra.runtime.cwd, hydra.sweep.dir))))
    if plan is None or len(plan.jobs) < 2:
        return
    sizes, seconds = measured(problem, region)
    counts = [_samples(words, n) for words in plan.jobs.values()]
    keep = cfg.get("keep", "all")  # a run that is resumed may be older than the option
    size = sum(sizes.of_job(count, keep, cfg.report, cfg.animation) for count in counts)
    log.info(
        "%s jobs, %s samples: about %s of the disk, and %s of sampling if a sample takes %d"
        " code-steps of %.3g ms",
        f"{len(counts):,}",
        f"{sum(counts):,}",
        told_bytes(size),
        duration(sum(counts) * _CODE_STEPS * seconds),
        _CODE_STEPS,
        1000 * seconds,
    )


def _samples(words: Sequence[str], n: int) -> int:
    """Samples of a job, from what was typed for it; else `n`."""
    typed = [word.partition("=")[2] for word in words if word.startswith(("n=", "sampler.n="))]
    return int(typed[-1]) if typed and typed[-1].isdecimal() else n


@torch.no_grad()
def measured(problem: Problem, region: Region) -> tuple[Sizes, float]:
    """Bytes of a sample, of some codes of the region, and seconds of a code-step.

    A pass forwards is a third of a code-step. The passes are no sampler's: its random numbers,
    portions and meter are as before.
    """
    rng = torch.Generator().manual_seed(0)
    count = problem.portions.at_a_time(_DRAWN)
    codes = region.decode(region.sample(count, rng).to(problem.network.device))
    took = []
    for _ in range(2):  # the first pass of a size may choose its kernels
        begun = time.perf_counter()
        x = problem.made.unrounded(codes)
        encoded = problem.encoder_network.taps(x, [problem.encoder])[problem.encoder]
        stored = problem.medium.store(x).cpu()  # which waits for a GPU
        took.append(time.perf_counter() - begun)
    tensors = 4 * (codes[0].numel() + encoded[0].numel())
    return Sizes(tensors, *_drawn(problem, stored)), 3 * min(took) / count


def _drawn(problem: Problem, stored: Tensor) -> tuple[float, float, float]:
    """Mean bytes of a sample's picture, its cell and its frames."""
    images = problem.medium.pictures(stored)
    with tempfile.TemporaryDirectory() as where:
        folder = Path(where)
        (folder / "samples").mkdir()
        for name, how in problem.medium.files(stored):
            how(folder / name)
        pictures = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        enlarged = np.concatenate([np.asarray(enlarge(image, SIDE)) for image in images], axis=1)
        Image.fromarray(enlarged).save(folder / "cells.png")
        save_gif(folder / "frames.gif", images, [""] * len(images))
        cells, frames = ((folder / name).stat().st_size for name in ("cells.png", "frames.gif"))
    share = 1.5 if has_encoder() else 1.0  # an MP4 takes half of a GIF
    return pictures / len(stored), cells / len(stored), share * frames / len(stored)
