"""The verb `products catalog`: where what is recorded is kept, and how it gets elsewhere."""

from contextlib import closing
from pathlib import Path

import click

from assay.catalog import open_catalog, shared_catalog
from assay.catalog.copying import copy
from assay.cli.printing import table, to_json
from assay.config import Config, catalog_place, find_config
from assay.text import clean


@click.group("catalog")
def verb() -> None:
    """Move what is recorded to another database, and back."""


@verb.command("copy")
@click.argument("to")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def copy_catalog(to: str, as_json: bool) -> None:
    """Copy the catalog to a PostgreSQL database (its address), or to a file; both must be new."""
    config = find_config(Path.cwd())
    place = catalog_place(to, Path.cwd())
    with closing(shared_catalog(config)) as source, closing(open_catalog(place)) as target:
        copied = copy(source, target, config.state / "store")
        told = {"from": source.name, "to": target.name, "tables": copied}
        then = _next(config, place, target.name)
    if as_json:
        return click.echo(to_json({**told, "next": then}, indent=2))
    table(
        ("table", "rows", "sha-256"), [(item.table, item.rows, item.digest[:12]) for item in copied]
    )
    click.echo(
        clean(f"  copied   {told['from']} to {told['to']}; all was read back, and is the same")
    )
    return click.echo(clean(f"  next     {then}"))


def _next(config: Config, place: Path | str, name: str) -> str:
    """Return what is to be changed for the copy to be used."""
    if place == config.state / "catalog.db":
        return "take `catalog` out of [tool.products] in pyproject.toml, and ASSAY_CATALOG out of the environment"
    told = Path(name).relative_to(config.root) if Path(name).is_relative_to(config.root) else name
    told = f'set catalog = "{told}" under [tool.products] in pyproject.toml'
    return (
        told if place in {name, Path(name)} else f"{told}, or ASSAY_CATALOG to all of its address"
    )
