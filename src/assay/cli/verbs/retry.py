"""The verb `products retry`: what failed last time is built again."""

from datetime import datetime

import click

from assay.cli.opening import check_now, opened, selected
from assay.cli.options import ENV, JSON, NOW, options
from assay.cli.running import end, go
from assay.events import Outcome
from assay.plan.request import RunOptions


@click.command("retry")
@options(ENV, NOW, JSON)
@click.option("--jobs", type=click.IntRange(1, 64), help="How many products at a time.")
def verb(env: str | None, now: datetime | None, as_json: bool, jobs: int | None) -> None:
    """Build again what failed or was left in the last run, and what was held because of that alone."""
    with opened(env, now, create=True) as workspace:
        check_now(workspace, now)
        names = [
            n
            for n in workspace.catalog.unfinished(workspace.environment)
            if n in workspace.graph.products
        ]
        if names:
            observed = workspace.observe()
            outcome = go(
                workspace,
                observed,
                selected(workspace, observed, names),
                as_json=as_json,
                options=RunOptions(jobs=jobs or 0),
            )
        else:
            outcome = Outcome()
            click.echo("  nothing failed last time", err=as_json)
    end(outcome, as_json)
    click.get_current_context().exit(outcome.exit_code)
