"""Folders of runs that are written here, file by file, so that reports can be tested without
sampling.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import save_file
from sample_sets import sample_set

from invset.analysis.discover import Measured, columns, figures, measure
from invset.analysis.record import figures_as_json

#: Records of a run that nobody ran.
_OF_SAMPLER = ("counts", "meter", "reached", "coverage", "beside_real", "diversity")
Ranges = Sequence[tuple[float, float]]


def write_run(
    folder: Path,
    n: int,
    names: Sequence[str] = ("fc8:8 horse",),
    ranges: Ranges = ((3.0, 4.0),),
    side: int = 32,
    log: Sequence[str] = ("f_min", "f_mean", "f_max", "mu", "inside", "kept"),
    cells: Sequence[Sequence[int]] | None = None,
    status: str = "reached",
    encodings: np.ndarray | None = None,
) -> Path:
    """A run's folder with n samples; with `cells` a ladder's, whose ranges are the rungs'."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    p = len(names)
    after = np.column_stack([rng.uniform(*ranges[min(j, len(ranges) - 1)], n) for j in range(p)])
    if encodings is None:
        encodings = rng.normal(size=(n, 12))
    tensors = {"encodings": encodings.astype(np.float32), "activations": after.astype(np.float32)}
    tensors["codes"] = np.random.default_rng(1).normal(size=(n, 7)).astype(np.float32)
    if cells is not None:
        tensors["cells"] = np.array(cells)
    measured = laid_out(encodings, after)
    tensors |= {name: tensor.numpy() for name, tensor in measured.tensors.items()}
    save_file(tensors, folder / "samples.safetensors")
    header = [
        "sample",
        "origin",
        "step",
        "parent",
        *(f"{name} before 8 bits" for name in names),
        *names,
        "in_range",
    ]
    rows = [
        [
            i + 1,
            "seed" if i < 3 else "sample",
            10 + i,
            i % 3,
            *(f"{v + 0.01:.7g}" for v in after[i]),
            *(f"{v:.7g}" for v in after[i]),
            True,
        ]
        for i in range(n)
    ]
    write_csv(folder / "activations.csv", header, rows)
    steps = [[s, *rng.uniform(1, 9, len(log)).round(3)] for s in range(1, 6)]
    write_csv(folder / "optimization.csv", ["step", *log], steps)
    (folder / "summary.json").write_text(
        json.dumps(summary(names, ranges, n, cells is not None, status, measured.summary))
    )
    write_pictures(folder / "samples", n, side, rng)
    return folder


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def write_pictures(folder: Path, n: int, side: int, rng: np.random.Generator) -> None:
    """Ten different pictures with shapes and noise, like photographs in their size as files; the
    others are copies.
    """
    folder.mkdir()
    for i in range(n):
        path = folder / f"{i + 1:05d}.png"
        if i >= 10:
            shutil.copyfile(folder / f"{i % 10 + 1:05d}.png", path)
            continue
        coarse = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)).resize(
            (side, side), Image.Resampling.BICUBIC
        )
        noise = rng.normal(0, 6, (side, side, 3))
        Image.fromarray((np.asarray(coarse) + noise).clip(0, 255).astype(np.uint8)).save(path)


def laid_out(encodings: np.ndarray, after: np.ndarray) -> Measured:
    """What the analyses say of the samples."""
    e = torch.from_numpy(encodings).float()
    activations = torch.from_numpy(after).float()
    samples = sample_set(e, activations=activations[:, :1], closest=None)
    return measure(samples, None)


def summary(
    names: Sequence[str],
    ranges: Ranges,
    n: int,
    grid: bool,
    status: str,
    laid_out: dict[str, Any],
) -> dict[str, Any]:
    """``summary.json``, most of whose figures are chosen by hand."""
    diversity = {
        "samples": n,
        "nearest_neighbour": 17.9,
        "vendi": 12.34,
        "mean_pairwise_distance": 25.6 if n > 1 else None,
        "distance_over_root_d": 7.39 if n > 1 else None,
    }
    none = {"kind": None, "images": 0, "in_range": None, "alike": diversity, "real": None}
    real = {
        "kind": "in range",
        "images": 2000,
        "in_range": 41,
        "alike": {**diversity, "samples": min(n, 41), "vendi": 9.9},
        "real": {**diversity, "samples": 41, "vendi": 11.1},
        "threshold": 8.2,
        "distinct": n,
        "code_steps_per_distinct": 4.35,
    }
    rows = [{"ranges": [one], "diversity": diversity, "beside_real": none} for one in ranges]
    return {
        "status": status,
        "sentences": [
            f"{n} of {n} samples. All the samples asked for were found.",
            "nearest neighbour 17.9",
        ],
        "network": "mini",
        "generator": "mini",
        "picture": None,
        "encoder": "fc6",
        "prior": "natural",
        "seed": 5,
        "device": "cpu",
        "neurons": [
            {"name": name, "z1": z1, "z2": z2}
            for name, (z1, z2) in zip(names, ranges, strict=False)
        ],
        "ranges": [[one] for one in ranges] if grid else [list(ranges[: len(names)])],
        "counts": {
            "asked": n,
            "saved": n,
            "in_range": n,
            "share_in_range": 1.0,
            "steps_to_seeds": 12,
        },
        "meter": {
            "forwards": 435,
            "backwards": 435,
            "code_steps": 435,
            "code_steps_per_sample": 4.35,
            "gradient_steps": 47,
            "seconds": 4.2,
        },
        **{name: record for name, record in laid_out.items() if name not in _OF_SAMPLER},
        "diversity": diversity,
        **({"beside_real": none, "rows": rows} if grid else {"beside_real": real}),
        **({} if grid else {"coverage": {"tenths": 0.9}}),
        "figures": figures_as_json(figures()),
        "columns": figures_as_json(columns()),
        "versions": {"invset": "0.1.0"},
        "checksums": {"network": "82e09f82", "generator": "5aa9133a"},
        "command": "invset run network=mini neuron=horse z1=3 z2=4",
    }
