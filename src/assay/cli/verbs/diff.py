"""The verb `products diff`: what differs between two versions of products."""

from collections.abc import Sequence
from pathlib import Path

import click
from msgspec.structs import replace

from assay.build.compared_columns import DiffOptions
from assay.cli.opening import opened
from assay.cli.options import ENV, options
from assay.cli.printing import print_json
from assay.errors import UsageError
from assay.text import clean
from assay.views.diff import diffs
from assay.views.diff_sides import compared_products
from assay.views.words.diff import diff_markdown, diffs_text
from assay.views.words.numbers import count_of


@click.command("diff")
@click.argument("names", nargs=-1, metavar="[NAMES]...")
@options(ENV)
@click.option(
    "--before", metavar="WHAT", help="What to compare; default: what was published before."
)
@click.option(
    "--after", metavar="WHAT", help="What to compare it with; default: what is published."
)
@click.option("--held", is_flag=True, help="Compare what is published with what is held back.")
@click.option(
    "--downstream/--no-downstream",
    "downstream",
    default=None,
    help="With --held: build what depends on it on trial, also functions; default: queries, if fast.",
)
@click.option(
    "--key", multiple=True, metavar="COLUMN", help="Match rows by this column; repeatable."
)
@click.option("--measure", multiple=True, metavar="COLUMN", help="Add this column up; repeatable.")
@click.option(
    "--by", multiple=True, metavar="COLUMN", help="Show totals by this column; repeatable."
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0, 1),
    default=0.0,
    metavar="X",
    help="Take floats that differ by less than X, absolute or relative, for the same.",
)
@click.option(
    "-n",
    "--rows",
    "count",
    default=10,
    show_default=True,
    type=click.IntRange(0, 10_000),
    metavar="N",
    help="Show N rows of each product.",
)
@click.option(
    "--to",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write all rows that differ to FILE, CSV or Parquet.",
)
@click.option(
    "--format",
    "format",
    type=click.Choice(["text", "markdown", "json"]),
    default="text",
    show_default=True,
    help="Print text, Markdown or JSON.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def verb(
    names: Sequence[str],
    env: str | None,
    before: str | None,
    after: str | None,
    held: bool,
    downstream: bool | None,
    key: tuple[str, ...],
    measure: tuple[str, ...],
    by: tuple[str, ...],
    tolerance: float,
    count: int,
    to: Path | None,
    format: str,
    as_json: bool,
) -> None:
    """Show what differs between two versions of products: rows, totals, and who is affected.

    NAMES are selectors; default: all products. WHAT is a version (v19e3b42), a release (214), a
    moment, an environment, `published`, `previous` or `held`. Changes nothing.
    """
    if held and after:
        raise UsageError("give --held or --after, not both")
    if downstream is not None and not held:
        raise UsageError(
            "--downstream says what a version that is held back would change: add --held"
        )
    if held and not before:
        before = "published"
    options = DiffOptions(key=key, measures=measure, by=by, tolerance=tolerance, limit=count, to=to)
    with opened(env, last_good=True) as workspace:
        selected = compared_products(workspace, names)
        found = diffs(
            workspace,
            selected,
            before or "previous",
            "held" if held else after or "published",
            options,
            lenient=len(selected) != 1,
        )
        if held and (downstream or len(found.views) == 1):
            from assay.views.what_if import with_effects  # only of what is held back

            views = [with_effects(workspace, view, asked=downstream) for view in found.views]
            found = replace(found, views=views)
    differing = [view for view in found.views if view.differs or len(found.views) == 1]
    if as_json or format == "json":
        return print_json(list(found.views))
    if found.skipped:
        text = f"{count_of(len(found.skipped), 'product')} not compared: one of the two is missing"
        click.echo(clean(f"  {text}: {', '.join(found.skipped)}"), err=True)
    for line in diff_markdown(differing) if format == "markdown" else diffs_text(differing):
        click.echo(line)
    if same := len(found.views) - len(differing):
        click.echo(f"{count_of(same, 'product')} with the same rows")
    return None
