"""Recorded promises: facts, in both databases; and how many of them are kept."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from assay.catalog import Catalog, open_catalog
from assay.catalog.promises import Watched
from assay.plan.outcomes import PromiseOutcome
from assay.plan.promise_state import State
from assay.plan.retention import KeepRule
from assay.plan.shares import Tally
from assay.upkeep import gc_facts
from assay.upkeep.gc_facts import collect
from tests.conftest import Place

DUE = datetime(2011, 12, 9, 7, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(params=["sqlite", "postgres"])
def catalog(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Catalog]:
    is_file = request.param == "sqlite"
    opened = open_catalog(
        tmp_path / "catalog.db" if is_file else request.getfixturevalue("address")
    )
    yield opened
    opened.close()


def outcome(name: str = "d.p", days: int = 0, state: State = State.KEPT) -> PromiseOutcome:
    return PromiseOutcome(
        name=name,
        due=DUE + days * DAY,
        state=state,
        came=DUE + days * DAY + timedelta(minutes=5) if state is State.LATE else None,
        as_of=datetime(2011, 12, 8, 17, 20),
        cause="" if state is State.KEPT else "d.s: has data up to 2011-12-08",
        basis={"reach": "2011-12-08", "days": ["2011-12-08", "2011-12-09"]},
    )


def test_what_is_recorded_is_read_and_never_changed(catalog: Catalog) -> None:
    promises = catalog.promises
    watched = Watched(name="d.p", freshness="{}", since=DUE - DAY)
    late = outcome(days=1, state=State.LATE)
    promises.record("prod", [outcome(), late], [watched])
    promises.record("prod", [outcome(days=1), outcome("d.q")])  # another run, which came too late
    promises.record("try", [outcome(state=State.MISSED)])
    assert promises.of("prod", "d.p") == [late, outcome()]
    assert promises.of("prod", "d.p", limit=1) == [late]
    [read] = promises.watched("prod").values()
    assert (read.since, read.last, read.recorded_until) == (DUE - DAY, late.due, late.due)
    assert promises.tallies("prod", DUE, DUE + DAY) == {
        "d.p": Tally(kept=1, promised=2),
        "d.q": Tally(kept=1, promised=1),
    }
    assert promises.tallies("prod", DUE + DAY, DUE + DAY) == {"d.p": Tally(kept=0, promised=1)}
    assert promises.watched("try") == {}


def test_a_window_is_replaced_and_forgotten(catalog: Catalog) -> None:
    promises = catalog.promises
    assert not catalog.watches("prod")
    first = Watched(name="d.p", freshness="1", since=DUE)
    promises.record("prod", [], [first, Watched(name="d.q", freshness="1", since=DUE)])
    promises.record("prod", [], [Watched(name="d.p", freshness="2", since=DUE + DAY)], ["d.q"])
    [watched] = promises.watched("prod").values()
    assert (watched.name, watched.freshness, watched.since) == ("d.p", "2", DUE + DAY)
    assert (catalog.watches("prod"), catalog.watches("try")) == (True, False)
    promises.record("prod", [], [], ["d.p"])
    assert not catalog.watches("prod")


def test_gc_keeps_the_last_of_each(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc_facts, "MOST_PROMISES", 3)
    several = [outcome(name, days) for name in ("d.p", "d.q") for days in range(5)]
    catalog.promises.record("prod", [*several, outcome("d.r")])
    collect(catalog, KeepRule(), DUE + 900 * DAY)
    kept = {name: len(catalog.promises.of("prod", name)) for name in ("d.p", "d.q", "d.r")}
    assert kept == {"d.p": 3, "d.q": 3, "d.r": 1}
    assert catalog.promises.of("prod", "d.p")[0].due == DUE + 4 * DAY


@pytest.mark.parametrize(
    ("table", "column", "verb"),
    [
        ("windows", "since", ["materialize", "--due"]),
        ("promises", "due", ["materialize", "--due"]),
    ],
)
def test_a_moment_without_a_zone_is_damage(
    place: Place, table: str, column: str, verb: list[str]
) -> None:
    place.write("drops/2011-12-04.csv", "x\n1\n")
    place.write("products/t.py", PROMISED, header=True)
    for time in ("05T06:00", "05T08:00"):
        place.run("materialize", "--now", f"2011-12-{time}")
    with closing(sqlite3.connect(place.root / ".products/catalog.db")) as database:
        database.execute(f"update {table} set {column} = '2011-12-05T07:00:00'")
        database.commit()
    ran = place.run(*verb, "--now", "2011-12-06T08:00")
    assert "is damaged" in ran.err and "has no time zone" in ran.err


PROMISED = """
drops = source.files("drops/{day:date}.csv", columns={"x": "bigint"})
sql_product("daily", "select day, x from drops", owner="o", event_time="day",
    freshness=Freshness(by="07:00", covers="previous day"))
"""
