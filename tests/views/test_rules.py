"""What is said of rules: how each is judged, which rows fail it, and what must never be shown."""

import csv

import pytest

from tests.conftest import Place

PEOPLE = """
class People(pa.DataFrameModel):
    id: int = pa.Field(unique=True)
    email: str = pa.Field(metadata={"sensitive": True}, str_contains="@", nullable=True)
    age: int = pa.Field(ge=0)

    @pa.check("email")
    def no_blank(cls, data):
        return data.lazyframe.select(~pl.col(data.key).str.contains(" "))

sql_product("people", \"\"\"
    select id::bigint as id, email, age::bigint as age from (values (1, 'ann@x.example', 30), (2, 'bob', -1), (3, 'eve @x.example', 20)) t(id, email, age)
\"\"\", owner="o", contract=People, rules=[RULES])
"""


def declare(place: Place, rules: str = "") -> None:
    place.write("products/sales.py", PEOPLE.replace("RULES", rules), header=True)


def test_how_each_rule_is_judged(place: Place) -> None:
    declare(place, "rule.rows(at_least=1), rule.check('grown up', 'age > 17', severity='warning')")
    place.materialize()
    told = {t["rule"]: t for t in place.run("why", "people", "--rules", "--json").json}
    assert {text: t["how"] for text, t in told.items()} == {
        "id: type BIGINT": "schema",
        "id is never missing": "fused; pruned, when there are many rows",
        "id is unique": "sorted",
        "email: type VARCHAR": "schema",
        "email contains @": "polars",
        "email: no blank": "pandera",
        "age: type BIGINT": "schema",
        "age is never missing": "fused; pruned, when there are many rows",
        "age is at least 0": "fused; pruned, when there are many rows",
        "there are at least 1 rows": "sql",
        "grown up": "fused",
    }
    assert 'not ("age" >= 0)' in told["age is at least 0"]["query"]
    assert told["email contains @"]["query"] == "pl.col('email').str.contains('@')"
    assert told["email: no blank"]["because"] == "a check of your own"
    assert told["grown up"]["last"] == {"status": "warning", "how": "fused"}
    assert told["email: no blank"]["last"] == {"status": "failed", "how": "polars"}
    plain = place.run("why", "people", "--rules").out
    assert ": failed, polars" in plain


@pytest.mark.parametrize(
    ("rule", "ids"),
    [
        ("email contains", [2]),
        ("no blank", [3]),
        ("age is at least 0", [2]),
        ("grown up", [2]),
        ("sql", [2, 3]),
        ("id is unique", []),
    ],
)
def test_all_failing_rows_of_a_held_version(place: Place, rule: str, ids: list[int]) -> None:
    declare(
        place,
        "rule.check('grown up', 'age > 17'), rule.sql('sql', 'select * from this where id > 1')",
    )
    place.materialize()
    shown = place.run("show", "people", "--held", "--failures", rule, "--json").json
    assert [row["id"] for row in shown] == ids
    assert all(row["email"] == "(sensitive)" for row in shown)
    ran = place.run(
        "show", "people", "--held", "--failures", rule, "--to", str(place.root / "f.csv")
    )
    assert ran.code == 0
    with (place.root / "f.csv").open() as lines:
        assert [int(row["id"]) for row in csv.DictReader(lines)] == ids


def test_a_rule_is_named_by_some_of_its_words(place: Place) -> None:
    declare(place)
    place.materialize()
    assert "could be several rules" in place.run("show", "people", "--held", "--failures", "is").err
    assert "has no rule 'nope'" in place.run("history", "people", "--rule", "nope").err


def test_the_first_rows_are_few_and_say_so(place: Place) -> None:
    place.numbers("a", *range(30))
    place.write(
        "products/sales.py",
        "sql_product('p', 'from numbers', owner='o', rules=[rule.check('r', 'x < 0')])",
        header=True,
    )
    place.materialize()
    ran = place.run("show", "p", "--held", "--failures", "r", "-n", "4")
    assert (len(ran.out.splitlines()), "the first 4" in ran.err) == (5, True)


# ---------------------------------------------------------------------------------------------- sensitive


SECRETS = ("bob", "eve @x", "ann@x")
LEAKS = [
    "rule.sql('r', 'select id, email from this where id = 2')",
    "rule.sql('r', 'select id, email as e from this where id = 2')",
    "rule.sql('r', 'select id, upper(email) as e from this where id = 2')",
    "rule.sql('r', 'select e as id from (select email as e from this)')",
    "rule.sql('r', 'with t as (select * from this) select * from t')",
    "rule.sql('r', 'select a, b from this t(a, b)')",
    "rule.sql('r', 'select t from this t')",
    "rule.sql('r', 'select this from this')",
    "rule.sql('r', 'select to_json(t) as j from this t')",
    "rule.sql('r', 'select columns(\\'.*\\') from this')",
    "rule.sql('r', 'select * rename (email as id2) from this')",
    "rule.sql('r', 'select 1 as a, 2 as b, 3 as c union all select id, email, age from this')",
    "rule.sql('r', 'select 1 as a, \\'\\' as b, 3 as c union all select * from this')",
    "rule.sql('r', 'select #2 as x from (select * from this)')",
    "rule.sql('r', 'unpivot (select id, email from this) on email into name n value v')",
    "rule.sql('r', 'select struct_pack(a := t).a.email as x from this t')",
    "rule.sql('r', 'select cast(email as int) from this')",
    "rule.sql('r', 'select x.* from (select struct_pack(e := email) as x from this)')",
    "rule.sql('r', 'select unnest(t) from this t')",
    "rule.sql('r', 'select string_agg(email) as all_of_them from this')",
    "rule.check('r', 'email is null')",
    "rule.check('r', pa.Check.str_length(0, 1), column='email')",
    "rule.check('r', pa.Check(lambda d: d.lazyframe.select(pl.col(d.key).cast(pl.Int64) > 0)), column='email')",
    "rule.check('r', pa.Check.eq(3), column='email')",
]


@pytest.mark.parametrize("rule", LEAKS)
def test_what_is_sensitive_is_never_shown_stored_or_logged(place: Place, rule: str) -> None:
    declare(place, rule)
    said = "".join(
        ran.out + ran.err
        for ran in (
            place.run("materialize", "--json"),
            place.run("materialize"),
            place.run("why", "people"),
            place.run("status", "--json"),
            place.run("history", "people", "--json"),
            place.run("show", "people", "--held"),
            place.run("show", "people", "--held", "--failures", "no blank"),
        )
    )
    assert "no blank" in said
    catalog = place.recorded()
    for secret in SECRETS:
        assert secret not in said, rule
        assert secret not in catalog, rule


def test_what_is_not_sensitive_is_shown(place: Place) -> None:
    """The control: hiding everything would pass the test above."""
    declare(
        place,
        "rule.sql('r', 'select id, age from this where age < 0'), rule.sql('s', 'select * from this where age < 0')",
    )
    rules = {r["text"]: r for r in place.materialize()["sales.people"]["rules"]}
    assert rules["r"]["samples"] == [{"id": 2, "age": -1}]
    assert rules["s"]["samples"] == [{"id": 2, "email": "(sensitive)", "age": -1}]
    assert rules["age is at least 0"]["samples"] == [{"id": 2, "age": -1}]


def test_what_another_product_keeps_to_itself(place: Place) -> None:
    declare(place)
    place.edit("products/sales.py", ', str_contains="@"', "")
    place.edit("products/sales.py", "= pa.Field(ge=0)", "")
    place.edit(
        "products/sales.py",
        'return data.lazyframe.select(~pl.col(data.key).str.contains(" "))',
        "return True",
    )
    more = '\nsql_product("q", "select 1 as x", owner="o", rules=[rule.sql("r", "select email as x from people")])\n'
    file = place.root / "products/sales.py"
    file.write_text(file.read_text() + more)
    told = place.materialize()
    assert told["sales.people"]["result"] == "published"
    assert told["sales.q"]["rules"][0]["samples"][0] == {"x": "(sensitive)"}


def test_history_is_that_of_its_environment(place: Place) -> None:
    rule = "rule.changes('x', within='10 %', text='r')"
    place.write(
        "products/sales.py",
        f"sql_product('p', 'from numbers', owner='o', rules=[{rule}])",
        header=True,
    )
    place.materialize()
    place.numbers("b", 100)
    assert place.materialize()["sales.p"]["result"] == "held back"
    place.environment("qa")
    assert place.materialize("--env", "qa")["sales.p"]["result"] == "published"
    assert place.run("history", "p", "--json").json[0]["verdict"] == "failed"
    assert place.run("history", "p", "--env", "qa", "--json").json[0]["verdict"] == "passed"
    assert [r["status"] for r in place.run("history", "p", "--rule", "r", "--json").json] == [
        "skipped",
        "failed",
    ]


def test_what_is_said_of_a_rule_is_said_as_of_today(place: Place) -> None:
    place.write(
        "products/sales.py",
        "sql_product('p', 'from numbers', owner='o', rules=[rule.check('r', 'x < 0', because='old')])",
        header=True,
    )
    place.materialize()
    place.edit("products/sales.py", "because='old'", "because='new', owner='me'")
    [told] = place.materialize()["sales.p"]["rules"]
    assert (told["because"], told["owner"]) == ("new", "me")
