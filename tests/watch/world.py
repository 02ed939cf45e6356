"""A loop in this process, with a clock that goes as far as the loop sleeps."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from assay.build.workspace import open_workspace
from assay.catalog.leading import Lead
from assay.watch.loop import Watching, run
from assay.watch.opening import Opening
from assay.watch.reports import Report
from assay.watch.turn import TurnOptions
from assay.watch.vitals import Vitals

START = datetime(2024, 3, 4, 6, 0, tzinfo=UTC)  # a Monday


class World:
    """`act` is what happens while the loop sleeps: it is called with the number of the sleep, from 1."""

    def __init__(self, root: Path, now: datetime = START) -> None:
        self.root, self.now = root, now
        self.reports: list[Report] = []
        self.sleeps: list[float] = []
        self.vitals = Vitals("prod", timedelta(hours=1))

    def clock(self) -> datetime:
        return self.now

    def run(
        self,
        turns: int,
        act: Callable[[int], object] = lambda number: None,
        *,
        lead: Lead | None = None,
        poll: timedelta = timedelta(seconds=60),
        **options: object,
    ) -> None:
        """Let the loop do so many turns."""

        def sleep(seconds: float) -> None:
            self.now += timedelta(seconds=seconds)
            self.sleeps.append(seconds)
            act(len(self.sleeps))

        last = self.vitals.turns.total() + turns
        watching = Watching(
            open=Opening(
                lambda before: open_workspace(
                    now=self.now, start=self.root, create=True, last_good=True, before=before
                )
            ),
            clock=self.clock,
            sleep=sleep,
            log=self.reports.append,
            vitals=self.vitals,
            lead=lead,
            poll=poll,
            until=lambda: self.vitals.turns.total() >= last,
            options=TurnOptions(jobs=1, **options),
        )
        run(watching)

    def told(self, what: str) -> list[str]:
        """Return the messages of reports of one kind."""
        return [report.message for report in self.reports if report.what == what]
