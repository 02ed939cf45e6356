"""Rows or the copy of a product that a verb shows, and a progress bar."""

import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import click

from assay.cli.printing import table, write_csv, write_json
from assay.engines import polars as lazy
from assay.engines.damage import damage_reported
from assay.engines.tables import StoredTable
from assay.errors import UsageError
from assay.facts import Version
from assay.text import clean
from assay.views.json_text import to_json
from assay.views.published import held_back

_TABLE_ROWS = 1000  # rows that a table shows by default


def show_answer(
    names: Sequence[str], rows: Iterator[Sequence[Any]], count: int | None, format: str
) -> None:
    """Show the rows of a query; JSON and CSV are written row by row, a table needs all its rows."""
    if format == "json":
        shown = islice(rows, count)
        write_json((dict(zip(names, row, strict=True)) for row in shown), sys.stdout)
    elif format == "csv":
        write_csv(names, islice(rows, count), sys.stdout)
    else:
        limit = _TABLE_ROWS if count is None else count
        table(names, islice(rows, limit))
        if next(rows, None) is not None:
            note = f"  the first {limit:,} rows; -n shows more, --format csv or json all"
            click.echo(note, err=True)


def note_held_back(versions: Iterable[Version]) -> None:
    """Print on stderr which parts of the shown versions are held back."""
    for note in filter(None, map(held_back, versions)):
        click.echo(clean(f"  {note}"), err=True)


def show_rows(
    names: Sequence[str],
    rows: Iterable[Sequence[Any]],
    count: int | None,
    as_json: bool,
    to: Path | None,
) -> None:
    """Show the first failing rows, or write all of them to a CSV file."""
    if to:
        if to.suffix.lower() != ".csv":
            raise UsageError(
                f"failing rows are written as CSV, and {to.name} is named otherwise",
                hint="Name a file that ends in .csv.",
            )
        with to.open("w", encoding="utf-8", newline="") as out:
            write_csv(names, rows, out)
        click.echo(to_json({"file": str(to)}, indent=2) if as_json else clean(f"  wrote  {to}"))
        return
    first = list(islice(rows, count))
    has_more = next(iter(rows), None) is not None
    if as_json:
        click.echo(to_json([dict(zip(names, row, strict=True)) for row in first], indent=2))
        return
    table(names, first)
    if not first and count:
        click.echo("  no row fails", err=True)
    if has_more:
        click.echo(f"  the first {count}; -n shows more, --to FILE.csv writes all", err=True)


@contextmanager
def progress() -> Iterator[Callable[[int, int], None]]:
    """Give a function that takes the bytes read since its last call, and the bytes in all.

    On a terminal, a progress bar is drawn.
    """
    if not sys.stderr.isatty():
        yield lambda _, __: None
        return
    with click.progressbar(length=1, label="  reading", file=sys.stderr) as bar:

        def advance(step: int, total: int) -> None:
            bar.length = max(total, 1)
            bar.update(step)

        yield advance


def copy_out(name: str, table: StoredTable, to: Path) -> None:
    """Write a product to one file; UsageError if the file's suffix is that of another format."""
    suffix = table.files[0].suffix
    if to.suffix not in {"", suffix}:
        hint = f"Name a file that ends in {suffix}"
        if (suffix, to.suffix.lower()) == (".parquet", ".csv"):
            hint += f"; `products query 'from {name}' --format csv` writes CSV"
        raise UsageError(
            f"{name} is stored as {suffix}, so it cannot be copied to {to.name}", hint=f"{hint}."
        )
    if len(table.files) == 1 and not table.cuts:
        shutil.copyfile(table.files[0], to)
        return
    with damage_reported([table]):
        lazy.parquet(table).sink_parquet(
            to, compression="zstd", compression_level=1, statistics=False
        )
