"""``report.html`` of a run: a header, and a section for each template in ``templates/sections``.

A section NAME is filled by ``sections/NAME.py`` where there is such a module, else by the record
NAME of ``summary.json``; a section without either is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from invset.files.reading import reading
from invset.files.rundir import RunDir
from invset.report.folder import ANEW, Run, read_run
from invset.report.page import interval, of_medium, render, templates_in
from invset.report.shown import Shown

#: Sections that come first, in this order; the others follow by the alphabet.
_FIRST = ("beside_real", "judge", "samples", "activations", "log", "plane", "groups")
_STATUS = {
    "reached": "reached (all samples were found)",
    "unreachable": "unreachable (no code came inside the range)",
    "budget": "budget (it ran out before all samples were found)",
}
#: The page itself, and what goes when the run has ended.
_NOT_LISTED = ("report.html", "state.pt")
_PRIORS = {"natural": "the natural region", "none": "all of it"}


def write_report(folder: Path) -> Path:
    """Write ``report.html`` into a run's folder, from what the folder holds; return its path.

    Raises:
        InvsetError: the folder holds no run; see `read_run`.
    """
    run = read_run(folder)
    run.check_drawn()
    with reading(folder, "a run's folder", ANEW):  # what it holds may be anything
        page = of_medium(render("run.html.jinja", **_context(run)), run.medium.get("noun"))
    rundir = RunDir(folder, listed=True)
    return rundir.write("report.html", lambda path: path.write_text(page, encoding="utf-8"))


def question(run: Run) -> str:
    """Which neurons in which ranges."""
    return " and ".join(run.questions)


def _context(run: Run) -> dict[str, Any]:
    shown = Shown.of(run)
    return {
        "title": question(run),
        # the last sentence is in the table
        "sentences": [s for s in run.summary["sentences"] if not s.startswith("nearest neighbour")],
        "facts": _facts(run),
        "run_command": run.summary["command"],
        "directory": run.summary.get("directory"),
        "pixelated": shown.thumbs.pixelated,
        "samples": shown.cards,
        "details": {card["number"]: card["details"] for card in shown.cards},
        "sections": _sections(shown),
        "run": run,
        "files": [p.name for p in _files(run.path)],
    }


def _sections(shown: Shown) -> dict[str, Any]:
    """Name -> data of each section that has any, in the order of the page."""
    names = templates_in("sections")
    names.sort(key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST))
    filled = {name: _data(name, shown) for name in names}
    return {name: data for name, data in filled.items() if data is not None}


def _data(name: str, shown: Shown) -> dict[str, Any] | None:
    module = f"invset.report.sections.{name}"
    if find_spec(module) is None:
        return shown.run.summary.get(name)
    section: Callable[[Shown], dict[str, Any] | None] = import_module(module).section
    return section(shown)


def _facts(run: Run) -> list[tuple[str, str]]:
    """What was asked, then the figures of short tables."""
    s = run.summary
    ranges = ["; ".join(interval(*one) for one in row) for row in run.ranges]
    # runs of earlier versions have it at the top level
    codes = run.config.get("K") or (run.config.get("sampler") or {}).get("K")
    sampler = run.sampler or "not recorded"
    goal = s.get("goal", "range")  # a folder of an older version has none
    several = len(run.names) > 1
    asked = [
        ("Network", s["network"]),
        ("Generator", s["generator"]),
        ("Part of code space", _PRIORS.get(s["prior"], s["prior"])),
        ("Neurons" if several else "Neuron", "; ".join(dict.fromkeys(run.names))),
        *([("Goal", goal)] if goal != "range" else []),
        ("Ranges" if several or len(ranges) > 1 else "Range", ", ".join(ranges)),
        ("Diversity measured in", s["encoder"]),
        ("Sampler", f"{sampler}, {codes} codes at a time" if codes else sampler),
        ("Status", _STATUS.get(s["status"], s["status"])),
        ("Device", s["gpu"]["name"] if s.get("gpu") else s["device"]),
        ("Seed", str(s["seed"])),
    ]
    values = run.values
    short = [one for one in run.figures if one.headline and not one.beside]
    return asked + [
        (one.heading[:1].upper() + one.heading[1:], one.text(values[one.key]))
        for one in short
        if values[one.key] is not None
    ]


def _files(folder: Path) -> list[Path]:
    """What a person may open, in the folder; the page itself aside."""
    return sorted(
        p
        for p in folder.iterdir()
        if p.is_file() and not p.name.startswith(".") and p.name not in _NOT_LISTED
    )
