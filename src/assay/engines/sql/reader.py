"""Reads one query with DuckDB's parser: its canonical form, its tables, and its columns."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache, lru_cache
from typing import Any

from msgspec import Struct

from assay.engines.sql.clock import CLOCKS, Moving, moving
from assay.engines.sql.parser import PARSER
from assay.engines.sql.tables import SqlTable, Unreadable, tables_of
from assay.plan.digests import digest

_ZONED = ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ_NS", "TIME WITH TIME ZONE")
_PLACES = {"query_location", "query_location_length"}
# The same in DuckDB's JSON, where a quote inside a text always has a backslash before it.
_PLACED = re.compile(r'"query_location(?:_length)?":\d+,?')


class Parsed(Struct, frozen=True):
    """A query: `meaning` is the digest of its syntax tree, `statement` its text without semicolon.

    `moving` are its calls that depend on clocks or chance, with their places in the parsed text.
    """

    meaning: str
    statement: str
    tables: tuple[SqlTable, ...]
    moving: tuple[Moving, ...] = ()


class Columns(Struct, frozen=True):
    """The columns that a query names, in lower case.

    `opaque`: its result may have unnamed columns under other names. A plain `*` of one table
    is not opaque.
    """

    names: frozenset[str]
    opaque: bool


class SqlReader:
    """Parses SQL with DuckDB, and caches the results.

    Caches hold the most recently used queries, up to a limit. What was read ahead or recalled is
    dropped at the end of its `with` block.
    """

    def __init__(self) -> None:
        self._batches: list[list[str]] = []  # texts that are read when the first of them is needed
        self._serialized: dict[str, str] = {}  # the trees of those texts, as DuckDB's JSON
        self._recalled: dict[str, Parsed] = {}
        self._recorders: list[dict[str, Parsed]] = []
        self._parsed = lru_cache(maxsize=4096)(self._parse)

    @contextmanager
    def read_ahead(self, texts: Iterable[str]) -> Iterator[None]:
        """Let DuckDB read many texts in one query: ten times cheaper than one by one.

        If a batch fails, each text is read when it is parsed, and its error is raised there.
        Recalled texts are a batch of their own, which is read only if a syntax tree is needed.
        """
        unique = dict.fromkeys(texts)
        self._batches.append([text for text in unique if text not in self._recalled])
        self._batches.append([text for text in unique if text in self._recalled])
        try:
            yield
        finally:
            self._batches.clear()
            self._serialized.clear()

    @contextmanager
    def recalling(self, recalled: Mapping[str, Parsed]) -> Iterator[dict[str, Parsed]]:
        """Use earlier results of parsing; yield the results of every text that the block parses."""
        recorder: dict[str, Parsed] = {}
        self._recalled.update(recalled)
        self._recorders.append(recorder)
        try:
            yield recorder
        finally:
            self._recorders[:] = [r for r in self._recorders if r is not recorder]
            self._recalled.clear()

    def parse(self, sql: str) -> Parsed:
        """Parse one SELECT; raise Unreadable for other texts, and if it writes or reads files."""
        parsed = self._recalled.get(sql) or self._parsed(sql)
        for recorder in self._recorders:
            recorder[sql] = parsed
        return parsed

    def tree(self, sql: str) -> dict[str, Any]:
        """Return the syntax tree of one query from DuckDB; raises Unreadable as `parse()` does."""
        self.parse(sql)
        node: dict[str, Any] = _decode(self.serialize(sql))["statements"][0]["node"]
        return node

    def is_expression(self, sql: str) -> bool:
        """Return whether a text is one expression, which cannot close the parentheses around it.

        True for a text with a syntax error: the error is raised where the text is used.
        """
        answer = _decode(self.serialize(f"select not (\n{sql}\n)"))
        if answer["error"]:
            return True
        if len(answer["statements"]) != 1:
            return False
        node = answer["statements"][0]["node"]
        if node.get("type") != "SELECT_NODE" or node["from_table"].get("type") != "EMPTY":
            return False
        columns = node.get("select_list", [])
        is_one = len(columns) == 1 and columns[0].get("type") == "OPERATOR_NOT"
        return is_one and not node.get("where_clause")

    def serialize(self, sql: str) -> str:
        """Return the syntax tree of a text, or its syntax error, as DuckDB's JSON."""
        import duckdb

        try:
            serialized = self._serialized.get(sql) or self._serialize_batch(sql)
            if serialized is None:
                [(serialized,)] = PARSER.ask("select json_serialize_sql(?::varchar)", [sql])
            return str(serialized)
        except duckdb.OutOfMemoryException:
            raise  # not the query's fault
        except (duckdb.Error, UnicodeError) as error:
            raise Unreadable(str(error).splitlines()[0]) from None

    def _serialize_batch(self, sql: str) -> str | None:
        """Read the batch that a text belongs to; return the text's tree as JSON, or None."""
        import duckdb

        batch = next((texts for texts in self._batches if sql in texts), None)
        if batch:
            query = "select s, json_serialize_sql(s) from (select unnest(?::varchar[]) as s)"
            with suppress(duckdb.Error, UnicodeError):
                self._serialized.update(PARSER.ask(query, [batch]))
            batch.clear()
        return self._serialized.get(sql)

    def _parse(self, sql: str) -> Parsed:
        serialized = self.serialize(sql)
        answer = _decode(serialized)
        if answer["error"]:
            raise _syntax_error(answer)
        if len(answer["statements"]) != 1:
            raise Unreadable(f"this is {len(answer['statements'])} statements; give one query")
        node = answer["statements"][0]["node"]
        try:
            tables = tables_of(node)
            spots = moving(node, serialized, sql)
        except RecursionError:
            raise Unreadable("this is nested too deeply") from None
        canonical = _PLACED.sub("", serialized)
        return Parsed(
            meaning=digest(canonical),
            statement=self._without_semicolon(sql, canonical),
            tables=tables,
            moving=spots,
        )

    def _without_semicolon(self, sql: str, canonical: str) -> str:
        """Return the text without its closing semicolon, so that it can be put in parentheses."""
        text = sql
        while head := text.rpartition(";")[0]:
            if _PLACED.sub("", self.serialize(head)) != canonical:
                break
            text = head
        return bare(text)


def _decode(serialized: str) -> dict[str, Any]:
    try:
        return json.loads(serialized)  # type: ignore[no-any-return]
    except RecursionError:
        raise Unreadable("this is nested too deeply") from None


def _syntax_error(answer: Mapping[str, Any]) -> Unreadable:
    message = answer.get("error_message", "cannot be parsed")
    if answer.get("error_type") == "not implemented":
        return Unreadable(
            "this is not a query: give one SELECT (PIVOT needs its values listed: `on x in (...)`)"
        )
    return Unreadable(message.splitlines()[0], int(answer.get("position", -1)))


# One reader for the process. Besides its bounded caches it has no state outside of `with` blocks.
READER = SqlReader()
parse, tree, is_expression = READER.parse, READER.tree, READER.is_expression
read_ahead, recalling = READER.read_ahead, READER.recalling


@lru_cache(maxsize=4096)
def columns(sql: str) -> Columns:
    """Return the columns that may reach a query's result; raises Unreadable as `parse()` does."""
    node = tree(sql)
    scan = _ColumnScan()
    scan.look(node)
    unclear_star = scan.stars > 0 and not _takes_one_table(node)
    whole_rows = bool(scan.last & scan.tables)
    opaque = scan.opaque or unclear_star or whole_rows
    return Columns(names=frozenset(scan.names), opaque=opaque)


def written(node: dict[str, Any]) -> str:
    """Return a syntax tree as a query; raise Unreadable if DuckDB reads another tree from that."""
    import duckdb

    statement = {"node": node, "named_param_map": list(_parameters(node))}
    serialized = json.dumps({"error": False, "statements": [statement]})
    try:
        [(text,)] = PARSER.ask("select json_deserialize_sql(?::json)", [serialized])
    except duckdb.Error as error:
        raise Unreadable(str(error).splitlines()[0]) from None
    if placeless(tree(text)) != placeless(node):
        raise Unreadable("this cannot be written as it was read")
    return str(text)


def _parameters(node: Any) -> Iterator[dict[str, Any]]:
    """Yield the parameters of a tree, as DuckDB lists them."""
    names = re.findall(r'"class": "PARAMETER".*?"identifier": "(\w+)"', json.dumps(node))
    for number, name in enumerate(dict.fromkeys(names), 1):
        yield {"key": name, "value": number}


@cache
def functions() -> tuple[frozenset[str], frozenset[str]]:
    """Return the names of DuckDB's aggregates, and of functions that depend on clocks or chance.

    Functions that depend on the time zone alone are not among the latter: it is always UTC.
    """
    depends = (
        "stability = 'VOLATILE'"
        " or (stability <> 'CONSISTENT' and not list_has_any(parameter_types, ?))"
    )
    query = (
        "select lower(function_name), function_type = 'aggregate',"
        f" coalesce({depends}, false) from duckdb_functions()"
    )
    rows = PARSER.ask(query, [list(_ZONED)])
    aggregates = frozenset(name for name, is_aggregate, _ in rows if is_aggregate)
    moving = frozenset(name for name, _, moves in rows if moves)
    return aggregates, moving | {*CLOCKS, "age"}  # age(t) counts from today


class _ColumnScan:
    """The columns that a query may pass to its result, collected from its nodes."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.last: set[str] = set()  # the last part of each column's name
        self.tables: set[str] = set()  # in place of a column, a table's name is a whole row
        self.stars = 0
        self.opaque = False

    def look(self, node: Any) -> None:
        """Collect the columns of a node and all nodes below it."""
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
        self.opaque |= node.get("class") in {"POSITIONAL_REFERENCE", "LAMBDA"}
        self.opaque |= kind in {"PIVOT", "TABLE_FUNCTION", "SHOW_REF"}
        self.opaque |= bool(node.get("column_name_alias") or node.get("aliases"))
        if kind in {"BASE_TABLE", "SUBQUERY"}:
            tables = [node.get("alias"), node.get("table_name")]
            self.tables |= {str(table).lower() for table in tables if table}


def _takes_one_table(node: dict[str, Any]) -> bool:
    """Return whether a query's only star is in its own select list, over a single table."""
    stars = [item for item in node.get("select_list", ()) if item.get("class") == "STAR"]
    inner = _ColumnScan()
    inner.look({key: value for key, value in node.items() if key != "select_list"})
    inner.look([item for item in node.get("select_list", ()) if item.get("class") != "STAR"])
    simple = node.get("type") == "SELECT_NODE" and not node.get("cte_map", {}).get("map")
    return (
        simple
        and len(stars) == 1
        and not inner.stars
        and node["from_table"].get("type") == "BASE_TABLE"
    )


def bare(text: str) -> str:
    """Return a text without ASCII space around it; DuckDB reads other space as a part of names."""
    return text.strip(" \t\r\n\f\v")


def place(sql: str, offset: int, *, inside: str = "") -> tuple[int, int, str]:
    """Return line, column (both from 1, in characters) and text of the line at an offset in bytes.

    With `inside`, a text inside the SQL, they are relative to that text: a condition in a query.
    """
    if inside and (start := sql.find(inside)) >= 0:
        start = len(sql[:start].encode(errors="replace"))
        sql, offset = inside, min(max(offset - start, 0), len(inside.encode(errors="replace")))
    before = sql.encode(errors="replace")[:offset].decode(errors="ignore")
    line = before.count("\n") + 1
    column = len(before) - (before.rfind("\n") + 1) + 1
    lines = sql.splitlines() or [""]
    return line, column, lines[min(line, len(lines)) - 1]


def placeless(node: Any) -> Any:
    """Return a syntax tree, or a part of one, without its places in the text."""
    if isinstance(node, dict):
        return {k: placeless(v) for k, v in node.items() if k not in _PLACES}
    return [placeless(item) for item in node] if isinstance(node, list) else node
