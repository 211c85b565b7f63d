"""What the terminal and the page say of a run, in sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from invset.analysis.reached import ends_of
from invset.analysis.record import number
from invset.analysis.reference import Reference
from invset.analysis.sample_set import units_of
from invset.problem.position import described
from invset.problem.problem import Problem
from invset.report.advice import advice

if TYPE_CHECKING:
    from invset.problem.result import Result

#: Of so many samples or more it is said that they are alike, below this Vendi score.
_SEVERAL, _ALIKE = 5, 1.5

#: Of a range that samples fill less of, it is said which part they fill.
_MOST = 0.75


def sentences(
    problem: Problem, found: Result, summary: dict[str, Any], limit: str = ""
) -> list[str]:
    """What the terminal says at the end.

    Args:
        problem: that was sampled.
        found: its samples.
        summary: with its records.
        limit: that was typed and reached, such as ``seconds=60``; empty: none was.
    """
    saved = summary["counts"]["saved"]
    inside = summary["counts"]["in_range"]
    several = len(found.ranges) > 1
    if found.goal != "range":
        return _with_goal(problem, found, summary)
    wanted = f"{problem.names[0]} in {len(found.ranges)} ranges" if several else problem.question
    given_up = found.status.value in ("unreachable", "budget")
    ended = found.status.sentence
    if given_up and limit:
        ended = f"limits.{limit} ended it: raise it, or leave it out."
    if found.status.value in ("reached", "unreachable") and inside < saved and not several:
        ended = _outside(saved - inside, inside, found.held)
    lines = [
        f"{saved} of {found.asked} samples with {wanted}, {inside} of them in range as saved, in"
        f" {found.seconds:.1f} s. {ended}"
    ]
    if given_up and not several and not inside:
        lines.append(advice(problem, summary["reached"], not limit))
    return lines + _beside(problem, found, summary)


def _outside(count: int, inside: int, held: bool) -> str:
    """Why so many samples are out of range."""
    one = count == 1
    which = ("The other one is" if one else f"The other {count} are") if inside else "All are"
    if not held:
        return f"{which} outside: this sampler does not hold both ends of the range."
    they, were = ("it", "was") if inside and one else ("they", "were")
    return (
        f"{which} outside: {they} {were} inside when {they} {were} taken, but not when {they}"
        f" {were} measured as saved."
    )


def _with_goal(problem: Problem, found: Result, summary: dict[str, Any]) -> list[str]:
    """The same of a run that aimed at no range."""
    word = "large" if found.goal == "max" else "small"
    ends = zip(problem.names, found.ranges[0], strict=True)
    spans = " and ".join(f"{name} from {low:.4g} to {high:.4g}" for name, (low, high) in ends)
    saved = summary["counts"]["saved"]
    what = f" as {word} as found: {spans}" if saved else ""
    ended = "" if found.status.value == "reached" else f" {found.status.sentence}"
    line = f"{saved} of {found.asked} samples{what} (goal={found.goal}), in {found.seconds:.1f} s."
    return [line + ended, *_beside(problem, found, summary)]


def _beside(problem: Problem, found: Result, summary: dict[str, Any]) -> list[str]:
    """How the samples compare with real images, and what else is to be said."""
    lines = beyond_real(problem.names, found.ranges, summary["reached"])
    vendi = summary.get("diversity", {}).get("vendi")
    if summary["counts"]["saved"] >= _SEVERAL and vendi is not None and vendi < _ALIKE:
        lines.append(f"The samples are nearly alike: Vendi {vendi:.2f}, where 1 is one repeated.")
    if found.goal == "range" and not summary["reached"].get("real"):
        named = " and ".join(problem.names)
        lines.append(
            f"No real images were measured for {named}: whether any reach the range is unknown;"
            " invset probe images=/path/to/images shows it."
        )
    if found.goal == "range":
        lines += _covered(found)
    lines += _features_on(problem, found)
    beside = summary["beside_real"]
    if summary["counts"]["saved"] > 1 and beside.get("alike") and len(found.ranges) == 1:
        lines.append(_beside_real(beside))
    if "judge" in summary:
        lines.append(_judged(summary["judge"]))
    if summary.get("agreement", {}).get("samples"):
        lines.append(_agrees(summary["agreement"]))
    if "perturbed" in summary:
        lines.append(_perturbed(summary["perturbed"], found.goal))
    if found.spread is not None:
        lines.append(_spread(problem.names, found.spread.tolist(), problem.medium.noun))
    if where := read_at(problem):
        lines.append(f"Read: {where}.")
    return lines + problem.notes


def _features_on(problem: Problem, found: Result) -> list[str]:
    """Of features, in how many samples they are on; of robust ones, where the picture is read
    whole.
    """
    whole, read = found.activations, ""
    if found.scales is not None:
        whole = found.scales.whole
        read = ", read as whole pictures; the range is of the mean over views, and robust=0 reads"
        read += " whole pictures"
    lines = []
    for name, neuron, f in zip(problem.names, problem.neurons, whole.T, strict=True):
        on = int((f > 0).sum())
        if neuron.feature is not None and on < len(f):
            lines.append(f"{name} is on in {on} of the {len(f)} samples{read}.")
    return lines


def _covered(found: Result) -> list[str]:
    """How much of a range the samples fill, where it is not most of it."""
    f = found.activations
    if len(found.ranges) > 1 or f.shape[1] > 1 or len(f) < _SEVERAL:
        return []
    [[(z1, z2)]] = found.ranges
    low, high = f.min().item(), f.max().item()
    if not math.isfinite(z2 - z1) or high - low >= _MOST * (z2 - z1):
        return []
    share = (high - low) / (z2 - z1)
    return [f"The samples lie between {low:.4g} and {high:.4g}: {share:.0%} of the range's width."]


def read_at(problem: Problem) -> str:
    """Where neurons in maps and tokens are read, and in how many views robust ones are; empty where
    there is nothing to say.
    """
    each = zip(problem.names, problem.neurons, problem.places, problem.shapes, strict=True)
    where = []
    for name, neuron, place, shape in each:
        # neurons are counted from 1, as the units of the output are
        counted = place.index is not None and " " not in name
        index = f"(index {place.index} in PyTorch)" if counted else ""
        told = [one for one in (index, described(neuron.position, place.at, shape)) if one]
        where += [" ".join([name, *told])] if told else []
    robust = problem.robust
    if robust is not None and robust.range != "whole":
        whole = " and the whole" if robust.range == "both" else ""
        where.append(f"mean over {robust.count} views{whole}")
    return ", ".join(where)


def _spread(names: Sequence[str], spread: Sequence[float], noun: str) -> str:
    """How far apart activations of one input are."""
    each = ", ".join(f"{name} by {s:.2g}" for name, s in zip(names, spread, strict=True))
    return f"stochastic=true: looks at the same {noun} differ, {each} (standard deviation)."


def _perturbed(perturbed: dict[str, Any], goal: str) -> str:
    """The quantile of f around the samples, in both units."""
    level = perturbed["quantile"] if goal != "min" else 1 - perturbed["quantile"]
    named = (("codes", "of codes"), ("region", "of the region"))
    known = [(word, perturbed[key]) for key, word in named if perturbed[key]]
    each = [f"{number(part['metric'])} in units {word}" for word, part in known]
    return (
        f"Of {perturbed['count']} perturbations of each sample (standard deviation"
        f" {perturbed['sd']:g}), quantile {level:.2g} of f: {', '.join(each)}."
    )


def _judged(judge: dict[str, Any]) -> str:
    """What another network sees in the samples, and in real images in brackets."""
    ours = judge["samples"]
    real = judge["real"]
    beside = ["", ""]
    if real:
        beside = [f" (real images {judge['kind']}: {real['first']:.0%})"]
        beside += [f" ({real['among_five']:.0%})"]
    if ours:
        told = f"puts the class first in {ours['first']:.0%} of the samples{beside[0]}, among five"
        told += f" in {ours['among_five']:.0%}{beside[1]}"
    elif judge["classes"] == 0:
        told = "looked, too, but knows no class of this name"
    else:
        told = "ranks classes, and what was asked is not one class"
        told += "; it puts no class first in a fifth of the samples"
        if judge["named"]:
            told = f"puts first most often {', '.join(judge['named'])}"
    distance = judge["kid"]
    distant = ""
    if distance is not None:
        distant = f"; KID x 1000 to real images {distance:.3g}"
    if judge["kid_real"] is not None:
        distant += f" (between halves of these {judge['kid_real']:.3g})"
    return f"Another network, {judge['network']}, {told}{distant}."


def _beside_real(beside: dict[str, Any]) -> str:
    """The figures of the samples, and those of real images in brackets."""
    ours = beside["alike"]
    real = beside["real"]
    if not real:
        # which of them are distinct, distances between real images tell
        return (
            f"nearest neighbour {ours['nearest_neighbour']:.1f}, Vendi {ours['vendi']:.1f}, mean"
            f" pairwise distance {ours['mean_pairwise_distance']:.1f}"
        )
    return (
        f"nearest neighbour {ours['nearest_neighbour']:.1f} (real images {beside['kind']}:"
        f" {real['nearest_neighbour']:.1f}), Vendi {ours['vendi']:.1f} ({real['vendi']:.1f}), mean"
        f" pairwise distance {ours['mean_pairwise_distance']:.1f}"
        f" ({real['mean_pairwise_distance']:.1f}), {beside['distinct']} distinct"
    )


def _agrees(agreement: dict[str, Any]) -> str:
    """What another regression tells of the samples, and of real inputs in brackets."""
    ours = agreement["samples"]
    real = agreement["real"]
    line = (
        f"{agreement['network']}, which took no part, tells {ours['mean']:.4g} of them on average"
    )
    if ours["in_range"] is None:
        return f"{line}, {ours['apart']:.3g} from what was told by the network that was asked."
    beside = f" (real images {agreement['kind']}: {real['in_range']:.0%})" if real else ""
    return f"{line}, and a number in the range of {ours['in_range']:.0%}{beside}."


def beyond_real(
    names: Sequence[str],
    ranges: Sequence[Sequence[tuple[float, float]]],
    reached: dict[str, Any],
) -> list[str]:
    """Which ranges lie above the largest or below the smallest real image: a sentence for each.

    Args:
        names: of the p neurons.
        ranges: rows of p ranges (z1, z2); a ladder has several rows.
        reached: as ``summary.json`` has it.
    """
    lines = []
    for j, ends in enumerate(reached["ends"]):
        if ends is None:
            continue
        smallest, largest = ends
        rows = [row[j] for row in ranges]
        sides = {
            f"above the largest of {reached['real_images']} real images, {largest:.3g}": [
                z1 > largest for z1, _ in rows
            ],
            f"below the smallest of {reached['real_images']} real images, {smallest:.3g}": [
                z2 < smallest for _, z2 in rows
            ],
        }
        for where, which in sides.items():
            if any(which):
                one = f"The range of {names[j]} lies"
                many = f"{sum(which)} of {len(rows)} ranges of {names[j]} lie"
                lines.append(f"{one if len(rows) == 1 else many} {where}.")
    return lines


def beyond_known(
    problem: Problem,
    ranges: Sequence[Sequence[tuple[float, float]]],
    reference: Reference | None,
) -> list[str]:
    """`beyond_real` before anything was sampled."""
    ends = [ends_of(unit, reference) for unit in units_of(problem)]
    count = 0 if reference is None else len(reference.encodings)
    return beyond_real(problem.names, ranges, {"ends": ends, "real_images": count})
