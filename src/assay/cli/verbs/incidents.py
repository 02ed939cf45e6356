"""The verb `products incidents`: what is wrong, since when, who is affected, and who was told."""

from collections.abc import Iterator
from datetime import datetime

import click

from assay.cli.opening import opened
from assay.cli.options import ENV, JSON, NOW, options
from assay.cli.printing import print_json, print_lines
from assay.cli.telling import note_misfits
from assay.views.incidents import IncidentView, ToldView, incidents_of
from assay.views.words.incidents import lasting
from assay.views.words.numbers import second


@click.command("incidents")
@options(ENV, NOW, JSON)
@click.option("--all", "with_closed", is_flag=True, help="List closed incidents as well.")
@click.option(
    "--limit",
    type=click.IntRange(1, 100_000),
    default=20,
    show_default=True,
    metavar="N",
    help="With --all: the last N closed ones.",
)
def verb(
    env: str | None, now: datetime | None, as_json: bool, with_closed: bool, limit: int
) -> None:
    """List what is wrong: since when, who is affected, who was told, and what to do."""
    with opened(env, now, last_good=True) as workspace:
        views = incidents_of(
            workspace.catalog,
            workspace.graph,
            workspace.environment,
            closed=limit if with_closed else 0,
        )
        moment = workspace.clock()
        note_misfits(workspace)
    if as_json:
        return print_json(views)
    if not views:
        return click.echo("  no open incidents" if not with_closed else "  no incidents")
    for view in views:
        print_lines(_lines(view, moment))
    return None


def _lines(view: IncidentView, now: datetime) -> Iterator[str]:
    state = f"open for {lasting((now - view.opened).total_seconds())}"
    if view.closed:
        state = f"{view.ending} {second(view.closed)}"
    yield f"  {view.id:>3}  {view.kind:<9}  {view.about}  since {second(view.began)}, {state}"
    if view.rules:
        yield f"       rules: {'; '.join(view.rules)}"
    yield from (f"       {text}" for text in view.over.values())
    if view.parts:
        yield f"       parts: {', '.join(view.parts)}"
    for text in (view.error.partition("\n")[0], view.reason):
        if text:
            yield f"       {text}"
    if view.waiting:
        yield f"       waiting: {', '.join(view.waiting)}"
    if view.affects:
        yield f"       affects: {', '.join(view.affects)}"
    for told in view.told:
        yield f"       {_told(told, now)}"
    yield f"       {_times(view)}"
    if view.to_do:
        yield f"       to do: {view.to_do}"


def _told(told: ToldView, now: datetime) -> str:
    to = f"{told.route} ({told.recipient})" if told.recipient else told.route
    if told.sent:
        return f"{told.event}: told {to} {second(told.sent)}"
    error = f": {told.error}" if told.error else ""
    if told.retry_at:
        again = second(told.retry_at) if told.retry_at > now else "with the next run"
        return f"{told.event}: {to} is not told yet, next try {again}{error}"
    return f"{told.event}: {to} was not told{error}"


def _times(view: IncidentView) -> str:
    texts = [f"noticed after {lasting(view.seconds_to_detect)}"]
    if view.seconds_to_tell is not None:
        texts.append(f"told after {lasting(view.seconds_to_tell)}")
    if view.seconds_to_repair is not None:
        texts.append(f"over {lasting(view.seconds_to_repair)} after it was noticed")
    return ", ".join(texts)
