"""`products promote`: the very versions that were judged, in one release, or nothing at all."""

from datetime import date, timedelta
from typing import Any

import pytest

from assay.build.promote import _Judging
from tests.conftest import Place, Ran

PRODUCTS = """
sql_product("base", "select x from numbers", owner="o", rules=[rule.check("small", "x < 10", on_failure="quarantine", fail_above="50 %")])
sql_product("total", "select sum(x)::bigint as total from base", owner="o", rules=[
    rule.changes("total", within="50 %"), rule.sql("under a hundred", "select total from this where total > 100")],
    consumers=[Consumer(name="board", decides="dividends")])
sql_product("apart", "select count(*)::int as n from numbers", owner="o", release_group="g")
sql_product("beside", "select max(x) as x from numbers", owner="o", release_group="g")
"""
TRY = ("--env", "try")
CHANGED = ["sales.base", "sales.base__quarantine", "sales.total"]


@pytest.fixture
def shop(place: Place) -> Place:
    place.write("products/sales.py", PRODUCTS, header=True)
    place.materialize()
    assert place.run("env", "create", "try").code == 0
    return place


def change(place: Place, old: str, new: str) -> dict[str, dict]:
    place.edit("products/sales.py", old, new)
    return place.materialize(*TRY)


def versions(place: Place, environment: str = "prod") -> dict[str, str]:
    rows = place.run("status", "--env", environment, "--json").json
    return {
        row["product"].partition(".")[2]: row["readers"]["version"]
        for row in rows
        if row.get("readers")
    }


def promoted(place: Place, *arguments: str) -> dict[str, Any]:
    ran = place.run("promote", "--from", "try", "--json", *arguments)
    assert ran.code == 0, ran.err
    return ran.json


def refused(place: Place, *arguments: str) -> Ran:
    """Promote, which must be refused and move nothing."""
    before = versions(place)
    ran = place.run("promote", "--from", "try", *arguments)
    assert (ran.code, ran.out) == (2, ""), ran.out
    assert versions(place) == before
    return ran


def test_what_was_judged_is_published_in_one_release(shop: Place) -> None:
    change(shop, "select x from", "select x + 1 as x from")
    dry = promoted(shop, "--dry-run")
    assert (dry["result"], dry["release"]) == ("would be promoted", 0)
    assert shop.query("from total") == [{"total": 6}]
    done = promoted(shop, "--because", "agreed")
    assert (done["result"], done["from"], done["to"]) == ("promoted", "try", "prod")
    assert [p["product"] for p in done["products"]] == CHANGED
    assert done["products"][-1]["affects"] == ["board (dividends)"]
    assert shop.query("from total") == [{"total": 9}]
    assert versions(shop) == versions(shop, "try")
    [now, *_] = shop.run("history", "total", "--json").json
    assert [(r["release"], r["why"]) for r in now["released"]] == [
        (done["release"], "promote try: agreed")
    ]
    again = shop.materialize()
    assert {r["result"] for name, r in again.items() if name} == {"unchanged"}
    assert not any(r.get("judged") for name, r in again.items() if name), "nor is it judged again"
    nothing = shop.run("promote", "--from", "try")
    assert (nothing.code, "nothing to promote" in nothing.out) == (0, True)
    assert shop.run("env", "ls", "--json").json[1].keys().isdisjoint({"differs", "own"})


def test_a_branch_is_built_once_and_found_after_the_merge(shop: Place) -> None:
    change(shop, "select x from", "select x + 1 as x from")
    merged = shop.materialize()
    moved = {n: r for n, r in merged.items() if r.get("result") == "published"}
    assert sorted(moved) == CHANGED
    assert not any(r["built"] or r["judged"] for r in moved.values())
    assert "nothing to promote" in shop.run("promote", "--from", "try").out
    change(shop, "x + 1", "x + 2")
    assert len(promoted(shop)["products"]) == 3, "what prod has is what its version replaced"


def test_rules_that_compare_are_judged_beside_what_the_parent_publishes(shop: Place) -> None:
    """Half as much again, twice: each step is within the rule in try, and both are not in prod."""
    change(shop, "sum(x)::bigint", "(1.5 * sum(x))::bigint")
    twice = change(shop, "(1.5 *", "(2.2 *")
    assert twice["sales.total"]["result"] == "published"
    ran = refused(shop)
    assert "sales.total fails in prod: total" in ran.err
    assert change(shop, "(2.2 *", "(1.4 *")["sales.total"]["result"] == "published"
    assert promoted(shop, "--dry-run")["products"][0]["judged"]
    [total] = promoted(shop)["products"]
    assert total["judged"]
    assert not shop.materialize()["sales.total"].get("judged")


def test_what_moved_in_the_parent_is_named(shop: Place) -> None:
    change(shop, "sum(x)::bigint", "(sum(x) + 1)::bigint")
    shop.edit("products/sales.py", "(sum(x) + 1)", "(sum(x) + 2)")
    theirs = shop.materialize()["sales.total"]
    ran = refused(shop)
    old = versions(shop)["total"][:7]
    assert "sales.total has moved in prod meanwhile, from v" in ran.err
    assert f" to {old} (release {theirs['release']}, 20" in ran.err
    assert "`products env create try --again`" in ran.err
    shop.run("env", "create", "try", "--again")
    assert "nothing to promote" in shop.run("promote", "--from", "try").out


def test_a_run_that_publishes_meanwhile(shop: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    change(shop, "sum(x)::bigint", "(sum(x) + 1)::bigint")
    go, calls = _Judging.go, []

    def late(judging: _Judging, why: str, *, dry: bool) -> Any:
        calls.append(why)
        if len(calls) == 1:
            shop.edit("products/sales.py", "(sum(x) + 1)", "(sum(x) + 2)")
            assert shop.materialize("-s", "total")["sales.total"]["result"] == "published"
        return go(judging, why, dry=dry)

    monkeypatch.setattr(_Judging, "go", late)
    ran = shop.run("promote", "--from", "try")
    assert (ran.code, len(calls)) == (2, 1)
    assert "sales.total has moved in prod meanwhile" in ran.err
    assert shop.query("from total") == [{"total": 8}]


def test_two_that_promote_at_once(shop: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    change(shop, "sum(x)::bigint", "(sum(x) + 1)::bigint")
    go, calls = _Judging.go, []

    def late(judging: _Judging, why: str, *, dry: bool) -> Any:
        calls.append(why)
        if len(calls) == 1:
            assert len(promoted(shop)["products"]) == 1
        return go(judging, why, dry=dry)

    monkeypatch.setattr(_Judging, "go", late)
    ran = shop.run("promote", "--from", "try")
    assert (ran.code, "nothing to promote" in ran.out) == (0, True)
    assert len(shop.run("history", "total", "--json").json[0]["released"]) == 1


def test_mixtures_are_refused(shop: Place) -> None:
    change(shop, "select x from", "select x + 1 as x from")
    ran = refused(shop, "total")
    assert "sales.total was built from v" in ran.err and "Promote both: `+sales.total`" in ran.err
    ran = refused(shop, "base")
    assert "sales.total was built from another version of sales.base in prod" in ran.err
    assert "Promote both: `sales.base+`" in ran.err
    done = promoted(shop, "+total")
    assert [p["product"] for p in done["products"]] == CHANGED, "what was set aside goes along"


def test_a_release_group_goes_as_a_whole(shop: Place) -> None:
    change(
        shop, 'numbers", owner="o", release_group', 'numbers where x > 1", owner="o", release_group'
    )
    ran = refused(shop, "apart", "--exclude", "beside")
    assert "sales.beside is excluded, but release group g is published all or none" in ran.err
    assert [p["product"] for p in promoted(shop, "apart")["products"]] == [
        "sales.apart",
        "sales.beside",
    ]


def test_a_waiver_of_the_environment_does_not_count_in_the_parent(shop: Place) -> None:
    assert (
        change(shop, "sum(x)::bigint", "(sum(x) + 2)::bigint")["sales.total"]["result"]
        == "published"
    )
    held = change(shop, "total > 100", "total > 7")
    assert held["sales.total"]["result"] == "held back"
    until = (date.today() + timedelta(days=9)).isoformat()
    waive = ["waive", "total", "--rule", "under", "--until", until, "--because", "b", "--rows", "9"]
    assert shop.run(*waive, *TRY).code == 0
    assert shop.run("materialize", *TRY).code == 0
    ran = refused(shop)
    assert (
        "fails in prod: under a hundred; it passed in try by a waiver that does not count"
        in ran.err
    )
    assert shop.run(*waive).code == 0
    assert len(promoted(shop)["products"]) == 1
    assert shop.run("waivers", "--json").json[0]["used"]


def test_an_approval_is_needed_where_it_is_published(
    shop: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Approved for prod and for try apart, by somebody who did not build it."""
    monkeypatch.setenv("LOGNAME", "ann")
    shop.edit("products/sales.py", "sum(x)::bigint", "(sum(x) + 1)::bigint")
    shop.edit("products/sales.py", "consumers=", 'approval=["cfo@x.example"], consumers=')
    assert shop.run("materialize", *TRY).code == 3
    agreed = ["approve", "total", "--as", "cfo@x.example", "--because", "agreed"]
    assert shop.run(*agreed, *TRY).code == 0
    assert shop.run("materialize", *TRY).code == 0
    ran = refused(shop)
    assert "sales.total needs the approval of cfo@x.example in prod" in ran.err
    assert "`products approve sales.total v" in ran.err
    assert shop.run(*agreed).code == 0
    assert len(promoted(shop)["products"]) == 1
    used = shop.run("approvals", "--json").json["approvals"]
    assert [each["state"] for each in used] == ["used"]


def test_pins_lost_files_and_other_code(shop: Place) -> None:
    change(shop, "sum(x)::bigint", "(sum(x) + 1)::bigint")
    old = versions(shop)["total"]
    shop.run("restore", "total", old)
    assert (
        "sales.total is pinned in prod\n    `products restore sales.total --unpin"
        in refused(shop).err
    )
    shop.run("restore", "total", "--unpin")
    shop.edit("products/sales.py", "under a hundred", "under hundred")
    shop.edit("products/sales.py", "total > 100", "total > 200")
    assert "was not judged good in try by the rules that are declared here" in refused(shop).err
    shop.edit("products/sales.py", 'sql_product("total"', 'sql_product("other"')
    assert "sales.total is not declared here\n    Check out the code" in refused(shop).err
    shop.edit("products/sales.py", 'sql_product("other"', 'sql_product("total"')
    shop.edit("products/sales.py", "total > 200", "total > 100")
    shop.edit("products/sales.py", "under hundred", "under a hundred")
    own = versions(shop, "try")["total"]
    for file in (shop.root / ".products/store/sales.total").rglob("*.parquet"):
        if file.stat().st_mtime == max(
            f.stat().st_mtime for f in file.parent.parent.rglob("*.parquet")
        ):
            file.chmod(0o644)
            file.unlink()
    assert f"has files that are missing or damaged ({own[:7]})" in refused(shop).err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--from", "tri"], "there is no environment tri\n  Did you mean try?"),
        (["--from", "try", "--to", "prdo"], "there is no environment prdo"),
        (["--from", "prod"], "prod is the environment of the settings"),
        (["--from", "bare"], "bare was not created from another environment"),
        (["--from", "deep", "--to", "prod"], "deep was created from try: it is promoted to that"),
        (["--from", "try", "totl"], "Did you mean sales.total?"),
    ],
)
def test_what_cannot_be_meant(shop: Place, arguments: list[str], problem: str) -> None:
    shop.environment("bare")
    shop.run("env", "create", "deep", "--from", "try")
    ran = shop.run("promote", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert problem in ran.err
