"""What the loop reports: one line for each thing that happened, as plain values."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from msgspec import Struct, field


class Happened(StrEnum):
    """What happened in the loop."""

    STARTED = "started"
    NOTE = "note"
    STANDING_BY = "standing by"
    LEADING = "leading"
    TURN = "turn"
    PROBLEM = "problem"
    RECOVERED = "recovered"
    ENDED = "ended"


class Report(Struct, frozen=True, kw_only=True):
    """A line of the log: what happened at a moment, in words, and as fields for a machine."""

    what: Happened
    at: datetime
    message: str
    fields: Mapping[str, Any] = field(default_factory=dict)


class Log(Protocol):
    """Receives every report, in order."""

    def __call__(self, report: Report, /) -> None: ...


class Problems:
    """Reports each problem once, until it is over or becomes another."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._current: dict[str, str] = {}

    def add(self, about: str, message: str, at: datetime, **fields: Any) -> None:
        """Report what is wrong with something, unless that was reported last."""
        if self._current.get(about) != message:
            self._current[about] = message
            fields = {"about": about, **fields}
            self._log(Report(what=Happened.PROBLEM, at=at, message=message, fields=fields))

    def clear(self, about: str, at: datetime) -> None:
        """Report that nothing is wrong with something any more."""
        if self._current.pop(about, None) is not None:
            message = f"{about}: as it should be again"
            report = Report(
                what=Happened.RECOVERED, at=at, message=message, fields={"about": about}
            )
            self._log(report)

    @property
    def current(self) -> Mapping[str, str]:
        """What is wrong now, by what it is about."""
        return dict(self._current)
