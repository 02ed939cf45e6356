"""Promises over nights of drops, runs, restored and retired versions and gc, beside what plain Python says of them."""

import os
import random
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest

from assay.catalog import open_catalog
from tests.conftest import Place, effort
from tests.server import Server

pytestmark = pytest.mark.long

STEPS = effort(12, 40, 40)
SEEDS = range(effort(1, 2, 12))
DAY = timedelta(days=1)
DROPS = """
from assay import Freshness, source, sql_product

drops = source.files("drops/{day:date}.csv", columns={"x": "bigint"})
other = sql_product("other", "select max(day) as day from drops", owner="o", event_time="day")
"""
DAILY = """
daily = sql_product("daily", "select day, x from drops", owner="o", event_time="day",
    freshness=Freshness(by="07:00", on="Mon-Fri", covers="previous working day"))
"""


@dataclass
class Nights:
    """A project whose days go by, and what readers of `daily` had from when on."""

    place: Place
    chance: random.Random
    now: datetime = datetime(2011, 12, 5, 3, tzinfo=UTC)
    days: list[date] = field(default_factory=list)
    had: list[tuple[datetime, date | None]] = field(default_factory=list)
    pinned: bool = False
    ran: list[datetime] = field(default_factory=list)

    def command(self, *words: str) -> object:
        ran = self.place.run(*words, "--now", self.now.isoformat(), "--json")
        assert ran.code == 0, (words, ran.err)
        return ran

    # ------------------------------------------------------------------------------- what happens

    def drop(self) -> None:
        """The drop of yesterday, or of a day that was left out."""
        day = self.now.date() - self.chance.choice([1, 1, 1, 2, 3]) * DAY
        self.days.append(day)
        self.place.write(f"drops/{day}.csv", f"x\n{self.chance.randint(1, 9)}\n")

    def run(self) -> None:
        self.command("materialize")
        self.is_run()

    def two_runs(self) -> None:
        """At once: the one that comes second finds everything done, or builds what it finds."""
        command = [sys.executable, "-m", "assay", "materialize", "--now", self.now.isoformat()]
        both = [
            subprocess.Popen(command, cwd=self.place.root, stdout=subprocess.PIPE, stderr=-1)
            for _ in range(2)
        ]
        for process in both:
            out, err = process.communicate()
            assert process.returncode == 0 or b"busy" in out, (out, err)
        self.is_run()

    def is_run(self) -> None:
        self.ran.append(self.now)
        if not self.pinned:
            self.reads(max(self.days))

    def restore(self) -> None:
        versions = self.place.run("history", "daily", "--json").json
        if not versions:  # it was retired, and gc has been there
            return self.run()
        version = self.chance.choice(versions)
        self.command("restore", "daily", version["version"])
        self.reads(date.fromisoformat(version["data_as_of"][:10]))
        self.pinned = True
        return None

    def unpin(self) -> None:
        self.command("restore", "--unpin")
        self.pinned = False

    def retire(self) -> None:
        """By mistake: it is declared again before the next run."""
        self.place.write("products/t.py", DROPS)
        self.command("retire", "daily")
        self.place.write("products/t.py", DROPS + DAILY)
        self.reads(None)
        self.pinned = False

    def gc(self) -> None:
        self.command("gc")

    def reads(self, as_of: date | None) -> None:
        self.had.append((self.now, as_of))

    def live(self) -> None:
        acts = [self.drop, self.drop, self.drop, self.run, self.run, self.run, self.two_runs]
        rare = [self.restore, self.unpin, self.gc, self.gc, self.retire]
        self.drop()
        self.run()
        for _ in range(STEPS):
            self.now += timedelta(minutes=self.chance.choice([7, 60, 240, 600, 1440, 3000, 9000]))
            act = self.chance.choice(acts + rare)
            gone = self.had[-1][1] is None
            if (act == self.unpin and not self.pinned) or (act == self.retire and gone):
                act = self.run
            act()
        self.now += timedelta(hours=1)
        self.run()

    # --------------------------------------------------------------------------------- the oracle

    def wanted(self) -> list[tuple[datetime, str, datetime | None]]:
        """How promises came out: the due moment, how, and when the data came."""
        first, last, wanted = self.ran[0], self.ran[-1], []
        dues = [due for due in mornings(first, last + 9 * DAY) if due > first]
        for due, following in pairwise(dues):
            if due > last:
                break
            reach = due.date() - (3 if due.weekday() == 0 else 1) * DAY
            readers_had = [as_of for at, as_of in self.had if at <= due]
            if readers_had and readers_had[-1] and readers_had[-1] >= reach:
                wanted.append((due, "kept", None))
                continue
            came = [
                at
                for at, as_of in self.had
                if due < at <= min(following, last) and as_of and as_of >= reach
            ]
            if came:
                wanted.append((due, "late", came[0]))
            elif following <= last:
                wanted.append((due, "missed", None))
            else:
                break
        return wanted


def mornings(start: datetime, end: datetime) -> list[datetime]:
    """Return 07:00 of each weekday of a period."""
    days = [start.date() + n * DAY for n in range((end - start).days + 2)]
    return [
        datetime(day.year, day.month, day.day, 7, tzinfo=UTC) for day in days if day.weekday() < 5
    ]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_promises_come_out_as_readers_had_the_data(
    place: Place, database: str, seed: int, request: pytest.FixtureRequest
) -> None:
    server: Server | None = request.getfixturevalue("server") if database == "postgres" else None
    address = server.database() if server else ""
    settings = f'catalog = "{address}"\n' if server else ""
    place.write("pyproject.toml", f"[tool.products]\nkeep_days = 1\nkeep_versions = 2\n{settings}")
    (place.root / "products/sales.py").unlink()
    place.write("products/t.py", DROPS + DAILY)
    nights = Nights(place, random.Random(os.environ.get("ASSAY_SEED") or f"{database} {seed}"))
    nights.live()
    with closing(open_catalog(address or place.root / ".products/catalog.db")) as catalog:
        rows = catalog.database.rows(
            "select due, state, came from promises where name = 't.daily' order by due"
        )
    found = [
        (datetime.fromisoformat(due), state, came and datetime.fromisoformat(came))
        for due, state, came in rows
    ]
    assert found == nights.wanted()
