"""Kill trainings at random moments, repeat the command until it ends, and compare what it leaves
with what a training leaves that nobody disturbed.

    python tests/stress/trainings.py COUNT [SEED]

So many trainings of a network, and so many of a generator, on random pictures. A training that
fails is printed; the last lines count.
"""

from __future__ import annotations

import csv
import json
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))

from kills import after, killed, start, wrong

#: Most kills of one training.
KILLS = 4

#: Command -> words for a training of a few seconds.
TRAININGS = {
    "network": (
        *("model.widths=[4,4,4,4,4]", "model.fc6=8", "model.fc7=8", "model.dropout=0.2"),
        *("model.mean=null", "settings.epochs=12", "settings.batch_size=16"),
    ),
    "generator": (
        *("network=mini", "model.hidden=[8]", "model.start=6", "model.widths=[[6,6],[6,4],[4,4]]"),
        *("discriminator=[4,4,4]", "settings.layers=[conv2,fc6]", "settings.decision=0.1"),
        *("settings.steps=24", "settings.batch_size=8", "settings.report_every=3"),
        *("settings.warmup=4",),
    ),
}


def pictures(folder: Path) -> None:
    """Two sets of random pictures in two classes."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 64), ("val", 16)):
        for name in ("a", "b"):
            (folder / part / name).mkdir(parents=True)
            for i in range(count):
                image = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(image).save(folder / part / name / f"{i}.png")


def content(folder: Path) -> dict[str, bytes]:
    """What a training left, without the seconds that it took."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        own = name.startswith(".invset/") or path.name in ("checkpoint.pt", "run.log")
        if own or not path.is_file():
            continue
        found[name] = path.read_bytes()
        if path.name == "log.csv":
            rows = csv.DictReader(found[name].decode().splitlines())
            kept = [{key: row[key] for key in row if key != "seconds"} for row in rows]
            found[name] = json.dumps(kept).encode()
    return found


def trained(kind: str, folder: Path, rng: random.Random, number: int) -> tuple[int, str]:
    """Disturb one training; how often it was killed, and what is wrong."""
    data = [f"data.{part}={folder / part}" for part in ("train", "val")]
    words = ["train", kind, *data, *TRAININGS[kind], "out=o"]
    whole = folder / f"whole-{kind}"
    seconds = folder / f"{kind}.json"
    if not whole.exists():
        whole.mkdir()
        begun = time.monotonic()
        process = start(words, whole)
        _, errors = process.communicate()
        if process.returncode:
            raise SystemExit(f"train {kind} fails by itself: {errors[-500:]}")
        seconds.write_text(json.dumps(time.monotonic() - begun), encoding="utf-8")
    lasts = json.loads(seconds.read_text(encoding="utf-8"))
    cut = folder / f"cut-{kind}-{number}"
    cut.mkdir()
    kills = 0
    for _ in range(rng.randint(1, KILLS)):
        ended = killed(lambda: start(words, cut), after(rng.random() * 1.1 * lasts), rng)
        fault = wrong(*ended)
        if fault:
            return kills, fault
        if ended[0] == 0:
            break
        kills += 1
    process = start(words, cut)
    _, errors = process.communicate(timeout=600)
    if process.returncode:
        return kills, f"exit code {process.returncode}: {errors[-300:]}"
    a, b = content(whole / "o"), content(cut / "o")
    shutil.rmtree(cut)
    other = sorted(key for key in a.keys() | b.keys() if a.get(key) != b.get(key))
    return kills, f"lost or different: {', '.join(other[:8])}" if other else ""


def main() -> None:
    count = int(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    faults = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures(folder)
        for kind in TRAININGS:
            killed_here = faults_here = 0
            for number in range(count):
                rng = random.Random(f"{kind}:{seed}:{number}")
                kills, fault = trained(kind, folder, rng, number)
                killed_here += kills
                faults_here += bool(fault)
                if fault:
                    print(f"{kind} {number}: {fault}", flush=True)
            print(
                f"{kind}: {count} trainings, {killed_here} kills, seed {seed}: {faults_here} lost,"
                " different or badly told",
                flush=True,
            )
            faults += faults_here
    sys.exit(faults > 0)


if __name__ == "__main__":
    main()
