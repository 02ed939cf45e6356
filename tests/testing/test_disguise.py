"""Masked values are of the same kind and shape, equal where the values were, and never a real one."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from assay.testing.disguise import disguised
from assay.testing.sample import Sample


def masked(*patterns: str, **columns: list[Any]) -> tuple[dict[str, list[Any]], tuple[str, ...]]:
    rows = list(zip(*columns.values(), strict=True))
    sample = Sample(columns=dict.fromkeys(columns, "VARCHAR"), rows=rows)
    result, names = disguised({"t": sample}, {"t": patterns}, {"t": ["harmless_name"]})
    return {
        column: [row[number] for row in result["t"].rows] for number, column in enumerate(columns)
    }, names


def test_every_kind_of_value() -> None:
    at = datetime(2011, 12, 9, 9, tzinfo=UTC)
    values = ["13069.0", 7, 2.5, Decimal("12.50"), date(2011, 12, 9), at, None, True, ["a"]]
    got = masked("secret", secret=values)[0]["secret"]
    assert got == ["00000.1", 2, 3.0, Decimal("0.04"), date(2000, 1, 6), datetime(2000, 1, 7, tzinfo=UTC), None, None, None]  # fmt: skip
    assert [type(value) for value in got[:6]] == [type(value) for value in values[:6]]


def test_equal_values_stay_equal_and_others_differ() -> None:
    texts = ["Ann", "Bob", "Ann", "A1", "B1", *(f"x{n}" for n in range(300))]
    got = masked("who", who=texts)[0]["who"]
    assert got[0] == got[2]
    assert len(set(got)) == len(set(texts))
    assert not set(got) & set(texts)
    assert [len(text) for text in got[:2]] == [3, 3]


def test_a_masked_text_is_masked_wherever_it_stands() -> None:
    got, names = masked("who", who=["Ann Smith", "Bob"], note=["Bob", "nobody"])
    assert got["note"] == [got["who"][1], "nobody"]
    assert names == ("t.who",)


def test_what_looks_personal_is_masked_unless_it_is_cleared() -> None:
    got, names = masked(
        first_name=["Ann"], harmless_name=["Monday"], free=["ann@shop.example"], amount=["12.50"]
    )
    assert names == ("t.first_name", "t.free")
    assert got["harmless_name"] == ["Monday"]
    assert got["amount"] == ["12.50"]
    assert got["free"] != ["ann@shop.example"]
