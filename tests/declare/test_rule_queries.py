"""Rules in business words: what each says of data that is right, and of data that is wrong but plausible."""

from typing import Any

import pytest

from tests.conftest import Place


def declare(
    place: Place, rules: str, *, sql: str = "from numbers", more: str = "", about: str = ""
) -> None:
    place.write(
        "products/sales.py",
        f'{more}\nsql_product("p", """{sql}""", owner="o", {about} rules=[{rules}])\n',
        header=True,
    )


def judged(place: Place, *arguments: str) -> dict[str, Any]:
    """The results of p's rules by their words; '' is what became of it."""
    told = place.materialize(*arguments)["sales.p"]
    place_version = told["version"]
    history = place.run("history", "p", "--json").json
    assert any(v["version"] == place_version for v in history)
    return {**{r["text"]: r for r in told.get("rules", ())}, "": told["result"]}


ROWS = "select * from (values {}) t({})"


def rows(columns: str, *values: str) -> str:
    return ROWS.format(", ".join(f"({v})" for v in values), columns)


def test_a_condition_holds_for_every_row(place: Place) -> None:
    declare(place, "rule.check('x is small', 'x < 3'), rule.check('x is known', 'x is not null')")
    told = judged(place)
    assert told[""] == "held back"
    assert (
        told["x is small"]["failing"],
        told["x is small"]["rows"],
        told["x is small"]["how"],
    ) == (1, 3, "fused")
    assert told["x is small"]["samples"] == [{"x": 3}]
    assert "x is known" not in told, "only what did not pass is told"


def test_neither_true_nor_false_is_no_failure(place: Place) -> None:
    declare(place, "rule.check('small', 'x < 3')", sql="select null::bigint as x")
    assert judged(place)[""] == "published"


def test_a_condition_may_read_another_product(place: Place) -> None:
    more = 'sql_product("limits", "select 2 as most", owner="o")'
    declare(place, "rule.check('within limits', 'x <= (select most from limits)')", more=more)
    told = judged(place)
    assert (told["within limits"]["failing"], told["within limits"]["samples"]) == (1, [{"x": 3}])


def test_a_check_of_panderas_as_a_rule(place: Place) -> None:
    declare(
        place,
        """rule.check('x is small', pa.Check.lt(3), column='x', because='it hurts', owner='me'),
        rule.check('x is odd', pa.Check(lambda d: d.lazyframe.select(pl.col(d.key) % 2 == 1)), column='x', severity='warning')""",
    )
    told = judged(place)
    assert (
        told["x is small"]["because"],
        told["x is small"]["owner"],
        told["x is small"]["how"],
    ) == (
        "it hurts",
        "me",
        "fused",
    )
    assert (told["x is odd"]["status"], told["x is odd"]["failing"], told["x is odd"]["how"]) == (
        "warning",
        1,
        "polars",
    )


@pytest.mark.parametrize(
    ("limits", "status"),
    [
        ("", "failed"),
        ("severity='warning'", "warning"),
        ("fail_above=1", None),
        ("fail_above='50 %'", None),
        ("fail_above='33.3 %'", "failed"),
        ("fail_above='33.4 %'", None),
        ("warn_above=0, fail_above=1", "warning"),
        ("warn_above='10 %', fail_above='20 %'", "failed"),
        ("warn_above=1", None),
        ("warn_above=0", "warning"),
    ],
)
@pytest.mark.parametrize(
    "kind", ["rule.check('r', 'x < 3', {})", "rule.sql('r', 'from this where x >= 3', {})"]
)
def test_two_levels_in_one_evaluation(
    place: Place, kind: str, limits: str, status: str | None
) -> None:
    declare(place, kind.format(limits))
    told = judged(place)
    assert (told["r"]["status"] if "r" in told else None) == status
    assert told[""] == ("held back" if status == "failed" else "published")


def test_what_a_passing_rule_measured_is_kept(place: Place) -> None:
    declare(place, "rule.check('r', 'x < 3', fail_above='50 %'), rule.rows(at_least=1)")
    judged(place)
    for value in (4, 5):
        place.numbers(f"b{value}", value, 1, 1, 1, 1)
        judged(place)
    told = place.run("history", "p", "--rule", "r", "--json").json
    assert [(t["failing"], t["rows"], t["status"]) for t in told] == [
        (1, 3, "passed"),
        (2, 8, "passed"),
        (3, 13, "passed"),
    ]
    plain = place.run("history", "p", "--rule", "at least").out
    assert "▁▅█" in plain
    assert "at least 1" in plain


@pytest.mark.parametrize(
    ("bounds", "good"),
    [
        ("at_least=3", True),
        ("at_least=4", False),
        ("at_most=3", True),
        ("at_most=2", False),
        ("at_least=1, at_most=2", False),
    ],
)
def test_rows(place: Place, bounds: str, good: bool) -> None:
    declare(place, f"rule.rows({bounds}, text='r')")
    told = judged(place)
    assert told[""] == ("published" if good else "held back")
    if not good:
        assert told["r"]["measured"] == 3


def test_references(place: Place) -> None:
    more = 'sql_product("known", "select 1 as id union all select 2", owner="o")'
    declare(
        place,
        'rule.references("p.x", "known.id")',
        sql="from numbers union all select null",
        more=more,
    )
    told = judged(place)
    assert told["every x is in known.id"]["samples"] == [{"x": 3}], (
        "a missing value refers to nothing"
    )
    assert told["every x is in known.id"]["rows"] == 4


LEDGER = """sql_product("ledger", "{}", owner="o")"""


@pytest.mark.parametrize(
    ("ledger", "rule", "good"),
    [
        (rows("k, v", "1, 10.00", "2, 20.00"), "within='0.01', by=['k']", True),
        (rows("k, v", "1, 10.01", "2, 20.00"), "within='0.01', by=['k']", True),
        (rows("k, v", "1, 10.02", "2, 20.00"), "within='0.01', by=['k']", False),
        (rows("k, v", "1, 10.05", "2, 19.95"), "within='0.01', by=['k']", False),
        (rows("k, v", "1, 10.05", "2, 19.95"), "within='0.01'", True),
        (rows("k, v", "1, 10.00"), "by=['k']", False),
        (rows("k, v", "1, 10.00", "2, 20.00", "3, 0"), "by=['k']", True),
        (rows("k, v", "1, 10.00", "2, 20.00", "3, 1"), "by=['k']", False),
        (rows("k, v", "1, 10.01", "2, 20.00"), "within='0.1 %', by=['k']", True),
        (rows("k, v", "1, 10.02", "2, 20.00"), "within='0.1 %', by=['k']", False),
        (rows("k, v", "1, 0.0", "2, 20.00"), "within='0.1 %', by=['k']", False),
        (rows("n, v", "1, 10.00", "2, 20.00"), "by={'k': 'n'}", True),
        (rows("k, v", "1, 10.00", "null, 20.00"), "by=['k']", False),
    ],
)
def test_reconciles(place: Place, ledger: str, rule: str, good: bool) -> None:
    mart = rows("k, v", "1, 10.00", "2, 12.00", "2, 8.00")
    declare(
        place,
        f"rule.reconciles('v', 'ledger', 'sum(v)', {rule}, text='r')",
        sql=mart,
        more=LEDGER.format(ledger),
    )
    told = judged(place)
    assert told[""] == ("published" if good else "held back"), told
    if not good:
        assert told["r"]["samples"][0].keys() >= {"this", "other", "difference"}


def test_reconciling_is_exact_in_cents(place: Place) -> None:
    """9007199254740993.01 and …992.01 are one double."""
    mart = "select 9007199254740993.01::decimal(20,2) as v"
    ledger = LEDGER.format("select 9007199254740992.01::decimal(20,2) as v")
    declare(place, "rule.reconciles('v', 'ledger', 'v', text='r')", sql=mart, more=ledger)
    assert judged(place)["r"]["measured"] == 1


def test_changes_against_what_is_published(place: Place) -> None:
    declare(place, "rule.changes('x', within='±40 %', text='r')")
    assert judged(place)[""] == "published", "nothing to compare with yet"
    place.numbers("b", 2)
    assert judged(place)[""] == "published", "6 to 8 is a third more"
    place.numbers("b", 2, 4)
    told = judged(place)
    assert told[""] == "held back", "8 to 12 is half more"
    assert told["r"]["measured"] == pytest.approx(0.5)
    assert told["r"]["samples"] == [{"was": 8.0, "is_now": 12.0, "change": 0.5}]
    assert "r: 50.00% (within ±40 %)" in place.run("materialize").out


def test_changes_group_by_group(place: Place) -> None:
    declare(
        place,
        "rule.changes('sum(x)', within=1, by=['k'], text='r')",
        sql="select x, x % 2 as k from numbers",
    )
    judged(place)
    place.numbers("b", 5)
    told = judged(place)
    assert told["r"]["samples"] == [{"k": 1, "was": 4.0, "is_now": 9.0, "change": 5.0}]


def weeks(*values: int) -> str:
    return rows(
        "day, x",
        *(f"date '2024-01-01' + {7 * i}, {v}" for i, v in enumerate(values)),
        "date '2024-01-02', 1000",
    )


def test_changes_against_the_same_weekday(place: Place) -> None:
    rule = "rule.changes('x', within='±40 %', against='same weekday, last 4', text='r')"

    def days(*values: int) -> None:
        declare(place, rule, sql=weeks(*values), about="event_time='day',")

    days(900, 100, 100, 100, 100)
    assert judged(place)[""] == "published"
    days(900, 100, 100, 100, 100, 139)
    assert judged(place)[""] == "published"
    days(900, 100, 100, 100, 100, 139, 200)
    told = judged(place)
    assert told[""] == "held back"
    assert told["r"]["samples"][0] == {
        "day": "2024-02-12",
        "was": 109.75,
        "is_now": 200.0,
        "change": pytest.approx(0.822, abs=0.001),
    }


def test_fresh_event_time(place: Place) -> None:
    rule = "rule.fresh_event_time(within='36 hours', text='r')"
    declare(
        place, rule, sql="select timestamp '2024-01-01 12:00:00' as at", about="event_time='at',"
    )
    assert judged(place, "--now", "2024-01-02T23:59")[""] == "published"
    declare(
        place,
        rule,
        sql="select timestamp '2024-01-01 12:00:00' as at, 1 as y",
        about="event_time='at',",
    )
    told = judged(place, "--now", "2024-01-03T00:01")
    assert told[""] == "held back"
    assert told["r"]["measured"] == pytest.approx(36.0, abs=0.1)


@pytest.mark.parametrize(
    ("column", "tz", "good"),
    [
        ("timestamp '2024-07-01 12:00:00'", "UTC", True),
        ("timestamp '2024-07-01 12:00:00'", "America/New_York", True),  # 16:00 UTC
        ("timestamp '2024-07-01 12:00:00'", "Asia/Tokyo", False),  # 03:00 UTC
        ("timestamptz '2024-07-01 12:00:00+00'", "Asia/Tokyo", True),
        ("date '2024-07-01'", "UTC", False),
        ("null::timestamp", "UTC", False),
    ],
)
def test_fresh_in_a_zone(place: Place, column: str, tz: str, good: bool) -> None:
    declare(
        place,
        f"rule.fresh_event_time(within='3 hours', column='at', tz='{tz}')",
        sql=f"select {column} as at",
    )
    assert judged(place, "--now", "2024-07-01T14:00")[""] == ("published" if good else "held back")


@pytest.mark.parametrize("type", ["timestamp", "timestamptz", "date"])
def test_a_row_of_the_future_is_not_fresh(place: Place, type: str) -> None:
    """It does not count for the age, and is told; up to a day ahead counts, as a date of an eastern zone may be."""
    rule = "rule.fresh_event_time(within='36 hours', text='fresh')"

    def events(*days: str) -> dict[str, Any]:
        values = ", ".join(f"({type} '{day}')" for day in days)
        declare(
            place, rule, sql=f"select * from (values {values}) t(seen)", about="event_time='seen',"
        )
        return judged(place, "--now", "2026-11-28T23:00")

    told = events("2026-11-01", "2099-01-01", "2099-01-02")
    assert (told[""], told["fresh"]["measured"]) == ("held back", 671)
    assert (
        told["fresh"]["message"]
        == "2 rows are in the future, up to 2099-01-02 00:00:00, and not counted"
    )
    told = events("2026-11-28", "2099-01-01")
    assert (told[""], told["fresh"]["status"], told["fresh"]["measured"]) == (
        "published",
        "warning",
        23,
    )
    zone = "+00:00" if type == "timestamptz" else ""
    first = f"2026-11-28T00:00:00{zone}"
    [status, _] = place.run("status", "--json", "--now", "2026-11-28T23:00").json
    assert (status["as_of"], status["because"]) == (first, ""), "it goes on without that row"
    [status, _] = place.run("status", "--json", "--now", "2026-12-28T23:00").json
    assert "'fresh' is no longer so: it is 743 hours old" in status["because"]
    assert events("2099-01-01")[""] == "held back"
    assert events("2026-11-29", "2026-11-27")[""] == "published"
    assert place.run("status", "--json", "--now", "2026-11-28T23:00").json[0]["because"] == ""


# ---------------------------------------------------------------------------------------------- closed periods


CLOSED = "rule.closed('day', before='start of month', text='months stay as they were')"


def month(*values: str, more: str = "") -> str:
    return rows("day, x" + more, *values)


def test_settled_rows_do_not_change(place: Place) -> None:
    declare(place, CLOSED, sql=month("date '2024-01-30', 1", "date '2024-02-02', 2"))
    assert judged(place, "--now", "2024-02-03T00:00")[""] == "published"
    declare(place, CLOSED, sql=month("date '2024-01-30', 1", "date '2024-02-02', 9"))
    assert judged(place, "--now", "2024-02-04T00:00")[""] == "published", "this month is open"
    declare(place, CLOSED, sql=month("date '2024-01-30', 5", "date '2024-02-02', 9"))
    told = judged(place, "--now", "2024-02-05T00:00")
    assert told[""] == "held back"
    found = told["months stay as they were"]
    assert (found["failing"], found["message"]) == (1, "1 changed; x 1 -> 5 (+4)")
    assert found["samples"] == [
        {"day": "2024-01-30", "change": "changed", "x_before": 1, "x_after": 5, "x_difference": 4}
    ]
    assert place.query("select sum(x) as x from p") == [{"x": 10}]


def test_a_month_closes_while_a_version_waits(place: Place) -> None:
    """What was judged in an open month and not released is judged again once the month is closed."""
    declare(place, CLOSED, sql=month("date '2024-01-30', 1"))
    judged(place, "--now", "2024-01-31T00:00")
    late = "rule.sql('not yet', \"from this where x > 1\")"
    declare(place, f"{CLOSED}, {late}", sql=month("date '2024-01-30', 2"))
    assert set(judged(place, "--now", "2024-01-31T12:00")) == {"not yet", ""}
    declare(place, CLOSED, sql=month("date '2024-01-30', 2"))
    assert set(judged(place, "--now", "2024-02-01T12:00")) == {"months stay as they were", ""}


def test_a_restatement_is_released_and_recorded(place: Place) -> None:
    declare(place, CLOSED, sql=month("date '2024-01-30', 1"))
    judged(place, "--now", "2024-02-03T00:00")
    declare(place, CLOSED, sql=month("date '2024-01-30', 5"))
    assert judged(place, "--now", "2024-02-04T00:00")[""] == "held back"
    told = judged(
        place, "--now", "2024-02-05T00:00", "--restate", "p", "--because", "a late credit note"
    )
    assert told[""] == "published"
    assert told["months stay as they were"]["message"] == "restated: a late credit note"
    assert place.query("select x from p") == [{"x": 5}]
    assert place.materialize("--now", "2024-02-06T00:00")["sales.p"]["result"] == "unchanged", (
        "and it stays so"
    )
    assert place.materialize("--now", "2024-03-06T00:00")["sales.p"]["result"] == "unchanged", (
        "next month too"
    )
    [now, _] = place.run("history", "p", "--json").json
    assert now["restated"] == "restated: a late credit note"
    declare(place, CLOSED, sql=month("date '2024-01-30', 6"))
    assert judged(place, "--now", "2024-03-07T00:00")[""] == "held back", "it was for once"


def test_a_restatement_is_for_settled_rows_only(place: Place) -> None:
    rules = f"{CLOSED}, rule.check('x is small', 'x < 3')"
    declare(place, rules, sql=month("date '2024-01-30', 1"))
    judged(place, "--now", "2024-02-03T00:00")
    declare(place, rules, sql=month("date '2024-01-30', 5"))
    judged(place, "--now", "2024-02-04T00:00")
    told = judged(place, "--now", "2024-02-04T00:00", "--restate", "p", "--because", "why not")
    assert told[""] == "held back"
    assert told["x is small"]["status"] == "failed"


def test_a_new_column_is_no_change_of_settled_rows(place: Place) -> None:
    declare(place, CLOSED, sql=month("date '2024-01-30', 1"))
    judged(place, "--now", "2024-02-03T00:00")
    declare(place, CLOSED, sql=month("date '2024-01-30', 1, 'new'", more=", y"))
    assert judged(place, "--now", "2024-02-04T00:00")[""] == "published"


def test_a_restatement_has_to_make_sense(place: Place) -> None:
    declare(
        place,
        CLOSED,
        sql=month("date '2024-01-30', 1"),
        more='sql_product("q", "from numbers", owner="o")',
    )
    assert "go together" in place.run("materialize", "--restate", "p").err
    assert "go together" in place.run("materialize", "--because", "x").err
    assert (
        "no rule about settled rows"
        in place.run("materialize", "--restate", "q", "--because", "x").err
    )
    assert (
        "not selected"
        in place.run("materialize", "-s", "q", "--restate", "p", "--because", "x").err
    )


def test_a_review_that_is_overdue_is_told(place: Place) -> None:
    declare(place, "rule.check('r', 'x < 9', review_by='2024-01-31', owner='risk')")
    place.materialize("--now", "2024-01-01T00:00")
    assert place.run("status", "--now", "2024-01-31T10:00", "--json").json[0]["reviews"] == []
    [told, _] = place.run("status", "--now", "2024-02-01T10:00", "--json").json
    assert told["reviews"] == ["review of 'r' was due 2024-01-31 (risk)"]
    assert (
        "review of 'r' was due 2024-01-31 (risk)"
        in place.run("status", "--now", "2024-02-01T10:00").out
    )
    assert told["state"] == "up to date"


# ---------------------------------------------------------------------------------------------- mistakes


WRONG = {
    "rule.check('', 'x')": "it has no words",
    "rule.check('r', 3)": "its check is int",
    "rule.check('r', 'x < ')": "line 1 column 4: syntax error at the end of the condition",
    "rule.check('r', 'x < \\n  y > > 2')": "line 2 column 7: syntax error at or near",
    "rule.check('r', 'x < 3', column='x')": "names its columns itself",
    "rule.check('r', 'x < 3', severity='warning', fail_above=1)": "is a warning, and has fail_above=",
    "rule.check('r', 'x < 3', fail_above='lots')": "fail_above='lots'",
    "rule.check('r', 'x < 3', dimension='speed')": "dimension 'speed'",
    "rule.check('r', 'x < 3', review_by='soon')": "review_by 'soon' is no date",
    "rule.check('r', 'x < 3', on_failure='explode')": "on_failure 'explode'",
    "rule.check('r', 'x < 3', on_failure='quarantine')": "without a bound",
    "rule.rows(at_least=1, on_failure='quarantine', fail_above=1)": "not about single rows",
    "rule.rows()": "give at_least=, at_most= or both",
    "rule.rows(at_least=-1)": "as numbers of rows",
    "rule.rows(at_least=1, fail_above=3)": "counts no rows",
    "rule.references('x', 'known')": "should name a product and its column",
    "rule.references('other.x', 'known.id')": "is no column of sales.p",
    "rule.references('x', 'nowhere.id')": "unknown input 'nowhere'",
    "rule.reconciles('x', 'nowhere', 'y')": "unknown input 'nowhere'",
    "rule.reconciles('x', 'no way', 'y')": "is no name of a product",
    "rule.reconciles('x', 'p', 'y')": "names its own product",
    "rule.reconciles('x', 'q', 'y', within='much')": "within='much' should be an amount",
    "rule.reconciles('x', 'q', 'y', by='k')": "by= should be a list of columns",
    "rule.changes('x', within='±40 %', against='yesterday')": "against='yesterday' should be",
    "rule.changes('x', within='±40 %', against='same weekday, last 4')": "needs the product's event_time=",
    "rule.fresh_event_time(within='soon', column='at')": "within='soon' should be a length of time",
    "rule.fresh_event_time(within='2 days')": "the product has no event_time=: give column=",
    "rule.check('r', 'x < 3', fail_above=0.05)": 'A share is written "5',
    "rule.check('r', 'x < 3', fail_above='150 %')": "is more than all rows",
    "rule.fresh_event_time(within='2 days', column='at', tz='Mars')": "tz='Mars' is no time zone",
    "rule.closed('day', before='some time')": "before='some time' should be",
    "rule.closed('day', before='start of month', tz='Mars')": "tz='Mars' is no time zone",
    "rule.chek('r', 'x')": "has no attribute 'chek'",
    "rule.check('r', 'x', severty='warning')": "did you mean 'severity'",
}


@pytest.mark.parametrize("written", WRONG)
def test_a_mistake_in_a_rule_is_told_with_its_place(place: Place, written: str) -> None:
    declare(place, written, more='sql_product("q", "from numbers", owner="o")')
    ran = place.run("ls")
    assert ran.code == 2
    assert WRONG[written] in ran.err
    assert "products/sales.py:" in ran.err
    assert "Traceback" not in ran.err


# ---------------------------------------------------------------------------------------------- what users stumbled over


@pytest.mark.parametrize(
    "rule",
    [
        "rule.changes('amout', within=1)",
        "rule.changes('x', by=['shp'], within=1)",
        "rule.closed('booked', before='start of day')",
        "rule.sql('r', 'select * from previous where amuont < 0')",
    ],
)
def test_a_misspelled_column_is_told_on_the_first_night(place: Place, rule: str) -> None:
    declare(place, rule)
    ran = place.run("materialize")
    assert ran.code == 3
    assert "could not be judged" in ran.out
    assert "declared at products/sales.py:" in ran.out


def test_what_could_have_been_meant_is_told(place: Place) -> None:
    declare(place, "rule.check('r', 'xy < 3')")
    assert (
        "no column xy there; there is x; `products check` shows the place"
        in place.run("materialize").out
    )


def test_status_tells_when_data_stops_coming(place: Place) -> None:
    rule = "rule.fresh_event_time(within='36 hours', text='fresh')"
    declare(
        place, rule, sql="select timestamp '2024-01-01 12:00:00' as at", about="event_time='at',"
    )
    place.materialize("--now", "2024-01-02T00:00")
    assert place.run("status", "--now", "2024-01-02T23:00", "--json").json[0]["reviews"] == []
    [told, _] = place.run("status", "--now", "2024-01-04T12:00", "--json").json
    assert told["reviews"] == ["'fresh' is no longer so: it is 72 hours old"]


def test_the_worst_comes_first(place: Place) -> None:
    mart = rows("k, v", *(f"{i}, {i}" for i in range(10)))
    ledger = LEDGER.format(rows("k, v", *(f"{i}, 0" for i in range(10))))
    declare(place, "rule.reconciles('v', 'ledger', 'v', by=['k'], text='r')", sql=mart, more=ledger)
    told = judged(place)["r"]
    assert [s["difference"] for s in told["samples"]] == [9, 8, 7, 6, 5]
    assert "r: 9, the worst of 9 (within 0)" in place.run("materialize").out


def test_what_readers_see_and_would_not_pass_is_said_so(place: Place) -> None:
    declare(place, "rule.check('r', 'x < 9')")
    place.materialize()
    declare(place, "rule.check('r', 'x < 2')")
    assert "readers see it, and it would not pass any more" in place.run("materialize").out


def test_a_secret_elsewhere_hides_nothing_here(place: Place) -> None:
    more = """
schema = pa.DataFrameSchema({"id": pa.Column(int), "k": pa.Column(str, metadata={"sensitive": True})})
sql_product("people", "select 1::bigint as id, 'me' as k", owner="o", contract=schema)
sql_product("q", "select 1 as x, 0 as k", owner="o")
"""
    rules = "rule.references('x', 'people.id', text='a'), rule.reconciles('x', 'q', 'x', by=['k'], text='b')"
    declare(place, rules, sql="select x, 0 as k from numbers", more=more)
    told = judged(place)
    assert told["b"]["samples"] == [{"k": 0, "this": 6, "other": 1, "difference": 5}]
    assert [row["x"] for row in told["a"]["samples"]] == [2, 3]
