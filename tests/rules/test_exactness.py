"""Judging is exact: against pandera itself, every built-in check, on every type, over values made to trip it up."""

import datetime as dt
import decimal
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandera.polars as pa
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from pandera.config import ValidationDepth, config_context
from pandera.errors import SchemaErrors

from assay.declare.rules import with_unique_texts
from assay.engines.duckdb import DuckDB
from assay.engines.polars import stage
from assay.facts import RuleResult, Status
from assay.model import Where
from assay.rules import uniqueness, with_duckdb
from assay.rules.compile import ways_of
from assay.rules.schema import read_schema
from tests.judging import judged_file, product_of

HERE = Where("x.py", 1)
LARGE = os.environ.get("ASSAY_EXACTNESS") == "large"
MORE = LARGE or bool(os.environ.get("ASSAY_FAULTS"))  # which every change to land is tried with
EXAMPLES = 1500 if LARGE else 25
SOME = 1 if MORE else 16  # of the checks on a type, one in so many is judged
COMPARED = (
    1 if LARGE or not MORE else 2
)  # and of those, one in so many compared: pandera takes a while
EVERY_OF_NONE = 8 if MORE else 48
C = pa.Check
NAN, INF = float("nan"), float("inf")
D = decimal.Decimal
ZONED = pl.Datetime("us", "UTC")

# What trips comparisons up, for each type: extremes, what floats cannot hold, what looks alike and is not.
VALUES: dict[Any, list[Any]] = {
    pl.Int8: [-128, -5, -1, 0, 1, 2, 100, 127],
    pl.Int16: [-(2**15), -1, 0, 1, 2**15 - 1],
    pl.Int32: [-(2**31), -1, 0, 1, 2**24 + 1, 2**31 - 1],
    pl.Int64: [-(2**63), -5, -1, 0, 1, 2, 5, 2**53, 2**53 + 1, 2**62, 2**63 - 1],
    pl.UInt8: [0, 1, 2, 255],
    pl.UInt32: [0, 1, 2**32 - 1],
    pl.UInt64: [0, 1, 2, 2**53 + 1, 2**63, 2**63 + 5, 2**64 - 1],
    pl.Float32: [NAN, INF, -INF, 0.0, -0.0, 0.1, 1.0, 1.5, 2.0, 3.0e38, 1e-40],
    pl.Float64: [NAN, INF, -INF, 0.0, -0.0, 0.1, 0.3, 0.1 + 0.2, 1.0, 2.0, 1e308, 5e-324, 2.0**53],
    pl.Decimal(12, 2): [D("0.00"), D("0.10"), D("0.30"), D("-1.00"), D("1.00"), D("9999999999.99")],
    pl.Decimal(38, 10): [
        D("0.0000000001"),
        D("0.1"),
        D("1"),
        D("9999999999999999999999999999.9999999999"),
    ],
    pl.String: [
        "",
        "a",
        "abc",
        "abcd",
        "xabc",
        "ABC",
        "é",
        "É",
        "日本",
        "a\nb",
        "abc\n",
        "٣",
        "3",
        "  x ",
        "\u00a0",
        "a_b",
        "e\u0301",
        "user1@ex.com",
        "a'b",
        "%",
        "_",
        "\\",
        "👩‍👩‍👧",
        "\u200d",
        "ß",
        "x\0y",
        "a b",
        "{}",
        '"',
    ],
    pl.Date: [
        dt.date(1, 1, 1),
        dt.date(1969, 12, 31),
        dt.date(2020, 1, 1),
        dt.date(2020, 2, 29),
        dt.date(9999, 12, 31),
    ],
    pl.Datetime("us"): [
        dt.datetime(1, 1, 1),
        dt.datetime(2020, 1, 1),
        dt.datetime(2020, 1, 1, 0, 0, 0, 1),
        dt.datetime(9999, 12, 31, 23, 59, 59, 999999),
    ],
    pl.Datetime("ms"): [
        dt.datetime(1969, 12, 31, 23, 59, 59, 999000),
        dt.datetime(2020, 1, 1),
        dt.datetime(2020, 1, 1, 0, 0, 0, 1000),
    ],
    pl.Datetime("ns"): [dt.datetime(2020, 1, 1), dt.datetime(2020, 1, 1, 0, 0, 0, 1)],
    ZONED: [dt.datetime(2020, 1, 1, tzinfo=dt.UTC), dt.datetime(2020, 1, 1, 12, tzinfo=dt.UTC)],
    pl.Datetime("us", "Europe/London"): [dt.datetime(2020, 7, 1, tzinfo=dt.UTC)],
    pl.Time: [dt.time(0), dt.time(12, 30), dt.time(23, 59, 59, 999999)],
    pl.Boolean: [True, False],
    pl.Binary: [b"", b"a"],
}
# Values given to checks that are of another kind than the column.
FOREIGN: list[Any] = [
    0,
    1,
    -1,
    2**53,
    2**53 + 1,
    2**70,
    0.5,
    5.0,
    0.1,
    NAN,
    INF,
    "a",
    "",
    True,
    D("0.105"),
    D("1E+1"),
    None,
    dt.date(2020, 1, 1),
    dt.datetime(2020, 1, 1),
    dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
    b"a",
]
PATTERNS = [
    "abc",
    "^abc$",
    "zzz|abc",
    r"\d",
    r"\w+$",
    r"^[\w.+-]+@[\w-]+\.\w+$",
    r"a.b",
    r"\s+",
    r"[^a]+$",
    r"(a|b)+$",
    r"[a-z]{2,3}$",
    r"a\.b",
    r"(?i)abc",
    r"\bab",
    r"é",
    r"",
    r"^$",
    r"\S",
    r"(unclosed",
    r"\p{L}+",
    r"(?<=a)b",
    r"[[:alpha:]]",
    r"a{1000000}",
]
SIMPLE = [C.eq, C.ne, C.gt, C.ge, C.lt, C.le]


def checks_on(dtype: Any) -> st.SearchStrategy[pa.Check]:
    """Any built-in check, with arguments mostly of the column's kind."""
    own = VALUES[dtype]
    value = st.one_of(st.sampled_from(own), st.sampled_from(own), st.sampled_from(FOREIGN))
    some = st.lists(st.one_of(value, st.none()), max_size=4)
    of_own = st.lists(st.sampled_from(own), max_size=4)
    length = st.one_of(st.none(), st.integers(-1, 6))
    return st.one_of(
        st.builds(lambda make, v: make(v), st.sampled_from(SIMPLE), value),
        st.builds(_in_range, value, value, st.booleans(), st.booleans()),
        st.builds(
            lambda make, v: make(v),
            st.sampled_from([C.isin, C.notin, C.unique_values_eq]),
            st.one_of(some, of_own),
        ),
        st.builds(
            _pattern, st.sampled_from([C.str_matches, C.str_contains]), st.sampled_from(PATTERNS)
        ),
        st.builds(
            lambda make, v: make(v),
            st.sampled_from([C.str_startswith, C.str_endswith]),
            st.sampled_from(VALUES[pl.String]),
        ),
        st.builds(lambda a, b, c: C.str_length(a, b, exact_value=c), length, length, length),
    ).filter(lambda check: check is not None)


def _pattern(make: Any, pattern: str) -> pa.Check | None:
    with suppress(re.error):
        return make(pattern)
    return None


def _in_range(low: Any, high: Any, include_min: bool, include_max: bool) -> pa.Check | None:
    try:
        return C.in_range(low, high, include_min=include_min, include_max=include_max)
    except (TypeError, ValueError, ArithmeticError):
        return None


@st.composite
def cases(draw: Any) -> tuple[pl.DataFrame, pa.DataFrameSchema]:
    dtype = draw(st.sampled_from(list(VALUES)))
    values = draw(st.lists(st.one_of(st.none(), st.sampled_from(VALUES[dtype])), max_size=8))
    frame = pl.DataFrame({"c": pl.Series(values, dtype=dtype, strict=False)})
    try:
        check = draw(checks_on(dtype))
    except (TypeError, ValueError):
        check = C.ne(1)
    check.ignore_na = draw(st.booleans())
    nullable, unique = draw(st.booleans()), draw(st.booleans())
    declared = draw(
        st.one_of(st.just(dtype), st.just(dtype), st.sampled_from(list(VALUES)), st.none())
    )
    return frame, pa.DataFrameSchema(
        {"c": pa.Column(declared, check, nullable=nullable, unique=unique)}
    )


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDB]:
    made = DuckDB([Path("/")], tmp_path_factory.mktemp("spill"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("staged") / "data.parquet"


def read_apart(schema: Any) -> Any:
    read = read_schema(schema, HERE)
    return replace(read, rules=with_unique_texts(read.rules))


def kind_of(error: Any) -> str:
    check = error.check if isinstance(error.check, str) else "check0"
    return {
        "not_nullable": "null",
        "field_uniqueness": "unique",
        "multiple_fields_uniqueness": "unique0",
    }.get(
        check, "type" if check.startswith(("dtype(", "column_in_dataframe", "no_regex")) else check
    )


def pandera_says(schema: Any, frame: pl.DataFrame) -> dict[str, int | str]:
    """What fails, by kind: how many rows, 'whole' for a failure of no rows, 'error' for what cannot be judged."""
    with config_context(validation_enabled=True, validation_depth=ValidationDepth.SCHEMA_AND_DATA):
        try:
            schema.validate(frame, lazy=True)
        except SchemaErrors as errors:
            return {kind_of(e): _cases(e) for e in errors.schema_errors}
    return {}


def _cases(error: Any) -> int | str:
    if error.reason_code.name == "CHECK_ERROR":
        return "error"
    return error.failure_cases.height if isinstance(error.failure_cases, pl.DataFrame) else "whole"


def we_say(results: dict[str, RuleResult], rules: Any) -> dict[str, int | str]:
    found: dict[str, int | str] = {}
    for rule in rules:
        result = results[rule.text]
        if result.status is Status.ERROR:
            found[rule.demand.place.partition(":")[2]] = "error"
        elif result.status is Status.FAILED:
            found[rule.demand.place.partition(":")[2]] = (
                "whole" if result.failing is None else result.failing
            )
    return found


def compare(
    engine: DuckDB, file: Path, frame: pl.DataFrame, schema: pa.DataFrameSchema
) -> dict[str, RuleResult]:
    """Judge both ways; the verdicts have to be the same, in the same numbers of rows."""
    file.unlink(missing_ok=True)
    types = stage(frame.lazy(), file, {})
    read = read_apart(schema)
    stored = pl.read_parquet(file)
    results = judged_file(engine, read, file, types)
    with (
        pytest.MonkeyPatch.context() as patch
    ):  # as a large file is judged: statistics, and uniqueness on its own
        patch.setattr(with_duckdb, "SMALL", 0)
        ways = {
            "a bit for each": (0, uniqueness._MOST_BITS),
            "sorted in memory": (100, 0),
            "as under a memory limit": (0, 0),
        }
        for rows, bits in ways.values():
            patch.setattr(uniqueness, "_IN_MEMORY", (0, rows))
            patch.setattr(uniqueness, "_MOST_BITS", bits)
            large = judged_file(engine, read, file, types)
            assert we_say(large, read.rules) == we_say(results, read.rules), (frame, schema, large)
    try:
        wanted = pandera_says(schema, stored)
    except (
        Exception,
        pl.exceptions.PanicException,
    ):  # pandera itself falls over when an answer for a column and one for rows both fail
        wanted = {
            k: v
            for rule in read.rules
            for k, v in pandera_says(alone(schema, rule.demand), stored).items()
        }
    assert we_say(results, read.rules) == wanted, (
        frame,
        schema,
        {t: (r.how, r.message) for t, r in results.items()},
    )
    return results


def alone(schema: Any, demand: Any) -> Any:
    column = schema.columns["c"]
    return pa.DataFrameSchema(
        {
            "c": pa.Column(
                column.dtype if demand.kind == "type" else None,
                column.checks if demand.place.startswith("c:check") else None,
                nullable=demand.kind != "null" or column.nullable,
                unique=demand.kind == "unique",
            )
        }
    )


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=cases())
def test_any_check_on_any_type(
    engine: DuckDB, file: Path, case: tuple[pl.DataFrame, pa.DataFrameSchema]
) -> None:
    compare(engine, file, *case)


def every_check(dtype: Any) -> Iterator[pa.Check]:
    own = VALUES[dtype]
    for make in SIMPLE:
        for value in [*own, *(v for v in FOREIGN if v is not None)]:
            yield make(value)
    for values in ([own[0]], own, [None, own[-1]], [], [FOREIGN[0]], [0.5], ["a"]):
        yield from (C.isin(values), C.notin(values), C.unique_values_eq(values))
    for low in own[:3]:
        for high in own[-3:]:
            for bounds in ((True, True), (False, False), (True, False)):
                made = _in_range(low, high, *bounds)
                if made is not None:
                    yield made
    if dtype == pl.String:
        for text in own:
            yield from (C.str_startswith(text), C.str_endswith(text))
        for make in (C.str_matches, C.str_contains):
            for pattern in PATTERNS:
                with suppress(re.error):  # Python refuses to make the check
                    yield make(pattern)
    yield from (
        C.str_length(1, 3),
        C.str_length(exact_value=2),
        C.str_length(max_value=0),
        C.str_matches("a"),
    )


@pytest.mark.parametrize("ignore_na", [True, False], ids=["nulls pass", "nulls fail"])
@pytest.mark.parametrize("dtype", list(VALUES), ids=str)
def test_every_check_on_every_type(
    engine: DuckDB, file: Path, monkeypatch: pytest.MonkeyPatch, dtype: Any, ignore_na: bool
) -> None:
    """All values of a type at once, nulls among them; the checks in one schema, so that the fused query holds them all."""
    frame = pl.DataFrame(
        {"c": pl.Series([*VALUES[dtype], None, VALUES[dtype][0]], dtype=dtype, strict=False)}
    )
    checks = []
    for check in list(every_check(dtype))[int(ignore_na) * (SOME // 2) :: SOME]:
        check.ignore_na = ignore_na
        checks.append(check)
    types = stage(frame.lazy(), file, {})
    stored = pl.read_parquet(file)
    read = read_apart(pa.DataFrameSchema({"c": pa.Column(dtype, checks, nullable=True)}))
    ours = we_say(judged_file(engine, read, file, types), read.rules)
    monkeypatch.setattr(with_duckdb, "SMALL", 0)
    assert we_say(judged_file(engine, read, file, types), read.rules) == ours
    wrong = []
    for index in range(0 if LARGE else int(ignore_na) % COMPARED, len(checks), COMPARED):
        check = checks[index]
        said = pandera_says(
            pa.DataFrameSchema({"c": pa.Column(None, check, nullable=True)}), stored
        )
        if ours.get(f"check{index}") != said.get("check0"):
            wrong.append(
                (check.name, check._check_kwargs, ours.get(f"check{index}"), said.get("check0"))
            )
    assert not wrong, wrong


# ---------------------------------------------------------------------------------------------- whole schemas

NAMES = ["a", "b", "t_1", "t_2", "t.x", "A"]
FEW: dict[Any, list[Any]] = {
    pl.Int64: [None, -1, 0, 1, 2],
    pl.String: [None, "", "x", "y"],
    pl.Float64: [None, NAN, 0.0, -0.0, 1.5],
    pl.List(pl.Int64): [None, [], [1], [None]],
}


def greater_than_a(data: Any) -> Any:
    return data.lazyframe.select(pl.col("a") > 0)


def all_positive(data: Any) -> Any:
    return data.lazyframe.select(pl.col(data.key) >= 0)


def mean_is_small(data: Any) -> Any:
    return data.lazyframe.select(pl.col(data.key).mean() < 1)


def says_no(data: Any) -> bool:
    return False


def raises(data: Any) -> Any:
    raise KeyError("no")


def window(data: Any) -> Any:
    return data.lazyframe.select(pl.col(data.key).cum_count() < 3)


def odd_row(value: Any) -> bool:
    return value != 1


CUSTOM = [
    C(all_positive),
    C(all_positive, ignore_na=False),
    C(mean_is_small),
    C(says_no),
    C(raises),
    C(window),
    C(odd_row, element_wise=True),
    C.ge(0),
    C.isin([1, 2]),
    C.str_length(0, 1),
    C.ne(1, name="mine"),
    C.gt(0, raise_warning=True),
    C.le(1, n_failure_cases=1),
]
FRAME_CHECKS = [
    C(greater_than_a),
    C(raises),
    C(says_no),
    C.ge(0),
    C(lambda data: data.lazyframe.select(pl.col("a", "b").is_null())),
]


@st.composite
def schemas(draw: Any) -> tuple[pl.DataFrame, pa.DataFrameSchema]:
    height = draw(st.integers(0, 5))
    names = draw(st.lists(st.sampled_from(NAMES[:5]), unique=True, min_size=1, max_size=4))
    types = {name: draw(st.sampled_from(list(FEW))) for name in names}
    frame = pl.DataFrame(
        {
            n: pl.Series(
                draw(st.lists(st.sampled_from(FEW[t]), min_size=height, max_size=height)), dtype=t
            )
            for n, t in types.items()
        }
    )
    declared = draw(
        st.lists(
            st.sampled_from([*NAMES, "t_.*", "[ab]", "t_[12]", "t_1|b", "^t_.$"]),
            unique=True,
            min_size=1,
            max_size=4,
        )
    )
    columns = {}
    for name in declared:
        regex = (not name.replace("_", "").isalnum() and name != "t.x") or name == "t_.*"
        columns[name] = pa.Column(
            draw(st.sampled_from([None, None, int, str, types.get(name)])),
            draw(st.lists(st.sampled_from(CUSTOM), max_size=2)),
            nullable=draw(st.booleans()),
            unique=draw(st.sampled_from([False, False, True])),
            required=draw(st.booleans()),
            regex=regex,
        )
    unique = draw(st.sampled_from([None, None, ["a", "b"], ["a"], [["a", "b"], ["t_1"]]]))
    checks = draw(st.lists(st.sampled_from(FRAME_CHECKS), max_size=1))
    strict, ordered = draw(st.booleans()), draw(st.booleans())
    return frame, pa.DataFrameSchema(
        columns, checks=checks, unique=unique, strict=strict, ordered=ordered
    )


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=schemas())
def test_any_schema(
    engine: DuckDB, file: Path, case: tuple[pl.DataFrame, pa.DataFrameSchema]
) -> None:
    """The verdict on a whole schema is pandera's: patterns of names, order, sets of unique columns, checks of one's own."""
    frame, schema = case
    file.unlink(missing_ok=True)
    types = stage(frame.lazy(), file, {})
    try:
        good = not pandera_says(schema, pl.read_parquet(file))
    except (
        Exception,
        pl.exceptions.PanicException,
    ):  # pandera falls over while it writes down what failed
        good = False
    read = read_apart(schema)
    for small in (0, with_duckdb.SMALL):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(with_duckdb, "SMALL", small)
            results = judged_file(engine, read, file, types)
        bad = {
            t: (str(r.status), r.how, r.message)
            for t, r in results.items()
            if r.status in {Status.FAILED, Status.ERROR}
        }
        assert (not bad) is good, (frame, told(schema), bad)


def told(schema: Any) -> list[Any]:
    columns = [
        (n, str(c.dtype), c.checks, f"{c.nullable=} {c.unique=} {c.required=} {c.regex=}")
        for n, c in schema.columns.items()
    ]
    return [columns, schema.checks, f"{schema.unique=} {schema.strict=} {schema.ordered=}"]


@pytest.mark.parametrize("dtype", list(VALUES), ids=str)
def test_an_empty_frame(engine: DuckDB, file: Path, dtype: Any) -> None:
    frame = pl.DataFrame({"c": pl.Series([], dtype=dtype)})
    every, place = list(every_check(dtype)), list(VALUES).index(dtype)
    some = (
        every if LARGE else every[place % EVERY_OF_NONE :: EVERY_OF_NONE]
    )  # pandera takes a while to say nothing
    for check in some:
        compare(
            engine, file, frame, pa.DataFrameSchema({"c": pa.Column(dtype, check, unique=True)})
        )


def test_most_of_it_is_compiled() -> None:
    """What is common is not left to pandera: the fallback is for odd types and the user's own code."""
    asked = compiled = 0
    for dtype in (
        pl.Int64,
        pl.Float64,
        pl.Decimal(12, 2),
        pl.String,
        pl.Date,
        pl.Datetime("us"),
        pl.Boolean,
    ):
        own = VALUES[dtype]
        checks = [make(own[1]) for make in SIMPLE] + [C.isin(own[1:3]), C.notin(own[1:3])]
        schema = read_schema(pa.DataFrameSchema({"c": pa.Column(dtype, checks, unique=True)}), HERE)
        for way in ways_of(product_of(schema), schema.columns).values():
            asked += type(way).__name__ == "Asked"
            compiled += type(way).__name__ != "Asked"
    assert (asked, compiled) == (0, 77)
