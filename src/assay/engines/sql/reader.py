"""Reads SQL with DuckDB's own parser: one query or nothing, its canonical form, and the tables it names."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache, lru_cache
from typing import Any

from msgspec import Struct

from assay.engines.sql.clock import CLOCKS, Moving, moving
from assay.engines.sql.parser import PARSER
from assay.plan.digests import digest

# Table functions that make rows out of their arguments alone; every other one reads something that is not an input.
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
# What a function does besides computing from its arguments, by its name as a whole.
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
_ZONED = ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ_NS", "TIME WITH TIME ZONE")
_PLACES = {"query_location", "query_location_length"}
# The same in what DuckDB says as JSON, where no quote inside a text is without a backslash before it.
_PLACED = re.compile(r'"query_location(?:_length)?":\d+,?')
_ahead: dict[str, str] = {}  # what DuckDB said of the texts that are being read together
_together: list[list[str]] = []  # texts to be read when the first of them is


class SqlTable(Struct, frozen=True):
    """A table that a query names, as (`schema`, `name`), with the offset in bytes (UTF-8) where it stands."""

    schema: str
    name: str
    offset: int

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else self.name


class Parsed(Struct, frozen=True):
    """A query: `meaning` (a digest) is the same for the same; `statement` is its text without a closing semicolon.

    `moving` are the clocks, and what hangs on chance, that it asks, where they stand in the text that was parsed.
    """

    meaning: str
    statement: str
    tables: tuple[SqlTable, ...]
    moving: tuple[Moving, ...] = ()


class Columns(Struct, frozen=True):
    """The columns that a query names, in lower case.

    `opaque`: columns may reach its result that it does not name, under other names; plainly taking all columns of one
    table (`*`) is not that.
    """

    names: frozenset[str]
    opaque: bool


_known: dict[str, Parsed] = {}  # what is recalled of texts
_takers: list[dict[str, Parsed]] = []  # where what is parsed is noted


class Unreadable(ValueError):
    """SQL that is not one readable query: what is wrong, and the offset in bytes (UTF-8) where (-1: nowhere)."""

    def __init__(self, what: str, offset: int = -1) -> None:
        super().__init__(what)
        self.what, self.offset = what, offset


@contextmanager
def read_ahead(texts: Iterable[str]) -> Iterator[None]:
    """Have DuckDB read many texts at once that are to be parsed one by one: that is ten times cheaper.

    What can't be read so is read when its turn comes, and told then; what is known, only when more of it is asked.
    """
    every = dict.fromkeys(texts)
    _together.extend(([t for t in every if t not in _known], [t for t in every if t in _known]))
    try:
        yield
    finally:
        _together.clear()
        _ahead.clear()


def _read_together(sql: str) -> str | None:
    """Return what DuckDB says of a text, read with all those that it is to be read with; None where it is alone."""
    import duckdb

    if asked := next((texts for texts in _together if sql in texts), None):
        query = "select s, json_serialize_sql(s) from (select unnest(?::varchar[]) as s)"
        with suppress(duckdb.Error, UnicodeError):
            _ahead.update(PARSER.ask(query, [asked]))
        asked.clear()
    return _ahead.get(sql)


@contextmanager
def recalling(known: Mapping[str, Parsed]) -> Iterator[dict[str, Parsed]]:
    """Parse by what is known of some texts; yields all that are parsed meanwhile, those included."""
    taken: dict[str, Parsed] = {}
    _known.update(known)
    _takers.append(taken)
    try:
        yield taken
    finally:
        _takers.remove(taken)
        _known.clear()


def parse(sql: str) -> Parsed:
    """Parse one SELECT; raises Unreadable for anything else, also for one that writes or reads files on its own."""
    parsed = _known.get(sql) or _parse(sql)
    for taken in _takers:
        taken[sql] = parsed
    return parsed


@lru_cache(maxsize=4096)
def _parse(sql: str) -> Parsed:
    said = _said(sql)
    told = _read(said)
    if told["error"]:
        raise _refused(told)
    if len(told["statements"]) != 1:
        raise Unreadable(f"this is {len(told['statements'])} statements; give one query")
    found: list[SqlTable] = []
    try:
        _gather(told["statements"][0]["node"], frozenset(), found)
        spots = moving(told["statements"][0]["node"], said, sql)
    except RecursionError:
        raise Unreadable("this is nested too deeply") from None
    canonical = _PLACED.sub("", said)
    return Parsed(
        meaning=digest(canonical),
        statement=_statement(sql, canonical),
        tables=tuple(dict.fromkeys(found)),
        moving=spots,
    )


@lru_cache(maxsize=4096)
def columns(sql: str) -> Columns:
    """Return the columns that a query lets through to its result; raises Unreadable as `parse()` does."""
    node = tree(sql)
    seen = _Seen()
    seen.look(node)
    hidden = (
        seen.opaque
        or (seen.stars > 0 and not _takes_one_table(node))
        or bool(seen.last & seen.tables)
    )
    return Columns(names=frozenset(seen.names), opaque=hidden)


def tree(sql: str) -> dict[str, Any]:
    """Return the syntax tree of one query, as DuckDB tells it; raises Unreadable as `parse()` does."""
    parse(sql)
    node: dict[str, Any] = _serialized(sql)["statements"][0]["node"]
    return node


def written(node: dict[str, Any]) -> str:
    """Return a syntax tree as a query; raises Unreadable where DuckDB would not read the same tree from it."""
    import duckdb

    told = json.dumps(
        {"error": False, "statements": [{"node": node, "named_param_map": list(_parameters(node))}]}
    )
    try:
        [(text,)] = PARSER.ask("select json_deserialize_sql(?::json)", [told])
    except duckdb.Error as error:
        raise Unreadable(str(error).splitlines()[0]) from None
    if placeless(tree(text)) != placeless(node):
        raise Unreadable("this cannot be written as it was read")
    return str(text)


def _parameters(node: Any) -> Iterator[dict[str, Any]]:
    """Yield the parameters of a tree, as DuckDB lists them."""
    told = re.findall(r'"class": "PARAMETER".*?"identifier": "(\w+)"', json.dumps(node))
    yield from (
        {"key": name, "value": number} for number, name in enumerate(dict.fromkeys(told), 1)
    )


@cache
def functions() -> tuple[frozenset[str], frozenset[str]]:
    """Return the names of DuckDB's aggregates, and of what can give another answer another time: clocks, chance.

    That of `day(timestamptz)` hangs on the time zone alone, which is always UTC here: it is none of the latter.
    """
    hangs = "stability = 'VOLATILE' or (stability <> 'CONSISTENT' and not list_has_any(parameter_types, ?))"
    asked = f"select lower(function_name), function_type = 'aggregate', coalesce({hangs}, false) from duckdb_functions()"
    rows = PARSER.ask(asked, [list(_ZONED)])
    moving = frozenset(
        [*CLOCKS, "age", *(name for name, _, moves in rows if moves)]
    )  # age(t) counts from today
    return frozenset(name for name, aggregate, _ in rows if aggregate), moving


class _Seen:
    """The columns that a query may let through to its result, gathered from its nodes."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.last: set[str] = set()
        self.tables: set[str] = set()  # a table where a column should be is a whole row
        self.stars = 0
        self.opaque = False

    def look(self, node: Any) -> None:
        """Gather what a node and all below it name."""
        if isinstance(node, list):
            for item in node:
                self.look(item)
        elif isinstance(node, dict):
            self._look_at(node)
            for value in node.values():
                self.look(value)

    def _look_at(self, node: dict[str, Any]) -> None:
        kind = node.get("type")
        if node.get("class") == "COLUMN_REF":
            names = [str(name).lower() for name in node.get("column_names", ())]
            self.names.update(names)
            self.last.update(names[-1:])
        if node.get("class") == "STAR":
            self.stars += 1
            self.opaque |= bool(node.get("columns") or node.get("expr") or node.get("rename_list"))
        if node.get("class") in {"POSITIONAL_REFERENCE", "LAMBDA"} or kind in {
            "PIVOT",
            "TABLE_FUNCTION",
            "SHOW_REF",
        }:
            self.opaque = True
        self.opaque |= bool(node.get("column_name_alias") or node.get("aliases"))
        if kind in {"BASE_TABLE", "SUBQUERY"}:
            self.tables |= {str(node.get(key) or "").lower() for key in ("alias", "table_name")} - {
                ""
            }


def _takes_one_table(node: dict[str, Any]) -> bool:
    """Say whether a query's only star is in its own select list, over one table and nothing else."""
    stars = [item for item in node.get("select_list", ()) if item.get("class") == "STAR"]
    inner = _Seen()
    inner.look({key: value for key, value in node.items() if key != "select_list"})
    inner.look([item for item in node.get("select_list", ()) if item.get("class") != "STAR"])
    simple = node.get("type") == "SELECT_NODE" and not node.get("cte_map", {}).get("map")
    return (
        simple
        and len(stars) == 1
        and not inner.stars
        and node["from_table"].get("type") == "BASE_TABLE"
    )


def is_expression(sql: str) -> bool:
    """Say whether a text is one expression, which does not end the parentheses that it is put in."""
    told = _serialized(f"select not (\n{sql}\n)")
    if told["error"] or len(told["statements"]) != 1:
        return bool(told["error"])  # what is wrong with it is said where it is used
    node = told["statements"][0]["node"]
    chosen = node.get("select_list", [])
    alone = (
        node.get("type") == "SELECT_NODE"
        and node["from_table"].get("type") == "EMPTY"
        and len(chosen) == 1
    )
    return alone and chosen[0].get("type") == "OPERATOR_NOT" and not node.get("where_clause")


def _serialized(sql: str) -> dict[str, Any]:
    return _read(_said(sql))


def _read(said: str) -> dict[str, Any]:
    try:
        return json.loads(said)  # type: ignore[no-any-return]
    except RecursionError:
        raise Unreadable("this is nested too deeply") from None


def _said(sql: str) -> str:
    """Return what DuckDB says of a text, as JSON."""
    import duckdb

    try:
        if (told := _ahead.get(sql) or _read_together(sql)) is None:
            [(told,)] = PARSER.ask("select json_serialize_sql(?::varchar)", [sql])
        return str(told)
    except duckdb.OutOfMemoryException:
        raise  # that says nothing of the query
    except (duckdb.Error, UnicodeError) as error:
        raise Unreadable(str(error).splitlines()[0]) from None


def _statement(sql: str, meaning: str) -> str:
    """Return the text up to its closing semicolon: what may stand in parentheses on lines of its own."""
    text = sql
    while (head := text.rpartition(";")[0]) and _PLACED.sub("", _said(head)) == meaning:
        text = head
    return bare(text)


def bare(text: str) -> str:
    """Return a text without the space around it; what else looks like space may be a name to DuckDB."""
    return text.strip(" \t\r\n\f\v")


def place(sql: str, offset: int, *, inside: str = "") -> tuple[int, int, str]:
    """Return line, column (both from 1, in characters) and text of the line at an offset in bytes.

    They are those in the text `inside` the SQL, if there is one: of a condition that was made a query of.
    """
    if inside and (start := sql.find(inside)) >= 0:
        start = len(sql[:start].encode(errors="replace"))
        sql, offset = inside, min(max(offset - start, 0), len(inside.encode(errors="replace")))
    before = sql.encode(errors="replace")[:offset].decode(errors="ignore")
    line = before.count("\n") + 1
    column = len(before) - (before.rfind("\n") + 1) + 1
    lines = sql.splitlines() or [""]
    return line, column, lines[min(line, len(lines)) - 1]


def _refused(told: dict[str, Any]) -> Unreadable:
    message = told.get("error_message", "cannot be parsed")
    if told.get("error_type") == "not implemented":
        return Unreadable(
            "this is not a query: give one SELECT (PIVOT needs its values listed: `on x in (...)`)"
        )
    return Unreadable(message.splitlines()[0], int(told.get("position", -1)))


def placeless(node: Any) -> Any:
    """Return a part of a tree without the places where it stands."""
    if isinstance(node, dict):
        return {k: placeless(v) for k, v in node.items() if k not in _PLACES}
    return [placeless(item) for item in node] if isinstance(node, list) else node


def _gather(node: Any, local: frozenset[str], found: list[SqlTable]) -> None:
    """Gather the tables below a node that are not names local to the query (common table expressions)."""
    if isinstance(node, list):
        for item in node:
            if isinstance(item, dict | list):
                _gather(item, local, found)
        return
    kind = node.get("type")
    if isinstance(kind, str) and kind.endswith("_QUERY_NODE"):
        raise Unreadable("this writes: give a query that only reads")
    if kind == "BASE_TABLE":
        found.extend(_base_table(node, local))
    elif kind == "TABLE_FUNCTION":
        _check_function(node)
    elif kind == "SHOW_REF" and not node.get("query"):
        raise Unreadable(
            "SHOW looks at the catalog of the connection: name a table, or DESCRIBE one"
        )
    elif (called := node.get("function_name")) and (does := _does(str(called).lower())):
        raise Unreadable(f"{called}() {does}", node.get("query_location", -1))
    for entry in node.get("cte_map", {}).get("map", ()):
        name = entry["key"].lower()
        inner = entry["value"].get("query_node") or entry["value"].get("query") or entry["value"]
        recursive = isinstance(inner, dict) and "RECURSIVE" in str(
            inner.get("type", inner.get("node", {}).get("type"))
        )
        _gather(entry["value"], local | {name} if recursive else local, found)
        local |= {name}
    if kind == "RECURSIVE_CTE_NODE":
        local |= {str(node.get("cte_name", "")).lower()}
    for key, value in node.items():
        if value and isinstance(value, dict | list) and key != "cte_map":
            _gather(value, local, found)


@cache
def _does(name: str) -> str:
    """Say what a function does that nothing may; '' for one that computes from its arguments."""
    return next((does for does, names in _REFUSED.items() if names.fullmatch(name)), "")


def _base_table(node: dict[str, Any], local: frozenset[str]) -> Iterator[SqlTable]:
    schema, name, offset = node["schema_name"], node["table_name"], node.get("query_location", -1)
    if schema.lower() == "recurring" and name.lower() in local:
        return  # what a recursive query has found so far
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
            f"{name}() would read something that is no declared input: declare it with source.files()",
            node.get("query_location", -1),
        )
