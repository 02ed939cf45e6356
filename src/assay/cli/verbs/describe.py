"""The verb `products describe`: what a product or source is, and how to use it."""

import click

from assay.cli.opening import opened
from assay.cli.options import ENV, JSON, options
from assay.cli.printing import print_json, print_lines
from assay.views.describe import described
from assay.views.words.describe import description_lines


@click.command("describe")
@click.argument("name")
@options(ENV, JSON)
def verb(name: str, env: str | None, as_json: bool) -> None:
    """Describe a product or source: purpose, columns and their meaning, rules, who uses it."""
    with opened(env, last_good=True) as workspace:
        full = workspace.graph.resolve(name, sources=True)
        pointer = workspace.catalog.pointers(workspace.environment).get(full)
        published = workspace.catalog.version(pointer.version) if pointer else None
        view = described(workspace.graph, full, published)
    if as_json:
        return print_json(view)
    return print_lines(description_lines(view))
    return None
