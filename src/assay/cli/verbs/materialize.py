"""The verb `products materialize`: builds what is stale, checks it, and publishes what passes."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click
from msgspec.structs import replace

from assay.build.selection import with_restatements
from assay.cli.opening import opened, selected
from assay.cli.options import ENV, EXCLUDE, JOBS, JSON, NOW, SELECT, options
from assay.cli.report_files import (
    JUNIT,
    SUMMARY,
    check_files,
    mistakes_reported,
    write_case_reports,
)
from assay.cli.running import print_summary, run_and_report, run_report
from assay.cli.telling import tell_people
from assay.decisions import Blocked
from assay.errors import UsageError
from assay.events import End
from assay.facts import short
from assay.plan.request import RunOptions
from assay.plan.restatements import Restatement
from assay.text import clean
from assay.times import seconds_of
from assay.upkeep.gc_files import finish
from assay.users import user

_FEW = 5  # names that a message lists


def _seconds(ctx: click.Context, parameter: click.Parameter, value: str) -> float:
    try:
        return seconds_of(value)
    except ValueError as error:
        raise click.BadParameter(f"{error}: write 90s, 10m or 2h") from None


def not_restated(name: str, restatement: Restatement, end: End) -> str:
    """Return why a restatement had no effect on a product, and what to do; '' if it had."""
    version = short(restatement.version)
    if not restatement.rules:
        reason = ": nothing of it was held back for settled rows when this run began"
        if version:
            reason = f" since {version} is held back for other rules or parts"
        advice = ""
        if isinstance(end, Blocked):
            advice = "; look at what is held back now, then restate it"
        return f"{name} is not restated{reason}{advice}"
    differing = restatement.differing(end.verdict.results) if isinstance(end, Blocked) else []
    if not differing:
        return ""
    names = ", ".join(differing[:_FEW])
    if len(differing) > _FEW:
        names += f" and {len(differing) - _FEW} more"
    return (
        f"{name} is not restated: what fails is not what was held back in {version} ({names})."
        f" Look at it (`products show {name} --held --failures RULE`), then restate it"
    )


def _check_usage(
    selectors: Sequence[str],
    parts: str,
    restate: Sequence[str],
    rules: Sequence[str],
    reason: str,
    approved_by: str,
) -> None:
    """Raise UsageError for options that need another option."""
    if parts and not selectors:
        hint = f"products materialize NAME --parts {parts}"
        raise UsageError("--parts needs the name of a product", hint=hint)
    if bool(restate) != bool(reason):
        hint = "Say why settled rows change."
        raise UsageError("--restate NAME and --because TEXT go together", hint=hint)
    if approved_by and not restate:
        raise UsageError("--approved-by WHO says who answers for --restate NAME")
    if rules and not restate:
        hint = "Name what is restated."
        raise UsageError("--rule RULE says what --restate NAME lets through", hint=hint)


@click.command("materialize")
@click.argument("names", nargs=-1)
@options(SELECT, EXCLUDE, ENV, NOW, JSON, JOBS)
@click.option(
    "--parts",
    default="",
    metavar="A..B",
    help="Build only these parts, such as 2011-11-01..2011-11-30.",
)
@click.option("--due", is_flag=True, help="Only what is due now, as `products run` does.")
@click.option("--force", is_flag=True, help="Build even what is up to date.")
@click.option(
    "--from-start",
    is_flag=True,
    help="Build products that read `previous` without it: from their inputs alone.",
)
@click.option(
    "--fail-fast", is_flag=True, help="Stop at the first product that fails or is held back."
)
@click.option(
    "--wait",
    callback=_seconds,
    default="0s",
    metavar="TIME",
    help="Wait at most TIME for other runs, such as 90s or 10m.",
)
@click.option(
    "--restate",
    multiple=True,
    metavar="NAME",
    help="Publish changes of settled rows that hold this product back now.",
)
@click.option(
    "--rule",
    "rules",
    multiple=True,
    metavar="RULE",
    help="With --restate: only changes that fail this rule.",
)
@click.option(
    "--because",
    default="",
    metavar="TEXT",
    help="With --restate: the reason, which is recorded.",
)
@click.option(
    "--approved-by",
    default="",
    metavar="WHO",
    help="With --restate: who answers for it.",
)
@options(JUNIT, SUMMARY)
def verb(
    names: Sequence[str],
    select: Sequence[str],
    exclude: Sequence[str],
    env: str | None,
    now: datetime | None,
    as_json: bool,
    parts: str,
    due: bool,
    force: bool,
    from_start: bool,
    jobs: int | None,
    fail_fast: bool,
    wait: float,
    restate: Sequence[str],
    rules: Sequence[str],
    because: str,
    approved_by: str,
    junit: Path | None,
    summary: Path | None,
) -> None:
    """Build what is stale, check it, and publish what passes. NAMES are selectors, as after -s."""
    selectors, reason = [*names, *select], because.strip()
    _check_usage(selectors, parts, restate, rules, reason, approved_by)
    if from_start and not selectors:
        raise UsageError(
            "--from-start needs the name of a product",
            hint="products materialize NAME --from-start",
        )
    check_files({"junit": junit, "summary": summary})
    if due and (force or from_start or parts or restate):
        raise UsageError(
            "--due builds what is due, and goes with no --force, --from-start, --parts or --restate"
        )
    reported = mistakes_reported("products materialize", junit, summary)
    with reported, opened(env, now, create=True) as workspace:
        workspace.check_now(now)
        finish(workspace)
        observed = workspace.observe()
        request = selected(
            workspace,
            observed,
            selectors,
            exclude,
            force=force,
            part_range=parts,
            from_start=from_start,
        )
        if due:
            from assay.build.due import due_in  # not needed without --due

            products = request.products & due_in(workspace, observed).products
            request = replace(request, products=products)
        if restate:
            restatement = Restatement(
                because=reason, who=user(), approved_by=clean(approved_by.strip()), range=parts
            )
            from assay.build.budgets import check_budgets  # not needed without --restate

            for note in check_budgets(workspace, restate, restatement):
                click.echo(clean(f"  note: {note}"), err=True)
            request = with_restatements(
                request, workspace.graph, observed, restate, reason=restatement, rules=rules
            )
        run_options = RunOptions(jobs=jobs or 0, fail_fast=fail_fast, wait=wait)
        outcome = run_and_report(workspace, observed, request, as_json=as_json, options=run_options)
        for name, restatement in sorted(request.restated.items()):
            if message := not_restated(name, restatement, outcome.results[name].end):
                click.echo(clean(f"  {message}"), err=True)
        print_summary(outcome, as_json)
        written = write_case_reports(
            lambda: run_report(workspace, observed, outcome), junit, summary
        )
        tell_people(workspace, observed, outcome)
    click.get_current_context().exit(outcome.exit_code or int(not written))
