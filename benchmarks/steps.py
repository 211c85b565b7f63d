"""(d) Steps, code-steps and seconds for each distinct sample in range: the paper's algorithm as
published, with our remedies, and stream.

    python benchmarks/steps.py [--methods stream two_stage paper_both paper_base] [--seeds 0 1 2] \
        [--n 100] [--threads 2]

The runs are those of `invset compare` (configs/compare.yaml, configs/sampler/), whose `runs.csv` is
written beside the JSON file, in a folder that is deleted first. For each neuron, range and seed the
methods run one after the other; each figure is divided by that of `stream` for the same neuron,
range and seed. Printed are median and quartiles of the figures and of the ratios. A method that
finds no distinct sample in a run has no figure there; "reached" says how many runs found all n.
`--neurons` and `--ranges` are YAML:

    python benchmarks/steps.py --neurons '{fc8: [1, 8], conv5: [80]}' --ranges '{low: [0.25, \
        0.4], top: [0.95, 1.1]}'

Ranges are shares of the largest activation of real images. The seconds are by the wall clock.
"""

from __future__ import annotations

import csv
import math
import shutil
from pathlib import Path
from typing import Any

from common import Spread, begin, parser, write
from omegaconf import OmegaConf

from invset.commands import compare
from invset.config.compose import compose
from invset.problem.allocator import keep_freed_memory

#: What is told of a run: name -> column of ``runs.csv``.
FIGURES = {
    "gradient_steps": "meter.gradient_steps",
    "code_steps": "meter.code_steps",
    "seconds": "meter.seconds",
}
PLACE = ("layer", "neuron", "range", "seed")


def run(folder: Path, overrides: list[str], neurons: str, ranges: str) -> list[dict[str, str]]:
    """Rows of ``runs.csv`` of `invset compare`."""
    cfg = compose("compare", [f"out={folder}", *overrides])
    cfg.neurons = [
        {"layer": layer, "neuron": some} for layer, some in OmegaConf.create(neurons).items()
    ]
    cfg.fractions = OmegaConf.create(ranges)  # an override would add to the ranges that are there
    compare.main(cfg)
    return list(csv.DictReader((folder / "runs.csv").read_text(encoding="utf-8").splitlines()))


def figures(row: dict[str, str]) -> dict[str, float]:
    """`FIGURES` of one run for each distinct sample in range; nan if it has none."""
    distinct = int(row["beside_real.distinct"])
    return {
        name: float(row[key]) / distinct if distinct else math.nan for name, key in FIGURES.items()
    }


def summarize(rows: list[dict[str, str]], first: str) -> dict[str, dict[str, Any]]:
    """For each method: how many runs, how many reached n, shares in range, figures, ratios to
    `first` place by place.
    """
    theirs = {tuple(row[k] for k in PLACE): figures(row) for row in rows if row["method"] == first}
    found: dict[str, dict[str, Any]] = {}
    for method in dict.fromkeys(row["method"] for row in rows):
        mine = [row for row in rows if row["method"] == method]
        reached = sum(row["status"] == "reached" for row in mine)
        found[method] = {
            "runs": len(mine),
            "reached": reached,
            "in_range": _spread(float(r["counts.share_in_range"] or math.nan) for r in mine),
        }
        for name in FIGURES:
            pairs = [
                (figures(row)[name], theirs[tuple(row[k] for k in PLACE)][name]) for row in mine
            ]
            found[method][name] = _spread(a for a, _ in pairs)
            found[method][f"{name}_ratio"] = _spread(a / b for a, b in pairs)
    return found


def _spread(values: Any) -> Spread | None:
    known = [v for v in values if not math.isnan(v)]
    return Spread.of(known) if known else None


def main() -> None:
    """Run, print and write."""
    arguments_ = parser(__doc__, "steps")
    methods = ["stream", "two_stage", "paper_both", "paper_base"]
    arguments_.add_argument(
        "--methods",
        nargs="+",
        default=methods,
        help="options of sampler=; the others are divided by the first",
    )
    arguments_.add_argument(
        "--neurons", default="{fc8: [8], conv5: [80]}", help="neurons of each layer"
    )
    arguments_.add_argument("--ranges", default="{middle: [0.6, 0.75]}", help="ranges by name")
    arguments_.add_argument(
        "--seeds", type=int, nargs="+", default=[0, 1, 2], help="a run of every method for each"
    )
    arguments_.add_argument("--n", type=int, default=100, help="samples a run")
    arguments = arguments_.parse_args()
    begin(arguments)
    keep_freed_memory()
    folder = arguments.out.with_suffix("")
    shutil.rmtree(folder, ignore_errors=True)
    overrides = [
        f"use=[{','.join(arguments.methods)}]",
        f"seeds={arguments.seeds}",
        f"n={arguments.n}",
    ]
    rows = run(folder, overrides, arguments.neurons, arguments.ranges)
    found = summarize(rows, arguments.methods[0])
    for method, r in found.items():
        print(
            f"{method}: {r['reached']} of {r['runs']} runs reached n, share in range"
            f" {r['in_range']}"
        )
        for name in FIGURES:
            print(
                f"    {name.replace('_', '-')} a distinct sample {r[name]}, ratio to"
                f" {arguments.methods[0]} {r[f'{name}_ratio']}"
            )
    results = {
        method: {k: v.as_dict() if isinstance(v, Spread) else v for k, v in r.items()}
        for method, r in found.items()
    }
    write(arguments, {"methods": results, "runs": rows})


if __name__ == "__main__":
    main()
