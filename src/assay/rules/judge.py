"""Judges staged bytes: each rule in the cheapest way that is exact, and says how each came out.

Names and types first, then DuckDB (what statistics rule out, one aggregate, uniqueness), Polars, pandera itself, and
rules that are queries. Nothing here changes data.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from assay.amounts import allowed
from assay.engines import duckdb as duck
from assay.engines.quoting import identifier, literal
from assay.engines.tables import InputFiles
from assay.errors import BuildError, words_of
from assay.model import (
    PREVIOUS,
    QUARANTINE,
    THIS,
    Kind,
    PartCount,
    Product,
    Rule,
    RuleResult,
    Status,
)
from assay.rules import (
    settled,
    with_duckdb,
    with_pandera,
    with_polars,
    with_queries,
)
from assay.rules.answers import Answer, plain, said
from assay.rules.compile import (
    ByPandera,
    DecidedByColumns,
    Rows,
    Text,
    Unique,
    Way,
    Whole,
    ways_of,
)
from assay.rules.evidence import Evidence
from assay.rules.hiding import HiddenValues
from assay.rules.outcome import status_in_parts, status_of, worst_parts
from assay.rules.schema import Schema
from assay.rules.with_queries import LATEST
from assay.sensitive import HIDDEN

if TYPE_CHECKING:
    import duckdb

SAMPLES = 5


def judge(
    product: Product, evidence: Evidence, engine: duck.DuckDB, schema: Callable[[], Schema]
) -> tuple[RuleResult, ...]:
    """Return how each rule of a product's contract came out, in the order of the contract.

    `schema` gives the checks behind the rules, for those that only pandera can judge. An exception inside a rule is
    that rule's result; exhausted memory or disk is not a result, and is raised.
    """
    return RuleJudge(product, evidence, engine, schema).run()


@contextmanager
def failing_rows(
    product: Product,
    rule: Rule,
    evidence: Evidence,
    engine: duck.DuckDB,
    schema: Callable[[], Schema],
) -> Iterator[tuple[list[str], Iterator[Sequence[Any]]]]:
    """Give the names of the columns, and all the rows that fail a rule, as they come; sensitive values are hidden."""
    with RuleJudge(product, evidence, engine, schema).rows_of(rule) as (names, rows, hide):
        hidden = [name in hide for name in names]
        yield (
            names,
            (tuple(HIDDEN if h else v for h, v in zip(hidden, row, strict=True)) for row in rows),
        )


def about_this_alone(product: Product) -> list[Rule]:
    """Return the rules that are queries for violating rows over `this` and nothing else."""
    rules = () if product.kind is Kind.FILE else product.contract.rules
    return [
        r
        for r in rules
        if r.sql and {i.name for i in r.inputs} <= {THIS} and not (r.compares or r.dated)
    ]


class RuleJudge(Struct):
    """One judging: the answer to every rule, and where the failing rows of each are found."""

    product: Product
    evidence: Evidence
    engine: duck.DuckDB
    schema: Callable[[], Schema]
    answers: dict[str, Answer] = field(default_factory=dict)
    samples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    counts: dict[str, Sequence[PartCount]] = field(
        default_factory=dict
    )  # of rules that are judged part by part
    hides: HiddenValues | None = None
    scope: str = ""  # of what tolerances are, where that is not plain

    def run(self) -> tuple[RuleResult, ...]:
        """Answer every rule that has no answer yet, and return how each came out."""
        self.answer()
        return self.results()

    def answer(self) -> None:
        """Answer every rule that has no answer yet."""
        ways = ways_of(self.product, self.evidence.columns)
        ways = {
            t: way
            for t, way in ways.items()
            if not self.rules[t].quarantines and t not in self.answers
        }
        self._known(ways)
        self._quarantined()
        try:
            self._rows(ways)
            self._polars(ways)
            self._pandera(ways)
        except (
            MemoryError,
            OSError,
        ) as error:  # the machinery's failure, and no verdict on the data
            raise BuildError(
                f"the rules cannot be judged now: {words_of(error) or type(error).__name__}"
            ) from error
        self._alone([rule for rule in self.product.contract.rules if rule.text not in self.answers])
        if queries := [
            rule for rule in self.product.contract.rules if rule.text not in self.answers
        ]:
            self._queries(queries)

    def results(self) -> tuple[RuleResult, ...]:
        """Return how each rule came out; all are answered."""
        return tuple(self._result(rule) for rule in self.product.contract.rules)

    @property
    def rules(self) -> dict[str, Rule]:
        return {rule.text: rule for rule in self.product.contract.rules}

    def _known(self, ways: Mapping[str, Way]) -> None:
        for text, way in ways.items():
            if isinstance(way, DecidedByColumns):
                self.answers[text] = Answer(how="schema", holds=way.holds, message=way.message)

    def _quarantined(self) -> None:
        """Answer for the rows that were set aside: how many broke which rule, and whether all are accounted for."""
        if self.evidence.aside is None or self.evidence.rows_in is None:
            return
        aside = duck.parquet([self.evidence.aside])
        with self.engine.cursor() as cursor:
            (count,) = cursor.execute(f"select count(*) {aside}").fetchone() or (0,)
            for rule in self.product.contract.rules:
                if rule.quarantines:
                    where = f"where list_contains(broke, {literal(rule.text)})"
                    (failing,) = cursor.execute(f"select count(*) {aside} {where}").fetchone() or (
                        0,
                    )
                    self.answers[rule.text] = Answer(how="fused", failing=failing)
                    if failing:
                        shown = ", ".join(map(identifier, self._shown(rule.text, None)))
                        found = cursor.execute(f"select {shown} {aside} {where} limit {SAMPLES}")
                        self.samples[rule.text] = with_queries.records(found)
                elif rule.demand and rule.demand.kind == "accounted":
                    lost = self.evidence.rows_in - self.evidence.rows - count
                    self.answers[rule.text] = Answer(how="schema", holds=not lost, measured=lost)

    # ------------------------------------------------------------------------------------------ rows, in DuckDB

    def _rows(self, ways: Mapping[str, Way]) -> None:
        left = {text: way for text, way in ways.items() if isinstance(way, Rows | Whole | Unique)}
        if not left:
            return
        with self.engine.cursor() as cursor:
            if self._many:
                for text, way in left.items():
                    if isinstance(way, Unique):
                        fits, type = (
                            0 if self.engine.limited else self.evidence.rows,
                            self._type_of(way),
                        )
                        failing = with_duckdb.unique(
                            cursor, way, self.evidence.this, type=type, fits=fits
                        )
                        self.answers[text] = Answer(how="sorted", failing=failing)
            if reading := {text: way for text, way in left.items() if text not in self.answers}:
                self._fused(cursor, reading)
            for text, way in left.items():
                if self.answers[text].failing:
                    self._sample(cursor, text, way)

    def _type_of(self, way: Unique) -> str:
        """Return the type of the one column that it is about; '' for several."""
        types = [column.type for column in self.evidence.columns if column.name in way.columns]
        return types[0] if len(types) == 1 else ""

    @property
    def _many(self) -> bool:
        return self.evidence.rows > with_duckdb.SMALL

    def _fused(
        self, cursor: "duckdb.DuckDBPyConnection", ways: Mapping[str, Rows | Whole | Unique]
    ) -> None:
        """Answer all in one query; when one cannot be judged, each in one of its own."""
        import duckdb

        try:
            row = cursor.execute(
                with_duckdb.fused(ways.values(), self._table, prune=self._many)
            ).fetchone()
        except (duckdb.OutOfMemoryException, duckdb.IOException, duckdb.InterruptException):
            raise
        except duckdb.Error as error:
            if len(ways) == 1:
                (text,) = ways
                self.answers[text] = Answer(how="fused", error=said(error))
                return
            for text, way in ways.items():
                self._fused(cursor, {text: way})
            return
        assert row is not None
        for (text, way), found in zip(ways.items(), row[1:], strict=True):
            if isinstance(way, Whole):
                message = "the column does not take exactly these values" if found else ""
                self.answers[text] = Answer(how="fused", holds=not found, message=message)
            else:
                how = "pruned" if self._many and isinstance(way, Rows) and way.prunes else "fused"
                self.answers[text] = Answer(how=how, failing=found)

    @property
    def _table(self) -> str:
        return f"{duck.parquet(self.evidence.this)} as this"

    def _sample(self, cursor: "duckdb.DuckDBPyConnection", text: str, way: Way) -> None:
        fails = with_duckdb.condition(way, self._table)
        if fails:
            columns = ", ".join(map(identifier, self._shown(text, way)))
            found = cursor.execute(f"select {columns} {self._table} where {fails} limit {SAMPLES}")
            self.samples[text] = with_queries.records(found)

    # ------------------------------------------------------------------------------------------ Polars, pandera

    def _polars(self, ways: Mapping[str, Way]) -> None:
        asked = {text: ask for text, way in ways.items() if (ask := self._ask(text, way))}
        if not asked:
            return
        one = with_polars.Pass(self.evidence.this, asked)
        self.answers |= one.run()
        for text in asked:
            if self.answers[text].failing:
                found = (
                    one.rows(text, self._shown(text, ways[text]))
                    .head(SAMPLES)
                    .collect(engine="streaming")
                )
                self.samples[text] = found.to_dicts()

    def _ask(self, text: str, way: Way) -> Text | with_polars.Lazy | None:
        """Return what to ask Polars about a rule; None when that is not for it."""
        demand = self.rules[text].demand
        if isinstance(way, Text) or demand is None:
            return way if isinstance(way, Text) else None
        if (
            isinstance(way, ByPandera)
            and not demand.pattern
            and (check := self.schema().checks.get(demand.place))
        ):
            return with_polars.Lazy(check=check, column=demand.column)
        return None

    def _pandera(self, ways: Mapping[str, Way]) -> None:
        for text, way in ways.items():
            demand = self.rules[text].demand
            if text in self.answers or demand is None:
                continue
            self.answers[text], rows = with_pandera.ask(demand, self.schema(), self.evidence.this)
            if rows:
                columns = self._shown(text, way)
                self.samples[text] = with_pandera.rows_of(
                    self.evidence.this, rows[:SAMPLES], columns
                ).to_dicts()

    def _shown(self, text: str, way: Way | None) -> list[str]:
        """Return the columns a sample shows: the key and the offending ones; all, when neither is known."""
        demand = self.rules[text].demand
        offending = [demand.column] if demand and demand.column else []
        if isinstance(way, Rows | Whole | Unique):
            offending = list(way.columns)
        elif demand and demand.kind == "condition":
            offending = list(demand.arguments["columns"])
        names = [column.name for column in self.evidence.columns]
        lower = {name.lower(): name for name in names}
        chosen = [
            lower[n.lower()] for n in (*self.product.contract.key, *offending) if n.lower() in lower
        ]
        known = any(n.lower() in lower for n in offending)
        return list(dict.fromkeys(chosen)) if known else names

    # ------------------------------------------------------------------------------------------ queries

    def _alone(self, rules: Collection[Rule]) -> None:
        """Answer queries over few rows of `this` and nothing else in one, without a bench, where no row fails."""
        if self._many:
            return
        if asked := [rule for rule in about_this_alone(self.product) if rule in rules]:
            with self.engine.cursor() as cursor:
                good = with_queries.none_fails(
                    cursor, duck.parquet(self.evidence.this), [rule.sql for rule in asked]
                )
            self.answers |= {
                rule.text: Answer(how="sql", failing=0)
                for rule, none in zip(asked, good, strict=True)
                if none
            }

    def _queries(self, rules: Sequence[Rule]) -> None:
        absent = PREVIOUS not in {feed.alias for feed in self.evidence.others}
        with self.bench() as bench:
            for rule in rules:
                if absent and any(i.name == PREVIOUS for i in rule.inputs):
                    # A name that is not there is told now, not on the second night.
                    bench.execute("create or replace view previous as from this")
                    query = (
                        self._compared(rule).sql
                        if rule.closes
                        else with_queries.query_of(rule, self._types)
                    )
                    self.answers[rule.text] = with_queries.bind(bench, query, self._clock(rule))
                else:
                    self.query(rule, bench)

    @contextmanager
    def bench(self) -> Iterator["duckdb.DuckDBPyConnection"]:
        """Open a bench that sees `this`, and all that rules read besides."""
        feeds = [*self.evidence.others]
        if self.product.kind is not Kind.FILE:
            feeds.append(InputFiles(alias=THIS, name=THIS, table=self.evidence.this))
        with self.engine.bench(feeds, self.product.domain) as bench:
            if self.product.kind is Kind.FILE:
                name, size = literal(self.product.file), self.evidence.this.files[0].stat().st_size
                bench.execute(f"create view this as select {name} as file, {size}::bigint as bytes")
            yield bench

    def _compared(self, rule: Rule) -> settled.Comparison:
        """Return how settled rows are compared; with themselves, while nothing is published."""
        columns = settled.common(
            self.evidence.columns, self.evidence.before or self.evidence.columns
        )
        return settled.compare(rule, columns, self.product.contract.key, self.product.partition)

    @property
    def hiding(self) -> HiddenValues:
        """What must not be shown of all that is judged and read."""
        self.hides = self.hides or HiddenValues(self.evidence, self.engine)
        return self.hides

    def _hidden(self, rule: Rule, query: str, names: Sequence[str]) -> set[str]:
        """Return which columns of a query's result must not be shown."""
        if rule.closes:
            return self._compared(rule).hidden(self.hiding.patterns(rule))
        return self.hiding.in_rows(rule, query, names)

    def _clock(self, rule: Rule) -> dict[str, datetime]:
        """Return what a rule's query takes for now, or for the ends of what is settled, as its column has times."""
        if rule.closes:
            return settled.clock_of(rule, self.evidence.now, self.evidence.built, self._types)
        return {"now": self.evidence.now} if rule.dated else {}

    @property
    def _types(self) -> dict[str, str]:
        return {column.name.lower(): column.type for column in self.evidence.columns}

    def query(self, rule: Rule, bench: "duckdb.DuckDBPyConnection") -> None:
        """Answer a rule that is a query on a bench that sees what it reads."""
        if rule.closes:
            self._settled(rule, bench)
            return
        query, clock = self.query_of(rule)
        answer = with_queries.ask(rule, bench, query, clock)
        if rule.dated and LATEST in rule.sql:
            shown = not self.hiding.is_measured(rule)
            answer = with_queries.with_later(rule, answer, bench, clock, self._types, shown=shown)
        if answer.failing:
            failing, _ = self.failing_of(rule)
            found = with_queries.sample(bench, failing, clock, SAMPLES)
            if isinstance(found, Answer):
                self.answers[rule.text] = found
                return
            self.samples[rule.text] = self.as_sample(rule, failing, found)
        self.answers[rule.text] = answer

    def as_sample(
        self, rule: Rule, query: str, rows: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        """Return rows that a query found as they are shown: the key and the offending columns, secrets hidden."""
        names = list(rows[0]) if rows else []
        if rule.demand is not None:
            lower = {
                n.lower() for n in (*self.product.contract.key, *rule.demand.arguments["columns"])
            }
            names = [name for name in names if name.lower() in lower] or names
        hide = self._hidden(rule, query, names)
        if rule.closes:
            rows = settled.pruned(self._compared(rule), rows)
        return [{n: HIDDEN if n in hide else row[n] for n in names if n in row} for row in rows]

    def _settled(self, rule: Rule, bench: "duckdb.DuckDBPyConnection") -> None:
        """Answer whether settled rows are as readers see them."""
        if unlike := settled.unlike(self.evidence.columns, self.evidence.before):
            self.answers[rule.text] = Answer(how="sql", holds=False, message=unlike)
            return
        compared = self._compared(rule)
        answer, rows = settled.ask(compared, bench, self._clock(rule), self.hiding.patterns(rule))
        self.answers[rule.text], self.samples[rule.text] = (
            answer,
            self.as_sample(rule, compared.sql, rows),
        )

    @contextmanager
    def rows_of(self, rule: Rule) -> Iterator[tuple[list[str], Iterator[Sequence[Any]], set[str]]]:
        """Give all failing rows of a rule, and the columns among them that must not be shown."""
        way = ways_of(self.product, self.evidence.columns).get(rule.text)
        if rule.quarantines and self.evidence.aside:
            where = f"where list_contains(broke, {literal(rule.text)})"
            with self.engine.cursor() as cursor:
                found = cursor.execute(f"{duck.parquet([self.evidence.aside])} {where}")
                names = [column[0] for column in found.description or ()]
                yield names, _fetched(found), self.hiding.in_this(names)
            return
        hide = self.hiding.in_this(names := [column.name for column in self.evidence.columns])
        if rule.demand is None or way is None:
            self._check_previous(rule)
            with self.bench() as bench:
                query, clock = self.failing_of(rule)
                found = bench.execute(query, dict(clock) or None)
                names = [column[0] for column in found.description or ()]
                yield names, _fetched(found), self._hidden(rule, query, names)
        elif fails := with_duckdb.condition(way, self._table):
            with self.engine.cursor() as cursor:
                yield names, _fetched(cursor.execute(f"select * {self._table} where {fails}")), hide
        else:
            yield names, iter(self._frame_of(rule, way).rows()), hide

    def _frame_of(self, rule: Rule, way: Way) -> Any:
        """Return the failing rows of a rule that Polars or pandera judges; none, when it is not about rows."""
        assert rule.demand is not None
        names = [column.name for column in self.evidence.columns]
        ask = self._ask(rule.text, way)
        if ask is None:
            if isinstance(way, DecidedByColumns | Whole):
                return with_pandera.rows_of(self.evidence.this, [], names)
            answer, numbers = with_pandera.ask(rule.demand, self.schema(), self.evidence.this)
            if answer.error:
                raise BuildError(self.hiding.veiled(rule, answer.error))
            return with_pandera.rows_of(self.evidence.this, numbers, names)
        one = with_polars.Pass(self.evidence.this, {rule.text: ask})
        answer = one.run()[rule.text]
        if answer.error:
            raise BuildError(self.hiding.veiled(rule, answer.error))
        rows = one.rows(rule.text, names) if answer.failing else one.frame.select(names).head(0)
        return rows.collect(engine="streaming")

    def query_of(self, rule: Rule) -> tuple[str, dict[str, datetime]]:
        """Return the query of the rows that fail a rule, or of all that it compares, and what it takes for now."""
        query = (
            self._compared(rule).sql if rule.closes else with_queries.query_of(rule, self._types)
        )
        return query, self._clock(rule)

    def failing_of(self, rule: Rule) -> tuple[str, dict[str, datetime]]:
        """Return the query of the rows that fail a rule, and what it takes for now."""
        query = (
            self._compared(rule).sql if rule.closes else with_queries.failing_of(rule, self._types)
        )
        return query, self._clock(rule)

    def _check_previous(self, rule: Rule) -> None:
        there = {feed.alias for feed in self.evidence.others}
        if PREVIOUS not in there and any(i.name == PREVIOUS for i in rule.inputs):
            raise BuildError("nothing is published yet to compare with")

    # ------------------------------------------------------------------------------------------ results

    def shown(self, rule: Rule) -> list[dict[str, Any]]:
        """Return the samples of a rule as plain data, sensitive values hidden."""
        found = self.samples.get(rule.text, ())
        names = {name for row in found for name in row}
        hide = (
            self.hiding.in_this(names) if rule.demand and found else set()
        )  # a query's are hidden already
        return [
            {name: HIDDEN if name in hide else plain(value) for name, value in row.items()}
            for row in found
        ]

    def _result(self, rule: Rule) -> RuleResult:
        answer = self.answers[rule.text]
        rows = (
            self.evidence.rows_in or self.evidence.rows if rule.quarantines else self.evidence.rows
        )
        counts = self.counts.get(rule.text, ())
        status = status_in_parts(rule, counts) if counts else status_of(rule, answer, rows)
        message, scope = (
            answer.message,
            "of a part" if counts else self.scope if answer.failing else "",
        )
        if answer.error:
            message = self.hiding.veiled(rule, answer.error)
        if rule.quarantines and answer.failing:
            where = f"{self.product.name}__{QUARANTINE}"
            message = (
                "too many to set aside" if status is Status.FAILED else f"set aside in {where}"
            )
        measured = None if rule.sql and self.hiding.is_measured(rule) else plain(answer.measured)
        return RuleResult(
            text=rule.text,
            status=status,
            severity=rule.severity,
            dimension=rule.dimension,
            because=rule.because,
            owner=rule.owner,
            failing=answer.failing,
            rows=rows if answer.failing is not None and not rule.compares else None,
            measured=measured,
            threshold=rule.threshold or allowed(rule.warn_above, rule.fail_above, scope),
            how=answer.how,
            samples=tuple(self.shown(rule)),
            message=message,
            part_counts=worst_parts(rule, counts),
            digests=answer.digests,
        )


def _fetched(found: Any) -> Iterator[Sequence[Any]]:
    while batch := found.fetchmany(1000):
        yield from batch
