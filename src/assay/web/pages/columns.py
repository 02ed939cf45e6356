"""The columns of a product: declared and stored, each with where it comes from and what uses it."""

from collections.abc import Sequence
from typing import Any

from assay.plan.flows import EVERY, Edge, How, Lineage, Place
from assay.views.describe import DescriptionView
from assay.views.view import View
from assay.views.words.describe import column_marks

MOST = 300  # columns that a page lists
_ENDS = 12  # columns that one comes from, or that use it


class ColumnEnd(View, frozen=True, kw_only=True):
    """A column of another product or source, and how it takes part; `column` may be "all columns"."""

    of: str
    column: str
    how: str


class ColumnFlow(View, frozen=True, kw_only=True):
    """A column with what its value comes from and what uses it, one step away, and how many more."""

    name: str
    above: tuple[ColumnEnd, ...]
    below: tuple[ColumnEnd, ...]
    more: int


def column_values(view: DescriptionView) -> dict[str, Any]:
    """Return what `column_table` in the templates shows of a product or source."""
    shown = [(column, ", ".join(column_marks(column))) for column in view.columns[:MOST]]
    return {"columns": shown, "more_columns": max(0, len(view.columns) - MOST)}


def flow_values(lineage: Lineage | None, name: str) -> dict[str, Any]:
    """Return what `columns.html` shows of a product or source; nothing without a lineage."""
    if lineage is None:
        return {"flows": None, "unknown": ""}
    table = lineage.tables[name]
    return {"flows": column_flows(lineage, name), "unknown": table.unknown or table.partly}


def column_flows(lineage: Lineage, name: str) -> list[ColumnFlow]:
    """Return for each column of a product or source what it comes from, and what uses it."""
    flows = []
    for column in lineage.tables[name].columns[:MOST]:
        place = Place(name, column.name)
        above = [edge for edge in lineage.above(place) if edge.is_direct]
        below = [edge for edge in lineage.below(place) if edge.is_direct]
        flows.append(
            ColumnFlow(
                name=column.name,
                above=_ends([(edge.source, edge) for edge in above]),
                below=_ends([(edge.target, edge) for edge in below]),
                more=max(0, len(above) - _ENDS) + max(0, len(below) - _ENDS),
            )
        )
    return flows


def _ends(edges: Sequence[tuple[Place, Edge]]) -> tuple[ColumnEnd, ...]:
    return tuple(
        ColumnEnd(
            of=place.of,
            column="all columns" if place.column == EVERY else place.column,
            how="" if edge.how == (How.IDENTITY,) else ", ".join(edge.how),
        )
        for place, edge in edges[:_ENDS]
    )
