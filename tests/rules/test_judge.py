"""Judging: the same verdict as pandera's own, an answer for every rule, and nothing judged by accident or not at all."""

import datetime as dt
from pathlib import Path
from typing import Any

import pandera.polars as pa
import polars as pl
import pytest
from pandera.config import ValidationDepth, config_context
from pandera.errors import SchemaErrors

from assay.declare.contracts import schema_digest
from assay.declare.pycode import CodeDigest
from assay.engines.duckdb import DuckDB
from assay.engines.measure import measure
from assay.engines.polars import stage
from assay.facts import Status
from assay.model import Code, Contract, Input, Kind, Product, Rule, Where
from assay.rules import uniqueness
from assay.rules.early import EarlyChecks
from assay.rules.schema import NotASchema, read_schema
from tests.conftest import Place
from tests.judging import judged_file

HERE = Where("x.py", 1)
FRAME = pl.DataFrame(
    {
        "a": [1, 2, 30, -1, 1, 1],
        "b": ["x", None, "q", "y", "x", "x"],
        "f": [1.0, 2.0, 3.0, float("nan"), 9.0, None],
        "d": [dt.datetime(2020, 1, 1)] * 6,
        "t_1": [1, 2, 3, 4, 5, 6],
        "t_2": [1, 2, 3, 4, 5, -6],
    }
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made = DuckDB([Path("/")], tmp_path_factory.mktemp("spill"))
    yield made
    made.close()


@pytest.fixture
def judged(tmp_path: Path, engine: DuckDB) -> Any:
    """Return a function that judges a frame by a schema and returns the result of each rule by its text."""

    def judged(schema: Any, frame: pl.DataFrame) -> dict[str, Any]:
        file = tmp_path / "staged.parquet"
        types = stage(frame.lazy(), file, {})
        return judged_file(engine, read_schema(schema, HERE), file, types)

    return judged


def pandera_says(schema: Any, frame: pl.DataFrame) -> bool:
    with config_context(validation_enabled=True, validation_depth=ValidationDepth.SCHEMA_AND_DATA):
        try:
            schema.validate(frame, lazy=True)
        except SchemaErrors:
            return False
    return True


COLUMNS = {
    "type": (pa.Column(int), "a", True),
    "other type": (pa.Column(str), "a", False),
    "narrower type": (pa.Column(pl.Int32), "a", False),
    "null": (pa.Column(str), "b", False),
    "nullable": (pa.Column(str, nullable=True), "b", True),
    "nan is missing": (pa.Column(float), "f", False),
    "unique": (pa.Column(int, unique=True), "t_1", True),
    "not unique": (pa.Column(int, unique=True), "a", False),
    "ge": (pa.Column(int, pa.Check.ge(0)), "a", False),
    "in range": (pa.Column(int, pa.Check.in_range(-1, 30)), "a", True),
    "isin, null ignored": (
        pa.Column(str, pa.Check.isin(["x", "y", "q"]), nullable=True),
        "b",
        True,
    ),
    "isin": (pa.Column(str, pa.Check.isin(["x", "y"]), nullable=True), "b", False),
    "matches": (pa.Column(str, pa.Check.str_matches("^[xyq]$"), nullable=True), "b", True),
    "length": (pa.Column(str, pa.Check.str_length(1, 1), nullable=True), "b", True),
    "absent": (pa.Column(int), "zz", False),
    "absent, not required": (pa.Column(int, required=False), "zz", True),
    "custom on expressions": (
        pa.Column(int, pa.Check(lambda d: d.lazyframe.select(pl.col(d.key) > 0))),
        "a",
        False,
    ),
    "element-wise": (pa.Column(int, pa.Check(lambda v: v > -2, element_wise=True)), "a", True),
    "element-wise, failing": (
        pa.Column(int, pa.Check(lambda v: v > 0, element_wise=True)),
        "a",
        False,
    ),
    "one answer for the column": (pa.Column(int, pa.Check(lambda d: False)), "a", False),
    "one good answer": (pa.Column(int, pa.Check(lambda d: True)), "a", True),
    "a check that looks at other columns": (
        pa.Column(int, pa.Check(lambda d: d.lazyframe.select(pl.col("a") < pl.col("t_1") + 99))),
        "a",
        True,
    ),
    "a check that looks at all columns": (
        pa.Column(
            int, pa.Check(lambda d: d.lazyframe.select(pl.all_horizontal(pl.col("t_1", "t_2") > 0)))
        ),
        "t_1",
        False,
    ),
    "an aggregate": (
        pa.Column(int, pa.Check(lambda d: d.lazyframe.select(pl.col(d.key).mean() > 100))),
        "a",
        False,
    ),
}


@pytest.mark.parametrize("case", COLUMNS)
def test_a_column_is_judged_as_pandera_judges_it(judged: Any, case: str) -> None:
    column, name, good = COLUMNS[case]
    schema = pa.DataFrameSchema({name: column})
    assert pandera_says(schema, FRAME) is good
    results = judged(schema, FRAME)
    assert any(r.status in {Status.FAILED, Status.ERROR} for r in results.values()) is not good, (
        results
    )


def frame_check(data: Any) -> Any:
    return data.lazyframe.select(pl.col("a") < 10)


FRAMES = {
    "strict": (pa.DataFrameSchema({"a": pa.Column(int)}, strict=True), False),
    "strict and all there": (
        pa.DataFrameSchema({n: pa.Column(nullable=True) for n in FRAME.columns}, strict=True),
        True,
    ),
    "ordered": (
        pa.DataFrameSchema(
            {"a": pa.Column(int), "d": pa.Column(pl.Datetime), "b": pa.Column(str, nullable=True)},
            ordered=True,
        ),
        False,
    ),
    "unique together": (
        pa.DataFrameSchema(
            {"a": pa.Column(int), "b": pa.Column(str, nullable=True)}, unique=["a", "b"]
        ),
        False,
    ),
    "frame check": (
        pa.DataFrameSchema({"a": pa.Column(int)}, checks=[pa.Check(frame_check)]),
        False,
    ),
    "regex columns": (
        pa.DataFrameSchema({"t_.*": pa.Column(int, pa.Check.ge(0), regex=True)}),
        False,
    ),
    "regex columns, good": (
        pa.DataFrameSchema({"t_.*": pa.Column(int, pa.Check.ge(-9), regex=True)}),
        True,
    ),
    "regex of no column": (pa.DataFrameSchema({"u_.*": pa.Column(int, regex=True)}), False),
    "strict with regex": (
        pa.DataFrameSchema(
            {"[a-z]": pa.Column(nullable=True, regex=True), "t_.*": pa.Column(int, regex=True)},
            strict=True,
        ),
        True,
    ),
    "a type for all columns": (
        pa.DataFrameSchema({"a": pa.Column(), "t_1": pa.Column(int)}, dtype=str),
        False,
    ),
    "a name that is a pattern too": (
        pa.DataFrameSchema({"t.1": pa.Column(int, pa.Check.ge(2), regex=True)}),
        False,
    ),
    "a check by groups": (
        pa.DataFrameSchema(
            {
                "a": pa.Column(int, pa.Check(lambda d: True, groupby="b")),
                "b": pa.Column(str, nullable=True),
            }
        ),
        True,
    ),
}


@pytest.mark.parametrize("case", FRAMES)
def test_a_frame_is_judged_as_pandera_judges_it(judged: Any, case: str) -> None:
    schema, good = FRAMES[case]
    assert pandera_says(schema, FRAME) is good
    results = judged(schema, FRAME)
    assert any(r.status in {Status.FAILED, Status.ERROR} for r in results.values()) is not good, (
        results
    )


class Numbers(pa.DataFrameModel):
    a: int = pa.Field(ge=0, unique=True)
    b: str = pa.Field(isin=["x", "y"])
    f: float = pa.Field(lt=5, raise_warning=True, nullable=True)
    missing: int

    class Config:
        strict = True

    @pa.check("a")
    def odd(cls, data):
        return data.lazyframe.select(pl.col(data.key) % 2 == 1)

    @pa.check("b")
    def boom(cls, data):
        raise RuntimeError("out of luck")

    @pa.dataframe_check
    def no_such_column(cls, data):
        return data.lazyframe.select(pl.col("nowhere") > 0)


def test_every_rule_has_an_answer_whatever_becomes_of_the_others(judged: Any) -> None:
    results = judged(Numbers, FRAME)
    assert {text: (str(r.status), r.failing) for text, r in results.items()} == {
        "a: type BIGINT": ("passed", None),
        "a is never missing": ("passed", 0),
        "a is unique": ("failed", 3),
        "a is at least 0": ("failed", 1),
        "a: odd": ("failed", 2),
        "b: type VARCHAR": ("passed", None),
        "b is never missing": ("failed", 1),
        "b is one of x, y": ("failed", 1),
        "b: boom": ("error", None),
        "f: type DOUBLE": ("passed", None),
        "f is below 5": ("warning", 2),
        "missing: type BIGINT": ("failed", None),
        "missing is never missing": ("skipped", None),
        "there are no other columns": ("failed", None),
        "no such column": ("error", None),
    }
    assert "out of luck" in results["b: boom"].message
    assert [s["a"] for s in results["a is unique"].samples] == [1], "alike rows are shown once"
    assert [s["b"] for s in results["b is one of x, y"].samples] == ["q"]


def test_at_most_five_rows_are_shown_and_all_are_counted(judged: Any) -> None:
    frame = pl.DataFrame({"a": list(range(-100, 0))})
    [result] = [
        r
        for r in judged(pa.DataFrameSchema({"a": pa.Column(int, pa.Check.ge(0))}), frame).values()
        if r.failing
    ]
    assert (result.failing, len(result.samples)) == (100, 5)
    assert result.samples[0] == {"a": -100}


def test_an_answer_about_no_row_shows_no_row(judged: Any) -> None:
    column = pa.Column(
        int, pa.Check(lambda d: d.lazyframe.select(pl.col(d.key).mean() > 100), name="mean")
    )
    result = judged(pa.DataFrameSchema({"a": column}), FRAME)["a: mean"]
    assert (result.status, result.failing, result.samples) == (Status.FAILED, None, ())
    assert result.message == "the check says no to the whole column"


def test_a_column_may_be_called_row(judged: Any) -> None:
    frame = pl.DataFrame({"row": [1, -1], "_row": [1, 1]})
    result = judged(pa.DataFrameSchema({"row": pa.Column(int, pa.Check.ge(0))}), frame)[
        "row is at least 0"
    ]
    assert result.samples == ({"row": -1, "_row": 1},), "without a key, the first columns"


def test_judging_cannot_be_switched_off(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANDERA_VALIDATION_ENABLED", "False")
    monkeypatch.setenv("PANDERA_VALIDATION_DEPTH", "SCHEMA_ONLY")
    place.write(
        "products/sales.py",
        "@product(owner='o', contract=pa.DataFrameSchema({'x': pa.Column(int, pa.Check.ge(2))}))\ndef p(numbers): return numbers",
        header=True,
    )
    ran = place.spawn("materialize")
    assert ran.code == 3
    assert "x is at least 2: 1 row" in ran.out


def test_types_are_judged_as_stored_and_nothing_is_coerced(place: Place) -> None:
    place.write(
        "products/sales.py",
        "@product(owner='o', contract=pa.DataFrameSchema({'x': pa.Column(str, coerce=True)}))\ndef p(numbers): return numbers",
        header=True,
    )
    told = place.materialize()["sales.p"]
    assert told["result"] == "held back"
    assert told["rules"][0]["text"] == "x: type VARCHAR"


CHANGING = {
    "drop_invalid_rows": pa.DataFrameSchema({"a": pa.Column(int)}, drop_invalid_rows=True),
    "add_missing_columns": pa.DataFrameSchema(
        {"a": pa.Column(int, default=1)}, add_missing_columns=True
    ),
    "strict='filter'": pa.DataFrameSchema({"a": pa.Column(int)}, strict="filter"),
    "a default for a": pa.DataFrameSchema({"a": pa.Column(int, default=1)}),
}


@pytest.mark.parametrize("what", CHANGING)
def test_a_schema_that_changes_data_is_refused(what: str) -> None:
    with pytest.raises(NotASchema, match="changes data"):
        read_schema(CHANGING[what], HERE)


def test_a_digest_follows_what_is_demanded() -> None:
    def of(schema: Any) -> str:
        return schema_digest(read_schema(schema, HERE), CodeDigest(tree_of=lambda file: None))

    first = of(pa.DataFrameSchema({"a": pa.Column(int, pa.Check.ge(0))}))
    assert first == of(
        pa.DataFrameSchema({"a": pa.Column(int, pa.Check.ge(0), title="A", description="B")})
    )
    others = [
        pa.DataFrameSchema({"a": pa.Column(int, pa.Check.ge(1))}),
        pa.DataFrameSchema({"a": pa.Column(int, pa.Check.gt(0))}),
        pa.DataFrameSchema({"a": pa.Column(int, pa.Check.ge(0), nullable=True)}),
        pa.DataFrameSchema({"a": pa.Column(int, pa.Check.ge(0), unique=True)}),
        pa.DataFrameSchema({"a": pa.Column(int, pa.Check.ge(0), required=False)}),
        pa.DataFrameSchema({"a": pa.Column(pl.Int32, pa.Check.ge(0))}),
        pa.DataFrameSchema({"a": pa.Column(int, pa.Check.ge(0, raise_warning=True))}),
        pa.DataFrameSchema({"a": pa.Column(int, pa.Check.ge(0, ignore_na=False))}),
        pa.DataFrameSchema({"a": pa.Column(int, pa.Check.ge(0))}, strict=True),
        pa.DataFrameSchema({"b": pa.Column(int, pa.Check.ge(0))}),
    ]
    assert len({first, *map(of, others)}) == len(others) + 1


def test_rules_in_sql(place: Place) -> None:
    place.write(
        "products/sales.py",
        """
        sql_product("other", "select 2 as y", owner="o")
        sql_product("p", "from numbers", owner="o", rules=[
            rule.sql("warns", "select x from this where x > 1", severity="warning", because="b", dimension="accuracy", owner="r"),
            rule.sql("reads another", "select x, y from this, other where x > y + 5"),
            rule.sql("reads what was", "select 1 from this join previous using (x)"),
            rule.sql("ends in a comment", "select x from this where x > 99 -- why;"),
        ])
        """,
        header=True,
    )
    told = place.materialize()["sales.p"]
    assert (told["result"], told["verdict"], told["rule_count"]) == ("published", "warning", 4)
    [warned] = told["rules"]
    assert (warned["failing"], warned["because"], warned["dimension"], warned["owner"]) == (
        2,
        "b",
        "accuracy",
        "r",
    )
    assert sorted(s["x"] for s in warned["samples"]) == [2, 3]


@pytest.mark.parametrize("severity", ["error", "warning"])
def test_a_rule_that_cannot_be_judged_blocks(place: Place, severity: str) -> None:
    place.write(
        "products/sales.py",
        f"sql_product('p', 'from numbers', owner='o', rules=[rule.sql('r', 'select nope from this', severity='{severity}')])",
        header=True,
    )
    ran = place.run("materialize")
    assert ran.code == 3
    assert "1 of 1 rules could not be judged" in ran.out
    assert (
        "could not be judged: r: no column nope there; among others, there is x; `products check` shows the place"
        in ran.out
    )


def test_hostile_values_stay_text(place: Place) -> None:
    place.write(
        "products/sales.py",
        "sql_product('p', \"select chr(27) || '[31mred' || chr(8238) as x\", owner='o', rules=[rule.sql('r', 'from this')])",
        header=True,
    )
    for verb in (["materialize"], ["show", "p", "--held"], ["why", "p"]):
        ran = place.run(*verb)
        assert "\\x1b[31mred" in ran.out
        assert "\x1b" not in ran.out
        assert "\u202e" not in ran.out


@pytest.mark.parametrize(
    ("values", "apart"),
    [
        ([3, 1, 2], True),
        ([-5, 0, None, 7], True),
        ([1, 2, 1], False),
        ([1, None, None], False),
        ([0, 10**12], False),  # too far apart to tell
        ([None], False),
        ([2**63 - 1, 2**63 - 2, -(2**63)], False),
    ],
)
def test_a_bit_for_each_number_tells_whether_one_is_there_twice(
    values: list[int | None], apart: bool
) -> None:
    import duckdb

    rows = ", ".join(f"(({'null' if v is None else v})::bigint)" for v in values)
    table = f"from (values {rows}) t(x)"
    assert uniqueness._distinct_by_bitmap(duckdb.connect(), "x", table) is apart


def test_bits_that_find_no_room_tell_nothing() -> None:
    import duckdb

    table = "from (select i * 60 as x from range(12_000_000) t(i))"  # 90 MB of bits
    assert uniqueness._distinct_by_bitmap(duckdb.connect(), "x", table)
    assert not uniqueness._distinct_by_bitmap(
        duckdb.connect(config={"memory_limit": "40MB"}), "x", table
    )


def test_an_error_while_failing_rows_are_fetched_is_the_rules_own(place: Place) -> None:
    """They are counted without computing what cannot be computed."""
    place.write(
        "products/sales.py",
        """
        raw = source.files("drop/{day:date}.csv", columns={"k": "bigint", "v": "double"})
        sql_product("t", "select day, k, v from raw", owner="o", partition_by="day", rules=[rule.sql(
            "r", "select day, v, k::hugeint * 99999999999999999999 as huge from this where v > 100 or v = 5")])
        """,
        header=True,
    )
    for day, k in (("01", 1), ("02", 2), ("03", 3), ("04", 9_000_000_000_000_000_000)):
        place.write(f"drop/2011-11-{day}.csv", f"k,v\n{k},5\n")
    ran = place.run("materialize")
    assert ran.code == 3, ran
    assert "could not be judged: r: Out of Range Error" in ran.out
    assert place.run("history", "t", "--json").json[0]["verdict"] == "error"


def with_queries(*rules: tuple[str, str]) -> Product:
    this = (Input(alias="this", name="this"),)
    where = Where("x.py", 1)
    chosen = [Rule(text=text, where=where, sql=sql, inputs=this) for text, sql in rules]
    return Product(
        name="x.p",
        where=where,
        kind=Kind.SQL,
        code=Code(digest="d"),
        contract=Contract(digest="c", rules=tuple(chosen)),
        owner="o",
    )


def test_rules_are_checked_while_a_small_file_is_measured(tmp_path: Path) -> None:
    product = with_queries(
        ("none above", "from this where x > 5"),
        ("none at all", "from this"),
        ("no group of three", "select x from this group by x having count(*) > 2"),
    )
    engine, file = DuckDB([tmp_path], tmp_path / "spill"), tmp_path / "f.parquet"
    pl.DataFrame({"x": [1, 2, 2]}).write_parquet(file)
    early = EarlyChecks(product)
    assert early.measure(engine, file) == measure(engine, file)
    assert early.answers.keys() == {"none above", "no group of three"}
    for wrong in ("from nowhere", "from this where y > 1", "from this where error('no') is null"):
        early = EarlyChecks(with_queries(("none above", "from this where x > 5"), ("bad", wrong)))
        assert early.measure(engine, file) == measure(engine, file)
        assert not early.answers, "each is checked by itself, and says why"
    pl.DataFrame({"x": pl.int_range(100_000, eager=True).shuffle(seed=1)}).write_parquet(file)
    early = EarlyChecks(product)
    assert early.measure(engine, file) == measure(engine, file)
    assert not early.answers, "a large file is not kept in memory for the rules"
    engine.close()
