"""Products that change with time: the day (hour, month …) that it is belongs to what they are built for; pure."""

from datetime import UTC, datetime

from msgspec.structs import replace

from assay.model import Product
from assay.plan.digests import code_of
from assay.plan.graph import Graph
from assay.times import settled_before

NEVER = "never"
TURNS = ("hour", "day", "week", "month", "quarter", "year")
CLOCK = "clock"  # what the moment is called among the parts of code


def start_of(turns: str, now: datetime) -> datetime:
    """Return when the hour, day, month … that it is now began, in UTC; with `never`, now."""
    if turns == NEVER:
        return now.astimezone(UTC)
    if turns == "hour":
        return now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return settled_before(f"start of {turns}", now).replace(tzinfo=UTC)


def at_moment(product: Product, now: datetime) -> Product:
    """Return a product as it is to be built now: its clock stands at the start of what it changes with."""
    if not product.changes_with:
        return product
    moment = start_of(product.changes_with, now)
    parts = dict(product.code.reached)
    if product.clocked and product.changes_with != NEVER:
        parts[CLOCK] = _told(product.changes_with, moment)
    return replace(product, moment=moment, code=code_of(parts))


def graph_at(graph: Graph, now: datetime) -> Graph:
    """Return the graph with each product as it is to be built now."""
    if not any(product.changes_with for product in graph.products.values()):
        return graph
    timed = Graph(
        {name: at_moment(product, now) for name, product in graph.products.items()}, graph.sources
    )
    timed.keep_order(graph.order)
    return timed


def judged_at(product: Product) -> str:
    """Return what the rules of a product take for now, as a verdict is told from others; '' where none asks."""
    clocked = any(rule.clocked for rule in product.contract.rules)
    turns = clocked and product.moment and product.changes_with != NEVER
    return _told(product.changes_with, product.moment) if turns and product.moment else ""


def _told(turns: str, moment: datetime) -> str:
    return f"{turns} {moment:%Y-%m-%dT%H:00}" if turns == "hour" else f"{turns} {moment:%Y-%m-%d}"
