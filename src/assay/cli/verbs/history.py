"""The verb `products history`: the versions of a product, or the results of one rule."""

from collections.abc import Sequence

import click

from assay.cli.opening import opened
from assay.cli.options import ENV, JSON, options
from assay.cli.printing import print_json, rounded, table
from assay.facts import Listing, short
from assay.plan.as_of import as_of
from assay.plan.names import full_name, rule_of
from assay.plan.parts import some_parts
from assay.text import clean
from assay.views.history import HistoryView, ReleaseView, history_of
from assay.views.rules import RuleHistoryView, history_of_rule, sparkline
from assay.views.sources import history_of_source
from assay.views.words.figures import totals_text
from assay.views.words.numbers import day, second


@click.command("history")
@click.argument("name")
@options(ENV, JSON)
@click.option(
    "--rule",
    metavar="RULE",
    help="List the results of this rule instead: its name, or part of it.",
)
def verb(name: str, env: str | None, as_json: bool, rule: str | None) -> None:
    """List the versions of a product: how each was checked, and when it was published.

    Of a source: its files as runs read them.
    """
    with opened(env, last_good=True) as workspace:
        if rule is None and full_name(name, workspace.graph.sources):
            full = full_name(name, workspace.graph.sources)
            return _print_listings(workspace.catalog.sources.listings(full), as_json)
        full = workspace.resolve(name) if rule is None else workspace.graph.resolve(name)
        product = workspace.graph.products.get(full)
        if rule is not None and product:
            chosen = rule_of(product, rule)
            results = history_of_rule(workspace.catalog, product, chosen, workspace.environment)
            return _print_rule(chosen.text, results, as_json)
        times = as_of(workspace.graph, workspace.observe())
        versions = history_of(
            workspace.catalog,
            full,
            product,
            workspace.environment,
            times.of_version,
            now=workspace.clock(),
        )
    if as_json:
        return print_json(versions)
    titles = ["version", "readers", "built", "rows", "as of", "verdict", "failed rules", "released"]
    rows = [_row(view) for view in versions]
    if any(view.built_on is not None for view in versions):
        titles.append("built on")
        rows = [(*row, _built_on(view)) for row, view in zip(rows, versions, strict=True)]
    table(titles, rows, less=("rows", "as of", "released"))
    return None


def _print_listings(listings: Sequence[Listing], as_json: bool) -> None:
    views = history_of_source(listings)
    if as_json:
        return print_json(views)
    rows = [(second(v.seen) if v.seen else "", v.files, v.bytes, v.changed) for v in views]
    table(("read since", "files", "bytes", "changed"), rows, less=("bytes",))
    return None


def _row(view: HistoryView) -> tuple[object, ...]:
    readers = "see this" if view.now else ""
    held_parts = f"held back: {some_parts(view.held_parts)}" if view.held_parts else ""
    return (
        short(view.version),
        "pinned" if view.pinned else readers,
        second(view.built_at),
        view.rows,
        day(view.data_as_of),
        view.verdict,
        "; ".join(view.failed) or _restated(view) or "; ".join(view.waived) or held_parts,
        "; ".join(map(_released, view.released)),
    )


def _released(view: ReleaseView) -> str:
    approved = "".join(f", approved by {text}" for text in view.approved)
    return f"#{view.release} {second(view.at)}{approved}"


def _built_on(view: HistoryView) -> str:
    if view.built_on is None:
        return ""
    return short(view.built_on) or "a version that is gone"


def _restated(view: HistoryView) -> str:
    changed = totals_text(view.changes, "changed") if view.restated and view.changes else ""
    return "; ".join(filter(None, [view.restated, changed]))


def _print_rule(text: str, results: Sequence[RuleHistoryView], as_json: bool) -> None:
    if as_json:
        return print_json(results)
    click.echo(f"  {clean(text)}")
    if line := sparkline([view.value for view in results]):
        click.echo(f"  {line}")
    table(
        ("version", "built", "as of", "status", "value", "of rows", "allowed"),
        [
            (
                short(view.version),
                second(view.built_at),
                day(view.data_as_of),
                view.status,
                rounded(view.value),
                view.rows,
                view.threshold,
            )
            for view in results
        ],
        less=("of rows", "built", "allowed"),
    )
    return None
