"""Which inputs make a learned regression small, or give a number that is wanted: every way on
`network=diabetes`, in data space and in the latent space of its decoder.

    python benchmarks/regression.py [--seeds 0 1 2] [--only gradient stream] [--out FOLDER]

It prints two tables, and writes two plots and all figures into FOLDER. For each way it tells what
the network predicts, how far the samples are from the nearest real row (in standard deviations of
the columns), what the judge tells (gradient boosting, `judge=diabetes_trees`), how far the column
chol_hdl is from cholesterol / hdl, which it is in every real row but for rounding, and the cost.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import torch
from torch import Tensor

from invset import InverseSetSampler, Neuron, Problem
from invset.nets.diabetes import (
    COLUMNS,
    TARGET,
    diabetes_generator,
    diabetes_network,
    diabetes_rows,
    diabetes_table,
    diabetes_trees,
)
from invset.nets.rows import table_generator
from invset.problem.result import Result

mpl.use("Agg")

#: What is wanted of the prediction.
RANGE = (150.0, 160.0)

#: Samplers of the smallest prediction, with their options: 10 searches each, but for the slow one.
SMALLEST: dict[str, dict[str, Any]] = {
    "random": {"n": 10},
    "gradient": {"n": 10},
    "amortized": {"n": 10},
    "cma_es": {"n": 10, "iterations": 100},
    "genetic": {},
    "bayesian": {"n": 1, "k": 5, "evaluations": 100},
}

#: Samplers of the range, with their options.
WANTED: dict[str, dict[str, Any]] = {
    "random": {"n": 100},
    "gradient": {"n": 100},
    "amortized": {"n": 100},
    "stream": {"n": 100},
}


def predicted(network: Any, rows: Tensor) -> Tensor:
    """What a network tells of rows, with shape (N,)."""
    with torch.no_grad():
        return network.taps(rows, ["output"])["output"][:, 0]


def broken(rows: Tensor) -> Tensor:
    """|chol_hdl - cholesterol / hdl| of rows, with shape (N,)."""
    at = {name: rows[:, i] for i, name in enumerate(COLUMNS)}
    return (at["chol_hdl"] - at["cholesterol"] / at["hdl"]).abs()


def nearest(network: Any, rows: Tensor, real: Tensor, same: bool = False) -> Tensor:
    """Distance of each row to the nearest real one, in standard deviations, with shape (N,).

    Args:
        network: whose first layer standardises.
        rows: with shape (N, 10).
        real: with shape (M, 10).
        same: whether both are the same rows, of which none is its own neighbour.
    """
    e = [network.taps(x, ["standard"])["standard"].double() for x in (rows, real)]
    far = torch.cdist(*e, compute_mode="donot_use_mm_for_euclid_dist")
    if same:
        far.fill_diagonal_(torch.inf)
    return far.amin(1)


def figures(result: Result, network: Any, judge: Any, seed: int) -> dict[str, Any]:
    """What is told of one run."""
    rows = result.inputs
    f = result.activations[:, 0]
    told = predicted(judge, rows)
    return {
        "seed": seed,
        "f": f.tolist(),
        "judge": told.tolist(),
        "nearest": nearest(network, rows, diabetes_rows()[0]).tolist(),
        "broken": broken(rows).tolist(),
        "rows": diabetes_table().texts(rows),
        "status": result.status.value,
        "forwards": result.meter.forwards,
        "backwards": result.meter.backwards,
        "code_steps": result.meter.code_steps,
        "seconds": result.seconds,
    }


def measure(seeds: Sequence[int], only: Sequence[str] | None) -> dict[str, list[dict[str, Any]]]:
    """All runs: "goal sampler space" -> figures, a dictionary for each seed."""
    network = diabetes_network()
    judge = diabetes_trees()
    spaces = {"data": table_generator(diabetes_table()), "latent": diabetes_generator()}
    found: dict[str, list[dict[str, Any]]] = {}
    for goal, ways in (("min", SMALLEST), ("range", WANTED)):
        for name, options in ways.items():
            if only and name not in only:
                continue
            for space, generator in spaces.items():
                asked = {"range": RANGE} if goal == "range" else {}
                problem = Problem(network, generator, neurons=[Neuron("output", TARGET, **asked)])
                runs = []
                for seed in seeds:
                    sampler = InverseSetSampler(
                        sampler=name, **options, **({"goal": goal} if name != "stream" else {})
                    )
                    runs.append(figures(sampler.run(problem, seed=seed), network, judge, seed))
                found[f"{goal} {name} {space}"] = runs
                print(f"{goal} {name} {space}: {runs[0]['seconds']:.1f} s", flush=True)
    return found


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Mean and standard deviation over the runs."""
    x = torch.tensor(values, dtype=torch.float64)
    more = f" ± {x.std().item():.{digits}f}" if len(x) > 1 else ""
    return f"{x.mean().item():.{digits}f}{more}"


def best(run: dict[str, Any]) -> int:
    """Number of the sample with the smallest prediction."""
    return min(range(len(run["f"])), key=run["f"].__getitem__)


def smallest(found: dict[str, list[dict[str, Any]]]) -> list[str]:
    """The lines of the table of the smallest prediction: the best sample of each run."""
    lines = [
        "| sampler | space | predicted | nearest real row | judge | chol_hdl off by | forwards |"
        " backwards |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for key, runs in found.items():
        goal, name, space = key.split()
        if goal != "min":
            continue
        cells = [
            spread([run[what][best(run)] for run in runs], digits)
            for what, digits in (("f", 1), ("nearest", 2), ("judge", 1), ("broken", 2))
        ]
        costs = [f"{runs[0][what]:,}" for what in ("forwards", "backwards")]
        lines.append(f"| {' | '.join([name, space, *cells, *costs])} |")
    return lines


def wanted(found: dict[str, list[dict[str, Any]]]) -> list[str]:
    """The lines of the table of the range: means over all samples of a run."""
    lines = [
        "| sampler | space | in range | nearest real row | judge in range | judge within 30 |"
        " chol_hdl off by | code-steps a sample |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for key, runs in found.items():
        goal, name, space = key.split()
        if goal != "range":
            continue
        n = [len(run["f"]) for run in runs]
        low, high = RANGE
        kept = [run for run in runs if run["f"]]
        shares = [
            [100 * sum(low - more <= x <= high + more for x in run[what]) / len(run[what])]
            for what, more in (("judge", 0), ("judge", 30))
            for run in kept
        ]
        first = spread([x for (x,) in shares[: len(kept)]], 0)
        near = spread([x for (x,) in shares[len(kept) :]], 0)
        far = spread([sum(run["nearest"]) / len(run["f"]) for run in kept], 2)
        off = spread([sum(run["broken"]) / len(run["f"]) for run in kept], 2)
        cost = spread([run["code_steps"] / len(run["f"]) for run in kept])
        lines.append(
            f"| {name} | {space} | {spread(n, 0)} | {far} | {first} % | {near} % | {off} | {cost} |"
        )
    return lines


def real_rows() -> dict[str, Any]:
    """The same figures of the real rows."""
    network, judge = diabetes_network(), diabetes_trees()
    rows, _ = diabetes_rows()
    f, told = predicted(network, rows), predicted(judge, rows)
    inside = (f >= RANGE[0]) & (f <= RANGE[1])
    agree = (told >= RANGE[0]) & (told <= RANGE[1])
    near = (told >= RANGE[0] - 30) & (told <= RANGE[1] + 30)
    far = nearest(network, rows, rows, same=True)
    return {
        "smallest": f.min().item(),
        "its judge": told[f.argmin()].item(),
        "smallest of the judge": told.min().item(),
        "nearest": far.mean().item(),
        "nearest of the smallest": far[f.argmin()].item(),
        "in range": int(inside.sum()),
        "judge in range": 100 * agree[inside].double().mean().item(),
        "judge within 30": 100 * near[inside].double().mean().item(),
        "broken": broken(rows).mean().item(),
    }


def plot(found: dict[str, list[dict[str, Any]]], real: dict[str, Any], folder: Path) -> None:
    """Predicted against judged minimum, and the distance from real rows, for each space."""
    from matplotlib import pyplot as plt

    colours = {"data": "#c4552d", "latent": "#2f6f9f"}
    markers = dict(zip(SMALLEST, "osD^vP", strict=True))
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.4))
    for key, runs in found.items():
        goal, name, space = key.split()
        if goal != "min":
            continue
        at = [best(run) for run in runs]
        f = [run["f"][i] for run, i in zip(runs, at, strict=True)]
        for axis, what in zip(axes, ("nearest", "judge"), strict=True):
            values = [run[what][i] for run, i in zip(runs, at, strict=True)]
            axis.scatter(
                values,
                f,
                45,
                colours[space],
                marker=markers[name],
                label=f"{name}, {space}",
                alpha=0.75,
            )
    axes[0].axvline(real["nearest"], color="0.6", lw=1)
    axes[0].text(
        real["nearest"] + 0.08,
        18,
        "real rows, mean",
        color="0.4",
        rotation=90,
        va="top",
        fontsize=9,
    )
    axes[0].set_xlabel("distance to the nearest real row, standard deviations")
    axes[1].plot([40, 100], [40, 100], color="0.6", lw=1)
    axes[1].text(84, 88, "agreement", color="0.4", fontsize=9, ha="right")
    axes[1].set_xlabel("what the judge tells of the same row")
    for axis in axes:
        axis.axhline(25, color="0.6", lw=1, ls=":")
        axis.set_ylabel("smallest prediction found")
    axes[0].text(
        axes[0].get_xlim()[1], 26, "smallest value in the data: 25", ha="right", fontsize=9
    )
    axes[1].legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.tight_layout()
    figure.savefig(folder / "regression-minimum.png", dpi=100)
    figure, axis = plt.subplots(figsize=(7, 4))
    for space in colours:
        judged = [x for run in found[f"range stream {space}"] for x in run["judge"]]
        label = f"stream, {space} space"
        axis.hist(
            judged, torch.arange(60, 300, 10).tolist(), alpha=0.6, color=colours[space], label=label
        )
    axis.axvspan(*RANGE, color="0.85", zorder=0)
    axis.set_xlabel("what the judge tells of samples that the network puts at 150 to 160 (grey)")
    axis.set_ylabel("samples")
    axis.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(folder / "regression-range.png", dpi=100)


def main() -> None:
    """Measure, print, plot."""
    words = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    words.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    words.add_argument("--only", nargs="+", help="samplers; those measured before are kept")
    words.add_argument("--out", type=Path, default=Path("outputs/regression"))
    given = words.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    file = given.out / "regression.json"
    held = json.loads(file.read_text(encoding="utf-8")) if given.only and file.is_file() else {}
    found = {**held, **measure(given.seeds, given.only)}
    file.write_text(json.dumps(found, indent=1), encoding="utf-8")
    real = real_rows()
    print("\n".join([*smallest(found), "", *wanted(found), "", json.dumps(real, indent=1)]))
    if "range stream data" in found:
        plot(found, real, given.out)


if __name__ == "__main__":
    main()
