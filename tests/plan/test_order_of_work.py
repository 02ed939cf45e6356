"""Promises kept in nights with more work than time, as `benchmarks.promises` replays them."""

import pytest

from benchmarks.promises import BAR, earliest_promise, first_in_first_out, ours, random_night
from benchmarks.promises import share_kept as share


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_more_promises_are_kept_than_in_other_orders(noise: float) -> None:
    nights = [random_night(seed) for seed in range(3, 10)]
    kept = share(nights, ours, noise)
    assert kept >= BAR * share(nights, first_in_first_out, noise)
    assert kept > share(nights, earliest_promise, noise)
