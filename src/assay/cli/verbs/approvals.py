"""The verb `products approvals`: what awaits approval, and what was approved."""

from collections.abc import Sequence
from datetime import datetime

import click

from assay.cli.opening import opened
from assay.cli.options import ENV, EXCLUDE, JSON, NOW, SELECT, options
from assay.cli.printing import print_json, print_lines
from assay.facts import short
from assay.plan.select import select_products
from assay.views.approvals import (
    ApprovalsView,
    ApprovalView,
    AwaitingApprovalView,
    approvals,
    listed,
)


@click.command("approvals")
@click.argument("names", nargs=-1, metavar="[NAMES]...")
@options(SELECT, EXCLUDE, ENV, NOW, JSON)
def verb(
    names: Sequence[str],
    select: Sequence[str],
    exclude: Sequence[str],
    env: str | None,
    now: datetime | None,
    as_json: bool,
) -> None:
    """List what awaits approval, since when and whose, and the approvals: given, void and used."""
    with opened(env, now, last_good=True) as workspace:
        view = approvals(workspace, select_products(workspace.graph, [*names, *select], exclude))
    if as_json:
        return print_json(view)
    print_lines(_lines(view))
    return None


def _lines(view: ApprovalsView) -> Sequence[str]:
    lines: list[str] = []
    for awaiting in view.awaiting:
        lines += _awaiting(awaiting)
    for approval in listed(view.approvals):
        lines += _approval(approval)
    return lines or ["nothing awaits approval, and nothing was approved"]


def _awaiting(view: AwaitingApprovalView) -> Sequence[str]:
    who = view.approvers[0] if view.approvers else "WHO"
    return [
        f"awaiting   {view.product}  {short(view.version)}  {view.rows:,} rows"
        f"  since {view.since:%Y-%m-%d %H:%M} UTC",
        f"           waits for {view.awaits}",
        *(f"           approved by {text}" for text in view.approved),
        *(f"           {text}" for text in view.void),
        f"           products approve {view.product} {short(view.version)} --as {who} --because TEXT",
    ]


def _approval(view: ApprovalView) -> Sequence[str]:
    at = f"{view.at:%Y-%m-%d %H:%M} UTC" if view.at else view.author
    state = f"release {view.release}" if view.release else view.because_void
    by = f" (recorded by {view.author})" if view.at and view.author != view.approver else ""
    return [
        f"{view.state:9}  {view.product}  {short(view.version)}  {view.approver}{by}  {at}"
        + (f"  {state}" if state else ""),
        f"           {view.because}",
    ]
