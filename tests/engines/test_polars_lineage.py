"""Column lineage of Polars functions, against what happens when values of a column change."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from assay.engines import polars_lineage
from assay.engines.empty_run import run_empty
from assay.engines.empty_values import noting_values
from assay.engines.make import DATA_FRAME, LAZY_FRAME, RELATION, TABLE, Recipe
from assay.model import Code, Column, Contract, Input, Kind, Product, Where
from assay.plan.flows import ROWS, How, TableFlows
from tests.engines.test_column_lineage import sources, spelled

COLUMNS = {
    "shop.t": {"a": "BIGINT", "b": "BIGINT", "k": "VARCHAR", "d": "DATE", "l": "BIGINT[]"},
    "shop.u": {"a": "BIGINT", "z": "BIGINT"},
}
DATA = {
    "t": pl.DataFrame(
        {
            "a": [1, 2, 2, 3, 5, 5],
            "b": [6, None, 4, 3, 1, 1],
            "k": ["x", "y", "x", None, "y", "x"],
            "d": [date(2024, 1, day) for day in (1, 2, 2, 5, 9, 9)],
            "l": [[1, 2], [], [3], None, [4, 4], [5]],
        },
        schema_overrides={"l": pl.List(pl.Int64)},
    ),
    "u": pl.DataFrame({"a": [1, 2, 4, 5], "z": [7, 8, None, 1]}),
}
Frame = pl.LazyFrame
c = pl.col


def product(*names: str) -> Product:
    return Product(
        name="shop.p",
        where=Where("shop.py", 1),
        kind=Kind.FUNCTION,
        code=Code(digest=""),
        contract=Contract(digest=""),
        owner="o",
        inputs=tuple(Input(alias=name, name=f"shop.{name}") for name in names),
    )


def flows(function: Callable[..., object], handover: str = LAZY_FRAME) -> TableFlows:
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    columns = {
        f"shop.{name}": [
            Column(name=column, type=type) for column, type in COLUMNS[f"shop.{name}"].items()
        ]
        for name in names
    }
    recipe = Recipe(function=function, handovers=dict.fromkeys(names, handover))
    with noting_values() as values:
        return run_empty(product(*names), recipe, columns, Path(__file__).parent, values).flows


CASES: dict[str, tuple[Callable[..., Frame], dict[str, str]]] = {
    "expressions": (
        lambda t: t.filter(c("b") > 1).select(
            "k", x=c("a") * 2, y=pl.when(c("a") > 1).then("b"), one=pl.lit(1)
        ),
        {
            "k": "t.k identity",
            "x": "t.a computed",
            "y": "t.a condition, t.b computed",
            "one": "",
            "rows": "t.b filter",
        },
    ),
    "groups": (
        lambda t: t.group_by("k").agg(
            c("a").sum(),
            n=pl.len(),
            m=c("b").filter(c("a") > 1).max(),
            f=c("b").sort_by("d").first(),
        ),
        {
            "k": "t.k identity",
            "a": "t.a aggregated",
            "n": "",
            "m": "t.a condition, t.b aggregated",
            "f": "t.b aggregated, t.d order",
            "rows": "t.k group",
        },
    ),
    "windows": (
        lambda t: t.select(s=c("a").sum().over("k"), r=c("a").cum_sum().over("k", order_by="d")),
        {
            "s": "t.a aggregated, t.k window",
            "r": "t.a computed, t.d window, t.k window",
            "rows": "",
        },
    ),
    "an inner join": (
        lambda t, u: t.join(u, on="a").select("b", "z"),
        {"b": "t.b identity", "z": "u.z identity", "rows": "t.a join, u.a join"},
    ),
    # At most one row for each key: the join decides that column, not the rows.
    "a left join with totals": (
        lambda t, u: t.join(u.group_by("a").agg(c("z").sum()), on="a", how="left").select("b", "z"),
        {"b": "t.b identity", "z": "t.a join, u.a condition+join, u.z aggregated", "rows": ""},
    ),
    "a left join": (
        lambda t, u: t.join(u, on="a", how="left").select("b", "z"),
        {"b": "t.b identity", "z": "u.z identity", "rows": "t.a join, u.a join"},
    ),
    "a full join": (
        lambda t, u: t.join(u, on="a", how="full", coalesce=True).select("a", "z"),
        {
            "a": "t.a identity, u.a identity",
            "z": "u.z identity",
            "rows": "t.a join, u.a join",
        },
    ),
    "an anti join": (
        lambda t, u: t.join(u, on="a", how="anti").select("k"),
        {"k": "t.k identity", "rows": "t.a join, u.a join"},
    ),
    "a join by time": (
        lambda t, u: t.sort("a").join_asof(u.sort("a"), on="a").select("b", "z"),
        {
            "b": "t.b identity",
            "z": "t.a join, u.a join, u.z identity",
            "rows": "t.a order, u.a order",
        },
    ),
    "a join on a condition": (
        lambda t, u: t.join_where(u, c("b") > c("z")).select("k", "z"),
        {"k": "t.k identity", "z": "u.z identity", "rows": "t.b filter, u.z filter"},
    ),
    "names that both sides have": (
        lambda t, u: t.rename({"b": "z"}).join(u, on="a").select("z", "z_right"),
        {"z": "t.b identity", "z_right": "u.z identity", "rows": "t.a join, u.a join"},
    ),
    "rows of several": (
        lambda t, u: pl.concat([t.select("a", "b"), u], how="diagonal"),
        {"a": "t.a identity, u.a identity", "b": "t.b identity", "z": "u.z identity", "rows": ""},
    ),
    "first rows": (
        lambda t: t.sort("b").head(2).select("a"),
        {"a": "t.a identity", "rows": "t.b order"},
    ),
    "distinct rows": (
        lambda t: t.unique(["k"], keep="first", maintain_order=True).select("a"),
        {"a": "t.a identity", "rows": "t.k group"},
    ),
    "columns to rows": (
        lambda t: t.unpivot(index="k", on=["a", "b"], variable_name="n", value_name="v").drop_nulls(
            "v"
        ),
        {
            "k": "t.k identity",
            "n": "",
            "v": "t.a computed, t.b computed",
            "rows": "t.a filter, t.b filter",
        },
    ),
    "rows to columns": (
        lambda t: t.group_by("d").agg(
            x=c("a").filter(c("k") == "x").sum(), y=c("a").filter(c("k") == "y").sum()
        ),
        {
            "d": "t.d identity",
            "x": "t.a aggregated, t.k condition",
            "y": "t.a aggregated, t.k condition",
            "rows": "t.d group",
        },
    ),
    "lists": (
        lambda t: t.select("a", "l").explode("l"),
        {"a": "t.a identity", "l": "t.l computed", "rows": "t.l unnest"},
    ),
    "by month": (
        lambda t: t.sort("d").group_by_dynamic("d", every="1mo").agg(c("a").sum()),
        {"d": "t.d computed", "a": "t.a aggregated", "rows": "t.d group+order"},
    ),
    "fields": (
        lambda t: t.select(s=pl.struct("a", "b")).unnest("s"),
        {"a": "t.a computed, t.b computed", "b": "t.a computed, t.b computed", "rows": ""},
    ),
    "values that are left out": (
        lambda t: t.select(c("a").filter(c("b") > 1)),
        {"a": "t.a computed, t.b condition", "rows": "t.b filter"},
    ),
    "SQL in Polars": (
        lambda t, u: pl.SQLContext(t=t, u=u).execute(
            "select t.k, max(u.z) as z from t join u using (a) group by t.k"
        ),
        {
            "k": "t.k identity",
            "z": "u.z aggregated",
            "rows": "t.a join, t.k group, u.a join",
        },
    ),
    "a table of its own": (
        lambda t: t.join(pl.LazyFrame({"a": [1, 5], "q": [2, 3]}), on="a").select("k", "q"),
        {"k": "t.k identity", "q": "", "rows": "t.a join"},
    ),
    "a value by Python": (
        lambda t: t.select("k", x=c("a").map_elements(hash, return_dtype=pl.Int64)),
        {"k": "t.k identity", "x": "t.a unknown", "rows": ""},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_columns_are_made_of(name: str) -> None:
    function, expected = CASES[name]
    traced = flows(function)
    assert not traced.unknown
    made_of = {column.name: spelled(column.flows) for column in traced.columns}
    assert {**made_of, "rows": spelled(traced.rows)} == expected
    assert bool(traced.partly) == ("Python" in name)


@pytest.mark.parametrize("name", CASES)
def test_other_columns_change_nothing(name: str) -> None:
    """Change the values of each column: a column of the result changes only if it is made of that."""
    function, _ = CASES[name]
    traced = flows(function)
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    before = answer(function, {name: DATA[name] for name in names})
    for table in names:
        for column in DATA[table].columns:
            for change in CHANGES:
                other = DATA[table].with_columns(change(c(column)))
                after = answer(function, {**{n: DATA[n] for n in names}, table: other})
                for result, values in after.items():
                    made_of = traced.column(result)
                    assert made_of is not None
                    allowed = sources(made_of.flows) | sources(traced.rows)
                    assert values == before[result] or column in allowed, (result, column)


CHANGES = (pl.Expr.reverse, pl.Expr.first, pl.Expr.last)


def answer(function: Callable[..., Frame], data: dict[str, pl.DataFrame]) -> dict[str, list[str]]:
    """Return the values of each column of a result, sorted, as texts."""
    result = function(**{name: frame.lazy() for name, frame in data.items()}).collect()
    return {name: sorted(map(str, result[name].to_list())) for name in result.columns}


def test_a_function_of_rows_may_use_all() -> None:
    traced = flows(lambda t: t.select("a", "b").map_batches(lambda frame: frame))
    assert spelled(traced.columns[0].flows) == "t.a unknown, t.b unknown"
    assert "Python function on its rows" in traced.partly
    grouped = flows(lambda t: t.group_by("k").map_groups(lambda frame: frame, schema=None))
    assert "Python function on its rows" in grouped.partly


def test_what_reads_its_inputs_shows_no_plan() -> None:
    collected = flows(lambda t: t.collect().lazy())
    assert collected.unknown == "its function collects a table while it runs, which shows no plan"
    assert [column.name for column in collected.columns] == list(COLUMNS["shop.t"])
    eager = flows(lambda t: t.select("a"), DATA_FRAME)
    assert (eager.unknown, eager.columns[0].type) == (
        "its function takes an input as a polars.DataFrame, which shows no plan",
        "BIGINT",
    )
    assert "pyarrow.Table" in flows(lambda t: t, TABLE).unknown


def test_a_function_that_fails_without_rows_says_so() -> None:
    assert flows(lambda t: 1 / 0).unknown == (
        "its function, run without rows, raised ZeroDivisionError: division by zero"
    )
    assert flows(lambda t: 5).unknown == "its function returned int"
    assert "unable to find column" in flows(lambda t: t.select("nosuch")).unknown


def test_a_relation_of_duckdb_is_its_query() -> None:
    joined = flows(
        lambda t, u: t.filter("b > 1").join(u, "a").aggregate("k, sum(z)::bigint as z"), RELATION
    )
    assert [spelled(column.flows) for column in joined.columns] == [
        "t.k identity",
        "u.z aggregated",
    ]
    assert spelled(joined.rows) == "t.a join, t.b filter, t.k group, u.a join"


def test_a_plan_of_another_version_is_asked_for_its_columns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What Polars asks for is no more than a column may depend on; a join shows less than that."""
    monkeypatch.setattr(polars_lineage, "VISITOR", -1)
    traced = flows(lambda t: t.filter(c("b") > 1).select("k", x=c("a") * 2))
    assert "shows its plans in another way" in traced.partly
    assert [spelled(column.flows) for column in traced.columns] == [
        "t.b unknown, t.k unknown",
        "t.a unknown, t.b unknown",
    ]
    assert "shows its plans in another way" in flows(lambda t, u: t.join(u, on="a")).unknown


def test_which_rows_a_function_takes() -> None:
    traced = flows(lambda t, u: t.select("a").with_columns(n=pl.lit(1)))
    assert [(flow.of, flow.how) for flow in traced.rows if flow.column == ROWS] == [
        ("shop.t", (How.ROWS,))
    ]
