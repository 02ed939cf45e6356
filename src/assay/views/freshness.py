"""How promises stand, for `products freshness`, `status` and `ls`."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from assay.plan.graph import Graph
from assay.plan.promise_state import State
from assay.views.view import View

_MOST = 5  # late inputs of a product that are shown


class CauseView(View, frozen=True, kw_only=True):
    """Where it begins that a promise is, or may be, broken."""

    name: str
    text: str


class FreshnessView(View, frozen=True, kw_only=True):
    """How the promise of a product or source stands.

    `due` and `reach` are of the promise that is broken, or else of the next. `kept` of `promised`
    promises were kept in the current quarter; `under_at_least` says that `at_least` can no longer
    be met in it.
    """

    name: str
    is_source: bool
    state: State
    freshness: str
    tz: str
    inherited_from: str
    as_of: datetime | None
    due: datetime | None
    reach: str
    seconds_left: float | None
    start_by: datetime | None
    likely_at: datetime | None
    probability: float | None
    next_due: datetime | None
    kept: int
    promised: int
    at_least: str
    under_at_least: bool
    causes: tuple[CauseView, ...]
    problem: str

    @property
    def is_broken(self) -> bool:
        """Return whether a promise of its own is late or missed.

        An inherited one is only shown: a table of countries is old, and nobody promised more.
        """
        return self.state.is_broken and not self.inherited_from


def awaited_by(view: FreshnessView | None, promises: Mapping[str, FreshnessView]) -> str:
    """Return the product whose promise is broken and that waits for newer data of another; '' for none."""
    if view is None or not view.inherited_from or not view.state.is_broken:
        return ""
    target = promises.get(view.inherited_from)
    return view.inherited_from if target and target.is_broken else ""


def late_above(
    graph: Graph, promises: Mapping[str, FreshnessView]
) -> Mapping[str, Sequence[FreshnessView]]:
    """Return by product what above it is not there as promised, sources first."""
    broken = {view.name: view for view in promises.values() if view.is_broken}
    late: dict[str, Sequence[FreshnessView]] = {}
    for name in graph.order if broken else ():
        above: dict[str, FreshnessView] = {}
        for read in graph.products[name].reads:
            above |= {view.name: view for view in late.get(read, ())}
            if read in broken:
                above[read] = broken[read]
        if above:
            in_order = sorted(above.values(), key=lambda view: not view.is_source)
            late[name] = in_order[:_MOST]
    return late
