"""Memory of builds: measured, kept with the version, and what does not fit together does not run together."""

import os
import re
import subprocess
import sys
from contextlib import closing

import pytest

from assay.build.admission import Admission, Need
from assay.build.memory import Gauge, budget_of, highest, resident
from assay.build.workers import turns
from assay.catalog import open_catalog
from assay.catalog.durations import costs as costs_of
from tests.conftest import Place, mostly_long

MIB = 2**20

# ------------------------------------------------------------------------------ what is admitted


def admission(**running: Need) -> Admission:
    found = Admission(1000, 1)
    for name, need in running.items():
        found.begin(name, need, 0.0)
    return found


def test_what_does_not_fit_beside_waits() -> None:
    found = admission(a=Need(peak=600))
    assert not found.admits(Need(peak=500), 0)
    assert found.free == 400
    found.end("a")
    assert found.admits(Need(peak=500), 0)


def test_what_is_not_known_counts_as_nothing_the_first_time() -> None:
    assert admission(a=Need(peak=1000)).admits(Need(), 0)
    assert admission(a=Need()).admits(Need(peak=1000), 0)


def test_what_is_larger_than_all_runs_alone() -> None:
    found = admission()
    assert found.admits(Need(peak=5000), 0)
    found.begin("large", Need(peak=5000), 0)
    assert not found.admits(Need(peak=1), 0)


def test_what_waits_is_not_overtaken_by_what_would_delay_it() -> None:
    found = admission(a=Need(peak=300, seconds=10), b=Need(peak=300, seconds=100))
    assert not found.admits(Need(peak=600), 0)
    assert not found.admits(Need(peak=200, seconds=50), 0), "it would run until after a"
    assert found.admits(Need(peak=200, seconds=5), 0), "it ends before a"
    assert found.admits(Need(peak=100, seconds=50), 0), "there is room for both when a has ended"
    found.again()
    assert found.admits(Need(peak=200, seconds=50), 0)


def test_large_queries_take_turns_and_others_do_not_wait_for_them() -> None:
    found = admission(a=Need(large=True))
    assert not found.admits(Need(large=True), 0)
    assert found.admits(Need(peak=10), 0)


def test_there_is_a_turn_for_each_four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, expected in ((1, 1), (2, 1), (8, 2), (10, 2)):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        assert turns() == expected


def test_the_budget_is_the_setting_or_a_share_of_the_machine() -> None:
    assert budget_of("2GB") == 2 * 10**9
    assert budget_of("1.5 GiB") == 1536 * MIB
    assert 0 < budget_of("50%") < budget_of("") <= budget_of("100%")


# ------------------------------------------------------------------------------ what is measured


class Process:
    """A process whose memory is what a test says."""

    def __init__(self) -> None:
        self.now = self.most = 100

    def grow(self, size: int) -> None:
        self.now += size
        self.most = max(self.most, self.now)


@pytest.fixture
def process() -> Process:
    return Process()


@pytest.fixture
def gauge(process: Process) -> Gauge:
    return Gauge(lambda: process.now, lambda: process.most)


def test_a_build_alone_is_measured_also_between_two_looks(process: Process, gauge: Gauge) -> None:
    with gauge.measuring() as needed:
        process.grow(70)
        process.grow(-70)
    assert needed() == 70


def test_memory_that_others_left_counts_only_until_more_is_known(
    process: Process, gauge: Gauge
) -> None:
    process.grow(500)  # left by a build before
    with gauge.measuring() as needed:
        process.grow(20)
    assert needed() == 520, "it may have used all of it"
    with gauge.measuring(60) as needed:
        process.grow(20)
    assert needed() == 60, "this is not against what it needed before"
    with gauge.measuring(60) as needed:
        process.grow(80)
    assert needed() == 80
    process.grow(-600)
    with gauge.measuring(60) as needed:
        process.grow(20)
    assert needed() <= 40


def test_builds_at_once_need_all_together_unless_they_are_known(
    process: Process, gauge: Gauge
) -> None:
    with gauge.measuring() as first, gauge.measuring() as second:
        process.grow(70)
    assert (first(), second()) == (70, 70)
    process.grow(-70)
    with gauge.measuring(30) as first, gauge.measuring(50) as second:
        process.grow(70)
    assert (first(), second()) == (30, 50)
    process.grow(-70)
    with gauge.measuring(30) as first, gauge.measuring(50) as second:
        process.grow(90)
    assert (first(), second()) == (40, 60), "somebody needed 10 more"


def test_what_is_loaded_and_stays_is_nobodys(process: Process, gauge: Gauge) -> None:
    with gauge.measuring() as needed:
        with gauge.not_counted():
            process.grow(40)
        process.grow(7)
    assert needed() == 7


def test_the_memory_of_this_process_is_known() -> None:
    code = (
        "from assay.build.memory import *\n"
        "before = resident()\nx = bytearray(100 * 2**20)\nassert resident() - before > 90 * 2**20\n"
        "del x\nassert highest() - before > 90 * 2**20\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ)
    assert 0 < resident() <= highest() + MIB


# ------------------------------------------------------------------------------ in a run

PRODUCTS = """
import time
def together(name, size):
    running = Path("running")
    running.mkdir(exist_ok=True)
    (running / name).touch()
    memory = bytearray(size * 2**20)
    with open("seen", "a") as seen:
        seen.write(f"{','.join(sorted(p.name for p in running.iterdir()))}\\n")
    time.sleep(0.3)
    with open("seen", "a") as seen:
        seen.write(f"{','.join(sorted(p.name for p in running.iterdir()))}\\n")
    (running / name).unlink()
    return len(memory)

def make(name, size):
    @product(owner="o", name=name, isolate=ISOLATE)
    def build(numbers):
        return numbers.collect().with_columns(n=pl.lit(together(name, size)))

make("a", 300)
make("b", 301)
make("c", 5)
"""


def seen(place: Place) -> set[str]:
    file = place.root / "seen"
    lines = set(file.read_text().splitlines()) if file.exists() else set()
    file.unlink(missing_ok=True)
    return lines


def peaks(place: Place) -> dict[str, float]:
    """Return the memory in MiB that the newest version of each product needed."""
    with closing(open_catalog(place.root / ".products/catalog.db", create=False)) as catalog:
        costs = costs_of(catalog.name, catalog.database, catalog.names())
    return {name: cost.peak / MIB for name, cost in costs.items()}


@pytest.mark.parametrize("isolate", mostly_long([False, True], False))
def test_two_that_do_not_fit_together_never_run_together(place: Place, isolate: bool) -> None:
    place.write("pyproject.toml", "[tool.products]\nmemory = '750MiB'\n")
    place.write("data/a.csv", "x\n1\n")
    place.write("products/sales.py", PRODUCTS.replace("ISOLATE", str(isolate)), header=True)
    place.run("materialize", "--jobs", "1")
    first = peaks(place)
    assert first["sales.a"] >= 280 and first["sales.b"] >= 280
    seen(place)
    place.write("data/a.csv", "x\n1\n2\n")
    place.write("pyproject.toml", "[tool.products]\nmemory = '500MiB'\n")
    ran = place.run("materialize", "--jobs", "3", "--json")
    assert ran.code == 0, ran.out
    assert not any("a" in line and "b" in line for line in seen(place))
    waited = {e["product"]: e for e in ran.events if e.get("result") == "waiting"}
    assert waited["sales.b"]["beside"][0] == "sales.a"
    assert waited["sales.b"]["needs_bytes"] > waited["sales.b"]["free_bytes"] > 0
    assert peaks(place)["sales.c"] < 300
    assert re.search(
        r"last built in \d\.\d s with [34]\d\d MB of memory", place.run("why", "a").out
    )
