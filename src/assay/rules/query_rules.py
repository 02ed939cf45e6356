"""The rules of a product that are queries: their SQL, arguments, answers and samples."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from assay.engines.duckdb import DuckDB, parquet
from assay.engines.quoting import literal
from assay.engines.tables import InputFiles
from assay.model import PREVIOUS, THIS, Kind, Product, Rule
from assay.rules import settled, with_duckdb, with_queries
from assay.rules.answers import Answer
from assay.rules.evidence import Evidence
from assay.rules.hiding import HiddenValues
from assay.rules.news import columns_to_show
from assay.rules.samples import SAMPLES
from assay.rules.with_queries import LATEST
from assay.sensitive import HIDDEN

if TYPE_CHECKING:
    import duckdb


class QueryRules(Struct, dict=True):
    """The rules of a product that are queries, on the tables of its evidence."""

    product: Product
    evidence: Evidence
    engine: DuckDB
    hiding: HiddenValues

    @contextmanager
    def bench(self) -> Iterator["duckdb.DuckDBPyConnection"]:
        """Open a connection that has `this`, and the other tables that rules read, as views."""
        tables = [*self.evidence.other_tables]
        if self.product.kind is not Kind.FILE:
            tables.append(InputFiles(alias=THIS, name=THIS, table=self.evidence.this))
        with self.engine.bench(tables, self.product.domain) as bench:
            if self.product.kind is Kind.FILE:
                name, size = literal(self.product.file), self.evidence.this.files[0].stat().st_size
                bench.execute(f"create view this as select {name} as file, {size}::bigint as bytes")
            yield bench

    # ------------------------------------------------------------------------------ SQL

    def query_of(self, rule: Rule) -> tuple[str, dict[str, datetime]]:
        """Return the query of a rule's failing, or compared, rows, and its arguments."""
        if rule.closes:
            return self.comparison(rule).sql, self._arguments(rule)
        return with_queries.query_of(rule, self._types), self._arguments(rule)

    def failing_of(self, rule: Rule) -> tuple[str, dict[str, datetime]]:
        """Return the query of the rows that fail a rule, and its arguments."""
        if rule.closes:
            return self.comparison(rule).sql, self._arguments(rule)
        return with_queries.failing_of(rule, self._types), self._arguments(rule)

    def comparison(self, rule: Rule) -> settled.Comparison:
        """Return the comparison of settled rows; on a first release, with the table itself."""
        columns = settled.common(
            self.evidence.columns, self.evidence.before or self.evidence.columns
        )
        return settled.compare(rule, columns, self.product.contract.key, self.product.partition)

    def lacks_previous(self, rule: Rule) -> bool:
        """Return whether a rule compares with the published version, and nothing is published."""
        if any(table.alias == PREVIOUS for table in self.evidence.other_tables):
            return False
        return any(i.name == PREVIOUS for i in rule.inputs)

    def _arguments(self, rule: Rule) -> dict[str, datetime]:
        """Return the moments that a query refers to: now, or the ends of the settled periods."""
        if rule.closes:
            return settled.clock_of(rule, self.evidence.now, self.evidence.built, self._types)
        return {"now": self.evidence.now} if rule.dated else {}

    @cached_property
    def _types(self) -> dict[str, str]:
        return {column.name.lower(): column.type for column in self.evidence.columns}

    # ------------------------------------------------------------------------------ answers

    def answer_together(self, rules: Collection[Rule]) -> dict[str, Answer]:
        """Answer in one query, without a bench, the rules that read few rows of `this` and pass.

        The other rules are left for answer_each(), which finds samples and errors.
        """
        if self.evidence.rows > with_duckdb.SMALL or self.product.kind is Kind.FILE:
            return {}
        chosen = [rule for rule in rules if reads_only_this(rule)]
        if not chosen:
            return {}
        with self.engine.cursor() as cursor:
            passed = with_queries.none_fails(
                cursor, parquet(self.evidence.this), [rule.sql for rule in chosen]
            )
        return {
            rule.text: Answer(how="sql", failing=0)
            for rule, passes in zip(chosen, passed, strict=True)
            if passes
        }

    def answer_each(self, rules: Collection[Rule]) -> dict[str, Answer]:
        """Answer rules one by one."""
        if not rules:
            return {}
        with self.bench() as bench:
            return {rule.text: self.answer(rule, bench) for rule in rules}

    def answer(self, rule: Rule, bench: "duckdb.DuckDBPyConnection") -> Answer:
        """Answer a rule on a bench that has the tables that it reads."""
        query, arguments = self.query_of(rule)
        if self.lacks_previous(rule):
            # An unknown name is reported now, instead of in the second run.
            bench.execute("create or replace view previous as from this")
            return with_queries.bind(bench, query, arguments)
        if rule.closes:
            return self._compare_settled(rule, bench)
        answer = with_queries.ask(rule, bench, query, arguments)
        if rule.dated and LATEST in rule.sql:
            shown = not self.hiding.is_measured(rule)
            answer = with_queries.with_later(
                rule, answer, bench, arguments, self._types, shown=shown
            )
        if not answer.failing:
            return answer
        failing, _ = self.failing_of(rule)
        rows = with_queries.sample(bench, failing, arguments, SAMPLES)
        if isinstance(rows, Answer):
            return rows
        return replace(answer, samples=self.as_samples(rule, failing, rows))

    def _compare_settled(self, rule: Rule, bench: "duckdb.DuckDBPyConnection") -> Answer:
        """Answer whether settled rows are those of the published version."""
        if changed := settled.unlike(self.evidence.columns, self.evidence.before):
            return Answer(how="sql", holds=False, message=changed)
        comparison, sensitive = self.comparison(rule), self.hiding.patterns(rule)
        answer = settled.ask(comparison, bench, self._arguments(rule), sensitive)
        return replace(answer, samples=self.as_samples(rule, comparison.sql, answer.samples))

    # ------------------------------------------------------------------------------ samples

    def hidden(self, rule: Rule, query: str, names: Sequence[str]) -> set[str]:
        """Return the columns of a query's result that must not be shown."""
        if rule.closes:
            return self.comparison(rule).hidden(self.hiding.patterns(rule))
        return self.hiding.in_rows(rule, query, names)

    def as_samples(
        self, rule: Rule, query: str, rows: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        """Return rows of a query as samples: the key and the offending columns, masked."""
        names = list(rows[0]) if rows else []
        if rule.demand is not None:
            names = columns_to_show(self.product, rule, names)
        hidden = self.hidden(rule, query, names)
        if rule.closes:
            rows = settled.pruned(self.comparison(rule), rows)
        return [
            {name: HIDDEN if name in hidden else row[name] for name in names if name in row}
            for row in rows
        ]


def reads_only_this(rule: Rule) -> bool:
    """Return whether a rule is a query of failing rows that reads `this` and nothing else."""
    names = {i.name for i in rule.inputs}
    return bool(rule.sql) and names <= {THIS} and not (rule.compares or rule.dated)
