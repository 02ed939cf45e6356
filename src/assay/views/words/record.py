"""The record of products in words: sentences, and a calendar with a mark for each day."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime

from assay.plan.record import MARKS, NOTHING_DUE, Days, calendar_lines
from assay.times import local
from assay.views.record import RecordView
from assay.views.words.incidents import lasting
from assay.views.words.numbers import count_of, second

HEADERS = (
    "product",
    "promises kept",
    "late",
    "missed",
    "right first time",
    "held back",
    "waived",
    "restated",
    "incidents",
    "budget",
)


def record_row(view: RecordView) -> tuple[object, ...]:
    """Return a record as a row of a table with HEADERS."""
    held = f"{view.held_back}, {lasting(view.seconds_held_back)}" if _was_held(view) else 0
    return (
        view.product,
        f"{view.kept} of {view.due} {view.unit}" if view.due else "",
        view.late if view.due else "",
        view.missed if view.due else "",
        f"{view.right_first_time} of {view.checked}" if view.checked else "",
        held,
        view.waived,
        view.restated,
        sum(view.incidents.values()),
        view.budget.text if view.budget else "",
    )


def record_lines(view: RecordView) -> Iterator[str]:
    """Yield the record of one product as sentences, with its calendar."""
    yield f"{view.product}  {_days(view)}"
    yield from _labelled("promises", promises_of(view))
    if view.days:
        yield from (f"  {'':12}{line}" for line in calendar_of(view))
    if view.changed:
        yield from _labelled("", f"the promise was changed {_moment(view.changed, view)}")
    yield from _labelled("first check", _checks(view))
    yield from _labelled("held back", _held(view))
    yield from _labelled("waived", _waived(view))
    yield from _labelled("restated", _times(view.restated, view.restated_by))
    if view.approved:
        waited = f"after {lasting(view.seconds_awaited)} in all"
        approved = f"{_times(view.approved, view.approved_by)}, {waited}"
        yield from _labelled("approved", approved)
    yield from _labelled("incidents", _counted(view.incidents) or "none")
    if view.budget:
        until = f"until {_moment(view.budget.until, view)}"
        yield from _labelled("budget", f"{view.budget.budget}: {view.budget.text}, {until}")
    for what, since in view.known_since.items():
        moment = _moment(datetime.fromisoformat(since), view)
        yield from _labelled("note", _known(what, moment))


def promises_of(view: RecordView) -> str:
    """Return how promises came out: "20 of 21 working days kept, 1 missed"."""
    if not view.promise and not view.due:
        return "none: it promises no freshness"
    if not view.due:
        return "none fell due"
    texts = [f"{view.kept} of {view.due} {view.unit} kept"]
    texts += [f"{view.late} late"] * bool(view.late)
    texts += [f"{view.missed} missed"] * bool(view.missed)
    texts += [f"{view.open} not recorded yet"] * bool(view.open)
    return ", ".join(texts)


def calendar_of(view: RecordView) -> list[str]:
    """Return a line of marks for each month, under the numbers of its days, and what they mean."""
    worst = {date.fromisoformat(day): state for day, state in (view.days or {}).items()}
    known = [view.known_since[what] for what in ("watched", "promises") if what in view.known_since]
    since = [local(datetime.fromisoformat(at), view.tz).date() for at in known]
    first = max([date.fromisoformat(view.first), *since])
    days = Days(first, date.fromisoformat(view.last), view.tz)
    numbers = "".join(str(day % 10) for day in range(1, 32))
    shown = [f"{MARKS[state]} {state}" for state in ("kept", "late", "missed")]
    shown += [f"{MARKS['open']} not recorded yet", f"{NOTHING_DUE} none due"]
    lines = [f"{month}  {line}" for month, line in calendar_lines(days, worst)]
    return [f"{'':9}{numbers}", *lines, f"{'':9}{', '.join(shown)}"]


def _days(view: RecordView) -> str:
    days = view.first if view.first == view.last else f"{view.first} to {view.last}"
    return f"{days} ({view.tz}, {view.environment})"


def _labelled(label: str, text: str) -> Sequence[str]:
    return [f"  {label:<12}{text}"]


def _checks(view: RecordView) -> str:
    if not view.checked:
        return "no run built it"
    return f"passed in {view.right_first_time} of {view.checked} runs that built it"


def _was_held(view: RecordView) -> bool:
    return bool(view.held_back or view.held_before)


def _held(view: RecordView) -> str:
    if not _was_held(view):
        return "never"
    texts = [count_of(view.held_back, "time")]
    texts += ["once more from before"] * view.held_before
    texts.append(f"{lasting(view.seconds_held_back)} in all")
    texts += ["still held back"] * view.held_now
    by = "; ".join(f"{rule} ({count_of(n, 'time')})" for rule, n in view.held_by.items())
    return ", ".join(texts) + (f": {by}" if by else "")


def _waived(view: RecordView) -> str:
    text = _times(view.waived, view.waived_by)
    return f"{text}; {view.waived_in_code} in code" if view.waived_in_code else text


def _times(number: int, by: Mapping[str, int]) -> str:
    if not number:
        return "never"
    people = ", ".join(f"{who or 'unknown'} ({n})" for who, n in by.items())
    return f"{count_of(number, 'time')}, by {people}"


def _counted(counts: Mapping[str, int]) -> str:
    total = sum(counts.values())
    return f"{total}: {', '.join(f'{n} {kind}' for kind, n in counts.items())}" if total else ""


def _known(what: str, moment: str) -> str:
    if what == "watched":
        return f"its promise is watched from {moment} on"
    return f"{_OF[what]} are known from {moment} on: gc has forgotten those before"


_OF = {
    "promises": "promises",
    "checks": "first checks and restatements",
    "incidents": "incidents and what was held back",
}


def _moment(at: datetime, view: RecordView) -> str:
    return second(local(at, view.tz))[:16]
