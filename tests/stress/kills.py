"""Kill commands at random moments, go on as they say, and compare what they leave with what a
command leaves that nobody disturbed.

    python tests/stress/kills.py run|writing|sweep|fetch COUNT [SEED]

`run` takes the samplers in turn, `writing` kills while files are written. A case that fails is
printed; the last line counts.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

#: Exit codes of a command that has ended by itself: all samples, or not all.
ENDED = (0, 3)

SHORT = (
    *("network=mini", "neuron=horse", "progress=false", "judge=null", "report=false"),
    *("checkpoint_seconds=0.2", "limits.seconds=null"),
)
RANGE = ("z1=8", "z2=10")

#: Sampler -> words for a run of a few seconds.
RUNS = {
    "stream": ("n=60", "K=6", *RANGE),
    "two_stage": ("n=60", "K=4", *RANGE),
    "paper": ("n=8", "K=3", *RANGE),
    "ppgn": ("n=30", "K=6", *RANGE),
    "full": ("n=6", "sampler.max_outer=12", *RANGE),
    "ladder": ("K=6", "sampler.ranges=[[2,4],[4,6],[6,8]]"),
    "stream_plain": ("n=60", "K=6", *RANGE),
}

#: `invset fetch net` from an address, in a process of its own.
FETCH = """
import sys
from invset.hub.cards import WEIGHTS, Source, Weights
sources = (Source({url!r}, "a.caffemodel", {sum!r}),)
WEIGHTS["net"] = Weights("a net", "none", 10_000, "network.weights", sources)
sys.argv = ["invset", "fetch", "net"]
from invset.cli import main
main()
"""


def start(words: list[str], cwd: Path, code: str | None = None) -> subprocess.Popen[str]:
    begin = [sys.executable, *(("-c", code) if code else ("-m", "invset", *words))]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "no_proxy": "*"}
    env["INVSET_CACHE"] = str(cwd / "cache")
    pipe = subprocess.PIPE
    return subprocess.Popen(begin, cwd=cwd, env=env, stdout=pipe, stderr=pipe, text=True)


def content(folder: Path) -> dict[str, str]:
    """Files of a run -> sums of what does not depend on the time it took."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        inner = path.name
        if not path.is_file() or ".invset" in name or ".hydra" in name or inner == "failed.json":
            continue
        data = path.read_bytes()
        if inner == "summary.json":
            data = json.dumps(timeless(json.loads(data))).encode()
        if inner == "sweep.csv":
            data = b"".join(sorted(row["job"].encode() for row in csv.DictReader(path.open())))
        if inner not in ("multirun.yaml", "sweep.png", "report.html", "run.log"):
            found[name] = hashlib.sha256(data).hexdigest()
    return found


def timeless(value: Any) -> Any:
    """A summary without times."""
    if isinstance(value, dict):
        timed = re.compile("second|time|memory|date|sentences|command|version")
        return {key: timeless(one) for key, one in value.items() if not timed.search(key)}
    return [timeless(one) for one in value] if isinstance(value, list) else value


def killed(
    begin: Callable[[], subprocess.Popen[str]], moment: Callable[[], bool], rng: random.Random
) -> tuple[int, str, str]:
    """Begin a command and kill it at a moment, now and then twice; exit code, signal, errors."""
    number = rng.choice(SIGNALS)
    process = begin()
    while process.poll() is None and not moment():
        time.sleep(0.002)
    process.send_signal(number)
    if rng.random() < 0.25:
        time.sleep(rng.random() * 0.2)
        process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    return process.returncode, signal.Signals(number).name, errors


def after(seconds: float, there: Path | None = None) -> Callable[[], bool]:
    """Whether so much time has passed, since a file was there if one is given."""
    begun: list[float] = [] if there else [time.monotonic()]

    def passed() -> bool:
        if not begun and there is not None and there.exists():
            begun.append(time.monotonic())
        return bool(begun) and time.monotonic() - begun[0] > seconds

    return passed


def wrong(code: int, name: str, errors: str) -> str:
    """What is wrong with how a killed command ended, or an empty string."""
    number = signal.Signals[name].value
    if code not in (-number, 128 + number, *ENDED):
        return f"exit code {code} after {name}"
    return f"traceback after {name}: {errors[-300:]}" if "Traceback" in errors else ""


def runs(folder: Path, rng: random.Random, number: int, writing: bool) -> str:
    """Kill one run, and go on until it ends."""
    name = list(RUNS)[number % len(RUNS)]
    words = ["run", f"sampler={name}", *SHORT, *RUNS[name], f"animation={str(writing).lower()}"]
    whole = folder / f"whole-{name}-{writing}"
    seconds = folder / f"{whole.name}.json"
    if not seconds.exists():
        begun = time.monotonic()
        process = start([*words, f"hydra.run.dir={whole}"], folder)
        _, errors = process.communicate()
        if process.returncode not in ENDED:
            return f"{name} fails by itself: {errors[-300:]}"
        seconds.write_text(json.dumps(time.monotonic() - begun), encoding="utf-8")
    lasted = json.loads(seconds.read_text(encoding="utf-8"))
    cut = folder / f"cut-{number}"
    fresh = [*words, f"hydra.run.dir={cut}"]
    typed = fresh
    for attempt in range(6):
        there = cut / "samples" if writing else None
        moment = after(rng.random() * (0.5 if writing else lasted), there)
        last = attempt == 5 or (attempt and rng.random() < 0.5)
        begin = lambda typed=typed: start(typed, folder)  # noqa: E731
        if last:
            process = begin()
            _, errors = process.communicate(timeout=300)
            code, signal_name = process.returncode, "SIGKILL"
        else:
            code, signal_name, errors = killed(begin, moment, rng)
            fault = wrong(code, signal_name, errors)
            if fault:
                return f"{name}: {fault}"
        if code in ENDED:
            break
        if last:
            return f"{name}: exit code {code}: {errors[-300:]}"
        resumable = (cut / "state.pt").exists()
        typed = ["run", "--resume", str(cut)] if resumable else [*fresh, "overwrite=true"]
    return compared(name, whole, cut)


def compared(name: str, whole: Path, cut: Path) -> str:
    a, b = content(whole), content(cut)
    other = sorted(key for key in a.keys() | b.keys() if a.get(key) != b.get(key))
    shutil.rmtree(cut)
    return f"{name}: lost or different: {', '.join(other[:8])}" if other else ""


def sweeps(folder: Path, rng: random.Random, number: int) -> str:
    """Kill a sweep, look at what it says of itself, and sweep again in its folder."""
    words = ["run", "-m", *SHORT, "n=4", "K=2", "animation=false", "neuron=1,2,3", "z1=3", "z2=5"]
    whole = folder / "whole-sweep"
    if not whole.exists():
        start([*words, f"hydra.sweep.dir={whole}"], folder).communicate()
    cut = folder / f"cut-{number}"
    typed = [*words, f"hydra.sweep.dir={cut}"]
    moment = after(rng.random() * 8)
    fault = wrong(*killed(lambda: start(typed, folder), moment, rng))
    if fault:
        return fault
    known = content(whole)
    for path in cut.glob("*/summary.json"):
        job = path.parent.name
        for key, value in content(path.parent).items():
            if not (path.parent / "state.pt").exists() and known[f"{job}/{key}"] != value:
                return f"job {job} ended with another {key}"
    process = start([*typed, "overwrite=true"], folder)
    _, errors = process.communicate(timeout=300)
    if process.returncode not in ENDED:
        return f"the second sweep: exit code {process.returncode}: {errors[-300:]}"
    return compared("sweep", whole, cut)


def fetches(folder: Path, rng: random.Random, number: int) -> str:
    """Kill a download, and fetch again."""
    from sites import serving

    data = random.Random(number).randbytes(60_000_000)
    total = hashlib.sha256(data).hexdigest()
    cut = folder / f"fetch-{number}"
    cut.mkdir()
    with serving() as site:
        url = site.add("/a", data)
        code = FETCH.format(url=url, sum=f"sha256:{total}")
        for _ in range(rng.randint(1, 3)):
            moment = after(0.2 + rng.random() * 1.2)
            fault = wrong(*killed(lambda: start([], cut, code), moment, rng))
            if fault:
                return fault
        process = start([], cut, code)
        out, errors = process.communicate(timeout=60)
    if process.returncode:
        return f"exit code {process.returncode}: {out[-200:]}{errors[-300:]}"
    path = cut / "cache" / "a.caffemodel"
    left = [one.name for one in path.parent.iterdir() if ".part" in one.name]
    same = path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == total
    shutil.rmtree(cut)
    return "" if same and not left else f"the file is {'whole' if same else 'another'}, left {left}"


KINDS: dict[str, Callable[[Path, random.Random, int], str]] = {
    "run": lambda folder, rng, number: runs(folder, rng, number, writing=False),
    "writing": lambda folder, rng, number: runs(folder, rng, number, writing=True),
    "sweep": sweeps,
    "fetch": fetches,
}


def cases(kind: str, count: int, seed: int) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            yield KINDS[kind](Path(folder), random.Random(f"{kind}:{seed}:{number}"), number)


def main() -> None:
    kind, count = sys.argv[1], int(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    faults = 0
    for number, fault in enumerate(cases(kind, count, seed)):
        faults += bool(fault)
        if fault:
            print(f"{kind} {number}: {fault}", flush=True)
    print(f"{kind}: {count} kills, seed {seed}: {faults} lost, different or badly told")
    sys.exit(faults > 0)


if __name__ == "__main__":
    main()
