"""The verb `products show`: rows of a version, rows that fail a rule, or a source."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click
from msgspec.structs import replace

from assay.build.evidence import never_shown
from assay.build.inputs import inputs_as_of_now
from assay.build.workspace import Workspace
from assay.cli.opening import opened
from assay.cli.options import ENV, JSON, options
from assay.cli.printing import print_json, table
from assay.cli.rows import copy_out, note_held_back, show_rows
from assay.errors import UsageError
from assay.model import Source
from assay.plan.as_of import as_of
from assay.plan.names import rule_of
from assay.plan.observed import Observed
from assay.sensitive import secret
from assay.text import clean
from assay.views.columns import declared_columns
from assay.views.files import CopyView, FileView, SourceView, file_view, source_view
from assay.views.published import table_of
from assay.views.query import first_rows
from assay.views.query_text import QueryView, query_view
from assay.views.rules import failures as failures_of
from assay.views.source_rows import first_source_rows
from assay.views.sources import source_statuses
from assay.views.versions import version_shown
from assay.views.words.files import column_lines, file_lines


@click.command("show")
@click.argument("name")
@options(ENV, JSON)
@click.option(
    "--version",
    "version_id",
    metavar="VERSION",
    help="Show this version, which need not have been published.",
)
@click.option("--held", is_flag=True, help="Show the version that is held back.")
@click.option(
    "--failures",
    metavar="RULE",
    help="Show the rows that fail this rule: its name, or part of it.",
)
@click.option(
    "-n",
    "--rows",
    "count",
    default=10,
    show_default=True,
    type=click.IntRange(0, 1_000_000),
    metavar="N",
    help="Show N rows.",
)
@click.option("--sql", is_flag=True, help="Show the query that builds it instead.")
@click.option(
    "--to",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write all of it to FILE instead; failing rows as CSV.",
)
def verb(
    name: str,
    env: str | None,
    as_json: bool,
    version_id: str | None,
    held: bool,
    failures: str | None,
    count: int,
    sql: bool,
    to: Path | None,
) -> None:
    """Show the first rows of a published product, or of a source, without sensitive values."""
    with opened(env, last_good=True) as workspace:
        full = workspace.graph.resolve(name, sources=True)
        if sql:
            return _print_query(query_view(workspace.graph, full), as_json)
        observed = workspace.observe()
        if source := workspace.graph.sources.get(full):
            if version_id or held or failures is not None or to:
                hint = "`products show` alone says what it is."
                raise UsageError(f"{full} is a source: it has no versions", hint=hint)
            return _show_source(workspace, observed, source, count, as_json=as_json)
        product = workspace.graph.products[full]
        inputs, steps = inputs_as_of_now(workspace, observed)
        version = version_shown(workspace, full, steps, version_id, held=held)
        if failures is not None:
            rule = rule_of(product, failures)
            with failures_of(workspace.project, inputs, product, version, rule) as (
                columns,
                failing,
            ):
                return show_rows(columns, failing, None if to else count, as_json, to)
        stored = table_of(version, workspace.storage)
    if to:
        copy_out(full, stored, to)
        _print(CopyView(product=full, version=version.id, file=str(to)), as_json)
    elif not version.columns:
        _print(file_view(version, stored), as_json)
    else:
        patterns = never_shown(inputs, product, stored)
        hidden = secret([column.name for column in version.columns], patterns)
        names, rows = first_rows(stored, count, workspace.config, sorted(hidden))
        _print_rows(names, rows, version.rows, as_json)
        if not as_json:
            declared = declared_columns(product.contract.columns)
            _print_lines(column_lines(declared, product.contract.description))
    return note_held_back([version])


def _show_source(
    workspace: Workspace, observed: Observed, source: Source, count: int, *, as_json: bool
) -> None:
    """Show the files of a source, and the first rows of a source of tables."""
    state, reaches = observed.sources[source.name], as_of(workspace.graph, observed)[source.name]
    [status] = source_statuses(workspace, observed, [source], {})
    view = source_view(source, state, reaches, status)
    if state.missing or source.is_file:
        return _print(view, as_json)
    names, rows, more = first_source_rows(workspace, observed, source.name, count)
    if as_json:
        first = tuple(dict(zip(names, row, strict=True)) for row in rows)
        return print_json(replace(view, rows=first))
    table(names, rows)
    _print(view, as_json=False)
    if more:
        click.echo(f"  the first {count} rows; -n shows more", err=True)
    return None


def _print_query(view: QueryView, as_json: bool) -> None:
    if as_json:
        return print_json(view)
    if view.dialect:
        click.echo(f"-- translated from {view.dialect} ({clean(view.where)})")
    return click.echo(clean(view.sql, keep_lines=True))


def _print(view: SourceView | FileView | CopyView, as_json: bool) -> None:
    if as_json:
        print_json(view)
    else:
        _print_lines(file_lines(view))


def _print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(clean(line))


def _print_rows(
    names: Sequence[str], rows: Sequence[Sequence[Any]], row_count: int, as_json: bool
) -> None:
    """Print the first rows of a version that has `row_count` rows."""
    if as_json:
        return print_json([dict(zip(names, row, strict=True)) for row in rows])
    table(names, rows)
    if len(rows) < row_count:
        click.echo(f"  {len(rows)} of {row_count:,} rows; -n {row_count} shows all", err=True)
    return None
