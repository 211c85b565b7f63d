"""The fooling class: train a digit classifier with evolved pictures as an eleventh class, evolve
anew against it, and so on (Nguyen, Yosinski & Clune 2015).

    python benchmarks/fooling.py --digits t10k-images-idx3-ubyte.gz

A round trains on 8,000 digits and all pictures that were evolved before, and evolves against what
it trained. The fooling class is no niche, and counts in the softmax. Round 0 has no fooling class.
Everything is done by ``invset run`` and ``invset train network``; what is there is not done again.
Rows of both encodings are in ``rounds.csv`` and ``rounds.md``.

    python benchmarks/fooling.py --halves outputs/fooling/efficientnet_lite0_cppn/0

tells how sure a network is of half of each picture of a run, the other half being of one colour:
what repeats is then there once, or less often.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import torch
from omegaconf import OmegaConf
from PIL import Image
from torch import Tensor

from invset.files.idx import read_digits

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

#: The folder of evolved pictures: behind those of the digits, which are called 0 to 9.
CLASS = "fooling"

#: Of ten evolved pictures one is held out.
HELD_OUT = 10

#: The embedded digit classifier's shape, for fewer epochs.
TRAINING = (
    "data.size=28",
    "data.grey=true",
    "model.widths=[24,48,64,64,48]",
    "model.fc6=128",
    "model.fc7=64",
    "model.mean=null",
    "model.std=null",
    "settings.flip=false",
    "settings.crop=2",
    "settings.cutout=0",
    "settings.autocast=off",
)

#: Encoding -> the sampler, its archives, and candidates a generation of each.
ENCODINGS = {
    "cppn": ("map_elites_cppn", "K=10", "sampler.batch=20"),
    "direct": ("map_elites", "K=4", "sampler.batch=50"),
}


@dataclass(frozen=True)
class Round:
    """What a round found.

    Attributes:
        encoding: of the evolved pictures.
        number: of the round.
        fooling: evolved pictures that were learnt from.
        accuracy: share of held-out pictures, evolved ones among them, in their class.
        median: confidence over all elites; of an elite, in its digit.
        sure: share of the elites with a confidence of at least 0.99.
        first: share of the elites whose digit the network puts first.
        judge: share of the elites whose digit the judge puts first.
    """

    encoding: str
    number: int
    fooling: int
    accuracy: float
    median: float
    sure: float
    first: float
    judge: float


def main(argv: Sequence[str] | None = None) -> None:
    """Do what is typed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--digits", type=Path, help="MNIST's file of 10,000 pictures")
    parser.add_argument("--halves", type=Path, help="folder of a run with niches")
    parser.add_argument("--out", type=Path, default=Path("outputs/fooling/class"))
    parser.add_argument("--rounds", type=int, default=3, help="trainings with a fooling class")
    parser.add_argument("--epochs", type=int, default=8)
    for encoding, generations in (("cppn", 60), ("direct", 1000)):
        parser.add_argument(
            f"--{encoding}", type=int, default=generations, help="generations; 0: none"
        )
    options = parser.parse_args(argv)
    if options.halves is not None:
        tell_halves(options.halves)
    if options.digits is not None:
        tell_rounds(options)


def tell_rounds(options: argparse.Namespace) -> None:
    """Do the rounds of both encodings, and write what they found."""
    pictures, labels, _ = read_digits(options.digits)
    assert labels is not None
    rounds = []
    for encoding, sampler in ENCODINGS.items():
        generations = getattr(options, encoding)
        if not generations:
            continue
        words = [f"sampler={sampler[0]}", *sampler[1:], f"sampler.generations={generations}"]
        before: list[Path] = []
        for number in range(options.rounds + 1):
            # without a fooling class both encodings ask the same network
            home = options.out / (encoding if number else "digits") / str(number)
            if not (home / "network" / "network.safetensors").exists():
                write_pictures(home / "pictures", pictures, labels, before)
                train(home, options.epochs, number > 0)
            run = options.out / encoding / str(number) / "evolved"
            if not (run / "summary.json").exists():
                evolve(home, run, words, number > 0)
            rounds.append(measured(encoding, number, home, run))
            before.append(run)
            write_rounds(options.out, rounds)
            print(rounds[-1], flush=True)


def write_pictures(
    folder: Path, pictures: np.ndarray, labels: np.ndarray, evolved: Sequence[Path]
) -> None:
    """Folders of digits and of evolved pictures to learn from, and of those held out.

    Args:
        folder: gets ``train`` and ``val``, each with a folder a class.
        pictures: digits, uint8 with shape (N, H, W); the last fifth is held out.
        labels: of them, with shape (N,).
        evolved: folders of runs whose samples are the fooling class.
    """
    shutil.rmtree(folder, ignore_errors=True)
    first_held_out = len(pictures) * 4 // 5
    for number, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        part = folder / ("train" if number < first_held_out else "val") / str(label)
        part.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(part / f"{number:05d}.png")
    for run in evolved:
        for number, path in enumerate(sorted((run / "samples").glob("*.png"))):
            part = folder / ("val" if number % HELD_OUT == 0 else "train") / CLASS
            part.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, part / f"{run.parent.name}-{path.name}")


def train(home: Path, epochs: int, fooled: bool) -> None:
    """Train a network on the pictures of a round."""
    names = [*NAMES, CLASS] if fooled else NAMES
    data = home / "pictures"
    words = [f"data.{part}={data / part}" for part in ("train", "val")]
    more = [f"data.names=[{','.join(names)}]", f"settings.epochs={epochs}", "device=cpu"]
    invset("train", "network", *words, *TRAINING, *more, f"out={home / 'network'}")


def evolve(home: Path, run: Path, words: Sequence[str], fooled: bool) -> None:
    """Evolve against the network of a round."""
    weights = f"network.weights={home / 'network' / 'network.safetensors'}"
    problem = ["network=mnist", "network.name=mnist_round", weights, "generator=pixels"]
    more = ["generator.size=28", "generator.channels=1", "robust=0", "neuron=zero", "goal=max"]
    rest = ["n=1000", "judge=mnist_judge", "reference=null", "animation=false", "report=false"]
    without = [f"sampler.without=[{len(NAMES) + 1}]"] if fooled else []
    folder = f"hydra.run.dir={run}"
    invset("run", *words, *problem, *more, *rest, *without, folder, "overwrite=true")


def invset(*words: str) -> None:
    """Type a command."""
    subprocess.run([sys.executable, "-m", "invset", *words], check=True)


def measured(encoding: str, number: int, home: Path, run: Path) -> Round:
    """The figures of a round, from what its commands wrote."""
    summary: dict[str, Any] = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    confidence = summary["confidence"]
    with (run / "activations.csv").open(encoding="utf-8") as file:
        shares = [float(row["confidence.probability"]) for row in csv.DictReader(file)]
    with (home / "network" / "log.csv").open(encoding="utf-8") as file:
        accuracy = float(list(csv.DictReader(file))[-1]["val_accuracy"])
    learnt = len(list((home / "pictures" / "train" / CLASS).glob("*.png")))
    return Round(
        encoding,
        number,
        learnt,
        accuracy,
        confidence["median"],
        float(np.mean([share >= 0.99 for share in shares])),
        confidence["first"],
        summary["judge"]["samples"]["first"],
    )


def write_rounds(out: Path, rounds: Sequence[Round]) -> None:
    """Write ``rounds.csv``, and ``rounds.md`` for a person."""
    rows = [vars(one) for one in rounds]
    with (out / "rounds.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    head = "| encoding | round | fooling pictures learnt | held out, right | median confidence |"
    lines = [head + " ≥ 99 % | digit first | judge: digit first |", "|" + "---|" * 8]
    for one in rounds:
        lines.append(
            f"| {one.encoding} | {one.number} | {one.fooling} | {one.accuracy:.1%} |"
            f" {one.median:.2%} | {one.sure:.0%} | {one.first:.0%} | {one.judge:.0%} |"
        )
    (out / "rounds.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


@torch.no_grad()
def tell_halves(run: Path) -> None:
    """Print the confidence in whole pictures, and in the half of each that keeps most and least of
    it.
    """
    net = hydra.utils.instantiate(OmegaConf.load(run / ".hydra" / "config.yaml").network)
    with (run / "activations.csv").open(encoding="utf-8") as file:
        unit = torch.tensor([int(float(row["confidence.unit"])) for row in csv.DictReader(file)])
    paths = sorted((run / "samples").glob("*.png"))
    x = torch.stack([torch.from_numpy(np.array(Image.open(path).convert("RGB"))) for path in paths])
    x = x.permute(0, 3, 1, 2).float() / 255

    def sure(pictures: Tensor) -> Tensor:
        parts = [net.taps(part, [net.output])[net.output] for part in pictures.split(8)]
        return torch.cat(parts).softmax(1).gather(1, (unit - 1).unsqueeze(1)).squeeze(1)

    whole = sure(x)
    parts = torch.stack([sure(part) for part in halves(x)])
    print(f"{len(x)} pictures of {run}: median confidence {whole.median():.2%}")
    for name, share in (("best", parts.amax(0)), ("worst", parts.amin(0))):
        kept = (share / whole).median()
        print(f"their {name} halves: {share.median():.2%}; {kept:.0%} of the whole's")


def halves(x: Tensor) -> list[Tensor]:
    """The left, right, upper and lower halves of pictures, the rest being of their mean colour.

    Args:
        x: with shape (N, channels, H, W).
    """
    height, width = x.shape[-2:]
    mean = x.mean((2, 3), keepdim=True)
    row = torch.arange(height).unsqueeze(1) < height // 2
    column = torch.arange(width).unsqueeze(0) < width // 2
    return [torch.where(kept, x, mean) for kept in (column, ~column, row, ~row)]


if __name__ == "__main__":
    main()
