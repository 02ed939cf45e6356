"""The text of results: rounded, unless that hides the difference; short, and of one line a row."""

from datetime import date
from decimal import Decimal

import pytest

from assay.testing.results import CaseView, ChangedRowView, cell, difference_lines, lines_of


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        ("", '""'),
        ("null", "null"),
        (0.1 + 0.2, "0.3"),
        (float("nan"), "nan"),
        (Decimal("1.50"), "1.50"),
        (date(2011, 12, 9), "2011-12-09"),
        ([1, None, date(2011, 12, 9)], '[1, null, "2011-12-09"]'),
        ({"a b": "ä"}, '{"a b": "ä"}'),
        ("x" * 100, "x" * 60 + "…"),
    ],
)
def test_values(value: object, text: str) -> None:
    assert cell(value) == text


def test_a_difference_is_not_rounded_away() -> None:
    changed = ChangedRowView(
        key={"k": 1}, expected={"x": 1.0, "y": 2}, got={"x": 1.0000001, "y": 3}
    )
    [line] = difference_lines([changed], [], [])
    assert line == "k 1: x 1.0 → 1.0000001, y 2 → 3   (expected → got)"


def test_few_rows_are_shown() -> None:
    rows = [{"x": number} for number in range(11)]
    lines = [*difference_lines([], rows, rows[:2])]
    assert lines[9:] == [
        "missing: x 9",
        "not expected: x 0",
        "not expected: x 1",
        "… the first 10 of a kind; --json lists 100",
    ]
    view = CaseView(product="d.p", test="t", result="failed", file="p.test.toml", line=0, seconds=0, problems=("a\nb",))  # fmt: skip
    assert [*lines_of(view)] == ["p.test.toml", "a", "b"]
