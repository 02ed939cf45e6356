"""How the loop is: what its health page and its metrics show."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from assay.plan.standing import Standing
from assay.watch.reports import Problems


class Stage(StrEnum):
    """What the loop does now."""

    STARTING = "starting"
    STANDING_BY = "standing by"
    WORKING = "working"
    WAITING = "waiting"
    ENDED = "ended"


class Vitals:
    """How the loop is. One thread writes, and others read.

    `within`: how long after the last sign of life the loop is taken for healthy. A sign of life is
    the end of a turn without a problem, an event of a run, and an attempt to lead.
    """

    def __init__(self, environment: str, within: timedelta) -> None:
        self.environment, self.within = environment, within
        self.stage = Stage.STARTING
        self.alive_at: datetime | None = None
        self.last_turn: datetime | None = None
        self.next_moment: datetime | None = None
        self.turns: Counter[str] = Counter()
        self.results: Counter[str] = Counter()
        self.seconds = 0.0
        self.problems: Mapping[str, str] = {}
        self.standings: Mapping[str, Standing] = {}

    def sign_of_life(self, now: datetime) -> None:
        """Note that the loop lives."""
        self.alive_at = now

    def stand_by(self, now: datetime) -> None:
        """Note that another process leads."""
        self.stage, self.next_moment = Stage.STANDING_BY, None
        self.sign_of_life(now)

    def begin(self, now: datetime) -> None:
        """Note that a turn begins."""
        self.stage, self.next_moment = Stage.WORKING, None
        self.alive_at = self.alive_at or now

    def end(self, now: datetime, counts: Mapping[str, int], seconds: float) -> None:
        """Note that a turn ended, with so many products by result."""
        self.stage, self.last_turn, self.seconds = Stage.WAITING, now, seconds
        self.turns["ok"] += 1
        self.results.update(counts)
        self.sign_of_life(now)

    def fail(self, now: datetime) -> None:
        """Note that a turn ended with a problem."""
        self.stage = Stage.WAITING
        self.turns["problem"] += 1
        self.alive_at = self.alive_at or now

    def note_problems(self, problems: Problems) -> None:
        """Note what is wrong now."""
        self.problems = problems.current

    @property
    def leads(self) -> bool:
        """Whether this process leads, and so does the work."""
        return self.stage in {Stage.WORKING, Stage.WAITING}

    def healthy(self, now: datetime) -> bool:
        """Return whether there was a sign of life lately."""
        return self.alive_at is not None and now - self.alive_at <= self.within

    def as_json(self, now: datetime) -> dict[str, Any]:
        """Return what the health page shows."""
        return {
            "ok": self.healthy(now),
            "environment": self.environment,
            "stage": str(self.stage),
            "last_turn": _text(self.last_turn),
            "last_turn_seconds": round(self.seconds, 3),
            "alive_at": _text(self.alive_at),
            "next_moment": _text(self.next_moment),
            "turns": dict(self.turns),
            "problems": dict(self.problems),
        }


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None
