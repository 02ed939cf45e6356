"""The verb `products query`: an SQL query on the published products."""

from pathlib import Path

import click

from assay.build.workspace import environment_of
from assay.cli.options import ENV
from assay.cli.rows import note_held_back, show_answer
from assay.config import find_config
from assay.errors import UsageError
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
    sources = None
    if others := [name for name in names if not products.has(name)]:
        from assay.cli.sources import sources_of  # what is published needs no declarations

        sources = sources_of(env, as_of, others)
    with queries.run(sql, products, seconds, sources) as (columns, rows):
        show_answer(columns, rows, count, "json" if as_json else format)
    tables = dict.fromkeys(queries.tables(sql, products, sources).values())
    note_held_back(products.versions[table] for table in tables if products.has(table))
