"""What a version that is held back would change downstream: built on trial, and nothing is left of it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from assay.build.workspace import open_workspace
from assay.catalog.schema import tables
from tests.conftest import Place

DECLARED = """
class Days(pa.DataFrameModel):
    day: int = pa.Field(unique=True)
    net: int
    mail: str = pa.Field(metadata={"sensitive": True})

sql_product("days", "select x // 100 as day, x % 100 as net, 'ann@shop' as mail from numbers", owner="o", contract=Days,
    rules=[rule.sql("no large day", "select day, net from this where net > 50")], release_group="night")
sql_product("other", "select 1 as k", owner="o")
sql_product("total", "select sum(net)::decimal(9,2) as net, max(mail) as mail, min(k) as k from days, other", owner="o",
    release_group="night", consumers=[Consumer(name="board", decides="the bonus")])
sql_product("few", "select count(*)::bigint as n from days where day < 2", owner="o")
sql_product("strict", "select net from total", owner="o", rules=[rule.check("is small", "net < 50")])

@product(owner="o")
def doubled(total):
    Path("ran").touch()
    return total.select(net=pl.col("net") * 2)

sql_product("last", "select net from doubled", owner="o")
"""


@pytest.fixture
def shop(place: Place) -> Place:
    return held(place)


def held(place: Place) -> Place:
    place.write("products/sales.py", DECLARED, header=True)
    place.numbers("a", 101, 202)
    done = place.run("materialize")
    assert done.code == 0, done.out + done.err
    place.numbers("a", 101, 202, 399)
    assert place.run("materialize").code == 3
    (place.root / "ran").unlink()
    return place


def effects(place: Place, *options: str) -> dict[str, dict[str, Any]]:
    done = place.run("diff", "days", "--held", "--json", *options)
    assert done.code == 0, done.err
    return {effect["product"].partition(".")[2]: effect for effect in done.json[0]["effects"]}


def everything(place: Place) -> tuple[list[str], dict[str, list[str]]]:
    """Return the files of the store, and all rows of the catalog."""
    state = place.root / ".products"
    files = sorted(str(file) for file in (state / "store").rglob("*"))
    with open_workspace(start=Path(place.root)) as workspace:
        rows = {
            table.name: sorted(
                map(str, workspace.catalog.database.rows(f"select * from {table.name}"))
            )
            for table in tables()
        }
    return files, rows


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.long)])
def either(place: Place, request: pytest.FixtureRequest) -> Iterator[Place]:
    if request.param == "postgres":
        address = request.getfixturevalue("address")
        place.write("pyproject.toml", f'[tool.products]\ncatalog = "{address}"\n')
    yield held(place)


def test_queries_are_tried_without_being_asked(either: Place) -> None:
    before = everything(either)
    found = effects(either)
    assert {name: effect["result"] for name, effect in found.items()} == {
        "total": "would change",
        "few": "the same",
        "strict": "would be held back",
        "doubled": "not tried",
        "last": "not tried",
    }
    [total] = found["total"]["difference"]["totals"]
    assert (total["before"], total["after"], total["by"]) == ("3.00", "102.00", "99.00")
    assert found["strict"]["why"] == "is small"
    assert found["doubled"]["why"] == "it is a function, which --downstream runs"
    assert found["last"]["why"] == "it reads sales.doubled, which is not tried"
    assert "ann@shop" not in str(found)
    assert not (either.root / "ran").exists(), "no function ran"
    assert everything(either) == before, "nothing is published, recorded or kept"
    assert not list((either.root / ".products/spill").glob("trial-*"))
    assert either.run("verify").code == 0
    text = either.run("diff", "days", "--held").out
    assert "  would change   sales.total  rows  1 -> 1: 1 new, 1 gone  net +99.00\n" in text
    assert "affects  board (the bonus)" in text


def test_functions_when_asked(shop: Place) -> None:
    found = effects(shop, "--downstream")
    assert found["doubled"]["result"] == "would change"
    assert found["last"]["result"] == "would change"
    assert (shop.root / "ran").exists()
    assert shop.query("select net from last") == [{"net": "6.00"}]
    assert shop.run("status").out.count("held back") >= 1


def test_not_when_asked_not_to_or_when_it_takes_long(
    shop: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    [view] = shop.run("diff", "days", "--held", "--json", "--no-downstream").json
    assert "effects" not in view
    assert "sales.total" in view["downstream"]
    monkeypatch.setattr("assay.views.what_if.SOON", -1.0)
    found = effects(shop)
    assert found["total"]["why"] == "--downstream builds it (about 0 s in all)"
    assert effects(shop, "--downstream")["total"]["result"] == "would change"


def test_what_goes_wrong_is_said(shop: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.edit("products/sales.py", 'pl.col("net") * 2', 'pl.col("nosuch")')
    found = effects(shop, "--downstream")
    assert found["doubled"]["result"] == "would fail"
    assert "nosuch" in found["doubled"]["why"]
    assert found["last"]["result"] == "would wait"

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("assay.build.on_trial._link", full)
    found = effects(shop)
    assert found["total"]["result"] == "not tried"
    assert found["total"]["why"] == "it could not be tried: No space left on device"


@pytest.mark.long
def test_where_files_cannot_be_linked(shop: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def other_device(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", other_device)
    assert effects(shop)["total"]["result"] == "would change"


@pytest.mark.long
def test_a_waiver_and_a_pin_of_what_is_below_count(shop: Place) -> None:
    waive = ["waive", "strict", "--rule", "small", "--rows", "1", "--because", "known"]
    until = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
    done = shop.run(*waive, "--until", until)
    assert done.code == 0, done.err
    assert effects(shop)["strict"]["result"] == "would change"
    version = shop.run("history", "strict", "--json").json[0]["version"]
    assert shop.run("restore", "strict", version).code == 0
    pinned = effects(shop)["strict"]
    assert (pinned["result"], pinned["why"]) == ("the same", "it is pinned")


def test_it_is_about_what_is_held_back(place: Place) -> None:
    wrong = place.run("diff", "--downstream")
    assert wrong.code == 2
    assert (
        "--downstream says what a version that is held back would change: add --held" in wrong.err
    )


PARTS = """
visits = source.files("visits/{day:date}.csv", columns={"n": "bigint"})
sql_product("parts", "select day, n from visits", owner="o", each="visits",
    rules=[rule.sql("few", "select day, n from this where n > 9")])
sql_product("each_day", "select day, n * 2 as n from parts", owner="o", each="parts")
"""


@pytest.mark.long
def test_in_parts(place: Place) -> None:
    place.write("products/sales.py", PARTS, header=True)
    for day in (1, 2, 3):
        place.write(f"visits/2024-01-0{day}.csv", f"n\n{day}\n")
    done = place.run("materialize")
    assert done.code == 0, done.err
    place.write("visits/2024-01-02.csv", "n\n20\n")
    assert place.run("materialize").code == 3
    [view] = place.run("diff", "parts", "--held", "--json").json
    [effect] = view["effects"]
    assert effect["result"] == "would change"
    assert {row["after"].get("n") for row in effect["difference"]["rows"]} == {40, None}
