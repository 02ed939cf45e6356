"""The verb `products status`: what readers see, and whether it is what it should be."""

from collections.abc import Sequence
from datetime import datetime

import click

from assay.build.mixtures import mixtures_by_pins
from assay.cli.opening import opened, selected
from assay.cli.options import ENV, EXCLUDE, JSON, NOW, SELECT, options, say
from assay.cli.printing import table
from assay.model import short
from assay.plan.ladder import plan
from assay.views.status import status_of, status_of_undeclared
from assay.views.words import Story, day


@click.command("status")
@options(SELECT, EXCLUDE, ENV, NOW, JSON)
def verb(
    select: Sequence[str],
    exclude: Sequence[str],
    env: str | None,
    now: datetime | None,
    as_json: bool,
) -> None:
    """Say for each product what readers see, and whether it is what it should be."""
    with opened(env, now, last_good=True) as workspace:
        observed = workspace.observe()
        steps = plan(
            workspace.graph, observed, selected(workspace, observed, select, exclude)
        ).steps
        story = Story(workspace.graph, observed.facts)
        products = workspace.graph.products
        held, now = story.made_of_held(products), workspace.clock()
        also = {
            n: [f"parts of {one} that it is made of are held back" for one in of]
            for n, of in held.items()
        }
        mixed = mixtures_by_pins(workspace.catalog, workspace.graph, workspace.environment)
        left = set(workspace.catalog.unfinished(workspace.environment))
        told = [
            status_of(
                products[n],
                story.decided(n, d),
                story,
                now,
                also=[*also.get(n, ()), *map(str, mixed.get(n, ()))],
                left=n in left,
            )
            for n, d in steps.items()
        ]
        if not (select or exclude):
            told += [status_of_undeclared(version) for version in workspace.undeclared().values()]
    if as_json:
        return say(told)
    table(
        ("product", "state", "readers see", "as of", "rows", "promised", "because"),
        [
            (
                t["product"],
                t["state"],
                short((t["readers"] or {}).get("version", "nothing")),
                day(t["as_of"] or ""),
                (t["readers"] or {}).get("rows"),
                t["freshness"],
                t["because"],
            )
            for t in told
        ],
    )
    return None
