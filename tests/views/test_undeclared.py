"""Products that are no longer declared, and declarations that cannot be read: readers and operators are not stuck."""

import pytest

import assay
from assay.errors import UsageError
from tests.conftest import Place, mostly_long

TWO = """
a = sql_product("a", "select 1 as x", owner="o", rules=[rule.check("x is there", "x > 0", on_failure="quarantine", fail_above="50 %")])
b = sql_product("b", "select 2 as x", owner="o")
"""


@pytest.fixture
def dropped(place: Place) -> Place:
    """A project that has published `a` and `b`, and now declares `b` alone."""
    place.write("products/sales.py", TWO, header=True)
    place.materialize()
    place.write("products/sales.py", TWO.strip().partition("\n")[2], header=True)
    return place


def test_what_is_no_longer_declared_is_listed(dropped: Place) -> None:
    assert dropped.materialize()[""]["exit_code"] == 0
    [_, _, a, aside] = dropped.run("ls", "--json").json
    assert (a["product"], a["declared"], a["readers"]["rows"]) == ("sales.a", False, 1)
    assert aside["product"] == "sales.a__quarantine"
    assert "no longer declared, readers still see v" in dropped.run("ls").out
    states = {t["product"]: t["state"] for t in dropped.run("status", "--json").json}
    assert states == dict.fromkeys(("sales.a", "sales.a__quarantine"), "no longer declared") | {
        "sales.b": "up to date",
        "sales.numbers": "read",
    }
    assert "products retire sales.a" in dropped.run("status").out
    assert len(dropped.run("status", "--json", "-s", "b").json) == 1


def test_retired_it_is_gone_from_readers_and_can_be_restored(dropped: Place) -> None:
    before = {row["version"] for row in dropped.run("history", "a", "--json").json}
    ran = dropped.run("retire", "a", "--because", "it moved to b", "--json")
    assert ran.code == 0, ran.err
    assert [item["product"] for item in ran.json["products"]] == ["sales.a", "sales.a__quarantine"]
    assert dropped.run("query", "from a").code == 2
    with pytest.raises(UsageError, match="not published"):
        assay.read("a", project=dropped.root)
    assert dropped.run("query", "--as-of", "2", "--json", "select x from a").json == [{"x": 1}]
    assert [t["product"] for t in dropped.run("status", "--json").json] == [
        "sales.b",
        "sales.numbers",
    ]
    assert dropped.run("verify").code == 0
    assert dropped.run("retire", "a").code == 2, "there is nothing to retire"
    [version] = before
    assert dropped.run("restore", "a", version).code == 0
    assert dropped.query("select x from a") == [{"x": 1}]


def test_the_whole_set_of_a_release_comes_back(dropped: Place) -> None:
    dropped.run("retire", "a")
    assert dropped.run("restore", "--release", "2").code == 0
    assert dropped.query("select x from a") == [{"x": 1}]


def test_declared_again_it_is_published_again(dropped: Place) -> None:
    dropped.run("retire", "a")
    dropped.write("products/sales.py", TWO, header=True)
    told = dropped.materialize()
    assert (told["sales.a"]["result"], told["sales.a"]["built"]) == ("published", False), (
        "its bytes are still there"
    )


def test_what_is_declared_is_not_retired(dropped: Place) -> None:
    ran = dropped.run("retire", "b")
    assert ran.code == 2
    assert (
        "sales.b is declared (products/sales.py:8), so the next run would publish it again"
        in ran.err
    )
    assert dropped.query("select x from b") == [{"x": 2}]
    assert "there is no product 'c'" in dropped.run("retire", "c").err


def test_gc_lets_go_of_what_was_retired_long_ago(dropped: Place) -> None:
    dropped.run("retire", "a")
    dropped.run("gc", "--now", "2100-01-01")
    assert dropped.run("history", "a").code == 2, "nothing of it is recorded any more"
    assert dropped.query("select x from b") == [{"x": 2}]
    assert dropped.run("verify").code == 0


LOOKING = [
    ["status"],
    ["ls"],
    ["history", "a"],
    ["show", "a"],
    ["why", "a"],
    ["lineage", "a"],
    ["suggest", "a"],
    ["query", "from a"],
    ["gc"],
    ["verify"],
]
BROKEN = {
    "an import": "import nothing_of_that_name",
    "a mistake": "sql_product('c', 'select 1 as x')",
    "syntax": "def",
}


@pytest.mark.parametrize("broken", mostly_long(BROKEN, "an import", "a mistake"))
def test_declarations_that_cannot_be_read_stop_nobody_who_looks(place: Place, broken: str) -> None:
    place.write("products/sales.py", TWO, header=True)
    place.materialize()
    [version] = place.run("history", "b", "--json").json
    place.write("products/other.py", BROKEN[broken], header=True)
    for verb in LOOKING:
        ran = place.run(*verb)
        assert ran.code == 0, (verb, ran.err)
        if verb[0] not in {"query", "verify"}:  # they never read declarations
            assert "the declarations cannot be read now (products/other.py:" in ran.err, verb
    assert place.run("restore", "b", version["version"]).code == 0
    for verb in (["materialize"], ["plan"], ["retry"], ["retire", "b"]):
        ran = place.run(*verb)
        assert ran.code == 2, verb
        assert "in the declarations:" in ran.err
    (place.root / "products/other.py").unlink()
    assert place.run("status").err == ""


def test_without_declarations_that_were_ever_read_there_is_nothing_to_go_by(place: Place) -> None:
    place.write("products/sales.py", "def", header=True)
    ran = place.run("status")
    assert (ran.code, "1 mistake in the declarations" in ran.err) == (2, True)
