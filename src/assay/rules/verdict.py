"""Judges one version, as a whole or part by part, and makes the verdict that is recorded."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct, field

from assay.catalog import Catalog
from assay.engines.damage import damage_reported, damaged
from assay.engines.duckdb import DuckDB
from assay.engines.tables import StoredTable
from assay.model import PartFindings, Product, Status, Verdict, Version
from assay.plan.ladder import outcome
from assay.plan.waivers import Waiver, let_through
from assay.rules.hiding import Evidence
from assay.rules.incremental.parts import Judgement, found_nothing, judge_parts, rules_digest
from assay.rules.incremental.totals import PartTotals
from assay.rules.judge import PartEvidence, judge
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

    def rule(
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


def remembered_by(
    product: Product,
    version: Version,
    sensitive: Collection[str],
    catalog: Catalog,
    seen: Version | None,
) -> tuple[str, Mapping[int, Mapping[str, Any]]]:
    """Return the digest of the rules that are remembered of a version's parts, and what is, by part.

    Of the parts of what readers have `seen` nothing is asked where its verdict says that nothing was found.
    """
    if not version.in_parts:
        return "", {}
    rules, ids = (
        rules_digest(product, version.columns, sensitive),
        [part.id for part in version.parts],
    )
    good: set[int] = set()
    if seen and seen.columns == version.columns and not seen.key.held:
        found = [
            v.results for v in catalog.verdicts(seen.id) if v.contract == product.contract.digest
        ]
        if any(found_nothing(product, seen.columns, results) for results in found):
            good = {part.id for part in seen.parts}
    nothing: Mapping[str, Any] = {}
    known = {id: nothing for id in ids if id in good}
    return rules, {**known, **catalog.judged([id for id in ids if id not in good], rules)}
