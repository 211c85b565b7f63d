"""The library from Python: five lines, and their mistakes."""

from __future__ import annotations

from functools import cache

import pytest
import torch

from invset import InverseSetSampler, Neuron, Problem, mini_generator, mini_network
from invset.errors import InvsetError
from invset.problem.result import Result, finish
from invset.samplers.base import Limits, Status
from invset.samplers.stream import Stream
from invset.studies.ladder import Ladder


@cache
def problem(eight_bit: bool = True) -> Problem:
    return Problem(
        mini_network(),
        mini_generator(),
        encoder="fc6",
        neurons=[Neuron("fc8", "horse", range=(4, 6))],
        eight_bit=eight_bit,
    )


@cache
def result() -> Result:
    return InverseSetSampler(k=3, n=6).run(problem(), seed=0)


def test_five_lines() -> None:
    r = result()
    assert r.codes.shape == (6, 1024) == r.encodings.shape
    assert r.images.shape == (6, 3, 32, 32)
    assert r.images.dtype == torch.uint8
    assert r.activations.shape == (6, 1)
    assert r.in_range.all()
    assert r.status is Status.REACHED
    assert len(r) == 6


def test_what_is_returned_belongs_together() -> None:
    r = result()
    with torch.no_grad():
        f, e = problem().look(r.images.float() / 255)
        before = problem().look(problem().generator(r.codes))[0]
    torch.testing.assert_close(f, r.activations)
    torch.testing.assert_close(e, r.encodings)
    torch.testing.assert_close(before, r.activations_before)


def test_the_seed_decides() -> None:
    again = InverseSetSampler(k=3, n=6).run(problem(), seed=0)
    assert torch.equal(again.codes, result().codes)
    assert not torch.equal(InverseSetSampler(k=3, n=6).run(problem(), seed=1).codes, result().codes)


def test_a_sampler_may_be_given_whole_and_rounds_watched() -> None:
    rounds: list[int] = []
    sampler = InverseSetSampler(sampler=Stream(K=3, n=6))

    def on_look(state: object, rows: list[list[float]], count: int) -> None:
        rounds.append(len(rows))

    watched = sampler.run(problem(), seed=0, on_look=on_look)
    assert torch.equal(watched.codes, result().codes)
    assert sum(rounds) == watched.steps


def test_where_nothing_was_found_no_module_is_given_an_empty_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """FFTs, for example, take none."""
    one = problem()
    made = one.generator.module

    def spy(codes: torch.Tensor) -> torch.Tensor:
        assert len(codes)
        return made(codes)

    far = Problem(one.network, one.generator, "fc6", [Neuron("fc8", "horse", range=(900, 901))])
    monkeypatch.setattr(far.generator, "module", spy)
    found = InverseSetSampler(k=2, n=2, limits=Limits(code_steps=9)).run(far)
    assert (len(found), found.status) == (0, Status.BUDGET)  # the limit was typed
    assert found.images.shape == (0, 3, 32, 32)


def test_what_rounding_takes_out_of_the_range_is_not_kept() -> None:
    r = InverseSetSampler(k=3, n=6).run(problem(eight_bit=False), seed=0)
    assert r.in_range.all()
    assert len(r) == len(r.codes) == len(r.step) == len(r.parent) == len(r.encodings) <= 6


def test_samples_that_rounding_took_out_keep_their_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = problem(eight_bit=False)
    sampler = InverseSetSampler(sampler=Ladder(K=3, ranges=[(4, 6), (7, 8)]))
    rng = torch.Generator().manual_seed(0)
    ladder = sampler.sampler
    region = exact.region(rng=rng)
    target = exact.target(region)
    samples = ladder.found(target, ladder.run(target, rng))
    whole = finish(exact, region, samples)
    assert whole.cells is not None
    # as if the second sample in range had been outside when its image was rounded
    out = int(whole.in_range.nonzero()[1])
    measure = exact.measure

    def rounded(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        f, e, _ = measure(images)
        f[out] = 1000
        return f, e, None

    monkeypatch.setattr(exact, "measure", rounded)
    short = finish(exact, region, samples)
    assert short.cells is not None
    assert len(short) == len(whole) - 1
    assert torch.equal(short.row, whole.row[torch.arange(len(whole)) != out])
    cells = [[-1 if c == out else c - (c > out) for c in row] for row in whole.cells.tolist()]
    assert short.cells.tolist() == cells


def test_nothing_found_is_an_empty_result() -> None:
    far = Problem(
        problem().network, problem().generator, neurons=[Neuron("fc8", 8, range=(1000, 1001))]
    )
    r = InverseSetSampler(k=2, n=2, max_age=3, patience=1).run(far)
    assert r.status is Status.UNREACHABLE
    assert len(r) == 0 == len(r.images)
    assert r.activations.shape == (0, 1)
    assert r.best.item() < 1000


@pytest.mark.parametrize(
    ("message", "options"),
    [
        (
            "ppgn, random, stream or two_stage, not 'strem'",
            {"sampler": "strem"},
        ),
        ("has no option 'max_ages'. Did you mean max_age", {"max_ages": 3}),
        ("more than the n=3 samples", {"k": 10, "n": 3}),
        ("k must be a whole number", {"k": 0}),
        ("mu0 must be", {"mu0": 0}),
        ("alpha must be", {"alpha": 1}),
        ("sampler.walk must be a number above 0 and at most 1", {"walk": 2}),
        ("prior must be", {"prior": "natura"}),
    ],
)
def test_mistakes(message: str, options: dict[str, object]) -> None:
    with pytest.raises(InvsetError, match=message):
        InverseSetSampler(**options).run(problem())  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"n": 7}, {"k": 3}, {"walk": 0.5}, {"nonsense": 1}])
def test_options_beside_a_sampler_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(InvsetError, match="whose own options count"):
        InverseSetSampler(sampler=Stream(K=5, n=20), **options)  # type: ignore[arg-type]
