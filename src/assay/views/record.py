"""The record of products: promises kept of those due, what was held back, waived and restated."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from assay.build.budgets import uses_of
from assay.build.workspace import Workspace, open_workspace
from assay.catalog.promises import MOST_PROMISES, Watched
from assay.catalog.record import Approved, KnownSince, RecordReads, Restated
from assay.errors import UsageError
from assay.model import Kind as ProductKind
from assay.model import Product, Waiver
from assay.plan.budgets import Use, zone_of
from assay.plan.causes import Kind, worst
from assay.plan.outcomes import PromiseOutcome
from assay.plan.record import (
    CheckCounts,
    Days,
    Happened,
    Period,
    PromiseCounts,
    falls_due,
    marks,
    unit_of,
)
from assay.plan.windows import Window, windows_of
from assay.times import start_of_period
from assay.views.showing import Several
from assay.views.view import View

_About = TypeVar("_About", Approved, Restated, Waiver)
_INSTANT = timedelta(microseconds=1)
_LONGEST_MONTH = timedelta(days=31)


class BudgetView(View, frozen=True, kw_only=True):
    """What is used of a budget in the current period, which ends at `until`."""

    budget: str
    used: int
    allowed: int
    spent: bool
    since: datetime
    until: datetime
    text: str


class RecordView(View, frozen=True, kw_only=True):
    """The record of a product, from the day `first` to the day `last` by the clock of `tz`.

    - `unit`: what promises are counted in: working days, days, months or promises.
    - `due`: how many promises fell due: `kept`, `late`, `missed`, and `open`, of which nothing is
      recorded yet.
    - `checked`: the runs that built and checked it; `right_first_time`: those whose first check
      passed.
    - `held_back`: how often it began to be held back; `seconds_held_back` is how long it was, in
      all; `held_by` says how often by which rule.
    - `waived`, `restated`: how often, and by whom; `waived_in_code`: waivers that are declared.
    - `approved`: how often approvals let a version out, and by whom; `seconds_awaited` is how long
      these versions had waited since they passed, in all.
    - `incidents`: how many began, by kind.
    - `known_since`: from when on promises are `watched`, and from when on `promises`, `checks` and
      `incidents` are not forgotten, where that is later than the first day.
    - `changed`: when another promise took the place of the one before.
    - `days`: the worst that fell due on each day; None in a record of several products.
    """

    product: str
    environment: str
    first: str
    last: str
    tz: str
    promise: str
    unit: str
    due: int
    kept: int
    late: int
    missed: int
    open: int
    checked: int
    right_first_time: int
    held_back: int
    held_before: bool
    held_now: bool
    seconds_held_back: float
    held_by: Mapping[str, int]
    waived: int
    waived_by: Mapping[str, int]
    waived_in_code: int
    restated: int
    restated_by: Mapping[str, int]
    approved: int
    approved_by: Mapping[str, int]
    seconds_awaited: float
    incidents: Mapping[str, int]
    budget: BudgetView | None
    known_since: Mapping[str, str]
    changed: datetime | None
    days: Mapping[str, str] | None = None

    @property
    def badness(self) -> tuple[object, ...]:
        """What puts it before others: the worst comes first."""
        return (
            not (self.budget and self.budget.spent),
            -self.missed,
            -self.late,
            -self.held_back,
            -self.seconds_held_back,
            self.right_first_time - self.checked,
            -self.open,
            self.product,
        )


class _Recorded(Struct, frozen=True, kw_only=True):
    """What is recorded of the products of one time zone, by name."""

    days: Days
    promises: Mapping[str, PromiseCounts]
    forgotten: Mapping[str, datetime]
    checks: Mapping[str, CheckCounts]
    happened: Mapping[str, Sequence[Happened]]
    restated: Mapping[str, Sequence[Restated]]
    waivers: Mapping[str, Sequence[Waiver]]
    approved: Mapping[str, Sequence[Approved]]
    known: KnownSince
    open_dues: dict[tuple[Window, datetime], Sequence[datetime]] = field(default_factory=dict)


def record(
    name: str | None = None,
    *,
    since: date | str | None = None,
    until: date | str | None = None,
    month: str = "",
    env: str | None = None,
    project: Path | str | None = None,
) -> RecordView | tuple[RecordView, ...]:
    """Return the record of a product, or those of all products, the worst first.

    `since` and `until` are the first and the last day, `month` is a month such as "2011-12"; by
    default, the month so far and the one before. Raises UsageError for a name that is not declared
    or no product, and for days that are none.
    """
    period = period_of(_date("since", since), _date("until", until), month)
    start = Path(project) if project else None
    with open_workspace(env, start=start, last_good=True) as workspace:
        if name is None:
            return Several(records_of(workspace, workspace.graph.products, period))
        [view] = records_of(workspace, [workspace.graph.resolve(name)], period)
        return view


def period_of(since: date | None, until: date | None, month: str = "") -> Period:
    """Return the period of these days, or of a month such as "2011-12"; UsageError for none."""
    if month:
        if since or until:
            raise UsageError("a month has its days: give the month, or the days from and until")
        try:
            first = date.fromisoformat(f"{month}-01")
        except ValueError:
            raise UsageError(f"{month[:40]!r} is no month: write it as 2011-12") from None
        after = start_of_period("month", first + _LONGEST_MONTH)
        return Period(first, after - timedelta(days=1))
    if since and until and until < since:
        raise UsageError(f"{until} is before {since}: there is no day between")
    return Period(since, until)


def _date(word: str, value: date | str | None) -> date | None:
    if isinstance(value, datetime):
        return value.date()
    try:
        return date.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        message = f"{word}: {str(value)[:40]!r} is no day: write it as 2011-12-31"
        raise UsageError(message) from None


def records_of(workspace: Workspace, names: Collection[str], period: Period) -> list[RecordView]:
    """Return the records of products, the worst first; one of a single product has its days.

    Raises UsageError for a period that is not over yet when it begins.
    """
    graph, now = workspace.graph, workspace.clock()
    by_zone: dict[str, list[str]] = {}
    for name in names:
        if len(names) == 1 or graph.products[name].kind is not ProductKind.QUARANTINE:
            by_zone.setdefault(zone_of(graph, name), []).append(name)
    reader = _Reader(workspace, period, next(iter(names)) if len(names) == 1 else "")
    uses = uses_of(workspace, names)
    views = []
    for tz, inside in by_zone.items():
        days = period.within(tz, now)
        if days.last < days.first:
            raise UsageError(f"{days.first} is still to come: there is no record of it")
        recorded = reader.read(days)
        views += [
            _record_view(workspace, name, reader, recorded, uses.get(name)) for name in inside
        ]
    return sorted(views, key=lambda view: view.badness)


class _Reader:
    """Reads what is recorded of one environment."""

    def __init__(self, workspace: Workspace, period: Period, only: str) -> None:
        self._workspace, self.only = workspace, only
        self.now = workspace.clock()
        self.windows = windows_of(workspace.graph)
        self.watched: Mapping[str, Watched] = {}
        if self.windows:
            self.watched = workspace.catalog.promises.watched(workspace.environment, only)
        self._reads = RecordReads(workspace.catalog, workspace.environment, only)
        self._known = self._reads.known_since(self.now)
        self._waivers = workspace.catalog.waivers(workspace.environment)

    def read(self, days: Days) -> _Recorded:
        reads, since, until = self._reads, days.since, days.until
        promises = reads.promises(since, until) if self.windows else {}
        return _Recorded(
            days=days,
            promises=promises,
            forgotten=self._forgotten(days, promises),
            checks=reads.checks(since, until),
            happened=reads.happened(since),
            restated=_by_product(reads.restated(since, until)),
            waivers=_by_product(w for w in self._waivers if w.at and since <= w.at < until),
            approved=_by_product(reads.approved(since, until)),
            known=self._known,
        )

    def outcomes(self, days: Days) -> Sequence[PromiseOutcome]:
        """Return how the promises of the only product came out."""
        return self._reads.outcomes(days.since, days.until) if self.windows else ()

    def _forgotten(
        self, days: Days, promises: Mapping[str, PromiseCounts]
    ) -> Mapping[str, datetime]:
        """Return the names of which gc may have forgotten promises of these days.

        It leaves so many that those of a product which promises once a day are years old.
        """
        if days.until > self.now:  # all of them are counted already
            return {
                name: counts.first
                for name, counts in promises.items()
                if counts.recorded >= MOST_PROMISES and counts.first
            }
        often = any(
            not window.freshness.by or self._is_changed(name, days.since)
            for name, window in self.windows.items()
        )
        is_long_ago = self.now - days.since > timedelta(days=MOST_PROMISES)
        if often or is_long_ago or self.only:
            return self._reads.forgotten_promises(days.since)
        return {}

    def _is_changed(self, name: str, since: datetime) -> bool:
        watched = self.watched.get(name)
        return watched is not None and watched.since > since

    def open_dues(self, name: str, recorded: _Recorded) -> Sequence[datetime]:
        """Return when promises of a product fell due of which nothing is recorded yet."""
        window, watched = self.windows.get(name), self.watched.get(name)
        if window is None or watched is None:
            return ()
        since = max(recorded.days.since, watched.recorded_until + _INSTANT)
        until = min(recorded.days.until, self.now + _INSTANT)
        if (window, since) not in recorded.open_dues:
            dues = falls_due(window, since, until) if since < until else ()
            recorded.open_dues[window, since] = dues
        return recorded.open_dues[window, since]


def _by_product(facts: Iterable[_About]) -> Mapping[str, Sequence[_About]]:
    found: dict[str, list[_About]] = {}
    for fact in facts:
        found.setdefault(fact.product, []).append(fact)
    return found


def _record_view(
    workspace: Workspace, name: str, reader: _Reader, recorded: _Recorded, use: Use | None
) -> RecordView:
    product, days = workspace.graph.products[name], recorded.days
    counts = recorded.promises.get(name, PromiseCounts())
    checks = recorded.checks.get(name, CheckCounts())
    open_dues = reader.open_dues(name, recorded)
    changed = _changed(reader.watched.get(name), counts)
    happened = [h for h in recorded.happened.get(name, ()) if h.began < days.until]
    until = min(days.until, reader.now)
    began = [each for each in happened if days.since <= each.began]
    held = [each for each in happened if Kind.HELD_BACK in each.kinds]
    waivers, restated = recorded.waivers.get(name, ()), recorded.restated.get(name, ())
    approved = recorded.approved.get(name, ())
    promise = product.freshness
    view = RecordView(
        product=name,
        environment=workspace.environment,
        first=days.first.isoformat(),
        last=days.last.isoformat(),
        tz=days.tz,
        promise=str(promise or ""),
        unit="promises" if changed or not promise else unit_of(promise),
        due=counts.recorded + len(open_dues),
        kept=counts.kept,
        late=counts.late,
        missed=counts.missed,
        open=len(open_dues),
        checked=checks.runs,
        right_first_time=checks.runs - checks.failed,
        held_back=sum(Kind.HELD_BACK in each.kinds for each in began),
        held_before=any(each.began < days.since for each in held),
        held_now=any(each.ended is None for each in held),
        seconds_held_back=sum(
            (each.within(days.since, until).total_seconds() for each in held), 0.0
        ),
        held_by=Counter(rule for each in held for rule in each.rules),
        waived=len(waivers),
        waived_by=Counter(waiver.by for waiver in waivers),
        waived_in_code=sum(w.environment in {"", workspace.environment} for w in product.waivers),
        restated=len(restated),
        restated_by=Counter(each.who for each in restated),
        approved=len(approved),
        approved_by=Counter(approver for each in approved for approver in each.by),
        seconds_awaited=sum((each.waited.total_seconds() for each in approved if each.waited), 0.0),
        incidents=Counter(str(worst(each.kinds)) for each in began),
        budget=budget_view(use),
        known_since=_known_since(product, reader, recorded),
        changed=changed,
    )
    if not reader.only:
        return view
    by_day = marks(reader.outcomes(days), open_dues, days.tz)
    return replace(view, days={day.isoformat(): by_day[day] for day in sorted(by_day)})


def budget_view(use: Use | None) -> BudgetView | None:
    """Return the view of what is used of a budget; None for none."""
    if use is None:
        return None
    return BudgetView(
        budget=str(use.budget),
        used=use.used,
        allowed=use.budget.most,
        spent=use.is_spent,
        since=use.since,
        until=use.until,
        text=f"budget spent: {use}" if use.is_spent else str(use),
    )


def _changed(watched: Watched | None, counts: PromiseCounts) -> datetime | None:
    """Return when the promise was changed, if promises of the one before are counted as well."""
    if watched and counts.first and counts.first <= watched.since:
        return watched.since
    return None


def _known_since(product: Product, reader: _Reader, recorded: _Recorded) -> Mapping[str, str]:
    """Return from when on what is counted is known, where that is later than the first day."""
    name, since = product.name, recorded.days.since
    watched = reader.watched.get(name)
    counts = recorded.promises.get(name, PromiseCounts())
    forgotten = recorded.forgotten.get(name)
    is_new = watched and not forgotten and not _changed(watched, counts)
    known = {
        "watched": watched.since if watched and is_new and product.freshness else None,
        "promises": forgotten,
        "checks": recorded.known.checks,
        "incidents": recorded.known.incidents,
    }
    return {what: at.isoformat() for what, at in known.items() if at and at > since}
