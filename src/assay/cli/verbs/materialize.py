"""The verb `products materialize`: what is stale is built, judged, and published."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

import click

from assay.build.selection import with_restatements
from assay.cli.opening import check_now, opened, selected
from assay.cli.options import ENV, EXCLUDE, JSON, NOW, SELECT, options
from assay.cli.running import end, go
from assay.decisions import Blocked
from assay.errors import UsageError
from assay.events import End
from assay.facts import short
from assay.plan.request import RunOptions
from assay.plan.waivers import Restatement
from assay.text import clean
from assay.times import seconds_of
from assay.upkeep.gc_files import finish


def _seconds(ctx: click.Context, parameter: click.Parameter, value: str) -> float:
    try:
        return seconds_of(value)
    except ValueError as error:
        raise click.BadParameter(f"{error}: write 90s, 10m or 2h") from None


def not_restated(name: str, asked: Restatement, end: End) -> str:
    """Return why nothing was restated of a product, and what to do; '' where it was."""
    if not asked.rules:
        what = (
            f" since {short(asked.version)} is held back for other rules or parts"
            if asked.version
            else ""
        )
        none = what or ": nothing of it was held back for settled rows when this run began"
        again = (
            "; look at what is held back now, then restate it" if isinstance(end, Blocked) else ""
        )
        return f"{name} is not restated{none}{again}"
    if not isinstance(end, Blocked):
        return ""
    differing = asked.differing(end.verdict.results)
    if not differing:
        return ""
    some = ", ".join(differing[:5]) + (
        f" and {len(differing) - 5} more" if len(differing) > 5 else ""
    )
    return (
        f"{name} is not restated: what fails is not what was held back in {short(asked.version)} ({some}). "
        f"Look at it (`products show {name} --held --failures RULE`), then restate it"
    )


def user() -> str:
    """Return the name of who runs this, where the system knows it."""
    with suppress(OSError, KeyError, ImportError):
        import getpass

        return getpass.getuser()
    return ""


@click.command("materialize")
@click.argument("names", nargs=-1)
@options(SELECT, EXCLUDE, ENV, NOW, JSON)
@click.option(
    "--parts",
    default="",
    metavar="A..B",
    help="Build just these parts, such as 2011-11-01..2011-11-30.",
)
@click.option("--force", is_flag=True, help="Build again, whatever is there.")
@click.option("--jobs", type=click.IntRange(1, 64), help="How many products at a time.")
@click.option(
    "--fail-fast", is_flag=True, help="Stop at the first product that fails or is held back."
)
@click.option(
    "--wait",
    callback=_seconds,
    default="0s",
    metavar="TIME",
    help="Wait so long for other runs: 90s, 10m.",
)
@click.option(
    "--restate",
    multiple=True,
    metavar="NAME",
    help="Let settled rows change that are held back now.",
)
@click.option(
    "--rule",
    "rules",
    multiple=True,
    metavar="RULE",
    help="Restate what fails this rule, and no other.",
)
@click.option("--because", default="", metavar="TEXT", help="Why they change; it is recorded.")
def verb(
    names: Sequence[str],
    select: Sequence[str],
    exclude: Sequence[str],
    env: str | None,
    now: datetime | None,
    as_json: bool,
    parts: str,
    force: bool,
    jobs: int | None,
    fail_fast: bool,
    wait: float,
    restate: Sequence[str],
    rules: Sequence[str],
    because: str,
) -> None:
    """Build what is stale, judge it, and publish what passed; NAMES are selectors, as those of -s."""
    if parts and not (names or select):
        raise UsageError(
            "--parts needs the name of a product", hint=f"products materialize NAME --parts {parts}"
        )
    if bool(restate) != bool(because.strip()):
        raise UsageError(
            "--restate NAME and --because TEXT go together", hint="Say why settled rows change."
        )
    if rules and not restate:
        raise UsageError(
            "--rule RULE says what --restate NAME lets through", hint="Name what is restated."
        )
    with opened(env, now, create=True) as workspace:
        check_now(workspace, now)
        finish(workspace)
        observed = workspace.observe()
        request = selected(
            workspace, observed, [*names, *select], exclude, force=force, part_range=parts
        )
        if restate:
            reason = Restatement(because=because.strip(), who=user(), range=parts)
            request = with_restatements(
                request, workspace.graph, observed, restate, reason=reason, rules=rules
            )
        options = RunOptions(jobs=jobs or 0, fail_fast=fail_fast, wait=wait)
        outcome = go(workspace, observed, request, as_json=as_json, options=options)
    for name, restatement in sorted(request.restated.items()):
        if why := not_restated(name, restatement, outcome.results[name].end):
            click.echo(clean(f"  {why}"), err=True)
    end(outcome, as_json)
    click.get_current_context().exit(outcome.exit_code)
