"""The paper's claims, one by one, beside what was measured: docs/claims.md.

Every figure is computed from ``results.csv`` (measures.py); no number is typed here but the paper's
own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from measures import OURS, PPGN, PUBLISHED, Measure, Ratio, Row, key, of_table, over, walked


@dataclass(frozen=True)
class Claim:
    """A row of the page.

    Attributes:
        section: of the paper.
        claim: what it says.
        paper: how the paper measured it.
        here: what was measured here; ``{name}`` is the figure of this name.
        verdict: confirmed, not confirmed, or can't be told here; and why.
        command: that makes the figures.
        figures: by name.
    """

    section: str
    claim: str
    paper: str
    here: str
    verdict: str
    command: str
    figures: Mapping[str, Measure | Ratio] = field(default_factory=dict)

    def line(self, rows: Sequence[Row]) -> str:
        """Its line of the table."""
        told = {name: one.text(rows) for name, one in self.figures.items()}
        here = self.here.format(**told)
        return " | ".join(
            ["", self.section, self.claim, self.paper, here, self.verdict, self.command, ""]
        ).strip()


#: Sweeps of `make figures` and what tells their methods apart.
EQ6, EQ14, EQ5 = "eq. (6): encodings", "eq. (14): codes", "eq. (5): pictures"
EQ15, ONE_START = "eq. (15): no distances, one start", "eq. (6), one start"
FREE, WHOLE = "eq. (11) without constraint", "epsilon0 = epsilon"
FULL, TO_THE_END, FAST = (
    "eq. (16)",
    "seed codes to the end, then eq. (7)",
    "the fast way, section 3.4",
)
SEEDS, WALK, LEVELS, BOTH = "claims_seeds", "claims_walk", "claims_levels", "claims_both"


def _seeds(method: str, name: str, form: str = ".2g", unit: str = "") -> Measure:
    return Measure(SEEDS, method, key(name), form, unit)


CLAIMS = (
    Claim(
        "3.1",
        "Real images in range, the simplest sample, may be none or too few.",
        "–",
        "`make figures REAL=…` shows them; of the three ranges of Table 1 there are"
        " {images} among 2,000 photographs (mean of three)",
        "confirmed",
        "`make table1`",
        {"images": of_table(OURS, "real", ".0f")},
    ),
    Claim(
        "3.2",
        "Distances between pictures, eq. (5), are sensitive to small changes of pixels; encodings"
        " are better.",
        "seen by eye",
        "ten seed codes of eq. (5): the judge puts the class first in {five}, of eq. (6) in "
        "{six}; KID"
        " (x 1000) {five_kid} and {six_kid}; distances in E {five_far} and {six_far}",
        "not confirmed at this β: seed codes of both look about as real to the judge; what "
        "encodings do is to spread the seed codes farther",
        "`make claims_seeds`",
        {
            "five": _seeds(EQ5, "judge_first", ".0f", "%"),
            "six": _seeds(EQ6, "judge_first", ".0f", "%"),
            "five_kid": _seeds(EQ5, "kid", ".0f"),
            "six_kid": _seeds(EQ6, "kid", ".0f"),
            "five_far": _seeds(EQ5, "distance", ".1f"),
            "six_far": _seeds(EQ6, "distance", ".1f"),
        },
    ),
    Claim(
        "3.2",
        "Eq. (6) for all n is quadratic in n and does not fit in memory.",
        "argued",
        "cost and memory are linear in n: moments of the encodings are all that codes need to know"
        " of each other",
        "not confirmed: see the table of `sampler=full` in [method.md](method.md)",
        "`python benchmarks/full.py`",
    ),
    Claim(
        "3.3",
        "Seed codes are already different enough when they enter the range.",
        "argued",
        "nearest neighbour of ten seed codes in E {six} of that of ten real images; Vendi score "
        "{vendi}"
        " (real images {real})",
        "confirmed: ten seed codes differ nearly as much as ten real images",
        "`make claims_seeds`",
        {
            "six": Measure(SEEDS, EQ6, over("nearest", "nearest_real"), ".0f", "%"),
            "vendi": _seeds(EQ6, "vendi", ".1f"),
            "real": _seeds(EQ6, "vendi_real", ".1f"),
        },
    ),
    Claim(
        "3.3",
        "Single steps of eq. (7) give samples different from those before.",
        "seen by eye",
        "distinct among 500 samples, farther apart than real images: {distinct}; mean nearest"
        " neighbour {nearest} of that of real images. Ours: {ours} and {ours_nearest}",
        "not confirmed: single steps repeat the ten seed codes",
        "`make table1`",
        {
            "distinct": of_table(PUBLISHED, "distinct", ".0f"),
            "nearest": Measure("table1", PUBLISHED, over("nearest", "nearest_real"), ".1f", "%"),
            "ours": of_table(OURS, "distinct", ".0f"),
            "ours_nearest": Measure("table1", OURS, over("nearest", "nearest_real"), ".0f", "%"),
        },
    ),
    Claim(
        "3.3",
        "The constraint keeps samples in [z1, z2].",
        "not told",
        "{share} of the samples are in range, one-sided as in eq. (8); ours {ours}",
        "not confirmed: eq. (8) bounds activations from below alone",
        "`make table1`",
        {
            "share": of_table(PUBLISHED, "in_range", ".0f", "%"),
            "ours": of_table(OURS, "in_range", ".0f", "%"),
        },
    ),
    Claim(
        "3.4",
        "About 4 iterations of 100 gradient steps find the seed codes.",
        "counted",
        "{iterations} iterations",
        "confirmed for the β that was chosen; [published.md](published.md) has others",
        "`make table1`",
        {"iterations": Measure("table1", PUBLISHED, key("to_seeds", 0.01), ".1f")},
    ),
    Claim(
        "3.4",
        "The seed codes take about 4 minutes, on a Quadro P5000.",
        "timed",
        "seed codes and samples together: {seconds} on one core, for pictures of 32 pixels",
        "can't be told here: other networks, another machine",
        "`make table1`",
        {"seconds": of_table(PUBLISHED, "seconds", ".0f", "s")},
    ),
    Claim(
        "3.4",
        "490 more samples take about 85 steps of ten codes; 49 is the least.",
        "counted",
        "{steps} steps",
        "confirmed, and fewer: nearly every step leaves all codes inside",
        "`make table1`",
        {"steps": Measure("table1", PUBLISHED, walked, ".0f")},
    ),
    Claim(
        "3.4",
        "ε₀ = ε/2 puts seed codes well inside, and helps to cover the set much faster than ε₀ = ε.",
        "argued",
        "bins of the range covered by 500 samples: {half} with ε/2, {whole} with ε; nearest"
        " neighbour {half_near} and {whole_near}; in range {half_in} and {whole_in}",
        "not confirmed: ε covers more of the range, and leaves it less; neighbours are "
        "about as near",
        "`make table1 claims_walk`",
        {
            "half": of_table(PUBLISHED, "tenths", ".0f", "%"),
            "whole": Measure(WALK, WHOLE, key("tenths"), ".0f", "%"),
            "half_near": of_table(PUBLISHED, "nearest", ".2f"),
            "whole_near": Measure(WALK, WHOLE, key("nearest"), ".2f"),
            "half_in": of_table(PUBLISHED, "in_range", ".0f", "%"),
            "whole_in": Measure(WALK, WHOLE, key("in_range"), ".0f", "%"),
        },
    ),
    Claim(
        "3.4",
        "Without the constraint terms of eq. (11), after few iterations all codes are outside, and"
        " stay there.",
        "argued",
        "of 500 samples {saved} were found in {steps} steps, {share} of them in range",
        "confirmed in part: codes leave the range, but so slowly that nearly all samples "
        "are found before",
        "`make claims_walk`",
        {
            "saved": Measure(WALK, FREE, key("saved"), ".0f"),
            "steps": Measure(WALK, FREE, walked, ".0f"),
            "share": Measure(WALK, FREE, key("in_range"), ".0f", "%"),
        },
    ),
    Claim(
        "3.5",
        "Samples of an intersection excite both neurons in their ranges.",
        "told for Figure 5",
        "{share} of the samples are in both ranges; ours {ours}",
        "not confirmed as published: a third is outside of one range, mostly above",
        "`make claims_both`",
        {
            "share": Measure(BOTH, PUBLISHED, key("in_range"), ".0f", "%"),
            "ours": Measure(BOTH, OURS, key("in_range"), ".0f", "%"),
        },
    ),
    Claim(
        "4, Figure 1",
        "Samples look real and are diverse.",
        "seen by eye",
        "an independent network puts the class first in {judge} (real images in range {real}; ours"
        " {ours}); KID to real images (x 1000) {kid} (ours {ours_kid}); Vendi score {vendi} (real"
        " {vendi_real}; ours {ours_vendi})",
        "not confirmed: horses can be seen, under noise, ten of them again and again",
        "`make table1`",
        {
            "judge": of_table(PUBLISHED, "judge_first", ".0f", "%"),
            "real": of_table(OURS, "judge_first_real", ".0f", "%"),
            "ours": of_table(OURS, "judge_first", ".0f", "%"),
            "kid": of_table(PUBLISHED, "kid", ".0f"),
            "ours_kid": of_table(OURS, "kid", ".0f"),
            "vendi": of_table(PUBLISHED, "vendi", ".1f"),
            "vendi_real": of_table(PUBLISHED, "vendi_real", ".1f"),
            "ours_vendi": of_table(OURS, "vendi", ".1f"),
        },
    ),
    Claim(
        "4, Figure 1",
        "The higher the activation, the more of the concept is in the pictures.",
        "seen by eye",
        "the judge puts the class first in {low} of the samples in [1, 3] and in {high} in the"
        " higher ranges; ours {ours_low} and {ours_high}",
        "confirmed for ours; of the published samples the judge sees too little to tell",
        "`make table1 claims_levels`",
        {
            "low": Measure(LEVELS, PUBLISHED, key("judge_first"), ".0f", "%"),
            "high": of_table(PUBLISHED, "judge_first", ".0f", "%"),
            "ours_low": Measure(LEVELS, OURS, key("judge_first"), ".0f", "%"),
            "ours_high": of_table(OURS, "judge_first", ".0f", "%"),
        },
    ),
    Claim(
        "4, Figures 2, 6",
        "What single pictures show: lava in water, packs of rolls, colours of cardoons, gas"
        " stations.",
        "seen by eye",
        "–",
        "can't be told here: it is about neurons of CaffeNet and Places-CNN, whose weights must be"
        " fetched",
        "`make figures NETWORK=caffenet`",
    ),
    Claim(
        "4, Figure 3",
        "A hidden neuron prefers one kind of what it responds to (furry faces) at high"
        " activations.",
        "seen by eye",
        "channel 80 of conv5: automobiles among other things at [1, 2], automobiles at [5, 6]"
        " ([results.md](results.md))",
        "can't be told here: one channel of another network, by eye",
        "`make fig3`",
    ),
    Claim(
        "4, Table 1",
        "Samples are more diverse than PPGN's: mean distances 1.16 to 1.22 times as large.",
        "mean distance in E of 500 samples",
        "mean distance {ratio} times PPGN's (ours {ours}); nearest neighbour {nearest} times (ours"
        " {ours_nearest}); Vendi score {vendi} times (ours {ours_vendi})",
        "confirmed in mean distance, the paper's own measure; not confirmed in what it "
        "stands for: nearest neighbours and Vendi score are far below PPGN's",
        "`make table1`",
        {
            "ratio": Ratio("table1", PUBLISHED, PPGN, "distance"),
            "ours": Ratio("table1", OURS, PPGN, "distance"),
            "nearest": Ratio("table1", PUBLISHED, PPGN, "nearest"),
            "ours_nearest": Ratio("table1", OURS, PPGN, "nearest"),
            "vendi": Ratio("table1", PUBLISHED, PPGN, "vendi"),
            "ours_vendi": Ratio("table1", OURS, PPGN, "vendi"),
        },
    ),
    Claim(
        "2, 4",
        "PPGN has no control over activations.",
        "not told",
        "{share} of its samples are in the range",
        "confirmed",
        "`make table1`",
        {"share": of_table(PPGN, "in_range", ".0f", "%")},
    ),
    Claim(
        "1, 2",
        "Markov chains (PPGN) are very slow.",
        "not told",
        "passes of ten codes for 500 samples: PPGN {ppgn}, the published method {published}, ours"
        " {ours}",
        "not confirmed: PPGN takes fewer passes than the published method",
        "`make table1`",
        {
            "ppgn": of_table(PPGN, "steps", ".0f"),
            "published": of_table(PUBLISHED, "steps", ".0f"),
            "ours": of_table(OURS, "steps", ".0f"),
        },
    ),
    Claim(
        "4.1",
        "Distances between codes, eq. (14), give bad pictures, because codes get extreme values,"
        " negative and positive; E limits them.",
        "seen by eye",
        "numbers of codes: {low14} to {high14} with eq. (14), {low6} to {high6} with eq. (6);"
        " judge: class first in {judge14} and {judge6}; KID (x 1000) {kid14} and {kid6}",
        "not confirmed at this β: codes stay as small with both. With longer steps codes "
        "grow with both, with Adam far more with eq. (14): [published.md](published.md)",
        "`make claims_seeds`",
        {
            "low14": _seeds(EQ14, "lowest", ".1f"),
            "high14": _seeds(EQ14, "highest", ".1f"),
            "low6": _seeds(EQ6, "lowest", ".1f"),
            "high6": _seeds(EQ6, "highest", ".1f"),
            "judge14": _seeds(EQ14, "judge_first", ".0f", "%"),
            "judge6": _seeds(EQ6, "judge_first", ".0f", "%"),
            "kid14": _seeds(EQ14, "kid", ".0f"),
            "kid6": _seeds(EQ6, "kid", ".0f"),
        },
    ),
    Claim(
        "4.2",
        "Without distances and from one start, eq. (15), samples are alike; with eq. (6) from the"
        " same start they differ.",
        "seen by eye",
        "Vendi score of ten seed codes {none} with eq. (15), {six} with eq. (6), {real} of ten real"
        " images; mean distance {none_far} and {six_far}",
        "the first half is confirmed; the second is not at this β, whose steps are too "
        "short to part codes that begin a thousandth apart. With longer steps: "
        "[published.md](published.md)",
        "`make claims_seeds`",
        {
            "none": _seeds(EQ15, "vendi", ".1f"),
            "six": _seeds(ONE_START, "vendi", ".1f"),
            "real": _seeds(EQ15, "vendi_real", ".1f"),
            "none_far": _seeds(EQ15, "distance", ".1f"),
            "six_far": _seeds(ONE_START, "distance", ".1f"),
        },
    ),
    Claim(
        "4.3",
        "Eq. (16) takes about 13,000 gradient steps, seed codes to the end about 800, the fast "
        "way about"
        " 400; the other 90 samples under 35.",
        "counted, one neuron",
        "{full}, {end} and {fast} steps to the seed codes; the rest in {end_rest} and {fast_rest}",
        "few steps for the rest: confirmed. For eq. (16) the order is the paper's: it came to rest"
        " by steps of Adam at 0.1. The seed codes to the end stopped at the largest number of"
        " iterations, and their objective still grew",
        "`make fig9` (one neuron, one seed)",
        {
            "full": Measure("fig9", FULL, key("to_seeds"), ",.0f"),
            "end": Measure("fig9", TO_THE_END, key("to_seeds"), ",.0f"),
            "fast": Measure("fig9", FAST, key("to_seeds"), ",.0f"),
            "end_rest": Measure("fig9", TO_THE_END, walked, ".0f"),
            "fast_rest": Measure("fig9", FAST, walked, ".0f"),
        },
    ),
    Claim(
        "4.3",
        "The fast way is a good approximation of eq. (16).",
        "seen by eye",
        "mean distance {fast} against {full}; nearest neighbour {fast_near} against {full_near};"
        " Vendi score {fast_vendi} against {full_vendi}; real images {real}, {real_near} and"
        " {real_vendi}",
        "not confirmed: the fast way stops at a small part of the objective, and repeats its "
        "seed codes;"
        " what eq. (16) itself gives are glaring pictures of many things",
        "`make fig9` (one neuron, one seed)",
        {
            "fast": Measure("fig9", FAST, key("distance"), ".1f"),
            "full": Measure("fig9", FULL, key("distance"), ".1f"),
            "fast_near": Measure("fig9", FAST, key("nearest"), ".1f"),
            "full_near": Measure("fig9", FULL, key("nearest"), ".1f"),
            "fast_vendi": Measure("fig9", FAST, key("vendi"), ".1f"),
            "full_vendi": Measure("fig9", FULL, key("vendi"), ".1f"),
            "real": Measure("fig9", FAST, key("distance_real"), ".1f"),
            "real_near": Measure("fig9", FAST, key("nearest_real"), ".1f"),
            "real_vendi": Measure("fig9", FAST, key("vendi_real"), ".1f"),
        },
    ),
    Claim(
        "6",
        "The method has no hyper-parameters.",
        "–",
        "β, μ₀, α, the number of inner steps, K and ε₀ must be chosen; what β and the reading of s"
        " do is in [published.md](published.md)",
        "not confirmed: β alone changes pictures, diversity and whether seed codes are found",
        "`python benchmarks/published.py`",
    ),
    Claim(
        "6",
        "It works for other domains and models.",
        "–",
        "digits of one channel, rows of tables, networks of one's own",
        "confirmed: [models/mnist.md](models/mnist.md), [regression.md](regression.md)",
        "`invset run network=diabetes z1=150 z2=160`",
    ),
)

INTRODUCTION = """# The paper's claims, one by one

    make figures        # writes results.csv and claims.md in outputs/figures/mini

Each sentence of sections 3 and 4, and of the conclusion, that claims something has a row. *As
published* is `sampler=paper`; *ours* is `sampler=stream`. **All figures here are of the embedded
pair `mini`, pictures of 32 pixels, and not of the paper's networks.** They are means over nine
runs, of three neurons and three random seeds, unless another number is given. The brackets have
the interval of the mean at 95 % (Student's t). The judge, `efficientnet_lite1`, took no part in any
optimisation. Figures of real images are those of as many photographs in the same range. This page
is written by `benchmarks/claims.py` from [figures/results.csv](figures/results.csv), which `make
figures` makes.
"""


def page(rows: Sequence[Row]) -> str:
    """The page, in Markdown."""
    head = "| section | claim | how the paper measured it | here | verdict | command |"
    lines = [INTRODUCTION, head, "|" + " --- |" * 6, *(one.line(rows) for one in CLAIMS)]
    return "\n".join(lines) + "\n"
