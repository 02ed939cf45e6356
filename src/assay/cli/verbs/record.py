"""The verb `products record`: promises kept of those due, and what was held back, waived, restated."""

from collections.abc import Sequence
from datetime import date, datetime

import click

from assay.cli.opening import opened
from assay.cli.options import ENV, EXCLUDE, JSON, NOW, SELECT, day, options
from assay.cli.printing import print_json, print_lines, table
from assay.errors import UsageError
from assay.plan.graph import Graph
from assay.plan.select import select_declared
from assay.views.record import period_of, records_of
from assay.views.words.record import HEADERS, record_lines, record_row


@click.command("record")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@options(SELECT, EXCLUDE, ENV, NOW, JSON)
@click.option("--since", callback=day, metavar="DATE", help="The first day.")
@click.option("--until", callback=day, metavar="DATE", help="The last day.")
@click.option("--month", default="", metavar="MONTH", help="A month instead, such as 2011-12.")
def verb(
    names: Sequence[str],
    select: Sequence[str],
    exclude: Sequence[str],
    env: str | None,
    now: datetime | None,
    as_json: bool,
    since: date | None,
    until: date | None,
    month: str,
) -> None:
    """Show how products kept their promises, and what was held back, waived and restated.

    One product in sentences, several in a table, the worst first. By default the days are those of
    this month so far and of the month before.
    """
    period = period_of(since, until, month)
    with opened(env, now, last_good=True) as workspace:
        chosen = _chosen(workspace.graph, [*names, *select], exclude)
        views = records_of(workspace, chosen, period) if chosen else []
    if as_json:
        return print_json(views)
    if not views:
        return click.echo("  no products")
    if len(chosen) == 1:
        print_lines(record_lines(views[0]))
        return None
    return table(HEADERS, map(record_row, views))


def _chosen(graph: Graph, selectors: Sequence[str], exclude: Sequence[str]) -> list[str]:
    """Return the products that selectors name, without those released with them."""
    declared = select_declared(graph, " ".join(selectors)) if selectors else set(graph.products)
    chosen = declared - select_declared(graph, " ".join(exclude))
    if chosen and not chosen & graph.products.keys():
        source = min(chosen)
        raise UsageError(
            f"{source} is a source: the record is of products",
            hint=f"`products freshness {source}` says how its promise stands.",
        )
    return sorted(chosen & graph.products.keys())
