"""The verb `products gc`: what need not be kept goes, and small files are put together."""

from datetime import datetime

import click

from assay.cli.opening import check_now, opened
from assay.cli.options import ENV, JSON, NOW, options, say
from assay.plan.retention import KeepRule
from assay.text import clean
from assay.upkeep.gc import tidied, tidy


@click.command("gc")
@options(ENV, NOW, JSON)
@click.option(
    "--keep",
    type=click.IntRange(1, 100_000),
    metavar="N",
    help="Keep the last N versions of each product.",
)
@click.option(
    "--days",
    type=click.IntRange(0, 36_500),
    metavar="D",
    help="Keep what readers saw within D days.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
def verb(
    env: str | None,
    now: datetime | None,
    as_json: bool,
    keep: int | None,
    days: int | None,
    dry_run: bool,
) -> None:
    """Remove versions that need not be kept, and files that nobody can be reading any more; tidy up small files."""
    with opened(env, now, create=True, reads=False, last_good=True) as workspace:
        check_now(workspace, now, releases=False)
        config = workspace.config
        rule = KeepRule(
            versions=config.keep_versions if keep is None else keep,
            days=config.keep_days if days is None else days,
        )
        told = tidy(workspace, rule, dry=dry_run)
    if as_json:
        return say(told)
    return click.echo(clean("\n".join(tidied(told, dry=dry_run)), keep_lines=True))
