"""Waivers that end, are withdrawn, or are of another rule or environment by now: on both databases."""

from collections.abc import Iterator

import pytest

import assay
from assay.catalog.catalog import Catalog
from tests.conftest import Place

DECLARED = """
sql_product("days", "select x // 100 as day, x % 100 as net from numbers", owner="o", rules=[
    rule.sql("no large line", "select day, net from this where net > 50")], release_group="night")
sql_product("total", "select sum(net)::bigint as net from days", owner="o", release_group="night")
"""
WAIVE = ["waive", "days", "--rule", "large", "--because", "known", "--until", "2024-01-31"]
AT = ["--now", "2024-01-05T08:00"]
LATER = ["--now", "2024-02-01T00:00"]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.long)])
def shop(place: Place, request: pytest.FixtureRequest) -> Iterator[Place]:
    """A shop of which a day is held back; the first version of `days` is published."""
    settings = "[tool.products]\n"
    if request.param == "postgres":
        settings += f'catalog = "{request.getfixturevalue("address")}"\n'
    place.write("pyproject.toml", settings)
    place.write("products/sales.py", DECLARED, header=True)
    place.numbers("a", 101, 202)
    assert place.run("materialize", "--now", "2024-01-04T07:00").code == 0
    place.numbers("a", 101, 202, 399)
    assert place.run("materialize", "--now", "2024-01-05T06:00").code == 3
    yield place


def waived(shop: Place, *options: str) -> str:
    """Waive what is held back and publish it; return the version."""
    done = shop.run(*WAIVE, *(options or ("--now", "2024-01-05T07:00")))
    assert done.code == 0, done.err
    assert shop.run("materialize", *AT).code == 0
    return str(shop.run("history", "days", "--json").json[0]["version"])


def test_what_it_let_through_is_not_restored_when_it_is_over(shop: Place) -> None:
    version = waived(shop)
    shop.numbers("a", 101, 202)
    assert shop.run("materialize", "--now", "2024-01-06T07:00").code == 0
    done = shop.run("restore", "days", version, "--now", "2024-01-07T07:00")
    assert done.code == 0, done.err
    assert shop.run("restore", "days", "--unpin", "--now", "2024-01-07T08:00").code == 0
    assert shop.run("materialize", "--now", "2024-01-07T09:00").code == 0
    before = shop.run("status", "--json").json
    refused = shop.run("restore", "days", version, *LATER)
    assert refused.code == 2
    assert "fails a rule, and was let through by a waiver that does not count now" in refused.err
    assert "expired on 2024-01-31" in refused.err
    release = shop.run("restore", "--release", "2", *LATER)
    assert release.code == 2, release.out
    assert "release 2 cannot be restored" in release.err
    assert shop.run("status", "--json").json == before, "nothing has moved"


def test_an_edited_rule_is_not_waived(shop: Place) -> None:
    waived(shop)
    shop.edit("products/sales.py", "net > 50", "net > 49")
    held = shop.run("materialize", "--now", "2024-01-06T07:00")
    assert held.code == 3, held.out
    assert "is of this rule as it was before it changed" in held.out
    [listed] = shop.run("waivers", "--json", *AT).json
    assert listed["state"] == "changed"
    shop.edit("products/sales.py", "net > 49", "net > 50")
    assert shop.run("materialize", "--now", "2024-01-06T08:00").code == 0
    shop.edit("products/sales.py", "no large line", "nothing large")
    held = shop.run("materialize", "--now", "2024-01-06T09:00")
    assert held.code == 3, "it is another rule"
    assert shop.run("waivers", "--json", *AT).json[0]["state"] == "changed"
    shop.write("products/sales.py", "", header=True)
    assert shop.run("waivers", "--json", *AT).json[0]["state"] == "changed", "nor is it hidden"


def test_what_another_environment_waived_is_not_shown_here(shop: Place) -> None:
    """The version is judged for the first time in dev, and waived there."""
    shop.numbers("a", 101, 202, 398)
    shop.environment("dev")
    assert shop.run("materialize", "--env", "dev", "--now", "2024-01-05T06:30").code == 3
    of_dev = ["--env", "dev", "--now", "2024-01-05T07:00"]
    assert shop.run(*WAIVE, *of_dev).code == 0
    assert shop.run("materialize", "--env", "dev", *AT).code == 0
    assert shop.run("materialize", *AT).code == 3
    [newest, *_] = shop.run("history", "days", "--json").json
    assert (newest["verdict"], newest["waived"]) == ("failed", [])
    [in_dev, *_] = shop.run("history", "days", "--env", "dev", "--json").json
    assert in_dev["verdict"] == "warning"
    refused = shop.run("restore", "days", newest["version"], *AT)
    assert refused.code == 2
    assert "was never judged good" in refused.err


def test_one_that_is_withdrawn_while_a_run_is_at_work(
    shop: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shop.run(*WAIVE, "--now", "2024-01-05T07:00").code == 0
    [listed] = shop.run("waivers", "--json", *AT).json
    publish = Catalog.release

    def withdrawn_before(self: Catalog, *given: object, **named: object) -> object:
        shop.run("waive", listed["id"], "--withdraw", *AT)
        return publish(self, *given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Catalog, "release", withdrawn_before)
    done = shop.run("materialize", *AT)
    assert done.code == 3, done.out
    assert "was withdrawn on 2024-01-05" in done.out
    assert shop.query("select net from total") == [{"net": 3}]


@pytest.mark.long
def test_one_that_is_recorded_while_a_run_is_at_work(
    shop: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run decides with it or without it; the next one has it."""
    shop.numbers("a", 101, 202, 398)
    record = Catalog.record

    def waived_before(self: Catalog, *given: object, **named: object) -> object:
        recorded = record(self, *given, **named)  # type: ignore[arg-type]
        shop.run(*WAIVE, "--rows", "1", "--now", "2024-01-05T07:00")
        return recorded

    with monkeypatch.context() as patched:
        patched.setattr(Catalog, "record", waived_before)
        assert shop.run("materialize", *AT).code in {0, 3}
    assert shop.run("materialize", "--now", "2024-01-05T09:00").code == 0
    assert shop.query("select net from total") == [{"net": 101}]
    assert shop.run("verify").code == 0


def test_readers_are_told_when_it_is_over(shop: Place) -> None:
    waived(shop)
    [note] = assay.notes("days", project=shop.root)
    assert "waived until 2024-01-31" in note
    assert note.endswith("expired on 2024-01-31"), "today is later"
    [newest, *_] = shop.run("history", "days", "--json").json
    assert newest["waived"][0].endswith("expired on 2024-01-31")


def test_the_incident_begins_when_the_block_is_back(shop: Place) -> None:
    waived(shop)
    assert shop.run("incidents", "--json").json == []
    assert shop.run("materialize", "--now", "2024-02-03T07:00").code == 3
    [incident] = shop.run("incidents", "--json", "--now", "2024-02-03T07:00").json
    assert incident["began"].startswith("2024-02-01T00:00:00")
    [over] = incident["over"].values()
    assert over.startswith("the waiver w")
    assert over.endswith(" expired on 2024-01-31")
    assert over in shop.run("incidents", "--now", "2024-02-03T07:00").out
