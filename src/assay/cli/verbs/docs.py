"""The verb `products docs`: pages about all products, as files."""

from datetime import datetime
from pathlib import Path

import click

from assay.cli.options import ENV, JSON, NOW, options
from assay.cli.printing import print_json
from assay.views.words.numbers import count_of
from assay.web.files import check_folder, write_pages
from assay.web.look import looking


@click.command("docs")
@options(ENV, NOW, JSON)
@click.option(
    "--to",
    default="site",
    show_default=True,
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Write the pages to FOLDER, which is empty or has pages of before.",
)
def verb(env: str | None, now: datetime | None, as_json: bool, to: Path) -> None:
    """Write pages about all products, for people who run no commands.

    Any web server shows them; they need none.
    """
    check_folder(to)
    with looking(env, now) as (look, workspace):
        written = write_pages(look, workspace, to)
    if as_json:
        return print_json(written)
    removed = f", {written.removed} of before removed" if written.removed else ""
    click.echo(
        f"  {count_of(written.pages, 'page')} in {to}{removed}; begin with {to / 'index.html'}"
    )
