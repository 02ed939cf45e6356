"""A day is added to a large table, merged into it by key, and into its history; beside raw scripts that write the same tables.

    python -m benchmarks.append [--rows 10000000] [--day 100000]

Each day overwrites one Parquet file. The raw scripts read the table of the day before and that file, write the new table
(zstd), and check the same rules; they keep no digest of the content, no earlier versions, and nothing that keeps a day
from being added twice.
"""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.measure import COLUMNS as TITLES
from benchmarks.measure import Side, assay, compare, head, options, program, run
from benchmarks.pipeline import put

_ADDED = "from previous union all by name from today where day > (select coalesce(max(day), date '1970-01-01') from previous)"
_MERGED = "from previous anti join today using (id) union all by name from today"
DECLARED = f"""
import pandera.polars as pa
import polars as pl
from assay import history_of, source, sql_product

today = source.files("today.parquet", columns={{"id": "bigint", "day": "date", "amount": "double"}})
customers = source.files("today.parquet", columns={{"id": "bigint", "amount": "double"}})
Rows = pa.DataFrameSchema({{"id": pa.Column(int), "day": pa.Column(pl.Date, nullable=False), "amount": pa.Column(float)}},
                          unique=["id", "day"])
sql_product("added", "{_ADDED}", owner="bench", contract=Rows)
sql_product("merged", "{_MERGED}", owner="bench", contract=Rows)
kept = history_of("customers", key="id", valid=("since", "until"), owner="bench")
"""
_RULES = (
    "select 1 from t where not (id is not null and day is not null and amount is not null)",
    "select id, day from t group by all having count(*) > 1",
)
_HISTORY = """
with b as (select *, false as now from previous where until is null union all by name
  select id, amount, now()::timestamptz as since, null::timestamptz as until, true as now from today)
select id, amount, min(since) as since, case when not bool_or(now) then now()::timestamptz end as until from b group by id, amount
union all by name select * from previous where until is not null
"""
_ONE_OPEN = ("select id from t where until is null group by id having count(*) > 1",)
RAW = """
import duckdb, os
run = duckdb.connect().execute
name = {name!r}
run("create view today as from 'today.parquet'")
run(f"create view previous as from 'raw-{{name}}.parquet'")
run(f"copy ({query}) to 'new-{{name}}.parquet' (format parquet, compression zstd, compression_level 1)")
run(f"create view t as from 'new-{{name}}.parquet'")
for rule in {rules!r}:
    if run(f"select count(*) from ({{rule}})").fetchone()[0]:
        raise SystemExit(rule)
os.replace(f"new-{{name}}.parquet", f"raw-{{name}}.parquet")
"""
WORK = {
    "added": ("a day added", _ADDED, _RULES),
    "merged": ("a day merged by key", _MERGED, _RULES),
    "kept": ("the history of a table", _HISTORY, _ONE_OPEN),
}


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows of the table")
    parser.add_argument("--day", type=int, default=100_000, help="rows of a day")
    told = parser.parse_args()
    head(f"{told.day:,} rows to {told.rows:,}; medians of {told.runs}", TITLES)
    for name, (what, query, rules) in WORK.items():
        with tempfile.TemporaryDirectory() as folder:
            root, day = Path(folder), [0]
            put(root / "pyproject.toml", "[tool.products]\n")
            put(root / "products/bench.py", DECLARED)
            rows = told.rows if name != "kept" else told.rows // 10
            change = _snapshot if name == "kept" else _day
            change(root, day, rows, rows)
            run(assay("", root, "materialize", name).command, root)
            plain = f"{name}-plain"
            for each in (name, plain):
                run(program(_first(each)), root)
            raw = partial(RAW.format, query=query.replace("\n", " "))
            step: Callable[[], None] = partial(change, root, day, told.day, rows)
            sides = [
                assay("Assay", root, "materialize", name, prepare=step),
                Side(name="raw script", command=program(raw(name=name, rules=rules)), place=root),
                Side(name="without rules", command=program(raw(name=plain, rules=())), place=root),
            ]
            compare(f"{what}: {rows:,} rows", sides, told.runs)


def _day(root: Path, day: list[int], rows: int, _: int) -> None:
    """Overwrite the file of today by a next day of so many rows, with ids of its own."""
    first, number = day[0] * 1_000_000_000, day[0]
    day[0] += 1
    query = (
        f"select range + {first} as id, date '2020-01-01' + {number} as day,"
        f" (range % 9973)::double as amount from range({rows})"
    )
    _write(root, query)


def _snapshot(root: Path, day: list[int], changed: int, rows: int) -> None:
    """Overwrite the file by all rows, of which so many differ from those of the day before."""
    number = day[0]
    day[0] += 1
    amount = f"case when range < {changed} then {number} else range % 97 end"
    _write(
        root,
        f"select range as id, date '2020-01-01' as day, ({amount})::double as amount from range({rows})",
    )


def _write(root: Path, query: str) -> None:
    run(
        program(
            f"import duckdb; duckdb.execute(\"copy ({query}) to 'today.parquet' (format parquet)\")"
        ),
        root,
    )


def _first(name: str) -> str:
    """Return the program that begins the table of a raw script as ours did."""
    columns = (
        "id, amount, now()::timestamptz as since, null::timestamptz as until"
        if name.startswith("kept")
        else "*"
    )
    return (
        f"import duckdb; duckdb.execute(\"copy (select {columns} from 'today.parquet')"
        f" to 'raw-{name}.parquet' (format parquet, compression zstd, compression_level 1)\")"
    )


if __name__ == "__main__":
    main()
