"""The verb `products env`: creates, lists and drops environments."""

from datetime import datetime

import click

from assay.build.environments import create, drop
from assay.cli.opening import opened
from assay.cli.options import JSON, NOW, options
from assay.cli.printing import print_json, table
from assay.errors import UsageError
from assay.text import clean
from assay.views.environments import EnvironmentView, environments

_LISTED = 3  # products that differ, by name


@click.group("env")
def verb() -> None:
    """Create, list and drop environments: to try a change beside what readers see."""


@verb.command("create")
@click.argument("name")
@click.option(
    "--from", "parent", metavar="PARENT", help="Whose pointers to copy; default: of the settings."
)
@click.option("--empty", is_flag=True, help="Copy no pointers: nothing is published in it.")
@click.option("--again", is_flag=True, help="Copy the pointers of PARENT to NAME once more.")
@options(NOW, JSON)
def create_environment(
    name: str, parent: str | None, empty: bool, again: bool, now: datetime | None, as_json: bool
) -> None:
    """Create the environment NAME with the pointers of PARENT. Copies no data."""
    if empty and (parent is not None or again):
        raise UsageError("give --empty or --from PARENT, and no --again with --empty")
    if parent == "":
        raise UsageError("--from names no environment", hint="--empty creates one without any.")
    with opened(now=now, create=True, reads=False, last_good=True) as workspace:
        created = create(workspace, name, "" if empty else parent, again=again)
    environment = created.environment
    if as_json:
        return print_json(
            {
                "result": "created",
                "environment": environment.name,
                "parent": environment.parent,
                "again": created.again,
                "release": created.release,
                "products": created.products,
            }
        )
    what = (
        f"from {environment.parent}: {_count(created.products)}" if environment.parent else "empty"
    )
    click.echo(clean(f"  created  {name}  {what}{', as they are now' if created.again else ''}"))
    return click.echo(f"    `products materialize --env {name}` builds in it")


@verb.command("ls")
@JSON
def list_environments(as_json: bool) -> None:
    """List the environments: the parent of each, and what differs from it."""
    with opened(reads=False, last_good=True) as workspace:
        views = environments(workspace.catalog, workspace.config.environment)
    if as_json:
        return print_json(views)
    headers = ("environment", "parent", "created", "products", "last run", "differs from parent")
    return table(headers, map(_row, views))


@verb.command("drop")
@click.argument("name")
@options(NOW, JSON)
def drop_environment(name: str, now: datetime | None, as_json: bool) -> None:
    """Drop an environment: its pointers, and what is recorded for it alone."""
    with opened(now=now, reads=False, last_good=True) as workspace:
        dropped = drop(workspace, name)
    if as_json:
        return print_json(
            {
                "result": "dropped",
                "environment": name,
                "release": dropped.release,
                "products": dropped.products,
            }
        )
    click.echo(clean(f"  dropped  {name}  it published {_count(dropped.products)}"))
    return click.echo("    `products gc` lets go of the versions that only it had, in time")


def _count(products: int) -> str:
    return "1 product" if products == 1 else f"{products} products"


def _row(view: EnvironmentView) -> tuple[object, ...]:
    names = ", ".join(view.differs[:_LISTED])
    more = f" and {len(view.differs) - _LISTED} more" if len(view.differs) > _LISTED else ""
    return (
        view.name,
        view.parent,
        _minute(view.created_at),
        view.products,
        _minute(view.last_run),
        f"{len(view.differs)}: {names}{more}" if names else "",
    )


def _minute(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M}" if at else ""
