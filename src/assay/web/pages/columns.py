"""The columns of a product: declared and stored, each with where it comes from and what uses it."""

from collections.abc import Sequence
from typing import Any

from assay.facts import Version
from assay.model import Product
from assay.plan.flows import EVERY, Edge, How, Lineage, Place
from assay.views.view import View

MOST = 300  # columns that a page lists
_ENDS = 12  # columns that one comes from, or that use it


class ColumnRow(View, frozen=True, kw_only=True):
    """A column with its type, description, and whether it is of the key."""

    name: str
    type: str
    description: str
    of_key: bool


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


def column_rows(product: Product, published: Version | None) -> list[ColumnRow]:
    """Return the declared columns, and then those that are only stored."""
    stored = {column.name: column.type for column in published.columns} if published else {}
    declared = product.contract.columns
    key = product.contract.key
    rows = [
        ColumnRow(
            name=column.name,
            type=stored.get(column.name, column.type).lower(),
            description=column.description,
            of_key=column.name in key,
        )
        for column in declared
    ]
    names = {column.name for column in declared}
    return rows + [
        ColumnRow(name=name, type=type.lower(), description="", of_key=name in key)
        for name, type in stored.items()
        if name not in names
    ]


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
