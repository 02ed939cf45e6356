"""The example's week of 2011-12-05, replayed: what was published when, who was told what, which promises were kept.

One drop is late, one holds a morning, one never comes; the process is killed in one night. `tests.week` is what runs.
"""

import json
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from itertools import groupby
from pathlib import Path

import pytest

from tests.conftest import LONG, ROOT, Place
from tests.watch.receivers import Mails
from tests.week import prepare

BEGIN, END = "2011-12-04 19:00", "2011-12-13 08:00"

# When readers saw another daily revenue: the moment, and the last day in it.
PUBLISHED = [
    ("12-04 19:00", "2011-12-02"),
    ("12-04 20:10", "2011-12-04"),
    ("12-05 20:15", "2011-12-05"),
    ("12-06 23:40", "2011-12-06"),
    ("12-07 20:05", "2011-12-07"),
    ("12-08 20:20", "2011-12-08"),
    ("12-09 20:20", "2011-12-09"),  # what was built at 09:25 of a morning's drop was held back
]

# How each promise came out: neither the shop nor finance promises anything on Saturday, nor finance on Sunday.
PROMISES = [
    ("sales.raw_sales", "12-04 21:30", "kept", ""),
    ("finance.daily_revenue", "12-05 07:00", "kept", ""),  # Sunday's figures: the shop trades then
    ("finance.month_close", "12-05 08:00", "kept", ""),  # working day 3
    ("sales.raw_sales", "12-05 21:30", "kept", ""),
    ("finance.daily_revenue", "12-06 07:00", "kept", ""),
    ("sales.raw_sales", "12-06 21:30", "late", "12-06 23:40"),
    ("finance.daily_revenue", "12-07 07:00", "kept", ""),
    ("sales.raw_sales", "12-07 21:30", "kept", ""),
    ("finance.daily_revenue", "12-08 07:00", "kept", ""),
    ("sales.raw_sales", "12-08 21:30", "kept", ""),
    ("finance.daily_revenue", "12-09 07:00", "kept", ""),
    ("sales.raw_sales", "12-09 21:30", "kept", ""),
    ("sales.raw_sales", "12-11 21:30", "missed", ""),
    ("finance.daily_revenue", "12-12 07:00", "missed", ""),
]

SHOP, FINANCE = "shop-platform@shop.example", "finance-data@shop.example"
# Who was told what: of a late drop, also the owner of what is made of it.
TOLD = [
    (SHOP, "Late: sales.raw_sales"),
    (FINANCE, "Late: sales.raw_sales"),
    (SHOP, "Restored: sales.raw_sales, after 2 h 10 min"),
    (FINANCE, "Restored: sales.raw_sales, after 2 h 10 min"),
    (
        FINANCE,
        "Held back: finance.daily_revenue; readers see Thursday's figures (as of 2011-12-08)",
    ),
    (FINANCE, "Restored: finance.daily_revenue, after 10 h 55 min"),
    (SHOP, "At risk: sales.raw_sales"),
    (SHOP, "Late: sales.raw_sales"),
    (FINANCE, "Late: sales.raw_sales"),
    (SHOP, "Missed: sales.raw_sales"),
    (FINANCE, "Missed: sales.raw_sales"),
]


@pytest.fixture
def mails() -> object:
    with Mails() as mails:
        yield mails


def replay(place: Place, begin: str, end: str, *more: str) -> list[dict]:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.week", str(place.root), begin, end, *more],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (-signal.SIGKILL if more else 0, "")
    return [json.loads(line) for line in ran.stdout.splitlines()]


@pytest.fixture
def week(example: Place, mails: Mails) -> Place:
    prepare(example.root)
    address = mails.url + "&to={owner}"
    with (example.root / "pyproject.toml").open("a") as file:
        file.write(f'\n[tool.products.notify.owners]\nto = ["{address}"]\n')
    return example


def promises(root: Path) -> list[tuple[str, str, str, str]]:
    """Return the recorded promises in the order in which they fell due."""
    query = "select name, due, state, coalesce(came, '') from promises order by due, name"
    with closing(sqlite3.connect(root / ".products/catalog.db")) as catalog:
        rows = catalog.execute(query).fetchall()
    return [(name, short(due), state, short(came)) for name, due, state, came in rows]


def short(moment: str) -> str:
    """Return a recorded moment as the tables above write it."""
    return moment[5:16].replace("T", " ")


def by_change(told: list[tuple[str, str]]) -> list[set[tuple[str, str]]]:
    """Return who was told, in any order, of each change, in order."""
    return [set(group) for _, group in groupby(told, key=lambda message: message[1])]


def holds(place: Place, mails: Mails, events: list[dict]) -> None:
    """Compare everything that happened with the tables above."""
    versions = {
        v["version"]: v["data_as_of"] for v in place.run("history", "daily_revenue", "--json").json
    }
    published = [
        (event["published"], versions[event["products"]["finance.daily_revenue"]][:10])
        for event in events
        if "finance.daily_revenue" in event.get("products", {})
    ]
    assert published == PUBLISHED
    assert promises(place.root) == PROMISES
    told = [(", ".join(to), str(mail["subject"])) for to, mail in mails.received]
    assert by_change(told) == by_change(TOLD)


@pytest.mark.long
def test_the_week_of_the_shop(week: Place, mails: Mails) -> None:
    holds(week, mails, replay(week, BEGIN, END))


@pytest.mark.long
def test_the_week_is_the_same_after_a_kill_in_the_night(week: Place, mails: Mails) -> None:
    """What the killed process was told to do is done by the next, and nobody is told twice."""
    first = replay(week, BEGIN, END, "--kill-at", "2011-12-08 20:20")
    assert first[-1] == {"killed": "12-08 20:20"}
    second = replay(week, "2011-12-08 20:20", END)
    holds(week, mails, first + second)
