"""What a run that ended without its samples is told: what it reached, and what to type."""

from __future__ import annotations

import re
import shlex
from typing import Any

from invset.core.checks import as_words
from invset.problem.problem import Problem

#: Options of ``invset run`` that ``invset probe`` takes, too.
_KEPT = (
    "network",
    "generator",
    "encoder",
    "encoder_network",
    "prior",
    "clip",
    "eight_bit",
    "clamp",
    "stochastic",
    "device",
    "position",
    "direction",
    "bias",
    "sae",
    "feature",
    "top_k",
    "robust",
)


def advice(problem: Problem, reached: dict[str, Any], tried: bool) -> str:
    """What was reached, a range that can be, where enough was `tried` to tell, and where real
    images lie.
    """
    robust = problem.robust is not None and problem.robust.range != "whole"
    parts = []
    for j, neuron in enumerate(problem.neurons):
        best = reached["closest"][j]
        if best is None:
            why = "read in the fixed views, which decide," if robust else "measured"
            parts.append(f"{problem.names[j]} was not {why} before the run ended")
            continue
        part = f"{problem.names[j]} came to {best:.3g}{' in the fixed views' if robust else ''}"
        part += _reachable(best, *neuron.range) if tried else ""
        if reached["real"]:
            p90, p99, largest = reached["real"][j]
            part += (
                f" (p90 … p99 of {reached['real_images']} real images: z1={p90:.3g} z2={p99:.3g};"
                f" the largest: {largest:.3g})"
            )
        parts.append(part)
    return "Reached: " + "; ".join(parts) + "."


def _reachable(best: float, z1: float, z2: float) -> str:
    """A range of the same width, up to what was reached; empty if that is in range."""
    if z1 <= best <= z2:
        return ""
    width = z2 - z1
    # of a wide range the upper half of what was reached, where that begins at 0
    low = max(best - width, best / 2) if best > 0 else best - width
    ends = (low, best) if best < z1 else (best, best + width)
    low_end, high_end = as_words(*ends, 3)
    return f"; try z1={low_end} z2={high_end}"


def probe_command(typed: list[str], problem: Problem) -> str:
    """``invset probe`` for the neurons of a run; `typed` is what was typed for the run."""
    own = typed[:2] if typed[:1] == ["--config-dir"] else []
    words = [word for word in typed if _option(word) in _KEPT]
    if not any(word.startswith("network=") for word in words):
        words.insert(0, f"network={problem.network.name}")
    units = [(neuron.layer, neuron.number) for neuron in problem.neurons]
    if len(units) > 1:
        listed = [f"{{layer: {layer}, neuron: {number}}}" for layer, number in units]
        words.append(f"neurons=[{', '.join(listed)}]")
    else:
        layer, unit = units[0]
        words += [f"layer={layer}"] if layer != problem.network.output else []
        words += [f"neuron={unit}"] if unit is not None else []
    return f"invset probe {shlex.join([*own, *words])}"


def _option(word: str) -> str:
    """The option that a word sets, without what is behind its first dot."""
    return re.split(r"[=.]", word.lstrip("+").removeprefix("network@"))[0]
