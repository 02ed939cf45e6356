"""Judges totals of a version in parts by what they are in each of its parts, which is remembered.

What is put together says the same whether it is remembered or was asked now: the sum of floating-point numbers, too, is
that of the sums of the parts, in their order.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field
from msgspec.structs import replace

from assay.engines.duckdb import parquet
from assay.errors import CatalogError
from assay.model import THIS, Column, Product, Rule, Version
from assay.plan.digests import digest
from assay.rules import with_queries
from assay.rules.evidence import PartEvidence
from assay.rules.incremental.total_queries import PART, TOTALS, TotalsQuery, split
from assay.rules.judge import RuleJudge

if TYPE_CHECKING:
    import duckdb

_AT_ONCE = 50  # parts asked about in one query: binding many takes longer than it saves
_GROUPS, _LETTERS = (
    100,
    1000,
)  # what is worth remembering of one part: so many groups, and values no longer than that
_FLOATS = {"FLOAT", "DOUBLE"}
# Types whose values are ordered in one way only, and the same after they were a text.
_EXACT = re.compile(
    r"BOOLEAN|U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER|FLOAT|DOUBLE|DECIMAL\(\d+,\d+\)|VARCHAR|DATE|TIME"
    r"|TIMESTAMP(_S|_MS|_NS| WITH TIME ZONE)?"
)
_PUT_BACK = "Put back a copy of it."
_NAME = re.compile(r"\w{1,100}", re.ASCII)
Found = Mapping[
    str, Mapping[str, Any]
]  # what queries found in a part: the types of their columns, and rows as texts


class TableTotals(Struct, frozen=True, kw_only=True):
    """A table in parts as totals of it are judged: what is asked of each part, and the parts.

    `rules` is the digest under which what was found in a part is remembered.
    """

    rules: str
    queries: tuple[str, ...]
    parts: Sequence[PartEvidence]


class PartTotals(Struct, frozen=True, kw_only=True):
    """The rules about totals that can be put together, by text, and the tables in parts that they read, by alias."""

    rules: Mapping[str, TotalsQuery] = field(default_factory=dict)
    tables: Mapping[str, TableTotals] = field(default_factory=dict)


def splits(
    product: Product, tables: Mapping[str, Version], sensitive: Mapping[str, Collection[str]]
) -> dict[str, TotalsQuery]:
    """Return the rules, by text, whose totals can be put together, given all that is read, by alias.

    Not those that name what must not be stored.
    """
    if THIS not in tables or not tables[THIS].in_parts:
        return {}
    columns = tables[THIS].columns
    in_parts = frozenset(
        (alias, frozenset(column.name.lower() for column in version.columns))
        for alias, version in tables.items()
        if version.in_parts
    )
    found: dict[str, TotalsQuery] = {}
    for rule in product.contract.rules:
        told = query_of(rule, columns)
        apart = rule.closes or with_queries.in_each_part(
            rule, with_queries.split_of(product, columns)
        )
        if not told or apart or any(i.alias not in tables for i in rule.inputs):
            continue
        secrets = {pattern for i in rule.inputs for pattern in sensitive.get(i.name, ())}
        hidden = bool(secrets) and with_queries.names_secret(told, secrets)
        if not hidden and (asked := split(told, in_parts)):
            found[rule.text] = asked
    return found


def query_of(rule: Rule, columns: Iterable[Column]) -> str:
    """Return the query of a rule that has one of its own; '' for any other."""
    types = {column.name.lower(): column.type for column in columns}
    return with_queries.query_of(rule, types, whole=False) if rule.sql else ""


def asked_of(told: Iterable[TotalsQuery], aliases: Collection[str]) -> tuple[str, ...]:
    """Return what is asked of the parts of a table that has these names."""
    return tuple(
        sorted({block.query for one in told for block in one.blocks if block.table in aliases})
    )


def totals_digest(queries: Sequence[str], columns: Iterable[Column]) -> str:
    """Return the digest of what is remembered of parts with these columns that were asked this."""
    return digest(
        ["totals", queries, [[column.name, column.type, column.logical] for column in columns]]
    )


class Totals:
    """The rules about totals of one judging, told by what its tables say part by part.

    `judged` is what is to be remembered, by digest and part; nothing, where a value could not be computed.
    """

    def __init__(self, judging: RuleJudge, tallies: PartTotals) -> None:
        self.judging, self.rules, self.tallies = judging, tallies.rules, tallies.tables
        self.found: dict[tuple[str, int], dict[str, Any]] = {}
        self.judged: dict[tuple[str, int], Mapping[str, Any]] = {}

    def answer(self) -> None:
        """Answer the rules whose totals are known of every part; the others are for those who read it all."""
        broken = False
        for tally in self.tallies.values():
            self.found |= {
                (tally.rules, p.id): dict(p.remembered)
                for p in tally.parts
                if p.remembered is not None
            }
        for found in self.found.values():
            _check(found)
        for tally in self.tallies.values():
            fresh = [part for part in tally.parts if (tally.rules, part.id) not in self.found]
            new: dict[tuple[str, int], dict[str, Any]] = {
                (tally.rules, part.id): {} for part in fresh
            }
            for query in tally.queries if fresh else ():
                asked = self._asked(query, fresh)
                broken |= asked is None
                for part, told in zip(fresh, asked or [], strict=False):
                    new[tally.rules, part.id] |= {query: told} if told else {}
            self.found |= new
            self.judged |= new
        if broken:
            self.judged = {}
        self._answer_all()

    # ------------------------------------------------------------------------------------------ of each part

    def _asked(
        self, query: str, parts: Sequence[PartEvidence]
    ) -> list[Mapping[str, Any] | None] | None:
        """Return what a query finds in each part: None where that is not worth keeping, or cannot be computed now."""
        import duckdb

        try:
            with self.judging.engine.cursor() as cursor:
                return self._found(cursor, query, parts)
        except (duckdb.OutOfMemoryException, duckdb.IOException, duckdb.InterruptException):
            raise
        except (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException):
            return [None] * len(parts)  # it will never be: its rule has to be asked as it is
        except duckdb.Error:
            return None

    def _found(
        self, cursor: "duckdb.DuckDBPyConnection", query: str, parts: Sequence[PartEvidence]
    ) -> list[Mapping[str, Any] | None]:
        described = cursor.execute(
            f"select * from ({_of_part(query, parts[0])}) limit 0"
        ).description
        types = {column[0]: str(column[1]) for column in described}
        if not all(_is_kept(name, type) for name, type in types.items()):
            return [None] * len(parts)
        texts = ", ".join(f"cast({name} as varchar)" for name in types)
        rows: list[list[list[str | None]]] = [[] for _ in parts]
        for start in range(0, len(parts), _AT_ONCE):
            some = enumerate(parts[start : start + _AT_ONCE], start)
            every = " union all ".join(
                f"select {n}, {texts} from ({_of_part(query, part)})" for n, part in some
            )
            for number, *row in cursor.execute(every).fetchall():
                rows[number].append(row)
        return [
            {"types": types, "rows": of_part} if _is_small(of_part) else None for of_part in rows
        ]

    # ------------------------------------------------------------------------------------------ of all of them

    def _answer_all(self) -> None:
        known = {
            text: told
            for text, asked in self.rules.items()
            if (told := self._known(asked)) is not None
        }
        if not known:
            return
        read = {table for text in known for table in self.rules[text].tables}
        feeds = [feed for feed in self.judging.evidence.others if feed.alias.lower() in read]
        with self.judging.engine.bench(feeds, self.judging.product.domain) as bench:
            for text, told in known.items():
                for number, found in enumerate(told):
                    _fill(bench, f"{TOTALS}{number}", found)
                self._answer(self.judging.rules[text], bench)

    def _answer(self, rule: Rule, bench: "duckdb.DuckDBPyConnection") -> None:
        self.judging.query(replace(rule, sql=self.rules[rule.text].sql), bench)
        answer = self.judging.answers[rule.text]
        if answer.error or with_queries.is_ahead(
            rule, answer
        ):  # it is said as whoever reads it all would say it
            del self.judging.answers[rule.text]
            self.judging.samples.pop(rule.text, None)
        else:
            self.judging.answers[rule.text] = replace(answer, how="totals")

    def _known(self, asked: TotalsQuery) -> list[list[Mapping[str, Any]]] | None:
        """Return what each block of a query found in every part; None when it is not known, or would not be exact."""
        told = []
        for block in asked.blocks:
            tally = self.tallies[block.table]
            found = [self.found[tally.rules, part.id].get(block.query) for part in tally.parts]
            if not found or not all(found):
                return None
            told.append([one for one in found if one])
        # Floats added up in another way than those of a table that is read as it is would differ from them.
        floats = any(type in _FLOATS for found in told for type in found[0]["types"].values())
        return None if floats and asked.tables else told


def _of_part(query: str, part: PartEvidence) -> str:
    return f"with {PART} as ({parquet(part.table)}) {query}"


def _is_kept(name: str, type: str) -> bool:
    """Say whether the values of a column are the same after they were remembered, and put together."""
    return bool(_EXACT.fullmatch(type)) and not (name.startswith("__key") and type in _FLOATS)


def _check(found: Mapping[str, Any]) -> None:
    """Raise CatalogError for what nobody remembered: the names and types of its columns become part of a query."""
    for told in found.values():
        if not _is_total(told.get("types"), told.get("rows")):
            raise CatalogError(
                "the catalog is damaged: what it remembers of a part is no total", hint=_PUT_BACK
            )


def _is_total(types: Any, rows: Any) -> bool:
    if not isinstance(types, dict) or not isinstance(rows, list):
        return False
    plain = all(
        _NAME.fullmatch(name) and _EXACT.fullmatch(str(type)) for name, type in types.items()
    )
    return plain and all(isinstance(row, list) and len(row) == len(types) for row in rows)


def _is_small(rows: Sequence[Sequence[str | None]]) -> bool:
    return len(rows) <= _GROUPS and all(
        len(value or "") <= _LETTERS for row in rows for value in row
    )


def _fill(
    bench: "duckdb.DuckDBPyConnection", name: str, found: Sequence[Mapping[str, Any]]
) -> None:
    """Make a table of what was found in the parts, in their order."""
    types = found[0]["types"]
    rows = [row for of_part in found for row in of_part["rows"]]
    lists = ", ".join(f"unnest(?::varchar[]) as {column}" for column in types)
    casts = ", ".join(f"cast({column} as {type}) as {column}" for column, type in types.items())
    values = [[row[number] for row in rows] for number in range(len(types))]
    bench.execute(f"create or replace table {name} as select {casts} from (select {lists})", values)
