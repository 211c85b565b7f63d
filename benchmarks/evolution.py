"""The report's table of methods that make zeros, remade: docs/results-evolution.md.

    .venv/bin/python benchmarks/evolution.py data=t10k-images-idx3-ubyte.gz [runs=20] [repeats=10]


Every method starts from the same codes; only=cma_es,stream takes some of the methods. What one
found is kept in outputs/evolution/NAME, and not computed again; then the table and the pictures are
written there. Digits 1 to 8,000 of the file are those that the embedded pair has learnt from, the
others are held out.
"""

from __future__ import annotations

import csv
import math
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from zeros import METHODS, TABLE, Method

from invset.analysis.diversity import Diversity
from invset.api import InverseSetSampler
from invset.core.space import Box, Free, Region
from invset.files.images import load_images, to_float
from invset.files.medium import evenly
from invset.files.tensors import read_tensors, write_tensors
from invset.nets.embedded import mini_generator, mini_network, mnist_encoder
from invset.nets.pixels import pixels_generator
from invset.problem.neuron import ANY, Neuron
from invset.problem.problem import Problem
from invset.problem.robust import Robust
from invset.problem.runtime import Runtime
from invset.problem.start_codes import Starts
from invset.report.grid import label_grid
from invset.samplers.plain_gradient import PlainGradient

#: Activations that codes to begin at have, so that they are the report's, 2.07 ± 1.66.
STARTS = Starts(count=1000, z1=0.1, z2=6.2)

#: Perturbations of a code, and the quantile of them that counts.
COUNT, LEVEL = 200, 0.1

#: Their standard deviation in each number of a code: as reported; and where real zeros lose as much
#: by them as in the report, a tenth. The report's codes have another scale, which it does not tell.
NOISE, STRONG = 0.1, 0.5

#: Most pictures that are measured in a row, evenly spread; and those whose diversity is.
MOST, ALIKE = 50, 20

OUT = Path("outputs/evolution")
FIGURES = ("objective", "perturbed", "strongly", "judge", "probability", "nearest", "change")
TITLES = ("objective", "metric, sd 0.1", "metric, sd 0.5", "judge sees a zero", "softmax")
TITLES += ("nearest real digit", "change of the start")


class Bench:
    """Networks, real digits, and the codes that methods begin at.

    Args:
        data: the IDX file.
        seed: of the starts.
    """

    def __init__(self, data: str, seed: int = 0) -> None:
        self.network = mini_network(name="mnist")
        self.generator = mini_generator(name="mnist")
        self.judge = mini_network(name="mnist_judge")
        self.encoder = mnist_encoder()
        self.problem = self._asked(self.generator, ANY)
        self.seen = to_float(load_images(f"{data}:1-8000", channels=1).images)
        held = load_images(f"{data}:8001-10000", channels=1)
        self.zeros = to_float(held.images[held.labels == 0])
        rng = torch.Generator().manual_seed(seed)
        self.starts = self.problem.region("none", rng, starts=STARTS)
        assert isinstance(self.starts, Free)

    def _asked(self, generator: Any, ends: tuple[float, float]) -> Problem:
        neuron = Neuron("fc8", "zero", range=ends)
        # hundreds of codes at once are slower: their maps are too large for the caches
        runtime = Runtime(micro_batch=64)
        return Problem(
            self.network, generator, neurons=[neuron], robust=Robust(M=0), runtime=runtime
        )

    def run(self, method: Method, runs: int, seed: int) -> dict[str, Tensor]:
        """What a method finds."""
        generator = pixels_generator(28, 1) if method.space == "pixels" else self.generator
        region: Region | str = {"none": self.starts, "natural": "natural"}.get(method.space, "")
        if method.space == "pixels":
            region = Box(0.0, 1.0, self.generator(self.starts.start).detach().flatten(1))
        problem = self._asked(generator, method.ends)
        log: list[list[float]] = []
        sampler = InverseSetSampler(sampler=method.sampler(runs), prior=region)
        found = sampler.run(problem, seed, lambda state, rows, count: log.extend(rows))
        passes = torch.tensor([found.meter.code_steps / max(1, len(found))])
        told = {"codes": found.codes, "inputs": found.inputs, "passes": passes}
        return {**told, "log": torch.tensor(log)}

    @torch.no_grad()
    def measured(self, x: Tensor, codes: Tensor | None, start: Tensor | None) -> dict[str, Tensor]:
        """Figures of each picture, with shape (n,).

        Args:
            x: floats in [0, 1], with shape (n, 1, 28, 28).
            codes: what they were made of, with shape (n, 128); None: of none.
            start: pictures that they began as; None: not known.
        """
        f = self.network.taps(x, ["fc8"])["fc8"]
        judged = self.judge.taps(x, ["fc8"])["fc8"]
        nearest = torch.cdist(x.flatten(1), self.seen.flatten(1)).amin(1) / math.sqrt(784)
        none = torch.full_like(f[:, 0], math.nan)
        change = none if start is None else (x - start).square().mean((1, 2, 3)).sqrt()
        return {
            "objective": f[:, 0],
            "perturbed": none if codes is None else self.perturbed(codes, NOISE),
            "strongly": none if codes is None else self.perturbed(codes, STRONG),
            "change": change,
            "judge": (judged.argmax(1) == 0).float(),
            "probability": f.softmax(1)[:, 0],
            "nearest": nearest,
        }

    def perturbed(self, codes: Tensor, sd: float, seed: int = 1) -> Tensor:
        """The 10th percentile of f over perturbed codes, with shape (n,)."""
        rng = torch.Generator().manual_seed(seed)
        rows = []
        for code in codes:
            noise = sd * torch.randn(COUNT, codes.shape[1], generator=rng)
            rows.append(self.problem.evaluate(code + noise)[0][:, 0].quantile(LEVEL))
        return torch.stack(rows)

    def begun(self, method: Method, runs: int) -> Tensor | None:
        """Pictures that the codes of a gradient method began as, in the order of their starts."""
        if method.space == "natural" or not isinstance(method.sampler(runs), PlainGradient):
            return None
        codes = self.starts.sample(runs, torch.Generator().manual_seed(0))
        return self.generator(codes).detach()

    @torch.no_grad()
    def spread(self, x: Tensor) -> dict[str, float]:
        """How different the first `ALIKE` pictures are."""
        some = x[:ALIKE]
        features = self.judge.taps(some, ["fc6"])["fc6"]
        distances = torch.pdist(some.flatten(1)) / math.sqrt(784)
        vendi = Diversity.of(features).vendi
        return {"distance": distances.mean().item(), "vendi": vendi}


def found_by(bench: Bench, name: str, runs: int, repeats: int) -> dict[str, Tensor]:
    """What a method found, from its file or anew."""
    method = METHODS[name]
    parts = []
    for seed in range(repeats) if method.many else [0]:
        path = OUT / name / f"{seed}.safetensors"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_tensors(path, bench.run(method, runs, seed))
        parts.append(read_tensors(path, "what was found", "delete it")[0])
    kept = ("codes", "inputs", "passes")
    return {key: torch.cat([part[key] for part in parts]) for key in kept}


def rows(bench: Bench, names: list[str], runs: int, repeats: int) -> list[dict[str, Any]]:
    """Rows of the table, each with its pictures."""
    codes = bench.starts.start[:200]
    encoded = bench.encoder.taps(bench.zeros, ["code"])["code"].detach()
    made = [
        ("real zeros, held out", bench.zeros, None, None, 0.0),
        ("their reconstructions", rounded(bench.generator(encoded)), encoded, None, 0.0),
        ("starting samples", rounded(bench.generator(codes)), codes, None, 0.0),
    ]
    for name in names:
        print(name, flush=True)
        found = found_by(bench, name, runs, repeats)
        own = None if METHODS[name].space == "pixels" else found["codes"]
        passes = found["passes"].mean().item()
        start = bench.begun(METHODS[name], runs)
        made.append((METHODS[name].title, to_float(found["inputs"]), own, start, passes))
    listed = []
    for title, x, own, start, passes in made:
        few = evenly(len(x), MOST)
        x, own, start = (None if one is None else one[few] for one in (x, own, start))
        row: dict[str, Any] = {"method": title, "n": len(x), "pictures": x}
        for key, values in bench.measured(x, own, start).items():
            row |= {key: values.mean().item(), f"{key}_sd": values.std().item()}
        listed.append({**row, **bench.spread(x), "code_steps": passes})
    return listed


def rounded(x: Tensor) -> Tensor:
    """Pictures as 8 bits hold them."""
    return (x.detach() * 255).round() / 255


def table(listed: list[dict[str, Any]]) -> str:
    """Markdown."""
    titles = ["method", "n", *TITLES, "distance", "Vendi of 20", "code-steps"]
    lines = [" | ".join(titles), "|".join("---" for _ in titles)]
    for row in listed:
        cells = [row["method"], str(row["n"])]
        for key in FIGURES:
            if key in ("judge", "probability"):
                cells.append(f"{row[key]:.0%}" if key == "judge" else f"{row[key]:.4f}")
            else:
                digits = 3 if key in ("nearest", "change") else 2
                mean, sd = row[key], row[f"{key}_sd"]
                cells.append("–" if math.isnan(mean) else f"{mean:.{digits}f} ± {sd:.{digits}f}")
        steps = f"{row['code_steps']:,.0f}" if row["code_steps"] else "–"
        cells += [f"{row['distance']:.3f}", f"{row['vendi']:.1f}", steps]
        lines.append(" | ".join(cells))
    return "\n".join(f"| {line} |" for line in lines)


def picture(bench: Bench, listed: list[dict[str, Any]], path: Path) -> None:
    """Ten pictures of each row, with their activations."""
    grid = []
    for row in listed:
        x = row["pictures"][:10]
        f = bench.network.taps(x, ["fc8"])["fc8"][:, 0].detach()
        stored = (x * 255).round().byte().expand(-1, 3, -1, -1)
        grid.append((row["method"], stored, [f"{value:.1f}" for value in f.tolist()]))
    label_grid(grid, "Pictures that excite the unit zero", 56, "its activation below").save(path)


def main() -> None:
    """Every row that is asked for."""
    given = dict(word.split("=", 1) for word in sys.argv[1:])
    torch.set_num_threads(1)
    runs, repeats = int(given.get("runs", 20)), int(given.get("repeats", 10))
    names = given.get("only", ",".join(TABLE)).split(",")
    bench = Bench(given["data"])
    listed = rows(bench, names, runs, repeats)
    text = table(listed)
    print(text)
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "table.md").write_text(text + "\n", encoding="utf-8")
    plain = [{key: value for key, value in row.items() if key != "pictures"} for row in listed]
    with (OUT / "table.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, plain[0])
        writer.writeheader()
        writer.writerows(plain)
    picture(bench, listed, OUT / "pictures.png")


if __name__ == "__main__":
    main()
