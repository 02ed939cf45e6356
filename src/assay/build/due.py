"""What is due in a project now: the products to build, and when time alone changes that."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from msgspec import Struct

from assay.build.selection import everything
from assay.build.workspace import Workspace
from assay.decisions import Decision
from assay.plan.as_of import as_of
from assay.plan.due import corrected_days, due_products, is_corrected, is_open, moments
from assay.plan.graph import Graph
from assay.plan.ladder import plan
from assay.plan.observed import Observed
from assay.plan.reach import earliest, undated
from assay.plan.windows import Window, windows_of


class Due(Struct, frozen=True, kw_only=True):
    """The products that are due, and the plan for all products; `windows` are those declared."""

    products: frozenset[str]
    steps: Mapping[str, Decision]
    windows: Mapping[str, Window]


def due_in(workspace: Workspace, observed: Observed, *, eager: bool = False) -> Due:
    """Return what is due; `eager`: every product is, whatever its promises."""
    graph = workspace.graph
    windows = windows_of(graph)
    steps = plan(graph, observed, everything(graph), in_parts=False).steps
    if eager or not any(name in windows for name in graph.products):
        return Due(products=frozenset(graph.products), steps=steps, windows=windows)
    reached = as_of(graph, observed)
    available = _available(graph, reached)
    corrected = corrected_days(graph, steps, observed.sources)

    def is_open_now(name: str) -> bool:
        window, now = windows[name], observed.now
        return is_open(window, now, reached[name], available[name]) or is_corrected(
            window, now, reached[name], corrected.get(name)
        )

    products = frozenset(due_products(graph, steps, is_open_now))
    return Due(products=products, steps=steps, windows=windows)


def moments_of(
    windows: Mapping[str, Window], graph: Graph, observed: Observed
) -> Iterator[datetime]:
    """Yield the moments at which time alone changes what is due, or how a promise stands."""
    reached = as_of(graph, observed)
    for name, window in windows.items():
        yield from moments(window, observed.now, reached[name])


def _available(graph: Graph, reached: Mapping[str, datetime | None]) -> dict[str, datetime | None]:
    """Return how far the sources reach that each product is built from: the one that is behind."""
    available: dict[str, datetime | None] = {name: reached[name] for name in graph.sources}
    without_date = undated(graph)
    for name in graph.order:
        reached_by = {i.name: available.get(i.name) for i in graph.products[name].inputs}
        available[name] = earliest(reached_by, without_date)
    return available
