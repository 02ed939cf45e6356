"""The verb `products catalog`: copies the catalog to another database."""

from contextlib import closing
from pathlib import Path

import click

from assay.catalog import open_catalog, shared_catalog
from assay.catalog.copying import copy
from assay.cli.options import JSON
from assay.cli.printing import print_json, table
from assay.config import Config, catalog_place, find_config
from assay.text import clean


@click.group("catalog")
def verb() -> None:
    """Copy the catalog to another database."""


@verb.command("copy")
@click.argument("to")
@JSON
def copy_catalog(to: str, as_json: bool) -> None:
    """Copy the catalog. TO is the address of a PostgreSQL database or a file; it must be new."""
    config = find_config(Path.cwd())
    place = catalog_place(to, Path.cwd())
    with closing(shared_catalog(config)) as source, closing(open_catalog(place)) as target:
        copied = copy(source, target, config.state / "store")
        next_step = _next_step(config, place, target.name)
    if as_json:
        return print_json(
            {"from": source.name, "to": target.name, "tables": copied, "next": next_step}
        )
    rows = [(item.table, item.rows, item.digest[:12]) for item in copied]
    table(("table", "rows", "sha-256"), rows)
    message = f"  copied   {source.name} to {target.name}; all was read back, and is the same"
    click.echo(clean(message))
    return click.echo(clean(f"  next     {next_step}"))


def _next_step(config: Config, place: Path | str, name: str) -> str:
    """Return which setting to change so that the copy is used."""
    if place == config.state / "catalog.db":
        return (
            "take `catalog` out of [tool.products] in pyproject.toml,"
            " and ASSAY_CATALOG out of the environment"
        )
    setting = (
        Path(name).relative_to(config.root) if Path(name).is_relative_to(config.root) else name
    )
    step = f'set catalog = "{setting}" under [tool.products] in pyproject.toml'
    if place in {name, Path(name)}:
        return step
    return f"{step}, or ASSAY_CATALOG to all of its address"
