"""(c) Against torch-lucent, the usual library of feature visualisation: the same unit of the same
network, as many images and steps.

    python benchmarks/torch_lucent.py [--images 10 30] [--steps 64] [--z1 10 --z2 12] [--repeats \
        3] [--threads 2]

The command makes an environment of its own, once, in outputs/benchmarks/lucent-env (it needs a
package index then): this Python, whose packages it sees, and torch-lucent 0.1.8 with kornia 0.4.1,
the newest that it allows, decorator and IPython. The rest runs in there:

- lucent: `render_vis` as it comes (Fourier parametrisation, decorrelated colours, Adam at 0.05,
  random pads, shifts, scales, turns), loss -channel(fc8, unit) + weight * similarity(conv5), which
  is `objectives.channel - weight * objectives.diversity`;
- lucent, no transforms: the same with ``transforms=[]``;
- stream, Fourier: `sampler=stream` with `generator=fourier`, the same parametrisation, so that both
  compute the network alone;
- stream: as it comes, with the embedded generator.

Images have 32 pixels and are not normalised twice (``fixed_image_size``, ``preprocess``); the
weights are frozen for all, which lucent's users do not do. Every repeat is a seed and runs all, in
turn. lucent knows no range and takes all its steps; its images are looked at after each power of
two of them. `stream` has all images in flight and ends when all are in range. Told are milliseconds
of an image-step and their ratio to lucent's; image-steps; and, of the images as 8-bit files, the
share in range (lucent: after the last step, and after the best), how many of those in range are
distinct and the time for each of them, nearest neighbour and Vendi score in E = fc6 beside those of
photographs in this range. The weight is 1: at 100, as in lucent's examples, this unit hardly rises.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import Spread, bar, begin, once, parser, write
from torch import Tensor

from invset import Generator, Neuron, Problem, mini_generator, mini_network
from invset.analysis.diversity import Diversity
from invset.analysis.neighbours import count_distinct
from invset.analysis.reference import Reference
from invset.files.images import to_uint8
from invset.nets.embedded import embedded
from invset.nets.fourier import fourier_generator
from invset.problem.allocator import keep_freed_memory
from invset.samplers.stream import Stream
from invset.studies.study import study_of

#: torch-lucent asks for kornia <= 0.4.1, which asks for a torch of 2020 and works with today's:
#: both without what they ask for.
WITHOUT_DEPENDENCIES, WITH_DEPENDENCIES = (
    ["torch-lucent==0.1.8", "kornia==0.4.1"],
    ["decorator", "ipython"],
)
LAYER, UNIT = "fc8", "horse"


def environment(folder: Path) -> Path:
    """Its Python; made if it is not there."""
    python, stamp = folder / "bin" / "python", folder / "complete"
    if not stamp.exists():
        print(f"making {folder} with torch-lucent (about 10 seconds) …", flush=True)
        venv.create(folder, clear=True, with_pip=True)
        packages = subprocess.run(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            capture_output=True,
            encoding="utf-8",
        )
        # addsitedir, so that what is installed in editable form is seen too
        shared = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
        (Path(packages.stdout.strip()) / "shared.pth").write_text(shared, encoding="utf-8")
        pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, "--no-deps", *WITHOUT_DEPENDENCIES], check=True)
        subprocess.run([*pip, *WITH_DEPENDENCIES], check=True)
        stamp.touch()
    return python


def measured(problem: Problem, reference: Reference, images: Tensor) -> dict[str, float]:
    """What 8-bit images, with shape (n, 3, H, W), are worth."""
    with torch.no_grad():
        f, e = problem.look(to_uint8(images).float() / 255)
    real = reference.compare([(LAYER, problem.indices[0] or 0)], problem.range, len(images))
    inside = problem.range.contains(f)
    diversity = Diversity.of(e)
    beside = Diversity.of(real.encodings, e.shape[1])
    return {
        "in_range": inside.double().mean().item(),
        "distinct": count_distinct(e[inside], real.threshold),
        "nearest": diversity.nearest_neighbour,
        "vendi": diversity.vendi,
        "real_nearest": beside.nearest_neighbour,
        "real_vendi": beside.vendi,
    }


def lucent(
    problem: Problem,
    reference: Reference,
    n: int,
    steps: int,
    weight: float,
    seed: int,
    which: int,
    plain: bool,
) -> dict[str, float]:
    """`render_vis`, and what its images are worth."""
    from lucent.optvis import objectives, param, render

    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (lucent draws its transforms from the global generator)
    loss = objectives.channel(LAYER, problem.indices[0]) - weight * objectives.diversity("conv5")
    looks = [2**i for i in range(steps.bit_length()) if 2**i < steps] + [steps]
    seen: list[np.ndarray] = []

    def run() -> None:
        seen.extend(
            render.render_vis(
                problem.network.module,
                loss,
                lambda: param.image(32, batch=n),
                transforms=[] if plain else None,
                thresholds=looks,
                preprocess=False,
                fixed_image_size=32,
                progress=False,
                show_image=False,
            )
        )

    taken = once(run)[which]
    found = [measured(problem, reference, torch.from_numpy(x).permute(0, 3, 1, 2)) for x in seen]
    best = max(found, key=lambda look: look["in_range"])["in_range"]
    return {
        **found[-1],
        "best_in_range": best,
        "milliseconds": taken / n / steps,
        "image_steps": n * steps,
    }


def stream(
    problem: Problem, reference: Reference, n: int, steps: int, seed: int, which: int
) -> dict[str, float]:
    """`sampler=stream` with all images in flight, and what they are worth."""
    rng = torch.Generator().manual_seed(seed)
    region = problem.region("auto", rng)
    outcome: list[Any] = []
    study = study_of(Stream(K=n, n=n, budget=steps))
    target = problem.target(region)
    taken = once(lambda: outcome.append(study.run(target, rng)))[which]
    samples = study.found(target, outcome[0])
    with torch.no_grad():
        images = problem.generator(region.decode(samples.u))
    found = measured(problem, reference, images)
    # images that did not come are not in range
    found["in_range"] *= len(images) / n
    return {
        **found,
        "best_in_range": found["in_range"],
        "milliseconds": taken / samples.meter.code_steps,
        "image_steps": samples.meter.code_steps,
    }


def runs(
    n: int, arguments: argparse.Namespace, which: int
) -> dict[str, Callable[[int], dict[str, float]]]:
    """What is compared: name -> a run with a seed."""
    network, reference = mini_network(), Reference.load(embedded("mini", "reference"))

    def question(generator: Generator) -> Problem:
        return Problem(
            network, generator, "fc6", [Neuron(LAYER, UNIT, (arguments.z1, arguments.z2))]
        )

    usual, fourier = question(mini_generator()), question(fourier_generator(size=32))
    steps, weight = arguments.steps, arguments.weight
    return {
        "lucent": lambda seed: lucent(usual, reference, n, steps, weight, seed, which, plain=False),
        "lucent, no transforms": lambda seed: lucent(
            usual, reference, n, steps, weight, seed, which, plain=True
        ),
        "stream, Fourier": lambda seed: stream(fourier, reference, n, steps, seed, which),
        "stream": lambda seed: stream(usual, reference, n, steps, seed, which),
    }


def compare(n: int, arguments: argparse.Namespace, clock: str) -> dict[str, Any]:
    """Runs of all, in turn, with n images."""
    compared = runs(n, arguments, 0 if clock == "cpu" else 1)
    for run in compared.values():
        run(0)  # the first pass packs weights and loads code
    found: dict[str, list[dict[str, float]]] = {name: [] for name in compared}
    for seed in bar(range(arguments.repeats), f"lucent and stream, {n} images"):
        for name, run in compared.items():
            found[name].append(run(seed))
    results = {name: summarize(rows, found["lucent"]) for name, rows in found.items()}
    for name, r in results.items():
        print(f"{n} images, {name}: {line(r)}", flush=True)
    return results


def summarize(rows: list[dict[str, float]], first: list[dict[str, float]]) -> dict[str, Any]:
    """Medians and quartiles over the runs; milliseconds of an image-step relative to those of
    `first`, seed by seed.
    """
    distinct = sum(row["distinct"] for row in rows)
    spent = sum(row["milliseconds"] * row["image_steps"] for row in rows)
    ratio = Spread.of(
        mine["milliseconds"] / theirs["milliseconds"]
        for mine, theirs in zip(rows, first, strict=True)
    )
    return {
        "ratio": ratio.as_dict(),
        "milliseconds_per_distinct": spent / distinct if distinct else None,
        "runs": rows,
        **{key: Spread.of(row[key] for row in rows).as_dict() for key in rows[0]},
    }


def line(r: dict[str, Any]) -> str:
    """The figures of `summarize` in words."""

    def median(key: str, digits: int = 1) -> str:
        return f"{r[key]['median']:.{digits}f}"

    cost = f"{r['milliseconds_per_distinct']:.0f}" if r["milliseconds_per_distinct"] else "–"
    return (
        f"{median('milliseconds', 2)} ms an image-step, ratio {Spread(**r['ratio'])},"
        f" {median('image_steps', 0)} image-steps; in range {median('in_range', 2)} (best"
        f" {median('best_in_range', 2)}), {median('distinct', 0)} distinct in range, {cost} ms"
        f" each; nearest {median('nearest')} ({median('real_nearest')}), Vendi {median('vendi')}"
        f" ({median('real_vendi')})"
    )


def main() -> None:
    """Make the environment, and measure, print and write inside it."""
    arguments_ = parser(__doc__, "torch_lucent", repeats=3)
    arguments_.add_argument(
        "--images", type=int, nargs="+", default=[10, 30], help="images at a time"
    )
    arguments_.add_argument(
        "--steps", type=int, default=64, help="gradient steps (stream: at most, an image)"
    )
    arguments_.add_argument(
        "--z1", type=float, default=10.0, help="lower end of the range of the horse's fc8"
    )
    arguments_.add_argument("--z2", type=float, default=12.0, help="upper end")
    arguments_.add_argument(
        "--weight", type=float, default=1.0, help="of lucent's diversity objective"
    )
    arguments_.add_argument(
        "--environment",
        type=Path,
        default=Path("outputs/benchmarks/lucent-env"),
        help="folder of the environment",
    )
    arguments_.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = arguments_.parse_args()
    if not arguments.inside:
        python = environment(arguments.environment)
        sys.exit(
            subprocess.run([python, __file__, *sys.argv[1:], "--inside"], check=False).returncode
        )
    clock = begin(arguments)
    keep_freed_memory()
    write(arguments, {str(n): compare(n, arguments, clock) for n in arguments.images})


if __name__ == "__main__":
    main()
