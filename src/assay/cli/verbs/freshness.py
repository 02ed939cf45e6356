"""The verb `products freshness`: whether promises are kept, and what may break them."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import click

from assay.build.workspace import Workspace
from assay.cli.opening import note_earlier, opened, promises_of, selected_names
from assay.cli.options import ENV, EXCLUDE, JSON, NOW, SELECT, options
from assay.cli.printing import print_json, print_lines
from assay.cli.report_files import (
    JUNIT,
    SUMMARY,
    check_files,
    folder_in_repository,
    write_case_reports,
)
from assay.plan.observed import Observed
from assay.views.formats.freshness import freshness_report
from assay.views.freshness import FreshnessView
from assay.views.words.freshness import cause_line, standing_line

_BROKEN = 3  # exit code when a promise is


@click.command("freshness")
@click.argument("names", nargs=-1, metavar="[NAMES]...")
@options(SELECT, EXCLUDE, ENV, NOW, JSON)
@click.option("--all", "everything", is_flag=True, help="Also what inherits a promise.")
@click.option("--warn-only", is_flag=True, help="Exit with 0 also when something is late.")
@options(JUNIT, SUMMARY)
def verb(
    names: Sequence[str],
    select: Sequence[str],
    exclude: Sequence[str],
    env: str | None,
    now: datetime | None,
    as_json: bool,
    everything: bool,
    warn_only: bool,
    junit: Path | None,
    summary: Path | None,
) -> None:
    """Show which promises are kept, due, at risk, late or missed, and why.

    NAMES are selectors, as after -s; they may name sources. What inherits its promise is shown
    when it is named, or with --all. Changes nothing. Exits with 3 when something is late or missed
    that has a promise of its own.
    """
    check_files({"junit": junit, "summary": summary})
    with opened(env, now, last_good=True) as workspace:
        observed = workspace.observe()
        note_earlier(workspace, now)
        views = _views(workspace, observed, [*names, *select], exclude)
        graph, folder = workspace.graph, folder_in_repository(workspace.config.root)
    if not (everything or names or select):
        views = [view for view in views if not view.inherited_from]
    if as_json:
        print_json(views)
    else:
        print_lines(_lines(views, observed.now))
    written = write_case_reports(
        lambda: freshness_report(views, graph, observed.now, folder), junit, summary
    )
    is_broken = any(view.is_broken for view in views) and not warn_only
    if is_broken or not written:
        click.get_current_context().exit(_BROKEN if is_broken else 1)


def _views(
    workspace: Workspace, observed: Observed, select: Sequence[str], exclude: Sequence[str]
) -> list[FreshnessView]:
    """Return how the selected promises stand: those of their own first, and of sources first."""
    names = selected_names(workspace, observed, select, exclude)
    promises = promises_of(workspace, observed)
    views = [view for name, view in promises.items() if name in names]
    return sorted(views, key=lambda view: bool(view.inherited_from))


def _lines(views: Sequence[FreshnessView], now: datetime) -> Iterator[str]:
    """Yield a line for each promise, and below it why it is, or may be, broken."""
    if not views:
        yield "nothing has a promise: declare freshness= of a product or source"
        return
    names, states = max(len(v.name) for v in views), max(len(v.state) for v in views)
    for view in views:
        start = f"{view.name:{names}}  {view.state:{states}}  "
        yield start + standing_line(view, now)
        yield from (" " * len(start) + cause_line(view, cause) for cause in view.causes)
