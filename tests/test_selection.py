"""Which samples are shown where not all can be."""

from __future__ import annotations

import numpy as np

from invset.analysis.selection import one_of_each, shown, spread


def test_spread_from_low_to_high() -> None:
    values = np.array([5.0, 1.0, 4.0, 2.0, 3.0])
    assert spread(values, 3) == [1, 4, 0]
    assert spread(values, 9) == [1, 3, 4, 2, 0]
    assert spread([], 3) == []
    falling = np.arange(100.0)[::-1]
    assert falling[spread(falling, 5)].tolist() == [0, 25, 50, 74, 99]
    assert len(set(spread(falling, 100))) == 100


def test_samples_of_a_page_stay_in_order() -> None:
    assert shown([3.0, 1.0, 2.0]) == [0, 1, 2]
    assert shown([5.0, 1.0, 4.0, 2.0, 3.0], 3) == [0, 1, 4]  # lowest, middle and highest


def test_one_of_each_chain_is_where_it_ended() -> None:
    # chain 0 ends at place 4, chain 1 at 3, chain 2 at 2
    assert one_of_each([0, 1, 2, 1, 0], [9.0, 1.0, 5.0, 7.0, 6.0]) == [2, 4, 3]
    assert one_of_each([], []) == []
