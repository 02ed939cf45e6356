"""How columns of inputs flow into a product: as values of its columns, or by deciding its rows."""

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from functools import cached_property

from msgspec import Struct


class How(StrEnum):
    """How a column of an input takes part in a column, or in the choice of the rows, of a product.

    The value flows (direct):
    - `identity`: unchanged. `computed`: through an expression. `aggregated`: through an aggregate.

    The value decides (indirect):
    - `condition`: which value one column gets: in a `case`, a filtered aggregate, a subquery.
    - `window`: partition or order of a window.
    - `filter`, `join`, `group`, `order`, `unnest`: which rows or groups there are, in which order.

    - `rows`: the rows of the input are those that the product is made of.
    - `unknown`: perhaps; what reads the column is not understood.
    """

    IDENTITY = "identity"
    COMPUTED = "computed"
    AGGREGATED = "aggregated"
    CONDITION = "condition"
    WINDOW = "window"
    FILTER = "filter"
    JOIN = "join"
    GROUP = "group"
    ORDER = "order"
    UNNEST = "unnest"
    ROWS = "rows"
    UNKNOWN = "unknown"


ROWS = ""  # in place of a column: which rows there are
EVERY = "*"  # in place of a column: any of them
DIRECT = frozenset({How.IDENTITY, How.COMPUTED, How.AGGREGATED, How.UNKNOWN})


class Flow(Struct, frozen=True):
    """A `column` of the product or source `of`, or its ROWS, and how it takes part.

    `how` is in the order of `How`.
    """

    of: str
    column: str
    how: tuple[How, ...]

    @property
    def is_direct(self) -> bool:
        """Whether its value flows, or may flow."""
        return not DIRECT.isdisjoint(self.how)


class ColumnFlows(Struct, frozen=True, kw_only=True):
    """A column, its type as DuckDB spells it ('' when not known), and what flows into it."""

    name: str
    type: str = ""
    flows: tuple[Flow, ...] = ()


class TableFlows(Struct, frozen=True, kw_only=True):
    """The columns of a product or source, and the flows that decide which rows it has.

    `unknown` says why nothing is known about the flows: then each column may depend on every column
    of every input. '' when they are known. `partly` says why some are of the kind `unknown`.
    """

    columns: tuple[ColumnFlows, ...] = ()
    rows: tuple[Flow, ...] = ()
    unknown: str = ""
    partly: str = ""

    def column(self, name: str) -> ColumnFlows | None:
        """Return a column by its name, in any case; None for none."""
        exact = (column for column in self.columns if column.name == name)
        in_any_case = (column for column in self.columns if column.name.lower() == name.lower())
        return next(exact, None) or next(in_any_case, None)


class Place(Struct, frozen=True, order=True):
    """What flows lead to and come from: one `column` of the product or source `of`.

    ROWS in place of a column are the rows that it has, EVERY is each of its columns.
    """

    of: str
    column: str


class Edge(Struct, frozen=True):
    """A flow from one place to another."""

    source: Place
    target: Place
    how: tuple[How, ...]

    @property
    def is_direct(self) -> bool:
        """Whether a value flows along it, or may flow."""
        return not DIRECT.isdisjoint(self.how)


class Lineage(Struct, frozen=True, dict=True):
    """The flows of all products: `tables` and the names of their inputs, by full name."""

    tables: Mapping[str, TableFlows]
    inputs: Mapping[str, tuple[str, ...]]

    def above(self, place: Place) -> list[Edge]:
        """Return the flows into a place; what decides the rows is not among those into a column."""
        table = self.tables.get(place.of, TableFlows())
        if table.unknown:
            above = [Place(read, EVERY) for read in self.inputs.get(place.of, ())]
            return [Edge(source, place, (How.UNKNOWN,)) for source in above]
        flows = table.rows if place.column == ROWS else ()
        if place.column == EVERY:
            flows = _merged([table.rows, *(column.flows for column in table.columns)])
        elif column := table.column(place.column):
            flows = column.flows
        return [Edge(Place(flow.of, flow.column), place, flow.how) for flow in flows]

    def below(self, place: Place) -> list[Edge]:
        """Return the flows out of a place."""
        out_of = self._out_of.get(place.of, ())
        wanted = {place.column, EVERY}
        hows: dict[Place, list[tuple[How, ...]]] = {}
        for edge in out_of:
            if place.column == EVERY or edge.source.column in wanted:
                hows.setdefault(edge.target, []).append(edge.how)
        return [Edge(place, target, _all_of(each)) for target, each in hows.items()]

    @cached_property
    def _out_of(self) -> Mapping[str, list[Edge]]:
        edges: dict[str, list[Edge]] = {}
        for name, table in self.tables.items():
            columns = [EVERY] if table.unknown else [c.name for c in table.columns] + [ROWS]
            for column in columns:
                for edge in self.above(Place(name, column)):
                    edges.setdefault(edge.source.of, []).append(edge)
        return edges

    def upstream(self, *places: Place) -> list[Edge]:
        """Return all flows that lead to any of these, nearest first."""
        return _reached(places, self.above, lambda edge: edge.source)

    def downstream(self, *places: Place) -> list[Edge]:
        """Return all flows that any of these lead to, nearest first."""
        return _reached(places, self.below, lambda edge: edge.target)


def _merged(groups: Iterable[tuple[Flow, ...]]) -> tuple[Flow, ...]:
    """Return each column of these flows once, with all that it does."""
    hows: dict[tuple[str, str], list[tuple[How, ...]]] = {}
    for flow in (flow for group in groups for flow in group):
        hows.setdefault((flow.of, flow.column), []).append(flow.how)
    return tuple(Flow(of, column, _all_of(each)) for (of, column), each in sorted(hows.items()))


def _all_of(hows: Iterable[tuple[How, ...]]) -> tuple[How, ...]:
    given = {how for each in hows for how in each}
    return tuple(how for how in How if how in given)


def _reached(
    places: Iterable[Place],
    nexts: Callable[[Place], list[Edge]],
    end: Callable[[Edge], Place],
) -> list[Edge]:
    """Return the edges that are reached from these places, step by step, each place once."""
    edges: list[Edge] = []
    waiting = list(places)
    seen = set(waiting)
    while waiting:
        nearest = [edge for place in waiting for edge in nexts(place)]
        edges += nearest
        waiting = [place for place in dict.fromkeys(map(end, nearest)) if place not in seen]
        seen.update(waiting)
    return edges
