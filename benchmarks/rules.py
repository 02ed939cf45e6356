"""Judging a large table: Assay beside pandera, and beside one DuckDB query a rule.

    python -m benchmarks.rules --rows 20000000

Fifteen rules about rows and two about uniqueness over twelve columns, each side a whole process that reads the same
Parquet file; figures are CPU seconds (user and system), peak memory (MiB) and ratios.

`--kinds` compares each kind of rule alone with a query of its own, from when both have imported what they start with;
`--limit 2GB` judges under a memory limit; `--contracts 1000` reads and compiles many contracts.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

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
    "null": ["order_id is null", "ship_date is null", "currency is null", "amount is null", "email is null"],
    "range": ["not (order_id >= 0)", "not (customer_id between 1 and 2000000)", "not (line_no between 0 and 96)",
              "not (amount > 0)", "not (quantity between 1 and 100)"],
    "set": ["currency not in ('EUR', 'USD', 'GBP', 'JPY', 'CHF', 'SEK', 'NOK', 'PLN')",
            "status not in ('new', 'paid', 'shipped', 'delivered', 'cancelled', 'returned')"],
    "length": ["not (length(email) between 5 and 60)"],
    "pattern": [r"not regexp_matches(email, '^[\w.+-]+@[\w-]+\.\w+$')"],
}  # fmt: skip
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
import json, sys
from pathlib import Path
from assay.engines.duckdb import DuckDB
from benchmarks.judging import evidence_of, load
from assay.rules.judge import judge
file = Path({file!r})
engine = DuckDB([file.parent, Path({folder!r})], Path({folder!r}) / "spill", {limit!r})
product = load(Path({contract!r}))
evidence = evidence_of(file, engine)
# measured from here
results = judge(product, evidence, engine, lambda: None)
assert all(r.status == "passed" for r in results), results
print(len(results), "pandera" in sys.modules)
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--kinds", action="store_true", help="each kind of rule alone")
    parser.add_argument(
        "--limit", default="", help='a memory limit for judging, such as "2GB"; the others are left out'
    )
    parser.add_argument("--contracts", type=int, default=0, help="read and compile this many contracts instead")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.contracts:
            contracts(options.contracts)
        else:
            measure(Path(folder), options)


def measure(folder: Path, options: argparse.Namespace) -> None:
    """Print a table of medians and ratios."""
    file = folder / "orders.parquet"
    columns = COLUMNS.format(rows=options.rows)
    wrote = run(WRITE.format(columns=columns, rows=options.rows, file=file), folder)
    print(f"{options.rows:,} rows, {file.stat().st_size >> 20} MiB; CPU seconds, median of {options.runs}\n")
    if options.kinds:
        print(f"{'kind of rule':<14} {'a query each':>13} {'Assay':>8} {'ratio':>7}")
        for kind, schema in KINDS.items():
            theirs = median(since(queries(file, [kind])), folder, options.runs)
            ours = median(since(judged(file, folder, schema, "")), folder, options.runs)
            print(f"{kind:<14} {theirs[0]:>13.2f} {ours[0]:>8.2f} {ours[0] / theirs[0]:>7.2f}")
        return
    ours = median(judged(file, folder, "schema", options.limit), folder, options.runs)
    sides = [("Assay", ours)]
    if not options.limit:
        every = [*QUERIES, "unique"]
        sides += [
            ("pandera.polars, eager", median(f"FILE = {str(file)!r}\n{EAGER}", folder, options.runs)),
            ("pandera.polars, lazy", median(f"FILE = {str(file)!r}\n{LAZY}", folder, options.runs)),
            ("a DuckDB query each", median(queries(file, every), folder, options.runs)),
        ]
    sides.append(("writing the table", wrote))
    print(f"{'17 rules':<24} {'CPU s':>8} {'MiB':>8} {'Assay/this: CPU':>16} {'memory':>8}")
    for name, (seconds, peak) in sides:
        print(f"{name:<24} {seconds:>8.2f} {peak:>8.0f} {ours[0] / seconds:>16.2f} {ours[1] / peak:>8.2f}")


def judged(file: Path, folder: Path, schema: str, limit: str) -> str:
    """Return a program that judges a file as a run does whose manifest is there: the contract is read from data."""
    contract = folder / "contract.json"
    compile_first = (
        SCHEMA
        + f"\nfrom pathlib import Path\nfrom benchmarks.judging import keep\nkeep({schema}, Path({str(contract)!r}))\n"
    )
    run(compile_first, folder)
    return OURS.format(file=str(file), folder=str(folder), contract=str(contract), limit=limit)


def queries(file: Path, kinds: Sequence[str]) -> str:
    """Return a program that asks DuckDB one query a rule."""
    asked = [f"select count(*) from '{file}' where {fails}" for kind in kinds for fails in QUERIES.get(kind, ())]
    if "unique" in kinds:
        asked += [f"select count(*) from (select 1 from '{file}' group by {key} having count(*) > 1)" for key in KEYS]
    loop = f"for sql in {asked!r}:\n    assert duckdb.execute(sql).fetchone() == (0,), sql\n"
    return f"import duckdb\n# measured from here\n{loop}"


def contracts(count: int) -> None:
    """Print what it costs to read and compile contracts, and to read them again as kept."""
    program = SCHEMA + (
        "import time\nfrom dataclasses import replace\nfrom benchmarks.judging import product_of\n"
        "from assay.model import Where\nfrom assay.rules.judge import ways_of\n"
        "from assay.rules.schema import read_schema\n"
        "schemas = [pa.DataFrameSchema(COLUMNS, unique=['batch', 'line_no']) for _ in range(COUNT)]\n"
        "t = time.process_time()\nread = [product_of(read_schema(s, Where('x.py', 1))) for s in schemas]\n"
        "print('read', time.process_time() - t)\nt = time.process_time()\n"
        "ways = [ways_of(p, p.contract.columns) for p in read]\nprint('compiled', time.process_time() - t)\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", f"COUNT = {count}\n{program}"], check=True, capture_output=True, text=True
    ).stdout
    told = {name: float(value) for name, value in (line.split() for line in out.splitlines())}
    print(f"{count} contracts of 12 columns and 17 rules; CPU seconds")
    for name, seconds in told.items():
        print(f"{name:<10} {seconds:>8.3f}")


def since(program: str) -> str:
    """Return a program that is measured from its marker on."""
    start = "import resource\nu = resource.getrusage(resource.RUSAGE_SELF)\nSTARTED = u.ru_utime + u.ru_stime\n"
    return program.replace("# measured from here\n", start)


def median(program: str, folder: Path, runs: int) -> tuple[float, float]:
    """Return the median CPU seconds and peak memory (MiB) of a program that has to succeed."""
    found = [run(program, folder) for _ in range(runs)]
    return statistics.median(f[0] for f in found), statistics.median(f[1] for f in found)


def run(program: str, folder: Path) -> tuple[float, float]:
    """Return CPU seconds (user and system) and peak memory in MiB of one program in a process of its own."""
    told = folder / "usage.json"
    ending = (
        "\nimport json, resource\nu = resource.getrusage(resource.RUSAGE_SELF)\n"
        "s = globals().get('STARTED', 0)\n"
        f"open({str(told)!r}, 'w').write(json.dumps([u.ru_utime + u.ru_stime - s, u.ru_maxrss / 1024]))\n"
        "import os; os._exit(0)\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, "-c", program + ending], check=True, env=environment, stdout=subprocess.DEVNULL)
    seconds, peak = json.loads(told.read_text())
    return seconds, peak


if __name__ == "__main__":
    main()
