"""The verb `products why`: explains a product, one of its parts, or its rules."""

from collections.abc import Iterator
from datetime import datetime

import click

from assay.build.inputs import inputs_as_of_now
from assay.build.workspace import Workspace
from assay.cli.opening import opened
from assay.cli.options import ENV, JSON, NOW, options
from assay.cli.printing import print_json, print_lines
from assay.declare.past_queries import past_queries
from assay.facts import Version, short
from assay.text import clean
from assay.views.rules import RuleWay, rule_ways
from assay.views.why import explain
from assay.views.why_part import explain_part


@click.command("why")
@click.argument("name")
@options(ENV, NOW, JSON)
@click.option(
    "--rules", is_flag=True, help="Show how each of its rules is checked instead, with the query."
)
@click.option(
    "--part",
    metavar="PART",
    help="Explain this part instead: its inputs, and what happens next to it.",
)
def verb(
    name: str, env: str | None, now: datetime | None, as_json: bool, rules: bool, part: str | None
) -> None:
    """Explain what happens next to a product, step by step, and what would change that."""
    with opened(env, now, last_good=True) as workspace:
        full = workspace.graph.resolve(name)
        if rules:
            return _rules(workspace, full, as_json)
        graph, observed = workspace.graph, workspace.observe()
        explanation = (
            explain_part(graph, observed, full, part)
            if part
            else explain(graph, observed, full, past_queries(workspace.config))
        )
    if as_json:
        return print_json(explanation)
    return print_lines(explanation.lines)


def _rules(workspace: Workspace, name: str, as_json: bool) -> None:
    """Print how each rule is checked."""
    workspace.project.vouch([name])
    inputs, decisions = inputs_as_of_now(workspace, workspace.observe())
    version = getattr(decisions[name], "version", None)  # not every decision is about a version
    if version is None:
        version = next(iter(workspace.catalog.versions(name, 1)), None)
    verdicts = workspace.catalog.verdicts(version.id, workspace.environment) if version else []
    results = verdicts[0].results if verdicts else ()
    ways = rule_ways(inputs, workspace.graph.products[name], version, results)
    if as_json:
        return print_json(ways)
    for way in ways:
        for line in _lines(way, version):
            click.echo(line)
    return None


def _lines(way: RuleWay, version: Version | None) -> Iterator[str]:
    last = ""
    if version and way.last:
        last = f"   {short(version.id)}: {way.last.status}, {way.last.method}"
    because = f": {clean(way.because)}" if way.because else ""
    yield f"  {clean(way.rule)}"
    yield f"      {way.method}{because}{last}"
    for line in way.query.splitlines():
        yield f"      {clean(line)}"
