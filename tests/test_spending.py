"""What a probe may spend: shares, limits, and what there is when it is spent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typed import typed

from invset.studies import spending as spending_file
from invset.studies.spending import Spending


class Clock:
    """Seconds that pass when they are told to."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(spending_file, "time", made)
    return made


def test_parts_share_what_is_left(clock: Clock) -> None:
    with Spending(300, 100, 10) as some:
        assert some.part(0.25) == 0.25
        some.spend(40)
        assert some.part(0.5) == pytest.approx(0.7)  # 0.4 is gone; half of 0.6
        clock.now = 8  # seconds are nearer to their end
        assert some.part(0.5) == pytest.approx(0.9)
        clock.now = 12
        assert some.part(0.5) == pytest.approx(1.2)


def test_a_part_ends_before_it_spends_too_much(clock: Clock) -> None:
    with Spending(300, 100, None) as some:
        some.spend(30)
        assert some.goes_on(0.6)
        assert not some.cut
        assert not some.goes_on(0.59)
        assert some.cut
    with Spending(300, None, 10) as some:
        clock.now = 4
        some.spend(30)
        assert some.goes_on(0.8)
        clock.now = 7
        assert not some.goes_on(1.0)  # 0.7 are gone, and 30 code-steps take 0.4


def test_without_limits_nothing_ends(clock: Clock) -> None:
    with Spending(300, None, None) as some:
        clock.now = 1e9
        some.spend(1e9)
        assert some.goes_on(some.part(1e-9))


def test_the_bar_ends_where_the_time_does(clock: Clock) -> None:
    with Spending(1000, None, 10) as some:
        some.begin("real images")
        clock.now = 5
        some.spend(50)
        # 10 a second, and 5 seconds left
        assert (some._bar.done, some._bar.total) == (50, 100)
        clock.now = 20
        some.spend(50)
        assert (some._bar.done, some._bar.total) == (100, 100)


def probed(monkeypatch: pytest.MonkeyPatch, out: Path, *words: str) -> dict:
    command = ["probe", "network=mini", "progress=false", f"hydra.run.dir={out}", *words]
    assert typed(monkeypatch, *command) == 0
    return json.loads((out / "probe.json").read_text())


def test_what_was_reached_is_told_when_it_is_spent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["neuron=[horse,ship]", "codes=40", "starts=6", "steps=5"]
    whole = probed(monkeypatch, tmp_path / "a", *words, "seconds=null")
    # 40 codes; 2 neurons, 6 codes up and down, 5 steps and a look at the end
    assert whole["code_steps"] == pytest.approx(40 / 3 + 2 * 12 * (5 + 1 / 3), abs=0.01)
    assert whole["cut"] is None
    some = probed(monkeypatch, tmp_path / "b", *words, "code_steps=70", "seconds=null")
    assert some["code_steps"] <= 70
    assert "Not all of it was done within code_steps=70:" in some["cut"]
    assert some["cut"] in capsys.readouterr().out
    counts = [
        {name: row["count"] for name, row in one["populations"].items()} for one in some["neurons"]
    ]
    # both neurons are walked; the first 32 codes are looked at in any case
    for count in counts:
        assert (count["real images"], count["random codes"]) == (2000, 32)
        assert count["after ascent"] == count["after descent"] == 4
    # what they reached is what they would have reached on the way
    for one, other in zip(some["neurons"], whole["neurons"], strict=True):
        top, whole_top = (x["populations"]["after ascent"]["percentiles"][-1] for x in (one, other))
        assert top < whole_top
