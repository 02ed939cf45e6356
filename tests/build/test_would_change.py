"""What a version that is held back would change, and a restated one changed, in figures: shown and recorded."""

from pathlib import Path

import duckdb
import pytest

import assay
from assay.build import differences
from assay.build.workspace import open_workspace
from tests.conftest import Place

DECLARED = """
class Days(pa.DataFrameModel):
    day: int
    net: float
    fee: float = pa.Field(metadata={"sensitive": True})

    class Config:
        unique = ["day"]

@product(owner="o", contract=Days, rules=[rule.sql("no large day", "from this where net > 50")],
    consumers=[Consumer(name="cfo", decides="the dividend")])
def days(numbers):
    return numbers.select(day=pl.col("x") // 100, net=pl.col("x").cast(float) % 100, fee=pl.lit(77.25))
"""
HELD = ["rows 2 -> 3: 1 new, 1 changed, 0 gone", "would change net by +100 (+3,333.3%)"]


@pytest.fixture
def shop(place: Place) -> Place:
    """Of two days, one is corrected and a third is much too large."""
    place.write("products/sales.py", DECLARED, header=True)
    place.numbers("a", 101, 202)
    assert place.run("materialize").code == 0
    place.numbers("a", 101, 203, 399)
    return place


def held(shop: Place, *lines: str) -> None:
    """Check what a run says; figures come after the rules, and before who is affected."""
    done = shop.run("materialize")
    assert done.code == 3, done.out
    said = [line.strip() for line in done.out.splitlines()]
    first = next(n for n, line in enumerate(said) if line.startswith("affects"))
    assert said[first - len(lines) : first] == list(lines), done.out


def test_it_is_said_wherever_it_is_held_back(shop: Place) -> None:
    held(shop, *HELD)
    assert HELD[1] in shop.run("status").out
    assert HELD[0] in shop.run("why", "days").out
    assert HELD[1] in shop.run("why", "days").out
    [planned] = shop.run("plan", "--json").json
    assert planned["changes"]["new"] == 1
    [total] = planned["changes"]["totals"]
    assert (total["column"], total["before"], total["after"], total["by"]) == ("net", 3, 103, 100)
    assert "77.25" not in str(planned), "a sensitive column has no total"
    assert "fee" not in str(planned["changes"])
    [newest, oldest] = shop.run("history", "days", "--json").json
    assert newest["changes"] == planned["changes"]
    assert "changes" not in oldest


def test_it_is_computed_once(shop: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    held(shop, *HELD)
    monkeypatch.setattr(differences, "figures_of", None)
    held(shop, *HELD)
    shop.edit("products/sales.py", "no large day", "not one large day")
    held(shop, *HELD)


def test_a_column_that_became_sensitive_is_left_out(shop: Place) -> None:
    held(shop, *HELD)
    sensitive = 'net: float = pa.Field(metadata={"sensitive": True})'
    shop.edit("products/sales.py", "net: float", sensitive)
    said = shop.run("materialize").out
    assert "would change 2 rows" in said
    assert "net by" not in said


def test_what_is_too_large_to_match_has_its_sums(
    shop: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(differences, "_MOST_CELLS", 14)
    hint = "`products diff sales.days --held` counts what is new, changed and gone"
    held(shop, f"rows 2 -> 3; {hint}", HELD[1])


@pytest.mark.long
def test_what_takes_too_long_is_left_out(shop: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*_: object) -> None:
        raise duckdb.InterruptException("INTERRUPT Error: Interrupted!")

    monkeypatch.setattr(differences, "Difference", slow)
    hint = "`products diff sales.days --held` counts what is new, changed and gone"
    held(shop, f"rows 2 -> 3; {hint}", HELD[1])


def test_no_run_fails_because_of_it(shop: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise duckdb.OutOfMemoryException("no memory")

    monkeypatch.setattr(differences, "compared", broken)
    held(shop)


@pytest.mark.long
def test_messages_to_people_have_it(shop: Place) -> None:
    route = '[tool.products]\n[tool.products.notify.all]\nto = "json://127.0.0.1:9/"\n'
    shop.write("pyproject.toml", route)
    held(shop, *HELD)
    [incident] = shop.run("incidents", "--json").json
    assert incident["about"] == "sales.days"
    text = messages(shop)
    assert HELD[0] in text
    assert HELD[1] in text


def messages(shop: Place) -> str:
    """Return the messages that were recorded, delivered or not."""
    with open_workspace(start=Path(shop.root)) as workspace:
        rows = workspace.catalog.database.rows("select message from notices")
    return "\n".join(message for (message,) in rows)


PARTS = """
visits = source.files("visits/{day:date}.csv", columns={"n": "decimal(9,2)"})
sql_product("parts", "select day, n from visits", owner="o", partition_by="day", on_failed_part="hold_part",
    rules=[rule.sql("few", "select day, n from this where n > 9")])
"""


def test_parts_that_are_held_back(place: Place) -> None:
    place.write("products/sales.py", PARTS, header=True)
    for day in (1, 2, 3):
        place.write(f"visits/2024-01-0{day}.csv", f"n\n{day}\n")
    assert place.run("materialize").code == 0
    place.write("visits/2024-01-02.csv", "n\n20\n")
    place.write("visits/2024-01-03.csv", "n\n4\n")
    done = place.run("materialize")
    assert "would change n by +18.00 (+257.1%)" in done.out, done.out
    assert "rows 3 -> 3: 1 new, 1 gone" in done.out
    assert "would change n by +18.00" in place.run("status").out


CLOSED = """
sales = source.files("sales/*.csv", columns={"day": "date", "net": "decimal(9,2)"})
sql_product("days", "select day, sum(net)::decimal(18,2) as net from sales group by day", owner="o",
    rules=[rule.closed("day", before="2024-02-01", text="January is closed")])
"""


def test_what_a_restatement_changed(place: Place) -> None:
    place.write("products/sales.py", CLOSED, header=True)
    place.write("sales/a.csv", "day,net\n2024-01-03,5.00\n2024-02-03,7.00\n")
    done = place.run("materialize")
    assert done.code == 0, done.err
    place.write("sales/a.csv", "day,net\n2024-01-03,6.50\n2024-02-03,7.00\n")
    assert "would change net by +1.50 (+12.5%)" in place.run("materialize").out
    done = place.run("materialize", "--restate", "days", "--because", "late bill")
    assert done.code == 0, done.out
    assert "changed net by +1.50 (+12.5%)" in done.out
    assert assay.notes("days", project=place.root) == (
        "restated: late bill",
        "changed net by +1.50 (+12.5%)",
    )
    assert "late bill; changed net by +1.50" in place.run("history", "days").out


@pytest.mark.long
def test_it_goes_with_its_version(shop: Place) -> None:
    held(shop, *HELD)
    shop.numbers("a", 101, 204)
    assert shop.run("materialize").code == 0
    shop.write("pyproject.toml", "[tool.products]\nkeep_versions = 1\nkeep_days = 0\n")
    assert shop.run("gc", "--now", "2099-01-01T00:00").code == 0
    with open_workspace(start=Path(shop.root)) as workspace:
        left = workspace.catalog.database.rows("select after from differences")
        versions = workspace.catalog.database.rows("select id from versions")
    assert set(left) <= set(versions)
    assert left == []
