"""Eight SQL products over a large fact, with eleven rules: Assay beside a raw DuckDB script, and beside other tools.

    python -m benchmarks.heavy --rows 20000000 [--peers dbt,sqlmesh,dagster,lea]
    python -m benchmarks.heavy --rows 1000000,5000000,20000000 --plot
    python -m benchmarks.heavy --rows 200000000 --larger-than-memory [--memory 2GB]

Everything is built from scratch, each side a whole process. The raw script copies each table to Parquet (zstd,
version 2) and asks one query a table that answers all its rules. `--larger-than-memory` builds under a memory limit
and prints the peak of memory and of what was spilled, and how much disk all of it took.
"""

import os
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from benchmarks import peers
from benchmarks.measure import (
    COLUMNS,
    Side,
    Usage,
    assay,
    compare,
    head,
    options,
    plot,
    program,
    row,
    run,
)
from benchmarks.pipeline import Check, Model, Pipeline, Table, write_assay, write_raw

CURRENCIES = ("USD", "EUR", "GBP", "JPY", "CHF", "SEK")
STATES = ("new", "paid", "shipped", "returned")
BYTES_A_ROW = 120  # of disk: what is read, both sides' tables, and what is spilled

INT, DOUBLE, TEXT = "BIGINT", "DOUBLE", "VARCHAR"
TABLES = {
    "customers": Table(
        "data/customers.parquet", {"customer_id": INT, "country": TEXT, "segment": TEXT}
    ),
    "orders": Table(
        "data/orders.parquet",
        {
            "order_id": INT,
            "customer_id": INT,
            "ordered_at": "TIMESTAMP",
            "currency": TEXT,
            "status": TEXT,
        },
    ),
    "lines": Table(
        "data/lines.parquet",
        {
            "line_id": INT,
            "order_id": INT,
            "product_id": INT,
            "quantity": "INTEGER",
            "price": DOUBLE,
            "discount": DOUBLE,
        },
    ),
    "rates": Table("data/rates.parquet", {"day": "DATE", "currency": TEXT, "rate": DOUBLE}),
}

GENERATE = """
import duckdb, os
os.makedirs("data", exist_ok=True)
run = duckdb.connect().execute
run("create macro h(x) as (hash(x) % 4294967291)::bigint")
ROWS = {rows}
CURRENCIES = {currencies}
for name, query in {{
    "customers": f"select i as customer_id, ['US', 'DE', 'FR', 'JP', 'SE', 'BR', 'IN'][1 + h(i) % 7] as country,"
    f" ['a', 'b', 'c'][1 + h(i + 1) % 3] as segment from range({{ROWS // 20}}) t(i)",
    "orders": f"select i as order_id, h(i) % {{ROWS // 20}} as customer_id,"
    f" timestamp '2023-01-01' + to_seconds((h(i * 3) % (1000 * 86400))::bigint) as ordered_at,"
    f" {{CURRENCIES}}[1 + h(i * 7) % 6] as currency, {states}[1 + h(i * 5) % 4] as status"
    f" from range({{ROWS // 4}}) t(i)",
    "lines": f"select i as line_id, h(i) % {{ROWS // 4}} as order_id, h(i * 11) % 50000 as product_id,"
    f" 1 + (h(i * 13) % 10)::integer as quantity, ((h(i * 17) % 100000) / 100)::double as price,"
    f" ((h(i * 19) % 50) / 100)::double as discount from range({{ROWS}}) t(i)",
    "rates": f"select date '2023-01-01' + d::integer as day, c as currency,"
    f" (0.5 + (h(d * 10 + length(c)) % 1000) / 1000)::double as rate"
    f" from range(1001) t(d), (select unnest({{CURRENCIES}}) as c)",
}}.items():
    run(f"copy ({{query}}) to 'data/{{name}}.parquet' (format parquet, compression zstd)")
"""


def main() -> None:
    parser = options(__doc__, runs=1)
    parser.add_argument(
        "--rows", default="20000000", help="numbers of rows of the fact, with commas"
    )
    parser.add_argument(
        "--peers",
        default="",
        help="also these, as far as benchmarks/peers.sh installed them: dbt,...",
    )
    parser.add_argument(
        "--plot", action="store_true", help="draw CPU seconds against the number of rows"
    )
    parser.add_argument(
        "--larger-than-memory", action="store_true", help="Assay alone, under a memory limit"
    )
    parser.add_argument("--memory", default="2GB", help="that limit")
    told = parser.parse_args()
    names = peers.chosen(told.peers)
    found: dict[int, list[Usage]] = {}
    for rows in map(int, told.rows.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            check_disk(Path(folder), rows)
            generate(Path(folder), rows)
            if told.larger_than_memory:
                larger_than_memory(Path(folder), rows, told.memory)
            else:
                found[rows] = beside_others(Path(folder), rows, told.runs, names)
    if told.plot and found:
        sides = ["Assay", "raw script", *names]
        series = {
            name: [(rows, of[i].seconds) for rows, of in found.items()]
            for i, name in enumerate(sides)
        }
        plot("heavy", "8 products, 11 rules", ("rows of the fact", "CPU s"), series, log=True)


def check_disk(folder: Path, rows: int) -> None:
    """Refuse what the disk would not hold."""
    free, needs = shutil.disk_usage(folder).free, rows * BYTES_A_ROW
    if free < needs:
        raise SystemExit(
            f"{folder} has {free / 2**30:.0f} GiB free, and {rows:,} rows take about {needs / 2**30:.0f}"
        )


def generate(root: Path, rows: int) -> None:
    """Write the tables that the products are made of."""
    run(program(GENERATE.format(rows=rows, currencies=list(CURRENCIES), states=list(STATES))), root)


def beside_others(root: Path, rows: int, runs: int, names: list[str]) -> list[Usage]:
    """Print and return what everything from scratch costs on each side."""
    ours, raw = root / "assay", root / "raw"
    made = pipeline()
    write_assay(ours, made, contracts=True)
    write_raw(raw, made, one_query=True)
    for place in (ours, raw):
        (place / "data").symlink_to(root / "data")
    sides = [
        assay("Assay", ours, "materialize", prepare=lambda: _clear(ours / ".products")),
        Side(
            name="raw script",
            command=[sys.executable, "raw.py"],
            place=raw,
            prepare=lambda: _clear(raw / "out"),
        ),
        *[peers.build(name, root, made) for name in names],
    ]
    head(f"8 SQL products over {rows:,} rows, 11 rules; medians of {runs}", COLUMNS)
    return compare("everything", sides, runs)


def larger_than_memory(root: Path, rows: int, memory: str) -> None:
    """Print what everything from scratch takes under a memory limit, and how much is spilled meanwhile."""
    write_assay(root, pipeline(), f'memory = "{memory}"\n', contracts=True)
    spilled = [0.0]
    used = run(
        assay("", root, "materialize").command,
        root,
        watch=lambda: spilled.append(size(root / ".products/spill")),
    )
    head(
        f"8 SQL products over {rows:,} rows, 11 rules, under memory = {memory!r}",
        ["what", "figure"],
    )
    row(["CPU s", used.seconds])
    row(["peak memory, MiB", used.peak])
    row(["peak of what was spilled, MiB", max(spilled)])
    row(["left in the spill folder, MiB", size(root / ".products/spill")])
    row(["what is read, MiB", size(root / "data")])
    row(["what was made, MiB", size(root / ".products/store")])


def size(folder: Path) -> float:
    """Return how much the files below a folder hold, in MiB; one that is gone meanwhile counts nothing."""
    found = 0
    for place, _, files in os.walk(folder):
        for file in files:
            with suppress(FileNotFoundError):
                found += (Path(place) / file).stat().st_size
    return found / 2**20


def _clear(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


# ---------------------------------------------------------------------------------------------- the project


def pipeline() -> Pipeline:
    """Return orders and their lines, cleaned, joined with rates, and added up by customer and by day."""
    return Pipeline("heavy", TABLES, [*_staged(), *_joined(), *_summed()])


def _staged() -> list[Model]:
    same = {name: {column: column for column in table.columns} for name, table in TABLES.items()}
    orders = {**same["orders"], "ordered_at": "ordered_at::date"}
    return [
        Model(
            "stg_customers",
            same["customers"],
            "from {customers}",
            (Check("unique", "customer_id"),),
        ),
        Model(
            "stg_orders",
            {
                "order_date" if name == "ordered_at" else name: expression
                for name, expression in orders.items()
            },
            "from {orders}",
            (Check("unique", "order_id"), Check("set", "status", STATES)),
        ),
        Model("stg_lines", same["lines"], "from {lines}", (Check("range", "discount", (0, 0.5)),)),
        Model("stg_rates", same["rates"], "from {rates}"),
    ]


def _joined() -> list[Model]:
    orders = {
        name: f"o.{name}"
        for name in ("order_id", "customer_id", "order_date", "currency", "status")
    }
    amount = "l.quantity * l.price * (1 - l.discount) * o.rate"
    return [
        Model(
            "orders_in_dollars",
            {**orders, "rate": "r.rate"},
            "from {stg_orders} as o join {stg_rates} as r on o.order_date = r.day and o.currency = r.currency",
            (Check("set", "currency", CURRENCIES),),
        ),
        Model(
            "order_lines",
            {
                "line_id": "l.line_id",
                "order_id": "l.order_id",
                **{name: f"o.{name}" for name in ("customer_id", "order_date", "currency")},
                "quantity": "l.quantity",
                "amount": amount,
            },
            "from {stg_lines} as l join {orders_in_dollars} as o on l.order_id = o.order_id",
            (
                Check("null", "line_id"),
                Check("unique", "line_id"),
                Check("null", "amount"),
                Check("range", "quantity", (1, 10)),
                Check("reference", "order_id", ("stg_orders", "order_id")),
            ),
        ),
    ]


def _summed() -> list[Model]:
    sums = {"lines": "count(f.line_id)", "revenue": "sum(f.amount)"}
    return [
        Model(
            "customer_totals",
            {"customer_id": "c.customer_id", "country": "any_value(c.country)", **sums},
            "from {stg_customers} as c left join {order_lines} as f on c.customer_id = f.customer_id"
            " group by c.customer_id",
            (Check("reference", "customer_id", ("stg_customers", "customer_id")),),
        ),
        Model(
            "daily_revenue",
            {
                "order_date": "f.order_date",
                "currency": "f.currency",
                "country": "c.country",
                **sums,
            },
            "from {order_lines} as f join {stg_customers} as c on f.customer_id = c.customer_id"
            " group by f.order_date, f.currency, c.country",
        ),
    ]


if __name__ == "__main__":
    main()
