"""`products env`, and what other commands say of environments that do not exist."""

import pytest

import assay
from assay.errors import UsageError
from tests.conftest import Place

PRODUCTS = """
sql_product("base", "select x from numbers", owner="o")
sql_product("total", "select sum(x)::bigint as total from base", owner="o", rules=[
    rule.sql("it grows", "select t.total from this t, previous p where t.total < p.total")])
"""
CLOSED = """
sql_product("days", "select date '2024-01-30' as day, max(x) as x from numbers", owner="o", rules=[
    rule.closed("day", before="start of month")])
"""


@pytest.fixture
def shop(place: Place) -> Place:
    place.write("products/sales.py", PRODUCTS, header=True)
    place.materialize()
    return place


def releases(place: Place) -> dict[str, list]:
    """Return the versions that environments publish, by product."""
    found = {}
    for environment in ("prod", "try"):
        rows = place.run("status", "--env", environment, "--json").json
        found[environment] = [row["readers"]["version"] for row in rows if "readers" in row]
    return found


def test_a_new_environment_is_up_to_date_and_a_change_in_it_is_its_own(shop: Place) -> None:
    created = shop.run("env", "create", "try")
    assert created.code == 0, created.err
    assert created.out.splitlines()[0] == "  created  try  from prod: 2 products"
    assert "try was created from prod on 20" in shop.run("status", "--env", "try").err
    before = releases(shop)
    assert before["prod"] == before["try"]
    done = shop.materialize("--env", "try")
    assert {r["result"] for name, r in done.items() if name} == {"unchanged"}
    shop.edit("products/sales.py", "sum(x)::bigint", "(sum(x) + 1)::bigint")
    assert shop.materialize("--env", "try")["sales.total"]["result"] == "published"
    assert shop.query("from total") == [{"total": 6}]
    assert shop.run("query", "--env", "try", "--json", "from total").json == [{"total": 7}]
    [prod, own] = shop.run("env", "ls", "--json").json
    assert (prod["name"], prod["parent"], prod["default"]) == ("prod", "", True)
    assert (own["parent"], own["differs"], own["own"]) == ("prod", *[["sales.total"]] * 2)
    assert own["last_run"] > own["created_at"]
    assert "1: sales.total" in shop.run("env", "ls").out.splitlines()[2]
    assert shop.run("env", "create", "try", "--again").code == 0
    assert releases(shop)["try"] == before["prod"]
    again = shop.materialize("--env", "try")["sales.total"]
    assert (again["result"], again["built"], again["judged"]) == ("published", False, False)


def test_what_is_compared_with_is_the_version_of_the_parent(shop: Place) -> None:
    shop.run("env", "create", "try")
    shop.numbers("a", 1, 2)
    assert shop.materialize("--env", "try")["sales.total"]["result"] == "held back"
    assert shop.run("env", "create", "bare", "--empty").code == 0
    assert shop.materialize("--env", "bare")["sales.total"]["result"] == "published"


def test_rows_that_settled_since_the_parent_published_are_not_judged_anew(place: Place) -> None:
    """As of its release in prod, January was open: it is as good in a copy that is made in March."""
    place.write("products/sales.py", CLOSED, header=True)
    place.run("materialize", "--now", "2024-01-30T09:00")
    place.numbers("b", 7)
    assert place.run("materialize", "--now", "2024-01-31T09:00").code == 0
    assert place.run("env", "create", "try", "--now", "2024-03-05T09:00").code == 0
    done = place.materialize("--env", "try", "--now", "2024-03-05T10:00")["sales.days"]
    assert (done["result"], done["judged"]) == ("unchanged", False)
    place.numbers("b", 8)
    held = place.materialize("--env", "try", "--now", "2024-03-05T10:00")["sales.days"]
    assert held["result"] == "held back", "and it is what its own changes are compared with"


def test_what_the_parent_waives_counts(place: Place) -> None:
    rules = 'rules=[rule.sql("small", "select x from this where x > 2")]'
    place.write("products/sales.py", f'sql_product("p", "from numbers", owner="o", {rules})', header=True)  # fmt: skip
    assert place.run("materialize", "--now", "2024-01-05T07:00").code == 3
    waive = ["waive", "p", "--rule", "small", "--until", "2024-01-31", "--because", "b"]
    assert place.run(*waive, "--now", "2024-01-05T07:30").code == 0
    assert place.run("materialize", "--now", "2024-01-05T08:00").code == 0
    assert place.run("env", "create", "try", "--now", "2024-01-05T08:30").code == 0
    done = place.materialize("--env", "try", "--now", "2024-01-05T09:00")["sales.p"]
    assert (done["result"], done["judged"]) == ("unchanged", False)


@pytest.mark.parametrize(
    "command",
    [
        ["query", "--env", "prdo", "from total"],
        ["materialize", "--env", "prdo"],
        ["restore", "total", "v1", "--env", "prdo"],
        ["check", "--against", "env:prdo"],
        ["run", "--env", "prdo", "--turns", "1"],
        ["env", "create", "x", "--from", "prdo"],
        ["env", "create", "prdo", "--again"],
        ["env", "drop", "prdo"],
    ],
)
def test_an_unknown_name_is_an_error(shop: Place, command: list[str]) -> None:
    ran = shop.run(*command)
    assert (ran.code, ran.out) == (2, "")
    assert (
        "there is no environment prdo\n  Did you mean prod? `products env create prdo`" in ran.err
    )
    assert len(shop.run("env", "ls", "--json").json) == 1


def test_an_unknown_name_is_an_error_in_python(shop: Place) -> None:
    for attempt in (assay.read, assay.path, assay.notes):
        with pytest.raises(UsageError, match="there is no environment prdo"):
            attempt("total", env="prdo", project=shop.root)


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (["create", "try"], "there is an environment try already\n  --again gives it"),
        (["create", "prod"], "prod is the environment of the settings: it always exists"),
        (["create", "a/b"], "at most 60 letters, digits, - and _, and is 'a/b'"),
        (["create", "x" * 61], "at most 60 letters"),
        (["create", "x", "--empty", "--from", "prod"], "give --empty or --from"),
        (["create", "x", "--from", ""], "--from names no environment"),
        (["create", "bare", "--again"], "bare has no parent\n  --from PARENT gives it one"),
        (["create", "try", "--from", "deep", "--again"], "deep was created from try"),
        (["drop", "prod"], "prod is the environment of the settings"),
        (["drop", "try"], "try is the parent of deep\n  Drop it first"),
    ],
)
def test_what_cannot_be_done_is_said(shop: Place, command: list[str], problem: str) -> None:
    for create in (["try"], ["deep", "--from", "try"], ["bare", "--empty"]):
        assert shop.run("env", "create", *create).code == 0
    before = shop.run("env", "ls", "--json").out
    ran = shop.run("env", *command)
    assert (ran.code, ran.out) == (2, "")
    assert problem in ran.err
    assert shop.run("env", "ls", "--json").out == before
