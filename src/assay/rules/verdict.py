"""Checks one version, as a whole or part by part, and returns the verdict to record."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from msgspec import Struct, field

from assay.engines.damage import damage_reported, damaged
from assay.engines.duckdb import DuckDB
from assay.facts import PartFindings, Status, Verdict, Version, worst_status
from assay.model import Product
from assay.plan.restatements import RestatedRows, with_restated
from assay.rules.answers import Answer
from assay.rules.evidence import Evidence
from assay.rules.identify import identified
from assay.rules.incremental.parts import Judgement, VersionParts, judge_parts
from assay.rules.judge import judge
from assay.rules.news import FoundRow
from assay.rules.schema import Schema


class JudgedVersion(Struct, frozen=True, kw_only=True):
    """The verdict on a version, and the findings in parts to record.

    `found` has the rows of `product` that fail rules, by the rule's text, if they are few.
    """

    verdict: Verdict
    judged: tuple[PartFindings, ...] = ()
    product: str = ""
    found: Mapping[str, Sequence[FoundRow]] = field(default_factory=dict)


class JudgeOrder(Struct, frozen=True, kw_only=True):
    """Everything that a version is judged by.

    `against` is the digest of the other tables that its rules read. `parts` is None for a version
    that is judged as a whole. `restated` says which failing rows may be published. `answers` are those
    that are known already, by the rule's text.
    """

    product: Product
    version: Version
    evidence: Evidence
    against: str
    run: str
    parts: VersionParts | None = None
    restated: Sequence[RestatedRows] = ()
    answers: Mapping[str, Answer] = field(default_factory=dict)

    def judge_version(
        self, engine: DuckDB, schema: Callable[[], Schema], clock: Callable[[], datetime]
    ) -> JudgedVersion:
        """Judge the version; raises an error for damaged files, and when memory or disk is full."""
        tables = [self.evidence.this, *(files.table for files in self.evidence.other_tables)]
        with damage_reported(tables):
            judgement = self._judge(engine, schema)
        if any(result.status is Status.ERROR for result in judgement.results):
            damage = damaged(tables)
            if damage:  # the rule failed because a file cannot be read
                raise damage
        results, failed_parts, reasons = with_restated(
            judgement.results, judgement.failed_parts, self.restated
        )
        results, found = identified(
            results,
            self.product,
            self.evidence,
            engine,
            schema,
            tables=judgement.tables,
        )
        verdict = Verdict(
            version=self.version.id,
            contract=self.product.contract.digest,
            against=self.against,
            status=worst_status(results),
            results=results,
            judged_at=clock(),
            run=self.run,
            restated=reasons,
            failed_parts=failed_parts,
        )
        return JudgedVersion(
            verdict=verdict, judged=judgement.findings, product=self.product.name, found=found
        )

    def _judge(self, engine: DuckDB, schema: Callable[[], Schema]) -> Judgement:
        if self.parts and self.parts.parts:
            return judge_parts(self.product, self.evidence, self.parts, engine, schema)
        results = judge(self.product, self.evidence, engine, schema, answers=self.answers)
        return Judgement(results=results)
