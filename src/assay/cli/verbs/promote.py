"""The verb `products promote`: publishes in the parent what an environment publishes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click
from msgspec.structs import replace

from assay.build.promote import Promoted, parent_of, promote
from assay.build.selection import names_for
from assay.build.workspace import Workspace
from assay.cli.opening import opened
from assay.cli.options import EXCLUDE, JSON, NOW, SELECT, options
from assay.cli.printing import print_json
from assay.cli.telling import tell_people
from assay.facts import short
from assay.text import clean
from assay.views.products import ProductViews


@click.command("promote")
@click.argument("names", nargs=-1, metavar="[NAMES]...")
@click.option("--from", "source", required=True, metavar="ENV", help="What to promote.")
@click.option("--to", "target", metavar="ENV", help="Where to; default: the parent of --from.")
@click.option("--because", default="", metavar="TEXT", help="Why, for the history.")
@click.option("--dry-run", "dry", is_flag=True, help="Say what would be promoted; move nothing.")
@options(SELECT, EXCLUDE, NOW, JSON)
def verb(
    names: Sequence[str],
    source: str,
    target: str | None,
    because: str,
    dry: bool,
    select: Sequence[str],
    exclude: Sequence[str],
    now: datetime | None,
    as_json: bool,
) -> None:
    """Publish in its parent what an environment publishes: the very versions that were judged."""
    with opened(now=now) as default:
        workspace = replace(default, environment=parent_of(default, source, target))
        workspace.check_now(now)
        selectors = [*names, *select]
        chosen = None
        if selectors or exclude:
            chosen = names_for(workspace, workspace.observe(), selectors, exclude)
        done = promote(workspace, source, chosen, because=because, dry=dry)
        if as_json:
            print_json(_as_data(done, workspace, because, dry=dry))
        else:
            click.echo(clean("\n".join(_lines(done, workspace, dry=dry)), keep_lines=True))
        if done.release:
            tell_people(workspace)


def _affected(done: Promoted, workspace: Workspace, name: str) -> list[str]:
    facts = workspace.catalog.facts(workspace.environment, workspace.storage.holds)
    views = ProductViews(graph=workspace.graph, facts=facts, now=workspace.clock())
    return list(views.affected(name))


def _as_data(done: Promoted, workspace: Workspace, because: str, *, dry: bool) -> dict[str, Any]:
    result = "would be promoted" if dry else "promoted"
    return {
        "result": result if done.versions else "nothing to promote",
        "from": done.source,
        "to": done.target,
        "release": done.release,
        "because": because,
        "products": [
            {
                "product": name,
                "version": version.id,
                "before": done.before[name].id if name in done.before else "",
                "rows": version.rows,
                "rows_before": done.before[name].rows if name in done.before else 0,
                "judged": name in done.judged,
                "affects": _affected(done, workspace, name),
            }
            for name, version in done.versions.items()
        ],
    }


def _lines(done: Promoted, workspace: Workspace, *, dry: bool) -> list[str]:
    if not done.versions:
        return [
            f"  nothing to promote: of what was asked for, {done.source} has published nothing itself"
            f" that {done.target} has not"
        ]
    lines = []
    width = max(map(len, done.versions))
    for name, version in done.versions.items():
        before = done.before.get(name)
        change = f"{short(before.id)} -> " if before else ""
        rows = f"{before.rows:,} -> " if before else ""
        judged = (
            "" if name not in done.judged else "   to be judged again" if dry else "   judged again"
        )
        lines.append(
            f"  {'would be promoted' if dry else 'promoted'}  {name:{width}}"
            f"  {change}{short(version.id)}  rows {rows}{version.rows:,}{judged}"
        )
        if affects := _affected(done, workspace, name):
            lines.append(f"      affects: {'; '.join(affects)}")
    many = "1 product" if len(done.versions) == 1 else f"{len(done.versions)} products"
    if dry:
        lines.append(
            f"  {many}, in one release of {done.target}; `products diff --before {done.target}"
            f" --env {done.source}` shows what changes"
        )
    else:
        lines.append(f"  release {done.release} of {done.target}: {many}")
    return lines
