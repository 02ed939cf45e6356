"""`products diff`: many products of which nothing has changed, and one large table with a key.

    python -m benchmarks.differences [--products 100] [--rows 5000000]

Between two environments with the same versions, digests are compared, and no engine is imported: the bar is 0.3 s. Of
the large table of ten columns, one row in a hundred changes; the bar for 5 million rows is 2 s (CPU: two cores).
"""

import tempfile
from pathlib import Path

from benchmarks.measure import Usage, assay, head, measure, options, row, run
from benchmarks.noop import engines
from benchmarks.pipeline import put

UNCHANGED, LARGE = 0.3, 2.0
_BIG = """
class Big(pa.DataFrameModel):
    id: int
    class Config:
        unique = ["id"]
"""
_COLUMNS = ", ".join(
    [
        *(f"(range * {n} % 1000003)::bigint as whole{n}" for n in (7, 11, 13)),
        *(f"(range * {n} % 99991 / 100)::decimal(12, 2) as amount{n}" for n in (3, 5)),
        "range % 97 / 3.0::double as rate",
        "date '2020-01-01' + (range % 1000)::int as day",
        "'shop ' || range % 500 as shop",
    ]
)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--products", type=int, default=100, help="how many are unchanged")
    parser.add_argument("--rows", type=int, default=5_000_000, help="rows of the large table")
    told = parser.parse_args()
    head(f"products diff; medians of {told.runs}", ["what", "CPU s", "bar", "MiB"])
    with tempfile.TemporaryDirectory() as folder:
        used = unchanged(Path(folder), told.products, told.runs)
        row([f"{told.products} products unchanged", used.seconds, UNCHANGED, used.peak])
    with tempfile.TemporaryDirectory() as folder:
        used = large(Path(folder), told.rows, told.runs)
        row([f"{told.rows:,} rows of 10 columns, by key", used.seconds, LARGE, used.peak])


def unchanged(root: Path, count: int, runs: int) -> Usage:
    """Return what comparing two environments with the same versions costs; SystemExit if with an engine."""
    declared = "".join(
        f"sql_product('p{n}', 'select range as k, range * {n} as v from range(10)', owner='bench')\n"
        for n in range(count)
    )
    put(root / "pyproject.toml", "[tool.products]\n")
    put(root / "products/many.py", f"from assay import sql_product\n{declared}")
    _materialize(root, "prod", "try")
    side = assay("", root, "diff", "--before", "try")
    if (loaded := engines(side)) != "none":
        raise SystemExit(f"comparing digests imports {loaded}")
    [used] = measure([side], runs)
    return used


def large(root: Path, rows: int, runs: int) -> Usage:
    """Return what comparing two versions of a large table costs, of which one row in a hundred changed."""
    put(root / "pyproject.toml", "[tool.products]\n")
    for changed in (0, 1):
        net = (
            f"(range % 5003 + case when range % 100 = 0 then {changed} else 0 end)::decimal(12, 2)"
        )
        query = f"select range as id, {_COLUMNS}, {net} as net from range({rows})"
        put(
            root / "products/large.py",
            "import pandera.polars as pa\nfrom assay import sql_product\n"
            f'{_BIG}\nsql_product("large", """{query}""", owner="bench", contract=Big)\n',
        )
        _materialize(root, "prod")
    [used] = measure([assay("", root, "diff", "large", "-n", "3", "--measure", "net")], runs)
    return used


def _materialize(root: Path, *environments: str) -> None:
    for environment in environments:
        if environment != "prod":
            run(assay("", root, "env", "create", environment, "--empty").command, root)
        run(assay("", root, "materialize", "--env", environment).command, root)


if __name__ == "__main__":
    main()
