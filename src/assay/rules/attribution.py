"""Counts the rows of each part that fail a rule, for products that hold single parts back."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from assay.engines.duckdb import keyed, parquet
from assay.engines.quoting import identifier, literal
from assay.engines.tables import StoredTable
from assay.model import THIS, Rule
from assay.rules.answers import Answer
from assay.rules.evidence import PartEvidence
from assay.rules.query_rules import QueryRules
from assay.rules.samples import SAMPLES
from assay.rules.with_queries import sample

if TYPE_CHECKING:
    import duckdb

_AT_ONCE = 100  # parts in one query


class Attributed(Struct, frozen=True, kw_only=True):
    """The failing rows of each part; `measured` is a comparing rule's largest value in the part."""

    failing: Mapping[str, int]
    measured: Mapping[str, float | int | None] = field(default_factory=dict)


class Attribution:
    """Finds the parts that the failing rows of a rule are in.

    `table_of` returns the files of a part by its key.
    """

    def __init__(
        self,
        queries: QueryRules,
        parts: Sequence[PartEvidence],
        table_of: Callable[[str], StoredTable],
    ) -> None:
        self.queries, self.parts, self.table_of = queries, parts, table_of

    def of(self, rule: Rule) -> Attributed | None:
        """Return the failing rows of each part; None when the rows do not name their part.

        Rows may name parts that do not exist.
        """
        import duckdb

        with self.queries.bench() as bench:
            try:
                if self._is_condition(rule):
                    return self._by_table(rule, bench)
                return self._by_key(rule, bench)
            except (duckdb.OutOfMemoryException, duckdb.IOException, duckdb.InterruptException):
                raise
            except duckdb.Error:
                return None

    def samples(self, rule: Rule, parts: Sequence[str]) -> list[dict[str, Any]]:
        """Return the first rows of these parts that fail a rule, as samples."""
        query, clock = self.queries.failing_of(rule)
        samples: list[dict[str, Any]] = []
        with self.queries.bench() as bench:
            if self._is_condition(rule):
                for part in parts[:SAMPLES]:
                    table = parquet(self.table_of(part))
                    rows_of_part = f"select * from ({table}) as this where {_fails(rule)}"
                    samples += _first_rows(bench, rows_of_part, clock)
            else:
                names, key = ", ".join(map(literal, parts)), self._key_of(bench, query, clock)
                rows_of_parts = f"select * from (\n{query}\n) where {key} in ({names})"
                samples = _first_rows(bench, rows_of_parts, clock)
        return self.queries.as_samples(rule, query, samples[:SAMPLES])

    @staticmethod
    def _is_condition(rule: Rule) -> bool:
        """Return whether a rule is a condition on each row that does not depend on other rows."""
        condition = rule.demand is not None and rule.demand.kind == "condition"
        return condition and THIS not in {i.name for i in rule.inputs}

    def _by_table(self, rule: Rule, bench: "duckdb.DuckDBPyConnection") -> Attributed:
        """Count the failing rows in the files of each part."""
        failing: dict[str, int] = {}
        for parts in self._batches():
            tables = [parquet(self.table_of(part.key)) for part in parts]
            counts = (
                f"select {number}, count(*) from ({table}) as this where {_fails(rule)}"
                for number, table in enumerate(tables)
            )
            rows = bench.execute(" union all ".join(counts)).fetchall()
            failing |= {parts[number].key: count for number, count in rows if count}
        return Attributed(failing=failing)

    def _by_key(self, rule: Rule, bench: "duckdb.DuckDBPyConnection") -> Attributed | None:
        """Count the rows of a query by the partition column, if the query returns it."""
        if not rule.sql:
            return None
        query, clock = self.queries.query_of(rule)
        key = self._key_of(bench, query, clock)
        if not key:
            return None
        counts = "count(*), null"
        if rule.compares:
            counts = "coalesce(count_if(__fails), 0), arg_max(__measured, abs(__measured))"
        rows = bench.execute(
            f"select {key}, {counts} from (\n{query}\n) group by 1", dict(clock) or None
        ).fetchall()
        return Attributed(
            failing={str(part or ""): count for part, count, _ in rows if count},
            measured={
                str(part or ""): measured for part, _, measured in rows if measured is not None
            },
        )

    def _key_of(self, bench: "duckdb.DuckDBPyConnection", query: str, clock: Any) -> str:
        """Return the SQL of the part that a row is in; '' if rows do not name their part."""
        partition = self.queries.product.partition
        if partition is None or len(partition.names) != 1 or not self._rows_name_parts:
            return ""
        described = bench.execute(
            f"select * from (\n{query}\n) limit 0", dict(clock) or None
        ).description
        types = {column[0].lower(): str(column[1]) for column in described}
        [name] = partition.names
        type = types.get(name.lower())
        return keyed(identifier(name), partition.grain, type) if type else ""

    @cached_property
    def _rows_name_parts(self) -> bool:
        """Whether the partition column of each row names the part that the row is in."""
        partition = self.queries.product.partition
        assert partition is not None
        [name] = partition.names
        type = next(
            (c.type for c in self.queries.evidence.columns if c.name.lower() == name.lower()), ""
        )
        if partition.in_rows or not type:
            return bool(type)
        key = keyed(identifier(name), partition.grain, type)
        with self.queries.engine.cursor() as cursor:
            for parts in self._batches():
                misplaced = (
                    f"(select 1 {parquet(self.table_of(part.key))} "
                    f"where {key} is distinct from {literal(part.key)} limit 1)"
                    for part in parts
                )
                if cursor.execute(" union all ".join(misplaced)).fetchall():
                    return False
        return True

    def _batches(self) -> Iterator[Sequence[PartEvidence]]:
        for start in range(0, len(self.parts), _AT_ONCE):
            yield self.parts[start : start + _AT_ONCE]


def _first_rows(
    bench: "duckdb.DuckDBPyConnection", query: str, clock: Mapping[str, datetime]
) -> list[dict[str, Any]]:
    """Return the first rows of a query; none when it cannot be computed."""
    rows = sample(bench, query, clock, SAMPLES)
    return [] if isinstance(rows, Answer) else rows


def _fails(rule: Rule) -> str:
    assert rule.demand is not None
    return f"not (\n{rule.demand.arguments['sql']}\n)"
