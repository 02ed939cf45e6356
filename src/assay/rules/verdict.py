"""Judges one version, as a whole or part by part, and makes the verdict that is recorded."""

from collections.abc import Callable, Sequence
from datetime import datetime

from msgspec import Struct, field

from assay.engines.damage import damage_reported, damaged
from assay.engines.duckdb import DuckDB
from assay.engines.tables import StoredTable
from assay.model import PartFindings, Product, Status, Verdict, Version
from assay.plan.verdicts import outcome
from assay.plan.waivers import Waiver, let_through
from assay.rules.evidence import Evidence, PartEvidence
from assay.rules.incremental.parts import Judgement, judge_parts
from assay.rules.incremental.totals import PartTotals
from assay.rules.judge import judge
from assay.rules.schema import Schema


class JudgedVersion(Struct, frozen=True, kw_only=True):
    """A verdict, and what is to be remembered of parts besides."""

    verdict: Verdict
    judged: tuple[PartFindings, ...] = ()


class JudgeOrder(Struct, frozen=True, kw_only=True):
    """What one version is judged by; `against` is the digest of what its rules read besides it.

    `parts` are those of a product in parts, `rules` the digest of the rules that are remembered of them; `tallies` is
    what its totals are put together from, `table_of` says where a part is read, and
    `waivers` which failing rows may go out.
    """

    product: Product
    version: Version
    evidence: Evidence
    against: str
    run: str
    parts: Sequence[PartEvidence] = ()
    rules: str = ""
    tallies: PartTotals = field(default_factory=PartTotals)
    table_of: Callable[[str], StoredTable] = lambda _: StoredTable(())
    waivers: Sequence[Waiver] = ()

    def judge_version(
        self, engine: DuckDB, schema: Callable[[], Schema], clock: Callable[[], datetime]
    ) -> JudgedVersion:
        """Judge it; raises what is the machinery's failure, and no verdict."""
        tables = [self.evidence.this, *(feed.table for feed in self.evidence.others)]
        with damage_reported(tables):
            found = self._judge(engine, schema)
        if any(r.status is Status.ERROR for r in found.results) and (told := damaged(tables)):
            raise told  # a file that cannot be read is no fault of a rule's
        results, failed_parts, restated = let_through(
            found.results, found.failed_parts, self.waivers
        )
        verdict = Verdict(
            version=self.version.id,
            contract=self.product.contract.digest,
            against=self.against,
            status=outcome(results),
            results=results,
            judged_at=clock(),
            run=self.run,
            restated=restated,
            failed_parts=failed_parts,
        )
        judged = {(self.rules, id): told for id, told in found.judged.items()} | dict(found.tallied)
        remember = (
            PartFindings(part=id, rules=rules, results=told) for (rules, id), told in judged.items()
        )
        return JudgedVersion(verdict=verdict, judged=tuple(remember))

    def _judge(self, engine: DuckDB, schema: Callable[[], Schema]) -> Judgement:
        if self.parts:
            return judge_parts(
                self.product,
                self.evidence,
                self.parts,
                engine,
                schema,
                tallies=self.tallies,
                table_of=self.table_of,
                held=self.version.key.held,
            )
        return Judgement(results=judge(self.product, self.evidence, engine, schema))
