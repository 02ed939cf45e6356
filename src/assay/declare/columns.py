"""Columns of sources as they are declared: a type, what values mean, and how they are written."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from assay import model
from assay.declare.argument_types import is_text
from assay.declare.names import Names
from assay.engines.types import source_column
from assay.model import Where

_TYPE_HINT = (
    "Give a type as in SQL, such as 'bigint' or 'decimal(18, 2)', or of Polars, such as pl.Int64;"
    ' a pair of a type and a description, such as ("bigint", "units sold");'
    ' or Column("date", format="%d.%m.%Y").'
)


class Column(Struct, frozen=True, eq=False):
    """A column of a source: its type, and, where they are written otherwise, how.

        columns = {"day": Column("date", format="%d.%m.%Y"), "n": Column(pl.Int64, "units sold")}

    `format` is how days or times are written, as strptime has it.
    """

    type: Any
    description: str = ""
    format: str = ""


def read_columns(
    name: str, declared: Mapping[str, Any], where: Where, names: Names
) -> tuple[tuple[model.Column, ...], dict[str, str]]:
    """Return the declared columns whose type can be read, and the formats that they give."""
    lower = Counter(str(column).lower() for column in declared)
    equal = [str(column) for column in declared if lower[str(column).lower()] > 1]
    if equal:
        listed = " and ".join(map(repr, equal))
        message = f"{name}: the columns {listed} differ by case alone: they are one to SQL"
        names.report(message, where, "Declare one of them.")
    columns, formats = [], {}
    for column, given in declared.items():
        wanted = _given(given)
        if not is_text(wanted.description) or not is_text(wanted.format):
            message = f"{name}: column {column!r}: description= and format= are texts"
            names.report(message, where)
            continue
        try:
            read = source_column(str(column), wanted.type)
        except (AttributeError, TypeError):
            read = None
        if read is None:
            message = f"{name}: column {column!r} cannot be read as {wanted.type!r}"
            names.report(message, where, _TYPE_HINT)
            continue
        columns.append(replace(read, description=" ".join(wanted.description.split())))
        if wanted.format:
            formats[str(column)] = wanted.format
    return tuple(columns), formats


def _given(given: Any) -> Column:
    """Return a column that is declared as a Column, as a pair with a description, or as a type."""
    if type(given) is Column:
        return given
    if isinstance(given, tuple) and len(given) == 2 and is_text(given[1]):
        return Column(*given)
    return Column(given)
