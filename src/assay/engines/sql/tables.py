"""The tables that a query names, and the check that the query does no more than read them."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from msgspec import Struct

# Table functions that compute rows from their arguments; all others read undeclared inputs.
_HARMLESS = {
    "range",
    "generate_series",
    "unnest",
    "repeat",
    "repeat_row",
    "json_each",
    "json_tree",
    "regexp_split_to_table",
    "string_split_to_table",
}
# Why a function is refused, by a pattern that matches its whole name.
_REFUSED = {
    "takes SQL as text, which is read by nobody first": re.compile(
        r"json_(de)?serialize_(sql|plan)|json_execute_.*"
        r"|query(_table)?|from_substrait(_json)?|get_substrait(_json)?|sql_auto_complete|parse_sql"
    ),
    "reads settings or the connection, which are no input": re.compile(
        r"current_(setting|query|query_id|connection_id"
        r"|transaction_id|schemas)|txid_current|getvariable|getenv|get_block_size|pg_(?!typeof$|size_pretty$|sleep$).*|stats"
        r"|has_.*_privilege|(col|obj|shobj)_description|in_search_path|inet_(client|server)_.*|duckdb_.*|pragma_.*"
    ),
    "writes, or counts on": re.compile(r"write_log|nextval|currval|setval"),
    "waits": re.compile(r"sleep_ms|pg_sleep"),
}


class SqlTable(Struct, frozen=True):
    """A table that a query names, as (`schema`, `name`), and its offset in bytes (UTF-8)."""

    schema: str
    name: str
    offset: int

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else self.name


class Unreadable(ValueError):
    """SQL that is not one query that only reads; `offset` is the place, in bytes (UTF-8), or -1."""

    def __init__(self, problem: str, offset: int = -1) -> None:
        super().__init__(problem)
        self.what, self.offset = problem, offset


def tables_of(node: Any) -> tuple[SqlTable, ...]:
    """Return the tables that a syntax tree names, without its common table expressions.

    Raises Unreadable for a query that writes, or that reads anything but tables.
    """
    tables: list[SqlTable] = []
    _gather(node, frozenset(), tables)
    return tuple(dict.fromkeys(tables))


def _gather(node: Any, local: frozenset[str], tables: list[SqlTable]) -> None:
    """Collect the tables below a node, without names `local` to the query (of a WITH clause)."""
    if isinstance(node, list):
        for item in node:
            if isinstance(item, dict | list):
                _gather(item, local, tables)
        return
    kind = node.get("type")
    if isinstance(kind, str) and kind.endswith("_QUERY_NODE"):
        raise Unreadable("this writes: give a query that only reads")
    if kind == "BASE_TABLE":
        tables.extend(_base_table(node, local))
    elif kind == "TABLE_FUNCTION":
        _check_function(node)
    elif kind == "SHOW_REF" and not node.get("query"):
        raise Unreadable(
            "SHOW looks at the catalog of the connection: name a table, or DESCRIBE one"
        )
    elif (called := node.get("function_name")) and (
        reason := _reason_to_refuse(str(called).lower())
    ):
        raise Unreadable(f"{called}() {reason}", node.get("query_location", -1))
    for entry in node.get("cte_map", {}).get("map", ()):
        name = entry["key"].lower()
        inner = entry["value"].get("query_node") or entry["value"].get("query") or entry["value"]
        recursive = isinstance(inner, dict) and "RECURSIVE" in str(
            inner.get("type", inner.get("node", {}).get("type"))
        )
        _gather(entry["value"], local | {name} if recursive else local, tables)
        local |= {name}
    if kind == "RECURSIVE_CTE_NODE":
        local |= {str(node.get("cte_name", "")).lower()}
    for key, value in node.items():
        if value and isinstance(value, dict | list) and key != "cte_map":
            _gather(value, local, tables)


@lru_cache(maxsize=4096)
def _reason_to_refuse(name: str) -> str:
    """Return why a function is refused; '' for one that only computes from its arguments."""
    for reason, names in _REFUSED.items():
        if names.fullmatch(name):
            return reason
    return ""


def _base_table(node: dict[str, Any], local: frozenset[str]) -> Iterator[SqlTable]:
    schema, name, offset = node["schema_name"], node["table_name"], node.get("query_location", -1)
    if schema.lower() == "recurring" and name.lower() in local:
        return  # the rows so far of a recursive query
    if "." in name or "." in schema:
        if name.endswith((".csv", ".parquet", ".json")) or "/" in name:
            yield SqlTable("", name, offset)
            return
        raise Unreadable(f'"{name}" is one name: quote the parts of a name on their own', offset)
    if node["catalog_name"]:
        raise Unreadable(
            f"{node['catalog_name']}.{schema}.{name}: name a table as `name` or `domain.name`",
            offset,
        )
    if schema or name.lower() not in local:
        yield SqlTable(schema.lower(), name.lower(), offset)


def _check_function(node: dict[str, Any]) -> None:
    name = str(node.get("function", {}).get("function_name", "")).lower()
    if name not in _HARMLESS:
        raise Unreadable(
            f"{name}() would read something that is no declared input: "
            "declare it with source.files()",
            node.get("query_location", -1),
        )
