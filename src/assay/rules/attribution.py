"""Says in which parts the rows are that fail a rule, of a product whose parts are held back alone."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from assay.engines.duckdb import keyed, parquet
from assay.engines.quoting import identifier, literal
from assay.engines.tables import StoredTable
from assay.model import THIS, Rule
from assay.rules import with_queries
from assay.rules.evidence import PartEvidence
from assay.rules.judge import SAMPLES, RuleJudge

if TYPE_CHECKING:
    import duckdb

_AT_ONCE = 100  # parts asked about in one query


class Attributed(Struct, frozen=True, kw_only=True):
    """How many rows of each part fail a rule; `measured` is, of a rule that compares, the largest value of a part."""

    failing: Mapping[str, int]
    measured: Mapping[str, float | int | None] = field(default_factory=dict)


class Attribution:
    """Asks of single rules in which parts the rows are that fail them; `table_of` says where a part is read."""

    def __init__(
        self,
        judging: RuleJudge,
        parts: Sequence[PartEvidence],
        table_of: Callable[[str], StoredTable],
    ) -> None:
        self.judging, self.parts, self.table_of = judging, parts, table_of

    def of(self, rule: Rule) -> Attributed | None:
        """Return in which parts rows fail; None when the rule does not say. Parts that are not there may be named."""
        import duckdb

        with self.judging.bench() as bench:
            try:
                return (
                    self._by_table(rule, bench)
                    if self._is_condition(rule)
                    else self._by_key(rule, bench)
                )
            except (duckdb.OutOfMemoryException, duckdb.IOException, duckdb.InterruptException):
                raise
            except duckdb.Error:
                return None

    def samples(self, rule: Rule, parts: Sequence[str]) -> list[dict[str, Any]]:
        """Return the first rows of these parts that fail a rule, of which it is known in which parts they fail."""
        query, clock = self.judging.failing_of(rule)
        found: list[dict[str, Any]] = []
        with self.judging.bench() as bench:
            if self._is_condition(rule):
                for part in parts[:SAMPLES]:
                    rows = f"select * from ({parquet(self.table_of(part))}) as this where {_fails(rule)}"
                    found += with_queries.some(bench, rows, clock, SAMPLES)
            else:
                names = ", ".join(map(literal, parts))
                rows = f"select * from (\n{query}\n) where {self._key_of(bench, query, clock)} in ({names})"
                found = with_queries.some(bench, rows, clock, SAMPLES)
        return self.judging.as_sample(rule, query, found[:SAMPLES])

    @staticmethod
    def _is_condition(rule: Rule) -> bool:
        """Say whether a rule is a condition on every row, whatever the other rows of the product are."""
        condition = rule.demand is not None and rule.demand.kind == "condition"
        return condition and THIS not in {i.name for i in rule.inputs}

    def _by_table(self, rule: Rule, bench: "duckdb.DuckDBPyConnection") -> Attributed:
        """Look for failing rows in one part after the other."""
        failing: dict[str, int] = {}
        for some in self._batches():
            every = (
                f"select {number}, count(*) from ({parquet(self.table_of(part.key))}) as this where {_fails(rule)}"
                for number, part in enumerate(some)
            )
            rows = bench.execute(" union all ".join(every)).fetchall()
            failing |= {some[number].key: count for number, count in rows if count}
        return Attributed(failing=failing)

    def _by_key(self, rule: Rule, bench: "duckdb.DuckDBPyConnection") -> Attributed | None:
        """Count the rows that a query finds by the column that the product is split by, if it returns that."""
        query, clock = self.judging.query_of(rule)
        key = self._key_of(bench, query, clock) if rule.sql else ""
        if not key:
            return None
        counted = (
            "coalesce(count_if(__fails), 0), arg_max(__measured, abs(__measured))"
            if rule.compares
            else "count(*), null"
        )
        rows = bench.execute(
            f"select {key}, {counted} from (\n{query}\n) group by 1", dict(clock) or None
        ).fetchall()
        return Attributed(
            failing={str(part or ""): count for part, count, _ in rows if count},
            measured={
                str(part or ""): measured for part, _, measured in rows if measured is not None
            },
        )

    def _key_of(self, bench: "duckdb.DuckDBPyConnection", query: str, clock: Any) -> str:
        """Return the SQL of the part that a row of a query is of; '' when its rows do not say."""
        partition = self.judging.product.partition
        if partition is None or len(partition.names) != 1 or not self._rows_say:
            return ""
        described = bench.execute(
            f"select * from (\n{query}\n) limit 0", dict(clock) or None
        ).description
        types = {column[0].lower(): str(column[1]) for column in described}
        [name] = partition.names
        type = types.get(name.lower())
        return keyed(identifier(name), partition.grain, type) if type else ""

    @cached_property
    def _rows_say(self) -> bool:
        """Whether every row has the name of its part in the column that the product is split by."""
        partition = self.judging.product.partition
        assert partition is not None
        [name] = partition.names
        type = next(
            (c.type for c in self.judging.evidence.columns if c.name.lower() == name.lower()), ""
        )
        if partition.in_rows or not type:
            return bool(type)
        key = keyed(identifier(name), partition.grain, type)
        with self.judging.engine.cursor() as cursor:
            for some in self._batches():
                named = ((parquet(self.table_of(part.key)), literal(part.key)) for part in some)
                every = (
                    f"(select 1 {rows} where {key} is distinct from {own} limit 1)"
                    for rows, own in named
                )
                if cursor.execute(" union all ".join(every)).fetchall():
                    return False
        return True

    def _batches(self) -> Iterator[Sequence[PartEvidence]]:
        for start in range(0, len(self.parts), _AT_ONCE):
            yield self.parts[start : start + _AT_ONCE]


def _fails(rule: Rule) -> str:
    assert rule.demand is not None
    return f"not (\n{rule.demand.arguments['sql']}\n)"
