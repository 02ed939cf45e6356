"""Judging a large table: Assay beside pandera, and beside one DuckDB query a rule.

    python -m benchmarks.rules --rows 20000000

Fifteen rules about rows and two about uniqueness over twelve columns, each side a whole process that reads the same
Parquet file; figures are CPU seconds (user and system), peak memory (MiB) and ratios.

`--kinds` compares each kind of rule alone with a query of its own, from when both have imported what they start with;
`--limit 2GB` judges under a memory limit; `--contracts 1000` reads and compiles many contracts.
"""

import argparse
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import Usage, head, median, options, program, row, run

COLUMNS = """
    (hash(i) % 1000000000)::bigint * 100000000 + i as order_id,
    (1 + hash(i * 7) % 2000000)::bigint as customer_id,
    (i % 97)::integer as line_no,
    (i // 97)::bigint as batch,
    date '2022-01-01' + (i * 1000 // {rows})::integer as order_date,
    date '2022-01-01' + (i * 1000 // {rows} + (hash(i * 13) % 30)::bigint)::integer as ship_date,
    timestamp '2022-01-01' + to_seconds(i % 86400000) as created_at,
    ['EUR', 'USD', 'GBP', 'JPY', 'CHF', 'SEK', 'NOK', 'PLN'][(1 + hash(i * 3) % 8)::bigint] as currency,
    ((hash(i * 5) % 1000000) / 100.0 + 0.01)::decimal(12, 2) as amount,
    ['new', 'paid', 'shipped', 'delivered', 'cancelled', 'returned'][(1 + hash(i * 11) % 6)::bigint] as status,
    'user' || (hash(i * 7) % 2000000)::varchar || '@example' || (hash(i) % 50)::varchar || '.com' as email,
    case when hash(i * 17) % 10 < 3 then null else (1 + hash(i * 19) % 100)::integer end as quantity
"""
SCHEMA = """
import pandera.polars as pa
import polars as pl

C = pa.Check
COLUMNS = {
    "order_id": pa.Column(pl.Int64, C.ge(0), unique=True),
    "customer_id": pa.Column(pl.Int64, C.in_range(1, 2_000_000)),
    "line_no": pa.Column(pl.Int32, C.in_range(0, 96)),
    "batch": pa.Column(pl.Int64),
    "order_date": pa.Column(pl.Date),
    "ship_date": pa.Column(pl.Date),
    "created_at": pa.Column(pl.Datetime("us")),
    "currency": pa.Column(pl.String, C.isin(["EUR", "USD", "GBP", "JPY", "CHF", "SEK", "NOK", "PLN"])),
    "amount": pa.Column(pl.Decimal(12, 2), C.gt(0)),
    "status": pa.Column(pl.String, C.isin(["new", "paid", "shipped", "delivered", "cancelled", "returned"])),
    "email": pa.Column(pl.String, [C.str_matches(r"^[\\w.+-]+@[\\w-]+\\.\\w+$"), C.str_length(5, 60)]),
    "quantity": pa.Column(pl.Int32, C.in_range(1, 100), nullable=True),
}
# Of each column that may not be null, one more rule: fifteen about rows are what is left of these here.
for name in ("customer_id", "line_no", "batch", "order_date", "created_at", "status"):
    COLUMNS[name].nullable = True
schema = pa.DataFrameSchema(COLUMNS, unique=["batch", "line_no"])
"""
QUERIES = {
    "null": [
        "order_id is null",
        "ship_date is null",
        "currency is null",
        "amount is null",
        "email is null",
    ],
    "range": [
        "not (order_id >= 0)",
        "not (customer_id between 1 and 2000000)",
        "not (line_no between 0 and 96)",
        "not (amount > 0)",
        "not (quantity between 1 and 100)",
    ],
    "set": [
        "currency not in ('EUR', 'USD', 'GBP', 'JPY', 'CHF', 'SEK', 'NOK', 'PLN')",
        "status not in ('new', 'paid', 'shipped', 'delivered', 'cancelled', 'returned')",
    ],
    "length": ["not (length(email) between 5 and 60)"],
    "pattern": [r"not regexp_matches(email, '^[\w.+-]+@[\w-]+\.\w+$')"],
}
KEYS = ["order_id", "batch, line_no"]
KINDS = {
    "null": 'pa.DataFrameSchema({n: pa.Column() for n in ("order_id", "ship_date", "currency", "amount", "email")})',
    "range": "pa.DataFrameSchema({n: pa.Column(checks=COLUMNS[n].checks, nullable=True) for n in "
    '("order_id", "customer_id", "line_no", "amount", "quantity")})',
    "set": "pa.DataFrameSchema({n: pa.Column(checks=COLUMNS[n].checks, nullable=True) "
    'for n in ("currency", "status")})',
    "length": 'pa.DataFrameSchema({"email": pa.Column(checks=COLUMNS["email"].checks[1:], nullable=True)})',
    "pattern": 'pa.DataFrameSchema({"email": pa.Column(checks=COLUMNS["email"].checks[:1], nullable=True)})',
    "unique": 'pa.DataFrameSchema({"order_id": pa.Column(unique=True, nullable=True)}, unique=["batch", "line_no"])',
}

OURS = """
from pathlib import Path
from assay.engines.duckdb import DuckDB
from benchmarks.judging import evidence_of, load
from assay.rules.judge import judge
file = Path({file!r})
engine = DuckDB([file.parent, Path({folder!r})], Path({folder!r}) / "spill", {{"memory_limit": {limit!r}}})
product = load(Path({contract!r}))
evidence = evidence_of(file, engine)
# measured from here
results = judge(product, evidence, engine, lambda: None)
assert all(r.status == "passed" for r in results), results
"""
EAGER = SCHEMA + "\nschema.validate(pl.read_parquet(FILE), lazy=True)\n"
LAZY = SCHEMA + (
    "\nfrom pandera.config import ValidationDepth, config_context\n"
    "with config_context(validation_depth=ValidationDepth.SCHEMA_AND_DATA):\n"
    "    schema.validate(pl.scan_parquet(FILE), lazy=True).select(pl.len()).collect()\n"
)
WRITE = (
    "import duckdb\nduckdb.execute('''copy (select {columns} from range({rows}) t(i)) to '{file}' "
    "(format parquet, compression zstd, parquet_version v2)''')\n"
)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--kinds", action="store_true", help="each kind of rule alone")
    parser.add_argument(
        "--limit",
        default="",
        help='a memory limit for judging, such as "2GB"; the others are left out',
    )
    parser.add_argument(
        "--contracts", type=int, default=0, help="read and compile this many contracts instead"
    )
    told = parser.parse_args()
    if told.contracts:
        contracts(told.contracts)
        return
    with tempfile.TemporaryDirectory() as folder:
        place, file = Path(folder), Path(folder) / "orders.parquet"
        wrote = used(
            WRITE.format(columns=COLUMNS.format(rows=told.rows), rows=told.rows, file=file), place
        )
        if told.kinds:
            kinds(file, told)
        else:
            sides(file, told, wrote)


def sides(file: Path, told: argparse.Namespace, wrote: Usage) -> None:
    """Print what judging all rules takes on each side."""
    programs = {"Assay": judged(file, "schema", told.limit)}
    if not told.limit:
        named = f"FILE = {str(file)!r}\n"
        programs |= {"pandera.polars, eager": named + EAGER, "pandera.polars, lazy": named + LAZY}
        programs["a DuckDB query each"] = queries(file, [*QUERIES, "unique"])
    found = {**in_turn(programs, file.parent, told.runs), "writing the table": wrote}
    ours = found["Assay"]
    title = f"{told.rows:,} rows, {file.stat().st_size >> 20} MiB; medians of {told.runs}"
    head(title, ["17 rules", "CPU s", "MiB", "Assay / this: CPU", "memory"])
    for name, usage in found.items():
        row([name, usage.seconds, usage.peak, ours.seconds / usage.seconds, ours.peak / usage.peak])


def kinds(file: Path, told: argparse.Namespace) -> None:
    """Print what judging each kind of rule takes, from when all that is needed is imported."""
    head(
        f"{told.rows:,} rows; CPU s, medians of {told.runs}",
        ["kind of rule", "a query each", "Assay", "ratio"],
    )
    for kind, schema in KINDS.items():
        programs = {"theirs": since(queries(file, [kind])), "ours": since(judged(file, schema, ""))}
        found = in_turn(programs, file.parent, told.runs)
        ours, theirs = found["ours"].seconds, found["theirs"].seconds
        row([kind, theirs, ours, ours / theirs])


def in_turn(programs: dict[str, str], folder: Path, runs: int) -> dict[str, Usage]:
    """Return the medians of each program, run in turn."""
    found = [{name: used(text, folder) for name, text in programs.items()} for _ in range(runs)]
    return {name: median([one[name] for one in found]) for name in programs}


def judged(file: Path, schema: str, limit: str) -> str:
    """Return a program that judges a file as a run does whose manifest is there: the contract is read from data."""
    folder, contract = file.parent, file.with_name("contract.json")
    keep = f"from pathlib import Path\nfrom benchmarks.judging import keep\nkeep({schema}, Path({str(contract)!r}))\n"
    used(f"{SCHEMA}\n{keep}", folder)
    return OURS.format(file=str(file), folder=str(folder), contract=str(contract), limit=limit)


def queries(file: Path, kinds: Sequence[str]) -> str:
    """Return a program that asks DuckDB one query a rule."""
    asked = [
        f"select count(*) from '{file}' where {fails}"
        for kind in kinds
        for fails in QUERIES.get(kind, ())
    ]
    if "unique" in kinds:
        asked += [
            f"select count(*) from (select 1 from '{file}' group by {key} having count(*) > 1)"
            for key in KEYS
        ]
    loop = f"for sql in {asked!r}:\n    assert duckdb.execute(sql).fetchone() == (0,), sql\n"
    return f"import duckdb\n# measured from here\n{loop}"


def contracts(count: int) -> None:
    """Print what it costs to read and compile contracts, and to read them again as kept."""
    text = SCHEMA + (
        "import time\nfrom msgspec.structs import replace\nfrom benchmarks.judging import product_of\n"
        "from assay.model import Where\nfrom assay.rules.compile import ways_of\n"
        "from assay.rules.schema import read_schema\n"
        "schemas = [pa.DataFrameSchema(COLUMNS, unique=['batch', 'line_no']) for _ in range(COUNT)]\n"
        "t = time.process_time()\nread = [product_of(read_schema(s, Where('x.py', 1))) for s in schemas]\n"
        "print('read', time.process_time() - t)\nt = time.process_time()\n"
        "ways = [ways_of(p, p.contract.columns) for p in read]\nprint('compiled', time.process_time() - t)\n"
    )
    out = subprocess.run(
        program(f"COUNT = {count}\n{text}"), check=True, capture_output=True, text=True
    ).stdout
    head(f"{count} contracts of 12 columns and 17 rules", ["contracts", "CPU s"])
    for name, seconds in (line.split() for line in out.splitlines()):
        row([name, float(seconds)])


def since(text: str) -> str:
    """Return a program that is measured from its marker on: it says what it had used by then."""
    return text.replace(
        "# measured from here\n", "import time\nopen('used', 'w').write(str(time.process_time()))\n"
    )


def used(text: str, folder: Path) -> Usage:
    """Return what one program took in a process of its own, less what it says it had used before."""
    before = folder / "used"
    before.write_text("0")
    usage = run(program(f"{text}\nimport os; os._exit(0)\n"), folder)
    return Usage(usage.seconds - float(before.read_text()), usage.peak)


if __name__ == "__main__":
    main()
