"""The verb `products init`: creates an example project."""

from pathlib import Path

import click

from assay.cli.options import JSON
from assay.cli.printing import print_json
from assay.config import FILE
from assay.declare.template import start_project


@click.command("init")
@click.argument("folder", default=".", type=click.Path(file_okay=False, path_type=Path))
@JSON
def verb(folder: Path, as_json: bool) -> None:
    """Create a small example project.

    FOLDER is where; default: here. Nothing is overwritten; a `pyproject.toml` that is there gets
    the table [tool.products] at its end.
    """
    was_there = (folder / FILE).exists()
    paths = start_project(folder)
    if as_json:
        return print_json({"made": paths})
    for path in paths:
        click.echo(f"  {'added to' if path == FILE and was_there else 'made':8}  {path}")
    click.echo("Next: products materialize, and products test")
    return None
