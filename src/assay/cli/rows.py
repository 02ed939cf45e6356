"""Which version of a product is shown, its rows or a copy of it as one file, and how far something is."""

import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import click

from assay.build.workspace import Workspace
from assay.catalog.versions import version_of
from assay.cli.printing import table, to_json, write_csv, write_json
from assay.decisions import Blocked, Check, Decision, Keep, Publish
from assay.engines import polars as lazy
from assay.engines.damage import damage_reported
from assay.engines.tables import StoredTable
from assay.errors import UsageError
from assay.facts import Version
from assay.plan.digests import key_of
from assay.text import clean
from assay.views.read import held_back, published

_TABLE = 1000  # rows of an answer that a table shows unless it is told


def version_shown(
    workspace: Workspace,
    name: str,
    steps: Mapping[str, Decision],
    version_id: str | None,
    *,
    held: bool,
) -> Version:
    """Return the version that is held back, one by its id, or what readers see; UsageError when there is none."""
    if held and version_id:
        raise UsageError("give --held or --version, not both")
    if held:
        end = steps[name]
        if isinstance(end, Publish | Keep) and end.version.key.held:
            key = (
                end.version.key
            )  # other parts of it are out: what is held is what was built with these
            whole = workspace.observe().facts.find(name, key_of(key.code, key.inputs).digest)
            return whole or end.version
        if not isinstance(end, Blocked):
            told = (
                "its version is not judged as of now: `products materialize` judges it"
                if isinstance(end, Check)
                else ""
            )
            raise UsageError(f"no version of {name} is held back", hint=told)
        return end.version
    if version_id:
        return version_of(workspace.catalog, name, version_id)
    return published(workspace.config, workspace.environment).version(name)


def show_answer(
    names: Sequence[str], rows: Iterator[Sequence[Any]], count: int | None, format: str
) -> None:
    """Show the rows of a query as they come; a table has to hold all that it shows, so it shows the first alone."""
    shown = islice(rows, count)
    if format == "json":
        write_json((dict(zip(names, row, strict=True)) for row in shown), sys.stdout)
    elif format == "csv":
        write_csv(names, shown, sys.stdout)
    else:
        table(names, islice(shown, _TABLE if count is None else count))
        if next(rows, None) is not None:
            some = f"{_TABLE if count is None else count:,}"
            click.echo(
                f"  the first {some} rows; -n shows more, --format csv or json all", err=True
            )


def note_held_back(versions: Iterable[Version]) -> None:
    """Say beside what is shown which parts of it are held back."""
    for told in filter(None, map(held_back, versions)):
        click.echo(clean(f"  {told}"), err=True)


def show_rows(
    names: Sequence[str],
    rows: Iterable[Sequence[Any]],
    count: int | None,
    as_json: bool,
    to: Path | None,
) -> None:
    """Show failing rows as they come, or write them all to a CSV file."""
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
    more = next(iter(rows), None)
    if as_json:
        click.echo(to_json([dict(zip(names, row, strict=True)) for row in first], indent=2))
        return
    table(names, first)
    if not first and count:
        click.echo("  no row fails", err=True)
    if more is not None:
        click.echo(f"  the first {count}; -n shows more, --to FILE.csv writes all", err=True)


@contextmanager
def progress() -> Iterator[Callable[[int, int], None]]:
    """Give what is told how many bytes were read, and of how many; on a terminal, that is drawn as a bar."""
    if not sys.stderr.isatty():
        yield lambda _, __: None
        return
    with click.progressbar(length=1, label="  reading", file=sys.stderr) as bar:

        def told(step: int, of: int) -> None:
            bar.length = max(of, 1)
            bar.update(step)

        yield told


def copy_out(name: str, table: StoredTable, to: Path) -> None:
    """Write a product to one file; UsageError when that would be something else by its name."""
    suffix = table.files[0].suffix
    if to.suffix not in {"", suffix}:
        other = (
            f"`products query 'from {name}' --format csv` writes CSV"
            if (suffix, to.suffix.lower()) == (".parquet", ".csv")
            else ""
        )
        raise UsageError(
            f"{name} is stored as {suffix}, so it cannot be copied to {to.name}",
            hint=f"Name a file that ends in {suffix}{f'; {other}' if other else ''}.",
        )
    if len(table.files) == 1 and not table.cuts:
        shutil.copyfile(table.files[0], to)
        return
    with damage_reported([table]):
        lazy.parquet(table).sink_parquet(
            to, compression="zstd", compression_level=1, statistics=False
        )
