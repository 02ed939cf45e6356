"""The query of a product, as it is shown."""

from assay.engines.sql.formatting import formatted
from assay.errors import UsageError
from assay.plan.graph import Graph
from assay.views.view import View


class QueryView(View, frozen=True, kw_only=True):
    """The query that builds a product; `dialect` is the one that it was translated from, or ''."""

    product: str
    sql: str
    dialect: str
    where: str


def query_view(graph: Graph, name: str) -> QueryView:
    """Return the query of a product, formatted; raise UsageError for what no query builds."""
    product = graph.products.get(name)
    if product is None or not product.sql:
        declared = product or graph.sources[name]
        what = "is not built by a query" if product else "is a source: no query builds it"
        raise UsageError(f"{name} {what}", hint=f"It is declared at {declared.where}.")
    return QueryView(
        product=name,
        sql=formatted(product.sql),
        dialect=product.dialect,
        where=str(product.where),
    )
