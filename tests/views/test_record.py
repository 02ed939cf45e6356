"""`products record` over a simulated month: every figure beside plain SQL over the catalog, and beside what happened."""

import random
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

import assay
from tests.conftest import Place

DAY = timedelta(days=1)
LONDON = ZoneInfo("Europe/London")
PRODUCTS = """
drops = source.files("drops/{day:date}.csv", columns={"x": "bigint"})

sql_product("daily", "select day, x from drops", owner="desk@shop", event_time="day", budget="2 misses a month",
    freshness=Freshness(by="07:00", tz="Europe/London", on="GB-ENG", covers="previous working day"),
    rules=[rule.sql("small", "select day, x from this where x > 100"),
           rule.sql("positive", "select day, x from this where x < 0")])
sql_product("tokyo", "select max(day) as day from drops", owner="desk@shop", event_time="day",
    freshness=Freshness(by="09:00", tz="Asia/Tokyo"))
sql_product("plain", "select count(*) as n from drops", owner="desk@shop")
"""


@dataclass
class Night:
    place: Place

    def drop(self, day: date, x: int = 1) -> None:
        self.place.write(f"drops/{day}.csv", f"x\n{x}\n")

    def run(self, at: datetime, *words: str) -> int:
        verb = words or ("materialize",)
        return self.place.run(*verb, "--now", at.astimezone(UTC).isoformat()).code


def at(day: date, clock: str, zone: ZoneInfo = LONDON) -> datetime:
    return datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=zone)


def rows(place: Place, sql: str, *values: object) -> list[tuple]:
    with closing(sqlite3.connect(place.root / ".products/catalog.db")) as connection:
        return connection.execute(sql, values).fetchall()


def counted(place: Place, view: dict, until: datetime) -> dict:
    """The figures of a record by plain SQL over everything, with the days compared in Python."""
    name, zone, env = view["product"], ZoneInfo(view["tz"]), view["environment"]

    def inside(moment: str) -> bool:
        return (
            view["first"]
            <= datetime.fromisoformat(moment).astimezone(zone).date().isoformat()
            <= view["last"]
        )

    promises = rows(
        place, "select due, state from promises where name = ? and environment = ?", name, env
    )
    states = Counter(state for due, state in promises if inside(due))
    verdicts = rows(
        place,
        "select v.run, r.started_at, x.status from verdicts x join versions v on v.id = x.version"
        " join runs r on r.id = v.run where v.product = ? and r.environment = ?"
        " order by x.judged_at, x.rowid",
        name,
        env,
    )
    first = {}
    for run, started, status in verdicts:
        if inside(started):
            first.setdefault(run, status)
    held = [
        (min(began, opened), closed)
        for began, opened, closed in rows(
            place,
            "select json_extract(cause, '$.since'), opened, closed from incidents"
            " where about = ? and environment = ? and told like '%\"kind held back\"%'",
            name,
            env,
        )
    ]
    seconds = 0.0
    for began, closed in held:
        start = datetime.fromisoformat(began)
        end = datetime.fromisoformat(closed) if closed else until
        seconds += (end - start).total_seconds()
    waivers = rows(place, "select at, author, approved_by from waivers where product = ?", name)
    return {
        "kept": states["kept"],
        "late": states["late"],
        "missed": states["missed"],
        "checked": len(first),
        "right_first_time": sum(status in ("passed", "warning") for status in first.values()),
        "held_back": sum(inside(began) for began, _ in held),
        "seconds_held_back": seconds,
        "waived_by": Counter(by or who for at, who, by in waivers if inside(at)),
    }


def agrees(place: Place, view: dict, until: datetime) -> None:
    wanted = counted(place, view, until)
    assert {key: view[key] for key in wanted} == wanted, view["product"]


@pytest.fixture
def nights(place: Place) -> Night:
    place.write("products/t.py", PRODUCTS, header=True)
    (place.root / "products/sales.py").unlink()
    return Night(place)


def record(place: Place, now: datetime, *words: str) -> list[dict]:
    ran = place.run("record", *words, "--now", now.astimezone(UTC).isoformat(), "--json")
    assert ran.code == 0, ran.err
    return ran.json


def few_nights(nights: Night) -> datetime:
    """Kept, late, missed, held back and waived, each once; return when it is looked at."""
    monday = date(2011, 12, 5)
    nights.drop(monday - 3 * DAY)
    assert nights.run(at(monday, "05:00")) == 0  # kept, and watched from now on
    nights.drop(monday)
    assert nights.run(at(monday + DAY, "09:30")) == 0  # Tuesday is late
    nights.drop(monday + DAY, 500)
    assert nights.run(at(monday + 2 * DAY, "05:00")) == 3  # Wednesday's is held back
    waive = ["waive", "daily", "--rule", "small", "--because", "known", "--until", "2011-12-31"]
    assert nights.run(at(monday + 3 * DAY, "07:30"), *waive, "--approved-by", "cfo") == 0
    assert nights.run(at(monday + 3 * DAY, "07:35")) == 0  # after the next fell due
    return at(monday + 4 * DAY, "08:00")


def test_a_few_nights(nights: Night) -> None:
    """What is open is due, and not kept."""
    now, place = few_nights(nights), nights.place
    [view] = record(place, now, "daily")
    agrees(place, view, now)
    assert (view["first"], view["last"], view["tz"]) == (
        "2011-11-01",
        "2011-12-09",
        "Europe/London",
    )
    assert (view["due"], view["kept"], view["unit"]) == (5, 1, "working days")
    assert (view["late"], view["missed"], view["open"]) == (1, 1, 2)
    assert (view["checked"], view["right_first_time"]) == (3, 2)
    assert view["held_by"] == {"small": 1}
    assert view["waived_by"] == {"cfo": 1}
    assert view["days"]["2011-12-06"] == "late"
    text = place.run("record", "daily", "--now", now.isoformat()).out
    assert "1 of 5 working days kept, 1 late, 1 missed, 2 not recorded yet" in text
    assert "2011-12      ✓LM??" in text
    assert "passed in 2 of 3 runs that built it" in text
    assert "its promise is watched from 2011-12-05 05:00 on" in text
    assert "2 misses a month: 1 of 2 misses this month" in text
    table = place.run("record", "--now", now.isoformat()).out.splitlines()
    assert [line.split()[0] for line in table] == ["product", "t.daily", "t.tokyo", "t.plain"]
    [plain] = record(place, now, "plain")
    assert (plain["due"], plain["promise"], plain["tz"]) == (0, "", "UTC")
    agrees(place, plain, now)
    assert "none: it promises no freshness" in place.run("record", "plain").out
    found = assay.record("daily", month="2011-12", project=place.root)
    assert (found.kept, found.late, found.missed) == (1, 1, 1)
    assert len(assay.record(month="2011-12", project=place.root)) == 3


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2))
def test_a_month_beside_what_happened(nights: Night, seed: int) -> None:
    """Nights on which drops come, are late, or are mistyped, beside a naive account of them."""
    place, chance = nights.place, random.Random(seed)
    off = {date(2011, 12, 26), date(2011, 12, 27), date(2012, 1, 2)}
    drops: dict[date, int] = {}
    had: list[tuple[datetime, date]] = []  # from when on readers had data up to a day
    built, checks, holds, ran = set(), [], [], []
    held_since: list[datetime] = []

    def works(day: date) -> bool:
        return day.weekday() < 5 and day not in off

    def run(now: datetime) -> None:
        content = tuple(sorted(drops.items()))
        is_bad = any(x > 100 for x in drops.values())
        assert nights.run(now) == (3 if is_bad else 0)
        ran.append(now)
        if content not in built:
            built.add(content)
            checks.append((now, not is_bad))
        if is_bad and not held_since:
            held_since.append(now)
        elif not is_bad:
            holds.extend((since, now) for since in held_since)
            held_since.clear()
            had.append((now, max(drops)))

    def drop(day: date, x: int = 1) -> None:
        drops[day] = x
        nights.drop(day, x)

    drop(date(2011, 11, 29))
    run(at(date(2011, 11, 30), "08:00"))
    day, last = date(2011, 12, 1), date(2012, 1, 4)
    while day <= last:
        luck = chance.random()
        if luck < 0.75:
            drop(day - DAY, 500 if luck < 0.25 else 1)
        run(at(day, "05:00"))
        if chance.random() < 0.5:
            for each in [each for each, x in drops.items() if x > 100]:
                drop(each)
            if chance.random() < 0.5:
                drop(day - DAY)
            run(at(day, "09:00"))
        day += DAY
    dues = [ran[0].date() + n * DAY for n in range(1, 45)]
    dues = [due for due in dues if works(due)]
    states = Counter[str]()
    days = {}
    for due, following in pairwise(dues):
        reach = due - DAY
        while not works(reach):
            reach -= DAY
        moment, end = at(due, "07:00"), min(at(following, "07:00"), ran[-1])
        if moment > ran[-1]:
            break
        came = [now for now, as_of in had if as_of >= reach]
        if came and came[0] <= moment:
            state = "kept"
        elif came and came[0] <= end:
            state = "late"
        else:
            state = "missed" if at(following, "07:00") <= ran[-1] else "open"
        days[due.isoformat()] = state
        if due.month == 12:
            states[state] += 1
    now = ran[-1]
    [view] = record(place, now, "daily", "--month", "2011-12")
    until = at(date(2012, 1, 1), "00:00")
    assert {s: view[s] for s in ("kept", "late", "missed", "open")} == {
        s: states[s] for s in ("kept", "late", "missed", "open")
    }
    assert view["days"] == {day: s for day, s in days.items() if day.startswith("2011-12")}
    inside = [ok for when, ok in checks if when.month == 12]
    assert (view["checked"], view["right_first_time"]) == (len(inside), sum(inside))
    wanted = counted(place, view, until)
    del wanted["seconds_held_back"]
    assert {key: view[key] for key in wanted} == wanted
    all_holds = [*holds, *((since, now) for since in held_since)]
    assert view["held_back"] == sum(since.month == 12 for since, _ in all_holds)
    [whole] = record(place, now, "daily", "--since", "2011-11-01")
    agrees(place, whole, now)
    least = sum((end - since).total_seconds() for since, end in all_holds)
    assert whole["seconds_held_back"] >= least
    [one] = [v for v in record(place, now, "--since", "2011-11-01") if v["product"] == "t.daily"]
    assert one == {key: value for key, value in whole.items() if key != "days"}
    for view in record(place, now, "--month", "2011-12"):
        if view["product"] != "t.daily":
            agrees(place, view, until)


def test_a_promise_that_changed_is_counted_as_both(nights: Night) -> None:
    """What came out of the one before stays; the other is watched from when a run first sees it."""
    place, monday = nights.place, date(2011, 12, 5)
    nights.drop(monday - 3 * DAY)
    nights.run(at(monday, "05:00"))
    nights.run(at(monday + DAY, "05:00"))
    place.edit("products/t.py", 'by="07:00"', 'by="09:00"')
    nights.drop(monday + DAY)
    nights.run(at(monday + 2 * DAY, "08:00"))
    nights.run(at(monday + 3 * DAY, "10:00"))
    now = at(monday + 3 * DAY, "11:00")
    [view] = record(place, now, "daily")
    agrees(place, view, now)
    assert (view["unit"], view["due"], view["kept"]) == ("promises", 3, 2)
    assert datetime.fromisoformat(view["changed"]) == at(monday + 2 * DAY, "08:00")
    assert (
        "the promise was changed 2011-12-07 08:00"
        in place.run("record", "daily", "--now", now.isoformat()).out
    )


def test_what_gc_forgot_is_not_counted(nights: Night) -> None:
    place, first = nights.place, date(2011, 12, 1)
    place.write("pyproject.toml", "[tool.products]\nkeep_days = 3\nkeep_versions = 1\n")
    for n in range(9):
        nights.drop(first + n * DAY)
        assert nights.run(at(first + n * DAY, "05:00")) == 0
    now = at(first + 8 * DAY, "10:00")
    built = dict(rows(place, "select id, built_at from versions"))
    [before] = record(place, now, "daily")
    assert (before["checked"], before["right_first_time"]) == (9, 9)
    assert nights.run(now, "gc") == 0
    for id, _ in rows(place, "select id, built_at from versions"):
        del built[id]
    [view] = record(place, now, "daily")
    assert datetime.fromisoformat(view["known_since"]["checks"]) == max(
        map(datetime.fromisoformat, built.values())
    )
    agrees(place, view, now)
    assert view["checked"] < 9
    assert (before["open"], view["open"]) == (1, 0), "gc records what fell due before"
    assert view["kept"] == view["due"] == before["due"] == before["kept"] + 1, "promises stay"
    said = place.run("record", "daily", "--now", now.astimezone(UTC).isoformat()).out
    assert "first checks and restatements are known from 2011-12-0" in said


def test_each_environment_has_its_own(nights: Night) -> None:
    place, monday = nights.place, date(2011, 12, 5)
    nights.drop(monday - 3 * DAY)
    nights.run(at(monday, "05:00"))
    nights.drop(monday, 500)
    nights.run(at(monday, "06:00"), "env", "create", "try")
    assert nights.run(at(monday + DAY, "05:00"), "materialize", "--env", "try") == 3
    now = at(monday + DAY, "08:00")
    [prod], [tried] = record(place, now, "daily"), record(place, now, "daily", "--env", "try")
    for view in (prod, tried):
        agrees(place, view, now)
    assert (prod["held_back"], tried["held_back"]) == (0, 1)
    assert (prod["checked"], tried["checked"], tried["right_first_time"]) == (1, 1, 0)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--month", "2011-13"], "'2011-13' is no month"),
        (["--month", "2011-12", "--since", "2011-12-01"], "a month has its days"),
        (["--since", "2011-12-09", "--until", "2011-12-01"], "2011-12-01 is before 2011-12-09"),
        (["--since", "2090-01-01"], "2090-01-01 is still to come"),
        (["--since", "soon"], "write it as 2012-01-31"),
        (["nosuch"], "nosuch"),
        (["drops"], "t.drops is a source"),
    ],
)
def test_periods_and_names_that_are_none(nights: Night, words: list[str], told: str) -> None:
    assert nights.run(at(date(2011, 12, 5), "05:00")) in {0, 1}
    ran = nights.place.run("record", *words)
    assert (ran.code, told in ran.err) == (2, True), ran.err


@pytest.mark.long
def test_a_catalog_in_postgres_has_the_same_record(nights: Night, address: str) -> None:
    place = nights.place
    place.write("pyproject.toml", f'[tool.products]\ncatalog = "{address}"\n')
    now = few_nights(nights)
    [view] = record(place, now, "daily")
    assert (view["kept"], view["late"], view["missed"], view["open"]) == (1, 1, 1, 2)
    assert (view["checked"], view["right_first_time"], view["held_by"]) == (3, 2, {"small": 1})
    assert view["waived_by"] == {"cfo": 1}
    one, *others = record(place, now)
    assert one == {key: value for key, value in view.items() if key != "days"}
    assert [other["checked"] for other in others] == [3, 3]
    month = ["--month", "2011-12"]
    [view] = record(place, at(date(2016, 1, 1), "08:00"), "daily", *month)
    assert view["kept"] == 1, "also where gc might have forgotten promises"
    assert nights.run(now, "gc") == 0


def test_approvals_and_how_long_they_took(place: Place) -> None:
    place.write(
        "products/sales.py",
        'sql_product("signed", "select count(*) as n from numbers", owner="o", approval=["eva@shop", "bob@shop"], approvals=2)',
        header=True,
    )
    assert place.run("materialize", "--now", "2024-01-04T07:00").code == 3
    for who, clock in (("eva", "08:00"), ("bob", "09:30")):
        words = ["approve", "signed", "--as", f"{who}@shop", "--because", "counted"]
        assert place.run(*words, "--now", f"2024-01-04T{clock}").code == 0
    assert place.run("materialize", "--now", "2024-01-04T10:00").code == 0
    [view] = place.run("record", "signed", "--json", "--now", "2024-01-05T07:00").json
    assert (view["approved"], view["approved_by"]) == (1, {"bob@shop": 1, "eva@shop": 1})
    [(passed, released)] = rows(
        place,
        "select x.judged_at, r.at from moves m join releases r on r.id = m.release"
        " join verdicts x on x.version = m.version where m.product = 'sales.signed'",
    )
    waited = datetime.fromisoformat(released) - datetime.fromisoformat(passed)
    assert view["seconds_awaited"] == waited.total_seconds() == 3 * 3600
    said = place.run("record", "signed", "--now", "2024-01-05T07:00").out
    assert "1 time, by bob@shop (1), eva@shop (1), after 3 h in all" in said
