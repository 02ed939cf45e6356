"""Values of tests become values of a type exactly, or are refused."""

import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal

import pytest

from assay.testing.cells import FileNumber, Text, Unfit, type_of, value_of

STRUCT = 'STRUCT("a b" INTEGER, tags VARCHAR[])'


@pytest.mark.parametrize(
    ("value", "type", "result"),
    [
        (None, "INTEGER", None),
        (Text("7"), "INTEGER", 7),
        (FileNumber("7.0"), "BIGINT", 7),
        (2**64 - 1, "UBIGINT", 2**64 - 1),
        (FileNumber("20.10"), "DECIMAL(18,2)", Decimal("20.10")),
        (20, "DECIMAL(18,2)", Decimal("20.00")),
        (0.1, "DECIMAL(18,2)", Decimal("0.10")),
        (Text("1e3"), "DECIMAL(18,2)", Decimal("1000.00")),
        ("1" * 30 + ".25", "DECIMAL(38,2)", Decimal("1" * 30 + ".25")),
        (FileNumber("0.1"), "DOUBLE", 0.1),
        (Text("-inf"), "DOUBLE", -math.inf),
        (Text("TRUE"), "BOOLEAN", True),
        (Text("a"), "VARCHAR", "a"),
        (Text("2011-12-09"), "DATE", date(2011, 12, 9)),
        (Text("2011-12-09"), "TIMESTAMP", datetime(2011, 12, 9)),
        (date(2011, 12, 9), "TIMESTAMP", datetime(2011, 12, 9)),
        (Text("2011-12-09 09:15"), "TIMESTAMP WITH TIME ZONE", datetime(2011, 12, 9, 9, 15, tzinfo=UTC)),
        (
            datetime(2011, 12, 9, 9, 15, tzinfo=timezone(timedelta(hours=2))),
            "TIMESTAMP WITH TIME ZONE",
            datetime(2011, 12, 9, 7, 15, tzinfo=UTC),
        ),
        (Text("09:15"), "TIME", time(9, 15)),
        ("ä", "BLOB", "ä".encode()),
        ("it's", "ENUM('it''s', 'b')", "it's"),
        (Text("[1, 2]"), "BIGINT[]", [1, 2]),
        (Text('{"a b": 1}'), STRUCT, {"a b": 1, "tags": None}),
        ({"a b": 1, "tags": ["x"]}, STRUCT, {"a b": 1, "tags": ["x"]}),
    ],
)  # fmt: skip
def test_values(value: object, type: str, result: object) -> None:
    got = value_of(value, type)
    assert got == result
    assert repr(got) == repr(result)


@pytest.mark.parametrize("value", [FileNumber("nan"), float("nan"), Text("NaN")])
def test_nan(value: object) -> None:
    assert math.isnan(value_of(value, "DOUBLE"))


@pytest.mark.parametrize(
    ("value", "type", "why"),
    [
        (Text("abc"), "INTEGER", "'abc' is no INTEGER: it should be a whole number"),
        (1.5, "INTEGER", "whole number"),
        (True, "INTEGER", "whole number"),
        (float("inf"), "BIGINT", "inf is no BIGINT"),
        (FileNumber("nan"), "BIGINT", "is no BIGINT"),
        (2**31, "INTEGER", "between -2147483648 and 2147483647"),
        (-1, "UTINYINT", "between 0 and 255"),
        (FileNumber("20.005"), "DECIMAL(18,2)", "more than 2 digits behind the point"),
        (10**17, "DECIMAL(18,2)", "more than 16 digits before the point"),
        (FileNumber("nan"), "DECIMAL(18,2)", "finite"),
        (Text("1e999999999"), "DECIMAL(18,2)", "is no DECIMAL(18,2)"),
        (Decimal("1e999999999"), "BIGINT", "is no BIGINT"),
        (Text("1e999999999"), "DOUBLE", "is no DOUBLE"),
        (10**400, "DOUBLE", "is no DOUBLE"),
        (1, "BOOLEAN", "true or false"),
        (536365, "VARCHAR", "write it in quotes"),
        (datetime(2011, 12, 9), "DATE", "it has a time of day"),
        (Text("2011-13-09"), "DATE", "is no DATE"),
        (datetime(2011, 12, 9, tzinfo=UTC), "TIMESTAMP", "the column has none"),
        ("c", "ENUM('a', 'b')", "none of these"),
        (Text("[1"), "BIGINT[]", "is no BIGINT[]"),
        ([1, "x"], "BIGINT[]", "is no BIGINT[]"),
        ({"b": 1}, STRUCT, "no field 'b'"),
        (Text("1"), "MAP(VARCHAR, INTEGER)", "give a Parquet file"),
        ("x" * 10_000, "INTEGER", "…"),
    ],
)
def test_what_a_type_cannot_hold(value: object, type: str, why: str) -> None:
    with pytest.raises(Unfit) as error:
        value_of(value, type)
    assert why in str(error.value)
    assert len(str(error.value)) < 250


@pytest.mark.parametrize(
    ("values", "type"),
    [
        ([None], "VARCHAR"),
        ([Text("1"), None, Text("2")], "BIGINT"),
        ([Text("1"), Text("2.5")], "DOUBLE"),
        ([Text("007")], "VARCHAR"),
        ([Text("2011-12-09")], "DATE"),
        ([Text("2011-12-09 09:00")], "TIMESTAMP"),
        ([Text("true")], "BOOLEAN"),
        ([1, FileNumber("1.5")], "DOUBLE"),
        ([1, Decimal("1.25")], "DECIMAL(18,2)"),
        ([[1], [2]], "BIGINT[]"),
        ([{"a": 1}], 'STRUCT("a" BIGINT)'),
        ([datetime(2011, 1, 1, tzinfo=UTC)], "TIMESTAMP WITH TIME ZONE"),
    ],
)
def test_types_of_what_nothing_declares(values: list[object], type: str) -> None:
    assert type_of(values) == type


def test_values_of_several_types_have_none() -> None:
    with pytest.raises(Unfit, match="several types: BIGINT, VARCHAR"):
        type_of([1, "a"])
    with pytest.raises(Unfit, match="more digits"):
        type_of([Decimal("1e-50")])
    with pytest.raises(Unfit, match="no column has: object"):
        type_of([object()])
