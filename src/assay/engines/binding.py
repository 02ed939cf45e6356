"""Binds queries against empty typed tables: their columns, types and lineage, without any data."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Self

import msgspec
from msgspec import Struct

from assay.engines.flow_sets import UnknownPlan, flows_of
from assay.engines.quoting import identifier
from assay.engines.sql.lineage import lineage
from assay.engines.sql.parser import close, connect
from assay.engines.sql.unbound import Tables, problem_of
from assay.engines.sql.unlike import compared_texts, spelled, unlike_types
from assay.model import Input
from assay.plan.flows import ColumnFlows, TableFlows
from assay.plan.misfits import Problem, Traced
from assay.signals import hearing

if TYPE_CHECKING:
    import duckdb

_TABLE_AS = 'create table memory.main."bound" as '
_NO_SCHEMA = "main"  # of names without a domain
_CAST, _COMPARISONS = '"OPERATOR_CAST"', ('"COMPARE_', '"comparison"')
_PLAN = "select json_serialize_plan(?)"
_PLANS = "select query, json_serialize_plan(query) from (select unnest(?::varchar[]) as query)"


class Unbound(ValueError):
    """A query that does not fit its inputs; `offset` is the place, in bytes (UTF-8), or -1."""

    def __init__(self, problem: str, offset: int = -1) -> None:
        super().__init__(problem)
        self.what, self.offset = problem, offset


class EmptyTable(Struct, frozen=True):
    """A table without rows: its name in messages, and its columns with their types."""

    name: str
    columns: tuple[tuple[str, str], ...]


class _Answer(Struct):
    """What DuckDB says to a query: its plan, or why it cannot be bound."""

    error: bool
    plans: list[Mapping[str, Any]] = []
    error_message: str = ""
    position: str = "-1"
    converts: bool = False


_DECODER = msgspec.json.Decoder(_Answer)


class EmptyTables:
    """A DuckDB instance that holds tables without rows, and can reach nothing else."""

    def __init__(self) -> None:
        self._schemas = {_NO_SCHEMA}
        self._domain = ""
        self._planned: dict[str, str] = {}  # plans as JSON, by what was planned ahead
        self._columns_of: dict[str, list[str]] = {}  # by the tables' full names
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
        listed = list(columns)
        self._create_schema(schema)
        spelled = ", ".join(f"{identifier(column)} {type}" for column, type in listed)
        try:
            self._connection.execute(f"create table {_quoted(schema, table)} ({spelled})")
        except duckdb.Error as error:
            raise Unbound(str(error).splitlines()[0]) from None
        self._columns_of[name] = [column for column, _ in listed]

    def ensure(self, name: str, columns: Iterable[tuple[str, str]]) -> None:
        """Create such a table, unless it is there."""
        if name not in self._columns_of:
            self.add(name, columns)

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
        return self.bind_query(sql, domain, inputs).flows

    def bind_query(self, sql: str, domain: str, inputs: Sequence[Input]) -> Traced:
        """Return the same, and the comparisons of unlike types in the query."""
        with hearing(), self._names_of(domain, inputs):
            plan, converts = self._plan(sql, lambda: self._tables_of(domain, inputs))
            columns = _simple_columns(plan) or self._columns(sql)
            problems = tuple(self._comparisons(plan, sql, len(_TABLE_AS))) if converts else ()
        return Traced(flows=_flows(plan, columns), problems=problems)

    def check(
        self, queries: Sequence[str], domain: str, tables: Mapping[str, EmptyTable]
    ) -> list[list[Problem]]:
        """Return for each query what does not fit, and what it compares although unlike.

        `tables` have the columns that they are given here; others are those that were added.
        """
        start = _inline(tables)
        together = " union all ".join(f"select 1 from (\n{query}\n)" for query in queries)
        with hearing():
            self._use(domain)
            fits = self._binds(start + together)
            known = self._by_name(domain) | {
                alias.lower(): (table.name, [name for name, _ in table.columns])
                for alias, table in tables.items()
            }
            # Only a text, or a column of another table, can be of another type.
            return [
                []
                if fits and "'" not in query and len({*tables.values()}) == 1
                else list(self._problems(f"{start}select * from (\n", query, known))
                for query in queries
            ]

    def _problems(self, start: str, query: str, tables: Tables) -> Iterator[Problem]:
        answer = self._answer(f"{start}{query}\n)")
        offset = len(start.encode())
        if answer.error:
            problem = _unbound(answer, query, offset, tables)
            yield Problem(what=problem.what, offset=problem.offset)
        elif answer.converts:
            yield from self._comparisons({"plans": answer.plans}, query, offset)

    def _comparisons(self, plan: Mapping[str, Any], sql: str, start: int) -> Iterator[Problem]:
        """Yield comparisons of unlike types, and of texts that are no values of the other type."""
        yield from unlike_types(plan, sql, start)
        for each in compared_texts(plan, sql, start):
            if each.type and not self._is_value(each.text, each.type):
                what = f"{each.beside} is {each.type}, and cannot be compared with {each.text!r}"
                yield Problem(what=what, offset=each.offset)

    def _is_value(self, text: str, type: str) -> bool:
        import duckdb

        query = f"select try_cast(?::varchar as {type}) is not null"
        try:
            [[is_value]] = self._connection.execute(query, [text]).fetchall()
        except duckdb.Error:
            return True
        return bool(is_value)

    def _binds(self, sql: str) -> bool:
        import duckdb

        try:
            self._connection.sql(sql)
        except duckdb.Error:
            return False
        return True

    def plan_ahead(self, queries: Sequence[str], domain: str) -> None:
        """Plan queries together, which is cheaper: `bind_query` of each of them comes next."""
        import duckdb

        texts = [_TABLE_AS + query for query in queries]
        with hearing(), suppress(duckdb.Error):  # each says so when it is bound
            self._use(domain)
            self._planned = dict(self._connection.execute(_PLANS, [texts]).fetchall())

    def _tables_of(self, domain: str, inputs: Sequence[Input]) -> Tables:
        """Return the columns of tables, by the names that a query of a domain may use for them."""
        aliases = {i.alias.lower(): i.name for i in inputs if i.name in self._columns_of}
        return self._by_name(domain) | {
            alias: (name, self._columns_of[name]) for alias, name in aliases.items()
        }

    def _by_name(self, domain: str) -> dict[str, tuple[str, list[str]]]:
        own = f"{domain}."
        tables = {name.lower(): (name, columns) for name, columns in self._columns_of.items()}
        return tables | {
            name.removeprefix(own).lower(): (name, columns)
            for name, columns in self._columns_of.items()
            if name.startswith(own)
        }

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

    def _plan(self, sql: str, tables: Callable[[], Tables]) -> tuple[Mapping[str, Any], bool]:
        """Return the plan of a table made of the query, and whether it may convert what it compares.

        Such a plan says the columns' names and types, too.
        """
        answer = self._answer(_TABLE_AS + sql)
        if answer.error:
            raise _unbound(answer, sql, len(_TABLE_AS), tables())
        if len(answer.plans) != 1:
            raise Unbound(f"this is {len(answer.plans)} statements")
        return answer.plans[0], answer.converts

    def _answer(self, sql: str) -> _Answer:
        import duckdb

        try:
            plan = self._planned.pop(sql, None)
            if plan is None:
                [[plan]] = self._connection.execute(_PLAN, [sql]).fetchall()
        except duckdb.Error as error:
            raise Unbound(str(error).splitlines()[0]) from None
        answer = _DECODER.decode(plan)
        answer.converts = _CAST in plan and any(sign in plan for sign in _COMPARISONS)
        return answer

    def _columns(self, sql: str) -> list[tuple[str, str]]:
        """Return the columns of a query, with their types."""
        import duckdb

        try:
            relation = self._connection.sql(f"(\n{sql}\n)")
        except duckdb.Error as error:
            raise Unbound(str(error).splitlines()[0]) from None
        return list(zip(relation.columns, map(str, relation.types), strict=True))


def _inline(tables: Mapping[str, EmptyTable]) -> str:
    """Return the WITH clause of tables without rows: cheaper than tables that are read once."""
    ctes = []
    for alias, table in tables.items():
        columns = ", ".join(f"null::{type} as {identifier(name)}" for name, type in table.columns)
        ctes.append(f"{identifier(alias)} as (select {columns} where false)")
    return f"with {', '.join(ctes)} " if ctes else ""


def _flows(plan: Mapping[str, Any], columns: Sequence[tuple[str, str]]) -> TableFlows:
    """Return columns and lineage of a plan; if it is not understood, why."""
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


def _simple_columns(plan: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the columns that a plan makes; none if the spelling of a type, or a name, is in doubt.

    Asking a relation for those costs as much as the plan.
    """
    columns = plan["info"]["columns"]["columns"]
    types = [spelled(column["type"]) for column in columns]
    names = [str(column["name"]) for column in columns]
    if not all(types) or any("_" in name and name[-1].isdigit() for name in names):
        return []  # of two columns `a`, one is called `a_1` here
    return list(zip(names, types, strict=True))


def _place(name: str) -> tuple[str, str]:
    """Return the schema and the table of a full name."""
    schema, dot, table = name.partition(".")
    return (schema, table) if dot else (_NO_SCHEMA, name)


def _quoted(schema: str, table: str) -> str:
    return f"memory.{identifier(schema)}.{identifier(table)}"


def _unbound(answer: _Answer, sql: str, start: int, tables: Tables) -> Unbound:
    """Return the error of a query that starts after so many bytes of what was asked."""
    offset = max(int(answer.position) - start, -1)
    problem = problem_of(answer.error_message, sql, offset, tables)
    return Unbound(problem.what, problem.offset)
