"""Declared calendars, and those that promises name, to calendars of days."""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from assay.declare.argument_types import wrong_arguments
from assay.declare.holiday_library import library_calendar, library_codes
from assay.declare.names import Names
from assay.declare.words import CalendarDay, CalendarDeclaration
from assay.model import Where, WorkCalendar
from assay.plan.calendars import MONDAY_TO_FRIDAY
from assay.plan.window_text import is_weekmask, on_of, weekdays_of
from assay.store.files import not_a_file
from assay.text import clean

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}")
_NAME_HINT = "Names are letters, digits, _, . and -, up to 100, and do not start with a digit."
_SEPARATOR = re.compile(r"[,;\t]")
_DATE_HINT = 'Write days as "2011-12-24", or name a file with such days in its first column.'
_WEEKMASK_HINT = 'Name the days that are worked on: weekmask="Sun Mon Tue Wed Thu" or "Mon-Fri".'
_KINDS = (
    "A calendar is one made by calendar(...), such as SHOP; a country, subdivision or market of the"
    ' library holidays, such as "GB", "GB-ENG" or "XNYS"; or days of the week: "Mon Tue Wed".'
)
_WEEK = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_RANGES = [f"{first}-{last}" for first in _WEEK for last in _WEEK if first != last]
_WORDS = ("working", "business", "day", "last", "first", "of", *_WEEK)
_MOST_LINES = 3  # wrong lines of a file that are reported
_LONGEST = 5_000_000  # bytes of a file of days


class _Listed(Struct):
    """Days that are listed, in order, and the file that they are from ('' for none)."""

    days: Sequence[date]
    file: str = ""


class Calendars:
    """The calendars of a project, by name: those it declares, and those of the library in use."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.by_name: dict[str, WorkCalendar] = {}
        self.files: list[Path] = []
        self._declared: dict[str, CalendarDeclaration] = {}
        self._rejected: set[str] = set()  # names of calendars whose mistakes are reported
        for declared in names.calendars:
            self._add(declared)

    def name_of(self, calendar: CalendarDeclaration) -> str:
        """Return the name of a declared calendar; '' for one whose mistakes are reported."""
        return next((name for name, other in self._declared.items() if other is calendar), "")

    def text_of(self, value: Any) -> str:
        """Return what `on=` and `trading=` were given as text; '' for a calendar with mistakes."""
        if isinstance(value, CalendarDay):
            name = self.name_of(value.calendar)
            day = "last working day" if value.n is None else f"working day {value.n}"
            return f"{day} of {name}" if name else ""
        if isinstance(value, CalendarDeclaration):
            return self.name_of(value)
        return " ".join(str(value).split())

    def problem_with(self, name: str, text: str = "") -> str:
        """Return a hint for a name that is no calendar; '' for one that is, and is remembered.

        `text` is what names it, such as "working day 3 of GB-ENG".
        """
        if name in self.by_name or name in self._rejected or is_weekmask(name):
            return ""
        if calendar := library_calendar(name):
            self.by_name[name] = calendar
            return ""
        names = [*self.by_name, *library_codes()]
        return _respelled(text or name, names) or _nearest(name, names) or _KINDS

    # -------------------------------------------------------------------------- declared calendars

    def _add(self, declared: CalendarDeclaration) -> None:
        where = self.names.relative(declared.where)
        name = declared.name if declared.name is not None else self.names.bound_name(declared)
        if mistakes := list(wrong_arguments(declared)):
            shown = clean(name) if isinstance(name, str) else "this calendar"
            for mistake in mistakes:
                self.names.report(f"{shown}: {mistake}", where)
            self._rejected.add(str(name))
        elif name is None:
            if declared.module not in self.names.loaded.broken:
                hint = "Bind it to a module-level name, or give it name=."
                self.names.report("this calendar has no name", where, hint)
        elif not _NAME.fullmatch(name):
            self.names.report(f"{name!r} cannot be the name of a calendar", where, _NAME_HINT)
        elif name in self._declared:
            first = self.names.relative(self._declared[name].where)
            message = f"there are two calendars {name}: the other is at {first}"
            self.names.report(message, where, "Rename one, or import the other.")
        else:
            self._declared[name] = declared
            self._read(name, declared, where)

    def _read(self, name: str, declared: CalendarDeclaration, where: Where) -> None:
        problems = len(self.names.problems)
        base = self._base(name, declared, where)
        closed = self._listed(name, "closed", declared.closed, where)
        opened = self._listed(name, "open", declared.open, where)
        if both := sorted(set(closed.days) & set(opened.days)):
            message = f"{name}: {both[0]} is both in closed= and in open="
            self.names.report(message, where, "Take it out of one.")
        if len(self.names.problems) > problems:
            self._rejected.add(name)
            return
        self.by_name[name] = _put_together(base, closed, opened, has_base=bool(declared.holidays))

    def _base(self, name: str, declared: CalendarDeclaration, where: Where) -> WorkCalendar:
        """Return the days of the week that are worked on, and the holidays of the library."""
        base = MONDAY_TO_FRIDAY
        if declared.holidays:
            library = library_calendar(declared.holidays)
            if library is None:
                hint = _nearest(declared.holidays, library_codes()) or (
                    'Name a country, subdivision or market: "GB", "GB-ENG", "XNYS".'
                )
                message = f"{name}: no holidays {declared.holidays!r} are known"
                self.names.report(message, where, hint)
            base = library or base
        if declared.weekmask:
            try:
                weekdays = weekdays_of(declared.weekmask)
                base = replace(base, weekdays=weekdays, opened=())
            except ValueError as error:
                message = f"{name}: weekmask {declared.weekmask!r}: {error}"
                self.names.report(message, where, _WEEKMASK_HINT)
        return replace(base, name=name)

    # ------------------------------------------------------------------------------- listed days

    def _listed(self, name: str, keyword: str, given: Any, where: Where) -> _Listed:
        """Return the days of a list or a file; their mistakes are reported."""
        if isinstance(given, str | Path):
            return self._of_file(name, keyword, str(given), where)
        days = []
        for index, value in enumerate(given):
            day = _day_of(value)
            if day is None:
                message = f"{name}: {keyword}[{index}] is {_shown(value)}, which is no day"
                self.names.report(message, where, _DATE_HINT)
            else:
                days.append(day)
        return _Listed(sorted(set(days)))

    def _of_file(self, name: str, keyword: str, path: str, where: Where) -> _Listed:
        file = self.names.config.root / path
        self.files.append(file)
        try:
            text = _text_of(file)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            message = f"{name}: {keyword}={clean(path)!r} cannot be read: {reason}"
            self.names.report(message, where, "Paths are relative to the project.")
            return _Listed([], path)
        days, wrong = [], []
        for number, cell in _cells(text):
            day = _day_of(cell)
            if day is not None:
                days.append(day)
            elif number > 1:  # the first line may name the columns
                wrong.append((number, cell))
        for number, cell in wrong[:_MOST_LINES]:
            more = f" (and {len(wrong) - _MOST_LINES} more)" if len(wrong) > _MOST_LINES else ""
            message = f"{name}: {_shown(cell)} is no day{more}"
            self.names.report(message, Where(path, number), _DATE_HINT)
        if not days and not wrong:
            message = f"{name}: {keyword}={clean(path)!r} has no day in it"
            self.names.report(message, where, _DATE_HINT)
        return _Listed(sorted(set(days)), path)


def _put_together(
    base: WorkCalendar, closed: _Listed, opened: _Listed, *, has_base: bool
) -> WorkCalendar:
    """Return a calendar with listed days besides; without holidays, it is known as far as listed."""
    first, last = base.first, base.last
    if closed.days and not has_base:
        first, last = date(closed.days[0].year, 1, 1), date(closed.days[-1].year, 12, 31)
    origin = [base.origin, *(listed.file for listed in (closed, opened))]
    return replace(
        base,
        closed=tuple(sorted({*base.closed, *closed.days} - set(opened.days))),
        opened=tuple(sorted({*base.opened, *opened.days} - set(closed.days))),
        first=first,
        last=last,
        origin=", ".join(dict.fromkeys(text for text in origin if text)),
    )


def _text_of(file: Path) -> str:
    """Return the text of a file of days; OSError or ValueError for one that cannot be read."""
    if kind := not_a_file(file):
        raise ValueError(f"it is {kind}")
    if file.stat().st_size > _LONGEST:
        raise ValueError("it is too large for a list of days")
    return file.read_text(encoding="utf-8-sig")


def _cells(text: str) -> Iterator[tuple[int, str]]:
    """Yield the number and the first cell of each line that is neither empty nor a comment."""
    for number, line in enumerate(text.splitlines(), 1):
        cell = _SEPARATOR.split(line, maxsplit=1)[0].strip().strip("\"'").strip()
        if cell and not cell.startswith("#"):
            yield number, cell


def _day_of(value: Any) -> date | None:
    """Return the day of a date or of an ISO text; None for anything else."""
    if type(value) is date:
        return value
    try:
        return date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _nearest(name: str, names: Sequence[str]) -> str:
    if name.upper() in names:
        return f"Did you mean {name.upper()!r}?"
    close = get_close_matches(name, names, n=1, cutoff=0.75)
    return f"Did you mean {close[0]!r}?" if close else ""


def _respelled(text: str, names: Sequence[str]) -> str:
    """Return a hint with a text in which each word is the nearest that it can be; '' for none."""
    words = {*_WORDS, *_RANGES, *names}
    spelled = []
    for word in text.split():
        close = get_close_matches(word, words, n=1, cutoff=0.5)
        spelled.append(word if word in words or word.isdigit() else "".join(close))
    meant = " ".join(spelled)
    with suppress(ValueError):
        day = on_of(meant)
        if day.n is not None and (day.calendar in {"", *names} or is_weekmask(day.calendar)):
            return f"Did you mean {meant!r}?"
    return f"Did you mean {meant!r}?" if is_weekmask(meant) else ""


def _shown(value: Any) -> str:
    """Return a value for a message: a short text in quotes, or the type of another."""
    return repr(clean(value[:40])) if isinstance(value, str) else type(value).__name__
