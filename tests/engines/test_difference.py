"""What differs between two tables, beside an oracle in plain Python."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.engines.difference import Difference, RowChange, comparing, repeated_key, totals
from assay.engines.tables import StoredTable
from assay.model import Column
from tests.conftest import effort

COLUMNS = (
    Column(name="k", type="INTEGER"),
    Column(name="Text of it", type="VARCHAR"),
    Column(name="x", type="DOUBLE"),
    Column(name="net", type="DECIMAL(18,2)"),
)
NAN = float("nan")
VALUES = st.tuples(
    st.none() | st.integers(0, 6),
    st.none() | st.sampled_from(["", "a", "A", "'\"; drop table x"]),
    st.none() | st.sampled_from([0.0, 1.0, 1.0000000001, NAN, math.inf]),
    st.none() | st.integers(-3, 3),
)
Row = tuple[Any, ...]


def stored(folder: Path, name: str, rows: Sequence[Row]) -> StoredTable:
    types = ", ".join(f'"{c.name}" {c.type}' for c in COLUMNS)
    with duckdb.connect() as connection:
        connection.execute(f"create table t ({types})")
        if rows:
            connection.executemany("insert into t values (?, ?, ?, ?)", rows)
        connection.execute(f"copy t to '{folder / name}.parquet' (format parquet)")
    return StoredTable((folder / f"{name}.parquet",))


def opened(folder: Path, before: Sequence[Row], after: Sequence[Row]) -> Any:
    old, new = stored(folder, "old", before), stored(folder, "new", after)
    tables = {"before": old, "before_moved": old, "after": new, "after_moved": new}
    return comparing(tables, COLUMNS, folder / "spill", {})


def plain(row: Sequence[Any]) -> str:
    """Return a row as text: NaN is equal to itself there, and 1.0 to no 1."""
    return repr(tuple(float(v) if i == 3 and v is not None else v for i, v in enumerate(row)))


@settings(max_examples=effort(15, 60, 60), deadline=None)
@given(st.lists(VALUES, max_size=8), st.lists(VALUES, max_size=8))
def test_rows_without_a_key_are_counted(
    tmp_path_factory: pytest.TempPathFactory, before: list[Row], after: list[Row]
) -> None:
    old, new = Counter(map(plain, before)), Counter(map(plain, after))
    with opened(tmp_path_factory.mktemp("t"), before, after) as connection:
        difference = Difference(connection, COLUMNS, ())
        counts = difference.counts()
        assert counts[RowChange.NEW] == sum((new - old).values())
        assert counts[RowChange.GONE] == sum((old - new).values())
        assert counts[RowChange.CHANGED] == 0
        found: Counter[str] = Counter()
        for row in difference.rows(100):
            side = row.after if row.change is RowChange.NEW else row.before
            found[f"{row.change} {plain(list(side.values()))}"] += row.count
    assert found == Counter({f"new {row}": n for row, n in (new - old).items()}) + Counter(
        {f"gone {row}": n for row, n in (old - new).items()}
    )


def by_key(rows: list[Row]) -> dict[Any, Row]:
    return {row[0]: row for row in rows}


@settings(max_examples=effort(15, 60, 60), deadline=None)
@given(st.lists(VALUES, max_size=8).map(by_key), st.lists(VALUES, max_size=8).map(by_key))
def test_rows_with_a_key_are_matched(
    tmp_path_factory: pytest.TempPathFactory, before: dict[Any, Row], after: dict[Any, Row]
) -> None:
    """A missing key is a key like any other."""
    old = [*before.values()]
    with opened(tmp_path_factory.mktemp("t"), old, [*after.values()]) as connection:
        assert repeated_key(connection, "before_moved", ["k"]) is None
        difference = Difference(connection, COLUMNS, ["k"])
        found = {
            (row.change, (row.after if row.change is RowChange.NEW else row.before)["k"])
            for row in difference.rows(100)
        }
        [(_, sums)] = totals(connection, ["net"])
        groups = totals(connection, ["net"], ["k"], 100)
    wanted = {(RowChange.NEW, key) for key in after.keys() - before.keys()}
    wanted |= {(RowChange.GONE, key) for key in before.keys() - after.keys()}
    wanted |= {
        (RowChange.CHANGED, key)
        for key in before.keys() & after.keys()
        if plain(before[key]) != plain(after[key])
    }
    assert found == wanted
    amounts = [row[3] for row in old if row[3] is not None]
    assert sums["net"].before == (sum(amounts) if amounts else None)
    assert {key for (key,), _ in groups} == {
        key
        for key in before.keys() | after.keys()
        if before.get(key, (0, 0, 0, None))[3] != after.get(key, (0, 0, 0, None))[3]
    }


def test_a_key_that_repeats_is_told_with_its_values(tmp_path: Path) -> None:
    rows = [(1, "a", 1.0, 1), (1, "b", 1.0, 1), (None, "", 0.0, 0)]
    with opened(tmp_path, rows, rows[:1]) as connection:
        assert repeated_key(connection, "before_moved", ["k"]) == ((1,), 2)
        assert repeated_key(connection, "after_moved", ["k"]) is None
        assert repeated_key(connection, "before_moved", ["k", "Text of it"]) is None


@pytest.mark.parametrize(
    ("after", "tolerance", "changed"),
    [
        (1.0 + 1e-12, 0.0, 1),
        (1.0 + 1e-12, 1e-9, 0),
        (1.1, 1e-9, 1),
        (NAN, 1e-9, 1),
        (None, 1e-9, 1),
        (math.inf, 1e-9, 1),
    ],
)
def test_floats_may_differ_a_little(
    tmp_path: Path, after: float | None, tolerance: float, changed: int
) -> None:
    with opened(tmp_path, [(1, "a", 1.0, 1)], [(1, "a", after, 1)]) as connection:
        difference = Difference(connection, COLUMNS, ["k"], tolerance)
        assert difference.counts()[RowChange.CHANGED] == changed
        assert difference.changed_columns() == ({"x": 1} if changed else {})


def test_the_largest_change_is_first(tmp_path: Path) -> None:
    before = [(k, "a", 1.0, k) for k in range(5)]
    after = [(k, "a", 1.0, k + (k * 7) % 5) for k in range(5)]
    with opened(tmp_path, before, after) as connection:
        rows = list(Difference(connection, COLUMNS, ["k"]).rows(2, "net"))
    assert [row.after["k"] for row in rows] == [2, 4]


@pytest.mark.parametrize("options", ["format csv, header", "format parquet"])
def test_all_rows_are_written_without_hidden_values(tmp_path: Path, options: str) -> None:
    file = tmp_path / "out"
    old = stored(tmp_path, "old", [(1, "secret", 1.0, 1)])
    new = stored(tmp_path, "new", [(1, "other", 1.0, 1), (2, "b", 2.0, 2)])
    tables = {"before": old, "before_moved": old, "after": new, "after_moved": new}
    with comparing(tables, COLUMNS, tmp_path / "spill", {}, file) as connection:
        Difference(connection, COLUMNS, ["k"]).write(file, ["Text of it"], options)
        with pytest.raises(duckdb.Error, match=r"[Pp]ermission"):
            connection.execute(f"copy (select 1) to '{tmp_path / 'elsewhere'}'")
    read = "read_csv" if "csv" in options else "read_parquet"
    rows = duckdb.sql(f"from {read}('{file}')").fetchall()
    assert [(row[0], row[1], row[2]) for row in rows] == [
        ("changed", 1, "(sensitive)"),
        ("new", 2, "(sensitive)"),
    ]
    assert b"secret" not in file.read_bytes()
