"""The verb `products why`: what is next for one product, or for one part of it, or how its rules are judged."""

from datetime import datetime

import click

from assay.build.inputs import inputs_as_of_now
from assay.build.workspace import Workspace
from assay.cli.opening import opened
from assay.cli.options import ENV, JSON, NOW, options, say
from assay.model import short
from assay.text import clean
from assay.views.rules import judged_how
from assay.views.why import explain, explain_part


@click.command("why")
@click.argument("name")
@options(ENV, NOW, JSON)
@click.option(
    "--rules", is_flag=True, help="Say how each of its rules is judged instead, with the query."
)
@click.option(
    "--part",
    metavar="PART",
    help="Say of one part what it is made of, and what is next for it, instead.",
)
def verb(
    name: str, env: str | None, now: datetime | None, as_json: bool, rules: bool, part: str | None
) -> None:
    """Say what is next for a product, rung by rung, and what would change it."""
    with opened(env, now, last_good=True) as workspace:
        full = workspace.graph.resolve(name)
        if rules:
            return _rules(workspace, full, as_json)
        graph, observed = workspace.graph, workspace.observe()
        told = explain_part(graph, observed, full, part) if part else explain(graph, observed, full)
    if as_json:
        return say(told)
    return click.echo("\n".join(told["lines"]))


def _rules(workspace: Workspace, name: str, as_json: bool) -> None:
    """Say how each rule is judged."""
    workspace.project.vouch([name])
    shelf, decisions = inputs_as_of_now(workspace, workspace.observe())
    meant = getattr(decisions[name], "version", None) or next(
        iter(workspace.catalog.versions(name, 1)), None
    )
    judged = workspace.catalog.verdicts(meant.id, workspace.environment)[:1] if meant else []
    told = judged_how(
        shelf, workspace.graph.products[name], meant, judged[0].results if judged else ()
    )
    if as_json:
        return say(told)
    for item in told:
        last = (
            f"   {short(meant.id)}: {item['last']['status']}, {item['last']['how']}"
            if meant and item["last"]
            else ""
        )
        click.echo(f"  {clean(item['rule'])}")
        click.echo(
            f"      {item['how']}{': ' + clean(item['because']) if item.get('because') else ''}{last}"
        )
        for line in item["query"].splitlines():
            click.echo(f"      {clean(line)}")
    return None
