"""A run as a command makes it: told as it goes, with what it left at the end."""

import gc
import sys
from contextlib import redirect_stdout
from typing import Any

import click
from msgspec.structs import replace

from assay.build.execute import execute
from assay.build.workspace import Workspace
from assay.cli.printing import JsonReporter, PlainReporter, RichReporter, to_json
from assay.events import Outcome
from assay.plan.observed import Observed
from assay.plan.request import Request, RunOptions
from assay.signals import stop_at_sigterm
from assay.views.words import Story


def go(
    workspace: Workspace,
    observed: Observed,
    request: Request,
    *,
    as_json: bool,
    options: RunOptions,
) -> Outcome:
    """Build what is requested and report it on the way."""
    stop_at_sigterm()
    _tune_garbage_collection()
    # Facts read anew, which see what the run records.
    facts = workspace.catalog.facts(workspace.environment, workspace.storage.holds)
    story, width = Story(workspace.graph, facts), max(map(len, request.products), default=0)
    reporter = _reporter(story, width, as_json)
    try:
        with redirect_stdout(sys.stderr):  # what users' code prints is not part of what we say
            return execute(
                replace(workspace, reporter=reporter),
                request,
                observed,
                options=replace(options, jobs=options.jobs or workspace.config.jobs),
            )
    finally:
        reporter.close()


def _tune_garbage_collection() -> None:
    """Collect rarely: a run makes mostly plain values without cycles. A command starts with collection off."""
    gc.freeze()
    gc.enable()
    gc.set_threshold(50_000, 20, 20)


def _reporter(story: Story, width: int, as_json: bool) -> Any:
    if as_json:
        return JsonReporter(story, sys.stdout)
    return (RichReporter if sys.stdout.isatty() else PlainReporter)(story, width, sys.stdout)


def end(outcome: Outcome, as_json: bool) -> None:
    """Say what there is to say of the run as a whole."""
    if as_json:
        spilled = {"spilled_bytes": outcome.spilled} if outcome.spilled else {}
        click.echo(
            to_json({"exit_code": outcome.exit_code, "interrupted": outcome.interrupted, **spilled})
        )
        return
    if outcome.spilled:
        click.echo(
            f"  {'spilled':<10} up to {outcome.spilled / 2**20:,.0f} MiB to .products/spill, now gone",
            err=True,
        )
    if outcome.interrupted:
        click.echo(
            "stopped: what was finished is kept, and the next run goes on from there", err=True
        )
