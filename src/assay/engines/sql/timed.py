"""Sets the clocks in the queries of products to the moment that the products are built for."""

from msgspec.structs import replace

from assay.engines.sql.clock import set_clock
from assay.engines.sql.reader import parse
from assay.model import Product, Rule
from assay.plan.graph import Graph

_BEFORE, _AFTER = "select not (\n", "\n)"


def clocks_set(graph: Graph) -> Graph:
    """Return the graph with the clocks set in all products that have a moment."""
    if not any(product.moment for product in graph.products.values()):
        return graph
    products = {name: clock_set(product) for name, product in graph.products.items()}
    timed = replace(graph, products=products)
    timed.keep_order(graph.order)
    return timed


def clock_set(product: Product) -> Product:
    """Return a product with its moment, if it has one, in place of the clocks in its queries."""
    if product.moment is None:
        return product
    rules = tuple(
        _rule_set(rule, product) if rule.clocked else rule for rule in product.contract.rules
    )
    return replace(
        product, sql=_set(product.sql, product), contract=replace(product.contract, rules=rules)
    )


def _rule_set(rule: Rule, product: Product) -> Rule:
    if rule.demand is None or rule.demand.kind != "condition":
        return replace(rule, sql=_set(rule.sql, product))
    query = _set(f"{_BEFORE}{rule.demand.arguments['sql']}{_AFTER}", product)
    condition = query.removeprefix(_BEFORE).removesuffix(_AFTER)
    arguments = {**rule.demand.arguments, "sql": condition}
    return replace(rule, demand=replace(rule.demand, arguments=arguments))


def _set(sql: str, product: Product) -> str:
    assert product.moment is not None
    return set_clock(sql, parse(sql).moving, product.moment) if sql else ""
