"""The verb `products notify`: delivers what is still to be told, or tries the routes."""

import os
from collections.abc import Sequence

import click

from assay.build.workspace import Workspace
from assay.cli.opening import opened
from assay.cli.options import JSON, options
from assay.cli.printing import print_json
from assay.cli.telling import note_misfits
from assay.errors import UsageError
from assay.plan.names import nearest
from assay.routes import Route
from assay.text import clean
from assay.watch.notify import Delivery, deliver, try_routes


@click.command("notify")
@click.argument("routes", nargs=-1, metavar="[ROUTE]...")
@click.option("--test", is_flag=True, help="Send a test message to every address instead.")
@options(JSON)
def verb(routes: Sequence[str], test: bool, as_json: bool) -> None:
    """Deliver now what is still to be told, or, with --test, try the routes of the settings."""
    if routes and not test:
        raise UsageError("routes are named to try them", hint="products notify ROUTE --test")
    with opened(last_good=True) as workspace:
        chosen = _chosen(workspace, routes)
        note_misfits(workspace)
        deliveries = (
            try_routes(workspace, chosen, os.environ)
            if test
            else deliver(workspace, os.environ, at_once=True)
        )
    if as_json:
        print_json([_as_data(delivery) for delivery in deliveries])
    else:
        for delivery in deliveries:
            click.echo(clean(f"  {_line(delivery)}"))
        if not deliveries:
            click.echo("  nothing is waiting to be told")
    click.get_current_context().exit(int(any(delivery.error for delivery in deliveries)))


def _chosen(workspace: Workspace, names: Sequence[str]) -> Sequence[Route]:
    routes = {route.name: route for route in workspace.config.notify}
    if not routes:
        hint = 'Add [tool.products.notify.NAME] with to = ["mailto://…"]; see docs/telling.md.'
        raise UsageError("no routes in [tool.products.notify]: nobody is told", hint=hint)
    for name in names:
        if name not in routes:
            listed = f"Routes: {', '.join(routes)}."
            raise UsageError(f"no route {name!r}", hint=nearest(name, routes) or listed)
    return [routes[name] for name in names] or [*routes.values()]


def _as_data(delivery: Delivery) -> dict[str, object]:
    return {
        "route": delivery.route,
        "address": delivery.message.address,
        "recipient": delivery.message.recipient,
        "subject": delivery.message.subject,
        "delivered": not delivery.error,
        "error": delivery.error,
    }


def _line(delivery: Delivery) -> str:
    to = f" ({delivery.message.recipient})" if delivery.message.recipient else ""
    number = delivery.message.address + 1
    head = f"{delivery.route}, address {number}{to}: "
    return head + (f"not delivered: {delivery.error}" if delivery.error else "delivered")
