"""The verb `products materialize`: what is stale is built, judged, and published."""

from collections.abc import Sequence
from datetime import datetime

import click

from assay.errors import UsageError
from assay.going import end, go
from assay.options import ENV, EXCLUDE, JSON, NOW, SELECT, options
from assay.periods import seconds_of
from assay.plan import Manner
from assay.session import check_now, open_session
from assay.sweeping import finish


def _seconds(ctx: click.Context, parameter: click.Parameter, value: str) -> float:
    try:
        return seconds_of(value)
    except ValueError as error:
        raise click.BadParameter(f"{error}: write 90s, 10m or 2h") from None


@click.command("materialize")
@click.argument("names", nargs=-1)
@options(SELECT, EXCLUDE, ENV, NOW, JSON)
@click.option("--parts", default="", metavar="A..B", help="Build just these parts, such as 2011-11-01..2011-11-30.")
@click.option("--force", is_flag=True, help="Build again, whatever is there.")
@click.option("--jobs", type=click.IntRange(1, 64), help="How many products at a time.")
@click.option("--fail-fast", is_flag=True, help="Stop at the first product that fails or is held back.")
@click.option("--wait", callback=_seconds, default="0s", metavar="TIME", help="Wait so long for other runs: 90s, 10m.")
@click.option("--restate", multiple=True, metavar="NAME", help="Let settled rows of this product change, once.")
@click.option("--because", default="", metavar="TEXT", help="Why they change; it is recorded.")
def verb(
    names: Sequence[str], select: Sequence[str], exclude: Sequence[str], env: str | None, now: datetime | None,
    as_json: bool, parts: str, force: bool, jobs: int | None, fail_fast: bool, wait: float, restate: Sequence[str],
    because: str,
) -> None:  # fmt: skip
    """Build what is stale, judge it, and publish what passed; NAMES are selectors, as those of -s."""
    if parts and not (names or select):
        raise UsageError("--parts needs the name of a product", hint=f"products materialize NAME --parts {parts}")
    if bool(restate) != bool(because.strip()):
        raise UsageError("--restate NAME and --because TEXT go together", hint="Say why settled rows change.")
    with open_session(env, now, create=True) as session:
        check_now(session, now)
        finish(session)
        observed = session.observe()
        restated = dict.fromkeys(restate, because.strip())
        request = session.request(observed, [*names, *select], exclude, force=force, restate=restated, parts=parts)
        manner = Manner(jobs=jobs or 0, fail_fast=fail_fast, wait=wait)
        outcome = go(session, observed, request, as_json=as_json, manner=manner)
    for name in sorted(request.restated):
        if not outcome.results[name].judged:
            click.echo(f"  nothing of {name} had to be restated", err=True)
    end(outcome, as_json)
    click.get_current_context().exit(outcome.exit_code)
