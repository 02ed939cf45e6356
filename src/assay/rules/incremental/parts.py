"""Checks a version in parts: rules about single rows in each part, others in all parts.

Findings in a part are recorded, because its rows never change. Values are unique in all parts when
they are unique in each, and no two parts can have the same value.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from assay.engines.duckdb import DuckDB, parquet
from assay.engines.quoting import identifier
from assay.engines.tables import StoredTable, joined_ranges
from assay.facts import PartCount, PartFindings, RuleResult, Status
from assay.model import THIS, Product, Rule
from assay.plan.parts import some_parts
from assay.rules.answers import Answer
from assay.rules.attribution import Attributed, Attribution
from assay.rules.compile import Text, Unique
from assay.rules.evidence import Evidence, PartEvidence
from assay.rules.incremental.remembered import RememberedRules
from assay.rules.incremental.totals import PartTotals, Totals
from assay.rules.judge import RuleJudge
from assay.rules.outcome import failed_parts, worst_parts
from assay.rules.quarantine import is_accounting, set_aside_by_part
from assay.rules.samples import SAMPLES
from assay.rules.schema import Schema
from assay.rules.uniqueness import count_repeated_rows

_AT_ONCE = 200  # parts in one query


class VersionParts(Struct, frozen=True, kw_only=True):
    """The parts of a version, with everything that is recorded of them.

    `rules` is the digest under which findings in parts are recorded, `totals` is what totals are
    put together from. `table_of` returns the files of a part by its key. Parts that are `held` back
    already do not count.
    """

    parts: Sequence[PartEvidence]
    rules: str
    totals: PartTotals
    table_of: Callable[[str], StoredTable]
    held: Collection[str] = ()


class Judgement(Struct, frozen=True, kw_only=True):
    """The result of each rule, the new findings to record, and the parts that failed a rule.

    `tables` has the parts that have all failing rows of a rule, of rules about single rows.
    """

    results: tuple[RuleResult, ...]
    findings: tuple[PartFindings, ...] = ()
    failed_parts: tuple[str, ...] = ()
    tables: Mapping[str, StoredTable] = field(default_factory=dict)


def judge_parts(
    product: Product,
    evidence: Evidence,
    parts: VersionParts,
    engine: DuckDB,
    schema: Callable[[], Schema],
) -> Judgement:
    """Return the result of each rule on a version in parts; raises as judge() does."""
    version_judge = RuleJudge(product, evidence, engine, schema, scope="of all parts")
    return _PartsJudge(version_judge, parts).run()


class _PartsJudge:
    """The findings in each part, and the judge of the whole version that they give answers to."""

    def __init__(self, version_judge: RuleJudge, version: VersionParts) -> None:
        self.version_judge, self.version, self.parts = version_judge, version, version.parts
        self.held = frozenset(version.held)
        self.attribution = Attribution(version_judge.queries, self.parts, version.table_of)
        sensitive = version_judge.evidence.sensitive.get(THIS, ())
        self.remembered = RememberedRules(
            version_judge.product, version_judge.evidence.columns, sensitive
        )
        self.fresh = [part for part in self.parts if part.remembered is None]
        self.findings: dict[str, dict[str, Any]] = {
            part.key: dict(part.remembered) for part in self.parts if part.remembered is not None
        }

    def run(self) -> Judgement:
        """Judge the new parts, then all of them."""
        if self.fresh and (self.remembered.row_rules or self.remembered.range_rules):
            self._judge_fresh()
        if self._all_judged:
            for rule in self.remembered.row_rules:
                self.version_judge.answers[rule.text] = self._summed(rule)
        for rule in self.remembered.range_rules:
            if self._is_unique(rule):
                self.version_judge.answers[rule.text] = Answer(how="sorted", failing=0)
        for rule in filter(is_accounting, self.version_judge.product.contract.rules):
            self.version_judge.answers[rule.text] = self._accounted()
        totals = Totals(self.version_judge.queries, self.version.totals)
        self.version_judge.answers |= totals.answer()
        self.version_judge.answer()
        if self.version_judge.product.holds_parts:
            for rule in self.version_judge.product.contract.rules:
                self.version_judge.answers[rule.text] = self._by_part(rule)
        results = self.version_judge.results()
        return Judgement(
            results=results,
            findings=(*self._new_findings(), *totals.new_findings()),
            failed_parts=self._failed_parts(results),
            tables=self._tables(results),
        )

    def _tables(self, results: Iterable[RuleResult]) -> dict[str, StoredTable]:
        """Return the parts that have failing rows, of rules whose findings in parts are recorded."""
        if not self._all_judged:
            return {}
        failing = {result.text for result in results if result.failing}
        return {
            rule.text: _union([self.version.table_of(key) for key in self._findings_of(rule)])
            for rule in self.remembered.row_rules
            if rule.text in failing and not rule.quarantines
        }

    @property
    def _all_judged(self) -> bool:
        return len(self.findings) == len(self.parts)

    def _new_findings(self) -> list[PartFindings]:
        return [
            PartFindings(part=part.id, rules=self.version.rules, results=self.findings[part.key])
            for part in self.fresh
            if part.key in self.findings
        ]

    # ------------------------------------------------------------------------------ new parts

    def _judge_fresh(self) -> None:
        """Judge the rows of new parts: all at once, then part by part where rows fail."""
        table = _union([part.table for part in self.fresh])
        judge = self._judge_of(self.fresh, table, self.remembered.row_rules)
        judge.answer()
        if any(answer.error for answer in judge.answers.values()):
            return  # there are no findings in a part that could not be judged
        self.findings |= {part.key: {} for part in self.fresh}
        for rule in self.remembered.row_rules:
            if not judge.answers[rule.text].failing:
                continue
            if rule.quarantines:
                self._count_asides(rule, judge)
                continue
            for part in self.fresh:
                self._judge_part(part, rule)
        for rule in self.remembered.range_rules:
            self._record_ranges(rule, table)

    def _judge_part(self, part: PartEvidence, rule: Rule) -> None:
        judge = self._judge_of([part], part.table, [rule])
        judge.answer()
        failing = judge.answers[rule.text].failing
        if failing:
            samples = list(judge.samples(rule))
            self.findings[part.key][rule.text] = {"failing": failing, "samples": samples}

    def _count_asides(self, rule: Rule, judge: RuleJudge) -> None:
        """Count the rows of each new part that were set aside by a rule."""
        asides = {
            part.key: part.aside
            for part in self.fresh
            if part.aside and part.rows_in != part.rows + part.lost
        }
        found = set_aside_by_part(judge.product, rule, judge.evidence, asides, judge.engine)
        for key, (failing, samples) in found.items():
            shown = list(judge.veiled(samples))
            self.findings[key][rule.text] = {"failing": failing, "samples": shown}

    def _judge_of(
        self, parts: Sequence[PartEvidence], table: StoredTable, rules: Iterable[Rule]
    ) -> RuleJudge:
        """Return a judge of some rules on the rows of some parts, which are in one table."""
        product, evidence = self.version_judge.product, self.version_judge.evidence
        contract = replace(product.contract, rules=tuple(rules))
        asides = [part.aside for part in parts if part.aside]
        return RuleJudge(
            replace(product, contract=contract),
            replace(
                evidence,
                this=table,
                rows=sum(part.rows for part in parts),
                rows_in=sum(part.rows_in or 0 for part in parts) if asides else None,
                quarantined=_union(asides) if asides else None,
            ),
            self.version_judge.engine,
            self.version_judge.schema,
        )

    def _record_ranges(self, rule: Rule, table: StoredTable) -> None:
        """Record the range of values in each new part, if values are unique in all of them."""
        way, value = self.remembered.unique_column(rule), self.remembered.range_value(rule)
        name = identifier(way.columns[0])
        with self.version_judge.engine.cursor() as cursor:
            if count_repeated_rows(cursor, way, table):
                return
            ranges: list[Any] = []
            for start in range(0, len(self.fresh), _AT_ONCE):
                queries = [
                    f"select {number}, min({value}), max({value}), "
                    f"count(*) - count({name}) {parquet(part.table)}"
                    for number, part in enumerate(self.fresh[start : start + _AT_ONCE], start)
                ]
                ranges += cursor.execute(" union all ".join(queries)).fetchall()
        for number, low, high, nulls in ranges:
            findings = self.findings[self.fresh[number].key]
            findings[rule.text] = {"low": low, "high": high, "nulls": nulls}

    # ------------------------------------------------------------------------------ all parts

    def _findings_of(self, rule: Rule) -> dict[str, Mapping[str, Any]]:
        """Return the findings of a rule by the key of the part, without parts that have none."""
        findings = {p.key: self.findings.get(p.key, {}).get(rule.text) for p in self.parts}
        return {key: finding for key, finding in findings.items() if finding}

    def _accounted(self) -> Answer:
        """Return the answer to the rule that every row of each part is published or set aside."""
        lost = {part.key: part.lost for part in self.parts if part.lost}
        message = f"rows of {some_parts(lost)} are neither, or both" if lost else ""
        measured = sum(map(abs, lost.values()))
        return Answer(how="schema", holds=not lost, measured=measured, message=message)

    def _summed(self, rule: Rule) -> Answer:
        """Return the answer of a rule about single rows, from the findings in each part."""
        findings = self._findings_of(rule).values()
        samples = [row for finding in findings for row in finding["samples"]]
        return Answer(
            how=self._how(rule) if self.fresh else "remembered",
            failing=sum(finding["failing"] for finding in findings),
            samples=samples[:SAMPLES],
        )

    def _how(self, rule: Rule) -> str:
        way = self.remembered.ways.get(rule.text)
        if rule.sql:
            return "sql"
        if isinstance(way, Text):
            return "polars"
        return "sorted" if isinstance(way, Unique) else "fused"

    def _is_unique(self, rule: Rule) -> bool:
        """Return whether values are unique in each part, and ranges of parts do not overlap."""
        ranges = list(self._findings_of(rule).values())
        if len(ranges) < len(self.parts) or sum(values["nulls"] for values in ranges) > 1:
            return False
        spans = sorted((r["low"], r["high"]) for r in ranges if r["low"] is not None)
        return all(before[1] < after[0] for before, after in pairwise(spans))

    # ------------------------------------------------------------------------------ part by part

    def _by_part(self, rule: Rule) -> Answer:
        """Return the answer to a rule, with failing rows of each part if rows name their part."""
        answer = self.version_judge.answers[rule.text]
        attributed = self._attributed(rule) if answer.failing else None
        if attributed is None:
            return answer
        rows = {
            part.key: (part.rows_in or part.rows) if rule.quarantines else part.rows
            for part in self.parts
        }
        unknown = sorted(attributed.failing.keys() - rows.keys() - self.held)
        if unknown:
            name, product = unknown[0] or "no value", self.version_judge.product.name
            return replace(answer, message=f"it fails for {name}, which is no part of {product}")
        counts = [
            PartCount(part=key, failing=failing, rows=rows[key])
            for key, failing in sorted(attributed.failing.items())
            if key not in self.held
        ]
        if self.held:
            answer = self._without_held(rule, answer, attributed)
        return replace(answer, counts=counts, samples=self._samples(rule, counts))

    def _attributed(self, rule: Rule) -> Attributed | None:
        """Return the failing rows of each part; None when it is unknown which part a row is in."""
        if rule not in self.remembered.row_rules:
            return self.attribution.of(rule)
        if not self._all_judged:
            return None
        findings = self._findings_of(rule)
        return Attributed(failing={key: finding["failing"] for key, finding in findings.items()})

    def _without_held(self, rule: Rule, answer: Answer, attributed: Attributed) -> Answer:
        """Return an answer that does not count the parts that are held back already."""
        failing = sum(n for key, n in attributed.failing.items() if key not in self.held)
        if not rule.compares:
            return replace(answer, failing=failing)
        values = [
            value
            for key, value in attributed.measured.items()
            if value is not None and key not in self.held
        ]
        return replace(answer, failing=failing, measured=max(values, key=abs, default=None))

    def _samples(self, rule: Rule, counts: Sequence[PartCount]) -> Sequence[Mapping[str, Any]]:
        """Return samples of the parts that fail a rule, or else of the worst parts."""
        failed, worst = failed_parts(rule, counts), worst_parts(rule, counts)
        parts = [count.part for count in worst if count.part in failed]
        parts = parts or [count.part for count in worst]
        if not parts:
            return ()
        if rule not in self.remembered.row_rules:
            return self.attribution.samples(rule, parts)
        findings = self._findings_of(rule)
        return [row for key in parts for row in findings[key]["samples"]][:SAMPLES]

    def _failed_parts(self, results: Iterable[RuleResult]) -> tuple[str, ...]:
        """Return the parts that failed a rule, in the order of the parts."""
        failed: set[str] = set()
        for result in results:
            if result.status is Status.FAILED:
                counts = self.version_judge.answers[result.text].counts
                failed |= failed_parts(self.version_judge.rules[result.text], counts)
        return tuple(part.key for part in self.parts if part.key in failed)


def _union(tables: Sequence[StoredTable]) -> StoredTable:
    """Return the rows of several parts as one table."""
    ranges_of: dict[Path, list[tuple[int, int]]] = {}
    for table in tables:
        for file, ranges in table.cuts.items():
            ranges_of.setdefault(file, []).extend(ranges)
    # One part may be the whole file, if the others in it have no rows.
    whole = {file for table in tables for file in table.files if file not in table.cuts}
    cuts = {f: joined_ranges(ranges) for f, ranges in ranges_of.items() if f not in whole}
    return StoredTable(tuple(dict.fromkeys(f for table in tables for f in table.files)), cuts)
