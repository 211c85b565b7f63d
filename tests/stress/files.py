"""Changed files against every reader: what is no sentence, takes too long or too much memory?

    python tests/stress/files.py --count 5000 --seed 0

Each file is a small true one that was changed: bits, ends, pieces, or the whole. It is read in a
process with a limit of time and of address space. Printed are counts for each reader, and what it
takes to see a failure again: ``--only N``.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import random
import resource
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

#: Seconds that a small file may take, on a machine with much else to do.
SECONDS = 30

#: Bytes of address space beside what Python and torch take.
MEMORY = 1 << 30

#: Files that one process reads: what it keeps must not count as a later one's.
SHARE = 200

GOOD = ("read", "told")


def changed(content: bytes, rng: random.Random, foreign: list[bytes]) -> bytes:
    """The content with one to four changes."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.randrange(len(data) + 1)
        piece = rng.randrange(1, 1 + max(1, min(64, len(data))))
        match rng.randrange(11):
            case 0 | 1 | 2 if data:
                data[min(at, len(data) - 1)] ^= 1 << rng.randrange(8)
            case 3:
                del data[at:]
            case 4:
                data[at:at] = rng.randbytes(piece)
            case 5:
                del data[at : at + piece]
            case 6 if len(data) > 2 * piece:  # two pieces change places
                other = rng.randrange(len(data) - piece)
                at = min(at, len(data) - piece)
                first = bytes(data[at : at + piece])
                data[at : at + piece] = data[other : other + piece]
                data[other : other + piece] = first
            case 7:  # a length or a count that is none
                width = rng.choice((1, 2, 4, 8))
                value = rng.choice((0, 1, 1 << (8 * width - 1), (1 << 8 * width) - 1, 1 << 7))
                order: Any = rng.choice(("little", "big"))
                data[at : at + width] = (value % (1 << 8 * width)).to_bytes(width, order)
            case 8:
                data[at : at + piece] = bytes(piece)
            case 9 if bytes(sorted(data)) > b"0":  # another number in a text
                digits = [i for i, byte in enumerate(data[:20000]) if 48 <= byte < 58]
                if digits:
                    place = rng.choice(digits)
                    words = (b"-1", b"9" * 9, b"9" * 30, b"null", b"[]", b"{}", b'"x"', b"1e999")
                    data[place : place + 1] = rng.choice(words)
            case 10 if rng.random() < 0.3:
                return rng.choice(foreign)
    return bytes(data)


def put(path: Path, rng: random.Random, foreign: list[bytes]) -> None:
    """Change a file, or put something else in its place."""
    what = rng.random()
    content = path.read_bytes()
    path.unlink()
    if what < 0.01:
        path.mkdir()
    elif what < 0.02:
        os.mkfifo(path)
    elif what < 0.03:
        path.write_bytes(b"")
    elif what < 0.035:
        path.symlink_to("/dev/zero")
    else:
        path.write_bytes(changed(content, rng, foreign))


def work(connection: Connection, held: dict[str, Any], base: Path, scratch: Path) -> None:
    """Read files as they are asked for, and answer what became of each."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    foreign = [p.read_bytes() for p in sorted(base.rglob("*")) if p.is_file()]
    while True:
        name, seed = connection.recv()
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        connection.send(outcome(held[name], name, seed, scratch, foreign))


def outcome(
    kind: Any, name: str, seed: int, scratch: Path, foreign: list[bytes]
) -> tuple[str, str]:
    """What became of one file, and what was said."""
    from true_files import look

    from invset.errors import InvsetError, is_out_of_memory

    rng = random.Random(f"{name} {seed}")
    path = scratch / kind.file.name
    if kind.file.is_dir():
        shutil.copytree(kind.file, path)
        file = rng.choice(sorted(p for p in path.glob(kind.parts) if p.is_file()))
    else:
        shutil.copy(kind.file, path)
        file = path
    put(file, rng, foreign)
    try:
        with open(os.devnull, "w") as null, contextlib.redirect_stderr(null):
            look(kind.read(path))
    except InvsetError as error:
        named = scratch.name in str(error) and "\n" not in str(error)
        return ("told" if named else "told without its name"), str(error)
    except BaseException as error:
        if is_out_of_memory(error):
            return "memory", traceback.format_exc()
        return "traceback", traceback.format_exc()
    return "read", ""


def run(count: int, seed: int, only: str, first: int) -> int:
    """Read `count` changed files, and print what became of them; return the exit code."""
    sys.path.insert(0, str(Path(__file__).parent))
    from true_files import kinds, look

    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder, "true")
        base.mkdir()
        held = {name: kind for name, kind in kinds(base).items() if only in name}
        for kind in held.values():
            look(kind.read(kind.file))
        names = list(held)
        counts: dict[str, Counter[str]] = {name: Counter() for name in names}
        worker: Worker | None = None
        for number in range(first, first + count):
            name = names[number % len(names)]
            if worker is None or worker.asked == SHARE:
                if worker is not None:
                    worker.end()
                worker = Worker(held, base, Path(folder, "tmp"))
            result, told = worker.ask(name, seed * 1_000_003 + number)
            counts[name][result] += 1
            if result not in GOOD:
                print(f"\n{result}: {name}, number {number}\n{told[-1500:]}", flush=True)
            if not worker.process.is_alive():
                worker = None
        if worker is not None:
            worker.end()
    return summarised(counts)


class Worker:
    """A process that reads."""

    def __init__(self, held: dict[str, Any], base: Path, scratch: Path) -> None:
        context = multiprocessing.get_context("fork")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs, held, base, scratch), daemon=True)
        self.process.start()
        theirs.close()
        self.asked = 0

    def ask(self, name: str, seed: int) -> tuple[str, str]:
        """Let it read a file."""
        self.asked += 1
        self.connection.send((name, seed))
        if not self.connection.poll(SECONDS):
            self.end()
            return "hang", ""
        try:
            return self.connection.recv()
        except EOFError:
            self.process.join()
            return "crash", f"exit code {self.process.exitcode}"

    def end(self) -> None:
        self.process.kill()
        self.process.join()


def summarised(counts: dict[str, Counter[str]]) -> int:
    total: Counter[str] = Counter()
    for name, found in counts.items():
        total += found
        print(f"{name:28} " + ", ".join(f"{n} {what}" for what, n in sorted(found.items())))
    bad = sum(n for what, n in total.items() if what not in GOOD)
    listed = ", ".join(f"{n} {what}" for what, n in sorted(total.items()))
    print(f"{total.total()} files: {listed}")
    return int(bad > 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="readers with this in their name")
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    args = parser.parse_args()
    # a thread of C's reserves memory of its own, which is none that a file asked for
    if "MALLOC_ARENA_MAX" not in os.environ:
        os.environ.update(MALLOC_ARENA_MAX="1", OMP_NUM_THREADS="1")
        os.execv(sys.executable, [sys.executable, *sys.argv])
    sys.exit(run(args.count, args.seed, args.only, args.first))


if __name__ == "__main__":
    main()
