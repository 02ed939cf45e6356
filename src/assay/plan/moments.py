"""Products that change with time: the current day (hour, month …) is part of their code."""

from datetime import UTC, datetime

from msgspec.structs import replace

from assay.model import Product
from assay.plan.digests import code_of
from assay.plan.graph import Graph
from assay.times import settled_before

NEVER = "never"
TURNS = ("hour", "day", "week", "month", "quarter", "year")
CLOCK = "clock"  # the name of the moment among the things that code reaches


def start_of(period: str, now: datetime) -> datetime:
    """Return when the current hour, day, month … began, in UTC; for "never", return now."""
    if period == NEVER:
        return now.astimezone(UTC)
    if period == "hour":
        return now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return settled_before(f"start of {period}", now).replace(tzinfo=UTC)


def at_moment(product: Product, now: datetime) -> Product:
    """Return a product with its clock at the start of the current period."""
    if not product.changes_with:
        return product
    moment = start_of(product.changes_with, now)
    reached = dict(product.code.reached)
    if product.clocked and product.changes_with != NEVER:
        reached[CLOCK] = _period_name(product.changes_with, moment)
    return replace(product, moment=moment, code=code_of(reached))


def graph_at(graph: Graph, now: datetime) -> Graph:
    """Return the graph with the clock of each product at the start of its current period."""
    if not any(product.changes_with for product in graph.products.values()):
        return graph
    products = {name: at_moment(product, now) for name, product in graph.products.items()}
    timed = replace(graph, products=products)
    timed.keep_order(graph.order)
    return timed


def judged_at(product: Product) -> str:
    """Return the period that a verdict on a product is for, as "day 2026-12-08".

    '' means that no rule reads the clock, or that the product never changes with time.
    """
    is_clocked = any(rule.clocked for rule in product.contract.rules)
    if not is_clocked or not product.moment or product.changes_with == NEVER:
        return ""
    return _period_name(product.changes_with, product.moment)


def _period_name(period: str, moment: datetime) -> str:
    if period == "hour":
        return f"hour {moment:%Y-%m-%dT%H:00}"
    return f"{period} {moment:%Y-%m-%d}"
