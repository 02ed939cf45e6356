"""Wide contracts and many rules: nothing grows faster than columns plus rules, and results are the same."""

from pathlib import Path
from typing import Any

import pandera.polars as pa
import polars as pl
import pytest

from assay.declare.rules import with_unique_texts
from assay.engines.duckdb import DuckDB
from assay.engines.polars import stage
from assay.facts import Status
from assay.model import Demand, Rule, Where
from assay.rules import samples, with_duckdb
from assay.rules.compile import Rows
from assay.rules.query_rules import QueryRules
from assay.rules.schema import read_schema
from assay.rules.with_queries import MOST_TOGETHER, none_fails
from tests.conftest import Place
from tests.judging import judged_file

HERE = Where("x.py", 1)
COLUMNS = 3 * with_duckdb.MOST_COLUMNS + 7


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made = DuckDB([Path("/")], tmp_path_factory.mktemp("spill"))
    yield made
    made.close()


def test_a_wide_contract_is_asked_in_batches(
    tmp_path: Path, engine: DuckDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, fused, by_lower, calls = [], with_duckdb.fused, samples.by_lower, []
    monkeypatch.setattr(
        with_duckdb, "fused", lambda ways, *a, **k: asked.append(len(ways)) or fused(ways, *a, **k)
    )
    monkeypatch.setattr(samples, "by_lower", lambda names: calls.append(1) or by_lower(names))
    frame = pl.DataFrame({f"c{n}": [1, 2, 100 if n % 10 == 3 else 3] for n in range(COLUMNS)})
    schema = pa.DataFrameSchema(
        {name: pa.Column(pl.Int64, pa.Check.in_range(0, 20)) for name in frame.columns}
    )
    types = stage(frame.lazy(), tmp_path / "staged.parquet", {})
    results = judged_file(engine, read_schema(schema, HERE), tmp_path / "staged.parquet", types)
    failed = [name for name, result in results.items() if result.status is Status.FAILED]
    assert len(failed) == len(range(3, COLUMNS, 10))
    assert all(results[name].failing == 1 for name in failed)
    assert (len(asked), len(calls)) == (4, 1)
    assert sum(asked) == 2 * COLUMNS  # no null, and the range


def test_rules_about_few_columns_are_asked_together() -> None:
    ways = {str(n): Rows(fails=f"x = {n}", columns=("x", "y")) for n in range(500)}
    assert list(with_duckdb._by_columns(ways)) == [ways]
    wide = {str(n): Rows(fails="true", columns=(f"c{n}",)) for n in range(500)}
    batches = list(with_duckdb._by_columns(wide))
    assert [way for batch in batches for way in batch] == list(wide)
    assert max(map(len, batches)) == with_duckdb.MOST_COLUMNS
    assert list(with_duckdb._by_columns({})) == []


def test_very_many_queries_are_asked_in_batches(engine: DuckDB) -> None:
    count = 2 * MOST_TOGETHER + 5
    queries = [f"select * from this where x = {n}" for n in range(count)]
    table = f"select range * {MOST_TOGETHER} as x from range(3)"
    with engine.cursor() as cursor:
        passed = none_fails(cursor, table, queries)
        assert [n for n, passes in enumerate(passed) if not passes] == [0, 200, 400]
        queries[-1] = "select nosuch from this"
        failing = none_fails(cursor, table, queries)
    assert failing[: 2 * MOST_TOGETHER] == passed[: 2 * MOST_TOGETHER]
    assert not any(failing[2 * MOST_TOGETHER :])


def test_rules_past_the_first_are_checked_too(place: Place) -> None:
    place.write(
        "products/sales.py",
        f"rules = [rule.sql(f'no {{n}}', f'select * from this where x = {{n}}') for n in range({MOST_TOGETHER + 10})]\n"
        "sql_product('p', 'select x + 205 as x from numbers', owner='o', rules=rules)",
        header=True,
    )
    assert place.materialize()["sales.p"]["result"] == "held back"
    told = place.run("materialize").out
    assert all(f"no {n}" in told for n in (206, 207, 208))
    assert "no 205" not in told


def test_the_types_of_columns_are_gathered_once(place: Place, engine: DuckDB) -> None:
    class Evidence:
        columns = ()

    rules = QueryRules(product=None, evidence=Evidence(), engine=engine, hiding=None)
    assert rules._types is rules._types


def test_equal_texts_get_the_next_free_number() -> None:
    texts = ["a", "a (2)", "a", "a", "b", "a (3)", "a"]
    rules = [Rule(text=text, where=HERE, demand=Demand(kind="null", place="x")) for text in texts]
    found = [rule.text for rule in with_unique_texts(rules)]
    assert found == ["a", "a (2)", "a (3)", "a (4)", "b", "a (3) (2)", "a (5)"]


@pytest.mark.parametrize("bad", [0, 70, 149])
def test_one_wrong_value_of_a_wide_file_is_found(place: Place, bad: int) -> None:
    names = [f"c{n}" for n in range(150)]
    values = [["x1" if (n, row) == (bad, 1) else str(n) for n in range(150)] for row in range(3)]
    place.write("data/wide.csv", "\n".join(map(",".join, [names, *values])) + "\n")
    place.write(
        "products/sales.py",
        "from assay import source, sql_product\n"
        "wide = source.files('data/wide.csv', columns={f'c{n}': 'bigint' for n in range(150)})\n"
        "sql_product('p', 'select c149 from wide', owner='o')\n",
    )
    ran = place.run("materialize")
    assert (ran.code, f"c{bad}" in ran.out + ran.err, "'x1'" in ran.out + ran.err) == (
        1,
        True,
        True,
    ), ran.out + ran.err
    place.edit("data/wide.csv", "x1", "1")
    assert place.run("materialize").code == 0


def test_a_wide_file_is_read_in_every_column(place: Place) -> None:
    names = [f"c{n}" for n in range(150)]
    text = "\n".join([",".join(names), ",".join(["é", *names[1:]])]) + "\n"
    (place.root / "data/wide.csv").write_bytes(text.encode("latin-1"))
    place.write(
        "products/sales.py",
        "from assay import source, sql_product\n"
        "wide = source.files('data/wide.csv', columns={f'c{n}': 'varchar' for n in range(150)})\n"
        "sql_product('p', 'select c149 from wide', owner='o')\n",
    )
    ran = place.run("materialize")
    assert ran.code == 1
    assert "utf-8" in (ran.out + ran.err).lower()
