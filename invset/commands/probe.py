"""``invset probe``: what real images, random codes, short ascent and descent bring neurons to, and
which range to ask for.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor
from tqdm import tqdm

from invset.commands.outputs import load_reference
from invset.commands.pictures import read_inputs
from invset.config import build
from invset.config.published import prepare
from invset.config.validate import asked, check_probe
from invset.core.reach import LEVELS, Reach, percentiles, reach, rounded
from invset.core.space import Region
from invset.files.image8bit import of_size
from invset.files.rundir import RunDir
from invset.problem.neuron import read
from invset.problem.problem import Problem
from invset.report.strip import AGAIN, COLUMNS, DOWN, RANDOM, REAL, UP, Strip, plot, text

#: What is typed for a probe, but not for the run that it suggests.
_OWN = (
    "neuron",
    "neurons",
    "layer",
    "position",
    "direction",
    "images",
    "limit",
    "codes",
    "starts",
    "steps",
    "length",
    "seed",
    "progress",
)

#: Fewest images that suggest a range for a neuron that nearly all leave silent.
_FEW = 10

#: Images, or codes that are walked up and down, in one pass.
_BATCH = 32


def main(cfg: DictConfig) -> None:
    """Look at every neuron, print its strip and what to type, and write ``probe.json``,
    ``probe.csv`` and ``probe.png``.
    """
    from hydra.core.hydra_config import HydraConfig

    check_probe(cfg)
    prepare(cfg, ranged=False)
    problem = build.problem(cfg, ranged=False)
    rng = torch.Generator().manual_seed(cfg.seed)
    region = problem.region(cfg.prior, rng, build.bounds(cfg.clip, problem.generator.code_dim))
    populations = measure(cfg, problem, region, rng)
    rundir = RunDir(HydraConfig.get().runtime.output_dir)
    typed = [
        word
        for word in rundir.overrides()
        if not _key(word).startswith("hydra.") and _key(word) not in _OWN
    ]
    commands = [
        ["invset", "run", *typed, *_words(one, problem.network.output)]
        for one in asked(cfg, ranged=False)
    ]
    found = [
        _found(name, rows, command, cfg.steps)
        for name, rows, command in zip(problem.names, populations, commands, strict=True)
    ]
    strips = [_strip(one) for one in found]
    for one, strip in zip(found, strips, strict=True):
        print("\n".join([*text(strip), "", *one["sentences"], ""]))
    _write(rundir, cfg, problem, region, found, strips)
    print(rundir / "probe.png")


def _key(word: str) -> str:
    return word.lstrip("+~").split("=")[0].split("@")[0]


def _words(one: dict[str, Any], output: str) -> list[str]:
    """One neuron as ``invset run`` takes it."""
    keys = ["layer", "neuron", "direction", "position"]
    given = {key: one.get(key) for key in keys if one.get(key) not in (None, "center")}
    if str(given.get("layer")) == output:
        del given["layer"]
    return [
        f"{key}={str(value).replace(' ', '') if key == 'position' else value}"
        for key, value in given.items()
    ]


def measure(
    cfg: DictConfig, problem: Problem, region: Region, rng: torch.Generator
) -> list[dict[str, Tensor]]:
    """Activations of each neuron: what was looked at -> with shape (N,), on the CPU."""
    populations = _real(cfg, problem, region)
    u = region.sample(max(cfg.codes, cfg.starts), rng)
    drawn = _made(problem, region, u[: cfg.codes])
    total = 2 * cfg.starts * cfg.steps * len(problem.neurons)
    with tqdm(
        total=total,
        desc="ascent and descent",
        unit="code-step",
        delay=1,
        leave=False,
        disable=not cfg.progress,
    ) as bar:
        for j, rows in enumerate(populations):
            rows[RANDOM] = drawn[:, j]
            parts = [
                _reach(problem, region, some, j, cfg, bar)
                for some in u[: cfg.starts].split(_BATCH // 2)
            ]
            rows[DOWN] = torch.cat([part.lowest for part in parts]).cpu()
            rows[UP] = torch.cat([part.highest for part in parts]).cpu()
    return populations


def _reach(
    problem: Problem, region: Region, u: Tensor, j: int, cfg: DictConfig, bar: tqdm
) -> Reach:
    return reach(
        lambda u: problem.evaluate(region.decode(u))[0][:, j],
        region,
        u,
        cfg.steps,
        cfg.length,
        bar.update,
    )


def _real(cfg: DictConfig, problem: Problem, region: Region) -> list[dict[str, Tensor]]:
    """Real images, and what the generator makes of their encodings where those are codes."""
    if cfg.images is None:
        return _stored(cfg, problem)
    medium = problem.medium
    if medium.shape is None:  # as large as the generator's
        medium = of_size(medium, problem.input_shape[1:])
    inputs = read_inputs(medium, cfg.images, cfg.limit, cfg.progress)
    looked = [
        problem.look(medium.restore(batch.to(problem.network.device)))
        for batch in _batches(cfg, inputs)
    ]
    f, e = (torch.cat(parts) for parts in zip(*looked, strict=True))
    populations = [{REAL: column} for column in f.cpu().T]
    if e.shape[1] == problem.generator.code_dim and problem.generator.start is None:
        chosen = torch.linspace(0, len(e) - 1, min(cfg.codes, len(e))).round().long()
        again = _made(problem, region, region.project(region.encode(e[chosen.to(e.device)])))
        for rows, column in zip(populations, again.T, strict=True):
            rows[AGAIN] = column
    return populations


def _batches(cfg: DictConfig, images: Tensor) -> Iterator[Tensor]:
    with torch.no_grad():
        yield from tqdm(
            images.split(_BATCH),
            desc="real images",
            unit="batch",
            delay=1,
            leave=False,
            disable=not cfg.progress,
        )


def _stored(cfg: DictConfig, problem: Problem) -> list[dict[str, Tensor]]:
    """Activations that a reference holds image by image: of units, and of channels at the
    centre.
    """
    reference = load_reference(cfg, problem)
    populations: list[dict[str, Tensor]] = []
    for neuron, index, centre in zip(
        problem.neurons, problem.indices, problem.centred, strict=True
    ):
        known = reference is not None and reference.knows(neuron.layer) and centre
        f = reference.activations[neuron.layer] if reference is not None and known else None
        populations.append({REAL: read(f, (), index, neuron.direction)} if f is not None else {})
    return populations


@torch.no_grad()
def _made(problem: Problem, region: Region, u: Tensor) -> Tensor:
    """Activations of the images of some coordinates, with shape (N, p), on the CPU."""
    return torch.cat([problem.evaluate(region.decode(part))[0] for part in u.split(_BATCH)]).cpu()


def _found(name: str, rows: dict[str, Tensor], command: list[str], steps: int) -> dict[str, Any]:
    """What ``probe.json`` says of one neuron."""
    levels: dict[str, list[float]] = {row: percentiles(f).tolist() for row, f in rows.items()}
    source = REAL if REAL in rows else RANDOM
    of, low, high = _excited(rows[source], source)
    down, up = levels[DOWN], levels[UP]
    suggested = rounded(low, high)
    whole = rounded(down[0], up[-1])
    lines = (
        []
        if REAL in rows
        else [
            "No activations on real images are stored for it; type images=/path/to/images (folder,"
            " zip or tar)."
        ]
    )
    if suggested is None:
        lines.append(f"{of}: all {low:.4g}, so there is no range to suggest.")
    else:
        z1, z2 = suggested
        lines.append(
            f"{of}: z1={z1:g}"
            f" z2={z2:g}{'' if z2 <= up[-1] else ', of which the top was not reached'}"
        )
    if whole is None:
        lines.append(f"reachable: nothing moves it from {up[-1]:.4g}")
    else:
        middle = rounded(whole[0], up[3])
        half = f"; half of the ascents came to {middle[1]:g} or higher" if middle else ""
        lines.append(
            f"reachable: {whole[0]:g} to {whole[1]:g} in {steps} steps, farther in more{half}"
        )
    words = (
        shlex.join([*command, f"z1={suggested[0]:g}", f"z2={suggested[1]:g}"])
        if suggested
        else None
    )
    if words:
        lines.append(f"  {words}")
    return {
        "name": name,
        "populations": {
            row: {"count": len(f), "percentiles": levels[row]} for row, f in rows.items()
        },
        "suggested": suggested,
        "of": of,
        "reachable": whole,
        "command": words,
        "sentences": lines,
    }


def _excited(f: Tensor, source: str) -> tuple[str, float, float]:
    """Which activations are suggested, in words and by their ends, of values with shape (N,)."""
    moved = f[f > f.min()]
    q = dict(zip(COLUMNS, percentiles(f).tolist(), strict=True))
    if q["p90"] > q["p0"] or len(moved) < _FEW:
        return f"p90 … p99 of {source}", q["p90"], q["p99"]
    # behind a ReLU that is silent for nearly all, p90 would be 0, and so would what is sampled
    some = dict(zip(COLUMNS, percentiles(moved).tolist(), strict=True))
    return (
        f"p10 … p99 of the {len(moved)} of {len(f)} {source} that move it from {q['p0']:.4g}",
        some["p10"],
        some["p99"],
    )


def _strip(one: dict[str, Any]) -> Strip:
    rows = {name: (row["count"], row["percentiles"]) for name, row in one["populations"].items()}
    return Strip(one["name"], rows, one["suggested"])


def _write(
    rundir: RunDir,
    cfg: DictConfig,
    problem: Problem,
    region: Region,
    found: list[dict[str, Any]],
    strips: list[Strip],
) -> None:
    about = {
        "network": problem.network.name,
        "generator": problem.generator.name,
        "encoder": problem.encoder,
        "prior": region.name,
        "real": cfg.images or "reference",
        "steps": cfg.steps,
        "seed": cfg.seed,
        "command": f"invset probe {shlex.join(rundir.overrides())}".strip(),
        "levels": LEVELS,
    }
    rundir.write_json("probe.json", {**about, "neurons": found})
    rows = [
        [one["name"], name, row["count"], *(f"{v:.7g}" for v in row["percentiles"])]
        for one in found
        for name, row in one["populations"].items()
    ]
    rundir.write_csv("probe.csv", ["neuron", "population", "count", *COLUMNS], rows)
    real = "real images, " if any(REAL in one["populations"] for one in found) else ""
    title = (
        f"Activations of {problem.network.name}: {real}what generator {problem.generator.name}"
        f" makes of random codes (prior={region.name}),\nand how far {cfg.steps} steps down and up"
        " the gradient bring such codes"
    )
    of = {one["of"] for one in found}
    band = f"suggested range: {of.pop()}" if len(of) == 1 else "suggested range"
    rundir.write("probe.png", lambda path: plot(strips, title, band, path))
