"""The last event time of source files: SQL that finds it, and the moment that it returns."""

from datetime import UTC, datetime, timedelta

from assay.engines.quoting import identifier
from assay.model import Column, Source

_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1)
_ZONED = ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ_NS")
_DATED = ("DATE", "TIMESTAMP", *_ZONED)


def event_column(source: Source) -> Column | None:
    """Return the column of files with the event times; None if there is none of such a type."""
    if not source.has_event_times:
        return None
    name = source.event_time.lower()
    columns = (column for column in source.columns if column.name.lower() == name)
    return next((column for column in columns if column.type.startswith(_DATED)), None)


def last_event(column: Column, value: str, until: datetime) -> str:
    """Return the SQL of the last event, in microseconds since 1970, that is not after a moment.

    `value` is the SQL of a value of the column; values that it fails for are left out.
    """
    limit = (until.astimezone(UTC).replace(tzinfo=None) - _EPOCH) // _MICROSECOND
    type = "TIMESTAMPTZ" if column.type in _ZONED else "TIMESTAMP"
    microseconds = f"try(epoch_us(cast({value} as {type})))"
    return f"max({microseconds}) filter (where {microseconds} <= {limit})"


def event_of(microseconds: int | None, column: Column) -> datetime | None:
    """Return what the SQL of `last_event` returned as a moment; with a zone if the column has."""
    if microseconds is None:
        return None
    moment = _EPOCH + timedelta(microseconds=microseconds)
    return moment.replace(tzinfo=UTC) if column.type in _ZONED else moment


def event_value(column: Column) -> str:
    """Return the SQL of a value of a column that is stored as a time."""
    return f"cast({identifier(column.name)} as {column.type})"
