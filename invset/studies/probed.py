"""What a probe found for one neuron, and which range that suggests.

A range comes from real images, or from what ascents reached; never from random codes alone, which
may all lie near one point: those of `generator=fourier` are nearly grey.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from invset.core.reach import LEVELS, percentiles, rounded

#: What `LEVELS` are called.
COLUMNS = tuple(f"p{100 * level:g}" for level in LEVELS)

#: What is looked at.
REAL = "real images"
WHOLE = "real images, in the whole"  # of robust neurons, which are means over views
AGAIN = "real images, G(E(x))"
RANDOM = "random codes"
DOWN = "after descent"
UP = "after ascent"

#: Fewest images that suggest a range for a neuron that nearly all leave silent.
_FEW = 10

#: Images, or steps of ascents together, below which a suggestion is called thin.
_MANY = 100

#: Where in `LEVELS` they are.
_P50, _P90, _P99 = (LEVELS.index(level) for level in (0.5, 0.9, 0.99))

#: What was looked at -> activations of one neuron, with shape (N,), on the CPU.
Populations = dict[str, Tensor]


@dataclass(frozen=True)
class Suggestion:
    """A range, raw activation units.

    Attributes:
        of: what it is taken from, in words.
        low, high: its ends.
        real: whether from real images.
    """

    of: str
    low: float
    high: float
    real: bool = True

    @property
    def ends(self) -> tuple[float, float] | None:
        """Rounded; None if they are equal."""
        return rounded(self.low, self.high)


@dataclass(frozen=True)
class Probed:
    """What is known of one neuron, raw activation units.

    Attributes:
        name: for example "fc8:8 horse".
        counts: what was looked at -> how many.
        levels: what was looked at -> activations at `LEVELS`.
        steps: of the longest ascent; 0: none was taken.
        suggestion: a range; None if neither real images nor an ascent gives one.
        reachable: from the lowest to the highest that was reached, rounded; None if nothing moves,
            or no ascent was taken.
    """

    name: str
    counts: dict[str, int]
    levels: dict[str, list[float]]
    steps: int
    suggestion: Suggestion | None
    reachable: tuple[float, float] | None

    @classmethod
    def of_populations(cls, name: str, rows: Populations, steps: int) -> Probed:
        """Summarise what was looked at."""
        levels: dict[str, list[float]] = {row: percentiles(f).tolist() for row, f in rows.items()}
        ways = DOWN in levels and UP in levels
        return cls(
            name,
            {row: len(f) for row, f in rows.items()},
            levels,
            steps,
            suggested(rows),
            rounded(levels[DOWN][0], levels[UP][-1]) if ways else None,
        )

    @property
    def suggested(self) -> tuple[float, float] | None:
        """The ends of the range, rounded."""
        return None if self.suggestion is None else self.suggestion.ends

    @property
    def common(self) -> bool:
        """Whether a tenth of random codes, or more, reach the suggested range or go beyond it."""
        ends = self.suggested
        return ends is not None and self.levels[RANDOM][_P90] >= ends[0]

    @property
    def above_random(self) -> Suggestion | None:
        """A range that hardly a random code reaches: up to the largest real image, or else up to
        where half of the ascents came; None if neither is higher than random codes.
        """
        drawn = self.levels[RANDOM]
        found = []
        if REAL in self.levels:
            real = self.levels[REAL]
            low = max(drawn[_P99], real[_P99])
            found.append(Suggestion("up to the largest real image", low, real[-1]))
        if UP in self.levels:
            top = self.levels[UP][_P50]
            low = max(drawn[_P99], (drawn[_P50] + top) / 2)
            found.append(Suggestion("which half of the ascents reach", low, top, real=False))
        return next((one for one in found if one.ends is not None), None)

    @property
    def advised(self) -> Suggestion | None:
        """The range to sample: the suggested one, or one above it that random codes don't reach."""
        return (self.above_random if self.common else None) or self.suggestion

    @property
    def thin(self) -> str:
        """Of how little the suggestion is taken, in words; empty if it is not little."""
        if self.suggestion is None:
            return ""
        if self.suggestion.real:
            few = self.counts[REAL] < _MANY
            return f"{self.counts[REAL]} {REAL}" if few else ""
        few = self.counts[UP] * self.steps < _MANY
        return f"{self.counts[UP]} ascents of {self.steps} steps" if few else ""


def suggested(rows: Populations) -> Suggestion | None:
    """A range of real images that excite the neuron; else one that ascents reached."""
    found = excited(rows[REAL]) if REAL in rows else None
    if found is None or found.ends is None:
        found = climbed(rows[RANDOM], rows[UP]) if UP in rows else None
    return found


def excited(f: Tensor) -> Suggestion:
    """The upper activations of real images, with shape (N,)."""
    moved = f[f > f.min()]
    q = dict(zip(COLUMNS, percentiles(f).tolist(), strict=True))
    if q["p90"] > q["p0"] or len(moved) < _FEW:
        return Suggestion(f"p90 … p99 of {REAL}", q["p90"], q["p99"])
    # behind a ReLU that is silent for nearly all, p90 would be 0, and so would what is sampled
    some = dict(zip(COLUMNS, percentiles(moved).tolist(), strict=True))
    return Suggestion(
        f"p10 … p99 of the {len(moved)} of {len(f)} {REAL} that move it from {q['p0']:.4g}",
        some["p10"],
        some["p99"],
    )


def climbed(drawn: Tensor, up: Tensor) -> Suggestion | None:
    """From half of the way that the middle one of some ascents came, to where it came.

    Args:
        drawn: activations of random codes, with shape (N,).
        up: the highest of each ascent, with shape (B,).

    Returns:
        None where ascents stay among the random codes: then they say nothing of the neuron.
    """
    start = dict(zip(COLUMNS, percentiles(drawn).tolist(), strict=True))
    top = dict(zip(COLUMNS, percentiles(up).tolist(), strict=True))["p50"]
    if not top > start["p99"]:
        return None
    return Suggestion(
        "upper half of the way of the median ascent", (start["p50"] + top) / 2, top, real=False
    )
