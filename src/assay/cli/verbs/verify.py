"""The verb `products verify`: checks the catalog and all stored files for damage."""

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from datetime import UTC, datetime
from pathlib import Path

import click

from assay.cli.options import JSON
from assay.cli.printing import print_json
from assay.cli.rows import progress
from assay.config import find_config
from assay.text import clean
from assay.upkeep.findings import as_data as report_as_data
from assay.upkeep.findings import in_words
from assay.upkeep.rebuild import rebuilt
from assay.upkeep.verify import verify


@click.command("verify")
@click.argument("names", nargs=-1)
@click.option(
    "--repair",
    is_flag=True,
    help="Repair what is damaged, or build it again; move damaged and unknown files aside.",
)
@JSON
def verb(names: Sequence[str], repair: bool, as_json: bool) -> None:
    """Check the catalog and all stored files for damage. NAMES: only these products."""
    config, now = find_config(Path.cwd()), datetime.now(UTC)
    with progress() as advance:
        report = verify(config, names, now=now, mend=repair, progress=advance)
    if repair:
        with redirect_stdout(sys.stderr):  # output of users' code is not part of ours
            report = rebuilt(report, config, now=now)
        for problem in report.problems:
            click.echo(clean(f"  {problem}", keep_lines=True), err=True)
    if as_json:
        print_json(report_as_data(report))
    else:
        click.echo(clean("\n".join(in_words(report)), keep_lines=True))
    click.get_current_context().exit(report.exit_code)
