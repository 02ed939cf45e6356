"""Rows are compared as sets in which duplicates count, in the columns that are expected."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from assay.errors import UsageError
from assay.testing.compare import Difference, difference
from assay.testing.rows import table_of

NAN = float("nan")


def compared(expected: Any, frame: pl.DataFrame, *key: str, ordered: bool = False) -> Difference:
    from pathlib import Path

    return difference(table_of(expected, Path()), frame, key, ordered=ordered)


def test_order_does_not_count_and_duplicates_do() -> None:
    frame = pl.DataFrame({"a": [1, 2, 2]})
    assert not compared("a\n2\n1\n2\n", frame)
    found = compared("a\n2\n1\n", frame)
    assert (found.missing, found.unexpected, found.changed) == ([], [{"a": 2}], [])
    found = compared("a\n2\n1\n1\n", frame)
    assert (found.missing, found.unexpected) == ([{"a": 1}], [{"a": 2}])


def test_order_counts_when_it_is_said() -> None:
    frame = pl.DataFrame({"a": [1, 2, 3], "x": [0.1, 0.2, 0.3]})
    assert not compared("a\n1\n2\n3\n", frame, ordered=True)
    assert compared("a\n1\n3\n2\n", frame, ordered=True).out_of_order == 2
    assert compared("a\n1\n3\n", frame, ordered=True).unexpected == [{"a": 2}]


def test_only_the_columns_that_are_expected_are_compared() -> None:
    frame = pl.DataFrame({"a": [1], "b": ["x"]})
    assert not compared("a\n1\n", frame)
    assert compared([], frame).unexpected == [{"a": 1, "b": "x"}]
    assert not compared([], frame.head(0))
    assert compared([{"a": 1}, {"a": 1, "b": "x"}], frame).missing == [{"a": 1, "b": None}]


def test_a_row_with_other_values_is_told_by_its_key() -> None:
    frame = pl.DataFrame({"day": ["a", "b", "c"], "n": [1, 2, 3], "net": [1.0, 2.0, 3.0]})
    found = compared("day, n, net\na, 1, 1\nb, 2, 2.5\nd, 3, 3\n", frame, "day")
    [changed] = found.changed
    assert (changed.key, changed.values) == ({"day": "b"}, {"net": (2.5, 2.0)})
    assert found.missing == [{"day": "d", "n": 3, "net": 3.0}]
    assert found.unexpected == [{"day": "c", "n": 3, "net": 3.0}]
    # Without a key, by the first column that tells all rows apart.
    assert compared("n, net\n1, 1\n2, 2.5\n3, 3\n", frame).changed == [
        type(changed)(key={"n": 2}, values={"net": (2.5, 2.0)})
    ]


def test_floats_are_equal_to_nine_digits_and_nan_to_itself() -> None:
    frame = pl.DataFrame({"k": [1, 1, 1], "x": [0.1 + 0.2, NAN, None], "y": [1.0, 1.0, 1.0]})
    assert not compared("k, x, y\n1, NaN, 1\n1, , 1\n1, 0.3, 1\n", frame)
    found = compared("k, x, y\n1, NaN, 1\n1, , 1\n1, 0.300001, 1\n", frame)
    assert found.missing == [{"k": 1, "x": 0.300001, "y": 1.0}]
    assert found.unexpected == [{"k": 1, "x": 0.1 + 0.2, "y": 1.0}]
    single = pl.DataFrame({"x": [0.1]}, schema={"x": pl.Float32})
    assert not compared("x\n0.1\n", single)
    assert compared("x\n0.1001\n", single)
    nested = pl.DataFrame({"x": [[0.1 + 0.2, NAN]]})
    assert not compared([{"x": [0.3, NAN]}], nested)


def test_values_of_every_type() -> None:
    at = datetime(2011, 12, 9, 9, tzinfo=UTC)
    frame = pl.DataFrame(
        {
            "money": [Decimal("1.50")],
            "at": [at],
            "tags": [["a", None]],
            "of": [{"n": 1, "s": "x"}],
            "raw": [b"\x00"],
            "none": [None],
        },
        schema_overrides={"money": pl.Decimal(18, 2), "none": pl.String},
    )
    row = {"money": 1.5, "at": "2011-12-09T10:00+01:00", "tags": ["a", None]}
    row |= {"of": {"s": "x", "n": 1}, "raw": b"\x00", "none": None}
    assert not compared([row], frame)
    assert compared([{**row, "tags": ["a", "b"]}], frame)
    assert compared([{**row, "of": {"n": 2, "s": "x"}}], frame)


@pytest.mark.parametrize(
    ("expected", "why"),
    [
        ("nett\n1\n", "no column 'nett' came out. Did you mean net?"),
        ("net\nabc\n", "row 1, net: 'abc' is no DOUBLE"),
    ],
)
def test_what_cannot_come_out(expected: str, why: str) -> None:
    with pytest.raises(UsageError) as error:
        compared(expected, pl.DataFrame({"net": [1.0]}))
    assert why in str(error.value)
