"""What the catalog records of versions: what each was built from, by which code, how it was judged."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache, cached_property
from typing import Any, TypeVar

from msgspec import MsgspecError, Raw, Struct
from msgspec.json import decode

from assay.archive.form import (
    ApprovalRecord,
    CodeRecord,
    FileRecord,
    InputRecord,
    RestatementRecord,
    RuleRecord,
    RunRecord,
    VerdictRecord,
    WaiverRecord,
)
from assay.build.workspace import Workspace
from assay.catalog.codes import RecordedCode, text_digest
from assay.declare.code_texts import texts_of
from assay.errors import UsageError
from assay.facts import Pointer, RuleResult, Verdict, Version
from assay.model import Product, Rule, Source
from assay.sensitive import HIDDEN, masked, secret

_BIG = 2**63  # from here on, JSON's readers differ about whole numbers
T = TypeVar("T", Product, Source)


class Code(Struct, frozen=True, kw_only=True):
    """The code of a version: what evidence has of it, the texts of its entries, what it declares."""

    record: CodeRecord
    texts: Mapping[str, str] = {}
    product: Product | None = None
    sources: Mapping[str, Source] = {}


class Past:
    """What is recorded, read for one environment."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace, self._catalog = workspace, workspace.catalog
        self.run = cache(self._run)
        self._code_of_run = cache(self._catalog.codes.of_run)
        self._pointers = cache(self._pointers_at)
        graph = workspace.graph
        self._products = {*self._catalog.names(), *graph.products} - graph.sources.keys()

    # ------------------------------------------------------------------------------- built from

    def inputs(self, version: Version, release: int) -> dict[str, Version | None]:
        """Return the version of each input that is a product; None where it is not recorded.

        Of several with the same content, the one that was published as of the release.
        """
        return {
            name: self._with_content(name, digest, version, release)
            for name, digest in version.key.inputs.items()
            if name in self._products
        }

    def _with_content(self, name: str, digest: str, below: Version, release: int) -> Version | None:
        condition = "where product = ? and digest = ? order by seq desc"
        same = self._catalog.versions_where(condition, [name, digest])
        pointer = self._pointers(release).get(name)
        published = [v for v in same if pointer and v.id == pointer.version]
        earlier = [v for v in same if v.built_at <= below.built_at]
        return next(iter(published or earlier or same), None)

    def _pointers_at(self, release: int) -> Mapping[str, Pointer]:
        try:
            return self._catalog.pointers(self._workspace.environment, release)
        except UsageError:  # gc has removed what was before
            return {}

    def input_records(
        self, version: Version, found: Mapping[str, Version | None]
    ) -> tuple[InputRecord, ...]:
        """Return what a version was built from."""
        records = []
        for name, digest in sorted(version.key.inputs.items()):
            input = found.get(name)
            records.append(InputRecord(name=name, digest=digest, version=input.id if input else ""))
        return tuple(records)

    def _run(self, id: str) -> RunRecord:
        run = self._catalog.runs.recorded(id)
        if run is None:
            return RunRecord(id=id)
        return RunRecord(id=id, asked=run.asked, who=run.who, started_at=run.started_at)

    # ------------------------------------------------------------------------------------ code

    def code(self, version: Version) -> Code:
        """Return the code that a version was built by, as far as it is recorded."""
        name = version.product
        recorded = self._code_of_run(version.run)
        if recorded is not None and name in recorded.declared:
            return self._recorded(version, recorded)
        key = version.key.code
        now = self._workspace.graph.products.get(name)
        if now is not None and now.code.digest == key.digest and self._now is not None:
            return self._of(version, *self._now, "now")
        return Code(record=CodeRecord(digest=key.digest, reached=dict(key.reached)))

    @cached_property
    def _now(self) -> tuple[RecordedCode, Mapping[str, str]] | None:
        """The code of today, and its texts by digest; the versions of tools of then are not known."""
        texts = texts_of(self._workspace.project)
        if texts is None:
            return None
        files = {path: text_digest(text) for path, text in texts.files.items()}
        declared = {name: text_digest(text) for name, text in texts.declared.items()}
        by_digest = {text_digest(t): t for t in (*texts.files.values(), *texts.declared.values())}
        code = RecordedCode(digest=texts.digest, tools={}, files=files, declared=declared)
        return code, by_digest

    def _recorded(self, version: Version, recorded: RecordedCode) -> Code:
        wanted = {*recorded.files.values(), recorded.declared[version.product]}
        wanted |= {recorded.declared[n] for n in version.key.inputs if n in recorded.declared}
        return self._of(version, recorded, self._catalog.codes.texts(wanted), "when it was built")

    def _of(
        self, version: Version, code: RecordedCode, texts: Mapping[str, str], recorded: str
    ) -> Code:
        text = texts.get(code.declared[version.product], "")
        product, files = declared(text, Product), {}
        key = version.key.code
        for path in reached_files(product, key.reached, code.files):
            if code.files[path] in texts:
                files[path] = masked(texts[code.files[path]])
        entries = {path: f"code/{text_digest(text)[:16]}/{path}" for path, text in files.items()}
        return Code(
            record=CodeRecord(
                digest=key.digest,
                reached=dict(key.reached),
                recorded=recorded,
                sql=masked(product.sql) if product else "",
                files=tuple(
                    FileRecord(
                        path=path,
                        bytes=len(text.encode()),
                        sha256=text_digest(text),
                        entry=entries[path],
                    )
                    for path, text in files.items()
                ),
                tools=code.tools,
                declared=Raw(masked(text).encode()) if text else Raw(b"null"),
            ),
            texts={entries[path]: text for path, text in files.items()},
            product=product,
            sources={
                name: source
                for name in version.key.inputs
                if (source := declared(texts.get(code.declared.get(name, ""), ""), Source))
            },
        )

    # --------------------------------------------------------------------------------- judged

    def verdicts(
        self, version: Version, product: Product | None, hidden: frozenset[str], until: datetime
    ) -> tuple[VerdictRecord, ...]:
        """Return the verdicts on a version by a moment, oldest first."""
        found = self._catalog.verdicts(version.id, self._workspace.environment)
        rules = {rule.text: rule for rule in product.contract.rules} if product else {}
        contract = product.contract.digest if product else ""
        return tuple(
            VerdictRecord(
                status=str(verdict.status),
                judged_at=verdict.judged_at,
                contract=verdict.contract,
                run=self.run(verdict.run),
                rules=tuple(
                    _rule(r, rules.get(r.text) if verdict.contract == contract else None, hidden)
                    for r in verdict.results
                ),
                restated=verdict.restated,
            )
            for verdict in sorted(found, key=_order)
            if verdict.judged_at <= until
        )

    def waivers(
        self, version: Version, verdicts: tuple[VerdictRecord, ...], until: datetime
    ) -> tuple[WaiverRecord, ...]:
        """Return the waivers that let something of a version through by a moment."""
        used = {id for verdict in verdicts for rule in verdict.rules for id in rule.waived_by}
        declared_now = self._workspace.graph.products.get(version.product)
        found = {w.id: w for w in (declared_now.waivers if declared_now else ())}
        found |= {w.id: w for w in self._catalog.waivers(self._workspace.environment)}
        return tuple(
            WaiverRecord(
                id=waiver.id,
                rule=waiver.rule,
                tolerates=waiver.tolerates,
                because=waiver.because,
                author=waiver.author,
                approved_by=waiver.approved_by,
                until=waiver.until,
                at=waiver.at,
                withdrawn=waiver.withdrawn
                if waiver.withdrawn and waiver.withdrawn <= until
                else None,
            )
            for id, waiver in sorted(found.items())
            if id in used
        )

    def approvals(self, version: Version, until: datetime) -> tuple[ApprovalRecord, ...]:
        """Return who agreed that a version is published, by a moment."""
        return tuple(
            ApprovalRecord(
                approver=approval.approver,
                because=approval.because,
                author=approval.author,
                at=approval.at,
                release=approval.release,
            )
            for approval in self._catalog.approvals.of(self._workspace.environment)
            if approval.version == version.id
            and not approval.withdrawn
            and (approval.at is None or approval.at <= until)
        )

    def restatements(self, version: Version) -> tuple[RestatementRecord, ...]:
        """Return the settled rows of a version that were allowed to change."""
        return tuple(
            RestatementRecord(
                rule=rows.rule,
                parts=tuple(sorted(rows.row_digests)),
                because=rows.because,
                who=rows.who,
                at=rows.at,
            )
            for rows in self._catalog.restated(self._workspace.environment)
            if rows.version == version.id
        )


def _order(verdict: Verdict) -> tuple[datetime, bool]:
    return verdict.judged_at, verdict.passed


def declared(text: str, kind: type[T]) -> T | None:
    """Return what a recorded declaration says; None for one that this Assay cannot read."""
    try:
        return decode(text, type=kind) if text else None
    except MsgspecError:
        return None


def reached_files(
    product: Product | None, reached: Mapping[str, str], files: Mapping[str, str]
) -> Iterator[str]:
    """Yield the files of code that a product is declared in, or that its code reaches."""
    for path in sorted(files):
        module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        is_reached = any(n == module or n.startswith(f"{module}.") for n in reached)
        if is_reached or (product is not None and product.where.file == path):
            yield path


# --------------------------------------------------------------------------------------- rules


def _rule(result: RuleResult, rule: Rule | None, hidden: frozenset[str]) -> RuleRecord:
    limits = []
    if rule and rule.warn_above:
        limits.append(f"warns above {rule.warn_above}")
    if rule and rule.fail_above != "0":
        limits.append(f"fails above {rule.fail_above}")
    return RuleRecord(
        name=result.text,
        status=str(result.status),
        severity=str(result.severity),
        because=result.because or (rule.because if rule else ""),
        owner=result.owner or (rule.owner if rule else ""),
        dimension=result.dimension,
        demands=masked(_demands(rule)) if rule else "",
        tolerates=result.threshold or ", ".join(limits),
        measured=plain(result.measured),
        failing=result.failing,
        rows=result.rows,
        samples=tuple(_shown(sample, hidden) for sample in result.samples),
        message=masked(result.message),
        how=result.how,
        waived=result.waived,
        waived_by=result.waived_by,
    )


def _demands(rule: Rule) -> str:
    """Return what a rule demands: its query, or the check with its arguments."""
    if rule.sql:
        return rule.sql
    if rule.demand is None:
        return ""
    arguments = ", ".join(f"{n} {v}" for n, v in rule.demand.arguments.items())
    return " ".join(filter(None, (rule.demand.column, rule.demand.kind, arguments)))


def _shown(sample: Mapping[str, Any], hidden: frozenset[str]) -> dict[str, Any]:
    secrets = secret(sample, hidden)
    return {n: HIDDEN if n in secrets else plain(v) for n, v in sample.items()}


def plain(value: Any) -> Any:
    """Return a value as JSON that every reader takes for the same: long numbers become text."""
    if isinstance(value, dict):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    is_long = isinstance(value, int) and not isinstance(value, bool) and abs(value) >= _BIG
    return str(value) if is_long else value
