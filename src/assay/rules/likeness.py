"""Finds columns that hold values of sensitive columns under another name, by comparing values.

For tables that functions built: a query tells where its columns come from, a function does not.
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

_SHORTEST = 4  # letters of a text that may match as a part of another
_COMPARED = 50  # different texts of a column that are compared as parts of others, or with parts
_NUMBERS = INTEGERS | {"DOUBLE", "FLOAT"}
_TIMES = {"DATE", "TIME", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE"}


class Secrets(Struct, frozen=True):
    """A table, and its sensitive columns."""

    table: StoredTable
    columns: tuple[str, ...]


def alike(
    cursor: "duckdb.DuckDBPyConnection", table: StoredTable, secrets: Sequence[Secrets]
) -> frozenset[str]:
    """Return patterns of the names of the columns that hold values of sensitive columns.

    A text counts if it is equal but for case and surrounding space, or part of the other. Numbers
    and times count if all values of the column are sensitive: single ones are equal by chance.
    """
    if not table.files or table.files[0].suffix != ".parquet":
        return frozenset()
    described = cursor.execute(f"describe ({duck.parquet(table)})").fetchall()
    columns = [(name, type) for name, type, *_ in described if type != "BOOLEAN"]
    matching: set[str] = set()
    for secret in secrets:
        for sensitive in secret.columns:
            columns = [column for column in columns if column[0] not in matching]
            if not columns:
                break
            query = _comparison(table, columns, secret.table, sensitive)
            results = cursor.execute(query).fetchone() or ()
            matching |= {name for (name, _), same in zip(columns, results, strict=True) if same}
    return frozenset(map(re.escape, matching))


def _comparison(
    table: StoredTable, columns: Iterable[tuple[str, str]], source: StoredTable, sensitive: str
) -> str:
    """Return the query of whether each column holds values of a sensitive column of `source`."""
    values = (
        f"select distinct {_text(sensitive)} as v from ({duck.parquet(source)})"
        f" where {identifier(sensitive)} is not null"
    )
    conditions = ", ".join(f"({_is_alike(name, type)})" for name, type in columns)
    return (
        f"with secret as materialized ({values}),"
        f" held as not materialized ({duck.parquet(table)}) select {conditions}"
    )


def _is_alike(name: str, type: str) -> str:
    text = _text(name)
    rows = f"from held where {identifier(name)} is not null"
    if type in _NUMBERS | _TIMES or DECIMAL.match(type):
        all_match = f"coalesce(bool_and({text} in (select v from secret)), false)"
        return f"select count(*) > 0 and {all_match} {rows}"
    is_long = f"length(v) >= {_SHORTEST}"
    texts = (
        f"select distinct {text} as c {rows} and length({text}) >= {_SHORTEST} limit {_COMPARED}"
    )
    return (
        f"select exists(select 1 {rows} and {text} in (select v from secret where {is_long})) or "
        f"exists(select 1 from ({texts}), secret"
        f" where {is_long} and (contains(v, c) or contains(c, v)))"
    )


def _text(name: str) -> str:
    return f"lower(trim(cast({identifier(name)} as varchar)))"
