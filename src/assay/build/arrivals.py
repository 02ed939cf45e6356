"""What arrived: new content of a source, or of its parts, since they were observed before."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from assay.facts import Arrival, SourceFile
from assay.model import Source
from assay.plan.observed import Observed

_AT_ONCE = 31  # parts of one observation: more of them are history that was delivered
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def arrivals(source: Source, observed: Observed, before: datetime | None) -> list[Arrival]:
    """Return the arrivals of a source since it was observed `before`, in the order of parts.

    None: that moment is not known. Of very many parts, only the last are returned.
    """
    times: dict[str, datetime] = {}
    for file in observed.sources[source.name].files:
        if _is_new(file, observed.seen):
            part, at = file.part if source.path_regex else "", _came(file, before, observed.now)
            times[part] = max(at, times.get(part, at))
    return [
        Arrival(source=source.name, part=part, at=times[part], seen=observed.now)
        for part in sorted(times)[-_AT_ONCE:]
    ]


def _is_new(file: SourceFile, seen: Mapping[str, SourceFile]) -> bool:
    listed = seen.get(file.path)
    return listed is not file and (listed is None or listed.digest != file.digest)


def _came(file: SourceFile, before: datetime | None, now: datetime) -> datetime:
    """Return when a new file came.

    The file system says when it was put there (ctime), its sender when it was written; one of these
    is believed if it is between the observations. Copying may keep the time of writing, and a clock
    that a test sets has other years than the file system.
    """
    for nanoseconds in (file.ctime_ns, file.modified_ns):
        at = _EPOCH + timedelta(microseconds=max(nanoseconds, 0) // 1000)
        if before is not None and before < at <= now:
            return at
    return now
