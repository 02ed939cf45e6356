"""Checks rules about totals of a version in parts by recorded totals of each part.

Recorded totals and new ones give the same result: the sum of floating-point numbers, too, is the
sum of the sums of the parts, in their order.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field
from msgspec.structs import replace

from assay.engines.duckdb import parquet
from assay.errors import CatalogError
from assay.facts import PartFindings, Version
from assay.model import THIS, Column, Product, Rule
from assay.plan.digests import digest
from assay.rules.answers import Answer
from assay.rules.evidence import PartEvidence
from assay.rules.incremental.total_queries import PART, TOTALS, TotalsQuery, split
from assay.rules.query_rules import QueryRules
from assay.rules.with_queries import in_each_part, is_ahead, names_secret, split_of
from assay.rules.with_queries import query_of as query_of_rule

if TYPE_CHECKING:
    import duckdb

_AT_ONCE = 50  # parts in one query: binding more takes longer than it saves
_MOST_ROWS, _LONGEST = 100, 1000  # rows of totals, and characters of a value, recorded of one part
_FLOATS = {"FLOAT", "DOUBLE"}
# Types whose values have one order, and do not change when they are written as text and read.
_EXACT = re.compile(
    r"BOOLEAN|U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER|FLOAT|DOUBLE|DECIMAL\(\d+,\d+\)|VARCHAR|DATE|TIME"
    r"|TIMESTAMP(_S|_MS|_NS| WITH TIME ZONE)?"
)
_PUT_BACK = "Put back a copy of it."
_NAME = re.compile(r"\w{1,100}", re.ASCII)

# The totals of a part: the types of their columns, and rows of values as text.
PartTotal = Mapping[str, Any]


class TableTotals(Struct, frozen=True, kw_only=True):
    """The parts of a table, and the queries of their totals.

    `rules` is the digest under which the totals of a part are recorded.
    """

    rules: str
    queries: tuple[str, ...]
    parts: Sequence[PartEvidence]


class PartTotals(Struct, frozen=True, kw_only=True):
    """Rules by text, with the query over totals of parts, and the tables in parts by alias."""

    rules: Mapping[str, TotalsQuery] = field(default_factory=dict)
    tables: Mapping[str, TableTotals] = field(default_factory=dict)


# ------------------------------------------------------------------------------ which rules


def splits(
    product: Product, tables: Mapping[str, Version], sensitive: Mapping[str, Collection[str]]
) -> dict[str, TotalsQuery]:
    """Return the rules, by text, that can be judged by totals of parts.

    `tables` are the versions that rules read, by alias. Rules that name a sensitive column are left
    out: its values must not be stored.
    """
    if THIS not in tables or not tables[THIS].in_parts:
        return {}
    in_parts = frozenset(
        (alias, frozenset(column.name.lower() for column in version.columns))
        for alias, version in tables.items()
        if version.in_parts
    )
    queries: dict[str, TotalsQuery] = {}
    for rule in product.contract.rules:
        sql = _total_sql(product, rule, tables, sensitive)
        query = split(sql, in_parts) if sql else None
        if query:
            queries[rule.text] = query
    return queries


def _total_sql(
    product: Product,
    rule: Rule,
    tables: Mapping[str, Version],
    sensitive: Mapping[str, Collection[str]],
) -> str:
    """Return the query of a rule that may be checked by totals; '' for any other rule."""
    columns = tables[THIS].columns
    if not rule.sql or rule.closes or in_each_part(rule, split_of(product, columns)):
        return ""
    if any(i.alias not in tables for i in rule.inputs):
        return ""
    types = {column.name.lower(): column.type for column in columns}
    sql = query_of_rule(rule, types, in_parts=True)
    secrets = {pattern for i in rule.inputs for pattern in sensitive.get(i.name, ())}
    return "" if secrets and names_secret(sql, secrets) else sql


def total_queries_of(queries: Iterable[TotalsQuery], aliases: Collection[str]) -> tuple[str, ...]:
    """Return the queries of totals of the parts of a table that has these aliases."""
    blocks = (block for query in queries for block in query.blocks)
    return tuple(sorted({block.query for block in blocks if block.table in aliases}))


def totals_digest(queries: Sequence[str], columns: Iterable[Column]) -> str:
    """Return the digest under which totals of parts with these columns are recorded."""
    return digest(
        ["totals", queries, [[column.name, column.type, column.logical] for column in columns]]
    )


# ------------------------------------------------------------------------------ answers


class Totals:
    """The totals of all parts of the tables that rules read, by digest and part, then by query.

    `computed` are the new ones, which are to be recorded: none when one could not be computed.
    """

    def __init__(self, queries: QueryRules, totals: PartTotals) -> None:
        self.queries, self.rules, self.tables = queries, totals.rules, totals.tables
        self.totals: dict[tuple[str, int], Mapping[str, PartTotal]] = {}
        self.computed: dict[tuple[str, int], Mapping[str, PartTotal]] = {}

    def answer(self) -> dict[str, Answer]:
        """Return the answers to the rules whose totals are known for every part, by rule text."""
        for table in self.tables.values():
            for part in table.parts:
                if part.remembered is not None:
                    check_recorded(part.remembered)
                    self.totals[table.rules, part.id] = part.remembered
        complete = True
        for table in self.tables.values():
            complete &= self._compute(table)
        if not complete:
            self.computed = {}
        return self._answers()

    def new_findings(self) -> list[PartFindings]:
        """Return the totals to record."""
        return [
            PartFindings(part=part, rules=rules, results=totals)
            for (rules, part), totals in self.computed.items()
        ]

    # ------------------------------------------------------------------------------ of each part

    def _compute(self, table: TableTotals) -> bool:
        """Compute the totals of the new parts of a table; False when a query failed."""
        fresh = [part for part in table.parts if (table.rules, part.id) not in self.totals]
        computed: dict[tuple[str, int], dict[str, PartTotal]] = {
            (table.rules, part.id): {} for part in fresh
        }
        complete = True
        for query in table.queries if fresh else ():
            totals = self._totals_of(query, fresh)
            complete &= totals is not None
            for part, total in zip(fresh, totals or [], strict=False):
                if total:
                    computed[table.rules, part.id][query] = total
        self.totals |= computed
        self.computed |= computed
        return complete

    def _totals_of(
        self, query: str, parts: Sequence[PartEvidence]
    ) -> list[PartTotal | None] | None:
        """Return the totals of each part, None for a part where they are not worth recording.

        None instead of a list when the query failed for some values.
        """
        import duckdb

        try:
            with self.queries.engine.cursor() as cursor:
                return _run(cursor, query, parts)
        except (duckdb.OutOfMemoryException, duckdb.IOException, duckdb.InterruptException):
            raise
        except (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException):
            return [None] * len(parts)  # no values can change that: the rule reads all rows
        except duckdb.Error:
            return None

    # ------------------------------------------------------------------------------ of all parts

    def _answers(self) -> dict[str, Answer]:
        totals_of_rule: dict[str, list[list[PartTotal]]] = {}
        for text, query in self.rules.items():
            totals = self._known_totals(query)
            if totals is not None:
                totals_of_rule[text] = totals
        if not totals_of_rule:
            return {}
        rules = {rule.text: rule for rule in self.queries.product.contract.rules}
        names = {name for text in totals_of_rule for name in self.rules[text].tables}
        tables = [t for t in self.queries.evidence.other_tables if t.alias.lower() in names]
        answers: dict[str, Answer] = {}
        with self.queries.engine.bench(tables, self.queries.product.domain) as bench:
            for text, totals in totals_of_rule.items():
                for number, totals_of_block in enumerate(totals):
                    _create_table(bench, f"{TOTALS}{number}", totals_of_block)
                rule = replace(rules[text], sql=self.rules[text].sql)
                answer = self.queries.answer(rule, bench)
                # A rule that fails in this way is judged on all rows, for the usual message.
                if not answer.error and not is_ahead(rule, answer):
                    answers[text] = replace(answer, how="totals")
        return answers

    def _known_totals(self, query: TotalsQuery) -> list[list[PartTotal]] | None:
        """Return the totals of every part by block; None if the query has to read all rows."""
        blocks: list[list[PartTotal]] = []
        for block in query.blocks:
            table = self.tables[block.table]
            totals = [self.totals[table.rules, part.id].get(block.query) for part in table.parts]
            if not totals or not all(totals):
                return None
            blocks.append([total for total in totals if total])
        # Sums of floats depend on their order, which differs for a table that is read as it is.
        has_floats = any(
            type in _FLOATS for totals in blocks for type in totals[0]["types"].values()
        )
        return None if has_floats and query.tables else blocks


def _run(
    cursor: "duckdb.DuckDBPyConnection", query: str, parts: Sequence[PartEvidence]
) -> list[PartTotal | None]:
    """Return the result of a query in each part; None where it is not worth recording."""
    described = cursor.execute(f"select * from ({_of_part(query, parts[0])}) limit 0").description
    types = {column[0]: str(column[1]) for column in described}
    if not all(_is_recordable(name, type) for name, type in types.items()):
        return [None] * len(parts)
    values = ", ".join(f"cast({name} as varchar)" for name in types)
    rows: list[list[list[str | None]]] = [[] for _ in parts]
    for start in range(0, len(parts), _AT_ONCE):
        batch = " union all ".join(
            f"select {number}, {values} from ({_of_part(query, part)})"
            for number, part in enumerate(parts[start : start + _AT_ONCE], start)
        )
        for number, *row in cursor.execute(batch).fetchall():
            rows[number].append(row)
    return [
        {"types": types, "rows": rows_of_part} if _is_small(rows_of_part) else None
        for rows_of_part in rows
    ]


def _of_part(query: str, part: PartEvidence) -> str:
    return f"with {PART} as ({parquet(part.table)}) {query}"


def _is_recordable(name: str, type: str) -> bool:
    """Return whether the values of a column stay the same when they are recorded and merged."""
    is_float_key = name.startswith("__key") and type in _FLOATS
    return bool(_EXACT.fullmatch(type)) and not is_float_key


def _is_small(rows: Sequence[Sequence[str | None]]) -> bool:
    longest = max((len(value or "") for row in rows for value in row), default=0)
    return len(rows) <= _MOST_ROWS and longest <= _LONGEST


def _create_table(
    bench: "duckdb.DuckDBPyConnection", name: str, totals: Sequence[PartTotal]
) -> None:
    """Create a table of the totals of the parts, in their order."""
    types = totals[0]["types"]
    rows = [row for total in totals for row in total["rows"]]
    lists = ", ".join(f"unnest(?::varchar[]) as {column}" for column in types)
    casts = ", ".join(f"cast({column} as {type}) as {column}" for column, type in types.items())
    values = [[row[number] for row in rows] for number in range(len(types))]
    bench.execute(f"create or replace table {name} as select {casts} from (select {lists})", values)


# ------------------------------------------------------------------------------ as recorded


def check_recorded(totals: Mapping[str, Any]) -> None:
    """Raise CatalogError for totals that were not recorded by this module.

    Names and types of their columns become part of a query.
    """
    for total in totals.values():
        if not _is_total(total.get("types"), total.get("rows")):
            raise CatalogError(
                "the catalog is damaged: what it remembers of a part is no total", hint=_PUT_BACK
            )


def _is_total(types: Any, rows: Any) -> bool:
    if not isinstance(types, dict) or not isinstance(rows, list):
        return False
    for name, type in types.items():
        if not _NAME.fullmatch(name) or not _EXACT.fullmatch(str(type)):
            return False
    return all(isinstance(row, list) and len(row) == len(types) for row in rows)
