"""The verb `products waivers`: what is let through although a rule fails."""

from collections.abc import Sequence
from datetime import datetime

import click

from assay.cli.opening import opened
from assay.cli.options import ENV, EXCLUDE, JSON, NOW, SELECT, options
from assay.cli.printing import print_json
from assay.plan.select import select_products
from assay.text import clean
from assay.views.waivers import waivers


@click.command("waivers")
@click.argument("names", nargs=-1, metavar="[NAMES]...")
@options(SELECT, EXCLUDE, ENV, NOW, JSON)
def verb(
    names: Sequence[str],
    select: Sequence[str],
    exclude: Sequence[str],
    env: str | None,
    now: datetime | None,
    as_json: bool,
) -> None:
    """List the waivers: what each lets through, until when, why, and whether it was used."""
    with opened(env, now, last_good=True) as workspace:
        named: list[str] | None = None
        if names or select or exclude:
            named = sorted(select_products(workspace.graph, [*names, *select], exclude))
        views = waivers(workspace, named)
    if as_json:
        return print_json(views)
    for view in views:
        used = "" if view.used else ", unused"
        click.echo(clean(f"{view.id:9} {view.state + used:18} until {view.until}  {view.product}"))
        click.echo(clean(f"          {view.rule}: {view.tolerates}"))
        by = f"{view.author}, approved by {view.approved_by}" if view.approved_by else view.author
        click.echo(clean(f"          {by}: {view.because}"))
    if not views:
        click.echo("no waivers")
    return None
