"""The verb `products init`: creates an example project."""

from pathlib import Path

import click

from assay.cli.options import JSON
from assay.cli.printing import print_json
from assay.declare.template import start_project


@click.command("init")
@click.argument("folder", default=".", type=click.Path(file_okay=False, path_type=Path))
@JSON
def verb(folder: Path, as_json: bool) -> None:
    """Create a small example project.

    FOLDER is where; default: here. Nothing is overwritten.
    """
    paths = start_project(folder)
    if as_json:
        return print_json({"made": paths})
    for path in paths:
        click.echo(f"  made  {path}")
    click.echo("Next: products materialize, and products test")
    return None
