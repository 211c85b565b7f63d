"""TuRBO's trust region, its counters worked by hand."""

from __future__ import annotations

import torch

from invset.core.trust_region import TrustRegion


def test_the_side_doubles_after_three_successes_in_a_row() -> None:
    region = TrustRegion()
    for _ in range(2):
        region = region.after(True, dim=20, batch=4)
    assert region == TrustRegion(0.8, successes=2)
    # a failure in between counts anew
    assert region.after(False, 20, 4) == TrustRegion(0.8, failures=1)
    assert region.after(True, 20, 4) == TrustRegion(1.6)
    region = TrustRegion(1.6, successes=2).after(True, 20, 4)
    assert region == TrustRegion(1.6)  # the longest


def test_the_side_halves_after_as_many_failures_as_batches_cover_the_numbers() -> None:
    region = TrustRegion(successes=2)
    for _ in range(4):
        region = region.after(False, dim=20, batch=4)  # 20 / 4 = 5 failures
    assert region == TrustRegion(0.8, failures=4)
    assert region.after(False, 20, 4) == TrustRegion(0.4)
    # max(4, 2) / 3 rounded up = 2 failures
    assert TrustRegion().after(False, 2, 3) == TrustRegion(failures=1)
    assert TrustRegion(failures=1).after(False, 2, 3) == TrustRegion(0.4)


def test_a_search_ends_below_the_shortest_side() -> None:
    assert not TrustRegion(0.5**7).ended
    assert TrustRegion(0.5**7 - 1e-9).ended
    sides = [0.8 / 2**k for k in range(8)]
    assert [TrustRegion(side).ended for side in sides] == [False] * 7 + [True]


def test_bounds_are_longer_along_longer_length_scales() -> None:
    centre = torch.tensor([0.5, 0.9])
    # weights 2 and 1/2: their product is 1
    bounds = TrustRegion(0.4).bounds(centre, torch.tensor([4.0, 1.0]))
    torch.testing.assert_close(bounds, torch.tensor([[0.1, 0.8], [0.9, 1.0]]))
