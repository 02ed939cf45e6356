"""`products freshness`, and what `status` and `ls` say of promises, day by day in December 2011."""

import hashlib
import sqlite3
from contextlib import closing

import pytest

from tests.conftest import Place

DEFINITIONS = """
from assay import Consumer, Freshness, rule, source, sql_product

WEEK = "Mon-Fri"
raw = source.files("raw/{day:date}.csv", columns={"x": "bigint"}, owner="shop@x",
    freshness=Freshness(by="21:30", tz="Europe/London", on=WEEK, covers="today"))
countries = source.files("countries.csv", columns={"code": "varchar"})
lines = sql_product("lines", "select day, x, code from raw, countries", owner="o", event_time="day")
daily = sql_product("daily", "select day, sum(x)::bigint as x from lines group by day", owner="o",
    event_time="day", consumers=[Consumer(name="desk", decides="discounts")],
    rules=[rule.check("x is small", "x < 100")],
    freshness=Freshness(by="07:00", tz="Europe/London", on=WEEK, covers="previous working day",
        at_least="95 %"))
"""


@pytest.fixture
def shop(place: Place) -> Place:
    """Thursday's drop is published on Friday the 9th, 06:00; the last one."""
    place.write("products/t.py", DEFINITIONS)
    place.write("countries.csv", "code\nGB\n")
    drop(place, 7)
    night(place, "08T06:00")
    drop(place, 8)
    night(place, "09T06:00")
    return place


def drop(place: Place, day: int, x: int = 1) -> None:
    place.write(f"raw/2011-12-{day:02}.csv", f"x\n{x}\n")


def night(place: Place, time: str) -> int:
    return place.run("materialize", "--now", f"2011-12-{time}").code


def freshness(place: Place, time: str, *arguments: str) -> tuple[int, dict[str, str]]:
    """Return the exit code and, by name, the state and the text below it."""
    every = () if arguments else ("--all",)
    ran = place.run("freshness", "--now", f"2011-12-{time}", *every, *arguments)
    texts, name = dict[str, str](), ""
    for line in ran.out.splitlines():
        if line.startswith(" "):
            texts[name] += f" | {line.strip()}"
        else:
            name, _, rest = line.partition(" ")
            texts[name] = rest.strip()
    return ran.code, texts


def status(place: Place, time: str) -> dict[str, dict]:
    told = place.run("status", "--now", f"2011-12-{time}", "--json").json
    return {item["product"]: item for item in told}  # type: ignore[attr-defined]


def test_a_week_without_a_drop_is_never_up_to_date(shop: Place) -> None:
    """Everything runs every night, and nothing fails: nothing new came."""
    for day in range(9, 17):
        assert night(shop, f"{day:02}T22:00") == 0
        code, texts = freshness(shop, f"{day:02}T22:30")
        told = status(shop, f"{day:02}T22:30")
        if day < 12:  # Friday's drop was due on Friday, 21:30; of readers, on Monday, 07:00
            assert code == 3
            assert texts["t.raw"].startswith("late ")
        else:
            assert texts["t.raw"].startswith("missed ")
            assert texts["t.daily"].startswith("late " if day == 12 else "missed ")
        for product in ("t.lines", "t.daily"):
            assert told[product]["result"] == "unchanged"
            assert told[product]["state"] != "up to date", (day, product)
            assert "t.raw" in told[product]["because"]
    text = shop.run("status", "--now", "2011-12-16T22:30").out
    assert "up to date, missed" in text
    assert "missed, was due 07:00" in text
    drop(shop, 16)
    assert night(shop, "16T22:45") == 0
    assert freshness(shop, "16T22:50", "raw", "daily")[0] == 0
    assert status(shop, "16T22:50")["t.daily"]["state"] == "up to date"


def test_what_is_said_of_a_promise(shop: Place) -> None:
    code, texts = freshness(shop, "09T06:10")
    assert code == 0
    assert texts["t.daily"].startswith("kept")
    assert "as of 2011-12-08; 1 of 1 kept this quarter (at least 95 % promised)" in texts["t.daily"]
    assert texts["t.daily"].endswith("next promise 07:00")
    code, texts = freshness(shop, "12T06:08")
    assert code == 3
    assert "as of 2011-12-08, promised 2011-12-09 by 07:00 (in 52 min)" in texts["t.daily"]
    assert "waits for t.raw: the drop of 2011-12-09 was due 21:30" in texts["t.daily"]
    assert texts["t.daily"].startswith("at risk")
    code, texts = freshness(shop, "12T08:10")
    assert "promised 2011-12-09 by 07:00 (1 h 10 min ago)" in texts["t.daily"]


def test_a_share_that_cannot_be_met_any_more(place: Place) -> None:
    """Of 66 promises from October to December, one that is missed is too many for 99 %."""
    shop = place
    shop.write("products/t.py", DEFINITIONS.replace("95 %", "99 %"))
    shop.write("countries.csv", "code\nGB\n")
    for day, time in ((7, "08T06:00"), (8, "09T06:00"), (9, "12T09:00")):
        drop(shop, day)
        night(shop, time)
    [view] = shop.run("freshness", "daily", "--now", "2011-12-12T09:10", "--json").json
    assert (view["kept"], view["promised"], view["under_at_least"]) == (2, 3, True)
    code, texts = freshness(shop, "12T09:10", "daily")
    assert (code, texts["t.daily"][:4]) == (0, "kept")
    assert "; 2 of 3 kept this quarter, under the 99 % promised; next promise" in texts["t.daily"]
    _, texts = freshness(shop, "13T08:00", "daily", "--warn-only")
    assert texts["t.daily"].startswith("late")
    assert "2 of 3 kept this quarter, under the 99 % promised" in texts["t.daily"]
    shop.edit("products/t.py", '"99 %"', '"95 %"')
    [view] = shop.run("freshness", "daily", "--now", "2011-12-12T09:10", "--json").json
    assert view["under_at_least"] is False
    assert "(at least 95 % promised)" in freshness(shop, "12T09:10", "daily")[1]["t.daily"]


def test_a_product_that_is_held_back_is_the_cause(shop: Place) -> None:
    drop(shop, 9, x=100)
    assert night(shop, "12T06:00") == 3
    code, texts = freshness(shop, "12T06:10")
    assert (code, "held back: it fails 'x is small'" in texts["t.daily"]) == (0, True)
    assert texts["t.daily"].startswith("at risk")
    assert freshness(shop, "12T07:00", "daily")[0] == 3
    assert "due 07:00" in shop.run("plan", "--now", "2011-12-12T06:20").out


def test_selection_and_exit_codes(shop: Place) -> None:
    assert freshness(shop, "09T22:00")[0] == 3  # the source is late
    assert freshness(shop, "09T22:00", "--warn-only")[0] == 0
    assert freshness(shop, "09T22:00", "daily")[0] == 0
    code, texts = freshness(shop, "09T22:00", "-s", "raw")
    assert (code, [*texts]) == (3, ["t.raw"])
    assert shop.run("freshness", "nope").code == 2
    shop.environment("try")
    other = shop.run("freshness", "--env", "try", "--now", "2011-12-09T12:00", "daily")
    assert "nothing is published" in other.out


def test_a_moment_that_is_none(shop: Place) -> None:
    ran = shop.run("freshness", "--now", "yesterday")
    assert ran.code == 2
    assert "'yesterday' is no moment: write 2011-12-09T07:00" in ran.err
    for text in ("9999-12-31T23:00", "0001-01-01"):
        ran = shop.run("freshness", "--now", text)
        assert (ran.code, f"'{text}' is not between 1900 and 9000" in ran.err) == (2, True)


@pytest.mark.parametrize("at", ["9999-12-31T23:59:59.000000+00:00", "0001-01-01T00:00:00+00:00"])
def test_an_arrival_in_no_year_is_damage(shop: Place, at: str) -> None:
    with closing(sqlite3.connect(shop.root / ".products/catalog.db")) as db, db:
        db.execute("insert into arrivals values ('t.raw', '2011-12-01', ?, ?)", [at, at])
    for verb in ("freshness", "status", "materialize"):
        ran = shop.run(verb, "--now", "2011-12-12T06:30")
        assert "Traceback" not in ran.err
        assert "damaged" in ran.err and "in no year" in ran.err, (verb, ran.err)


def test_it_writes_nothing(shop: Place) -> None:
    def digest() -> str:
        files = sorted(f for f in (shop.root / ".products").rglob("*") if f.is_file())
        return hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()

    freshness(shop, "09T22:00")  # the manifest, if the declarations changed
    before = digest()
    assert freshness(shop, "12T22:00")[0] == 3
    assert digest() == before


def test_ls_has_the_promise(shop: Place) -> None:
    rows = shop.run("ls").out.splitlines()
    assert "promise" in rows[0]
    assert "missed, was due" in next(row for row in rows if row.startswith("t.daily"))


def test_a_project_without_promises(place: Place) -> None:
    place.write(
        "products/t.py", "sql_product('p', 'select x from numbers', owner='o')", header=True
    )
    place.numbers("a", 1)
    place.run("materialize")
    ran = place.run("freshness")
    assert (ran.code, ran.out.strip()) == (
        0,
        "nothing has a promise: declare freshness= of a product or source",
    )
    assert place.run("freshness", "--json").json == []


def test_what_is_inherited_is_shown_when_it_is_asked_for(shop: Place) -> None:
    def names(*arguments: str) -> list[str]:
        ran = shop.run("freshness", "--now", "2011-12-09T06:10", "--json", *arguments)
        return [view["name"] for view in ran.json]

    own = ["t.raw", "t.daily"]
    assert names() == own
    assert names("--all") == [*own, "t.lines"]
    assert names("lines") == ["t.lines"]
    for verb in (["status", "--now", "2011-12-12T08:00"], ["ls"]):
        rows = {row.split()[0]: row for row in shop.run(*verb).out.splitlines()}
        assert "(for t.daily)" in rows["t.lines"] and "(for" not in rows["t.daily"]


def test_what_is_awaited_by_a_late_product_is_not_only_up_to_date(shop: Place) -> None:
    """What the lines inherit is broken: they say whose promise that is, and that it waits for them."""
    told = status(shop, "12T08:00")
    assert told["t.lines"]["state"] == "up to date, an input is late"
    shop.edit(
        "products/t.py",
        ', owner="shop@x",\n    freshness=Freshness(by="21:30"',
        ', owner="shop@x")\nnot_used = str(Freshness(by="21:30"',
    )
    told = status(shop, "12T08:00")
    assert told["t.lines"]["state"] == "up to date, too old for t.daily"
    assert told["t.lines"]["because"] == "t.daily waits for newer data than this has"
    out = shop.run("status", "--now", "2011-12-12T08:00").out
    assert "older than promised by 07:00 (for t.daily)" in out
    assert "too old" not in shop.run("status", "--now", "2011-12-09T06:10").out


@pytest.mark.long
def test_a_moment_before_the_last_release_is_noted(shop: Place) -> None:
    ran = shop.run("freshness", "--now", "2011-12-09T05:00", "--warn-only")
    assert "before the last release" in ran.err and "observed today" in ran.err
    assert "as if it were then" in ran.err and "cannot" not in ran.err
    assert "note" not in shop.run("freshness", "--now", "2011-12-09T06:00", "--warn-only").err
