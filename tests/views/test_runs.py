"""The list of runs: what was asked, how it came out; killed runs; bounded by gc."""

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from assay.build.results import kind_of
from assay.decisions import Held
from assay.events import Failed, Left, Unfinished
from assay.views.results import ResultKind
from tests.conftest import Place, until

MODULE = """
sql_product("base", "from numbers", owner="o")
sql_product("refused", "from base", owner="o", rules=[rule.check("small", "x < 3")])
sql_product("after", "from refused", owner="o")

@product(owner="o")
def failing(base):
    raise OSError("no")
"""
SLOW = """
import time

@product(owner="o")
def slow(numbers):
    Path("started").write_text("")
    while not Path("go").exists():
        time.sleep(0.05)
"""


def listed(place: Place, *options: str) -> list[dict]:
    return place.run("runs", "--json", *options).json


def test_a_run_says_what_was_asked_and_how_it_came_out(place: Place) -> None:
    place.write("products/sales.py", MODULE, header=True)
    assert place.run("runs").out.split() == ["started", "took", "state", "came", "out", "command"]
    assert place.run("materialize", "--jobs", "2", "-s", "base refused+ failing").code == 1
    [run] = listed(place)
    assert run["state"] == "done" and run["asked"] == "materialize --select 'base refused+ failing'"
    assert run["counts"] == {"failed": 1, "held": 1, "held back": 1, "published": 1}
    assert (run["built"], run["published"]) == (2, 1)
    assert run["names"]["held back"] == ["sales.refused"] and run["ended_at"] > run["started_at"]
    place.run("retry")
    newest, first = listed(place)
    assert newest["asked"] == "retry" and first == run
    assert [one["asked"] for one in listed(place, "--limit", "1")] == ["retry"]
    place.environment("try")
    assert listed(place, "--env", "try") == []
    line = place.run("runs").out.splitlines()[-1]
    assert "2 built, 1 published, 1 held back, 1 held, 1 failed" in line


def test_a_run_without_work_is_not_listed(place: Place) -> None:
    place.write("products/sales.py", 'sql_product("base", "from numbers", owner="o")', header=True)
    place.materialize()
    place.materialize()
    assert len(listed(place)) == 1


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_was_killed_or_stopped_is_listed(place: Place, by: signal.Signals) -> None:
    place.write("products/sales.py", MODULE + SLOW, header=True)
    command = [sys.executable, "-m", "assay", "materialize", "base", "slow"]
    process = subprocess.Popen(command, cwd=place.root, stdout=subprocess.DEVNULL)
    until((place.root / "started").exists)
    [running] = listed(place)
    assert running["state"] == "running" and running["pid"] == process.pid
    assert running["seconds"] is None
    os.kill(process.pid, by)
    (place.root / "go").write_text("")
    process.wait()
    [run] = listed(place)
    if by == signal.SIGKILL:
        assert (run["state"], run["ended_at"], run["counts"]) == ("crashed", None, {})
    else:
        assert run["state"] == "interrupted" and run["counts"]["left"] >= 1


def test_gc_keeps_a_hundred_runs_and_those_of_the_days_it_keeps(place: Place) -> None:
    place.write("products/sales.py", 'sql_product("base", "from numbers", owner="o")', header=True)
    place.materialize("--now", "2024-01-01T00:00")
    with closing(sqlite3.connect(place.root / ".products/catalog.db")) as catalog:
        catalog.executemany(
            "insert into runs (id, state, started_at, environment, host, pid, asked)"
            " values (?, 'done', ?, 'prod', 'h', 1, ?)",
            [(f"r{n:03}", f"2024-02-01T00:{n // 60:02}:{n % 60:02}+00:00", "x") for n in range(150)]
            + [(f"m{n:03}", "2024-02-01T00:00:00+00:00", "") for n in range(150)],
        )
        catalog.commit()
    place.run("gc", "--now", "2024-02-02T00:00")
    assert len(listed(place, "--limit", "1000")) == 151
    place.run("gc", "--now", "2024-06-01T00:00")
    runs = listed(place, "--limit", "1000")
    assert len(runs) == 101, "a hundred, and the one that built what is published"
    assert (
        runs[0]["run"] == "r149"
        and runs[-1]["asked"] == "materialize --now 2024-01-01T00:00:00+00:00"
    )


def test_the_results_of_a_run_are_called_as_everywhere() -> None:
    without = [Failed(error=""), Left(), Unfinished(parts_built=0, of=1), Held(by={})]
    kinds = {kind_of(end) for end in without}
    assert kinds == {"failed", "left", "unfinished", "held"}
    assert kinds <= {str(kind) for kind in ResultKind}
