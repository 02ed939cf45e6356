"""What a product is now, in sentences for people who decide from it."""

from datetime import datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from assay.facts import Verdict, Version, short
from assay.model import Product
from assay.plan.parts import some_parts
from assay.plan.promise_state import State
from assay.views.results import (
    AwaitingView,
    BusyView,
    FailedView,
    HeldBackView,
    HeldView,
    PlanView,
    ReadersView,
    ResultKind,
    UnchangedView,
)
from assay.views.status import StatusView
from assay.views.view import View
from assay.views.words.figures import totals_text
from assay.views.words.freshness import expected_line, standing_line
from assay.views.words.rules import measure

_FEW = 3  # rules that a sentence names
_WAITING = {ResultKind.HELD_BACK, ResultKind.AWAITING, ResultKind.HELD, ResultKind.FAILED}


class Tone(StrEnum):
    """How good it is: what a page shows as a colour and as a word."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"
    NOTHING = "nothing"


class NowView(View, frozen=True, kw_only=True):
    """What readers see of a product now, what is wrong with it, and who is affected.

    - `word`: the state in a word or two, as `products status` shows it.
    - `readers`: which figures readers see.
    - `trouble`: what is wrong; () if nothing is.
    - `expected`: when newer figures are likely there; '' if nobody can tell, or none are due.
    - `affects`: the consumers that are affected, each with what it decides.
    - `promise`: how the promise of freshness stands; '' for none.
    """

    product: str
    tone: Tone
    word: str
    readers: str
    trouble: tuple[str, ...]
    expected: str
    affects: tuple[str, ...]
    promise: str


class HeldBack(View, frozen=True, kw_only=True):
    """A version that is held back, with the verdict that holds it back."""

    version: Version
    verdict: Verdict


def now_of(
    status: StatusView, product: Product, now: datetime, held: HeldBack | None = None
) -> NowView:
    """Return what a product is now; `held` is the version that is held back, if one is."""
    plan, tz = status.plan, product.freshness.tz if product.freshness else "UTC"
    assert isinstance(plan, PlanView)
    trouble = [*_trouble(plan, held, ZoneInfo(tz)), *_held_parts(plan)]
    if isinstance(plan.decision, UnchangedView):
        trouble += plan.decision.waived
    if plan.changes:
        trouble.append(f"{totals_text(plan.changes, 'Would change')}.")
    trouble += status.reviews
    if status.because and not trouble:
        trouble.append(f"{status.because}.")
    promise = standing_line(status.promise, now) if status.promise else ""
    decision = plan.decision
    affects = (
        decision.affects
        if isinstance(decision, HeldBackView | AwaitingView)
        else plan.affects or ()
    )
    return NowView(
        product=product.name,
        tone=tone_of(status),
        word=status.state,
        readers=_readers(status.readers, status.as_of),
        trouble=tuple(trouble),
        expected=expected_line(status.promise, now) if status.promise else "",
        affects=affects,
        promise=promise,
    )


def _readers(readers: ReadersView | None, as_of: datetime | None) -> str:
    if readers is None:
        return "Nothing is published yet."
    if as_of:
        return f"You see {as_of:%A}'s figures ({as_of:%Y-%m-%d})."
    return f"You see version {short(readers.version)}."


def _trouble(plan: PlanView, held: HeldBack | None, zone: ZoneInfo) -> list[str]:
    match plan.decision:
        case HeldBackView(rules=rules):
            failed = [rule for rule in rules if rule.holds_back]
            names = [f"{rule.text}{measure(rule)}" for rule in failed[:_FEW]]
            if len(failed) > _FEW:
                names.append(f"and {len(failed) - _FEW} more rules")
            whose = "Newer figures are held back"
            if held and held.version.data_as_of:
                day = held.version.data_as_of
                whose = f"{day:%A}'s figures ({day:%Y-%m-%d}) are held back"
            since = ""
            if held:
                since = f" since {held.verdict.judged_at.astimezone(zone):%Y-%m-%d %H:%M} {zone}"
            return [f"{whose}{since}: {'; '.join(names)}."]
        case AwaitingView(awaits=who, approved=approved, void=void):
            texts = [f"approved by {text}" for text in approved]
            return [f"Newer figures wait for {who}.", *(f"{text}." for text in (*texts, *void))]
        case HeldView(waits_for=waits_for):
            return [f"Newer figures wait: {'; '.join(waits_for.values())}."]
        case FailedView(error=error):
            return [f"Newer figures could not be built: {error.partition(chr(10))[0]}"]
        case BusyView(because=because):
            return [f"Newer figures are being built: {because}."]
    if plan.result in {ResultKind.BUILD, ResultKind.MAYBE, ResultKind.CHECK}:
        return [f"Newer figures are not built yet: {', '.join(plan.why)}."]
    return []


def _held_parts(plan: PlanView) -> list[str]:
    if not plan.held_parts:
        return []
    rules = "; ".join(f"{rule.text}{measure(rule)}" for rule in plan.held_by or ())
    keys = some_parts([part.part for part in plan.held_parts])
    return [f"Held back in it: {keys}" + (f": {rules}." if rules else ".")]


def tone_of(status: StatusView) -> Tone:
    """Return how good the state of a product is."""
    if status.plan.result in _WAITING:
        return Tone.BAD
    if status.promise and status.promise.is_broken:
        return Tone.BAD
    if status.readers is None:
        return Tone.NOTHING
    at_risk = status.promise is not None and status.promise.state is State.AT_RISK
    if status.state != "up to date" or status.because or at_risk:
        return Tone.WARNING
    return Tone.GOOD
