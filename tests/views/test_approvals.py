"""`products approve` and `approvals`, through the command: what passed waits until those who have to agree did."""

import sqlite3
from contextlib import closing

import pytest

from tests.conftest import Place

DECLARED = """
sql_product("close", "select x // 100 as day, sum(x % 100)::bigint as net from numbers group by 1",
    owner="o", rules=[rule.sql("never negative", "select day, net from this where net < 0"),
                      rule.sql("no large sum", "select day, net from this where net > 50", severity="warning")],
    approval=["cfo@shop.example", "controller@shop.example", "anna@shop.example"]APPROVALS)
sql_product("pack", "select sum(net)::bigint as net from close", owner="o")
sql_product("other", "select count(*) as n from numbers", owner="o")
"""
CFO = ["--as", "cfo@shop.example", "--because", "agreed with the bank"]
CONTROLLER = ["--as", "controller@shop.example", "--because", "I added it up"]


def declared(place: Place, approvals: str = "", **replaced: str) -> None:
    text = DECLARED.replace("APPROVALS", approvals)
    for old, new in replaced.items():
        text = text.replace(old, new)
    place.write("products/finance.py", text, header=True)


@pytest.fixture
def shop(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("LOGNAME", "anna")
    place.write("pyproject.toml", "[tool.products]\n")
    declared(place)
    place.numbers("a", 101, 202)
    return place


def version_of(place: Place, name: str = "close") -> str:
    return place.run("history", name, "--json").json[0]["version"]


def released(place: Place) -> Place:
    assert place.run("materialize").code == 3
    assert place.run("approve", "close", *CFO).code == 0
    assert place.run("materialize").code == 0
    return place


def test_the_first_version_waits_and_is_published_without_building_again(shop: Place) -> None:
    first = shop.run("materialize")
    assert first.code == 3, first.out
    version = version_of(shop)[:7]
    assert (
        f"awaiting   finance.close  {version}  the approval of cfo@shop.example or"
        " controller@shop.example; readers have nothing yet" in first.out
    )
    command = f"products approve finance.close {version} --as cfo@shop.example --because TEXT"
    assert command in first.out
    assert "waits: finance.close waits for the approval of cfo@shop.example or" in first.out
    assert shop.query("select n from finance.other") == [{"n": 2}], "others do not wait"
    approved = shop.run("approve", "close", version, *CFO)
    assert approved.code == 0, approved.err
    assert "approves 2 rows" in approved.out
    assert "readers have nothing yet" in approved.out
    assert "`products materialize` publishes it: nothing is built or judged again" in approved.out
    assert shop.run("query", "select * from finance.close").code == 2, "approving publishes nothing"
    assert "publish" in shop.run("plan").out
    done = shop.run("materialize")
    assert done.code == 0, done.out
    assert "not built again" in done.out
    assert "approved by cfo@shop.example (recorded by anna): agreed with the bank" in done.out
    assert shop.query("select net from finance.pack") == [{"net": 3}]
    [built] = shop.run("history", "close", "--json").json
    [release] = built["released"]
    assert release["approved"] == ["cfo@shop.example (recorded by anna): agreed with the bank"]
    assert "approved by cfo@shop.example" in shop.run("history", "close").out
    assert shop.run("materialize").code == 0


def test_readers_keep_what_they_have_and_see_the_difference(shop: Place) -> None:
    released(shop)
    shop.numbers("a", 101, 202, 399)
    assert shop.run("materialize").code == 3
    assert shop.query("select net from finance.pack") == [{"net": 3}]
    [close] = [s for s in shop.run("status", "--json").json if s["product"] == "finance.close"]
    assert close["state"] == "awaiting approval"
    assert close["because"].startswith("waits for the approval of cfo@shop.example or")
    why = shop.run("why", "close").out
    assert "did everybody who has to approve it?" in why
    assert "products approve finance.close" in why
    assert "(products why finance.close)" in shop.run("why", "pack").out
    assert "99" in shop.run("show", "close", "--held").out
    diff = shop.run("diff", "close", "--held").out
    assert "-> awaiting approval (v" in diff
    assert "+ new      day 3  net 99" in diff
    approved = shop.run("approve", "close", *CFO)
    assert "rows 2 -> 3: 1 new, 0 gone" in approved.out
    [run] = shop.run("runs", "--json").json[:1]
    assert run["counts"]["awaiting approval"] == 1
    assert run["who"] == "anna"


def test_two_of_a_list_have_to_agree_and_nobody_twice(shop: Place) -> None:
    declared(shop, ", approvals=2")
    assert "awaiting   finance.close" in shop.run("materialize").out
    half = shop.run("approve", "close", *CFO)
    assert "it still waits for the approval of controller@shop.example" in half.out
    waits = shop.run("materialize")
    assert waits.code == 3
    assert "approved by cfo@shop.example (recorded by anna): agreed with the bank" in waits.out
    twice = shop.run("approve", "close", *CFO)
    assert twice.code == 2
    assert "cfo@shop.example approved" in twice.err
    assert "already" in twice.err
    assert shop.run("approve", "close", *CONTROLLER).code == 0
    assert shop.run("materialize").code == 0


def test_who_may_not_and_what_may_not_be_approved(shop: Place) -> None:
    def wrong(*arguments: str) -> str:
        ran = shop.run("approve", *arguments)
        assert ran.code == 2, ran.out
        return ran.err

    built = "its newest version is not built yet: `products materialize` builds it"
    assert built in wrong("close", *CFO), "also where nothing was ever run"
    assert shop.run("materialize", "-s", "other").code == 0
    assert built in wrong("close", *CFO)
    assert shop.run("materialize").code == 3
    nobody = wrong("close", "--as", "boss@shop.example", "--because", " ")
    assert "--because should say why" in nobody
    assert (
        "boss@shop.example may not approve it: one of cfo@shop.example, controller@shop.example,"
        " anna@shop.example (products/finance.py:" in nobody
    )
    author = wrong("close", "--as", "anna@shop.example", "--because", "mine")
    assert "anna built" in author
    assert "so anna@shop.example may not approve it" in author
    assert "finance.other asks for no approval" in wrong("other", *CFO)
    assert "has no version 'v0000'" in wrong("close", "v0000", *CFO)
    assert "there is no environment prdo" in wrong("close", *CFO, "--env", "prdo")
    first = version_of(shop)
    shop.numbers("a", 101, 203)
    assert shop.run("materialize").code == 3
    second = version_of(shop)
    gone = wrong("close", first, *CFO)
    assert f"{first[:7]} of finance.close does not await approval (any more)" in gone
    assert f"{second[:7]} awaits approval now" in gone
    assert shop.run("approve", "close", second, *CFO).code == 0
    assert "needs no more approvals" in wrong("close", second, *CONTROLLER)
    assert shop.run("materialize").code == 0
    published = wrong("close", second, *CFO)
    assert f"{second[:7]} of finance.close is published already (release " in published
    shop.numbers("a", 101, -50)
    assert shop.run("materialize").code == 3
    failed = wrong("close", version_of(shop), *CFO)
    assert "did not pass its rules (never negative)" in failed
    assert "nothing of finance.close awaits approval" in wrong("close", *CFO)
    assert [a["state"] for a in shop.run("approvals", "--json").json["approvals"]] == ["used"]


def test_an_approval_is_void_when_the_data_or_the_logic_changes(shop: Place) -> None:
    declared(shop, ", approvals=2")
    assert shop.run("materialize").code == 3
    assert shop.run("approve", "close", *CFO).code == 0
    shop.numbers("a", 101, 203)
    data = shop.run("materialize")
    assert "the approval of cfo@shop.example is void: the data changed" in data.out
    [void] = shop.run("approvals", "--json").json["approvals"]
    assert (void["state"], void["because_void"]) == ("void", "the data changed")
    shop.numbers("a", 101, 202)
    again = shop.run("materialize")
    assert "approved by cfo@shop.example" in again.out, "it is what was approved"
    declared(shop, ", approvals=2", **{"x // 100 as day": "(x // 100) + 0 as day"})
    logic = shop.run("materialize")
    assert "the approval of cfo@shop.example is void: the logic changed" in logic.out
    declared(shop, ", approvals=2", **{"net > 50": "net > 40"})
    rules = shop.run("materialize")
    assert "is void: its rules, or what they found, changed" in rules.out
    declared(shop, ", approvals=2", **{'"cfo@shop.example", ': '"chair@shop.example", '})
    listed = shop.run("materialize")
    assert "is void: cfo@shop.example is not in the list any more" in listed.out


def test_what_is_built_again_with_the_same_rows_keeps_its_approval(shop: Place) -> None:
    declared(shop, ", approvals=2")
    assert shop.run("materialize").code == 3
    assert shop.run("approve", "close", *CFO).code == 0
    first = version_of(shop)
    assert shop.run("materialize", "--force").code == 3
    assert version_of(shop) != first
    assert shop.run("approve", "close", first, *CONTROLLER).code == 0
    assert shop.run("materialize").code == 0


def test_the_same_rows_by_the_same_logic_need_no_approval(shop: Place) -> None:
    released(shop)
    assert shop.run("materialize", "--force").code == 0
    shop.numbers("a", 202, 101)
    assert shop.run("materialize").code == 0
    declared(shop, **{"x // 100 as day": "(x // 100) + 0 as day"})
    assert shop.run("materialize").code == 3, "other logic is approved, whatever it returns"


def test_editing_who_approves_builds_and_judges_nothing(shop: Place) -> None:
    released(shop)
    declared(shop, ", approvals=2")
    ran = shop.run("materialize")
    assert ran.code == 0
    assert ran.out.split() == ["unchanged", "3", "products"]


def test_an_approval_is_withdrawn_before_it_is_used(shop: Place) -> None:
    assert shop.run("materialize").code == 3
    assert shop.run("approve", "close", *CFO).code == 0
    withdraw = ["approve", "close", "--withdraw", "--as", "cfo@shop.example"]
    assert shop.run(*withdraw).code == 0
    assert shop.run("materialize").code == 3
    assert "was withdrawn already" in shop.run(*withdraw).err
    assert shop.run("approve", "close", *CFO).code == 0, "and may be given again"
    assert shop.run("materialize").code == 0
    late = shop.run(*withdraw)
    assert late.code == 2
    assert "in release 2: it is published" in late.err


def test_what_was_taken_back_needs_a_new_approval(shop: Place) -> None:
    released(shop)
    first = version_of(shop)
    shop.numbers("a", 101, 202, 303)
    assert shop.run("materialize").code == 3
    second = version_of(shop)
    never = shop.run("restore", "close", second)
    assert never.code == 2
    assert "was never published in prod, and needs the approval of cfo@shop.example" in never.err
    assert shop.run("approve", "close", *CFO).code == 0
    assert shop.run("materialize").code == 0
    assert shop.run("restore", "close", first).code == 0, "it was approved when it was published"
    assert shop.run("restore", "close", "--unpin").code == 0
    again = shop.run("materialize")
    assert again.code == 3
    assert "is void: release " in again.out
    assert "published it, and it was taken back since" in again.out


def test_a_release_group_waits_for_the_approval_of_a_member(shop: Place) -> None:
    declared(
        shop,
        ', release_group="books"',
        **{'"other", "select': '"other", release_group="books", sql="select'},
    )
    waits = shop.run("materialize")
    assert waits.code == 3
    assert (
        "release group books waits for finance.close: the approval of cfo@shop.example or"
        in waits.out
    )
    assert shop.run("approve", "close", *CFO).code == 0
    assert shop.run("materialize").code == 0
    assert shop.query("select n from finance.other") == [{"n": 2}]


def test_mistakes_in_declarations_are_named_all_at_once(shop: Place) -> None:
    declared(shop, ", approvals=4")
    assert "approvals=4, and approval= names only 3" in shop.run("ls").err
    declared(shop, ", approvals=0", **{'"cfo@shop.example"': '"Anna@shop.example", " "'})
    wrong = shop.run("ls").err
    assert "approvals=0 should be at least 1" in wrong
    assert "approval[1] '' names nobody" in wrong
    assert "approval[3] names anna@shop.example a second time" in wrong
    declared(shop, ', approvals="2"')
    assert "approvals= should be a number of approvals" in shop.run("ls").err


def approved_in_file(shop: Place, **given: str) -> None:
    version = version_of(shop)[:7]
    given = {"version": version, "by": "cfo@shop.example", "because": "agreed", **given}
    keywords = ", ".join(f"{name}={value!r}" for name, value in given.items())
    shop.write(
        "products/approvals.py",
        f"from assay import approval\napproval('finance.close', {keywords})\n",
    )


def test_a_file_in_the_repository_approves(shop: Place) -> None:
    assert shop.run("materialize").code == 3
    approved_in_file(shop)
    [listed] = shop.run("approvals", "--json").json["approvals"]
    assert (listed["state"], listed["author"]) == ("given", "products/approvals.py:2")
    done = shop.run("materialize")
    assert done.code == 0, done.out
    assert "approved by cfo@shop.example: agreed" in done.out
    [used] = shop.run("approvals", "--json").json["approvals"]
    assert (used["state"], used["release"]) == ("used", 2)
    shop.numbers("a", 101, 203)
    assert shop.run("materialize").code == 3, "it is of that version, and no other"


def test_mistakes_in_a_declared_approval_name_their_place(shop: Place) -> None:
    assert shop.run("materialize").code == 3
    approved_in_file(shop, by="boss@shop.example", because=" ", version="v1")
    wrong = shop.run("plan").err
    assert "products/approvals.py:2" in wrong
    assert "'boss@shop.example' may not approve it" in wrong
    assert "because= should say why" in wrong
    assert "version='v1' names no version" in wrong
    approved_in_file(shop, version="v123456")
    void = shop.run("materialize")
    assert void.code == 3
    assert "(products/approvals.py:2) is void: it is of another version (v123456)" in void.out


def test_who_may_approve_is_told_once_for_each_version(shop: Place) -> None:
    route = '[tool.products.notify.cfo]\nto = ["json://127.0.0.1:1/?to={approver}"]\nwhen = ["awaiting approval", "restored"]\n'
    shop.write("pyproject.toml", f"{route}[tool.products]\n")

    def told() -> tuple[str, list[tuple[str, str]]]:
        [incident] = shop.run("incidents", "--all", "--json").json
        return incident["kind"], [(t["event"], t["recipient"]) for t in incident["told"]]

    assert shop.run("materialize").code == 3
    assert shop.run("materialize").code == 3
    [incident] = shop.run("incidents", "--json").json
    assert (incident["kind"], incident["waiting"]) == ("awaiting approval", ["finance.pack"])
    assert f"products approve finance.close {version_of(shop)[:7]}" in incident["to_do"]
    both = ["cfo@shop.example", "controller@shop.example"]
    assert told() == ("awaiting approval", [("opened", who) for who in sorted(both)])
    shop.numbers("a", 101, 203)
    assert shop.run("materialize").code == 3
    assert told()[1][2:] == [("changed", who) for who in both]
    assert shop.run("approve", "close", *CFO).code == 0
    assert shop.run("materialize").code == 0
    closed = told()[1][4:]
    assert closed == [("closed", who) for who in sorted([*both, "anna@shop.example"])]


def test_a_promise_that_nobody_approved_in_time_says_so(shop: Place) -> None:
    promised = 'owner="o", event_time="at", freshness=Freshness(by="07:00")'
    at = "timestamp '2024-01-03 20:00' + interval (max(x)) day as at, x // 100"
    declared(
        shop,
        **{'owner="o", rules': f"{promised}, rules", "x // 100": at, "group by 1": "group by 2"},
    )
    shop.numbers("a", 0)
    shop.run("materialize", "--now", "2024-01-04T06:00")
    assert shop.run("approve", "close", *CFO, "--now", "2024-01-04T06:10").code == 0
    assert shop.run("materialize", "--now", "2024-01-04T06:20").code == 0
    shop.numbers("a", 1)
    assert shop.run("materialize", "--now", "2024-01-05T06:00").code == 3
    late = shop.run("freshness", "--now", "2024-01-05T08:00", "--json").json
    [close] = [f for f in late if f["name"] == "finance.close"]
    assert close["state"] == "late"
    assert close["causes"][0]["text"].startswith("waits for the approval of cfo@shop.example or")
    assert shop.run("approve", "close", *CFO, "--now", "2024-01-05T09:00").code == 0
    assert shop.run("materialize", "--now", "2024-01-05T09:00").code == 0
    with closing(sqlite3.connect(shop.root / ".products/catalog.db")) as catalog:
        [(state, cause)] = catalog.execute(
            "select state, cause from promises where state <> 'kept'"
        )
    assert state == "late"
    assert cause.startswith("finance.close: waited for the approval of cfo@shop.example or")


def test_gc_keeps_what_awaits_approval_and_what_was_approved(shop: Place) -> None:
    declared(shop, ", approvals=2")
    assert shop.run("materialize").code == 3
    approved = version_of(shop)
    assert shop.run("approve", "close", *CFO).code == 0
    shop.numbers("a", 101, 203)
    assert shop.run("materialize").code == 3
    awaiting = version_of(shop)
    later = ["--days", "0", "--keep", "1", "--now", "2099-01-01T00:00"]
    assert shop.run("gc", *later).code == 0
    kept = [v["version"] for v in shop.run("history", "close", "--json").json]
    assert kept == [awaiting, approved]
    shop.numbers("a", 101, 202)
    assert shop.run("approve", "close", *CONTROLLER).code == 0
    assert "not built again" in shop.run("materialize").out


def test_the_loop_publishes_what_was_approved(shop: Place) -> None:
    assert shop.run("materialize").code == 3
    assert shop.run("approve", "close", *CFO).code == 0
    assert shop.run("run", "--turns", "1").code == 0
    assert shop.query("select net from finance.pack") == [{"net": 3}]
    assert len(shop.run("history", "close", "--json").json) == 1
