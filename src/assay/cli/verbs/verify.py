"""The verb `products verify`: whether all that is stored is what was written."""

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from datetime import UTC, datetime
from pathlib import Path

import click

from assay.cli.options import JSON, say
from assay.cli.rows import progress
from assay.config import find_config
from assay.text import clean
from assay.upkeep.findings import as_data as found_as_data
from assay.upkeep.findings import in_words
from assay.upkeep.rebuild import rebuilt
from assay.upkeep.verify import verify


@click.command("verify")
@click.argument("names", nargs=-1)
@click.option(
    "--repair",
    is_flag=True,
    help="Mend what can be proved, or build it again; set aside what is damaged or foreign.",
)
@JSON
def verb(names: Sequence[str], repair: bool, as_json: bool) -> None:
    """Look whether the catalog is sound and every stored file still what was written. NAMES: only these products."""
    with progress() as told:
        found = verify(
            config := find_config(Path.cwd()),
            names,
            now=(now := datetime.now(UTC)),
            mend=repair,
            told=told,
        )
    if repair:
        with redirect_stdout(sys.stderr):  # what users' code prints
            found = rebuilt(found, config, now=now)
        for problem in found.problems:
            click.echo(clean(f"  {problem}", keep_lines=True), err=True)
    say(found_as_data(found)) if as_json else click.echo(
        clean("\n".join(in_words(found)), keep_lines=True)
    )
    click.get_current_context().exit(found.exit_code)
