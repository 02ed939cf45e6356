"""The verb `products history`: the versions of a product, or how one of its rules came out."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

from assay.cli.opening import opened
from assay.cli.options import ENV, JSON, options, say
from assay.cli.printing import rounded, table
from assay.model import short
from assay.plan.graph import rule_of
from assay.plan.parts import some_parts
from assay.text import clean
from assay.views.history import history_of
from assay.views.rules import history_of_rule, sparkline
from assay.views.words import day


@click.command("history")
@click.argument("name")
@options(ENV, JSON)
@click.option(
    "--rule", metavar="RULE", help="How this rule came out instead: its words, or some of them."
)
def verb(name: str, env: str | None, as_json: bool, rule: str | None) -> None:
    """List the versions of a product: how each was judged, and when readers saw it."""
    with opened(env, last_good=True) as workspace:
        full = workspace.resolve(name) if rule is None else workspace.graph.resolve(name)
        product = workspace.graph.products.get(full)
        if rule is not None and product:
            chosen = rule_of(product, rule)
            return _history_of_rule(
                chosen.text,
                history_of_rule(workspace.catalog, product, chosen, workspace.environment),
                as_json,
            )
        told = history_of(workspace.catalog, full, product, workspace.environment)
    if as_json:
        return say(told)
    held = {
        t["version"]: f"held back: {some_parts(t['held_parts'])}" for t in told if t["held_parts"]
    }
    table(
        ("version", "readers", "built", "rows", "as of", "verdict", "failed rules", "released"),
        [
            (
                short(t["version"]),
                "pinned" if t["pinned"] else "see this" if t["now"] else "",
                _second(t["built_at"]),
                t["rows"],
                day(t["data_as_of"] or ""),
                t["verdict"],
                "; ".join(t["failed"]) or t["restated"] or held.get(t["version"], ""),
                "; ".join(f"#{r['release']} {_second(r['at'])}" for r in t["released"]),
            )
            for t in told
        ],
    )
    return None


def _history_of_rule(text: str, told: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    if as_json:
        return say(told)
    click.echo(f"  {clean(text)}")
    if line := sparkline([item["value"] for item in told]):
        click.echo(f"  {line}")
    table(
        ("version", "built", "as of", "status", "value", "of rows", "allowed"),
        [
            (
                short(t["version"]),
                _second(t["built_at"]),
                day(t["data_as_of"] or ""),
                t["status"],
                rounded(t["value"]),
                t["rows"],
                t["threshold"],
            )
            for t in told
        ],
    )
    return None


def _second(moment: str) -> str:
    return moment[:19].replace("T", " ")
