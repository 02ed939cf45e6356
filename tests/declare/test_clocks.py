"""Products that ask what time it is: built again when what they change with turns, and told of when they do not say."""

from datetime import date

import pytest

from tests.conftest import Place

DAY1, DAY2 = "2020-11-28T09:30", "2020-12-08T09:00"
HEAD = "import datetime as dt\nimport time\nfrom datetime import date, datetime\n"


def declare(place: Place, text: str) -> None:
    place.write("products/sales.py", f"{HEAD}{text}", header=True)


def built(place: Place, now: str, *more: str) -> set[str]:
    told = place.materialize("--now", now, *more)
    assert told.pop("")["exit_code"] == 0, told
    return {name for name, of in told.items() if of.get("built")}


def test_a_query_is_built_again_when_the_day_turns_and_its_clock_is_the_run_s(place: Place) -> None:
    declare(
        place,
        """
p = sql_product('p', "select x, current_date, current_date - x::int as before, now() as at, "
    "(x + date_part('year', today()))::bigint as é from numbers", owner='o', changes_with='day')
q = sql_product('q', 'select count(*) as n from p', owner='o')
""",
    )
    shown = 'select p."current_date"::varchar as a, before::varchar as b, p.at::varchar as c, é from p order by x limit 1'
    assert built(place, DAY1) == {"sales.p", "sales.q"}
    assert place.query(shown) == [
        {"a": "2020-11-28", "b": "2020-11-27", "c": "2020-11-28 00:00:00+00", "é": 2021}
    ]
    assert built(place, "2020-11-28T23:59") == set()
    assert built(place, DAY2) == {"sales.p", "sales.q"}
    assert place.query(shown) == [
        {"a": "2020-12-08", "b": "2020-12-07", "c": "2020-12-08 00:00:00+00", "é": 2021}
    ]
    assert built(place, DAY2) == set()


def test_why_and_plan_say_that_another_day_began(place: Place) -> None:
    declare(
        place, "p = sql_product('p', 'select current_date as d', owner='o', changes_with='day')"
    )
    built(place, DAY1)
    ran = place.run("plan", "--now", DAY2)
    assert "a new day 2020-12-08" in ran.out
    assert "code changed" not in ran.out
    assert "up to date" not in place.run("status", "--now", DAY2).out
    assert place.run("plan", "--now", "2020-11-28T12:00").out.count("build") == 0


@pytest.mark.parametrize(
    ("turns", "same", "other"),
    [
        ("hour", "2020-11-28T09:59", "2020-11-28T10:00"),
        ("week", "2020-11-29T10:00", "2020-11-30T00:00"),
        ("month", "2020-11-30T23:59", "2020-12-01T00:00"),
        ("never", "2020-11-30T23:59", ""),
    ],
)
def test_what_it_changes_with(place: Place, turns: str, same: str, other: str) -> None:
    declare(
        place,
        f"p = sql_product('p', 'select now()::timestamp as t', owner='o', changes_with='{turns}')",
    )
    assert built(place, DAY1) == {"sales.p"}
    [row] = place.query("select t::varchar as t from p")
    began = {
        "hour": "28 09:00:00",
        "week": "23 00:00:00",
        "month": "01 00:00:00",
        "never": "28 09:30:00",
    }[turns]
    assert row == {"t": f"2020-11-{began}"}
    assert built(place, same) == set()
    if other:
        assert built(place, other) == {"sales.p"}


def test_rules_are_judged_again(place: Place) -> None:
    declare(
        place,
        """
p = sql_product('p', "select x, date '2020-11-27' as day from numbers", owner='o', changes_with='day', rules=[
    rule.sql('is of this week', 'select * from this where day < current_date - 7'),
    rule.check('not from tomorrow', 'day <= current_date and age(day::timestamp) is not null')])
""",
    )
    assert built(place, DAY1) == {"sales.p"}
    assert not place.materialize("--now", DAY1)["sales.p"]["judged"]
    told = place.materialize("--now", DAY2)["sales.p"]
    assert (told["result"], told["built"], told["judged"]) == ("held back", False, True)
    [rule] = [rule for rule in told["rules"] if rule["status"] == "failed"]
    assert (rule["text"], rule["failing"]) == ("is of this week", 3)
    assert not place.materialize("--now", "2020-12-08T12:00")["sales.p"].get("judged"), (
        "it is the same day"
    )


def test_rows_set_aside_by_the_clock_are_set_aside_again(place: Place) -> None:
    place.numbers("a", 1, 5)
    declare(
        place,
        """
p = sql_product('p', 'select x from numbers', owner='o', changes_with='day', rules=[
    rule.check('old enough', "date '2020-11-30' + x::int > current_date", on_failure='quarantine', fail_above='99 %')])
""",
    )
    built(place, DAY1)
    assert place.query("select count(*) as n from p") == [{"n": 2}]
    assert "sales.p" in built(place, "2020-12-02T10:00")
    assert place.query("select x from p") == [{"x": 5}]


@pytest.mark.long
def test_a_function_is_given_the_moment(place: Place) -> None:
    declare(
        place,
        "@product(owner='o', changes_with='day')\n"
        "def p(numbers: pl.LazyFrame, today: date, at: datetime):\n"
        "    return numbers.select(day=pl.lit(today), at=pl.lit(at.isoformat()))\n"
        "@product(owner='o', changes_with='hour', isolate=True)\n"
        "def q(numbers: pl.DataFrame, at: datetime): return numbers.select(at=pl.lit(at.isoformat()))",
    )
    assert built(place, DAY1) == {"sales.p", "sales.q"}
    assert place.query("select distinct * from p") == [
        {"day": "2020-11-28", "at": "2020-11-28T00:00:00+00:00"}
    ]
    assert place.query("select distinct * from q") == [{"at": "2020-11-28T09:00:00+00:00"}]
    assert built(place, "2020-11-28T11:00") == {"sales.q"}
    assert built(place, DAY2) == {"sales.p", "sales.q"}


def test_parts_are_made_again(place: Place) -> None:
    place.write("days/2020-11-01.csv", "x\n1\n")
    place.write("days/2020-11-02.csv", "x\n2\n")
    declare(
        place,
        "days = source.files('days/{day:date}.csv', columns={'x': 'bigint'})\n"
        "p = sql_product('p', 'select day, current_date - day as age from days', owner='o', each='days',"
        " changes_with='month')",
    )
    built(place, DAY1)
    assert place.query("select age from p order by 1") == [{"age": -1}, {"age": 0}]
    assert built(place, "2020-11-30T10:00") == set()
    assert built(place, DAY2) == {"sales.p"}
    assert place.query("select age from p order by 1") == [{"age": 29}, {"age": 30}]


def test_lost_bytes_are_built_again_of_the_same_moment(place: Place) -> None:
    declare(
        place, "p = sql_product('p', 'select now()::timestamp as t', owner='o', changes_with='day')"
    )
    today = date.today().isoformat()
    place.materialize()
    before = place.query("select t::varchar as t from p")
    assert before == [{"t": f"{today} 00:00:00"}]
    for file in (place.root / ".products/store/sales.p").rglob("*.parquet"):
        file.chmod(0o644)
        file.unlink()
    place.materialize()
    assert place.query("select t::varchar as t from p") == before


MISTAKES = {
    "a query": (
        "p = sql_product('p', 'select x from numbers where x < month(CURRENT_DATE)', owner='o')",
        "line 1 column 39: current_date asks what time it is",
        'changes_with="day"',
    ),
    "a rule": (
        "p = sql_product('p', 'select x from numbers', owner='o', rules=[rule.check('c', 'x < month(now())')])",
        "now asks what time it is",
        'changes_with="day"',
    ),
    "chance": (
        "p = sql_product('p', 'select x, random() as r from numbers', owner='o')",
        "random gives something else every time",
        "hash(key)",
    ),
    "chance in a rule": (
        "p = sql_product('p', 'select x from numbers', owner='o', rules=[rule.sql('c', 'from this where random() > 2')])",
        "random gives something else every time",
        "hash(key)",
    ),
    "a sample": (
        "p = sql_product('p', 'select x from numbers using sample 2 rows', owner='o')",
        "a sample without a seed gives something else every time",
        "a seed",
    ),
    "a column without a name": (
        "p = sql_product('p', 'select x - month(now()) from numbers', owner='o', changes_with='day')",
        "a column made of now has no name",
        "`as`",
    ),
    "a function": (
        "@product(owner='o')\ndef p(numbers):\n    a = 1\n    return numbers.filter(pl.lit(dt.date.today()) > a)",
        "products/sales.py:14: sales.p: dt.date.today asks what time it is",
        'changes_with="day"',
    ),
    "a function of a function": (
        "def f(): return datetime.now()\n@product(owner='o')\ndef p(numbers):\n    return numbers.select(x=pl.lit(f()))",
        "products/sales.py:11: sales.p: datetime.now asks what time it is",
        'changes_with="day"',
    ),
    "an import in a function": (
        "@product(owner='o')\ndef p(numbers):\n    from time import time as t\n    return numbers.select(x=pl.lit(t()))",
        "products/sales.py:14: sales.p: t asks what time it is",
        'changes_with="day"',
    ),
    "a clock read as the module loads": (
        "TODAY = date.today()\n@product(owner='o', changes_with='day')\n"
        "def p(numbers): return numbers.select(x=pl.lit(TODAY))",
        "products/sales.py:11: sales.p is made of date.today, which is asked only when the module is imported",
        "today: date",
    ),
    "a parameter": (
        "@product(owner='o')\ndef p(numbers, today: date): return numbers.select(x=pl.lit(today))",
        "parameter 'today' is given the moment that the product is built for",
        'changes_with="day"',
    ),
    "another word": (
        "p = sql_product('p', 'select 1 as x', owner='o', changes_with='daily')",
        "changes_with= should be",
        "",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_clock_without_a_word_of_it_is_a_mistake(place: Place, case: str) -> None:
    text, told, hint = MISTAKES[case]
    declare(place, text)
    ran = place.run("ls")
    assert ran.code == 2
    assert told in ran.err, ran.err
    assert hint in ran.err, ran.err
    assert "1 mistake in" in ran.err, ran.err


def test_what_only_looks_like_a_clock_is_none(place: Place) -> None:
    place.write("data/a.csv", "x,current_date,now\n1,5,6\n")
    declare(
        place,
        "t = source.files('data/*.csv', name='t', columns={'x': 'bigint', 'current_date': 'bigint', 'now': 'bigint'})\n"
        "p = sql_product('p', \"select t.current_date as c, now, age(date '2020-01-02', date '2020-01-01')::varchar as a, \"\n"
        "  \"'now()' as s from t using sample 100 rows (reservoir, 42)\", owner='o')\n"
        "class Clock:\n    def today(self): return 1\n"
        "@product(owner='o')\ndef q(numbers):\n    date = Clock()\n    return numbers.with_columns(t=pl.lit(time.perf_counter() * 0))",
    )
    told = place.materialize()
    assert told["sales.q"]["built"], told
    assert place.query("select c, now, s from p") == [{"c": 5, "now": 6, "s": "now()"}]


def test_declared_to_stay_chance_is_fine(place: Place) -> None:
    declare(
        place,
        "p = sql_product('p', 'select x, random() as r from numbers', owner='o', changes_with='never')",
    )
    assert built(place, DAY1) == {"sales.p"}
    assert built(place, DAY2) == set()
