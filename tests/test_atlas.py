"""The simulation of a cluster (benchmarks/atlas.py) beside closed forms."""

from __future__ import annotations

import math
import statistics
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

from atlas import Cluster, closed_form, expected, simulate


@pytest.mark.parametrize("workers", [1, 3, 8])
@pytest.mark.parametrize("making", [0.0, 0.1, 1.25, 4.0])
@pytest.mark.parametrize("jobs", [1, 7, 24, 25])
def test_without_preemption_it_is_the_closed_form(workers: int, making: float, jobs: int) -> None:
    cluster = Cluster(workers, start_up=4.0, save_every=3.0, save=0.5, making=making)
    found = simulate(cluster, 10.0, jobs)
    assert found.makespan == pytest.approx(closed_form(cluster, 10.0, jobs), rel=1e-12)
    assert (found.lost, found.preempted) == (0.0, 0)


def test_states_cost_what_they_take() -> None:
    # three states between the four parts of 10 s; one job by hand
    cluster = Cluster(1, start_up=4.0, save_every=3.0, save=0.5, making=0.25)
    assert simulate(cluster, 10.0, 1).makespan == 4.0 + 10.0 + 3 * 0.5 + 0.25
    assert simulate(cluster, 3.0, 1).makespan == 4.0 + 3.0 + 0.25


@pytest.mark.parametrize("save_every", [math.inf, 2.0])
def test_a_preempted_worker_takes_as_long_as_expected(save_every: float) -> None:
    cluster = Cluster(1, start_up=1.0, save_every=save_every, save=0.25, rate=0.1, away=2.0)
    jobs = 400
    means = [(simulate(cluster, 10.0, jobs, seed).makespan - 1) / jobs for seed in range(20)]
    error = statistics.stdev(means) / len(means) ** 0.5
    wanted = expected(cluster, 10.0)
    assert abs(statistics.fmean(means) - wanted) < 4 * error
    assert error < 0.02 * wanted


def test_preemption_loses_no_job() -> None:
    calm = Cluster(5, start_up=1.0, save_every=2.0, save=0.1, away=3.0, making=0.01)
    rough = simulate(replace(calm, rate=0.05), 10.0, 40)
    assert rough.preempted > 0
    # all work is done, once, beside what was lost; so workers can't have been faster than that
    assert 5 * rough.makespan > 40 * 10.0 + rough.lost
    assert rough.makespan > closed_form(calm, 10.0, 40)
