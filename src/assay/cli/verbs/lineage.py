"""The verb `products lineage`: what a product or a column depends on, and what depends on it."""

import click

from assay.cli.opening import opened
from assay.cli.printing import print_json
from assay.views.column_lineage import column_lineage, column_named
from assay.views.lineage import as_mermaid as mermaid
from assay.views.lineage import as_tree, lineage_of
from assay.views.words.columns import column_mermaid, column_tree


@click.command("lineage")
@click.argument("name")
@click.option(
    "--format",
    "format",
    type=click.Choice(["tree", "mermaid", "json"]),
    default="tree",
    show_default=True,
    help="Print a tree of text, a Mermaid chart, or JSON.",
)
@click.option("--mermaid", "as_mermaid", is_flag=True, help="The same as --format mermaid.")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def verb(name: str, format: str, as_mermaid: bool, as_json: bool) -> None:
    """Show what a product, source or column depends on, and what depends on it.

    NAME is a product, a source, or a column of either: sales.orders.amount.
    """
    format = "json" if as_json else "mermaid" if as_mermaid else format
    with opened(last_good=True) as workspace:
        graph = workspace.graph
        named = column_named(graph, name)
        view = column_lineage(workspace, *named) if named else None
    full = "" if view else graph.resolve(name, sources=True)
    if format == "json":
        return print_json(view or lineage_of(graph, full))
    if view:
        lines = column_mermaid(view) if format == "mermaid" else column_tree(view)
    else:
        lines = mermaid(graph, full) if format == "mermaid" else as_tree(graph, full)
    for line in lines:
        click.echo(line)
    return None
