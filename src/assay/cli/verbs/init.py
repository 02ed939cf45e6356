"""The verb `products init`: a project to begin with."""

from pathlib import Path

import click

from assay.cli.options import JSON, say
from assay.declare.template import start_project


@click.command("init")
@click.argument("folder", default=".", type=click.Path(file_okay=False, path_type=Path))
@JSON
def verb(folder: Path, as_json: bool) -> None:
    """Make a small project that runs, in an empty folder."""
    made = start_project(folder)
    if as_json:
        return say({"made": made})
    for path in made:
        click.echo(f"  made  {path}")
    click.echo("Next: products materialize")
    return None
