"""Builds the views of products from decisions, the graph and the recorded facts."""

import re
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import Struct

from assay.approvals import Approval
from assay.decisions import (
    AwaitApproval,
    Blocked,
    Build,
    Check,
    Decision,
    Held,
    Keep,
    Maybe,
    Publish,
    Waive,
)
from assay.events import (
    Busy,
    CannotBeKept,
    End,
    Failed,
    Left,
    Result,
    Retrying,
    Unfinished,
    WaitsForMemory,
    held_parts,
)
from assay.facts import RuleResult, Status, UndeclaredColumn, Verdict, Version
from assay.model import PREVIOUS, THIS, Product, Rule, Severity
from assay.plan.as_of import AsOf
from assay.plan.calendars import DaysUnknown
from assay.plan.digests import key_of
from assay.plan.graph import Graph
from assay.plan.observed import Facts
from assay.plan.verdicts import what_changes
from assay.plan.waivers import waived_rules
from assay.plan.windows import window_of
from assay.sensitive import HIDDEN, secret
from assay.times import local
from assay.views.figures import FiguresView, figures_view
from assay.views.results import (
    NO_ROW,
    AwaitingView,
    BuildView,
    BusyView,
    CheckView,
    DecisionView,
    FailedPart,
    FailedView,
    HeldBackView,
    HeldPart,
    HeldView,
    LateView,
    LeftView,
    MaybeView,
    PartsBuilt,
    PartsToBuild,
    PlanView,
    PublishedView,
    ReadersView,
    ResultKind,
    ResultView,
    RetryingView,
    RuleView,
    UnchangedView,
    UndeclaredColumnView,
    UnfinishedView,
    WaitingView,
)
from assay.views.words.numbers import size
from assay.views.words.whole import whole_because, whole_hint

# Suffixes that a query which compares adds to the names of the columns that it returns.
_COMPARED = re.compile(r"_(before|after|difference)_*$")
_KINDS: Mapping[type, ResultKind] = {
    PublishedView: ResultKind.PUBLISHED,
    UnchangedView: ResultKind.UNCHANGED,
    HeldBackView: ResultKind.HELD_BACK,
    AwaitingView: ResultKind.AWAITING,
    HeldView: ResultKind.HELD,
    FailedView: ResultKind.FAILED,
    LeftView: ResultKind.LEFT,
    BuildView: ResultKind.BUILD,
    CheckView: ResultKind.CHECK,
    MaybeView: ResultKind.MAYBE,
    UnfinishedView: ResultKind.UNFINISHED,
    BusyView: ResultKind.BUSY,
}


def undeclared_column(column: UndeclaredColumn) -> UndeclaredColumnView:
    """Return the view of a column that its source does not declare."""
    return UndeclaredColumnView(
        source=column.source.removesuffix("__files"),
        column=column.name,
        part=column.part,
        file=column.file,
    )


class ProductViews(Struct, frozen=True):
    """Builds views of the products of a graph, from the facts of one environment.

    `as_of` says how far the data of versions reaches; without it, it is as it was recorded.
    With `now`, consumers are shown with the moment at which the next promise falls due.
    """

    graph: Graph
    facts: Facts
    as_of: AsOf | None = None
    now: datetime | None = None

    def result(self, result: Result, release: int | None = None) -> ResultView:
        """Return the view of a result; `release` is the release that published the product."""
        plan = self.plan(result.product, result.end, result.partial_version)
        parts_held = plan.held_parts
        if result.unbuilt:
            parts_held = tuple(part for part in parts_held or () if part.part not in result.unbuilt)
        return ResultView(
            product=plan.product,
            result=plan.result,
            held_parts=parts_held,
            held_by=plan.held_by,
            affects=plan.affects,
            changes=plan.changes,
            decision=plan.decision,
            reasons=() if plan.why else tuple(map(str, result.reasons)),
            failed_parts=tuple(
                FailedPart(part=part, error=end.error, detail=end.detail, tries=end.tries)
                for part, end in result.unbuilt.items()
            ),
            parts=(
                PartsBuilt(built=result.parts_built[0], of=result.parts_built[1])
                if result.parts_built
                else None
            ),
            undeclared=result.undeclared,
            undeclared_columns=tuple(map(undeclared_column, result.undeclared_columns)),
            built=result.built,
            judged=result.judged,
            seconds=result.seconds,
            release=release,
        )

    def retrying(self, event: Retrying) -> RetryingView:
        """Return the view of a build that will be tried again."""
        return RetryingView(
            product=event.product,
            result=ResultKind.RETRYING,
            error=event.error,
            in_seconds=round(event.seconds, 1),
            number=event.number,
            of=event.of,
        )

    def late(self, event: CannotBeKept) -> LateView:
        """Return the view of a promise that will not be kept."""
        freshness = self.graph.products[event.product].freshness
        tz = freshness.tz if freshness else "UTC"
        return LateView(
            product=event.product,
            result=ResultKind.LATE,
            due=event.due.astimezone(ZoneInfo(tz)),
            likely=event.likely.astimezone(ZoneInfo(tz)),
            demoted=event.waits,
        )

    def waiting(self, event: WaitsForMemory) -> WaitingView:
        """Return the view of a product that waits for memory."""
        return WaitingView(
            product=event.product,
            result=ResultKind.WAITING,
            needs_bytes=event.needs,
            free_bytes=event.free,
            beside=event.beside,
        )

    def planned(self, name: str, decision: Decision) -> PlanView:
        """Return the view of what a run would do for a product."""
        view = self.plan(name, decision)
        if view.result is not ResultKind.PUBLISHED:
            return view
        return view.to_publish("judged good before; not built again")

    def plan(self, name: str, end: End, checked_version: Version | None = None) -> PlanView:
        """Return the view of a decision.

        `checked_version` is the version that was checked before parts were held back, if known.
        """
        decision = self._decision(name, end)
        digests = held_parts(end)
        if not digests:
            return PlanView(
                product=name,
                result=_KINDS[type(decision)],
                decision=decision,
                changes=self.changes(name, end),
            )
        return PlanView(
            product=name,
            result=_KINDS[type(decision)],
            held_parts=tuple(
                HeldPart(part=part, readers_keep_before=bool(digest))
                for part, digest in digests.items()
            ),
            held_by=self._held_by(name, end, checked_version),
            affects=self.affected(name),
            decision=decision,
            changes=self.changes(name, end),
        )

    def changes(self, name: str, end: End) -> FiguresView | None:
        """Return what a version that is held back would change, or a restated one changed."""
        pair = what_changes(end, self.facts)
        figures = self.facts.difference(pair[0].id, pair[1].id) if pair else None
        return figures_view(figures, self.graph.sensitive(name)) if figures else None

    def readers(self, name: str) -> ReadersView | None:
        """Return the published version of a product, or None."""
        pointer = self.facts.pointer(name)
        if pointer is None:
            return None
        version = self.facts.version(pointer.version)
        return readers_of(version, self._reached(version))

    def _reached(self, version: Version) -> datetime | None:
        return self.as_of.of_version(version) if self.as_of else version.data_as_of

    def affected(self, name: str) -> tuple[str, ...]:
        """Return the consumers of a product and of its downstream, each with what they decide."""
        affected = {name, *self.graph.downstream(name)}
        decisions: dict[str, list[str]] = {}
        for product_name in self.graph.order:
            if product_name not in affected:
                continue
            product = self.graph.products[product_name]
            due = self._due(product)
            for consumer in product.consumers:
                texts = decisions.setdefault(consumer.name, [])
                if consumer.decides:
                    texts.append(f"{consumer.decides}{due}")
        return tuple(
            f"{consumer} ({'; '.join(dict.fromkeys(texts))})" if texts else consumer
            for consumer, texts in decisions.items()
        )

    def _due(self, product: Product) -> str:
        """Return when the next promise of a product falls due, as it continues a sentence."""
        if product.freshness is None or self.now is None:
            return ""
        readers = self.readers(product.name)
        window = window_of(product.freshness, self.graph.calendars)
        with suppress(DaysUnknown):
            if promise := window.next(self.now, readers.data_as_of if readers else None):
                due = local(promise.due, window.tz)
                is_today = due.date() == local(self.now, window.tz).date()
                return f", due {due:%H:%M}" if is_today else f", due {due:%Y-%m-%d %H:%M}"
        return ""

    def with_held_inputs(self, names: Iterable[str]) -> dict[str, list[str]]:
        """Return the products downstream of these that depend on held parts, with those inputs."""
        inputs: dict[str, list[str]] = {}
        for name in names:
            pointer = self.facts.pointer(name)
            if pointer and self.facts.version(pointer.version).key.held:
                for below in self.graph.downstream(name):
                    inputs.setdefault(below, []).append(name)
        return inputs

    # ------------------------------------------------------------------------------- decisions

    def _decision(self, name: str, end: End) -> DecisionView:
        match end:
            case Publish(version=version, verdict=verdict, approvals=approvals):
                return PublishedView(
                    version=version.id,
                    rows=version.rows,
                    size=size(version),
                    verdict=verdict.status,
                    rule_count=len(verdict.results),
                    rules=self._rules(name, verdict),
                    data_as_of=version.data_as_of,
                    approved=tuple(map(approval_text, approvals)),
                    same=self._is_same(version),
                )
            case Keep(version=version, pinned=pinned, waived=waived):
                return UnchangedView(
                    version=version.id,
                    rows=version.rows,
                    pinned=pinned,
                    data_as_of=self._reached(version),
                    waived=waived,
                )
            case Blocked():
                return self._held_back(name, end)
            case AwaitApproval():
                return self._awaiting(name, end)
            case Held() | Failed() | Unfinished() | Busy() | Left():
                return self._without_version(name, end)
            case Build() | Maybe() | Check() | Waive():
                return self._to_do(name, end)
        raise AssertionError(f"{type(end).__name__} is no way to come out")

    def _is_same(self, version: Version) -> bool:
        """Return whether the version that was published before has the same content."""
        pointer = self.facts.pointer(version.product)
        if pointer is None:
            return False
        before = pointer.previous if pointer.version == version.id else pointer.version
        return bool(before) and self.facts.version(before).digest == version.digest

    def _held_back(self, name: str, blocked: Blocked) -> HeldBackView:
        product, verdict = self.graph.products[name], blocked.verdict
        return HeldBackView(
            version=blocked.version.id,
            rows=blocked.version.rows,
            verdict=verdict.status,
            rule_count=len(verdict.results),
            rules=self._rules(name, verdict),
            readers=self.readers(name),
            affects=self.affected(name),
            whole_because=whole_because(blocked),
            whole_hint=whole_hint(product, blocked),
        )

    def _awaiting(self, name: str, awaiting: AwaitApproval) -> AwaitingView:
        version, verdict = awaiting.version, awaiting.verdict
        return AwaitingView(
            version=version.id,
            rows=version.rows,
            size=size(version),
            verdict=verdict.status,
            rule_count=len(verdict.results),
            rules=self._rules(name, verdict),
            approvers=awaiting.approvers,
            needed=awaiting.needed,
            missing=awaiting.missing,
            awaits=awaiting.waits_for,
            approved=tuple(map(approval_text, awaiting.given)),
            void=awaiting.void,
            readers=self.readers(name),
            affects=self.affected(name),
        )

    def _without_version(
        self, name: str, end: Held | Failed | Unfinished | Busy | Left
    ) -> DecisionView:
        if isinstance(end, Left):
            return LeftView()
        readers = self.readers(name)
        match end:
            case Held(by=by):
                return HeldView(waits_for=dict(by), readers=readers)
            case Failed(error=error, detail=detail, tries=tries):
                return FailedView(error=error, detail=detail, tries=tries, readers=readers)
            case Unfinished(parts_built=count, of=of):
                return UnfinishedView(parts_there=count, of=of, readers=readers)
            case Busy(holder=holder):
                return BusyView(
                    run=holder.run,
                    host=holder.host,
                    pid=holder.pid,
                    since=holder.since,
                    because=f"another run builds it: {holder}",
                    readers=readers,
                )

    def _to_do(self, name: str, end: Build | Maybe | Check | Waive) -> DecisionView:
        match end:
            case Build(reasons=reasons, part_digests=digests):
                return BuildView(
                    reasons=tuple(map(str, reasons)), parts=self._parts_to_build(name, digests)
                )
            case Maybe(inputs=inputs, part_digests=digests):
                return MaybeView(
                    reasons=(f"depends on what becomes of {', '.join(inputs)}",),
                    parts=self._parts_to_build(name, digests),
                )
            case Waive(version=version, verdict=verdict):
                return CheckView(version=version.id, reasons=waived_rules(verdict))
            case Check(version=version):
                pointer = self.facts.pointer(name)
                is_published = pointer is not None and pointer.version == version.id
                why = (
                    "its rules, or what they read, changed"
                    if is_published
                    else "built, not judged under today's rules yet"
                )
                return CheckView(version=version.id, reasons=(why,))

    def _parts_to_build(self, name: str, digests: Mapping[str, str]) -> PartsToBuild | None:
        """Return the parts to build, with a time estimated from the parts of the newest version."""
        if not digests:
            return None
        missing = tuple(key for key, digest in digests.items() if not digest)
        latest = self.facts.latest(name) if missing else None
        seconds = [part.seconds for part in latest.parts if part.seconds] if latest else []
        about = round(sum(seconds) / len(seconds) * len(missing), 2) if seconds else None
        return PartsToBuild(to_build=missing, of=len(digests), about_seconds=about)

    # ----------------------------------------------------------------------------------- rules

    def checked_rules(self, name: str, verdict: Verdict) -> tuple[RuleView, ...]:
        """Return the rules that a verdict is about, with owners and reasons as declared today."""
        declared = {rule.text: rule for rule in self.graph.products[name].contract.rules}
        return tuple(
            _rule_view(
                result, declared.get(result.text), self._hidden(name, declared.get(result.text))
            )
            for result in verdict.results
        )

    def _rules(self, name: str, verdict: Verdict) -> tuple[RuleView, ...]:
        """Return the rules that failed, warn or could not be checked."""
        news = {Status.FAILED, Status.ERROR, Status.WARNING}
        if not any(result.status in news for result in verdict.results):
            return ()
        return tuple(rule for rule in self.checked_rules(name, verdict) if rule.status in news)

    def _held_by(
        self, name: str, end: End, checked_version: Version | None
    ) -> tuple[RuleView, ...]:
        """Return the rules that failed for the parts that are held back."""
        assert isinstance(end, Publish | Keep)
        key = end.version.key
        if checked_version is None:
            checked_version = self.facts.find(name, key_of(key.code, key.inputs).digest)
        contract = self.graph.products[name].contract.digest
        verdict = self.facts.failed(checked_version.id, contract) if checked_version else None
        if verdict is None:
            return ()
        failed = {result.text for result in verdict.results if result.status is Status.FAILED}
        return tuple(rule for rule in self._rules(name, verdict) if rule.text in failed)

    def _hidden(self, name: str, rule: Rule | None) -> frozenset[str]:
        """Return the patterns of sensitive columns of a rule's inputs, as declared today."""
        product = self.graph.products[name]
        inputs = {name, *product.rule_inputs}
        if rule and not rule.demand:
            inputs = {i.name for i in rule.inputs}
        inputs = {name if i in {THIS, PREVIOUS} else i for i in inputs}
        return frozenset[str]().union(*map(self.graph.sensitive, inputs))


def approval_text(approval: Approval) -> str:
    """Return who approved, and why; who recorded it where that is another name."""
    by = "" if approval.where else f" (recorded by {approval.author})"
    return f"{approval.approver}{by if approval.author else ''}: {approval.because}"


def readers_of(version: Version, data_as_of: datetime | None) -> ReadersView:
    """Return the view of a published version, whose data reaches this time."""
    return ReadersView(
        version=version.id,
        rows=version.rows if version.columns else None,
        held_parts=tuple(version.key.held),
        data_as_of=data_as_of,
    )


def _rule_view(result: RuleResult, rule: Rule | None, hidden: Collection[str]) -> RuleView:
    """Return the view of a rule's result; owner, reason and dimension are those declared today."""
    declared: RuleResult | Rule = rule or result
    return RuleView(
        text=result.text,
        status=result.status,
        severity=result.severity,
        dimension=declared.dimension,
        because=declared.because,
        owner=declared.owner,
        failing=result.failing,
        rows=result.rows,
        measured=result.measured,
        threshold=result.threshold or _no_row(result),
        method=result.how,
        samples=_without_hidden(result.samples, hidden),
        message=result.message,
        parts=result.part_counts,
        where=str(rule.where) if rule else None,
        waived=result.waived,
        closes=rule.closes if rule else None,
        new=result.new,
        known=sum(map(len, result.known.values())) if result.new is not None else None,
        known_since=datetime.fromisoformat(min(result.known)) if result.known else None,
    )


def _no_row(result: RuleResult) -> str:
    """Return the limit of a rule that counts rows and tolerates none; '' for others."""
    if result.failing is None or result.measured is not None:
        return ""
    return f"fails {NO_ROW}" if result.severity is Severity.ERROR else f"warns {NO_ROW}"


def _without_hidden(
    samples: Iterable[Mapping[str, Any]], patterns: Collection[str]
) -> tuple[Mapping[str, Any], ...]:
    """Return sampled rows, with hidden values in columns whose names match a pattern."""
    columns = {name: _COMPARED.sub("", name) for sample in samples for name in sample}
    hidden = {
        name for name, column in columns.items() if patterns and secret([name, column], patterns)
    }
    return tuple(
        {name: HIDDEN if name in hidden else value for name, value in sample.items()}
        for sample in samples
    )
