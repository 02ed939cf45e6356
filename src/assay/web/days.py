"""Days as a calendar: a square for each, with what is said about it; other keys as a list."""

from collections.abc import Iterable
from datetime import date
from itertools import groupby

from msgspec import Struct


class Mark(Struct, frozen=True, kw_only=True):
    """A day or part (`key`), its kind ("good", "warning", "bad", "missing", "nothing"), and its label.

    `state` says the kind in a word, where a word is shown for it; '' for none.
    """

    key: str
    kind: str
    label: str
    state: str = ""
    column: int = 0
    row: int = 0


class Month(Struct, frozen=True, kw_only=True):
    """A month with its days: each at its week (`column`) and day of the week (`row`)."""

    name: str
    marks: tuple[Mark, ...]
    weeks: int


class Calendar(Struct, frozen=True, kw_only=True):
    """Months, and marks whose keys are no days. `said` tells what is in it.

    `legend` has the kinds that are in it, each with its word, in the order of how good they are.
    """

    months: tuple[Month, ...]
    others: tuple[Mark, ...]
    said: str
    legend: tuple[tuple[str, str], ...] = ()


def by_month(marks: Iterable[Mark], said: str) -> Calendar:
    """Return marks as a calendar, oldest month first. Of one day, the worst mark is shown."""
    order = {"bad": 0, "missing": 1, "warning": 2, "good": 3, "nothing": 4}
    days: dict[date, Mark] = {}
    others: list[Mark] = []
    for mark in sorted(marks, key=lambda mark: order[mark.kind], reverse=True):
        try:
            days[date.fromisoformat(mark.key)] = mark
        except ValueError:
            others.append(mark)
    months = []
    for (year, month), of_month in groupby(sorted(days), key=lambda day: (day.year, day.month)):
        placed = [_placed(days[day], day) for day in of_month]
        months.append(
            Month(
                name=f"{date(year, month, 1):%B %Y}",
                marks=tuple(placed),
                weeks=max(mark.column for mark in placed) + 1,
            )
        )
    shown = [*days.values(), *others]
    words = {mark.kind: mark.state for mark in shown if mark.state}
    return Calendar(
        months=tuple(months),
        others=tuple(sorted(others, key=lambda m: m.key)),
        said=said,
        legend=tuple((kind, words[kind]) for kind in reversed(order) if kind in words),
    )


def _placed(mark: Mark, day: date) -> Mark:
    first = day.replace(day=1).weekday()
    return Mark(
        key=mark.key,
        kind=mark.kind,
        label=mark.label,
        state=mark.state,
        column=(day.day - 1 + first) // 7,
        row=day.weekday(),
    )
