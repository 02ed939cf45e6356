"""Products of every kind are built from given inputs, by the code of a run, and nothing else is touched."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from assay.declare.project import open_project
from assay.errors import UsageError
from assay.testing.trial import Trial
from assay.testing.tried import Tried
from tests.conftest import Place

DECLARED = """
from datetime import date
import duckdb, pyarrow
from assay import history_of

orders = source.files(
    "orders/{shop}/{day:date}.csv",
    columns={"id": "bigint", "amount": "decimal(18,2)", "at": "timestamp", "kind": pl.Enum(["a", "b"])},
    null_values=["-"],
)
letter = source.file("letter.txt")
far_away = source.files("far/*.parquet", columns={"at": pl.Datetime("ns")})
sql_product("far", "from far_away", owner="ann")

class Orders(pa.DataFrameModel):
    id: int = pa.Field(unique=True)
    amount: float = pa.Field(ge=0)

@product(owner="ann", contract=Orders)
def polars_rows(orders: pl.LazyFrame) -> pl.LazyFrame:
    return orders.select("id", pl.col("amount").cast(pl.Float64))

@product(owner="ann", each="orders")
def each_order(orders: pl.LazyFrame) -> pl.LazyFrame:
    return orders.select("shop", "day", "id", "kind")

@product(owner="ann", each="follows")
def again(follows: pl.LazyFrame) -> pl.LazyFrame:
    return follows

@product(owner="ann")
def python_rows(numbers: pl.DataFrame) -> pl.DataFrame:
    return pl.DataFrame([{"x": row["x"], "square": row["x"] ** 2} for row in numbers.to_dicts()], schema={"x": pl.Int64, "square": pl.Int64})

@product(owner="ann")
def relation_rows(numbers: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    return numbers.aggregate("sum(x)::bigint as total")

@product(owner="ann")
def arrow_rows(numbers: pyarrow.Table) -> pyarrow.Table:
    return numbers

@product(owner="ann", file="note.txt")
def note(polars_rows: pl.DataFrame, letter: Path) -> str:
    return f"{letter.read_text()} {polars_rows.height}"

@product(owner="ann", file="copy.txt")
def copied(note: Path, to: Path) -> None:
    to.write_bytes(note.read_bytes())

sql_product("by_shop", "select shop, day, sum(amount) as amount, count(*) as n from orders group by all", owner="ann", partition_by="day",
    rules=[rule.sql("no shop sells less than nothing", "from this where amount < 0")])

@product(owner="ann", each="by_shop", on_failed_part="hold_part", rules=[
    rule.sql("does not halve", "select t.shop, t.amount from this t join previous p using (shop) where t.amount < p.amount / 2"),
    rule.check("amount is small", "amount < 100"),
    rule.sql("has a square", "select t.shop from this t left join python_rows p on p.x = t.n where p.x is null"),
])
def follows(by_shop: pl.LazyFrame) -> pl.LazyFrame:
    return by_shop

sql_product("reads_parts", "select sum(amount)::bigint as amount from follows", owner="ann")

@product(owner="ann", changes_with="day")
def dated(numbers: pl.LazyFrame, today: date) -> pl.LazyFrame:
    return numbers.with_columns(pl.lit(today).alias("day"))

sql_product("ages", "select x, current_date - date '2011-12-01' as age from numbers", owner="ann", changes_with="day")

sql_product("settled", "select x::date as day, 1 as n from (select unnest(range(x)) as i, date '2011-12-01' + i::int as x from numbers)", owner="ann", event_time="day",
    rules=[rule.closed("day", before="start of month")])

sql_product("sorted_out", "select x from numbers", owner="ann", rules=[
    rule.check("x is positive", "x > 0", on_failure="quarantine", fail_above="90 %")])

sql_product("from_aside", "select count(*) as n from sorted_out__quarantine", owner="ann")

@product(owner="ann")
def fails(numbers: pl.DataFrame) -> pl.DataFrame:
    raise ValueError(f"no {numbers.height} of these")

@product(owner="ann")
def exits(numbers: pl.DataFrame) -> pl.DataFrame:
    raise SystemExit(0)

@product(owner="ann")
def nothing(numbers: pl.DataFrame) -> pl.DataFrame:
    return None

@product(owner="ann", isolate=True)
def apart(numbers: pl.LazyFrame) -> pl.LazyFrame:
    import os
    return numbers.with_columns(pl.lit(os.getpid()).alias("pid"))

sql_product("added", "from previous union all by name from numbers where x > 0", owner="ann",
    contract=pa.DataFrameSchema({"x": pa.Column(int)}))
history = history_of("numbers", key="x", valid=("since", "until"), owner="ann")
sql_product("secret", "select x as email from numbers", owner="ann", contract=type("S", (pa.DataFrameModel,), {"__annotations__": {"email": int}, "email": pa.Field(lt=0, metadata={"sensitive": True})}))
"""
ORDERS = """
shop, day, id, amount, at, kind
london, 2011-12-08, 1, 2.50, 2011-12-08 09:00, a
a/b %, 2011-12-08, 2, 1.25, 2011-12-08 10:00, b
london, 2011-12-09, 3, 4, , a
"""
Try = Callable[..., Tried]


@pytest.fixture
def attempt(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Try:
    place.write("products/sales.py", DECLARED, header=True)
    project = open_project(place.root)

    def attempt(product: str, **arguments: Any) -> Tried:
        moment = arguments.pop("now", None)
        return Trial(
            product=f"sales.{product}",
            now=datetime.fromisoformat(moment) if moment else None,
            previous=arguments.pop("previous", None),
            previous_at=arguments.pop("previous_at", None),
            folder=place.root,
            inputs=arguments,
        ).build(project, tmp_path_factory.mktemp("trial"))

    return attempt


def rows(tried: Tried) -> list[tuple[Any, ...]]:
    assert not tried.error, tried.error
    assert tried.frame is not None
    return sorted(tried.frame.rows())


def test_functions_and_queries(attempt: Try) -> None:
    assert rows(attempt("polars_rows", orders=ORDERS)) == [(1, 2.5), (2, 1.25), (3, 4.0)]
    assert rows(attempt("python_rows", numbers=[{"x": 3}])) == [(3, 9)]
    assert rows(attempt("relation_rows", numbers=[{"x": 3}, {"x": 3}])) == [(6,)]
    assert rows(attempt("arrow_rows", numbers=pl.DataFrame({"x": [1]}))) == [(1,)]
    assert rows(attempt("python_rows", numbers=[])) == []
    assert rows(attempt("polars_rows", orders=[])) == []
    each = attempt("each_order", orders=ORDERS)
    assert rows(each) == [
        ("a/b %", date(2011, 12, 8), 2, "b"),
        ("london", date(2011, 12, 8), 1, "a"),
        ("london", date(2011, 12, 9), 3, "a"),
    ]
    assert each.parts == ("a%2Fb %25/2011-12-08", "london/2011-12-08", "london/2011-12-09")
    by_shop = attempt("by_shop", orders=ORDERS)
    assert rows(by_shop) == [
        ("a/b %", date(2011, 12, 8), Decimal("1.25"), 1),
        ("london", date(2011, 12, 8), Decimal("2.50"), 1),
        ("london", date(2011, 12, 9), Decimal("4.00"), 1),
    ]
    assert by_shop.parts == ("2011-12-08", "2011-12-09")


def test_files_of_sources_are_read_as_declared(place: Place, attempt: Try) -> None:
    place.write("given/orders/paris/2011-12-08.csv", "id,amount,at,kind\n1,-,,a\n")
    tried = attempt("by_shop", orders="given/orders/paris/2011-12-08.csv")
    assert rows(tried) == [("paris", date(2011, 12, 8), None, 1)]
    place.write("given/plain.csv", "id,amount,at,kind\n1,-,,a\n")
    with pytest.raises(UsageError, match="does not say its shop, day"):
        attempt("by_shop", orders="given/plain.csv")
    place.write("given/orders/paris/2011-12-09.csv", "id,amount,at,kind\nx,1,,a\n")
    tried = attempt("by_shop", orders="given/orders/paris/2011-12-09.csv")
    assert "2011-12-09.csv" in tried.error


def test_products_that_are_files(place: Place, attempt: Try) -> None:
    place.write("letter.txt", "Dear")
    tried = attempt("note", polars_rows="id, amount\n1, 1\n", letter="letter.txt")
    assert tried.path is not None
    assert tried.path.read_text() == "Dear 1"
    assert attempt("copied", note=Path("letter.txt")).path.read_text() == "Dear"
    with pytest.raises(UsageError, match=r"sales\.letter is a file: give the path"):
        attempt("note", polars_rows=[], letter=[])


@pytest.mark.long
def test_products_in_parts_and_what_was_published_before(attempt: Try) -> None:
    given = "shop, day, amount, n\na, 2011-12-08, 1, 1\nb, 2011-12-09, 9, 2\n"
    before = "shop, day, amount, n\na, 2011-12-08, 4, 1\nb, 2011-12-09, 9, 2\n"
    tried = attempt("follows", by_shop=given, previous=before)
    assert tried.held_by == ("does not halve",)
    assert tried.found_by("does not halve").rows() == [("a", Decimal("1.00"))]
    assert tried.skipped == {"has a square": "sales.python_rows"}
    assert [row[2] for row in rows(tried)] == [Decimal("1.00"), Decimal("9.00")]
    # A part that fails is held back on its own: the earlier part stays.
    day, other = date(2011, 12, 8), date(2011, 12, 9)
    before = pl.DataFrame(
        {"shop": ["a", "b"], "day": [day, other], "amount": [4, 9], "n": [1, 2]},
        schema_overrides={"amount": pl.Decimal(38, 2)},
    )
    tried = attempt("follows", by_shop=given.replace("9, 2", "900, 2"), previous=before)
    assert tried.held_by == ("does not halve", "amount is small")
    assert [row[2] for row in rows(tried)] == [Decimal("1.00"), Decimal("900.00")]
    tried = attempt("follows", by_shop=given.replace("8, 1, 1", "8, 400, 1"), previous=before)
    assert tried.held_by == ("amount is small",)
    assert [row[2] for row in rows(tried)] == [Decimal("4.00"), Decimal("9.00")]
    assert tried.parts == ("2011-12-08", "2011-12-09")
    tried = attempt("follows", by_shop=given, python_rows="x, square\n1, 1\n")
    assert tried.held_by == ("has a square",)
    assert tried.found_by("has a square").rows() == [("b",)]
    assert rows(attempt("reads_parts", follows=given)) == [(10,)]
    with pytest.raises(UsageError, match="each part has rows"):
        attempt("again", follows="day, amount\n")
    again = attempt("again", follows=given)
    assert again.parts == ("2011-12-08", "2011-12-09")
    assert len(rows(again)) == 2
    # Where nothing follows the parts, rows need not say theirs, and there may be none.
    assert rows(attempt("reads_parts", follows="amount\n1\n2\n")) == [(3,)]


def test_time_is_the_moment_of_the_test(attempt: Try) -> None:
    moment = "2011-12-09T07:00:00"
    assert rows(attempt("dated", numbers=[{"x": 1}], now=moment)) == [(1, date(2011, 12, 9))]
    assert rows(attempt("ages", numbers=[{"x": 1}], now=moment)) == [(1, 8)]
    with pytest.raises(UsageError, match=r"sales\.dated depends on the current time"):
        attempt("dated", numbers=[])


def test_settled_rows(attempt: Try) -> None:
    days = [{"day": date(2011, 12, d), "n": 1} for d in (1, 2, 3)]
    december, january = "2011-12-09T07:00:00", "2012-01-09T07:00:00"
    assert attempt("settled", numbers=[{"x": 2}], previous=days, now=december).held_by == ()
    held = attempt("settled", numbers=[{"x": 2}], previous=days, now=january)
    assert len(held.held_by) == 1
    early = datetime(2011, 12, 5, tzinfo=UTC)
    new = attempt("settled", numbers=[{"x": 4}], previous=days, previous_at=early, now=january)
    assert new.held_by == ()  # the row is of a period that was open then
    with pytest.raises(UsageError, match="previous_at should be before now"):
        attempt("settled", numbers=[], previous=days, previous_at=datetime(2013, 1, 1), now=january)


def test_rows_that_are_set_aside(attempt: Try) -> None:
    tried = attempt("sorted_out", numbers=[{"x": 1}, {"x": 0}, {"x": None}])
    assert sorted(map(str, tried.frame["x"])) == ["1", "None"]
    assert tried.aside["x"].to_list() == [0]
    assert tried.held_by == ()
    aside = [{"x": 0, "broke": ["x is positive"]}]
    assert rows(attempt("from_aside", sorted_out__quarantine=aside)) == [(1,)]
    with pytest.raises(UsageError, match=r"Test sales\.sorted_out instead"):
        attempt("sorted_out__quarantine")


def test_a_product_that_fails_or_runs_apart(attempt: Try) -> None:
    tried = attempt("fails", numbers=[{"x": 1}])
    assert "ValueError: no 1 of these" in tried.error
    assert "products/sales.py:" in tried.error
    assert tried.frame is None
    assert attempt("apart", numbers=[{"x": 1}]).frame["pid"].to_list() != []


def test_values_of_a_test_are_not_hidden(attempt: Try) -> None:
    tried = attempt("secret", numbers=[{"x": 7}])
    assert len(tried.held_by) == 1
    assert tried.found_by(tried.held_by[0]).rows() == [(7,)]


@pytest.mark.parametrize(
    ("product", "inputs", "why"),
    [
        ("python_rows", {}, "sales.python_rows reads sales.numbers: not given"),
        ("python_rows", {"numbres": []}, "does not read 'numbres'\n  Did you mean"),
        ("python_rows", {"numbers": [], "sales.numbers": []}, "given twice"),
        ("python_rows", {"numbers": [], "previous": []}, "`previous` is given beside"),
        ("python_rows", {"numbers": [{"y": 1}]}, "sales.numbers: it has no column 'y'"),
        ("python_rows", {"numbers": "x\nabc\n2.5\n"}, "row 1, x: 'abc' is no BIGINT"),
        ("python_rows", {"numbers": 7}, "sales.numbers: rows should be a list"),
        ("python_rows", {"numbers": "gone.csv"}, "sales.numbers: there is no file"),
        ("polars_rows", {"orders": ORDERS.replace("shop,", "ship,")}, "no column 'ship'"),
        ("each_order", {"orders": [{"id": 1, "day": "2011-12-08"}]}, "column 'shop'"),
        ("polars_rows", {"orders": [{"shop": "a", "day": "2011-99-08"}]}, "day: '2011-99-08' is no DATE"),
        ("each_order", {"orders": []}, "each part has rows"),
        ("again", {"follows": "amount\n1\n"}, "'day'"),
        ("far", {"far_away": [{"at": "1500-01-01"}]}, "at: "),
        ("note", {"letter": "products/sales.py", "polars_rows": [{"id": "x"}]}, "row 1, id"),
    ],
)  # fmt: skip
def test_inputs_that_are_refused(attempt: Try, product: str, inputs: Any, why: str) -> None:
    previous = inputs.pop("previous", None)
    with pytest.raises(UsageError) as error:
        if previous is not None:
            inputs = {**inputs, "previous ": previous}
        attempt(product, **inputs)
    assert why in str(error.value) or "does not read 'previous '" in str(error.value)


def test_nothing_of_the_project_is_read_or_written(place: Place, attempt: Try) -> None:
    before = sorted(place.root.rglob("*"))
    attempt("by_shop", orders=ORDERS)
    after = [p for p in sorted(place.root.rglob("*")) if p.name != "__pycache__" and ".pyc" not in p.name]  # fmt: skip
    assert after == [p for p in before if p.name != "__pycache__" and ".pyc" not in p.name]
    assert not (place.root / ".products/catalog.db").exists()
    assert not (place.root / ".products/store").exists()


def test_moments_that_no_run_can_have(attempt: Try) -> None:
    for moment in (
        "0001-01-01T00:00:00+14:00",
        "0001-01-01",
        "9999-12-31T23:59:59-12:00",
        "1969-12-31",
    ):
        with pytest.raises(UsageError, match="no moment that a run can have"):
            attempt("dated", numbers=[], now=moment)
    assert rows(attempt("dated", numbers=[{"x": 1}], now="1970-01-01")) == [(1, date(1970, 1, 1))]
    assert rows(attempt("ages", numbers=[{"x": 1}], previous=[], now="9998-12-31")) != []


def test_folders_with_signs_of_globs_and_of_patterns(
    place: Place, attempt: Try, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = tmp_path / "a [b]*? {c} 'd' (e)+ %20 ü"
    odd.mkdir()
    monkeypatch.setenv("ASSAY_CATALOG", "postgresql://nobody@nowhere.invalid/none")
    project = open_project(place.root)
    for product in ("each_order", "by_shop", "polars_rows"):
        at = odd / product
        at.mkdir()
        trial = Trial(product=f"sales.{product}", inputs={"orders": ORDERS})
        assert len(rows(trial.build(project, at))) == 3


def test_code_that_ends_the_process_or_returns_nothing(place: Place, attempt: Try) -> None:
    assert "SystemExit" in attempt("exits", numbers=[]).error
    assert "returned NoneType" in attempt("nothing", numbers=[]).error


def test_code_goes_on_from_what_is_given_as_previous(attempt: Try) -> None:
    two, now, before = [{"x": 2}], "2024-01-02T00:00Z", datetime(2024, 1, 1, tzinfo=UTC)
    assert rows(attempt("added", numbers=two)) == [(2,)]
    assert rows(attempt("added", numbers=two, previous=[{"x": 1}])) == [(1,), (2,)]
    with pytest.raises(UsageError, match="depends on the current time"):
        attempt("history", numbers=two)
    opened = (2, datetime(2024, 1, 2, tzinfo=UTC), None)
    assert rows(attempt("history", numbers=two, now=now)) == [opened]
    previous = [{"x": 1, "since": before, "until": None}]
    closed = (1, before, opened[1])
    assert rows(attempt("history", numbers=two, previous=previous, now=now)) == [closed, opened]
