"""The verb `products plan`: what a run would do, and why."""

from collections.abc import Sequence
from datetime import datetime

import click

from assay.cli.opening import opened, selected
from assay.cli.options import ENV, EXCLUDE, JSON, NOW, SELECT, options, say
from assay.plan.ladder import plan
from assay.text import clean
from assay.views.words import Story, lines


@click.command("plan")
@options(SELECT, EXCLUDE, ENV, NOW, JSON)
@click.option("--force", is_flag=True, help="As `materialize --force` would.")
def verb(
    select: Sequence[str],
    exclude: Sequence[str],
    env: str | None,
    now: datetime | None,
    as_json: bool,
    force: bool,
) -> None:
    """Say what `materialize` would do, and why. Changes nothing."""
    with opened(env, now) as workspace:
        observed = workspace.observe()
        made = plan(
            workspace.graph, observed, selected(workspace, observed, select, exclude, force=force)
        )
        story = Story(workspace.graph, observed.facts)
        told = [story.planned(name, decision) for name, decision in made.steps.items()]
    if as_json:
        return say(told)
    shown = [t for t in told if t["result"] != "unchanged" or t["pinned"] or t.get("held_parts")]
    for item in shown:
        for line in lines(item, max(map(len, made.steps), default=0)):
            click.echo(clean(line).rstrip())
    if len(told) > len(shown):
        count = len(told) - len(shown)
        click.echo(f"  unchanged  {count} product{'s' if count > 1 else ''}")
    return None
