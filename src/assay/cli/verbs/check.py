"""The verb `products check`: what is wrong with the declarations, without any data."""

from collections.abc import Sequence

import click

from assay.cli.opening import opened
from assay.cli.options import EXCLUDE, JSON, SELECT, options
from assay.cli.printing import print_json
from assay.plan.select import select_products
from assay.text import clean
from assay.views.changes import with_changes
from assay.views.check import check
from assay.views.words.check import check_lines

_BROKEN = 4  # exit code when something is wrong


@click.command("check")
@click.argument("names", nargs=-1, metavar="[NAMES]...")
@options(SELECT, EXCLUDE, JSON)
@click.option(
    "--against",
    metavar="REF",
    help="Also report what changed since a git ref, a folder, a copy of a manifest.json, or what an "
    "environment publishes (env:NAME).",
)
def verb(
    names: Sequence[str],
    select: Sequence[str],
    exclude: Sequence[str],
    as_json: bool,
    against: str | None,
) -> None:
    """Check that code, rules and contracts fit together, without any data.

    NAMES are selectors, as after -s. Changes nothing, and reads no data. Exits with 4 when
    something is wrong, such as a change that breaks a promise.
    """
    with opened() as workspace:
        wanted = sorted(select_products(workspace.graph, [*names, *select], exclude))
        view = check(workspace, wanted)
        if against is not None:
            chosen = wanted if any([names, select, exclude]) else None
            view = with_changes(view, workspace, against, chosen)
    if as_json:
        print_json(view)
    else:
        for line in check_lines(view):
            click.echo(clean(line))
    if view.failed:
        click.get_current_context().exit(_BROKEN)
