"""Judges a version in parts: rules about single rows once for each part, rules about the whole over all of them.

What a part's rows have to say does not change, so it is remembered. Of uniqueness, that is told by the parts where two
rows alike would be in one part, or where the parts' values do not overlap.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from assay.engines.duckdb import DuckDB, parquet
from assay.engines.quoting import identifier
from assay.engines.tables import StoredTable
from assay.model import THIS, PartCount, Product, Rule, RuleResult, Status
from assay.rules import with_duckdb
from assay.rules.answers import Answer
from assay.rules.attribution import Attributed, Attribution
from assay.rules.compile import Text, Unique
from assay.rules.evidence import Evidence, PartEvidence
from assay.rules.incremental.remembered import _COUNTED, _Chosen
from assay.rules.incremental.totals import PartTotals, Totals
from assay.rules.judge import SAMPLES, RuleJudge
from assay.rules.outcome import failed_parts, worst_parts
from assay.rules.schema import Schema

_AT_ONCE = 200  # parts asked about in one query


class Judgement(Struct, frozen=True, kw_only=True):
    """How each rule came out, what is to be remembered of each part (by id), and which parts failed a rule.

    `tallied` is what is to be remembered of totals, by digest and part.
    """

    results: tuple[RuleResult, ...]
    judged: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    tallied: Mapping[tuple[str, int], Mapping[str, Any]] = field(default_factory=dict)
    failed_parts: tuple[str, ...] = ()


def judge_parts(
    product: Product,
    evidence: Evidence,
    parts: Sequence[PartEvidence],
    engine: DuckDB,
    schema: Callable[[], Schema],
    *,
    tallies: PartTotals,
    table_of: Callable[[str], StoredTable],
    held: Collection[str] = (),
) -> Judgement:
    """Return how each rule came out on a version in parts; raises as judge() does.

    `table_of` says where a part is read. What rules say of parts that are `held` back already does not count.
    """
    whole = RuleJudge(product, evidence, engine, schema, scope="of all parts")
    return _InParts(whole, parts, Attribution(whole, parts, table_of), held).run(tallies)


class _InParts:
    def __init__(
        self,
        whole: RuleJudge,
        parts: Sequence[PartEvidence],
        attribution: Attribution,
        held: Collection[str],
    ):
        self.whole, self.parts, self.attribution = whole, parts, attribution
        self.product, self.evidence, self.engine, self.schema = (
            whole.product,
            whole.evidence,
            whole.engine,
            whole.schema,
        )
        self.held = frozenset(held)
        self.chosen = _Chosen(
            self.product, self.evidence.columns, self.evidence.sensitive.get(THIS, ())
        )
        self.fresh = [part for part in parts if part.remembered is None]
        self.known: dict[str, dict[str, Any]] = {
            p.key: dict(p.remembered) for p in parts if p.remembered is not None
        }

    def run(self, tallies: PartTotals) -> Judgement:
        if self.fresh and (self.chosen.rows or self.chosen.ranged):
            self._look(self.fresh)
        if len(self.known) == len(self.parts):
            for rule in self.chosen.rows:
                self._add_up(rule)
        for rule in self.chosen.ranged:
            if self._is_apart(rule):
                self.whole.answers[rule.text] = Answer(how="sorted", failing=0)
        totals = Totals(self.whole, tallies)
        totals.answer()
        self.whole.answer()
        if self.product.holds_parts:
            for rule in self.product.contract.rules:
                self._tell_parts(rule)
        results = self.whole.results()
        remember = {part.id: self.known[part.key] for part in self.fresh if part.key in self.known}
        failed = self._failed(results)
        return Judgement(
            results=results, judged=remember, tallied=totals.judged, failed_parts=failed
        )

    # ------------------------------------------------------------------------------------------ parts not known yet

    def _look(self, parts: Sequence[PartEvidence]) -> None:
        """Judge the rows of parts of which nothing is remembered: all at once, and one by one where some fail."""
        judging = self._judging(
            _together(parts), sum(part.rows for part in parts), self.chosen.rows
        )
        judging.run()
        if any(answer.error for answer in judging.answers.values()):
            return  # nothing is remembered of a part that could not be judged
        self.known |= {part.key: {} for part in parts}
        for rule in self.chosen.rows:
            if judging.answers[rule.text].failing:
                for part in parts:
                    self._look_at(part, rule)
        if self.chosen.ranged:
            self._measure(parts)

    def _look_at(self, part: PartEvidence, rule: Rule) -> None:
        judging = self._judging(part.table, part.rows, [rule])
        judging.run()
        if failing := judging.answers[rule.text].failing:
            self.known[part.key][rule.text] = {"failing": failing, "samples": judging.shown(rule)}

    def _judging(self, table: StoredTable, rows: int, rules: Iterable[Rule]) -> RuleJudge:
        product = replace(self.product, contract=replace(self.product.contract, rules=tuple(rules)))
        return RuleJudge(
            product, replace(self.evidence, this=table, rows=rows), self.engine, self.schema
        )

    def _measure(self, parts: Sequence[PartEvidence]) -> None:
        """Note of each part from where to where its values go that should be unique, when they are so in it."""
        table = _together(parts)
        for rule in self.chosen.ranged:
            way = self.chosen.ways[rule.text]
            assert isinstance(way, Unique)
            with self.engine.cursor() as cursor:
                if with_duckdb.unique(cursor, way, table):
                    continue
                name = identifier(way.columns[0])
                value = _COUNTED[self.chosen.types[way.columns[0]]].format(name)
                found: list[Any] = []
                for start in range(0, len(parts), _AT_ONCE):
                    some = [
                        f"select {start + n}, min({value}), max({value}), count(*) - count({name}) {parquet(p.table)}"
                        for n, p in enumerate(parts[start : start + _AT_ONCE])
                    ]
                    found += cursor.execute(" union all ".join(some)).fetchall()
            for number, low, high, nulls in found:
                self.known[parts[number].key][rule.text] = {
                    "low": low,
                    "high": high,
                    "nulls": nulls,
                }

    # ------------------------------------------------------------------------------------------ all of them

    def _add_up(self, rule: Rule) -> None:
        """Answer a rule about single rows by what is known of each part."""
        found = [told for part in self.parts if (told := self.known[part.key].get(rule.text))]
        failing = sum(told["failing"] for told in found)
        way = self.chosen.ways.get(rule.text)
        how = (
            "sql"
            if rule.sql
            else "polars"
            if isinstance(way, Text)
            else "sorted"
            if isinstance(way, Unique)
            else "fused"
        )
        self.whole.answers[rule.text] = Answer(
            how=how if self.fresh else "remembered", failing=failing
        )
        if failing:
            self.whole.samples[rule.text] = [row for told in found for row in told["samples"]][
                :SAMPLES
            ]

    def _is_apart(self, rule: Rule) -> bool:
        """Say whether every part is known to have unique values, and no two parts can share one."""
        told = [self.known.get(part.key, {}).get(rule.text) for part in self.parts]
        if not all(told) or sum(t["nulls"] for t in told if t) > 1:
            return False
        spans = sorted((t["low"], t["high"]) for t in told if t and t["low"] is not None)
        return all(before[1] < after[0] for before, after in pairwise(spans))

    # ------------------------------------------------------------------------------------------ part by part

    def _tell_parts(self, rule: Rule) -> None:
        """Judge a rule part by part, if it says in which parts its failing rows are."""
        if not self.whole.answers[rule.text].failing:
            return
        found = self._attributed(rule)
        if found is None:
            return
        rows = {part.key: part.rows for part in self.parts}
        strange = sorted(found.failing.keys() - rows.keys() - self.held)
        if strange:
            told = (
                f"it fails for {strange[0] or 'no value'}, which is no part of {self.product.name}"
            )
            self.whole.answers[rule.text] = replace(self.whole.answers[rule.text], message=told)
            return
        counted = {key: count for key, count in found.failing.items() if key not in self.held}
        counts = [
            PartCount(part=key, failing=count, rows=rows[key])
            for key, count in sorted(counted.items())
        ]
        self._count(rule, counts, found)

    def _count(self, rule: Rule, counts: Sequence[PartCount], found: Attributed) -> None:
        """Take what a rule says of each part, but not of those that are held back, for what it says."""
        self.whole.counts[rule.text] = counts
        if self.held:
            answer = self.whole.answers[rule.text]
            values = [
                value
                for key, value in found.measured.items()
                if value is not None and key not in self.held
            ]
            measured = max(values, key=abs, default=None) if rule.compares else answer.measured
            failing = sum(count.failing for count in counts)
            self.whole.answers[rule.text] = replace(answer, failing=failing, measured=measured)
        failed, worst = (
            failed_parts(rule, counts),
            [count.part for count in worst_parts(rule, counts)],
        )
        self._sample(rule, [key for key in worst if key in failed] or worst)

    def _sample(self, rule: Rule, parts: Sequence[str]) -> None:
        """Let samples come from these parts, those of the first one first."""
        if not parts:
            self.whole.samples.pop(rule.text, None)
        elif rule in self.chosen.rows:
            rows = [row for key in parts for row in self.known[key][rule.text]["samples"]]
            self.whole.samples[rule.text] = rows[:SAMPLES]
        else:
            self.whole.samples[rule.text] = self.attribution.samples(rule, parts)

    def _attributed(self, rule: Rule) -> Attributed | None:
        """Return how many rows of each part fail a rule; None when it does not say of which part a row is."""
        if rule not in self.chosen.rows:
            return self.attribution.of(rule)
        if len(self.known) < len(self.parts):
            return None  # they could not be judged one by one
        known = {part.key: self.known[part.key].get(rule.text) for part in self.parts}
        return Attributed(failing={key: told["failing"] for key, told in known.items() if told})

    def _failed(self, results: Iterable[RuleResult]) -> tuple[str, ...]:
        """Return the parts that failed a rule which is judged part by part."""
        found: set[str] = set()
        for result in results:
            if result.status is Status.FAILED:
                found |= failed_parts(
                    self.whole.rules[result.text], self.whole.counts.get(result.text, ())
                )
        return tuple(part.key for part in self.parts if part.key in found)


def _together(parts: Sequence[PartEvidence]) -> StoredTable:
    """Return the rows of several parts as one table."""
    cuts: dict[Any, tuple[tuple[int, int], ...]] = {}
    for part in parts:
        for file, ranges in part.table.cuts.items():
            cuts[file] = (*cuts.get(file, ()), *ranges)
    return StoredTable(
        tuple(dict.fromkeys(file for part in parts for file in part.table.files)), cuts
    )
