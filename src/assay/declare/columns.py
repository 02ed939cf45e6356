"""Columns of sources as they are declared: a type, what values mean, and how they are written."""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from assay import model
from assay.declare.argument_types import is_text
from assay.declare.names import Names
from assay.engines.nested import nested_column
from assay.engines.types import source_column
from assay.model import Where

_TYPE_HINT = (
    "Give a type as in SQL, such as 'bigint' or 'decimal(18, 2)', or of Polars, such as pl.Int64;"
    ' a pair of a type and a description, such as ("bigint", "units sold");'
    ' or Column("date", format="%d.%m.%Y"). Lists and structs are \'varchar[]\' and'
    " 'struct(x bigint)', or pl.List and pl.Struct: of numbers, texts, booleans, days and timestamps"
    " (in microseconds; with a zone, that is UTC)."
)


class Column(Struct, frozen=True, eq=False):
    """A column of a source: its type, and, where they are written otherwise, how.

        columns = {"day": Column("date", format="%d.%m.%Y"), "n": Column(pl.Int64, "units sold"),
                   "cases": Column("bigint", since="2021-01-15", was="positives")}

    `format` is how days or times are written, as strptime has it. Files have the column from the
    day `since` to the day `until`, or, before `since`, by the name `was`; the day of a file is in
    its path. A file may lack an `optional` column. Where a file does not have it, it is null.
    Values of a `sensitive` column are never shown, also of products that have it from the source.
    """

    type: Any
    description: str = ""
    format: str = ""
    since: Any = ""
    until: Any = ""
    was: str = ""
    optional: bool = False
    sensitive: bool = False


class Columns(Struct, frozen=True):
    """The declared columns of a source, and what is declared besides types, by column.

    - `formats`: how days or times are written.
    - `changing`: the columns that not all files have, or not by one name.
    - `sensitive`: patterns of the columns whose values are never shown.
    """

    columns: tuple[model.Column, ...]
    formats: Mapping[str, str]
    changing: Mapping[str, Column]
    optional: tuple[str, ...]
    sensitive: tuple[str, ...]


def read_columns(name: str, declared: Mapping[str, Any], where: Where, names: Names) -> Columns:
    """Return the declared columns whose type can be read; problems are reported."""
    lower = Counter(str(column).lower() for column in declared)
    equal = [str(column) for column in declared if lower[str(column).lower()] > 1]
    if equal:
        listed = " and ".join(map(repr, equal))
        message = f"{name}: the columns {listed} differ by case alone: they are one to SQL"
        names.report(message, where, "Declare one of them.")
    columns, formats, changing, optional = [], dict[str, str](), dict[str, Column](), []
    sensitive: list[str] = []
    for column, given in declared.items():
        wanted = _given(given)
        if wrong := _wrong_arguments(wanted):
            names.report(f"{name}: column {column!r}: {wrong}", where)
            continue
        try:
            text = str(column)
            read = source_column(text, wanted.type) or nested_column(text, wanted.type)
        except (AttributeError, TypeError):
            read = None
        if read is None:
            message = f"{name}: column {column!r} cannot be read as {wanted.type!r}"
            names.report(message, where, _TYPE_HINT)
            continue
        columns.append(replace(read, description=" ".join(wanted.description.split())))
        if wanted.format:
            formats[str(column)] = wanted.format
        if wanted.since or wanted.until or wanted.was:
            changing[str(column)] = wanted
        if wanted.optional:
            optional.append(str(column))
        if wanted.sensitive:
            sensitive.append(re.escape(str(column)))
    return Columns(tuple(columns), formats, changing, tuple(optional), tuple(sensitive))


def _wrong_arguments(column: Column) -> str:
    """Return what is wrong with the types of the arguments of a Column; '' for nothing."""
    if not is_text(column.description) or not is_text(column.format) or not is_text(column.was):
        return "description=, format= and was= are texts"
    are_flags = isinstance(column.optional, bool) and isinstance(column.sensitive, bool)
    return "" if are_flags else "optional= and sensitive= are True or False"


def _given(given: Any) -> Column:
    """Return a column that is declared as a Column, as a pair with a description, or as a type."""
    if type(given) is Column:
        return given
    if isinstance(given, tuple) and len(given) == 2 and is_text(given[1]):
        return Column(*given)
    return Column(given)
