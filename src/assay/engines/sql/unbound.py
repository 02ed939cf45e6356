"""Why a query does not fit the tables that it reads, in words; from DuckDB's errors."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from assay.engines.sql import reader
from assay.engines.sql.tables import Unreadable
from assay.plan.misfits import no_column
from assay.plan.names import close

_UNQUALIFIED = re.compile(r'Referenced column "(.*)" (?:was )?not found')
_QUALIFIED = re.compile(r'"([^"]*)" does not have a column named "([^"]*)"')
_NO_TABLE = re.compile(r'Referenced table "(.*)" not found')
_AMBIGUOUS = re.compile(r'Ambiguous reference to column name "(.*)" \(use: (.*)\)')
_MISSING = re.compile(
    r"(?:Scalar |Table |Aggregate )?(Function|Table|Type) with name (\S+) does not"
)
_MEANT = re.compile(r'Did you mean "([^"]*)"')

# Columns of tables by the name that a query uses, in lower case, each with the table's full name.
Tables = Mapping[str, tuple[str, Sequence[str]]]


class _Scope(Struct):
    """What a column may be of: the tables that a select reads, by name, None for a subquery.

    `column` is the name of the column.
    """

    column: str
    tables: dict[str, tuple[str, Sequence[str]] | None]


def problem_of(message: str, sql: str, offset: int, tables: Tables) -> str:
    """Return what is wrong with a query, in words.

    `message` is that of DuckDB's error, `offset` the place in the query in bytes, or -1.
    """
    if found := _AMBIGUOUS.search(message):
        choices = " or ".join(re.findall(r"'([^']*)'", found[2]))
        return f"column {found[1]} is ambiguous: write {choices}"
    if found := _MISSING.match(message):
        meant = _MEANT.search(message)
        return f"no {found[1].lower()} {found[2]}" + (
            f"; did you mean {meant[1]}?" if meant else ""
        )
    if found := _QUALIFIED.search(message):
        return _no_column(found[2], found[1], sql, offset, tables) or _first_line(message)
    if found := _UNQUALIFIED.search(message):
        return _no_column(found[1], "", sql, offset, tables) or _first_line(message)
    if found := _NO_TABLE.search(message):  # DuckDB looks outside of a subquery, too
        return _no_column("", found[1], sql, offset, tables) or _first_line(message)
    return message.partition("\n")[0]


def _no_column(name: str, owner: str, sql: str, offset: int, tables: Tables) -> str:
    """Return which table has no such column; '' if the query does not say which one is meant."""
    try:
        scope = _scope_at(reader.tree(sql), offset, {}, tables)
    except Unreadable:
        return ""
    if scope is None:
        return ""
    name = name or scope.column
    if owner:
        table = scope.tables.get(owner.lower())
        return no_column(name, *table) if table else ""
    known = [table for table in scope.tables.values() if table]
    if not known or len(known) < len(scope.tables):
        return ""
    if len(known) == 1:
        return no_column(name, *known[0])
    similar = [f"{full} has {each}" for full, columns in known for each in close(name, columns)]
    hint = f"; {', '.join(similar)}" if similar else ""
    return f"no column {name} in {' or '.join(dict.fromkeys(full for full, _ in known))}{hint}"


def _scope_at(
    node: Any, offset: int, read: dict[str, tuple[str, Sequence[str]] | None], tables: Tables
) -> _Scope | None:
    """Return the scope of the column at this place of a syntax tree; None if it is not found."""
    if isinstance(node, list):
        return next((s for each in node if (s := _scope_at(each, offset, read, tables))), None)
    if not isinstance(node, dict):
        return None
    if node.get("type") == "SELECT_NODE":
        local = {str(e["key"]).lower() for e in node.get("cte_map", {}).get("map", ())}
        tables = {name: table for name, table in tables.items() if name not in local}
        read = dict(_read_by(node["from_table"], tables))
    if node.get("class") == "COLUMN_REF" and node.get("query_location") == offset:
        return _Scope(str(node["column_names"][-1]), read)
    return next((s for n in node.values() if (s := _scope_at(n, offset, read, tables))), None)


def _read_by(node: Any, tables: Tables) -> Iterator[tuple[str, tuple[str, Sequence[str]] | None]]:
    if not isinstance(node, dict) or node.get("type") == "EMPTY":
        return
    if node.get("type") == "JOIN":
        yield from _read_by(node.get("left"), tables)
        yield from _read_by(node.get("right"), tables)
        return
    table = str(node.get("table_name") or "").lower()
    schema = str(node.get("schema_name") or "").lower()
    alias = str(node.get("alias") or table).lower()
    is_table = node.get("type") == "BASE_TABLE"
    yield alias, tables.get(f"{schema}.{table}" if schema else table) if is_table else None


def _first_line(message: str) -> str:
    """Return the first line of an error, with the candidates that a short second one names."""
    first, _, rest = message.partition("\n")
    candidates = rest.strip().splitlines()
    is_short = len(candidates) == 1 and candidates[0].startswith("Candidate bindings")
    return f"{first} {candidates[0]}" if is_short else first
