"""The verb `products ls`: the declared products, and those still published without."""

from collections.abc import Sequence

import click

from assay.cli.opening import opened, promises_of, selected_names
from assay.cli.options import ENV, EXCLUDE, JSON, SELECT, options
from assay.cli.printing import print_json, table
from assay.views.about import about, about_undeclared
from assay.views.sources import about_source, listed_sources
from assay.views.words.freshness import standing_cell
from assay.views.words.products import no_longer_declared, parts_of


@click.command("ls")
@options(SELECT, EXCLUDE, ENV, JSON)
def verb(select: Sequence[str], exclude: Sequence[str], env: str | None, as_json: bool) -> None:
    """List products and sources: what each is for, and who owns it."""
    with opened(env, last_good=True) as workspace:
        observed = workspace.observe()
        chosen = selected_names(workspace, observed, select, exclude)
        promises = promises_of(workspace, observed)
        products = [workspace.graph.products[n] for n in workspace.graph.order if n in chosen]
        sources = listed_sources(workspace.graph, chosen)
        undeclared = {} if select or exclude else workspace.undeclared()
    if as_json:
        declared = [about(p, promises.get(p.name) or promises.get(p.files)) for p in products]
        read = [about_source(source, promises.get(source.name)) for source in sources]
        return print_json([*declared, *read, *map(about_undeclared, undeclared.values())])
    cells = {name: standing_cell(promise, observed.now) for name, promise in promises.items()}
    rows = [
        (
            p.name,
            str(p.kind),
            parts_of(p),
            cells.get(p.name) or cells.get(p.files, ""),
            p.owner,
            p.purpose,
        )
        for p in products
    ]
    rows += [
        (s.product, "source", s.parts, cells.get(s.product, ""), s.owner, s.purpose)
        for s in (about_source(source, None) for source in sources)
    ]
    rows += [
        (name, "", "", "", "", no_longer_declared(version)) for name, version in undeclared.items()
    ]
    headers = ("product", "made by", "parts", "promise", "owner", "purpose")
    table(headers, rows, less=("made by", "parts", "promise"))
    return None
