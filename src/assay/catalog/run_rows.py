"""Encodes how a run ended as values of its row, and decodes the rows of runs."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct, convert, field
from msgspec.json import decode

from assay.catalog.rows import moment_of, stamp, to_json
from assay.facts import RecordedRun, RunSummary

RUN = "id, environment, state, started_at, host, pid, asked, ended_at, seconds, results, who"


class _RunRow(Struct, array_like=True):
    """The values of RUN."""

    id: str
    environment: str
    state: str
    started_at: str
    host: str
    pid: int
    asked: str
    ended_at: str | None
    seconds: float | None
    results: str
    who: str


class _Results(Struct):
    built: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def summary_row(summary: RunSummary) -> list[Any]:
    """Return when a run ended, how long it took, and its results."""
    results = {
        "built": summary.built,
        "counts": dict(summary.counts),
        "names": {kind: list(names) for kind, names in summary.names.items()},
    }
    return [stamp(summary.at), summary.seconds, to_json(results)]


def recorded_run(row: Sequence[Any]) -> RecordedRun:
    """Return the run in a row of RUN."""
    fields = convert(row, _RunRow)
    return RecordedRun(
        id=fields.id,
        environment=fields.environment,
        state=fields.state,
        started_at=moment_of(fields.started_at),
        host=fields.host,
        pid=fields.pid,
        asked=fields.asked,
        who=fields.who,
        summary=_summary(fields.ended_at, fields.seconds or 0.0, fields.results),
    )


def _summary(ended_at: str | None, seconds: float, text: str) -> RunSummary | None:
    if ended_at is None:
        return None
    results = decode(text, type=_Results)
    return RunSummary(
        at=moment_of(ended_at),
        seconds=seconds,
        built=results.built,
        counts=results.counts,
        names=results.names,
    )
