"""``summary.json``: what a run was asked, what its records say, and with what it was made."""

from __future__ import annotations

import platform
from dataclasses import asdict
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors
import torch

import invset
from invset.analysis.discover import columns, figures
from invset.analysis.record import figures_as_json, finite
from invset.core.space import Region
from invset.files.gpu import about_gpu
from invset.nets.weights import checksum, checksum_of
from invset.problem.problem import Problem

if TYPE_CHECKING:
    from invset.problem.result import Result


def summarize(
    problem: Problem, region: Region, found: Result, seed: int, records: dict[str, Any]
) -> dict[str, Any]:
    """Everything but the sentences and the command.

    Args:
        problem, region: what was asked.
        found: the result.
        seed: of every random draw.
        records: of `invset.analysis.discover.measure`.
    """
    asked = [neuron.range for neuron in problem.neurons]
    ends = asked if found.goal == "range" else found.ranges[0]
    neurons = [
        {"name": name, "z1": float(z1), "z2": float(z2)}
        for name, (z1, z2) in zip(problem.names, ends, strict=True)
    ]
    summary = {
        "status": found.status.value,
        "sentences": [],
        "network": problem.network.name,
        "generator": problem.generator.name,
        "picture": problem.generator.picture,
        "medium": problem.medium.about(),
        "encoder": problem.encoder,
        "prior": region.name,
        "neurons": neurons,
        "ranges": found.ranges,
        "goal": found.goal,
        "robust": None if problem.robust is None else asdict(problem.robust),
        # standard deviation of each neuron's activation between looks at one input
        "spread": None if found.spread is None else found.spread.tolist(),
        **records,
        "figures": figures_as_json(figures()),
        "columns": figures_as_json(columns()),
        "log": [{"name": one.name, "title": one.title} for one in found.columns],
        "seed": seed,
        "device": str(problem.network.device),
        "gpu": about_gpu(problem.network.device),
        # sums are split among threads: other bytes with another number
        "threads": torch.get_num_threads(),
        "runtime": _runtime(problem),
        "versions": _versions(),
        "checksums": {
            "network": checksum(problem.network.module),
            "generator": checksum(problem.generator.module),
            **_autoencoders(problem),
        },
    }
    return finite(summary)


def _runtime(problem: Problem) -> dict[str, Any]:
    """How codes were evaluated, and what ``micro_batch=auto`` chose: null is all codes at once."""
    split = problem.portions.split
    chosen = None if split is None else asdict(split)
    return {**asdict(problem.runtime), "split": chosen}


def _autoencoders(problem: Problem) -> dict[str, str]:
    """Of the sparse autoencoders whose features are neurons, by the layer of each."""
    # features of one autoencoder are summed once
    encoders = {one.layer: one.feature.encoder for one in problem.neurons if one.feature}
    return {
        f"sparse autoencoder of {layer}": checksum_of(encoder.tensors())
        for layer, encoder in encoders.items()
    }


def _versions() -> dict[str, str]:
    return {
        "invset": invset.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": metadata.version("torchvision"),
        "numpy": np.__version__,
        "safetensors": safetensors.__version__,
    }
