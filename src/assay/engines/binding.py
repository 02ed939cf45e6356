"""Binds queries against empty typed tables: their columns, types and lineage, without any data."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import msgspec
from msgspec import Struct

from assay.engines.flow_sets import UnknownPlan, flows_of
from assay.engines.quoting import identifier
from assay.engines.sql.lineage import lineage
from assay.engines.sql.parser import close, connect
from assay.model import Input
from assay.plan.flows import ColumnFlows, TableFlows
from assay.signals import hearing

if TYPE_CHECKING:
    import duckdb

_TABLE_AS = 'create table memory.main."bound" as '
_NO_SCHEMA = "main"  # of names without a domain


class Unbound(ValueError):
    """A query that does not fit its inputs; `offset` is the place, in bytes (UTF-8), or -1."""

    def __init__(self, problem: str, offset: int = -1) -> None:
        super().__init__(problem)
        self.what, self.offset = problem, offset


class _Answer(Struct):
    """What DuckDB says to a query: its plan, or why it cannot be bound."""

    error: bool
    plans: list[Mapping[str, Any]] = []
    error_message: str = ""
    position: str = "-1"


_DECODER = msgspec.json.Decoder(_Answer)


class EmptyTables:
    """A DuckDB instance that holds tables without rows, and can reach nothing else."""

    def __init__(self) -> None:
        self._schemas = {_NO_SCHEMA}
        self._domain = ""
        self._connection = connect()
        run = self._connection.execute
        run("set python_enable_replacements = false")
        run("set global TimeZone = 'UTC'")
        run("set enable_external_access = false")
        run("set lock_configuration = true")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        close(self._connection)

    def add(self, name: str, columns: Iterable[tuple[str, str]]) -> None:
        """Create the table of a product or source, of columns with their types.

        Raises Unbound for a type that DuckDB does not have.
        """
        import duckdb

        schema, table = _place(name)
        self._create_schema(schema)
        spelled = ", ".join(f"{identifier(column)} {type}" for column, type in columns)
        try:
            self._connection.execute(f"create table {_quoted(schema, table)} ({spelled})")
        except duckdb.Error as error:
            raise Unbound(str(error).splitlines()[0]) from None

    def relation(self, name: str, columns: Iterable[tuple[str, str]]) -> "duckdb.DuckDBPyRelation":
        """Create such a table, and return it as a relation."""
        self.add(name, columns)
        return self._connection.table(_quoted(*_place(name)))

    def _create_schema(self, schema: str) -> None:
        if schema not in self._schemas:
            self._connection.execute(f"create schema {identifier(schema)}")
            self._schemas.add(schema)

    def bind(self, sql: str, domain: str, inputs: Sequence[Input]) -> TableFlows:
        """Return columns and lineage of a query of a product in this domain.

        If its plan is not understood, it has columns, and says why their lineage is not known.
        Raises Unbound for a query that does not fit the tables.
        """
        with hearing(), self._names_of(domain, inputs):
            plan = self._plan(sql)
            columns = _simple_columns(plan) or self._columns(sql)
        try:
            flows, rows = lineage(plan["children"][0])
            if len(flows) != len(columns):
                raise UnknownPlan(f"a plan of {len(flows)} columns for {len(columns)}")
        except UnknownPlan as problem:
            return TableFlows(
                columns=tuple(ColumnFlows(name=name, type=type) for name, type in columns),
                unknown=f"DuckDB's plan of its query has {problem}, which is not known here",
            )
        return TableFlows(
            columns=tuple(
                ColumnFlows(name=name, type=type, flows=flows_of(uses))
                for (name, type), uses in zip(columns, flows, strict=True)
            ),
            rows=flows_of(rows),
        )

    @contextmanager
    def _names_of(self, domain: str, inputs: Sequence[Input]) -> Iterator[None]:
        """Let queries name their inputs by alias, while the block runs."""
        run = self._connection.execute
        self._use(domain)
        renamed = [i for i in inputs if "." not in i.alias and i.name != f"{domain}.{i.alias}"]
        for i in renamed:
            run(f"create temp view {identifier(i.alias)} as from {_quoted(*_place(i.name))}")
        try:
            yield
        finally:
            for i in renamed:
                run(f"drop view temp.{identifier(i.alias)}")

    def _use(self, domain: str) -> None:
        if domain != self._domain:
            self._create_schema(domain)
            self._connection.execute(f"use memory.{identifier(domain)}")
            self._domain = domain

    def _plan(self, sql: str) -> Mapping[str, Any]:
        """Return the plan of a table made of the query: it says the columns' names and types, too."""
        import duckdb

        try:
            query = "select json_serialize_plan(?)"
            row = self._connection.execute(query, [_TABLE_AS + sql]).fetchone()
        except duckdb.Error as error:
            raise Unbound(str(error).splitlines()[0]) from None
        assert row is not None
        answer = _DECODER.decode(row[0])
        if answer.error:
            raise Unbound(_problem(answer), max(int(answer.position) - len(_TABLE_AS), -1))
        if len(answer.plans) != 1:
            raise Unbound(f"this is {len(answer.plans)} statements")
        return answer.plans[0]

    def _columns(self, sql: str) -> list[tuple[str, str]]:
        """Return the columns of a query, with their types."""
        import duckdb

        try:
            relation = self._connection.sql(f"(\n{sql}\n)")
        except duckdb.Error as error:
            raise Unbound(str(error).splitlines()[0]) from None
        return list(zip(relation.columns, map(str, relation.types), strict=True))


def _simple_columns(plan: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the columns that a plan makes; none if the spelling of a type, or a name, is in doubt.

    Asking a relation for those costs as much as the plan.
    """
    columns = plan["info"]["columns"]["columns"]
    types = [_simple_type(column["type"]) for column in columns]
    names = [str(column["name"]) for column in columns]
    if not all(types) or any("_" in name and name[-1].isdigit() for name in names):
        return []  # of two columns `a`, one is called `a_1` here
    return list(zip(names, types, strict=True))


def _simple_type(type: Mapping[str, Any]) -> str:
    """Return the spelling of a type without parts; '' for another."""
    info = type.get("type_info")
    if info is None:
        return "" if type["id"] in {"NULL", "ANY", "UNKNOWN"} else str(type["id"])
    return f"DECIMAL({info['width']},{info['scale']})" if type["id"] == "DECIMAL" else ""


def _place(name: str) -> tuple[str, str]:
    """Return the schema and the table of a full name."""
    schema, dot, table = name.partition(".")
    return (schema, table) if dot else (_NO_SCHEMA, name)


def _quoted(schema: str, table: str) -> str:
    return f"memory.{identifier(schema)}.{identifier(table)}"


def _problem(answer: _Answer) -> str:
    """Return the first line of an error of DuckDB, with the candidates that it names."""
    first, _, rest = answer.error_message.partition("\n")
    candidates = rest.strip().splitlines()
    is_short = len(candidates) == 1 and candidates[0].startswith("Candidate bindings")
    return f"{first} {candidates[0]}" if is_short else first
