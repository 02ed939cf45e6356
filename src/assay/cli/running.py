"""Runs a build for a verb: events are reported as they occur, with a summary at the end."""

import gc
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from datetime import datetime
from shlex import quote
from typing import Any

import click
from click.core import ParameterSource
from msgspec.structs import replace

from assay.build.execute import execute
from assay.build.workspace import Workspace
from assay.cli.report_files import folder_in_repository
from assay.cli.reporters import JsonReporter, PlainReporter, RichReporter
from assay.events import Outcome
from assay.facts import Verdict, Version
from assay.model import Product
from assay.plan.as_of import as_of
from assay.plan.observed import Observed
from assay.plan.request import Request, RunOptions
from assay.signals import stop_at_sigterm
from assay.views.formats.cases import Report
from assay.views.formats.runs import RunReports
from assay.views.json_text import to_json
from assay.views.products import ProductViews
from assay.views.results import EndView

_UNSAID = {
    "as_json",
    "because",
    "jobs",
    "junit",
    "summary",
    "wait",
}  # options that are not recorded with a run
_LONGEST = 300  # characters of a command that are recorded


def run_and_report(
    workspace: Workspace,
    observed: Observed,
    request: Request,
    *,
    as_json: bool,
    options: RunOptions,
) -> Outcome:
    """Build the requested products, and report results as they occur."""
    stop_at_sigterm()
    tune_garbage_collection()
    views = _views(workspace, observed)
    width = max(map(len, request.products), default=0)
    reporter = _reporter(views, width, as_json)
    try:
        with redirect_stdout(sys.stderr):  # output of users' code is not part of ours
            return execute(
                replace(workspace, reporter=reporter),
                replace(request, asked=command_line()),
                observed,
                options=replace(options, jobs=options.jobs or workspace.config.jobs),
            )
    finally:
        reporter.close()


def run_report(workspace: Workspace, observed: Observed, outcome: Outcome) -> Report:
    """Return the report of a run: the build of each product, and each of its rules, as cases."""

    def verdict_of(product: Product, version: Version) -> Verdict | None:
        verdicts = workspace.catalog.verdicts(version.id, workspace.environment)
        return next((v for v in verdicts if v.contract == product.contract.digest), None)

    reports = RunReports(
        views=_views(workspace, observed),
        verdict_of=verdict_of,
        folder=folder_in_repository(workspace.config.root),
    )
    return reports.report("products materialize", outcome)


def _views(workspace: Workspace, observed: Observed) -> ProductViews:
    # Not the observed facts: these must see what the run records.
    facts = workspace.catalog.facts(workspace.environment, workspace.storage.holds)
    reaches = as_of(workspace.graph, observed)
    return ProductViews(workspace.graph, facts, reaches, workspace.clock())


def command_line() -> str:
    """Return the command that was typed, without options that do not say what is wanted."""
    context = click.get_current_context()
    words = [context.info_name or ""]
    for parameter in context.command.params:
        name = parameter.name or ""
        is_given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if is_given and name not in _UNSAID:
            words += _words(parameter, context.params[name])
    return " ".join(words)[:_LONGEST]


def _words(parameter: click.Parameter, value: Any) -> Iterator[str]:
    """Yield an option or argument as it is typed."""
    is_option = isinstance(parameter, click.Option)
    for item in value if isinstance(value, tuple) else (value,):
        if is_option:
            yield max(parameter.opts, key=len)
        if not isinstance(item, bool):
            yield quote(item.isoformat() if isinstance(item, datetime) else str(item))


def tune_garbage_collection() -> None:
    """Turn collection on, but rarely: a run creates mostly values without cycles."""
    gc.freeze()
    gc.enable()
    gc.set_threshold(50_000, 20, 20)


def _reporter(
    views: ProductViews, width: int, as_json: bool
) -> JsonReporter | PlainReporter | RichReporter:
    if as_json:
        return JsonReporter(views, sys.stdout)
    return (RichReporter if sys.stdout.isatty() else PlainReporter)(views, width, sys.stdout)


def print_summary(outcome: Outcome, as_json: bool) -> None:
    """Print the summary of a run."""
    if as_json:
        view = EndView(
            exit_code=outcome.exit_code,
            interrupted=outcome.interrupted,
            spilled_bytes=outcome.spilled,
        )
        click.echo(to_json(view))
        return
    if outcome.spilled:
        size = f"{outcome.spilled / 2**20:,.0f} MiB"
        click.echo(f"  {'spilled':<10} up to {size} to .products/spill, now gone", err=True)
    if outcome.interrupted:
        click.echo(
            "stopped: what was finished is kept, and the next run goes on from there", err=True
        )
