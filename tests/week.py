"""The shop's week of 2011-12-05, watched by the loop of `products run` with a clock that jumps from moment to moment.

    python -m tests.week ROOT BEGIN END [--kill-at MOMENT]

Drops land when `LANDINGS` says. With --kill-at, the process kills itself while it builds the first product after that
moment. It prints what happened, a JSON value a line.
"""

import json
import os
import shutil
import signal
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from assay.build.workspace import Workspace, open_workspace
from assay.events import Event, Reporter, Settled, Working
from assay.plan.observed import Observed
from assay.watch.loop import Watching, run
from assay.watch.opening import Opening
from assay.watch.reports import Report
from assay.watch.telling import tell
from assay.watch.turn import TurnOptions
from assay.watch.vitals import Vitals
from tests.conftest import ROOT

# When drops land, in UTC, which is London's time in winter: the file, and the day that it is the drop of.
LANDINGS = [
    ("2011-12-04 20:10", "retail/2011-12-04", "2011-12-04"),
    ("2011-12-05 20:15", "retail/2011-12-05", "2011-12-05"),
    ("2011-12-06 23:40", "retail/2011-12-06", "2011-12-06"),  # late: it was due 21:30
    ("2011-12-07 20:05", "retail/2011-12-07", "2011-12-07"),
    ("2011-12-08 20:20", "retail/2011-12-08", "2011-12-08"),
    ("2011-12-09 09:25", "nights/2011-12-09.at-0920", "2011-12-09"),  # wrong: the drop of a morning
    ("2011-12-09 20:20", "nights/2011-12-09", "2011-12-09"),
]  # the drop of Sunday 2011-12-11 never comes


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def prepare(root: Path) -> None:
    """Take away the drops that have not landed yet."""
    for _, _, day in LANDINGS:
        (root / f"fixtures/retail/{day}.csv.gz").unlink(missing_ok=True)


class Week:
    """The clock goes on while the loop sleeps, to the next landing at most."""

    def __init__(self, root: Path, begin: datetime, kill_at: datetime | None) -> None:
        self.root, self.now, self.kill_at = root, begin, kill_at
        self.vitals = Vitals("prod", timedelta(hours=1))

    def sleep(self, seconds: float) -> list[Path]:
        wake = self.now + timedelta(seconds=seconds)
        landing = min((at(when) for when, _, _ in LANDINGS if at(when) > self.now), default=wake)
        self.now = min(wake, landing)
        return [self.land(*row) for row in LANDINGS if at(row[0]) == self.now]

    def land(self, when: str, file: str, day: str) -> Path:
        target = self.root / f"fixtures/retail/{day}.csv.gz"
        shutil.copyfile(ROOT / f"fixtures/{file}.csv.gz", target)
        os.utime(target, (at(when).timestamp(),) * 2)
        return target

    def reporter(self, workspace: Workspace, observed: Observed) -> Reporter:
        def report(event: Event, /) -> None:
            if isinstance(event, Working) and self.kill_at and self.now >= self.kill_at:
                say(killed=f"{self.now:%m-%d %H:%M}")
                os.kill(os.getpid(), signal.SIGKILL)
            if isinstance(event, Settled) and event.release:
                say(published=f"{self.now:%m-%d %H:%M}", products=dict(event.release.moves))

        return report

    def log(self, report: Report) -> None:
        say(log=f"{report.at:%m-%d %H:%M}", what=str(report.what), message=report.message)

    def go(self, end: datetime) -> None:
        run(
            Watching(
                open=Opening(
                    lambda before: open_workspace(
                        now=self.now, start=self.root, create=True, last_good=True, before=before
                    )
                ),
                clock=lambda: self.now,
                sleep=self.sleep,
                log=self.log,
                vitals=self.vitals,
                until=lambda: self.now >= end,
                poll=timedelta(hours=3),
                options=TurnOptions(
                    after=(partial(tell, note=lambda text: say(note=text)),),
                    reporter_of=self.reporter,
                ),
            )
        )


def say(**what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    kill_at = at(sys.argv[sys.argv.index("--kill-at") + 1]) if "--kill-at" in sys.argv else None
    Week(Path(sys.argv[1]), at(sys.argv[2]), kill_at).go(at(sys.argv[3]))
