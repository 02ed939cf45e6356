"""The verb `products lineage`: what a product depends on, and what depends on it."""

import click

from assay.cli.opening import opened
from assay.cli.printing import print_json
from assay.views.lineage import as_mermaid, as_tree, lineage_of


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
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def verb(name: str, format: str, as_json: bool) -> None:
    """Show what a product or source depends on, and what depends on it."""
    with opened(last_good=True) as workspace:
        graph = workspace.graph
    full = graph.resolve(name, sources=True)
    if as_json or format == "json":
        return print_json(lineage_of(graph, full))
    for line in as_mermaid(graph, full) if format == "mermaid" else as_tree(graph, full):
        click.echo(line)
    return None
