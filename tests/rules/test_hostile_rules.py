"""Rules against what tries to get past them: names that shadow, nulls that swallow, texts that end parentheses."""

import json
from typing import Any

import pytest

from tests.conftest import Place
from tests.declare.test_rule_queries import CLOSED, declare, judged, month, weeks
from tests.views.test_rules import PEOPLE

OTHER = 'sql_product("q", "{}", owner="o")'


def held(place: Place, rule: str, sql: str, other: str = "select 1 as x", **more: Any) -> bool:
    declare(place, rule, sql=sql, more=OTHER.format(other), **more)
    return judged(place)[""] == "held back"


@pytest.mark.parametrize("known", ["select 1 as id union all select null", "select 1 as id"])
def test_a_missing_value_elsewhere_is_no_reference(place: Place, known: str) -> None:
    assert held(place, "rule.references('x', 'q.id')", "from numbers", known)


def test_a_column_that_the_other_lacks_is_not_ones_own(place: Place) -> None:
    declare(
        place,
        "rule.references('cid', 'q.cid')",
        sql="select 99 as cid",
        more=OTHER.format("select 1 as id"),
    )
    assert "could not be judged" in place.run("materialize").out


@pytest.mark.parametrize("name", ["difference", "other", "this", "h", "t", "value", "Other"])
@pytest.mark.parametrize("within", ["'1 %'", "1"])
def test_a_key_may_be_called_as_what_is_computed(place: Place, name: str, within: str) -> None:
    rule = f"rule.reconciles('x', 'q', 'x', by=['{name}'], within={within})"
    assert held(place, rule, f"select 10 as x, 0 as {name}", f"select 1000 as x, 0 as {name}")


@pytest.mark.parametrize("name", ["change", "was", "is_now", "day", "b", "value"])
def test_a_key_of_changes_may_be_called_anything(place: Place, name: str) -> None:
    rule = f"rule.changes('x', by=['{name}'], within='10 %')"
    assert not held(place, rule, f"select 100 as x, 0 as {name}")
    assert held(place, rule, f"select 1000 as x, 0 as {name}")


@pytest.mark.parametrize("by", ["", ", by=['k']"])
@pytest.mark.parametrize(
    "gone",
    ["select x, 1 as k from numbers where false", "select null::bigint as x, 1 as k from numbers"],
    ids=["empty", "null"],
)
def test_a_total_that_disappears_has_changed(place: Place, gone: str, by: str) -> None:
    rule = f"rule.changes('x', within='±40 %'{by})"
    assert not held(place, rule, "select x, 1 as k from numbers")
    assert held(place, rule, gone)


def test_a_group_that_disappears_has_changed_and_a_new_one_has_not(place: Place) -> None:
    rule = "rule.changes('x', within='±40 %', by=['x'])"
    assert not held(place, rule, "from numbers")
    assert not held(place, rule, "from numbers union all select 9")
    assert held(place, rule, "from numbers where x > 1")


def test_a_new_day_without_a_total_has_changed(place: Place) -> None:
    rule = "rule.changes('x', within='±40 %', against='same weekday, last 4')"
    for values, bad in (((100, 100, 100), False), ((100, 100, 100, 0), True)):
        declare(place, rule, sql=weeks(*values), about="event_time='day',")
        assert (judged(place)[""] == "held back") is bad


@pytest.mark.parametrize(
    ("before", "now", "within"),
    [
        ("9007199254740993::bigint", "9007199254740992::bigint", "0"),
        ("0.10", "0.41", "'0.3'"),
        ("3.00", "4.21", "'40 %'"),
    ],
)
def test_changes_are_exact(place: Place, before: str, now: str, within: str) -> None:
    rule = f"rule.changes('x', within={within})"
    assert not held(place, rule, f"select {before} as x")
    assert held(place, rule, f"select {now} as x")


def test_what_is_exactly_allowed_is_allowed(place: Place) -> None:
    assert not held(place, "rule.changes('x', within='40 %')", "select 3.00 as x")
    assert not held(place, "rule.changes('x', within='40 %')", "select 4.20 as x")


def test_nothing_against_nothing_reconciles_in_percent(place: Place) -> None:
    rule = "rule.reconciles('x', 'q', 'x', by=['k'], within='1 %')"
    assert not held(place, rule, "select 1 as k, 0 as x", "select 2 as k, 5 as x where false")


@pytest.mark.parametrize("tz", ["America/New_York", "Asia/Tokyo", "UTC"])
@pytest.mark.parametrize(("now", "bad"), [("2024-02-03T18:30", False), ("2024-02-03T23:00", True)])
def test_the_case_of_a_column_changes_no_zone(place: Place, tz: str, now: str, bad: bool) -> None:
    rule = f"rule.fresh_event_time(within='3 hours', column='AT', tz='{tz}')"
    declare(place, rule, sql="select timestamptz '2024-02-03 16:00:00+00' as at")
    assert (judged(place, "--now", now)[""] == "held back") is bad


@pytest.mark.parametrize(
    ("latest", "now", "bad"),
    [
        ("2024-03-31 01:30", "2024-03-31T01:30", False),
        ("2024-10-27 01:30", "2024-10-27T01:30", True),
    ],
)
def test_an_hour_that_is_not_there_is_none(place: Place, latest: str, now: str, bad: bool) -> None:
    rule = "rule.fresh_event_time(within='90 minutes', column='at', tz='Europe/Berlin')"
    declare(place, rule, sql=f"select timestamp '{latest}:00' as at")
    assert (judged(place, "--now", now)[""] == "held back") is bad


# ---------------------------------------------------------------------------------------------- settled rows


@pytest.mark.parametrize(
    ("before", "now", "bad"),
    [
        ("1 as x", "999 as X", True),
        ("1 as x, 7 as y", "1 as x", True),
        ("9007199254740993::bigint as x", "9007199254740992::double as x", True),
        ("1 as x", "'1' as x", True),
        ("1::integer as x", "1::bigint as x", False),
        ("1 as x", "1 as X", False),
        ("1.5::decimal(4,1) as x", "1.50::decimal(6,2) as x", False),
    ],
)
def test_what_counts_as_a_change_of_settled_rows(
    place: Place, before: str, now: str, bad: bool
) -> None:
    day = "select date '2024-01-30' as day, "
    declare(place, CLOSED, sql=day + before)
    judged(place, "--now", "2024-02-03T00:00")
    declare(place, CLOSED, sql=day + now)
    assert (judged(place, "--now", "2024-02-04T00:00")[""] == "held back") is bad


def test_a_restatement_is_of_one_environment(place: Place) -> None:
    declare(place, CLOSED, sql=month("date '2024-01-30', 1"))
    judged(place, "--now", "2024-02-03T00:00")
    place.environment("dev")
    judged(place, "--now", "2024-02-03T00:00", "--env", "dev")
    declare(place, CLOSED, sql=month("date '2024-01-30', 5"))
    assert judged(place, "--now", "2024-02-04T00:00", "--env", "dev")[""] == "held back"
    told = judged(
        place,
        "--now",
        "2024-02-04T00:00",
        "--env",
        "dev",
        "--restate",
        "p",
        "--because",
        "an experiment",
    )
    assert told[""] == "published"
    assert judged(place, "--now", "2024-02-05T00:00")[""] == "held back"


def test_a_restatement_that_nothing_needed_leaves_no_trace(place: Place) -> None:
    declare(place, CLOSED, sql=month("date '2024-01-30', 1"))
    judged(place, "--now", "2024-02-03T00:00", "--restate", "p", "--because", "to be sure")
    assert place.run("history", "p", "--json").json[0]["restated"] == ""


def test_a_restated_version_stays_when_another_rule_is_edited(place: Place) -> None:
    declare(place, CLOSED, sql=month("date '2024-01-30', 1"))
    judged(place, "--now", "2024-02-03T00:00")
    declare(place, CLOSED, sql=month("date '2024-01-30', 5"))
    judged(place, "--now", "2024-02-04T00:00")
    judged(place, "--now", "2024-02-04T00:00", "--restate", "p", "--because", "late")
    declare(place, f"{CLOSED}, rule.rows(at_least=1)", sql=month("date '2024-01-30', 5"))
    told = place.materialize("--now", "2024-02-05T00:00")["sales.p"]
    assert (told["result"], told["judged"]) == ("unchanged", True)


def test_what_was_restored_is_not_held_against_what_it_took_back(place: Place) -> None:
    for value in (1, 2):
        declare(place, "rule.changes('x', within='200 %')", sql=f"select {value} as x")
        judged(place)
    declare(place, "rule.changes('x', within='10 %')", sql="select 1 as x")
    [_, first] = place.run("history", "p", "--json").json
    assert place.run("restore", "p", first["version"]).code == 0
    assert place.run("restore", "p", "--unpin").code == 0
    assert place.materialize()["sales.p"]["result"] == "unchanged"


# ---------------------------------------------------------------------------------------------- texts


NO_EXPRESSION = [
    "x > 5) or (true",
    "x > 5), (true",
    "true) union all select ((select 1)",
    "x > 5) from (select 1 as x",
    ") -- ",
]


@pytest.mark.parametrize("text", NO_EXPRESSION)
def test_a_condition_cannot_end_its_parentheses(place: Place, text: str) -> None:
    for rule in (f'rule.check("r", {text!r})', f"rule.changes({text!r}, within=1)"):
        declare(place, rule)
        ran = place.run("ls")
        assert ran.code == 2, rule
        assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    "text",
    [
        "x < 9 -- small",
        "x < 9 /* ) */",
        "(x) < (9)",
        "x in (select max(x) + 1 - 1 from this) or x < 9",
    ],
)
def test_a_condition_may_have_comments_and_read_the_whole(place: Place, text: str) -> None:
    declare(place, f'rule.check("r", {text!r})')
    assert judged(place)[""] == "published"


def test_names_of_columns_are_never_run(place: Place) -> None:
    evil = "') ; copy (select 'pwned' as a) to 'evil.csv'; select * from (select '"
    rules = "rule.sql('s', \"select x from previous where 'a' = '__columns_of_both'\"), rule.closed('d', before='start of day')"
    for value in (1, 2):
        place.write(
            "products/sales.py",
            f"sql_product('p', {f'select {value} as x, current_date as d, 2 as {json.dumps(evil)}'!r}, owner='o', changes_with='day', rules=[{rules}])",
            header=True,
        )
        assert place.run("materialize").code == 0
    assert not list(place.root.rglob("evil.csv"))


def test_a_rule_on_a_column_that_is_not_there_fails(place: Place) -> None:
    declare(place, "rule.check('x is small', pa.Check.lt(3), column='xx')")
    told = judged(place)
    assert (told[""], told["x is small"]["message"]) == ("held back", "there is no column xx")


def test_rules_on_a_file(place: Place) -> None:
    made = "@product(file='a.txt', owner='o', rules=[rule.check('not empty', 'bytes > {}')])\ndef p(numbers): return 'hello'"
    for least, code in ((1, 0), (100, 3)):
        place.write("products/sales.py", made.format(least), header=True)
        assert place.run("materialize").code == code
    place.write(
        "products/sales.py",
        made.replace("'bytes > {}'", "pa.Check.gt(1), column='bytes'"),
        header=True,
    )
    assert "a file has no columns" in place.run("ls").err


def test_a_product_may_read_a_quarantine(place: Place) -> None:
    place.numbers("b", 500)
    rule = "rule.check('small', 'x < 100', fail_above='50 %', on_failure='quarantine')"
    place.write(
        "products/sales.py",
        f"sql_product('p', 'from numbers', owner='o', rules=[{rule}])\n"
        "sql_product('d', 'select count(*) as n from p__quarantine', owner='o')\n"
        "@product(owner='o')\ndef f(p__quarantine): return p__quarantine.select('x')\n",
        header=True,
    )
    assert place.run("materialize").code == 0
    assert place.query("from d") == [{"n": 1}]
    assert place.query("from f") == [{"x": 500}]


def test_a_restored_product_takes_its_quarantine_with_it(place: Place) -> None:
    rule = "rule.check('small', 'x < 100', fail_above='50 %', on_failure='quarantine')"
    declare(place, rule)
    place.materialize()
    [first] = place.run("history", "p", "--json").json
    place.numbers("b", 500)
    place.materialize()
    assert place.run("restore", "p", first["version"]).code == 0
    assert (place.query("from p__quarantine"), len(place.query("from p"))) == ([], 3)
    assert place.run("restore", "p", "--unpin").code == 0
    place.materialize()
    assert [r["x"] for r in place.query("from p__quarantine")] == [500]


ODD = [
    "1.000.000",
    "1,000.5",
    "1,000",
    "-5 %",
    "٣ %",
    "5%%",
    "",
    None,
    [],
    10**60,
    float("nan"),
    "1" * 400,
]


@pytest.mark.parametrize("value", ODD, ids=lambda v: str(v)[:20])
def test_odd_amounts_are_told(place: Place, value: Any) -> None:
    given = f"float({str(value)!r})" if isinstance(value, float) else repr(value)
    for rule in (
        f"rule.changes('x', within={given})",
        f"rule.check('r', 'x < 1', fail_above={given})",
    ):
        if value == "" and "fail_above" in rule:
            continue  # the default: no row may fail
        declare(place, rule)
        ran = place.run("ls")
        assert (ran.code, "Traceback" in ran.err, "products/sales.py" in ran.err) == (
            2,
            False,
            True,
        ), rule


BAD = [
    "rule.closed('day', before='99999999999 days ago')",
    "rule.fresh_event_time(within='99999999999999 hours', column='x')",
    "rule.rows(at_least=5, at_most=2)",
    "rule.check('r', 'x < 3', warn_above=5, fail_above=1)",
    "rule.check('r', 'x < (select max(x) from previous)', fail_above=1, on_failure='quarantine')",
    "rule.check('\\ud800', 'x < 3')",
    "rule.check('r', 'x < 3', because='\\ud800')",
    "rule.fresh_event_time(within='1 day', column='x', tz=('x', 'x'))",
    "rule.changes('x', within=1, against='same weekday, last ' + '9' * 5000)",
    "rule.rows(at_least=10**5000, at_most='x')",
    "rule.reconciles('x', 'q', 'x', by=['__fails'])",
]


@pytest.mark.parametrize("rule", BAD)
def test_what_cannot_be_meant_is_told(place: Place, rule: str) -> None:
    declare(place, rule, more=OTHER.format("select 1 as x"))
    ran = place.run("ls")
    assert (ran.code, "Traceback" in ran.err) == (2, False), ran.err
    assert "products/sales.py:" in ran.err


# ---------------------------------------------------------------------------------------------- secrets


SMUGGLED = [
    "select * from this a join this b on a.id = b.id",
    "select (select * exclude (id, age) from this limit 1) as x",
    "select (select t.* exclude (id, age)) as x from this t",
    "select * from (summarize this)",
    "with recursive t as (select 0::bigint as a, '' as b, 0::bigint as c union all "
    "select p.* from this p, t where t.c = 0 and t.a = 0) select * from t",
    "select * from this positional join this",
]


@pytest.mark.parametrize("query", SMUGGLED)
def test_a_value_cannot_be_smuggled_out(place: Place, query: str) -> None:
    place.write(
        "products/sales.py", PEOPLE.replace("RULES", f"rule.sql('r', {query!r})"), header=True
    )
    said = "".join(
        r.out + r.err
        for r in (
            place.run("materialize"),
            place.run("why", "people"),
            place.run("show", "people", "--held", "--failures", "r"),
        )
    )
    catalog = place.recorded()
    for secret in ("ann@", "bob", "eve @"):
        assert secret not in said
        assert secret not in catalog


def test_columns_that_a_pattern_names_are_sensitive_too(place: Place) -> None:
    place.write(
        "products/sales.py",
        """
        class P(pa.DataFrameModel):
            mail: str = pa.Field(alias="mail_.*", regex=True, metadata={"sensitive": True}, str_length={"max_value": 1})

        sql_product("p", "select 'bob' as mail_a, 'eve' as MAIL_B, 'x' as mail_c", owner="o", contract=P)
        sql_product("d", "select *, 1 as y from p", owner="o", rules=[rule.check("never", "y > 1")])
        """,
        header=True,
    )
    said = place.run("materialize").out + place.run("show", "p", "--held").out
    assert "(sensitive)" in said
    assert "bob" not in said
    place.edit("products/sales.py", ', str_length={"max_value": 1}', "")
    said = "".join(
        place.run(*v).out
        for v in (
            ["materialize"],
            ["show", "d", "--held"],
            ["show", "d", "--held", "--failures", "never"],
        )
    )
    assert "never: 1 row" in said
    assert "bob" not in said, "what is made of it keeps the secret"


def test_errors_that_might_quote_a_value_say_nothing(place: Place) -> None:
    cast = "rule.check('r', 'cast(email as int) > 0'{})"
    for rule in (cast.format(""), cast.format(", on_failure='quarantine', fail_above='99 %'")):
        place.write("products/sales.py", PEOPLE.replace("RULES", rule), header=True)
        ran = place.run("materialize")
        said = ran.out + ran.err + place.run("show", "people", "--held", "--failures", "r").err
        assert "ann@" not in said
        assert "sensitive values" in said


def test_what_is_measured_over_a_secret_is_not_kept(place: Place) -> None:
    more = 'sql_product("zero", "select 1 as id, 0 as v", owner="o")'
    place.write(
        "products/sales.py",
        more
        + PEOPLE.replace("RULES", "rule.reconciles('sum(length(email))', 'zero', 'v', text='r')"),
        header=True,
    )
    told = {r["text"]: r for r in place.materialize()["sales.people"]["rules"]}["r"]
    assert (told["status"], told["measured"]) == ("failed", None)
    assert all(value == "(sensitive)" for value in told["samples"][0].values())


@pytest.mark.parametrize("mark", ["\u061c", "\u2028", "\u202e", "\x9b"])
def test_direction_marks_never_reach_the_terminal(place: Place, mark: str) -> None:
    place.write(
        "products/sales.py",
        f"sql_product('p', 'from numbers', owner='o{mark}', purpose='p{mark}', rules=[rule.check('r{mark}', 'x < 0')])",
        header=True,
    )
    for verb in (
        ["materialize"],
        ["materialize", "--json"],
        ["why", "p"],
        ["lineage", "p"],
        ["ls"],
        ["ls", "--json"],
        ["status"],
    ):
        assert mark not in place.run(*verb).out, verb


def test_a_broken_manifest_is_made_anew(place: Place) -> None:
    declare(place, f"{CLOSED.replace('day', 'x')}, rule.check('r', 'x < 9')")
    for change in (
        {"text": 5},
        {"tz": "Mars"},
        {"closes": "never"},
        {"review_by": "soon"},
        {"demand": {"kind": "condition", "place": "x", "arguments": {}}},
        {"inputs": [{"alias": "z", "name": "no.where"}]},
    ):
        assert place.run("status").code == 0
        whole = (place.root / ".products/manifest.json").read_bytes()
        place.forge(
            lambda _, told, change=change: told["products"][0]["contract"]["rules"][0].update(
                change
            )
        )
        assert (place.root / ".products/manifest.json").read_bytes() != whole
        for verb in ("status", "plan"):
            assert place.run(verb).code == 0, change
            assert (place.root / ".products/manifest.json").read_bytes() == whole


# ---------------------------------------------------------------------------------------------- numbers that are none


NAN_PAIRS = [
    ("'nan'", "'nan'", False),
    ("'nan'", "5", True),
    ("5", "'nan'", True),
    ("'inf'", "'inf'", False),
    ("'inf'", "5", True),
    ("5", "'inf'", True),
    ("'inf'", "'-inf'", True),
    ("null", "null", False),
    ("null", "0", False),
    ("null", "5", True),
    ("'nan'", "null", True),
    ("null", "'nan'", True),
]


@pytest.mark.parametrize("within", ["0.1 %", "0.01", "0"])
def test_what_is_no_number_reconciles_with_the_same_alone(place: Place, within: str) -> None:
    """NaN is equal to NaN, null counts as zero, by share as by amount; all pairs are groups of one rule."""
    for name, side in (("ledger", 1), ("p", 0)):
        values = ", ".join(f"({n}, {pair[side]}::double)" for n, pair in enumerate(NAN_PAIRS))
        rules = (
            f"rules=[rule.reconciles('x', 'ledger.ledger', 'x', within='{within}', by=['k'], text='r')]"
            if name == "p"
            else ""
        )
        place.write(
            f"products/{name}.py",
            f"""from assay import rule, sql_product
sql_product("{name}", "select * from (values {values}) t(k, x)", owner="o", {rules})
""",
        )
    [told] = place.materialize("-s", "p.p", "-s", "ledger.ledger")["p.p"]["rules"]
    assert told["failing"] == sum(bad for *_, bad in NAN_PAIRS)
    shown = place.run("show", "p.p", "--held", "--failures", "r", "--json", "-n", "50").json
    assert {row["k"] for row in shown} == {n for n, (*_, bad) in enumerate(NAN_PAIRS) if bad}


@pytest.mark.parametrize("within", ["40 %", "3"])
def test_what_is_no_number_changes_unless_it_is_the_same(place: Place, within: str) -> None:
    for side in (0, 1):
        values = ", ".join(f"({n}, {pair[side]}::double)" for n, pair in enumerate(NAN_PAIRS))
        declare(
            place,
            f"rule.changes('x', within='{within}', by=['k'], text='r')",
            sql=f"select * from (values {values}) t(k, x)",
        )
        told = place.materialize()["sales.p"]
    assert told["rules"][0]["failing"] == sum(bad for *_, bad in NAN_PAIRS)
    shown = place.run("show", "p", "--held", "--failures", "r", "--json", "-n", "50").json
    assert {row["k"] for row in shown} == {n for n, (*_, bad) in enumerate(NAN_PAIRS) if bad}
