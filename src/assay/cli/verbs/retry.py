"""The verb `products retry`: what failed last time is built again."""

from datetime import datetime

import click

from assay.build.session import check_now, open_session
from assay.cli.options import ENV, JSON, NOW, options
from assay.cli.running import end, go
from assay.events import Outcome
from assay.plan.ladder import RunOptions


@click.command("retry")
@options(ENV, NOW, JSON)
@click.option("--jobs", type=click.IntRange(1, 64), help="How many products at a time.")
def verb(env: str | None, now: datetime | None, as_json: bool, jobs: int | None) -> None:
    """Build again what failed or was left in the last run, and what was held because of that alone."""
    with open_session(env, now, create=True) as session:
        check_now(session, now)
        names = [
            n
            for n in session.catalog.unfinished(session.environment)
            if n in session.project.graph.products
        ]
        if names:
            observed = session.observe()
            outcome = go(
                session,
                observed,
                session.request(observed, names),
                as_json=as_json,
                manner=RunOptions(jobs=jobs or 0),
            )
        else:
            outcome = Outcome()
            click.echo("  nothing failed last time", err=as_json)
    end(outcome, as_json)
    click.get_current_context().exit(outcome.exit_code)
