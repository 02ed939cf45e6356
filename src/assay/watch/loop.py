"""The loop of `products run`: turn after turn until it is stopped, level-based.

Each turn looks at everything anew (declarations, catalog, sources, the clock), so a lost event, a
restart, or another process that does some of the work changes nothing about what comes out.
"""

from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from msgspec import Struct, field
from msgspec.structs import replace

from assay.build.workspace import Workspace
from assay.catalog.leading import Lead
from assay.errors import AssayError, remedy
from assay.events import Event
from assay.model import Source
from assay.signals import hearing
from assay.watch.reports import Happened, Log, Problems, Report
from assay.watch.turn import Memory, Turn, TurnOptions, one_turn
from assay.watch.vitals import Vitals

STAND_BY = timedelta(seconds=2)  # between two attempts to lead
_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(seconds=5), timedelta(minutes=5)  # after a failed turn
_AGAIN = timedelta(seconds=1)  # until files are looked at that may have changed unwatched
_SHORTEST = timedelta(seconds=0.05)  # between two turns


class Sleep(Protocol):
    """Waits so many seconds, or until a file changes; returns the files that have changed.

    KeyboardInterrupt from it ends the loop. `watch` is told which folders matter.
    """

    def __call__(self, seconds: float, /) -> Iterable[Path] | None: ...


class Watching(Struct, frozen=True, kw_only=True):
    """What the loop works with.

    - `open`: opens the project, once for each turn.
    - `clock`: returns the current moment (UTC).
    - `sleep`: waits between turns; see Sleep.
    - `lead`: which of several processes does the work; None: this one.
    - `until`: whether to end now; asked before each turn.
    - `poll`: the longest wait between two turns.
    - `log`: receives what happens.
    - `watch`: receives, before each wait, the folder of the project and its sources; returns
      whether it is new to it, so that they have to be looked at once more.
    """

    open: Callable[[], AbstractContextManager[Workspace]]
    clock: Callable[[], datetime]
    sleep: Sleep
    log: Log
    vitals: Vitals
    lead: Lead | None = None
    until: Callable[[], bool] = lambda: False
    poll: timedelta = timedelta(seconds=60)
    options: TurnOptions = field(default_factory=TurnOptions)
    watch: Callable[[Path, Collection[Source]], bool] = lambda root, sources: False


def run(watching: Watching) -> None:
    """Do turn after turn, while this process leads, until it is stopped.

    Ctrl-C, and SIGTERM where it raises KeyboardInterrupt, end it: what is finished is recorded.
    Nothing else does: a problem is reported once, and the turn is done again after a pause.
    """
    loop = _Loop(watching)
    loop.report(Happened.STARTED, f"watching {watching.vitals.environment}")
    try:
        loop.go()
    except KeyboardInterrupt:
        pass
    finally:
        if watching.lead:
            watching.lead.leave()
        loop.report(Happened.ENDED, "ended: what is finished is kept")


class _Loop:
    def __init__(self, watching: Watching) -> None:
        self.watching, self.vitals = watching, watching.vitals
        self.memory = Memory()
        self.problems = Problems(watching.log)
        self.pause = _FIRST_PAUSE
        self.leads = False
        self.root: Path | None = None

    def report(self, what: Happened, message: str, **fields: object) -> None:
        report = Report(what=what, at=self.watching.clock(), message=message, fields=fields)
        self.watching.log(report)

    def go(self) -> None:
        """Do turns until it is time to end."""
        while not self.watching.until():
            try:
                next_at = self._step()
            except Exception as error:  # even our own mistakes: the next turn may do
                next_at = self._failed(error)
            self.vitals.note_problems(self.problems)
            if not self.watching.until():
                self._sleep(next_at)

    def _step(self) -> datetime:
        """Do one turn, if this process leads; return when the next one is due."""
        now = self.watching.clock()
        if not self._take_lead(now):
            return now + STAND_BY
        self.vitals.begin(now)
        with self.watching.open() as workspace:
            self._note_declarations(workspace)
            self.root = workspace.config.root
            with hearing():
                turn = one_turn(self._listening(workspace), self.memory, self.watching.options)
            is_new = self.watching.watch(self.root, [*workspace.graph.sources.values()])
        next_at = self._ended(turn)
        return min(next_at, self.watching.clock() + _AGAIN) if is_new else next_at

    def _take_lead(self, now: datetime) -> bool:
        lead = self.watching.lead
        if lead is None or lead.take():
            if not self.leads and lead:
                self.report(Happened.LEADING, "this process does the work")
            self.leads = True
            return True
        if self.leads or self.vitals.alive_at is None:
            self.report(Happened.STANDING_BY, "another process does the work; this one stands by")
        self.leads = False
        self.problems.clear("turn", now)
        self.vitals.stand_by(now)
        return False

    def _note_declarations(self, workspace: Workspace) -> None:
        """Report declarations that cannot be read; those that were read last are used."""
        now, outdated = self.watching.clock(), workspace.project.outdated
        if outdated:
            self.problems.add("declarations", str(outdated), now)
        else:
            self.problems.clear("declarations", now)

    def _listening(self, workspace: Workspace) -> Workspace:
        """Return the workspace with a reporter that takes every event as a sign of life."""

        def heard(event: Event, /) -> None:
            self.vitals.sign_of_life(self.watching.clock())
            workspace.reporter(event)

        return replace(workspace, reporter=heard)

    def _ended(self, turn: Turn) -> datetime:
        """Note a turn that ended; return when the next one is due."""
        now = self.watching.clock()
        self.problems.clear("turn", now)
        self.pause = _FIRST_PAUSE
        seconds = (now - turn.began).total_seconds()
        self.vitals.end(now, turn.counts, seconds)
        self.vitals.standings = turn.standings
        if turn.outcome:
            counts = ", ".join(f"{count} {kind}" for kind, count in sorted(turn.counts.items()))
            message = f"{counts or 'nothing to do'} in {seconds:.1f} s"
            self.report(Happened.TURN, message, results=dict(turn.counts), seconds=seconds)
            if turn.outcome.interrupted:
                raise KeyboardInterrupt
        return min([turn.began + self.watching.poll, *turn.moments])

    def _failed(self, error: Exception) -> datetime:
        """Report what went wrong with a turn; return when to do it again."""
        now = self.watching.clock()
        self.problems.add("turn", _described(error), now)
        self.vitals.fail(now)
        pause, self.pause = self.pause, min(self.pause * 2, _LONGEST_PAUSE)
        return now + pause

    def _sleep(self, next_at: datetime) -> None:
        """Wait until a moment, or until a file changes."""
        self.vitals.next_moment = next_at
        longest = max(self.watching.poll, _LONGEST_PAUSE)  # also if the clock has gone back
        pause = min(max(next_at - self.watching.clock(), _SHORTEST), longest)
        seconds = pause.total_seconds()
        changed = self.watching.sleep(seconds)
        if changed and self.root:
            self.memory.looks.changed(self.root, changed)


def _described(error: Exception) -> str:
    """Return what an error says, and what can be done about it."""
    if isinstance(error, AssayError):
        return str(error)
    message, hint = f"{type(error).__name__}: {error}", remedy(error)
    return f"{message}\n  {hint}" if hint else message
