"""Since when, until when, and under which names the files of a source have its columns."""

from collections.abc import Collection, Iterable
from datetime import date, timedelta
from typing import Any

from assay.declare.columns import Column, Columns
from assay.declare.names import Names
from assay.model import Naming, Partition, Where
from assay.plan.parts import Template, first_day, key_of_day, last_day

_DATED = ("day", "month", "year")  # the finest first
NO_DAY_HINT = "Write the day into the pattern, such as 'data/{day:date}.csv'."


def dated_by(path: Template) -> Partition | None:
    """Return the placeholder that says the day, month or year of a file; None if there is none."""
    for grain in _DATED:
        if grain in path.grains:
            return Partition(names=(path.names[path.grains.index(grain)],), grain=grain)
    return None


def read_namings(
    source: str,
    columns: Columns,
    path: Template,
    where: Where,
    names: Names,
) -> tuple[Naming, ...]:
    """Return what files call the columns that change, by day; problems are reported."""
    declared_names = {column.name.lower() for column in columns.columns}
    dated, in_path = dated_by(path), {name.lower() for name in path.names} - declared_names
    namings = []
    for column, declared in columns.changing.items():
        wrong, hint = _wrong(declared, dated, in_path)
        if wrong:
            names.report(f"{source}: column {column!r}: {wrong}", where, hint)
        else:
            namings.append(_naming(column, declared))
    if equal := _equal(namings, [column.name for column in columns.columns]):
        names.report(f"{source}: {equal}", where, "Correct since=, until= or was=.")
    return tuple(namings)


def _wrong(column: Column, dated: Partition | None, in_path: Collection[str]) -> tuple[str, str]:
    """Return what is wrong with since=, until= and was= of a column, and a hint; '' for nothing."""
    if dated is None:
        used = next(word for word in ("since", "until", "was") if getattr(column, word))
        return (
            f"{used}= is by the day of a file, and the pattern has no day",
            f"{NO_DAY_HINT} Or say optional=True.",
        )
    for word in ("since", "until"):
        given = getattr(column, word)
        if given and day_of(given) is None:
            return f"{word}={given!r} is no day", "Write it as '2021-01-15'."
    since, until = day_of(column.since), day_of(column.until)
    if column.was and not since:
        return "was= is the name before since=, which is not given", "Give since= the first day."
    if since and until and since > until:
        return f"it is since {since} and until {until}, which is before", ""
    if column.was.lower() in in_path:
        return f"was={column.was!r} is the name of a placeholder", "Name the placeholder otherwise."
    return wrong_period(since, until, dated.grain)


def wrong_period(since: date | None, until: date | None, grain: str) -> tuple[str, str]:
    """Return what is wrong with days within a period that one file holds; '' for nothing."""
    first = first_day(key_of_day(since, grain), grain) if since else None
    last = last_day(key_of_day(until, grain), grain) if until else None
    if since != first:
        return (
            f"since={str(since)!r} is within the {grain} of a file",
            f"Give its first day, {first}.",
        )
    if until != last:
        return (
            f"until={str(until)!r} is within the {grain} of a file",
            f"Give its last day, {last}.",
        )
    return "", ""


def day_of(given: Any) -> date | None:
    """Return a day that is given as a date or a text; None for none."""
    if type(given) is date:
        return given
    try:
        return date.fromisoformat(given) if isinstance(given, str) and len(given) == 10 else None
    except ValueError:
        return None


def _naming(column: str, declared: Column) -> Naming:
    since, until = day_of(declared.since), day_of(declared.until)
    names = [("", declared.was if since else column)]
    if since:
        names.append((since.isoformat(), column))
    if until and until < date.max:
        names.append(((until + timedelta(days=1)).isoformat(), ""))
    return Naming(column=column, names=tuple(names))


def _equal(namings: Iterable[Naming], columns: Iterable[str]) -> str:
    """Return which columns have one name in the files of a day; '' for none."""
    namings = [*namings]
    changing = {naming.column for naming in namings}
    always = [(column, column) for column in columns if column not in changing]
    for day in sorted({day for naming in namings for day, _ in naming.names}):
        called: dict[str, str] = {}
        own = ((naming.column, naming.at(day)) for naming in namings)
        for column, name in (*always, *own):
            if name and called.setdefault(name.lower(), column) != column:
                when = f"from {day} on" if day else f"before {_first(namings)}"
                both = f"columns {called[name.lower()]!r} and {column!r} are both {name!r}"
                return f"{both} in files {when}"
    return ""


def _first(namings: Iterable[Naming]) -> str:
    """Return the first day of a change."""
    return min(day for naming in namings for day, _ in naming.names if day)
