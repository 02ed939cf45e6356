"""Which columns of a table hold sensitive values under a name that does not tell, found by comparing values.

For what functions make: a query tells where its columns come from, a function does not.
"""

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from assay.engines import duckdb as duck
from assay.engines.quoting import identifier
from assay.engines.tables import StoredTable
from assay.engines.types import DECIMAL, INTEGERS

if TYPE_CHECKING:
    import duckdb

_SHORTEST = 4  # letters of a text that is taken for another's when it is part of it
_LOOKED_AT = 50  # different texts of a column that are looked for in others
_WHOLE = INTEGERS | {"DOUBLE", "FLOAT", "DATE", "TIME", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE"}


class Secrets(Struct, frozen=True):
    """A table, and the columns of it that are sensitive."""

    table: StoredTable
    columns: tuple[str, ...]


def alike(
    cursor: "duckdb.DuckDBPyConnection", table: StoredTable, secrets: Sequence[Secrets]
) -> frozenset[str]:
    """Return patterns of the names of the columns in which values of sensitive columns are.

    A text counts when it is the same but for case and space around it, or part of the other.
    Numbers and times count when all of a column are in the other: single ones are alike by chance.
    """
    if not table.files or table.files[0].suffix != ".parquet":
        return frozenset()
    described = cursor.execute(f"describe ({duck.parquet(table)})").fetchall()
    left = [(name, type) for name, type, *_ in described if type != "BOOLEAN"]
    found: set[str] = set()
    for other, name in ((secret.table, name) for secret in secrets for name in secret.columns):
        left = [column for column in left if column[0] not in found]
        if left:
            row = cursor.execute(_compared(table, left, other, name)).fetchone() or ()
            found |= {column for (column, _), same in zip(left, row, strict=True) if same}
    return frozenset(map(re.escape, found))


def _compared(
    table: StoredTable, columns: Iterable[tuple[str, str]], other: StoredTable, name: str
) -> str:
    """Return the query that says of each column whether values of a sensitive column are in it."""
    values = f"select distinct {_text(name)} as v from ({duck.parquet(other)}) where {identifier(name)} is not null"
    asked = ", ".join(f"({_same(*column)})" for column in columns)
    return f"with secret as materialized ({values}), held as not materialized ({duck.parquet(table)}) select {asked}"


def _same(name: str, type: str) -> str:
    text = _text(name)
    there = f"from held where {identifier(name)} is not null"
    if type in _WHOLE or DECIMAL.match(type):
        return f"select count(*) > 0 and coalesce(bool_and({text} in (select v from secret)), false) {there}"
    long = f"length(v) >= {_SHORTEST}"
    some = (
        f"select distinct {text} as c {there} and length({text}) >= {_SHORTEST} limit {_LOOKED_AT}"
    )
    return (
        f"select exists(select 1 {there} and {text} in (select v from secret where {long})) or "
        f"exists(select 1 from ({some}), secret where {long} and (contains(v, c) or contains(c, v)))"
    )


def _text(name: str) -> str:
    return f"lower(trim(cast({identifier(name)} as varchar)))"
