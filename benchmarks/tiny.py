"""Many tiny SQL products with two rules each: Assay beside a raw DuckDB script that writes and checks the same tables.

    python -m benchmarks.tiny --products 1000

Both sides run in one go on the same machine, as whole processes; figures are CPU seconds (user and system, children
too), the median of `--runs`, and the ratio to the raw script. The raw script pays for no durability and keeps no
evidence.
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

ROWS = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--products", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), options.products, options.runs)


def measure(folder: Path, count: int, runs: int) -> None:
    """Print a table of medians and ratios."""
    project, raw = folder / "project", folder / "raw"
    raw.mkdir()
    write_project(project, count)
    write_raw(raw, count)
    leaf = project / f"products/m{(count - 1) // 100}.py"

    def edit() -> None:
        leaf.write_text(leaf.read_text().replace(f"x + {count - 1} ", f"x + {count - 1} + 0 * x ", 1))

    rows = [
        ("raw script: write and check all", lambda: clear(raw / "out"), [sys.executable, "raw.py"], raw),
        ("materialize, everything", lambda: clear(project / ".products"), assay("materialize"), project),
        ("materialize, nothing changed", lambda: None, assay("materialize"), project),
        ("materialize, one leaf changed", edit, assay("materialize"), project),
        ("status", lambda: None, assay("status"), project),
        ("--help", lambda: None, assay("--help"), project),
    ]
    print(f"{count} products of {ROWS} rows, 2 rules each; CPU seconds, median of {runs}\n")
    print(f"{'work':<34} {'CPU s':>8} {'/ raw':>8}")
    base = 0.0
    for name, prepare, command, place in rows:
        seconds = statistics.median(cpu(prepare, command, place) for _ in range(runs))
        base = base or seconds
        print(f"{name:<34} {seconds:>8.2f} {seconds / base:>8.2f}")


def assay(verb: str) -> list[str]:
    return [sys.executable, "-m", "assay", verb]


def clear(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def cpu(prepare: Callable[[], None], command: Sequence[str], place: Path) -> float:
    """Return the CPU seconds of a command that has to succeed."""
    prepare()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(command, cwd=place, check=True, stdout=subprocess.DEVNULL, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def above(number: int) -> str:
    """Return what a product is made of: the root, or one of those before it."""
    return "numbers" if number == 0 else f"m{number // 10 // 100}.p{number // 10}"


def query(number: int, read: str) -> str:
    return f"select id, x + {number} as x from {read}"


def write_project(root: Path, count: int) -> None:
    (root / "products").mkdir(parents=True)
    (root / "data").mkdir()
    (root / "pyproject.toml").write_text("[tool.products]\n")
    (root / "data/numbers.csv").write_text("id,x\n" + "".join(f"{n},{n % 7}\n" for n in range(ROWS)))
    for start in range(0, count, 100):
        lines = ["import polars as pl", "from assay import rule, source, sql_product"]
        if start == 0:
            lines.append("numbers = source.files('data/numbers.csv', columns={'id': pl.Int64, 'x': pl.Int64})")
        for n in range(start, min(start + 100, count)):
            read = above(n)
            lines.append(
                f"sql_product('p{n}', '{query(n, read)} ', owner='bench', rules=["
                "rule.sql('id is there', 'select id from this where id is null'),"
                "rule.sql('id is unique', 'select id from this group by id having count(*) > 1')])"
            )
        (root / f"products/m{start // 100}.py").write_text("\n".join(lines) + "\n")


def write_raw(root: Path, count: int) -> None:
    (root / "data").mkdir()
    (root / "data/numbers.csv").write_text("id,x\n" + "".join(f"{n},{n % 7}\n" for n in range(ROWS)))
    lines = ["import os, duckdb", "os.makedirs('out', exist_ok=True)", "con = duckdb.connect()", "run = con.execute"]
    columns = "columns={'id': 'BIGINT', 'x': 'BIGINT'}, header=true"
    lines.append(f"run(\"create view numbers as from read_csv('data/numbers.csv', {columns})\")")
    for n in range(count):
        file = f"out/p{n}.parquet"
        read = "numbers" if n == 0 else f"'out/p{n // 10}.parquet'"
        lines.append(
            f"run(\"copy ({query(n, read)}) to '{file}' (format parquet, compression zstd, parquet_version v2)\")"
        )
        lines.append(f"assert not run(\"select count(*) from '{file}' where id is null\").fetchone()[0]")
        twice = f"select id from '{file}' group by id having count(*) > 1"
        lines.append(f'assert not run("select count(*) from ({twice})").fetchone()[0]')
    (root / "raw.py").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
