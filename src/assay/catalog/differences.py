"""The recorded figures of how a version that was held back, or restated, differs from another."""

from collections.abc import Sequence
from typing import Any

from msgspec import to_builtins
from msgspec.json import Decoder

from assay.catalog.database import Database, Writer
from assay.catalog.rows import decoded, to_json
from assay.facts import Figures

_figures_of = Decoder(Figures)


def add_figures(writer: Writer, before: str, after: str, figures: Figures) -> None:
    """Record how a version differs from another; nothing happens if that is recorded already."""
    query = (
        "insert into differences (before, after, figures) values (?, ?, ?)"
        " on conflict (before, after) do nothing"
    )
    values = [before, after, to_json(to_builtins(figures))]
    writer.execute(query, values)


def figures_between(database: Database, before: str, after: str) -> Figures | None:
    """Return how a version differs from another; None where that is not recorded."""
    return _figures(database, "before = ? and after = ?", [before, after])


def figures_to(database: Database, after: str) -> Figures | None:
    """Return how a version differs from one that was published before it, if that is recorded."""
    return _figures(database, "after = ?", [after])


def _figures(database: Database, condition: str, values: Sequence[Any]) -> Figures | None:
    query = f"select figures from differences where {condition} order by before limit 1"
    rows = database.rows(query, values)
    with decoded(database.name):
        return _figures_of.decode(rows[0][0]) if rows else None
