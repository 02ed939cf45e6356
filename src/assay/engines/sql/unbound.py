"""Why a query does not fit the tables that it reads, in words; from DuckDB's errors."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from assay.engines.sql import reader
from assay.engines.sql.tables import Unreadable
from assay.plan.misfits import Problem, no_column
from assay.plan.names import close

_UNQUALIFIED = re.compile(r'Referenced column "(.*)" (?:was )?not found')
_QUALIFIED = re.compile(r'"([^"]*)" does not have a column named "([^"]*)"')
_NO_TABLE = re.compile(r'Referenced table "(.*)" not found')
_DEFINED_LATER = re.compile(r'Column "(.*)" referenced that exists in the SELECT clause')
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


def problem_of(message: str, sql: str, offset: int, tables: Tables) -> Problem:
    """Return what is wrong with a query, in words, and where.

    `message` is that of DuckDB's error, `offset` the place in the query in bytes, or -1.
    """
    if found := _AMBIGUOUS.search(message):
        choices = " or ".join(re.findall(r"'([^']*)'", found[2]))
        what = f"column {found[1]} is ambiguous: write {choices}"
    elif found := _MISSING.match(message):
        meant = _MEANT.search(message)
        hint = f"; did you mean {meant[1]}?" if meant else ""
        what = f"no {found[1].lower()} {found[2]}{hint}"
    elif found := _QUALIFIED.search(message):
        what = _no_column(found[2], found[1], sql, offset, tables) or _here(found[2], message)
    elif found := _UNQUALIFIED.search(message):
        what = _no_column(found[1], "", sql, offset, tables) or _here(found[1], message)
    elif found := _NO_TABLE.search(message):  # DuckDB looks outside of a subquery, too
        what = _no_column("", found[1], sql, offset, tables) or (
            f"{found[1]} has no such column, or is not selected from"
        )
    elif found := _DEFINED_LATER.search(message):  # of which DuckDB gives no place
        offset = _only_place_of(found[1], sql) if offset < 0 else offset
        what = _no_column(found[1], "", sql, offset, tables) or (
            f"no column {found[1]} in what is selected from; the select list defines one later"
        )
    else:
        what = message.partition("\n")[0]
    return Problem(what=what, offset=offset)


def _here(name: str, message: str) -> str:
    """Return that no such column is there, and which are similar: DuckDB lists some."""
    candidates = re.findall(r'"([^"]*)"', message.partition("Candidate bindings")[2])
    if not candidates:
        return message.partition("\n")[0]
    names = [candidate.rpartition(".")[2] for candidate in candidates]
    if similar := close(name, names):
        return f"no column {name} there; there is {similar[0]}"
    return f"no column {name} there; among others, there is {' and '.join(names)}"


def _only_place_of(name: str, sql: str) -> int:
    """Return the place of the only column of this name without a table; -1 if there are others."""
    try:
        places = list(_places_of(name.lower(), reader.tree(sql)))
    except Unreadable:
        return -1
    return places[0] if len(places) == 1 else -1


def _places_of(name: str, node: Any) -> Iterator[int]:
    if isinstance(node, list):
        for each in node:
            yield from _places_of(name, each)
    elif isinstance(node, dict):
        names = node.get("column_names") if node.get("class") == "COLUMN_REF" else None
        if names and [str(each).lower() for each in names] == [name]:
            yield int(node.get("query_location", -1))
        for each in node.values():
            yield from _places_of(name, each)


def _no_column(name: str, owner: str, sql: str, offset: int, tables: Tables) -> str:
    """Return which table has no such column; '' if the query does not say which one is meant."""
    try:
        scope = _scope_at(reader.tree(sql), offset, {}, tables) if offset >= 0 else None
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
