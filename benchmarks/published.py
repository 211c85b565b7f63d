"""The published algorithm under every reading of what the paper leaves open: one row a reading.

    python benchmarks/published.py [--pairs mini caffenet] [--seeds 0] [--n 500] [--only adam]

The paper gives no step length beta, and does not say whether s stays during the inner steps,
whether pictures are cut off and rounded inside the graph, or when it tests that all seeds are
inside. Each reading here is `TwoStage` with all published choices and one of these changed. Told
are gradient
steps to the seeds and to n samples, the share in range, the distance of nearest neighbours (of real
images in brackets where known), distinct samples, the mean distance, numbers of the codes, and the
share of codes that a step of eq. (11) leaves inside. Rows go to ``published.csv`` beside
``published.md`` as they come, and a row that is there is not computed again.

The pair `caffenet` has the shape of the paper's networks, at 227 pixels, with random weights: its
rows show how steps behave, not pictures. Its range is at two deviations of f over start codes.
"""

from __future__ import annotations

import argparse
import csv
import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from common import random_pair

from invset import InverseSetSampler, Neuron, Problem, mini_generator, mini_network
from invset.analysis.discover import measure
from invset.analysis.record import value_of
from invset.analysis.reference import Reference
from invset.analysis.sample_set import SampleSet
from invset.core.steps import Adam, Normalized, Plain
from invset.nets.caffe.caffenet import CaffeNet
from invset.nets.caffe.upconv_fc6 import UpConvFc6
from invset.nets.embedded import embedded
from invset.samplers.base import Limits
from invset.samplers.two_stage import SEED, TwoStage

#: All that the paper says (section 3.4).
PUBLISHED: dict[str, Any] = {
    "mu0": 10.0,
    "alpha": 10.0,
    "inner_steps": 100,
    "max_outer": 8,
    "mu_max": math.inf,
    "constraint": "paper",
    "units": "raw",
    "diversity": 1.0,
    "diversity_units": "raw",
    "walk": 0.0,
    "slack": "frozen",
    "tested": "iteration",
}
BETAS = {
    "frozen": (1e-7, 1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 1e-2),
    "fresh": (1e-6, 1e-5, 1e-4, 1e-3),
}
CODES_BETAS = (3e-6, 3e-5, 3e-4, 3e-3)
RATES = (0.01, 0.03, 0.1, 0.3)


#: Columns of ``published.csv`` that the table shows -> their titles.
COLUMNS = {
    "question": "question",
    "reading": "reading",
    "ended": "ended",
    "steps to seeds": "steps to the seeds",
    "steps to n": "steps in all",
    "samples": "samples",
    "kept a step": "kept",
    "in range": "in range",
    "nearest": "nearest neighbour",
    "nearest, real": "of real images",
    "distinct": "distinct",
    "mean distance": "mean distance",
    "lowest code": "lowest code",
    "highest code": "highest code",
}


@dataclass(frozen=True)
class Reading:
    """One reading of the algorithm.

    Attributes:
        name: what the table calls it.
        options: of `TwoStage`, besides `PUBLISHED`.
        problem: of `Problem`: what networks see.
    """

    name: str
    options: dict[str, Any]
    problem: dict[str, Any] = field(default_factory=lambda: {"eight_bit": False, "clamp": True})


def readings() -> list[Reading]:
    """Plain steps over beta, Adam and normalised steps over their rates, and one change each."""
    found = []
    for s, betas in BETAS.items():
        for beta in betas:
            options = {"slack": s, "step_rule": Plain(beta)}
            found.append(Reading(f"plain beta {beta:g}, s {s}", options))
    for rate in RATES:
        for carried in (True, False):
            told = "carried" if carried else "anew"
            options = {"step_rule": Adam(rate), "carried": carried}
            found.append(Reading(f"adam {rate:g}, memory {told}", options))
    found += [
        Reading(f"normalised {rate:g}", {"step_rule": Normalized(rate)}) for rate in RATES[:3]
    ]
    for beta in CODES_BETAS:
        options = {"objective": "codes", "step_rule": Plain(beta)}
        found.append(Reading(f"eq. (14), plain beta {beta:g}", options))
    for name, rule in (("plain beta 3e-05", Plain(3e-5)), ("adam 0.03", Adam(0.03))):
        options = {"same_start": True, "start_noise": 0.001, "step_rule": rule}
        found.append(Reading(f"one start, {name}", options))
    base = {"step_rule": Adam(0.03)}
    found.append(Reading("eq. (14), adam 0.03", {"objective": "codes", **base}))
    found += [
        Reading("adam 0.03, s fresh", {**base, "slack": "fresh"}),
        Reading("adam 0.03, tested each step", {**base, "tested": "step"}),
        Reading("adam 0.03, 8 bits", base, {"eight_bit": True, "clamp": True}),
        Reading("adam 0.03, not cut off", base, {"eight_bit": False, "clamp": False}),
        Reading("adam 0.03, eq. (11) without constraint", {**base, "walk_constraint": False}),
        Reading("adam 0.03, epsilon0 = epsilon", {**base, "epsilon0": 1.0}),
    ]
    return found


@dataclass(frozen=True)
class Case:
    """Networks, a neuron and its range.

    Attributes:
        pair: "mini" or "caffenet".
        neuron: with its range.
        make: options of `Problem` to the problem.
        reference: real images, if known.
    """

    pair: str
    neuron: Neuron
    make: Callable[..., Problem]
    reference: Reference | None


def cases(pair: str) -> list[Case]:
    """The questions about a pair."""
    if pair == "mini":
        network, generator = mini_network(), mini_generator()
        asked = [Neuron("fc8", "horse", range=(12, 14)), Neuron("fc8", "airplane", range=(9, 11))]
        reference = Reference.load(embedded("mini", "reference"))
    else:
        module = CaffeNet(n_out=1000)
        network, generator = random_pair(module, UpConvFc6(), 4096)
        asked = [_at_two_deviations(network, generator)]
        reference = None

    def make(neuron: Neuron, **options: Any) -> Problem:
        return Problem(network, generator, neurons=[neuron], **options)

    return [Case(pair, neuron, make, reference) for neuron in asked]


def _at_two_deviations(network: Any, generator: Any) -> Neuron:
    problem = Problem(network, generator, neurons=[Neuron("fc8", 1)])
    rng = torch.Generator().manual_seed(0)
    region = problem.region("none", rng)
    with torch.no_grad():
        f = problem.evaluate(region.decode(region.sample(32, rng)))[0]
    low = (f.mean() + 2 * f.std()).item()
    return Neuron("fc8", 1, range=(low, low + 2 * f.std().item()))


def run(case: Case, reading: Reading, seed: int, K: int, n: int, seconds: float) -> dict[str, Any]:
    """A row of the table."""
    problem = case.make(case.neuron, **reading.problem)
    sampler = TwoStage(K=K, n=n, **{**PUBLISHED, **reading.options})
    began = time.perf_counter()
    method = InverseSetSampler(sampler=sampler, prior="none", limits=Limits(seconds=seconds))
    result = method.run(problem, seed)
    seeds = result.step[result.origin == SEED]
    first = int(seeds.min()) if len(seeds) else None
    later = int(result.steps) - first - 1 if first is not None else 0  # the seeds' own pass
    rng = torch.Generator().manual_seed(seed)
    samples = SampleSet.of(problem, problem.region("none", rng), result, None)
    summary = measure(samples, case.reference).summary
    walked = len(result) - len(seeds)
    return {
        "ended": result.status.value,
        "steps to seeds": first,
        "steps to n": int(result.steps),
        "samples": len(result),
        "kept a step": f"{walked / (K * later):.2f}" if later else "–",
        "in range": value_of(summary, "counts.share_in_range"),
        "nearest": value_of(summary, "diversity.nearest_neighbour"),
        "nearest, real": value_of(summary, "beside_real.real.nearest_neighbour"),
        "distinct": value_of(summary, "beside_real.distinct"),
        "mean distance": value_of(summary, "diversity.mean_pairwise_distance"),
        "lowest code": value_of(summary, "codes.lowest"),
        "highest code": value_of(summary, "codes.highest"),
        "seconds": round(time.perf_counter() - began, 1),
    }


def main() -> None:
    """Run what is missing, and write the table."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--pairs", nargs="+", default=["mini"], choices=["mini", "caffenet"])
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0])
    arguments.add_argument("--K", type=int, default=10, help="codes that are optimised together")
    arguments.add_argument("--n", type=int, default=500, help="samples a run")
    arguments.add_argument("--only", default="", help="readings whose name begins so")
    arguments.add_argument("--seconds", type=float, default=600, help="limit of a run")
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--docs", type=Path, help="document whose table this run's is")
    arguments.add_argument("--out", type=Path, default=Path("outputs/benchmarks/published.csv"))
    chosen = arguments.parse_args()
    torch.set_num_threads(chosen.threads)
    rows = _read(chosen.out)
    done = {(row["question"], row["reading"], row["seed"], row["n"]) for row in rows}
    for case in (case for pair in chosen.pairs for case in cases(pair)):
        for reading in readings():
            for seed in chosen.seeds:
                question = f"{case.pair} {case.neuron.layer}:{case.neuron.number} {_range(case)}"
                key = (question, reading.name, str(seed), str(chosen.n))
                if key in done or not reading.name.startswith(chosen.only):
                    continue
                found = run(case, reading, seed, chosen.K, chosen.n, chosen.seconds)
                rows.append(
                    {**dict(zip(("question", "reading", "seed", "n"), key, strict=True)), **found}
                )
                print(rows[-1], flush=True)
                _write(chosen.out, rows)
    if chosen.docs:
        text = chosen.docs.read_text(encoding="utf-8")
        lines = "\n".join(["<!-- readings -->", *_table(rows), "<!-- end -->"])
        text = re.sub(r"<!-- readings -->\n.*?<!-- end -->", lines, text, flags=re.DOTALL)
        chosen.docs.write_text(text, encoding="utf-8")


def _range(case: Case) -> str:
    low, high = case.neuron.range
    return f"[{low:.3g}, {high:.3g}]"


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    path.with_suffix(".md").write_text("\n".join(_table(rows)) + "\n", encoding="utf-8")


def _table(rows: list[dict[str, Any]]) -> list[str]:
    """Lines in Markdown, the rows of a question together."""
    questions = list(dict.fromkeys(row["question"] for row in rows))
    rows = sorted(rows, key=lambda row: questions.index(row["question"]))
    lines = [list(COLUMNS.values()), ["---"] * len(COLUMNS)]
    lines += [[_told(row[key]) for key in COLUMNS] for row in rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _told(value: Any) -> str:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return "–" if value in (None, "") else str(value)
    return f"{number:.3g}" if abs(number) < 100 else f"{number:.0f}"


if __name__ == "__main__":
    main()
