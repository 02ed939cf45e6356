"""Digests of failing rows: rows that differ in anything have other digests, on every machine the same."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from itertools import combinations

import pytest

from assay.rules.identify import digest_of

VALUES = [
    None,
    "",
    "None",
    1,
    1.0,
    True,
    "1",
    Decimal("1.0"),
    float("nan"),
    "NaN",
    [1, 2],
    [2, 1],
    [[1], [2]],
    {"a": 1},
    {"a": 2},
    {1: "a"},
    {"1": "a"},
    {date(2024, 1, 1): 1, None: 2},
    b"a",
    date(2024, 1, 1),
    datetime(2024, 1, 1),
    datetime(2024, 1, 1, tzinfo=UTC),
    "\ud800",
]


def test_values_that_differ_have_other_digests() -> None:
    for one, other in combinations(VALUES, 2):
        assert digest_of(["x"], [one]) != digest_of(["x"], [other]), (one, other)


def test_a_name_that_is_there_twice() -> None:
    assert digest_of(["x", "x"], [1, 3]) != digest_of(["x", "x"], [2, 3])
    assert digest_of(["x", "y"], [1, 2]) == digest_of(["y", "x"], [2, 1]), "whatever their order"
    assert digest_of(["x", "y"], [1, 2]) != digest_of(["x", "y"], [2, 1])


@pytest.mark.parametrize(
    "at", [datetime(2024, 1, 1, 12, tzinfo=UTC), datetime.max.replace(tzinfo=UTC)]
)
def test_a_moment_is_the_same_in_every_time_zone(at: datetime) -> None:
    if at.year == 2024:
        there = at.astimezone(timezone(timedelta(hours=-9)))
        assert digest_of(["x"], [at]) == digest_of(["x"], [there])
    west = at.replace(tzinfo=timezone(timedelta(hours=-9)))
    assert digest_of(["x"], [at]) != digest_of(["x"], [west])


def test_maps_are_the_same_whatever_their_order() -> None:
    assert digest_of(["x"], [{1: 2, 3: 4}]) == digest_of(["x"], [{3: 4, 1: 2}])
