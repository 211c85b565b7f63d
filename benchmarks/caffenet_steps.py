"""(d) at full size: code-steps a distinct sample of CaffeNet and PPGN's generator, with random
weights.

    python benchmarks/caffenet_steps.py [--methods stream two_stage] [--n 20] [--threads 2]

The methods are those of configs/sampler/, in the box [0, 30] of PPGN's codes (the published ones in
all of code space), from E of random images: no natural region is known of random weights. Ranges
lie between the 60th and 75th, and the 90th and 97.5th percentiles of f at 500 such codes. Distinct
are samples in range that are farther from all before than half the median distance to the nearest
among the images of as many start codes. Figures are code-steps for each of them.
"""

from __future__ import annotations

from typing import Any

import hydra
import torch
from common import begin, pair, parser, write
from tqdm import tqdm

from invset import Neuron, Problem
from invset.analysis.diversity import count_distinct, nearest_neighbours
from invset.api import finish
from invset.config.compose import compose
from invset.problem.allocator import keep_freed_memory
from invset.studies.study import study_of

NEURONS = (("fc8", 981), ("conv5", 197))
PERCENTILES = {"middle": (0.6, 0.75), "top": (0.9, 0.975)}


def start_activations(problem: Problem, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """f, with shape (count, 1), and E at start codes."""
    rng = torch.Generator().manual_seed(1)
    region = problem.region("clip", rng, (0.0, 30.0))
    parts = [problem.evaluate(region.decode(u)) for u in region.sample(count, rng).split(10)]
    return torch.cat([f for f, _ in parts]), torch.cat([e for _, e in parts])


def run(problem: Problem, method: str, n: int, threshold: float) -> dict[str, Any]:
    """One run's figures."""
    cfg = compose("run", [f"sampler={method}", f"n={n}"])
    rng = torch.Generator().manual_seed(0)
    region = problem.region("none" if cfg.prior == "none" else "clip", rng, (0.0, 30.0))
    sampler = hydra.utils.instantiate(cfg.sampler)
    with tqdm(total=n, desc=f"{method} {problem.names[0]}", unit="sample", leave=False) as bar:
        study = study_of(sampler)
        target = problem.target(region)
        state = study.run(target, rng, on_look=lambda _, rows, count: bar.update(count - bar.n))
    result = finish(problem, region, study.found(target, state), batch_size=10)
    inside = result.encodings[result.in_range]
    return {
        "method": method,
        "neuron": problem.question,
        "status": result.status.value,
        "samples": len(result),
        "in_range": len(inside),
        "distinct": count_distinct(inside, threshold) if len(inside) else 0,
        "steps": result.steps,
        "code_steps": result.meter.code_steps,
        "nearest": nearest_neighbours(inside).mean().item() if len(inside) > 1 else None,
        "seconds": result.seconds,
    }


def main() -> None:
    """Run, print and write."""
    arguments_ = parser(__doc__, "caffenet_steps")
    arguments_.add_argument(
        "--methods", nargs="+", default=["stream", "two_stage"], help="files of configs/sampler"
    )
    arguments_.add_argument("--n", type=int, default=20, help="samples a run")
    arguments = arguments_.parse_args()
    begin(arguments)
    keep_freed_memory()
    network, generator = pair("caffenet")
    rows = []
    for layer, number in NEURONS:
        with torch.no_grad():
            f, e = start_activations(
                Problem(network, generator, encoder="fc6", neurons=[Neuron(layer, number)]), 500
            )
        threshold = nearest_neighbours(e[: arguments.n]).median().item() / 2
        for name, levels in PERCENTILES.items():
            low, high = f[:, 0].quantile(torch.tensor(levels)).tolist()
            problem = Problem(
                network, generator, encoder="fc6", neurons=[Neuron(layer, number, (low, high))]
            )
            for method in arguments.methods:
                row = {"range": name, **run(problem, method, arguments.n, threshold)}
                rows.append(row)
                each = row["code_steps"] / row["distinct"] if row["distinct"] else float("nan")
                print(
                    f"{layer}:{number} {name} {method}: {row['status']}, {row['in_range']} of"
                    f" {row['samples']} in range, {row['distinct']} distinct, {row['code_steps']}"
                    f" code-steps, {each:.1f} for each, {row['seconds']:.0f} s",
                    flush=True,
                )
    write(arguments, {"runs": rows})


if __name__ == "__main__":
    main()
