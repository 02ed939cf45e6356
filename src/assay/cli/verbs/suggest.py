"""The verb `products suggest`: a contract that fits the data as it is."""

import click

from assay.build.inputs import inputs_as_of_now
from assay.cli.opening import opened
from assay.cli.options import ENV, JSON, options
from assay.cli.printing import print_json
from assay.text import clean
from assay.views.profile import suggestion


@click.command("suggest")
@click.argument("name")
@options(ENV, JSON)
def verb(name: str, env: str | None, as_json: bool) -> None:
    """Suggest a contract for a source or a published product, as pandera code to paste."""
    with opened(env, last_good=True) as workspace:
        graph = workspace.graph
        full = graph.resolve(name, sources=True)
        inputs, _ = inputs_as_of_now(workspace, workspace.observe())
        product = graph.products.get(full)
        files = product.files if product else full  # of a source whose rows are stored, too
        readings = {files: graph.sources[files].reading} if files in graph.sources else {}
        contract = suggestion(graph, inputs, full, workspace.catalog.undeclared.of(readings))
    if as_json:
        return print_json(contract)
    click.echo(clean(contract.code, keep_lines=True))
    return None
