"""The columns that a contract or a source declares, each with its description."""

from collections.abc import Iterable

from assay.model import Column
from assay.views.view import View


class DeclaredColumn(View, frozen=True, kw_only=True):
    """A declared column; `type` is spelled as DuckDB spells it, `description` may be ''."""

    name: str
    type: str
    description: str


def declared_columns(columns: Iterable[Column]) -> tuple[DeclaredColumn, ...]:
    """Return the views of declared columns."""
    return tuple(
        DeclaredColumn(name=column.name, type=column.type, description=column.description)
        for column in columns
    )
