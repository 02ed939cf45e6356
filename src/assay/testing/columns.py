"""The columns of what products read: declared, or those of the query that makes them."""

from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from assay.build.bound import Bound, untraced
from assay.model import Column, Kind, Product
from assay.plan.graph import Graph


def columns_of(graph: Graph, names: Iterable[str]) -> dict[str, Sequence[Column]]:
    """Return the columns of products and sources by name; none for those that are not known."""
    names = list(names)
    queries = [name for name in names if _is_bound(graph.products.get(name))]
    bound: Mapping[str, Sequence[Column]] = {}
    if queries:
        flows = Bound(graph, lambda _: (), untraced).bind(queries).tables
        bound = {
            name: [Column(name=column.name, type=column.type) for column in flows[name].columns]
            for name in queries
            if not flows[name].unknown
        }
    return {name: bound.get(name) or _declared(graph, name) for name in names}


def _is_bound(product: Product | None) -> bool:
    return product is not None and product.kind in {Kind.SQL, Kind.QUARANTINE}


def _declared(graph: Graph, name: str) -> Sequence[Column]:
    """Return the declared columns; those of products in the types that are stored."""
    product = graph.products.get(name)
    if source := graph.sources.get(product.files if product else name):
        return source.columns
    columns = graph.products[name].contract.columns
    return [replace(column, logical="") for column in columns]
