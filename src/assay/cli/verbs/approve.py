"""The verb `products approve`: agree that a version of a product is published."""

from datetime import datetime

import click

from assay.cli.opening import opened
from assay.cli.options import ENV, JSON, NOW, options
from assay.cli.printing import print_json
from assay.errors import UsageError
from assay.facts import short
from assay.text import clean
from assay.users import user
from assay.views.approvals import ApprovalView, Approved, approve, withdraw_approval
from assay.views.words.figures import figures_lines


@click.command("approve")
@click.argument("name")
@click.argument("version", required=False)
@click.option("--as", "approver", default="", metavar="WHO", help="Who agrees.")
@click.option("--because", default="", metavar="TEXT", help="Why.")
@click.option(
    "--withdraw", "withdrawn", is_flag=True, help="Withdraw the approval, before it is used."
)
@options(ENV, NOW, JSON)
def verb(
    name: str,
    version: str | None,
    approver: str,
    because: str,
    withdrawn: bool,
    env: str | None,
    now: datetime | None,
    as_json: bool,
) -> None:
    """Agree that a version of a product is published, of one that asks for approval.

    VERSION is the beginning of its id; default: the one that awaits approval. Nothing is published
    before the next `products materialize`.
    """
    who, why = clean(approver.strip()), clean(because.strip())
    with opened(env, now) as workspace:
        full = workspace.graph.resolve(name)
        if withdrawn:
            if not who:
                raise UsageError("--withdraw needs --as WHO: whose approval it is")
            view = withdraw_approval(workspace, full, version, who)
            lines = ["it does not count any more"]
        else:
            approved = approve(workspace, full, version, approver=who, because=why, author=user())
            view = approved.view
            lines = [] if as_json else _about(approved)
    return _print(view, lines, as_json)


def _about(approved: Approved) -> list[str]:
    """Return what was approved: rows, and how they differ from what readers have."""
    version, changes = approved.version, approved.changes
    as_of = f", as of {version.data_as_of:%Y-%m-%d}" if version.data_as_of else ""
    lines = [f"approves {version.rows:,} rows{as_of}"]
    if approved.published is None:
        lines.append("readers have nothing yet")
    elif changes:
        lines += figures_lines(version.product, changes, "changes")
    else:
        lines.append(f"`products diff {version.product} --held` says what changes")
    return [*lines, approved.effect]


def _print(view: ApprovalView, lines: list[str], as_json: bool) -> None:
    if as_json:
        return print_json(view)
    click.echo(clean(f"  {view.product}  {short(view.version)}  {view.state}  {view.approver}"))
    for line in lines:
        click.echo(clean(f"    {line}"))
    return None
