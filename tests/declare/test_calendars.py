"""Calendars and promises as declared: what they become, their mistakes, and what they depend on."""

import os
import re
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import holidays
import pytest

from assay.declare.holiday_library import FIRST_YEAR, LAST_YEAR, library_calendar, library_codes
from assay.declare.project import open_project
from assay.model import Freshness, WorkCalendar
from assay.plan.calendars import Days
from tests.conftest import Place

VERSION = f"holidays {holidays.__version__}"
SHOP = (
    'SHOP = calendar(holidays="GB-ENG", weekmask="Sun Mon Tue Wed Thu Fri", closed=["2011-12-24"])'
)


def declare(place: Place, text: str) -> None:
    place.write("products/sales.py", text, header=True)


def promise(place: Place, *promises: str, before: str = "") -> None:
    products = [
        f"sql_product('p{number}', 'from numbers', owner='o', freshness={text})"
        for number, text in enumerate(promises)
    ]
    declare(place, "\n".join([before, *products]))


def calendars(place: Place) -> dict[str, WorkCalendar]:
    return dict(open_project(place.root).graph.calendars)


def freshness(place: Place, name: str = "sales.p0") -> Freshness:
    return open_project(place.root).graph.products[name].freshness


def python(place: Place, code: str, **environment: str) -> str:
    """Return what a process of its own prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=place.root,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=True,
    )
    return done.stdout.strip()


# ---------------------------------------------------------------------------------- the library


@pytest.mark.parametrize(
    ("code", "open_days", "closed_days"),
    [
        ("GB-ENG", ["2011-12-23"], ["2011-04-29", "2011-12-26", "2011-12-27", "2012-06-05"]),
        ("GB-SCT", ["2012-04-09"], ["2012-01-03"]),  # Easter Monday is worked on, 2 January is not
        ("US-CA", ["2024-12-24"], ["2024-07-04"]),
        ("XNYS", ["2024-11-29"], ["2024-11-28", "2024-03-29"]),  # a half-day is a working day
        ("NYSE", ["2024-12-24"], ["2024-12-25"]),
        ("XLON", ["2024-12-24"], ["2024-08-26"]),
        ("AE", ["2024-01-05"], ["2024-01-06", "2024-01-07"]),
        ("IL", ["2024-01-07"], ["2024-01-05", "2024-01-06"]),  # Friday and Saturday
        ("CN", ["2024-02-04"], ["2024-02-12"]),  # a Sunday that is worked on instead
    ],
)
def test_calendars_of_the_library(code: str, open_days: list[str], closed_days: list[str]) -> None:
    calendar = library_calendar(code)
    days = Days(calendar)
    assert [day for day in open_days if not days.is_open(date.fromisoformat(day))] == []
    assert [day for day in closed_days if days.is_open(date.fromisoformat(day))] == []
    assert (calendar.name, calendar.origin) == (code, VERSION)
    assert calendar.first >= date(FIRST_YEAR, 1, 1) and calendar.last <= date(LAST_YEAR, 12, 31)


def test_a_calendar_is_known_as_far_as_the_library_knows_it() -> None:
    assert library_calendar("XAMS").first == date(2019, 1, 1)
    assert (
        library_calendar("XHKG").last.year < LAST_YEAR
        or library_calendar("XHKG").first.year > FIRST_YEAR
    )


def test_every_code_of_the_library_is_a_calendar() -> None:
    assert {"GB", "GB-ENG", "US-CA", "XNYS", "NYSE", "XLON"} <= set(library_codes())
    for code in ["FR", "DE-BY", "JP", "SA", "ENX-XPAR", "GBR"]:
        assert library_calendar(code).closed, code
    for code in ["", "GB-", "GB-XXX", "-", "gb-eng", "XXXX", "GB-ENG-", "XNYS-ENG"]:
        assert library_calendar(code) is None, code


# ------------------------------------------------------------------------------ what is declared


def test_a_declared_calendar(place: Place) -> None:
    promise(
        place,
        "Freshness(by='21:30', tz='Europe/London', on=SHOP, covers='today')",
        "Freshness(by='08:00', on=SHOP.working_day(3), covers='previous month')",
        "Freshness(by='08:00', on=SHOP.last_working_day(), covers='today')",
        "Freshness(by='08:00', on='working day 3 of SHOP', covers='the previous month')",
        "Freshness(by='07:00', on='GB-ENG', trading='SHOP', covers='previous trading day')",
        before=SHOP,
    )
    found = calendars(place)
    assert sorted(found) == ["GB-ENG", "SHOP"]
    shop = found["SHOP"]
    assert (shop.weekdays, shop.origin) == ((0, 1, 2, 3, 4, 6), VERSION)
    assert date(2011, 12, 24) in shop.closed and date(2011, 12, 25) in shop.closed
    assert [freshness(place, f"sales.p{n}").on for n in range(4)] == [
        "SHOP",
        "working day 3 of SHOP",
        "last working day of SHOP",
        "working day 3 of SHOP",
    ]
    assert freshness(place, "sales.p3") == freshness(place, "sales.p1")
    assert str(freshness(place)) == "by 21:30 Europe/London on SHOP, covering today"
    assert freshness(place, "sales.p4").trading == "SHOP"


def test_a_calendar_of_another_module(place: Place) -> None:
    place.write("products/calendars.py", "from assay import calendar\n" + SHOP)
    promise(place, "Freshness(by='07:00', on=SHOP)", before="from products.calendars import SHOP")
    assert list(calendars(place)) == ["SHOP"]
    assert freshness(place).on == "SHOP"


def test_the_calendar_of_a_file(place: Place) -> None:
    place.write(
        "days.csv", "date,name\n2010-01-01,New Year's Day\n\n# next\n'2011-12-26';Boxing Day\n"
    )
    promise(place, "Freshness(by='07:00', on=BANK)", before="BANK = calendar(closed='days.csv')")
    bank = calendars(place)["BANK"]
    assert bank.closed == (date(2010, 1, 1), date(2011, 12, 26))
    assert (bank.first, bank.last) == (date(2010, 1, 1), date(2011, 12, 31))
    assert bank.origin == "days.csv"
    place.write("days.csv", "2012-06-05\n")
    assert calendars(place)["BANK"].closed == (date(2012, 6, 5),)
    (place.root / "days.csv").unlink()
    assert "cannot be read: No such file" in place.run("plan").err


def test_the_calendar_of_the_fixtures(place: Place) -> None:
    fixture = Path(__file__).parents[2] / "fixtures/calendar/gb-eng-bank-holidays-2010-2023.csv"
    shutil.copy(fixture, place.root / "days.csv")
    promise(place, "Freshness(by='07:00', on=BANK)", before="BANK = calendar(closed='days.csv')")
    bank = calendars(place)["BANK"]
    assert (bank.first, bank.last) == (date(2010, 1, 1), date(2023, 12, 31))
    library = library_calendar("GB-ENG")
    day = date(2010, 1, 1)
    on_weekdays = [d for d in library.closed if bank.first <= d <= bank.last and d.weekday() < 5]
    assert day in bank.closed
    assert [d for d in bank.closed if d.weekday() < 5] == on_weekdays


def test_open_days_win_over_holidays_and_the_week(place: Place) -> None:
    text = 'C = calendar(holidays="GB-ENG", open=["2011-12-26", "2011-12-31"])'
    promise(place, "Freshness(by='07:00', on=C)", before=text)
    days = Days(calendars(place)["C"])
    assert days.is_open(date(2011, 12, 26)) and days.is_open(date(2011, 12, 31))
    assert not days.is_open(date(2011, 12, 27))


def test_the_trading_days_are_those_of_the_sources(place: Place) -> None:
    text = f"""
{SHOP}
raw = source.files("data/*.csv", columns={{"x": "bigint"}}, freshness=Freshness(by="21:30", on=SHOP, covers="today"))
other = source.files("data/*.csv", columns={{"x": "bigint"}}, freshness=Freshness(by="21:30", on="XNYS", covers="today"))
sql_product("a", "from raw", owner="o")
sql_product("b", "from a", owner="o", freshness=Freshness(by="07:00", on="GB-ENG", covers="previous trading day"))
"""
    declare(place, text)
    assert freshness(place, "sales.b").trading == "SHOP"
    declare(place, text.replace('"from raw"', '"from raw union all from other"'))
    assert "sources have different calendars of trading days" in place.run("plan").err
    assert "sales.other: XNYS, sales.raw: SHOP" in place.run("plan").err
    declare(place, text.replace(', freshness=Freshness(by="21:30", on=SHOP, covers="today")', ""))
    assert freshness(place, "sales.b").trading == ""  # those of GB-ENG


def test_sources_have_promises(place: Place) -> None:
    declare(
        place,
        """
        s = source.files("data/{day:date}.csv", columns={"x": "bigint"}, freshness=Freshness(by="21:30"), event_time="day", poll="5m")
        t = source.files("data/*.csv", columns={"x": "bigint", "at": "timestamp"}, event_time="at", poll=2.5)
        f = source.file("budget.xlsx", freshness=Freshness(within="40 days"), poll="1h")
        """,
    )
    sources = open_project(place.root).graph.sources
    assert [(sources[f"sales.{n}"].event_time, sources[f"sales.{n}"].poll) for n in "stf"] == [
        ("day", 300.0),
        ("at", 2.5),
        ("", 3600.0),
    ]
    assert str(sources["sales.f"].freshness) == "at most 40 days old"


# ------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("by='25:00'", "by '25:00' is no time of day", "from 00:00 to 23:59"),
        ("by='07:00', tz='Europe/Londn'", "no time zone", "Did you mean 'Europe/London'?"),
        ("by='07:00', on='GB-EMG'", "there is no calendar 'GB-EMG'", "Did you mean 'GB-ENG'?"),
        ("by='07:00', on='gb-eng'", "there is no calendar 'gb-eng'", "Did you mean 'GB-ENG'?"),
        ("by='07:00', on='SHOPP'", "there is no calendar 'SHOPP'", "Did you mean 'SHOP'?"),
        ("by='07:00', on='holidays of mine'", "there is no calendar", "A calendar is one made by"),
        ("by='07:00', on='working day 3 of XXXX'", "there is no calendar 'XXXX'", ""),
        ("by='07:00', on='working day 40'", "no month has a working day 40", "working day 3 of"),
        ("by='07:00', covers='last day'", "covers 'last day' has no meaning", "previous quarter"),
        ("by='07:00', covers='previuos day'", "has no meaning", "Did you mean 'previous day'?"),
        ("by='07:00', covers='last month'", "has no meaning", "Did you mean 'previous month'?"),
        ("by='07:00', covers='nonsense'", "has no meaning", "It is one of: today"),
        ("by='07:00', on='Mon-Fry'", "no calendar 'Mon-Fry'", "Did you mean 'Mon-Fri'?"),
        (
            "by='07:00', on='wroking day 3 fo GB-EMG'",
            "there is no calendar",
            "Did you mean 'working day 3 of GB-ENG'?",
        ),
        ("by='07:00', on=SHOP.working_day(40)", "from 1 to 31, and is working_day(40)", ""),
        ("'07:00'", "Freshness() takes keywords only: write by='07:00'", ""),
        ("'36h'", "Freshness() takes keywords only: write within='36h'", ""),
        ("by='07:00', timezone='UTC'", "no keyword 'timezone': did you mean 'tz'?", ""),
        ("by='07:00', cover='today'", "no keyword 'cover': did you mean 'covers'?", ""),
        ("by='07:00', x=1", "no keyword 'x': it has by, every, within, tz, on,", ""),
        ("by='07:00', covers='previous working day'", "no calendar says", "on='GB-ENG'"),
        ("by='07:00', covers='previous trading day'", "no calendar has these", "Give trading="),
        ("by='07:00', trading='SHOP'", "has trading=", "previous trading day"),
        ("by='07:00', within='1h'", "has by= and within=; it has one of them", "within="),
        ("", "has none of by=, every= and within=", 'by="07:00"'),
        ("within='soon'", "within 'soon' is no length of time", "36h"),
        ("within='0h'", "within '0h' is no length of time", "36h"),
        ("within='36h', covers='today'", "has covers= beside within=", "Take covers= away"),
        ("within='36h', on='working day 3'", "beside within= has no meaning", "GB-ENG"),
        ("every='0 25 * * *'", "no cron expression: Bad hour", "from Monday to Friday"),
        ("every='daily'", "it has five fields", ""),
        ("every='0 0 30 2 *'", "no cron expression: Bad day-of-month", ""),
        (
            "every='0 7 * * 1', on='Tue'",
            "every '0 7 * * 1' on 'Tue' never falls due",
            "days of on=",
        ),
        ("every='0 7 1 * *', on='working day 3'", "never falls due", "days of on="),
        ("by='07:00', on='working day 25'", "never falls due", "days of on="),
        ("by='07:00', at_least='95'", "at_least '95' is no share", "95 %"),
        ("by='07:00', warn_before='a bit'", "warn_before 'a bit' is no length of time", "45m"),
        ("by=7", "by= should be a text, and is 7", ""),
        ("by='07:00', on=7", "on= should be the name of a calendar", ""),
        ("by='07:00', on=SHOP.working_day(0)", "on= should be the name of a calendar", ""),
        ("by='07:00', trading=SHOP.working_day(1)", "trading= should be the name", ""),
    ],
)
def test_mistakes_in_promises(place: Place, text: str, message: str, hint: str) -> None:
    promise(place, f"Freshness({text})", before=SHOP)
    ran = place.run("plan")
    assert ran.code == 2
    err = ran.err.replace('"', "'")
    assert message.replace('"', "'") in err and hint.replace('"', "'") in err, ran.err
    assert "products/sales.py:9" in ran.err


def test_a_call_of_anything_else_is_reported_as_python_says_it(place: Place) -> None:
    declare(place, "def calendar(*, x): ...\ncalendar(1)")
    assert "takes 0 positional arguments but 1 was given" in place.run("plan").err
    declare(place, "C = Consumer('desk')")
    assert 'Consumer() takes keywords only: write name="desk"' in place.run("plan").err


def test_all_mistakes_of_a_promise_at_once(place: Place) -> None:
    promise(
        place, "Freshness(by='25:00', tz='X', on='Y', covers='Z', at_least='W', warn_before='V')"
    )
    err = place.run("plan").err
    for text in ("'25:00'", "'X'", "'Z'", "'W'", "'V'"):
        assert text in err, err


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("C = calendar(weekmask='1111100')", "C: weekmask '1111100'", "Sun Mon Tue Wed Thu"),
        ("C = calendar(holidays='GB-EMG')", "C: no holidays 'GB-EMG'", "Did you mean 'GB-ENG'?"),
        ("C = calendar(holidays='!')", "C: no holidays '!' are known", "Name a country"),
        ("C = calendar(closed=['2011-13-01'])", "C: closed[0] is '2011-13-01'", "2011-12-24"),
        ("C = calendar(open=[7])", "C: open[0] is int, which is no day", "2011-12-24"),
        ("C = calendar(closed=7)", "C: closed= should be a list of dates", ""),
        ("C = calendar(closed='nosuch.csv')", "'nosuch.csv' cannot be read: No such", "relative"),
        ("C = calendar(closed='.')", "cannot be read: it is a folder", "relative"),
        ("C = calendar(closed='data/empty.csv')", "has no day in it", "first column"),
        ("C = calendar(closed='data/bad.csv')", "C: 'x' is no day", "first column"),
        ("C = calendar(closed='data/bytes.csv')", "cannot be read", "relative"),
        ("C = calendar(closed=['2011-12-24'], open=['2011-12-24'])", "both in closed= and in", ""),
        ("calendar(weekmask='Mon')", "this calendar has no name", "name="),
        ("calendar(name='two words')", "'two words' cannot be the name", "letters, digits"),
        ("C = calendar(name=7)", "name= should be a text", ""),
        ("C = calendar()\nD = calendar(name='C')", "there are two calendars C", "Rename one"),
        ("C = calendar(holidays=None)", "C: holidays= should be a text", 'such as "GB-ENG"'),
        ("C = calendar('GB-ENG')", 'calendar() takes keywords only: write holidays="GB-ENG"', ""),
        ("C = calendar(holiday='GB')", "no keyword 'holiday': did you mean 'holidays'?", ""),
        ("C = calendar(weekdays='Mon')", "no keyword 'weekdays': did you mean 'weekmask'?", ""),
    ],
)
def test_mistakes_in_calendars(place: Place, text: str, message: str, hint: str) -> None:
    place.write("data/empty.csv", "date\n")
    place.write("data/bad.csv", "date\n2011-12-24\nx\n")
    (place.root / "data/bytes.csv").write_bytes(b"\xff\xfe\x00")
    promise(place, "Freshness(by='07:00', on='Mon-Fri')", before=text)
    ran = place.run("plan")
    assert ran.code == 2 and message in ran.err and hint in ran.err, ran.err
    assert re.search(r"products/sales.py:[89]: |data/bad.csv:3: ", ran.err)


def test_a_mistake_in_a_calendar_is_reported_once(place: Place) -> None:
    promise(
        place,
        "Freshness(by='07:00', on=C)",
        "Freshness(by='07:00', on='C')",
        before="C = calendar(weekmask='x')",
    )
    ran = place.run("plan")
    assert ran.code == 2 and "1 mistake" in ran.err, ran.err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("event_time='dya'", "event_time 'dya' is neither a column nor a placeholder"),
        ("event_time='x'", "event_time 'x' is of type BIGINT, not a day or moment"),
        ("poll='often'", "poll= should be a length of time"),
        ("poll=-1", "poll= should be a length of time"),
        ("freshness='daily'", "freshness= should be Freshness(by=...)"),
        ("freshness=Freshness(by='x')", "freshness by 'x' is no time of day"),
    ],
)
def test_mistakes_in_sources(place: Place, text: str, message: str) -> None:
    declare(place, f"s = source.files('d/{{day:date}}.csv', columns={{'x': 'bigint'}}, {text})")
    ran = place.run("plan")
    assert ran.code == 2 and message in ran.err, ran.err


# ------------------------------------------------------------------- keys, and what is loaded when


def test_promises_and_calendars_rebuild_nothing(place: Place) -> None:
    place.write("drops/2011-12-09.csv", "x\n1\n")
    text = """
        {calendar}
        s = source.files("drops/{{day:date}}.csv", columns={{"x": "bigint"}}{source})
        sql_product("p", "select x from s", owner="{owner}"{product})
    """
    declare(place, text.format(calendar="", source="", owner="a", product=""))
    assert place.materialize()["sales.p"]["result"] == "published"
    for calendar in (SHOP, SHOP.replace("2011-12-24", "2011-12-23")):
        declare(
            place,
            text.format(
                calendar=calendar,
                source=', owner="b", freshness=Freshness(by="21:30", on=SHOP), event_time="day", poll="5m"',
                owner="c",
                product=", freshness=Freshness(by='07:00', on='XNYS', at_least='95 %')",
            ),
        )
        assert place.materialize()["sales.p"]["result"] == "unchanged"


def test_another_version_of_the_library_makes_the_manifest_out_of_date(
    place: Place, tmp_path: Path
) -> None:
    promise(place, "Freshness(by='07:00', on='GB-ENG')")
    assert open_project(place.root).resolved is not None  # read anew
    assert open_project(place.root).resolved is None  # from the manifest
    other = tmp_path / "site/holidays"
    shutil.copytree(Path(holidays.__file__).parent, other, ignore=shutil.ignore_patterns("locale"))
    (other / "version.py").write_text('__version__ = "9.9"\n')
    code = "from assay.declare.project import open_project as o; p = o(); print(p.resolved is None, p.graph.calendars['GB-ENG'].origin)"
    path = os.pathsep.join([str(other.parent), *sys.path])
    assert python(place, code, PYTHONPATH=path) == "False holidays 9.9"


def test_looking_loads_no_holidays(place: Place) -> None:
    promise(place, "Freshness(by='07:00', on='GB-ENG')", "Freshness(every='0 7 * * *', on='XNYS')")
    place.run("plan")
    code = "from assay.declare.project import open_project; import sys; open_project(); print('holidays' in sys.modules)"
    assert python(place, code) == "False"
