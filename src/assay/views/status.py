"""The status of a product: its published version, its state, and what is overdue."""

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar
from zoneinfo import ZoneInfo

from assay.facts import Version
from assay.model import Product, Rule
from assay.plan.parts import some_parts
from assay.plan.promise_state import State
from assay.views.freshness import FreshnessView
from assay.views.products import readers_of
from assay.views.results import (
    AwaitingView,
    HeldBackView,
    HeldView,
    PlanView,
    ReadersView,
    ResultKind,
    UnchangedView,
)
from assay.views.view import View
from assay.views.words.figures import totals_text
from assay.views.words.freshness import cause_line

_UP_TO_DATE, _STALE = "up to date", "stale"
_STATES = {
    ResultKind.UNCHANGED: _UP_TO_DATE,
    ResultKind.BUILD: _STALE,
    ResultKind.CHECK: _STALE,
    ResultKind.MAYBE: _STALE,
    ResultKind.PUBLISHED: _STALE,
}


class UndeclaredDecision(View, frozen=True, kw_only=True):
    """Takes the place of a decision for a product that is no longer declared."""

    product: str
    result: ResultKind


class StatusView(View, frozen=True, kw_only=True):
    """The decision for a product, its published version, its state, and why."""

    inline: ClassVar[tuple[str, ...]] = ("plan",)

    plan: PlanView | UndeclaredDecision
    state: str
    readers: ReadersView | None
    as_of: datetime | None
    freshness: str
    promise: FreshnessView | None
    reviews: tuple[str, ...]
    because: str


def status_of(
    product: Product,
    plan: PlanView,
    readers: ReadersView | None,
    now: datetime,
    *,
    notes: Sequence[str] = (),
    unfinished: bool = False,
    promise: FreshnessView | None = None,
    late_inputs: Sequence[FreshnessView] = (),
    awaited_by: str = "",
) -> StatusView:
    """Return the status of a product.

    `notes` say which of its inputs are held back, or do not match. `unfinished`: the last run
    began with the product and did not finish it. `promise` says how its promise stands, and
    `late_inputs` what above it is not there as promised; `awaited_by` is a product below it that
    is late and waits for newer data.
    """
    because = _because(plan, readers)
    because += notes
    if isinstance(plan.decision, UnchangedView):
        because += plan.decision.waived
    if unfinished and _STATES.get(plan.result) == _STALE:
        because.append("the last run did not finish it: `products retry` tries again, and says why")
    because += _why_late(promise, late_inputs, held_back=plan.result is ResultKind.HELD_BACK)
    if awaited_by:
        because.append(f"{awaited_by} waits for newer data than this has")
    reviews = [_overdue_review(rule) for rule in product.contract.overdue(now.date())]
    reviews += _late(product, now, readers.data_as_of if readers else None)
    return StatusView(
        plan=plan,
        state=_state(plan, readers.held_parts if readers else ())
        + _late_as(promise, late_inputs, awaited_by),
        readers=readers,
        as_of=readers.data_as_of if readers else None,
        freshness=str(product.freshness or ""),
        promise=promise,
        reviews=tuple(reviews),
        because="; ".join([*because, *reviews]),
    )


def status_of_undeclared(version: Version) -> StatusView:
    """Return the status of a published product that is no longer declared."""
    readers = readers_of(version, version.data_as_of)
    return StatusView(
        plan=UndeclaredDecision(product=version.product, result=ResultKind.UNDECLARED),
        state=str(ResultKind.UNDECLARED),
        readers=readers,
        as_of=readers.data_as_of,
        freshness="",
        promise=None,
        reviews=(),
        because=f"`products retire {version.product}` takes it away from readers",
    )


def _because(plan: PlanView, readers: ReadersView | None) -> list[str]:
    """Return why a product is not up to date."""
    because = list(plan.why)
    match plan.decision:
        case HeldView(waits_for=waits_for):
            because = list(waits_for.values())
        case HeldBackView(rules=rules):
            because = [rule.text for rule in rules if rule.holds_back]
        case AwaitingView(awaits=who, approved=approved, void=void):
            because = [f"waits for {who}", *(f"approved by {text}" for text in approved), *void]
    if plan.result is ResultKind.PUBLISHED:
        because = ["judged good, not released yet"]
    if plan.held_parts:
        parts = some_parts(readers.held_parts if readers else ())
        rules_of_parts = "; ".join(rule.text for rule in plan.held_by or ())
        because.append(f"held back: {parts} ({rules_of_parts})")
    if plan.changes:
        because.append(totals_text(plan.changes, "would change"))
    return because


def _state(plan: PlanView, held_parts: Sequence[str]) -> str:
    """Return the state of a product, with how many of its parts are held back."""
    if plan.pinned:
        return "pinned"
    state = _STATES.get(plan.result, str(plan.result))
    if not held_parts:
        return state
    parts = f"{len(held_parts)} part{'s' if len(held_parts) > 1 else ''} held back"
    return parts if state == _UP_TO_DATE else f"{state}, {parts}"


def _late_as(
    promise: FreshnessView | None, late_inputs: Sequence[FreshnessView], awaited_by: str
) -> str:
    """Return what follows the state of a product whose data is not there as promised."""
    if promise and promise.is_broken:
        return f", {promise.state}"
    if late_inputs:
        return ", an input is late"
    return f", too old for {awaited_by}" if awaited_by else ""


def _why_late(
    promise: FreshnessView | None, late_inputs: Sequence[FreshnessView], *, held_back: bool
) -> list[str]:
    """Return why a promise is, or may be, broken, and what is late beside that."""
    texts: list[str] = []
    named = set[str]()
    if promise and (promise.is_broken or promise.state is State.AT_RISK):
        causes = [c for c in promise.causes if not (held_back and c.name == promise.name)]
        texts = [f"{promise.state}: {cause_line(promise, cause)}" for cause in causes]
        named = {cause.name for cause in causes}
    for late in late_inputs:  # sources first
        if late.name not in named and named.isdisjoint(cause.name for cause in late.causes):
            why = "; ".join(cause_line(late, cause) for cause in late.causes)
            texts.append(f"{late.name} is {late.state}: {why}")
        named |= {late.name, *(cause.name for cause in late.causes)}
    return texts


def _overdue_review(rule: Rule) -> str:
    owner = f" ({rule.owner})" if rule.owner else ""
    return f"review of {rule.text!r} was due {rule.review_by}{owner}"


def _late(product: Product, now: datetime, latest: datetime | None) -> list[str]:
    """Return the rules on the age of the latest event that the published version fails now."""
    if latest is None:
        return []
    problems = []
    for rule in product.contract.rules:
        if rule.within is None or rule.dated.lower() != product.event_time.lower():
            continue
        moment = latest if latest.tzinfo else latest.replace(tzinfo=ZoneInfo(rule.tz))
        age = now - moment
        if age.total_seconds() > rule.within:
            hours = age.total_seconds() / 3600
            problems.append(f"{rule.text!r} is no longer so: it is {hours:,.0f} hours old")
    return problems
