"""The loop with a clock of its own: what it builds, when it looks again, what it reports, what it survives."""

import io
import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from assay.build import due, observe, standings
from assay.cli.run_log import RunLog
from assay.plan.ladder import plan
from assay.watch.loop import _FIRST_PAUSE
from assay.watch.telling import tell
from assay.watch.wrong import WrongNow
from tests.conftest import Place
from tests.watch.world import START, World

BASE = 'sql_product("base", "from numbers", owner="o")\n'
FAILING = """
@product(owner="o")
def failing(numbers):
    if Path("broken").exists():
        raise OSError("no")
    return numbers

sql_product("after", "from failing", owner="o")
"""


@pytest.fixture(autouse=True)
def here(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.root)


@pytest.fixture
def world(place: Place) -> World:
    place.write("products/sales.py", BASE, header=True)
    return World(place.root)


def count(place: Place, name: str = "base") -> int:
    return len(place.query(f"from {name}"))


def test_what_a_killed_process_left_is_removed_with_nothing_to_build(
    place: Place, world: World
) -> None:
    place.materialize()
    dead = int(Path("/proc/sys/kernel/pid_max").read_text()) + 1
    left = f".products/spill/copies-{os.uname().nodename}-{dead}/x/a.csv.txt"
    place.write(left, "n\n")
    world.run(1)
    assert world.told("turn") == []
    assert not (place.root / left).exists()


def test_new_files_are_published_and_nothing_is_done_in_between(place: Place, world: World) -> None:
    world.run(2)
    assert count(place) == 3
    assert world.told("turn") == ["1 published in 0.0 s"]
    world.run(3, lambda number: place.numbers("b", 4) if number == 2 else None)
    assert count(place) == 4
    assert len(world.told("turn")) == 2
    assert [run["asked"] for run in place.run("runs", "--json").json] == ["run", "run"]
    assert set(world.sleeps) == {60.0}, "the longest wait"
    assert world.told("ended") == ["ended: what is finished is kept"] * 2


def test_what_is_wrong_and_what_is_well_again_is_in_the_log(place: Place, world: World) -> None:
    """Also if somebody else repaired it, and after this process began."""
    place.write("products/sales.py", BASE + FAILING, header=True)
    (place.root / "broken").touch()

    def watching() -> dict[str, object]:
        return {"after": (partial(tell, note=lambda text: None), WrongNow(world.reports.append))}

    world.run(3, **watching())
    failed = "sales.failing: failed (incident 1: `products incidents` says more)"
    assert world.told("problem") == [failed], "once, not with every turn"
    assert world.told("recovered") == []

    def mend(number: int) -> None:
        (place.root / "broken").unlink(missing_ok=True)
        place.run("retry", "--now", str(world.now.isoformat()))

    world.run(2, mend, **watching())
    assert world.told("problem") == [failed] * 2, "a process that begins says what is open"
    assert world.told("recovered") == ["sales.failing: as it should be again"]


def test_a_catalog_that_another_program_holds(
    place: Place, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on as soon as it can, and says so; only its patience is shorter here."""
    world.run(1)
    connect = sqlite3.connect
    monkeypatch.setattr(
        "assay.catalog.sqlite.sqlite3.connect",
        lambda *given, timeout=0, **more: connect(*given, timeout=0.05, **more),
    )
    with closing(connect(place.root / ".products/catalog.db", isolation_level=None)) as other:

        def act(number: int) -> None:
            if number == 2:
                other.execute("begin exclusive")
                place.numbers("b", 4)
            elif number == 4:
                other.execute("rollback")

        world.run(5, act)
    [problem] = world.told("problem")
    assert "database is locked" in problem and "Another program" in problem
    assert world.told("recovered") == ["turn: as it should be again"]
    assert count(place) == 4


def test_declarations_are_read_anew_and_mistakes_leave_the_last_good_ones(
    place: Place, world: World
) -> None:
    """SQL goes on as it was declared; the mistake is reported once, and its end."""
    world.run(1)

    def act(number: int) -> None:
        if number == 1:
            place.write("products/sales.py", BASE + "sql_product(", header=True)
            place.numbers("b", 4)
        elif number == 3:
            place.write("products/sales.py", BASE + BASE.replace("base", "more"), header=True)

    world.run(5, act)
    assert count(place) == 4 and count(place, "more") == 4
    [problem] = world.told("problem")
    assert "the declarations cannot be read now" in problem
    assert world.told("recovered") == ["declarations: as it should be again"]


def test_python_waits_while_the_declarations_have_a_mistake(place: Place) -> None:
    place.write("products/sales.py", BASE + FAILING, header=True)
    world = World(place.root)
    world.run(1)
    place.write("products/sales.py", BASE + FAILING + "1 / 0\n", header=True)
    place.numbers("b", 4)
    world.run(2)
    assert (count(place), count(place, "failing"), count(place, "after")) == (4, 3, 3)
    assert len(world.told("problem")) == 1


def test_what_fails_is_tried_again_after_growing_pauses(place: Place) -> None:
    place.write("products/sales.py", BASE + FAILING, header=True)
    place.write("broken", "")
    world = World(place.root)
    world.run(24, poll=timedelta(minutes=10))
    runs = place.run("runs", "--json", "--limit", "100").json
    starts = [run["started_at"][11:16] for run in reversed(runs)]
    assert starts[:9] == [
        "06:00",
        "06:01",
        "06:03",
        "06:07",
        "06:15",
        "06:31",
        "07:03",
        "08:03",
        "09:03",
    ]
    assert count(place) == 3, "what does not depend on it is published"


def test_a_clock_that_goes_back_makes_nothing_wait(place: Place) -> None:
    place.write("products/sales.py", BASE + FAILING, header=True)
    place.write("broken", "")
    world = World(place.root)
    tried = len(place.run("runs", "--json").json)

    def go_back(number: int) -> None:
        if number == 1:
            world.now -= timedelta(days=30)

    world.run(2, go_back)
    assert len(place.run("runs", "--json").json) == tried + 2
    world.run(1, go_back)
    assert max(world.sleeps) <= 300


def test_a_turn_during_which_the_clock_goes_back_is_no_long_wait(place: Place) -> None:
    place.numbers("b", 4)
    world = World(place.root)

    def go_back(*_: object) -> None:
        world.now -= timedelta(days=30)

    world.run(2, after=[go_back])
    assert max(world.sleeps) <= 300


def test_a_change_of_what_is_wanted_ends_the_pause(place: Place) -> None:
    place.write("products/sales.py", BASE + FAILING, header=True)
    place.write("broken", "")
    world = World(place.root)
    world.run(20)
    (place.root / "broken").unlink()
    place.numbers("b", 4)
    world.run(2)
    assert count(place, "failing") == count(place, "after") == 4


def test_the_same_bad_data_is_not_built_again(place: Place) -> None:
    place.write(
        "products/sales.py",
        'sql_product("base", "from numbers", owner="o", rules=[rule.check("small", "x < 3")])\n'
        'sql_product("beside", "from numbers", owner="o", release_group="g")\n'
        'sql_product("bad", "from base", owner="o", release_group="g")\n',
        header=True,
    )
    world = World(place.root)
    world.run(100)
    assert len(place.run("runs", "--json", "--limit", "100").json) == 1


def test_a_source_is_looked_at_as_often_as_it_says(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.write(
        "products/sales.py",
        """
        slow = source.files("slow/*.csv", columns={"x": pl.Int64}, poll="1h")
        quick = source.files("quick/*.csv", columns={"x": pl.Int64}, poll="20s")
        sql_product("base", "from slow union all from quick union all from numbers", owner="o")
        """,
        header=True,
    )
    for name in ("slow", "quick"):
        place.write(f"{name}/a.csv", "x\n1\n")
    looked: dict[str, list[int]] = {"slow": [], "quick": [], "numbers": []}
    world = World(place.root)
    real = observe.observe_source

    def counted(root, source, listings):
        looked[source.name.partition(".")[2]].append(int((world.now - START).total_seconds()))
        return real(root, source, listings)

    monkeypatch.setattr(observe, "observe_source", counted)
    world.run(40, poll=timedelta(minutes=5))
    assert {*looked["slow"]} == {0}
    assert sorted({*looked["quick"]}) == [20 * number for number in range(40)]
    assert {*looked["numbers"]} == {*looked["quick"]}, "at each turn, without a poll"
    world.now += timedelta(hours=1)
    world.run(1)
    assert max(looked["slow"]) > 3600


def lost(place: Place) -> Callable[[], object]:
    """Take the catalog away; return what brings it back."""
    catalog = place.root / ".products/catalog.db"
    aside = catalog.with_name("aside.db")
    with closing(sqlite3.connect(catalog)) as db:
        db.execute("pragma wal_checkpoint(truncate)")
    shutil.move(catalog, aside)
    catalog.write_text("this is no catalog")
    return lambda: shutil.move(aside, catalog)


def test_a_problem_is_reported_once_and_the_loop_goes_on(place: Place, world: World) -> None:
    world.run(1)
    bring_back = lost(place)
    place.numbers("b", 4)

    def act(number: int) -> None:
        if number == 8:
            bring_back()

    world.sleeps.clear()
    world.run(10, act)
    assert len(world.told("problem")) == 1 and "catalog" in world.told("problem")[0]
    assert world.told("recovered") == ["turn: as it should be again"]
    assert count(place) == 4
    assert world.sleeps[:8] == [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0]
    assert world.vitals.turns == {"ok": 3, "problem": 8}
    assert timedelta(seconds=5) == _FIRST_PAUSE


def test_a_loop_whose_turns_fail_is_not_healthy_for_ever(place: Place, world: World) -> None:
    world.run(1)
    assert world.vitals.healthy(world.now)
    lost(place)
    world.run(20)
    assert not world.vitals.healthy(world.now)
    shown = world.vitals.as_json(world.now)
    assert shown["ok"] is False and "catalog" in shown["problems"]["turn"]


PROMISED = """
raw = source.files("raw.csv", columns={"x": pl.Int64}, freshness=Freshness(within="36h"))
sql_product("small", "select x from raw", owner="o", rules=[rule.check("x is small", "x < 10")],
    freshness=Freshness(within="36h"))
"""


def test_promises_stand_as_the_verb_says_and_a_turn_plans_once(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.write("products/sales.py", PROMISED, header=True)
    world, plans, stands = World(place.root), [], []
    deliver(place, START, "x\n1\n")
    world.run(1)
    deliver(place, START + timedelta(hours=1), "x\n100\n")
    world.now = START + timedelta(hours=37)
    world.run(1)  # what came is held back

    def counted(*given: object, **more: object) -> object:
        plans.append(given)
        return plan(*given, **more)

    for module in (due, standings):
        monkeypatch.setattr(module, "plan", counted)
    seen = lambda workspace, observed, outcome, stand: stands.append(stand)
    after = (seen, partial(tell, note=pytest.fail))
    world.run(1, standings=True, after=after)
    assert len(plans) == 1, "nothing was to do"
    standing = world.vitals.standings["sales.small"]
    assert stands[0].standings["sales.small"] is standing
    shown = place.run("freshness", "small", "--now", world.now.isoformat(), "--json").json[0]
    assert shown["state"] == standing.state == "late"
    assert [c["text"] for c in shown["causes"]] == [c.text for c in standing.causes]
    assert "x is small" in standing.causes[0].text


def test_results_say_as_of_when_readers_data_is_now(place: Place) -> None:
    place.write("products/sales.py", PROMISED, header=True)
    deliver(place, START, "x\n1\n")
    World(place.root).run(1)
    deliver(place, START + timedelta(hours=1), "x\n1\n")  # the same again
    place.edit("products/sales.py", "select x from", "select x + 10 as x from")
    out, world = io.StringIO(), World(place.root, START + timedelta(hours=2))
    world.run(1, reporter_of=RunLog(out, world.clock, as_json=True).reporter)
    (held_back,) = [line for line in map(json.loads, out.getvalue().splitlines()) if line["result"]]
    assert held_back["result"] == "held back"
    reached = START + timedelta(hours=1)
    assert held_back["readers"]["data_as_of"] == reached.isoformat(), held_back


def deliver(place: Place, at: datetime, text: str) -> None:
    place.write("raw.csv", text)
    os.utime(place.root / "raw.csv", (at.timestamp(),) * 2)
