"""Very many small CSV files, in parts: Assay beside a raw script; `benchmarks.parts --small` runs it.

The project of `benchmarks.days`, with files of 20 to 5,000 rows, most of them few. The raw script reads the same glob as
the declared types, runs one query for each rule, and writes the same three tables, each to one Parquet file (zstd).
With `--functions`, the tables in parts are made by Polars functions, and so does the raw script.
"""

import random
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.days import COLUMNS, write_day, write_project
from benchmarks.measure import Side, aside, assay, head, measure, program, row
from benchmarks.pipeline import put

FEWEST, MOST = 20, 5000  # rows of a file
FIRST_BUILD = 3.0  # times the raw script
ONE_MORE, NOTHING, LARGE = 0.3, 0.2, 1.0  # CPU seconds; LARGE: both, with more than 1,000 files
_LAST = 1400  # day of `benchmarks.days` on which the last file ends

RAW = f"""
import duckdb, pathlib
pathlib.Path("raw").mkdir(exist_ok=True)
run = duckdb.connect().execute
run(\"\"\"create view raw as select *, regexp_extract(filename, '([^/]+)[.]csv$', 1)::date as day
       from read_csv('data/*.csv', header=true, auto_detect=false, delim=',', quote='"', filename=true, columns={COLUMNS})\"\"\")
def table(name, query, *rules):
    run(f"copy ({{query}}) to 'raw/{{name}}.parquet' (format parquet, compression zstd, compression_level 1)")
    run(f"create view {{name}} as from 'raw/{{name}}.parquet'")
    for rule in rules:
        if run(f"select count(*) from ({{rule}})").fetchone()[0]:
            raise SystemExit(name)
table("lines", "select id, day, shop, amount from raw", "from lines where not (amount > 0)",
      "select id, day from lines group by all having count(*) > 1")
table("daily", "select day, shop, sum(amount)::decimal(18, 2) as amount from lines group by all",
      "from daily where not (shop is not null)")
table("shops", "select shop, sum(amount)::decimal(18, 2) as amount from daily group by all")
"""

FUNCTIONS = f"""import polars as pl
from assay import product, rule, source, sql_product

raw = source.files("data/{{day:date}}.csv", columns={COLUMNS})

@product(owner="bench", partition_by="day", rules=[
    rule.check("an amount is positive", "amount > 0"),
    rule.sql("a line is there once", "select id, day from this group by all having count(*) > 1")])
def lines(raw: pl.LazyFrame) -> pl.LazyFrame:
    return raw.select("id", "day", "shop", "amount")

@product(owner="bench", partition_by="day", rules=[rule.check("every sum has a shop", "shop is not null")])
def daily(lines: pl.LazyFrame) -> pl.LazyFrame:
    return lines.group_by("day", "shop").agg(pl.col("amount").sum())

sql_product("shops", "select shop, sum(amount)::decimal(18, 2) as amount from daily group by all", owner="bench")
"""
RAW_FUNCTIONS = """
import pathlib
import polars as pl
pathlib.Path("raw").mkdir(exist_ok=True)
COLUMNS = {"id": pl.Int64, "booked": pl.Date, "shop": pl.String, "amount": pl.Decimal(12, 2)}
day = pl.col("file").str.extract("([^/]+)[.]csv$").str.to_date()
raw = pl.scan_csv("data/*.csv", schema=COLUMNS, include_file_paths="file").with_columns(day=day)
def table(name, frame, *rules):
    frame.sink_parquet(f"raw/{name}.parquet", compression="zstd", compression_level=1)
    made = pl.scan_parquet(f"raw/{name}.parquet")
    for rule in rules:
        if made.select(rule).collect().item():
            raise SystemExit(name)
    return made
lines = table("lines", raw.select("id", "day", "shop", "amount"), (pl.col("amount") <= 0).any(),
              pl.struct("id", "day").is_duplicated().any())
daily = table("daily", lines.group_by("day", "shop").agg(pl.col("amount").sum()), pl.col("shop").is_null().any())
table("shops", daily.group_by("shop").agg(pl.col("amount").sum()))
"""


def rows_of(number: int) -> int:
    """Return the rows of a file: half of the files have fewer than 80, and few have thousands."""
    share: float = random.Random(number).random()
    return int(FEWEST * float(MOST / FEWEST) ** (share * share))


def small(counts: list[int], runs: int, *, functions: bool) -> None:
    """Print what these numbers of files cost, each measured in a new project."""
    title = f"CSV files of {FEWEST} to {MOST:,} rows, one a part; medians of {runs}"
    head(
        title,
        ["files", "work", "CPU s", "raw script", "Assay / raw", "bar", "MiB", "files in the store"],
    )
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            _measure(Path(folder), count, runs, functions=functions)


def _measure(root: Path, count: int, runs: int, *, functions: bool) -> None:
    write_project(root, whole=False)
    if functions:
        put(root / "products/sales.py", FUNCTIONS)
    first = _LAST - count  # no day is in the future
    for number in range(count):
        write_day(root, first + number, rows_of(number))
    clear = partial(aside, root / ".products")
    raw = Side(name="raw", command=program(RAW_FUNCTIONS if functions else RAW), place=root)
    full, script = measure([assay("", root, "materialize", prepare=clear), raw], runs)
    ratio = full.seconds / script.seconds
    stored = max(_stored(root, name) for name in ("lines", "daily"))
    row(
        [
            count,
            "everything",
            full.seconds,
            script.seconds,
            ratio,
            f"{FIRST_BUILD} ×",
            full.peak,
            stored,
        ]
    )
    days = iter(range(_LAST, _LAST + runs))

    def one_more() -> None:
        day = next(days)
        write_day(root, day, rows_of(day))

    [one] = measure([assay("", root, "materialize", prepare=one_more)], runs)
    [none] = measure([assay("", root, "materialize")], runs)
    is_large = count > 1000
    row(
        [count, "one file more", one.seconds, "", "", LARGE if is_large else ONE_MORE, one.peak, ""]
    )
    row(
        [
            count,
            "nothing changed",
            none.seconds,
            "",
            "",
            LARGE if is_large else NOTHING,
            none.peak,
            "",
        ]
    )


def _stored(root: Path, product: str) -> int:
    """Return how many files the store has of a product."""
    return sum(1 for _ in root.glob(f".products/store/*{product}/**/*.parquet"))
