"""Which type holds every value of another."""

import pytest

from assay.plan.changes.types import type_way
from assay.plan.changes.values import Way


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        ("INTEGER", "BIGINT"),
        ("UINTEGER", "BIGINT"),
        ("INTEGER", "DOUBLE"),
        ("INTEGER", "DECIMAL(18,2)"),
        ("DECIMAL(9,2)", "DECIMAL(18,2)"),
        ("DECIMAL(9,2)", "DECIMAL(18,4)"),
        ("FLOAT", "DOUBLE"),
        ("TIMESTAMP_MS", "TIMESTAMP"),
        ("INTEGER[]", "BIGINT[]"),
        ("ENUM('a', 'b')", "VARCHAR"),
    ],
)
def test_what_holds_more_is_wider(narrow: str, wide: str) -> None:
    assert type_way(narrow, wide) is Way.STRONGER
    assert type_way(wide, narrow) is Way.WEAKER
    assert type_way(narrow, narrow) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("BIGINT", "UBIGINT"),
        ("BIGINT", "DOUBLE"),
        ("BIGINT", "DECIMAL(18,2)"),
        ("DECIMAL(18,2)", "DECIMAL(18,4)"),
        ("VARCHAR", "BIGINT"),
        ("TIMESTAMP", "TIMESTAMP WITH TIME ZONE"),
        ("DATE", "TIMESTAMP"),
        ("BIGINT", "BIGINT[]"),
    ],
)
def test_what_holds_other_values_is_neither(one: str, other: str) -> None:
    assert type_way(one, other) is Way.OTHER
    assert type_way(other, one) is Way.OTHER
