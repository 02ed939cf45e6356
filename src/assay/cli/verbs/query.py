"""The verb `products query`: the published products, asked in SQL."""

from pathlib import Path

import click

from assay.build.workspace import environment_of
from assay.cli.options import ENV
from assay.cli.rows import note_held_back, show_answer
from assay.config import find_config
from assay.errors import UsageError
from assay.times import seconds_of
from assay.views import query as queries
from assay.views.read import published


@click.command("query")
@click.argument("sql")
@ENV
@click.option(
    "--as-of", metavar="TIME", help="As readers saw it then: a moment, or a release number."
)
@click.option(
    "--format",
    "format",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option(
    "-n",
    "--rows",
    "count",
    type=click.IntRange(0),
    help="So many rows; all, but of a table the first 1000.",
)
@click.option(
    "--timeout", metavar="TIME", default="", help="Stop it after so long, such as 30s or 5m."
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
    """Ask the published products in SQL. It can read them, and nothing else."""
    try:
        seconds = seconds_of(timeout)
    except ValueError as error:
        raise UsageError(f"--timeout: {error}", hint="Give it as 30s, 5m or '2 hours'.") from None
    seen = published(find_config(Path.cwd()), environment_of(env), as_of)
    with queries.run(sql, seen, seconds) as (names, rows):
        show_answer(names, rows, count, "json" if as_json else format)
    note_held_back(
        seen.versions[name] for name in dict.fromkeys(queries.tables(sql, seen).values())
    )
