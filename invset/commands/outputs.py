"""From a result to the files of a run's folder."""

from __future__ import annotations

import math
import platform
import re
import shlex
from dataclasses import replace
from importlib import metadata
from typing import Any

import numpy as np
import safetensors
import torch
from omegaconf import DictConfig
from torch import Tensor

import invset
from invset.analysis.diversity import Diversity, count_distinct
from invset.analysis.reference import Reference
from invset.api import Result
from invset.core.space import CodePrior, Region
from invset.core.target import ActivationRange
from invset.errors import InvsetError
from invset.files.rundir import RunDir
from invset.nets.embedded import embedded
from invset.nets.weights import checksum
from invset.problem.problem import Problem
from invset.report.animation import has_encoder, save_gif, save_mp4
from invset.report.grid import SIDE, enlarge, grid_shape, label_grid
from invset.report.selection import spread
from invset.studies.study import Study as Sampler

#: Most letters of a legend below a grid.
_LEGEND = 200


def load_reference(cfg: DictConfig, problem: Problem) -> Reference | None:
    """The real images to compare with, if there are any for this network and encoder."""
    if cfg.reference is None:
        return None
    if cfg.reference != "auto":
        reference = Reference.load(cfg.reference)
        if (
            reference.about.get("encoder") != problem.encoder
            or reference.about.get("network") != problem.encoder_network.name
        ):
            raise InvsetError(
                f"{cfg.reference} was made with {reference.about.get('encoder')} of"
                f" {reference.about.get('network')}, but E is {problem.encoder} of"
                f" {problem.encoder_network.name}; make one with: invset fit reference, or type"
                " reference=null"
            )
        return reference
    of_package = (
        cfg.network.get("_target_", "").endswith("mini_network")
        and cfg.network.get("weights") is None
    )
    if not (of_package and cfg.encoder in (None, "fc6") and cfg.encoder_network is None):
        return None
    return Reference.load(embedded(problem.network.name, "reference"))


def write_run(
    rundir: RunDir,
    cfg: DictConfig,
    problem: Problem,
    region: Region,
    sampler: Sampler,
    reference: Reference | None,
    result: Result,
    rows: list[list[float]],
) -> None:
    """Write every file of the run but its state."""
    names, result = problem.names, as_shown(problem, result)
    rundir.write_samples(problem.medium, result.inputs)
    rundir.write_tensors(
        "samples.safetensors",
        {
            "codes": result.codes,
            "encodings": result.encodings,
            "activations": result.activations,
            "activations_before_8bit": result.activations_before,
            "step": result.step,
            "parent": result.parent,
            **({"cells": torch.tensor(ladder_rows(result))} if result.cells is not None else {}),
        },
    )
    header = [
        "sample",
        "stage",
        "step",
        "parent",
        *(f"{n} before {problem.medium.rounding}" for n in names),
        *names,
        "in_range",
    ]
    rundir.write_csv("activations.csv", header, _activation_rows(result))
    header = ["step", *(column.name for column in result.columns)]
    rundir.write_csv(
        "optimization.csv", header, ([i, *map(_short, row)] for i, row in enumerate(rows, start=1))
    )
    summary = summarize(cfg, problem, region, sampler, reference, result)
    summary["command"] = f"invset run {shlex.join(rundir.overrides())}".strip()
    if summary["status"] in ("unreachable", "budget"):
        summary["sentences"].append(
            f"Which ranges can be reached: {_probe_command(rundir.overrides(), problem)}"
        )
    if len(result):
        _write_pictures(rundir, cfg, problem, sampler, result)
    rundir.write_json("summary.json", summary)


@torch.no_grad()
def as_shown(problem: Problem, result: Result) -> Result:
    """The same result with the pictures that are written: where a generator has a display of its
    own, not what the network saw.
    """
    display = problem.generator.display
    if display is None or not len(result):
        return result
    shown = [problem.medium.store(display(codes)) for codes in result.codes.split(64)]
    return replace(result, inputs=torch.cat(shown))


def _short(value: float) -> str:
    return f"{value:.7g}"


def _activation_rows(result: Result) -> list[list[Any]]:
    before, after = result.activations_before.tolist(), result.activations.tolist()
    rows = []
    for i in range(len(result)):
        step = int(result.step[i])
        stage = result.origins[int(result.origin[i])]
        rows.append(
            [
                i + 1,
                stage,
                step,
                int(result.parent[i]),
                *map(_short, before[i]),
                *map(_short, after[i]),
                bool(result.in_range[i]),
            ]
        )
    return rows


def ladder_rows(result: Result) -> list[list[int]]:
    """Sample number (from 0) in each cell of a ladder, -1 where there is none."""
    assert result.cells is not None
    return result.cells.tolist()


def summarize(
    cfg: DictConfig,
    problem: Problem,
    region: Region,
    sampler: Sampler,
    reference: Reference | None,
    result: Result,
) -> dict[str, Any]:
    """Everything that ``summary.json`` says."""
    inside = result.in_range
    quality: dict[str, Any] = {"samples": Diversity.of(result.encodings).as_dict()}
    if result.cells is not None:
        quality["rungs"] = _rungs(problem, sampler, reference, result)
    else:
        quality["coverage_of_tenths"] = problem.range.coverage(result.activations)
        quality |= _beside_real(problem, reference, result)
    if isinstance(region, CodePrior):
        quality["inside_natural_region"] = _mean(
            region.encode(result.codes).norm(dim=1) <= 1.001 * region.radius
        )
    summary = {
        "status": result.status.value,
        "sentences": [],
        "network": problem.network.name,
        "generator": problem.generator.name,
        "picture": problem.generator.picture,
        "medium": problem.medium.about(),
        "encoder": problem.encoder,
        "prior": region.name,
        "neurons": [
            {"name": name, "z1": float(n.range[0]), "z2": float(n.range[1])}
            for name, n in zip(problem.names, problem.neurons, strict=True)
        ],
        "counts": {
            "asked": sampler.n,
            "saved": len(result),
            "in_range": int(inside.sum()),
            "gradient_steps": result.steps,
            "code_steps": result.meter.code_steps,
            "code_steps_per_sample": result.meter.code_steps / len(result) if len(result) else None,
        },
        "meter": result.meter.as_dict(),
        "log": [{"name": one.name, "title": one.title} for one in result.columns],
        "reached": {"closest_activations": result.best.tolist()},
        "quality": quality,
        "seconds": round(result.seconds, 3),
        "seed": cfg.seed,
        "device": str(problem.network.device),
        "threads": (
            torch.get_num_threads()
        ),  # sums are split among them: other bytes with another number
        "versions": {
            "invset": invset.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "torchvision": metadata.version("torchvision"),
            "numpy": np.__version__,
            "safetensors": safetensors.__version__,
        },
        "checksums": {
            "network": checksum(problem.network.module),
            "generator": checksum(problem.generator.module),
        },
    }
    distinct = quality.get("distinct")
    if distinct:
        summary["counts"]["code_steps_per_distinct_sample"] = result.meter.code_steps / distinct
    summary["sentences"] = sentences(problem, sampler, result, summary)
    return _no_nan(summary)


def _beside_real(problem: Problem, reference: Reference | None, result: Result) -> dict[str, Any]:
    known = all(problem.centred) and None not in problem.indices
    if reference is None or not known or not all(reference.knows(n.layer) for n in problem.neurons):
        return {"real": None}
    pairs = [
        (n.layer, i) for n, i in zip(problem.neurons, problem.indices, strict=True) if i is not None
    ]
    range_ = ActivationRange(problem.range.z1.cpu(), problem.range.z2.cpu())
    real = reference.compare(pairs, range_, max(len(result), 2))
    e = result.encodings.cpu()
    return {
        "real": {
            "kind": real.kind,
            "in_range": real.in_range,
            "images": real.images,
            **real.diversity.as_dict(),
        },
        # nearest neighbours and Vendi depend on the number: the same number of samples as there are
        # real images
        "samples_as_many_as_real": Diversity.of(e[: real.diversity.samples]).as_dict(),
        "distinct": count_distinct(e[result.in_range.cpu()], real.threshold),
        "distinct_threshold": real.threshold,
        # of the stored activations: the stored quantiles have no level between 98 % and the largest
        "percentiles_real": [
            torch.quantile(
                reference.activations[layer][:, i], torch.tensor([0.9, 0.99, 1.0])
            ).tolist()
            for layer, i in pairs
        ],
    }


def _rungs(
    problem: Problem, sampler: Sampler, reference: Reference | None, result: Result
) -> list[dict[str, Any]]:
    """Quality of each row of a ladder, beside real images in its range."""
    neuron, index = problem.neurons[0], problem.indices[0]
    rungs = []
    for (z1, z2), cells in zip(
        [row[0] for row in result.ranges], ladder_rows(result), strict=False
    ):
        e = result.encodings[[c for c in cells if c >= 0]].cpu()
        rung: dict[str, Any] = {
            "z1": z1,
            "z2": z2,
            "reached": len(e),
            "samples": Diversity.of(e).as_dict(),
        }
        if (
            reference is not None
            and index is not None
            and problem.centred[0]
            and reference.knows(neuron.layer)
        ):
            real = reference.compare(
                [(neuron.layer, index)], ActivationRange.of([(z1, z2)]), max(len(e), 2)
            )
            rung["real"] = {
                "kind": real.kind,
                "in_range": real.in_range,
                **real.diversity.as_dict(),
            }
        rungs.append(rung)
    return rungs


def sentences(
    problem: Problem, sampler: Sampler, result: Result, summary: dict[str, Any]
) -> list[str]:
    """What the terminal says at the end."""
    saved, inside = summary["counts"]["saved"], summary["counts"]["in_range"]
    wanted = (
        f"{problem.names[0]} in {len([row[0] for row in result.ranges])} ranges"
        if result.cells is not None
        else problem.question
    )
    ended = result.status.sentence
    if (
        result.status.value in ("reached", "unreachable")
        and inside < saved
        and not result.cells is not None
    ):
        ended = f"The other {saved - inside} are outside" if inside else "All are outside"
        ended += ": this sampler does not hold both ends of the range."
    lines = [
        f"{saved} of {sampler.n} samples with {wanted}, {inside} of them in range as saved, in"
        f" {result.seconds:.1f} s. {ended}"
    ]
    if result.status.value in ("unreachable", "budget") and not result.cells is not None:
        lines.append(_advice(problem, result, summary))
    real = summary["quality"].get("real")
    if real and saved > 1:
        ours = summary["quality"]["samples_as_many_as_real"]
        lines.append(
            f"nearest neighbour {ours['nearest_neighbour']:.1f} (real images {real['kind']}:"
            f" {real['nearest_neighbour']:.1f}), Vendi {ours['vendi']:.1f} ({real['vendi']:.1f}),"
            f" mean pairwise distance {ours['mean_pairwise_distance']:.1f}"
            f" ({real['mean_pairwise_distance']:.1f}), {summary['quality']['distinct']} distinct"
        )
    return lines


def _advice(problem: Problem, result: Result, summary: dict[str, Any]) -> str:
    """What was reached, a range that can be, and where real images lie."""
    parts = []
    real = summary["quality"].get("percentiles_real")
    for j, neuron in enumerate(problem.neurons):
        best, (z1, z2) = result.best[j].item(), neuron.range
        shift = best - z2 if best > z2 else best - z1 if best < z1 else 0.0
        part = f"{problem.names[j]} came to {best:.3g}"
        if shift:
            # the same width, just inside of what was reached
            a = z1 + shift - (0.5 if shift < 0 else -0.5) * (z2 - z1)
            part += f"; try z1={a:.3g} z2={a + z2 - z1:.3g}"
        if real:
            p90, p99, largest = real[j]
            images = summary["quality"]["real"]["images"]
            part += (
                f" (p90 … p99 of {images} real images: z1={p90:.3g} z2={p99:.3g}; the largest:"
                f" {largest:.3g})"
            )
        parts.append(part)
    return "Reached: " + "; ".join(parts) + "."


def _probe_command(typed: list[str], problem: Problem) -> str:
    """``invset probe`` for the neurons of a run."""
    kept = (
        "network",
        "generator",
        "encoder",
        "encoder_network",
        "prior",
        "clip",
        "eight_bit",
        "device",
        "position",
        "direction",
    )
    words = [
        word
        for word in typed
        if re.split(r"[=.]", word.lstrip("+").removeprefix("network@"))[0] in kept
    ]
    if not any(word.startswith("network=") for word in words):
        words.insert(0, f"network={problem.network.name}")
    units = [(neuron.layer, neuron.number) for neuron in problem.neurons]
    if len(units) > 1:
        listed = [f"{{layer: {layer}, neuron: {number}}}" for layer, number in units]
        words.append(f"neurons=[{', '.join(listed)}]")
    else:
        layer, number = units[0]
        words += [f"layer={layer}"] if layer != problem.network.output else []
        words += [f"neuron={number}"] if number is not None else []
    return f"invset probe {shlex.join(words)}"


def _write_pictures(
    rundir: RunDir, cfg: DictConfig, problem: Problem, sampler: Sampler, result: Result
) -> None:
    images, f = problem.medium.pictures(result.inputs).cpu(), result.activations[:, 0].cpu()
    side = problem.medium.cell or SIDE
    captions = [" ".join(f"{v:.2f}" for v in row) for row in result.activations.tolist()]
    if result.cells is not None:
        rows = []
        for (z1, z2), cells in reversed(
            list(zip([row[0] for row in result.ranges], ladder_rows(result), strict=False))
        ):
            texts = [captions[c] if c >= 0 else "" for c in cells]
            rows.append((f"[{z1:g}, {z2:g}]", images[[max(c, 0) for c in cells]], texts))
        title = (
            f"{problem.network.name}  {problem.names[0]}: the same codes (columns) at rising"
            " activation (rows, upwards)"
        )
    else:
        index = spread(f.numpy(), 100)
        _, columns = grid_shape(len(index), enlarge(images[0], side).width)
        parts = [index[i : i + columns] for i in range(0, len(index), columns)]
        rows = [("", images[part], [captions[i] for i in part]) for part in parts]
        inside = int(result.in_range.sum())
        some = "" if inside == len(result) else f", {inside} of them in range"
        title = (
            f"{problem.network.name}  {problem.question}: {len(result)} samples{some}, from low to"
            " high"
        )
    measured = (
        f"saved {problem.medium.saved}"
        if problem.generator.display is None
        else "8-bit image that the network sees, not on this display of it"
    )
    what = (
        "activation"
        if len(problem.names) == 1
        else f"activations of {' and '.join(problem.names)}, in this order,"
    )
    about = f"below each {problem.medium.noun}: {what} as measured on the {measured}"
    # more would be wider than the grid; the page has all of it
    legend = problem.medium.legend
    about += f"; {legend}" if 0 < len(legend) <= _LEGEND else ""
    grid = label_grid(rows, title, side, about)
    rundir.write("samples.png", grid.save)
    if cfg.animation and len(result) > 1:
        rundir.write("animation.gif", lambda path: save_gif(path, images, captions))
        if has_encoder():
            rundir.write("animation.mp4", lambda path: save_mp4(path, images, captions))


def _mean(values: Tensor) -> float | None:
    return values.float().mean().item() if len(values) else None


def _no_nan(value: Any) -> Any:
    """JSON has no nan: null says that there is no such number."""
    if isinstance(value, dict):
        return {k: _no_nan(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_no_nan(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
