"""How far the data of a source reaches: by its event times, its placeholder, or its newest file.

Where these differ, the answer is the one that claims less: a reader who is told that data is older
than it is looks again, and one who is told that it is newer decides on it.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta

from assay.facts import SourceFile
from assay.model import Source
from assay.plan.graph import Graph
from assay.plan.parts import first_day, is_key, key_of_day, last_day
from assay.times import AHEAD, in_utc

# Returns the newest recorded event, not after a moment, in files with these digests; the first
# argument is `Source.inspected_as`.
LatestEvent = Callable[[str, Collection[str], datetime], datetime | None]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def reach_of(
    source: Source, files: Sequence[SourceFile], now: datetime, latest_event: LatestEvent
) -> datetime | None:
    """Return the business time that some files of a source reach; None when it is not known.

    Event times and days are as in the data: local, without a zone, unless the column has one. What
    is later than a day from now does not count.
    """
    if source.has_event_times:
        return latest_event(source.inspected_as, {file.digest for file in files}, now + AHEAD)
    if source.partition and source.path_regex:
        if grain := source.partition.grain:
            return _period_reached(files, grain, now)
        if (position := _place_of_day(source)) is not None:
            days = [file.part.split("/")[position] for file in files]
            return _day_reached([day for day in days if is_key(day, "day")], now)
    return _last_written(files, now)


def undated(graph: Graph) -> frozenset[str]:
    """Return the sources that only the time of their files dates, and what is built of them alone.

    They are lists that change rarely, such as countries, unless something is promised of them: what
    else a product reads says how far it reaches.
    """
    names = {s.name for s in graph.sources.values() if not (s.freshness or _is_dated(s))}
    for name in graph.order:
        product = graph.products[name]
        inputs = {i.name for i in product.inputs}
        if inputs and inputs <= names and not (product.event_time or product.freshness):
            names.add(name)
    return frozenset(names)


def earliest(
    times: Mapping[str, datetime | None], undated: Collection[str] = ()
) -> datetime | None:
    """Return the earliest of the known times of inputs; of undated ones only if no other is known.

    A time without a zone is taken as UTC.
    """
    known = {name: at for name, at in times.items() if at is not None}
    dated = {name: at for name, at in known.items() if name not in undated}
    return min((dated or known).values(), key=in_utc, default=None)


def last_day_of(source: Source, part: str) -> date | None:
    """Return the last day that a part of a source may hold; None when its name does not say."""
    if source.partition is None or not source.path_regex:
        return None
    grain = source.partition.grain
    if not grain and (position := _place_of_day(source)) is not None:
        grain, part = "day", part.split("/")[position]
    return last_day(part, grain) if grain and is_key(part, grain) else None


def _is_dated(source: Source) -> bool:
    """Return whether event times or a placeholder say which time the data is of."""
    if source.has_event_times:
        return True
    if not (source.partition and source.path_regex):
        return False
    return bool(source.partition.grain) or _place_of_day(source) is not None


def _day_reached(days: Sequence[str], now: datetime) -> datetime | None:
    limit = key_of_day((now + AHEAD).date(), "day")
    newest = max((day for day in days if day <= limit), default="")
    return datetime.combine(first_day(newest, "day"), time()) if newest else None


def _period_reached(files: Sequence[SourceFile], grain: str, now: datetime) -> datetime | None:
    """Return the day that the newest part reaches; parts are named by day, month or year.

    A file of a month may hold one day of it, or all. It holds the last day for certain only if it
    was written after that day; otherwise it is taken to reach its first.
    """
    if grain == "day":
        return _day_reached([file.part for file in files], now)
    limit = key_of_day((now + AHEAD).date(), grain)
    newest = max((file.part for file in files if file.part <= limit), default="")
    if not newest:
        return None
    last = last_day(newest, grain)
    written = _last_written([file for file in files if file.part == newest], now)
    is_over = written is not None and written.date() > last
    return datetime.combine(last if is_over else first_day(newest, grain), time())


def _place_of_day(source: Source) -> int | None:
    """Return which of several placeholders is a day; None if none is, or more than one."""
    assert source.partition is not None
    types = {column.name: column.type for column in (*source.columns, *source.path_columns)}
    names = source.partition.names
    days = [place for place, name in enumerate(names) if types.get(name) == "DATE"]
    return days[0] if len(days) == 1 else None


def _last_written(files: Sequence[SourceFile], now: datetime) -> datetime | None:
    """Return when the newest file was written; by a clock that is ahead, it is now."""
    limit = (now + AHEAD - _EPOCH) // timedelta(microseconds=1) * 1000
    newest = max((file.modified_ns for file in files if file.modified_ns <= limit), default=0)
    if newest <= 0:
        return None
    return min(now, _EPOCH + timedelta(microseconds=newest // 1000))
