"""The verb `products waive`: let through what fails a rule, with a reason, until a day."""

from collections.abc import Sequence
from datetime import date

import click

from assay.cli.opening import opened
from assay.cli.options import ENV, JSON, NOW, day, options
from assay.cli.printing import print_json
from assay.errors import UsageError
from assay.text import clean
from assay.users import user
from assay.views.waivers import WaiverView, Wanted, waive, withdraw


@click.command("waive")
@click.argument("name")
@click.option("--rule", metavar="RULE", help="The rule: its name, or part of it.")
@click.option(
    "--part",
    "parts",
    multiple=True,
    metavar="PART",
    help="Only what fails in this part; repeatable.",
)
@click.option(
    "--key", multiple=True, metavar="COLUMN=VALUE", help="Only failing rows with this value."
)
@click.option(
    "--rows", type=click.IntRange(1), metavar="N", help="Let at most N failing rows through."
)
@click.option(
    "--measured", type=float, metavar="X", help="Let a measured value of at most X through."
)
@click.option("--until", callback=day, metavar="DATE", help="The last day on which it counts.")
@click.option("--because", default="", metavar="TEXT", help="Why.")
@click.option("--approved-by", default="", metavar="WHO", help="Who answers for it.")
@click.option("--withdraw", "withdrawn", is_flag=True, help="Withdraw the waiver with the id NAME.")
@options(ENV, NOW, JSON)
def verb(
    name: str,
    rule: str | None,
    parts: tuple[str, ...],
    key: Sequence[str],
    rows: int | None,
    measured: float | None,
    until: date | None,
    because: str,
    approved_by: str,
    withdrawn: bool,
    env: str | None,
    now: object,
    as_json: bool,
) -> None:
    """Let through what fails a rule of a product, with a reason, until a day.

    Without --rows or --measured it is about the rows that fail now: other rows, or more, are held
    back as ever. Nothing is published before the next `products materialize`.
    """
    with opened(env, now) as workspace:  # type: ignore[arg-type]
        if withdrawn:
            return _print(withdraw(workspace, name), "it does not count any more", as_json)
        full = workspace.graph.resolve(name)
        if not rule or until is None:
            raise UsageError(
                "a waiver needs --rule and --until",
                hint=f"products waive {name} --rule RULE --until 2012-01-31 --because TEXT",
            )
        if rows is not None and measured is not None:
            raise UsageError("give --rows or --measured, not both")
        wanted = Wanted(
            rule=rule,
            until=until,
            because=clean(because.strip()),
            author=user(),
            approved_by=clean(approved_by.strip()),
            parts=tuple(map(clean, parts)),
            key=_pairs(key),
            rows=rows,
            measured=measured,
        )
        view, effect = waive(workspace, full, wanted)
    return _print(view, effect, as_json)


def _pairs(texts: Sequence[str]) -> dict[str, str]:
    pairs = dict(text.partition("=")[::2] for text in texts)
    if not all("=" in text for text in texts):
        raise UsageError("--key should be COLUMN=VALUE, such as day=2011-12-09")
    return pairs


def _print(view: WaiverView, effect: str, as_json: bool) -> None:
    if as_json:
        return print_json(view)
    click.echo(clean(f"  {view.id}  {view.product}  {view.rule}  until {view.until}"))
    click.echo(clean(f"    waives {view.tolerates}: other rows, or more, are held back"))
    click.echo(clean(f"    {effect}"))
    return None
