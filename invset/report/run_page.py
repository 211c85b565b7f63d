"""``report.html`` of a run: what it found, picture by picture, and how it got there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from invset.files.rundir import RunDir
from invset.report import charts, layout
from invset.report.folder import PARENTS, Run, Sample, read_run
from invset.report.page import activation, duration, interval, number, render
from invset.report.selection import spread
from invset.report.thumbnails import Thumbnails, thumbnails

#: Most samples that a page shows; of more, these many evenly spread over the activation.
MOST = 1000
#: Most links to samples of the same origin.
_KIN = 12
#: Side of a picture on the map, as a share of its width.
_ICON = 0.055
_ORDERS = (
    ("number", "order of sampling"),
    ("activation", "activation"),
    ("step", "step"),
    ("nearest", "distance to the nearest sample"),
    ("mean", "distance to the mean"),
    ("group", "group"),
)
_STATUS = {
    "reached": "finished",
    "interrupted": "interrupted",
    "unreachable": "range not reached",
    "budget": "ended before all were found",
}


@dataclass(frozen=True)
class _Shown:
    """What the parts of a page share: the samples shown, their pictures, and where they lie.

    `groups` and `plane` are None where there are too few samples.
    """

    run: Run
    samples: list[Sample]
    f: np.ndarray
    cards: list[dict[str, Any]]
    thumbs: Thumbnails
    groups: layout.Groups | None
    plane: layout.Plane | None


def write_report(folder: Path) -> Path:
    """Write ``report.html`` into a run's folder, from what the folder holds; return its path.

    Raises:
        InvsetError: the folder holds no run; see `read_run`.
    """
    run = read_run(folder)
    page = render("run.html.jinja", **_context(run))
    return RunDir(folder).write("report.html", lambda path: path.write_text(page, encoding="utf-8"))


def question(run: Run) -> str:
    """Which neurons in which ranges."""
    if run.is_ladder:
        return f"{run.names[0]} in {', '.join(interval(*r) for r in run.ranges)}"
    return " and ".join(run.questions)


def _context(run: Run) -> dict[str, Any]:
    shown = _shown(run)
    return {
        "title": question(run),
        # the last sentence is in the table
        "sentences": [s for s in run.summary["sentences"] if not s.startswith("nearest neighbour")],
        "facts": _facts(run),
        "diversity": _diversity(run),
        "run_command": run.summary["command"],
        "pixelated": shown.thumbs.pixelated,
        "samples": shown.cards,
        "about_samples": _about_samples(shown),
        "rungs": _rungs(shown) if run.cells and shown.cards else None,
        "orders": _orders(shown),
        "cell": _cell(shown),
        "details": {card["number"]: card["details"] for card in shown.cards},
        **_activations(run),
        **_curves(run),
        **_map(shown),
        **_groups(shown),
        "files": [p.name for p in _files(run.path)],
        "notes": _notes(run),
    }


def _cell(shown: _Shown) -> int:
    """Width of a picture on the page, in pixels."""
    width = shown.thumbs.width
    if shown.thumbs.pixelated:
        return max(1, round(96 / width)) * width
    return width if shown.run.table else 112


def _shown(run: Run) -> _Shown:
    places = (
        spread([s.after[0] for s in run.samples], MOST)
        if len(run.samples) > MOST
        else range(len(run.samples))
    )
    places = sorted(places)
    samples, encodings = [run.samples[i] for i in places], run.encodings[places]
    thumbs = thumbnails([run.picture(s) for s in samples])
    groups = layout.groups(encodings)
    keys: dict[str, np.ndarray] = {"number": np.array([s.number for s in samples])}
    keys["activation"] = np.array([s.after[0] for s in samples])
    keys["step"] = np.array([s.step for s in samples])
    if len(samples) > 1:
        keys["nearest"], keys["mean"] = layout.nearest(encodings), layout.from_mean(encodings)
    if groups is not None:
        keys["group"] = groups.of
    cards = [
        _card(run, s, thumbs, i, {k: f"{v[i]:.7g}" for k, v in keys.items()})
        for i, s in enumerate(samples)
    ]
    _add_kin(samples, cards)
    return _Shown(
        run,
        samples,
        keys["activation"],
        cards,
        thumbs,
        groups,
        layout.plane(encodings) if len(samples) > 2 else None,
    )


def _card(
    run: Run, sample: Sample, thumbs: Thumbnails, place: int, keys: dict[str, str]
) -> dict[str, Any]:
    """All that the page says about a sample."""
    activations = ", ".join(
        f"{name} {activation(value)}" for name, value in zip(run.names, sample.after, strict=True)
    )
    origin = "code" if run.is_ladder else PARENTS[sample.stage]
    facts = [
        [f"Activation of {name}", f"{after:.5g} ({before:.5g} before {run.rounding})"]
        for name, before, after in zip(run.names, sample.before, sample.after, strict=True)
    ]
    facts += [[name, cell] for name, cell in _row(run, sample).items()]
    facts += [["In range", "yes" if sample.in_range else "no"]] if not run.is_ladder else []
    facts += [["Found at", f"gradient step {sample.step}"], ["Parent", f"{origin} {sample.parent}"]]
    if "nearest" in keys:
        facts.append(["Distance to the nearest sample", f"{float(keys['nearest']):.3g}"])
        facts.append(["Distance to the mean", f"{float(keys['mean']):.3g}"])
    if "group" in keys:
        facts.append(["Group", str(int(keys["group"]) + 1)])
    file = f"samples/{sample.number:05d}.png"
    return {
        "number": sample.number,
        "in_range": sample.in_range or run.is_ladder,
        "src": thumbs.pictures[place],
        "width": thumbs.width,
        "height": thumbs.height,
        "alt": f"Sample {sample.number}: {activations}",
        "title": f"Sample {sample.number}: {activations}",
        "caption": " ".join(map(activation, sample.after)),
        "order": keys,
        "details": {"facts": facts, "file": file, "kin": [], "kin_name": f"Of the same {origin}"},
    }


def _row(run: Run, sample: Sample) -> dict[str, str]:
    """The cells of a sample that is a row of a table."""
    return run.table[sample.number - 1] if run.table else {}


def _add_kin(samples: list[Sample], cards: list[dict[str, Any]]) -> None:
    """Links between samples of one parent: a seed's own sample first, then the nearest in time."""
    families: dict[int, list[int]] = {}
    for i, sample in enumerate(samples):
        families.setdefault(sample.parent, []).append(i)
    for family in families.values():
        for i in family:
            others = sorted(
                (j for j in family if j != i),
                key=lambda j: (samples[j].stage != "seed", abs(j - i)),
            )[:_KIN]
            cards[i]["details"]["kin"] = sorted(samples[j].number for j in others)


def _facts(run: Run) -> list[tuple[str, str]]:
    s, counts = run.summary, run.summary["counts"]
    saved = counts["saved"]
    share = (
        f"{counts['in_range']} of {saved} ({counts['in_range'] / saved:.0%})"
        if saved
        else "none saved"
    )
    pairs = "; ".join(dict.fromkeys(f"{n['name']}" for n in s["neurons"]))
    # runs of earlier versions have it at the top level
    codes = run.config.get("K") or (run.config.get("sampler") or {}).get("K")
    return [
        ("Network", s["network"]),
        ("Generator", s["generator"]),
        (
            "Part of code space",
            {"natural": "the natural region", "none": "all of it"}.get(s["prior"], s["prior"]),
        ),
        ("Neurons" if len(s["neurons"]) > 1 else "Neuron", pairs),
        ("Ranges" if len(run.ranges) > 1 else "Range", ", ".join(interval(*r) for r in run.ranges)),
        ("Diversity measured in", s["encoder"]),
        (
            "Sampler",
            (run.sampler or "not recorded")
            + (f", {codes} codes at a time" if codes and not run.is_ladder else ""),
        ),
        ("Samples", f"{saved} of {counts['asked']}"),
        ("In range as saved", share),
        *(
            [("Distinct", f"{s['quality']['distinct']} of {saved}")]
            if "distinct" in s["quality"]
            else []
        ),
        ("Status", _STATUS.get(s["status"], s["status"])),
        ("Gradient steps", f"{counts['gradient_steps']:,}"),
        ("Steps of one code, a sample", number(counts["code_steps_per_sample"], 3)),
        ("Time", f"{duration(s['seconds'])} on {s['device']}"),
        ("Seed", str(s["seed"])),
    ]


def _diversity(run: Run) -> tuple[list[str], list[list[str]], str] | None:
    """Header, rows and caption of the table beside real images."""
    quality = run.summary["quality"]
    if not run.samples:
        return None
    header = ["", "images", "nearest neighbour", "Vendi score", "mean pairwise distance"]
    rows = []
    if run.is_ladder:
        for rung in reversed(quality["rungs"]):
            where = interval(rung["z1"], rung["z2"])
            rows.append(_diversity_row(f"samples in {where}", rung["samples"]))
            if "real" in rung:
                rows.append(_diversity_row(f"real images {rung['real']['kind']}", rung["real"]))
    else:
        rows.append(_diversity_row("samples", quality["samples"]))
        real = quality.get("real")
        if real and quality["samples_as_many_as_real"]["samples"] != quality["samples"]["samples"]:
            rows.append(
                _diversity_row(
                    "the first of them, as many as real images", quality["samples_as_many_as_real"]
                )
            )
        if real:
            rows.append(_diversity_row(f"real images {real['kind']}", real))
    caption = (
        f"Diversity, by {run.summary['encoder']} encodings. Nearest neighbour and Vendi score"
        " depend on the number of images."
    )
    return header, rows, caption


def _diversity_row(name: str, d: dict[str, Any]) -> list[str]:
    return [
        name,
        str(d["samples"]),
        *(number(d[key], 3) for key in ("nearest_neighbour", "vendi", "mean_pairwise_distance")),
    ]


def _orders(shown: _Shown) -> list[tuple[str, str]]:
    """What the samples can be sorted by: a key and its name."""
    own = {"activation": _first_activation(shown.run)}
    return [
        (key, own.get(key, text))
        for key, text in _ORDERS
        if shown.cards and key in shown.cards[0]["order"]
    ]


def _first_activation(run: Run) -> str:
    """What samples are sorted and groups are described by."""
    return "activation" if len(run.names) == 1 else f"activation of {run.names[0]}"


def _about_samples(shown: _Shown) -> str:
    run = shown.run
    files = (
        f"saved {run.medium.get('saved', '8-bit file')}s"
        if run.summary.get("picture") is None
        else "8-bit images that the network sees, not on this display of them"
    )
    what = (
        "is its activation"
        if len(run.names) == 1
        else f"are its activations of {' and '.join(run.names)}, in this order"
    )
    text = (
        f"Below each picture {what}, measured on the {files}. Click a picture, or press Enter on"
        " it, to enlarge it."
    )
    if run.medium.get("legend"):
        text += f" A picture shows a {run.medium['noun']} as {run.medium['legend']}."
    if run.cells:
        text += (
            " A column is one starting code, a row one range: up a column, only the activation"
            " changes."
        )
    if len(shown.samples) < len(run.samples):
        text += (
            f" This page shows {len(shown.samples)} of the {len(run.samples)} samples, evenly"
            " spread over the activation."
        )
    outside = sum(not s.in_range for s in run.samples)
    if outside and not run.is_ladder:
        text += f" {outside} lie outside of the range; their figures are red."
    if shown.thumbs.shrunk:
        text += " The pictures inside this page are shrunk; the files in samples/ are not."
    return text


def _rungs(shown: _Shown) -> list[dict[str, Any]]:
    """Rows of a ladder, the highest range on top."""
    card = {s.number: c for s, c in zip(shown.samples, shown.cards, strict=True)}
    rows = [
        {"label": interval(*r), "samples": [card.get(cell + 1) for cell in cells]}
        for r, cells in zip(shown.run.ranges, shown.run.cells, strict=False)
    ]
    return rows[::-1]


def _bands(run: Run) -> list[list[tuple[float, float]]]:
    """Ranges of each neuron."""
    return [list(run.ranges)] if run.is_ladder else [[r] for r in run.ranges]


def _activations(run: Run) -> dict[str, Any]:
    if not run.samples:
        return {"about_activations": "", "histograms": []}
    after = np.array([s.after for s in run.samples])
    tenths = run.summary["quality"].get("coverage_of_tenths")
    about = (
        "The shaded band is the range."
        if len(run.ranges) == 1 or not run.is_ladder
        else "The shaded bands are the ranges."
    )
    if tenths is not None and len(run.samples) > 1:
        about += f" Of its ten tenths, {round(10 * tenths)} hold samples."
    drawn = [
        Markup(charts.histogram(after[:, j], bands, name))
        for j, (name, bands) in enumerate(zip(run.names, _bands(run), strict=True))
    ]
    return {"about_activations": about, "histograms": drawn}


def _curves(run: Run) -> dict[str, Any]:
    if "step" not in run.curves or not len(run.curves["step"]):
        return {"about_curves": "", "curves": []}
    about = "Smallest, mean and largest activation of the codes in flight at each gradient step"
    about += "; the band is the range." if len(run.ranges) == 1 else "; the bands are the ranges."
    drawn = charts.optimisation(run.curves, _bands(run), run.names)
    return {"about_curves": about, "curves": [Markup(chart) for chart in drawn]}


def _map(shown: _Shown) -> dict[str, Any]:
    if shown.plane is None:
        return {"map": None, "about_map": "", "icon": 0, "places": []}
    drawn = charts.encodings_map(
        shown.plane.points, shown.plane.explained, shown.run.summary["encoder"]
    )
    aspect = drawn.height / drawn.width
    square = drawn.places * np.array([1.0, aspect])  # in widths, so that a square is one
    some = layout.apart(square, 1.02 * _ICON, range(len(square)))
    about = (
        "Each point is a sample's encoding on the two directions along which the encodings differ"
        " most. Pictures are drawn where there is room; what lies close here may still differ in"
        " other directions."
    )
    places = [
        (
            _with_icon(shown, i),
            round(100 * drawn.places[i, 0], 2),
            round(100 * drawn.places[i, 1], 2),
        )
        for i in some
    ]
    return {"map": Markup(drawn.svg), "about_map": about, "icon": 100 * _ICON, "places": places}


def _groups(shown: _Shown) -> dict[str, Any]:
    if shown.groups is None:
        return {"groups": [], "about_groups": ""}
    score, most = shown.groups.silhouette, min(layout.MOST_GROUPS, len(shown.samples) // 2)
    about = (
        "Ward's hierarchical clustering of the encodings, cut where the mean silhouette of 2 to"
        f" {most} groups is largest: {len(shown.groups.members)} groups, silhouette {score:.2f}. "
    )
    about += (
        "Below 0.25 samples form a continuum, and groups are only a way to look at it. "
        if score < 0.25
        else ""
    )
    about += "The large picture is the group's medoid, beside it those nearest to it."
    low, high = float(shown.f.min()), float(shown.f.max())
    pad = 0.03 * (high - low) or 1.0
    what = _first_activation(shown.run)
    made = []
    for k, members in enumerate(shown.groups.members):
        f = shown.f[members]
        made.append(
            {
                "name": f"Group {k + 1}",
                "share": f"{len(members)} samples, {len(members) / len(shown.samples):.0%}",
                "activations": (
                    f"{what} {activation(f.min())} to {activation(f.max())}, mean"
                    f" {activation(f.mean())}"
                ),
                "medoid": shown.cards[members[0]],
                "next": [_with_icon(shown, i) for i in members[1:13]],
                "histogram": Markup(
                    charts.small_histogram(f, low - pad, high + pad, f"group {k + 1}")
                ),
            }
        )
    return {"groups": made, "about_groups": about}


def _with_icon(shown: _Shown, place: int) -> dict[str, Any]:
    return {**shown.cards[place], "icon": shown.thumbs.icon(place)}


def _files(folder: Path) -> list[Path]:
    """What a person may open, in the folder; the page itself aside."""
    return sorted(
        p
        for p in folder.iterdir()
        if p.is_file() and not p.name.startswith(".") and p.name != "report.html"
    )


def _notes(run: Run) -> list[str]:
    s = run.summary
    notes = [
        "Versions: "
        + ", ".join(f"{name} {version}" for name, version in s["versions"].items())
        + ".",
        "Weights (SHA-256): "
        + ", ".join(f"{name} {value[:16]}…" for name, value in s["checksums"].items())
        + ".",
    ]
    if (run.path / "animation.gif").is_file() and not (run.path / "animation.mp4").is_file():
        notes.append(
            "There is no animation.mp4: a run writes it where PyAV is installed (pip install"
            " 'invset[video]')."
        )
    return notes
