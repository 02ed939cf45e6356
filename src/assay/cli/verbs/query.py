"""The verb `products query`: an SQL query on the published products."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import click

from assay.build.workspace import environment_of
from assay.cli.options import ENV
from assay.cli.rows import note_held_back, show_answer
from assay.config import find_config
from assay.errors import DeclarationError, UsageError
from assay.text import clean
from assay.times import seconds_of
from assay.views import query as queries
from assay.views.published import published


@click.command("query")
@click.argument("sql")
@ENV
@click.option(
    "--as-of",
    metavar="TIME",
    help="Query what was published at this moment, or as of this release number.",
)
@click.option(
    "--format",
    "format",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="Print a table, JSON or CSV.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option(
    "-n",
    "--rows",
    "count",
    type=click.IntRange(0),
    metavar="N",
    help="Print the first N rows; default: all, or 1000 in a table.",
)
@click.option(
    "--timeout",
    metavar="TIME",
    default="",
    help="Stop the query after TIME, such as 30s or 5m.",
)
def verb(
    sql: str,
    env: str | None,
    as_of: str | None,
    format: str,
    as_json: bool,
    count: int | None,
    timeout: str,
) -> None:
    """Run an SQL query on the published products. It cannot read or write anything else.

    Sources are read too, as their files are now.
    """
    try:
        seconds = seconds_of(timeout)
    except ValueError as error:
        raise UsageError(f"--timeout: {error}", hint="Give it as 30s, 5m or '2 hours'.") from None
    names = queries.names(sql)
    products = published(find_config(Path.cwd()), environment_of(env), as_of, names)
    sources = _sources(env, as_of, [name for name in names if not products.has(name)])
    with queries.run(sql, products, seconds, sources) as (columns, rows):
        show_answer(columns, rows, count, "json" if as_json else format)
    tables = dict.fromkeys(queries.tables(sql, products, sources).values())
    note_held_back(products.versions[table] for table in tables if products.has(table))


def _sources(env: str | None, as_of: str | None, names: Sequence[str]) -> queries.Sources:
    """Return the sources among the names that are not published; a note says what changed."""
    if not names:
        return queries.Sources()
    from assay.cli.opening import opened  # what is published is queried without the declarations
    from assay.views.source_rows import source_tables, sources_named
    from assay.views.sources import source_statuses

    with suppress(DeclarationError), opened(env, last_good=True) as workspace:
        named = sources_named(workspace.graph, names)
        if named and as_of is not None:
            name = min(named.values())
            hint = f"With keep=True, what is read of {name} from then on is kept."
            raise UsageError(
                f"{name} is a source that is not kept: --as-of is not known", hint=hint
            )
        if not named:
            return queries.Sources()  # the refusal of the query says what is published
        observed = workspace.observe()
        sources = [workspace.graph.sources[name] for name in sorted(set(named.values()))]
        for status in source_statuses(workspace, observed, sources, {}):
            if status.because and status.files:
                click.echo(clean(f"  {status.product}: {status.because}"), err=True)
        return source_tables(workspace, observed, named)
    return queries.Sources()
