"""The verb `products retry`: builds again what failed in the last run."""

from datetime import datetime

import click

from assay.cli.opening import opened, selected
from assay.cli.options import ENV, JOBS, JSON, NOW, options
from assay.cli.running import print_summary, run_and_report
from assay.cli.telling import tell_people
from assay.events import Outcome
from assay.plan.request import RunOptions


@click.command("retry")
@options(ENV, NOW, JSON, JOBS)
def verb(env: str | None, now: datetime | None, as_json: bool, jobs: int | None) -> None:
    """Build again what failed or was left in the last run, and what was held because of it."""
    with opened(env, now, create=True) as workspace:
        workspace.check_now(now)
        unfinished = workspace.catalog.unfinished(workspace.environment)
        names = [name for name in unfinished if name in workspace.graph.products]
        if names:
            observed = workspace.observe()
            request = selected(workspace, observed, names)
            run_options = RunOptions(jobs=jobs or 0)
            outcome = run_and_report(
                workspace, observed, request, as_json=as_json, options=run_options
            )
            print_summary(outcome, as_json)
            tell_people(workspace, observed, outcome)
        else:
            outcome = Outcome()
            click.echo("  nothing failed last time", err=as_json)
            print_summary(outcome, as_json)
    click.get_current_context().exit(outcome.exit_code)
