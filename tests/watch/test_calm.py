"""Turns in which nothing has changed read nothing anew, and miss nothing: whatever changes, they are whole again."""

import os
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from assay.build import due
from assay.catalog import open_catalog
from assay.declare import manifest
from assay.facts import Arrival
from assay.plan.ladder import plan
from assay.watch.calm import LONGEST
from assay.watch.telling import tell
from tests.catalog.test_incidents import cause, change
from tests.conftest import Place
from tests.watch.world import START, World

BASE = 'sql_product("base", "from numbers", owner="o"{})\n'
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def here(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.root)


@pytest.fixture
def world(place: Place) -> World:
    place.write("products/sales.py", BASE.format(""), header=True)
    return World(place.root)


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The plans that turns make, of which one in which nothing has changed makes none."""
    made: list[object] = []

    def counted(*given: object, **more: object) -> object:
        made.append(given)
        return plan(*given, **more)

    monkeypatch.setattr(due, "plan", counted)
    return made


def turns(world: World, count: int, act: Callable[[int], object] = lambda number: None) -> None:
    world.sleeps.clear()
    world.run(count, act, after=(partial(tell, note=pytest.fail),))


def edit(place: Place) -> None:
    place.edit("products/sales.py", '"from numbers"', '"select x from numbers"')


def stored(place: Place) -> Path:
    [file] = (place.root / ".products/store").rglob("*.parquet")
    return file


def record(place: Place) -> None:
    with closing(open_catalog(place.root / ".products/catalog.db")) as catalog:
        catalog.arrivals.record([Arrival(source="x", part="", at=START, seen=START)])


def damage(place: Place) -> None:
    stored(place).chmod(0o600)
    os.truncate(stored(place), 5)


def test_nothing_is_planned_until_something_changes(
    place: Place, world: World, plans: list[object]
) -> None:
    turns(world, 20)
    assert len(plans) == 2, "one builds, one finds that nothing is to do"
    assert world.vitals.turns == {"ok": 20}


def test_declarations_that_were_not_changed_are_decoded_once(
    place: Place, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns(world, 1)
    decoded, original = [], manifest._graph_of

    def counted(declared: object) -> object:
        decoded.append(declared)
        return original(declared)

    monkeypatch.setattr(manifest, "_graph_of", counted)
    turns(world, 12, lambda number: edit(place) if number == 5 else None)
    assert len(decoded) == 2, "in the first turn, and after the edit; that turn read the modules"


@pytest.mark.parametrize(
    "happens",
    [
        pytest.param(lambda place: place.numbers("b", 4), id="a new file"),
        pytest.param(edit, id="an edit"),
        pytest.param(lambda place: stored(place).unlink(), id="a published file is gone"),
        pytest.param(damage, id="a published file is damaged"),
        pytest.param(lambda place: place.spawn("materialize", "--force"), id="another process"),
        pytest.param(record, id="anything is recorded"),
    ],
)
def test_a_change_is_seen_in_the_next_turn(
    place: Place, world: World, plans: list[object], happens: Callable[[Place], object]
) -> None:
    before = []

    def act(number: int) -> None:
        if number == 6:
            before.append(len(plans))
            happens(place)
        elif number == 7:
            before.append(len(plans))

    turns(world, 9, act)
    assert before[1] == before[0] + 1
    assert place.query("select count(*) as n from base")[0]["n"] in {3, 4}
    assert not world.told("problem")


def test_a_file_of_just_now_is_not_read_again_for_long(
    place: Place, world: World, plans: list[object]
) -> None:
    [numbers] = (place.root / "data").glob("*.csv")
    world.now = datetime.fromtimestamp(numbers.stat().st_ctime, UTC)
    planned: list[int] = []
    half = timedelta(seconds=0.5)
    world.run(20, lambda number: planned.append(len(plans)), poll=half, after=(_nothing,))
    assert planned[3] == 4, "its time may not tell of another change yet"
    assert planned[8] == planned[-1] < 9


def _nothing(*_: object) -> None:
    pass


def test_while_a_message_waits_each_turn_tries_to_deliver_it(
    place: Place, world: World, plans: list[object]
) -> None:
    planned = []

    def act(number: int) -> None:
        planned.append(len(plans))
        if number == 5:
            with closing(open_catalog(place.root / ".products/catalog.db")) as catalog:
                change(catalog, cause(), now=world.now)
        elif number == 10:
            with closing(open_catalog(place.root / ".products/catalog.db")) as catalog:
                for notice in catalog.incidents.claim("prod", world.now, until=world.now):
                    catalog.incidents.settle(notice, sent=world.now, retry_at=None)

    turns(world, 15, act)
    assert planned[4] == 2
    assert planned[9] == 2 + 5, "also turns in which nothing has changed"
    assert planned[11] == planned[14 - 1] == 2 + 6


def test_all_is_read_again_within_an_hour_and_when_the_clock_goes_back(
    place: Place, world: World, plans: list[object]
) -> None:
    hour, planned = int(LONGEST / MINUTE), []

    def act(number: int) -> None:
        planned.append(len(plans))
        if number == hour + 10:
            world.now -= timedelta(days=1)

    turns(world, hour + 15, act)
    assert planned[1] == planned[hour - 1] == 2
    assert planned[hour + 1] == planned[hour + 9] == 3, "an hour was over"
    assert planned[hour + 10] == 4, "the clock went back"


def test_a_moment_that_matters_makes_a_turn_whole(place: Place, plans: list[object]) -> None:
    place.write("products/sales.py", BASE.format(', changes_with="hour"'), header=True)
    world, planned = World(place.root, START + timedelta(minutes=50)), []
    turns(world, 20, lambda number: planned.append(len(plans)))
    assert planned[3] == planned[8] == 2
    assert planned[10] == planned[18] == 3, "the next hour began"


PROMISED = """
drops = source.files("drops/{day:date}.csv", columns={"x": "bigint"})
sql_product("daily", "select day, x from drops", owner="o", event_time="day",
    freshness=Freshness(by="08:00", covers="today", warn_before="20m"))
"""


def test_a_promise_is_watched_from_when_it_is_near(place: Place, plans: list[object]) -> None:
    place.write("drops/2024-03-03.csv", "x\n1\n")
    place.write("products/sales.py", PROMISED, header=True)
    world, planned, incidents = World(place.root), {}, {}

    def act(number: int) -> None:
        planned[world.now - START] = len(plans)
        shown = place.run("incidents", "--json").json
        incidents[world.now - START] = [one["kind"] for one in shown if not one["closed"]]

    turns(world, 180, act)

    def planned_in(start: int, end: int) -> int:
        return planned[end * MINUTE] - planned[start * MINUTE]

    assert planned_in(10, 95) <= 3, "it is not near"
    assert planned_in(101, 119) == 18, "it is near: each turn looks whether it is at risk"
    assert planned_in(125, 170) <= 2, "it is late, and stays so"
    assert incidents[119 * MINUTE] == []
    assert incidents[121 * MINUTE] == ["late"], "told as soon as it is"
