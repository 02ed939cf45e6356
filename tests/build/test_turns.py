"""In which order a run works: by promises, as far as they can be kept."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from assay.model import Freshness
from assay.plan.at_stake import at_stake
from assay.plan.graph import Graph
from assay.views.results import LateView, ResultKind
from assay.views.words.results import late_lines
from tests.conftest import Place
from tests.plan.test_urgency import graph

PRODUCTS = """
def noted(name, numbers):
    with open("order", "a") as order:
        order.write(f"{name} ")
    return numbers

PROMISED = {"extras": "07:00", "board": "08:00"}

def make(name, *inputs):
    freshness = Freshness(by=PROMISED[name], tz="Europe/London") if name in PROMISED else None
    @product(owner="o", name=name, freshness=freshness, inputs={"read": inputs[0]})
    def build(read):
        return noted(name, read)

for name in ("a", "b", "c", "d"):
    make(name, "numbers")
make("board", "c")
make("extras", "d")
"""


@pytest.fixture
def shop(place: Place) -> Place:
    place.write("pyproject.toml", "[tool.products]\nrelease = 'as_ready'\n")
    place.numbers("a", 1)
    place.write("products/sales.py", PRODUCTS, header=True)
    return place


def order(place: Place, *arguments: str) -> tuple[list[str], list[dict]]:
    """Materialize with one thread; return the products as they were built, and the events."""
    (place.root / "order").unlink(missing_ok=True)
    ran = place.run("materialize", "--json", "--jobs", "1", *arguments)
    assert ran.code == 0, ran.out
    return (place.root / "order").read_text().split(), ran.events


def took(place: Place, seconds: dict[str, float]) -> None:
    """Let the last builds of products have taken so long."""
    with closing(sqlite3.connect(place.root / ".products/catalog.db")) as catalog, catalog:
        for name, number in seconds.items():
            query = "update versions set seconds = ? where product = ?"
            catalog.execute(query, [number, f"sales.{name}"])


TOOK = {"a": 1, "b": 1, "c": 60, "d": 60, "board": 60, "extras": 3000}


def test_without_promises_the_order_is_as_ever(shop: Place) -> None:
    shop.edit(
        "products/sales.py", 'PROMISED = {"extras": "07:00", "board": "08:00"}', "PROMISED = {}"
    )
    assert order(shop)[0] == ["a", "b", "c", "d", "board", "extras"]


def test_the_earliest_promise_goes_first(shop: Place) -> None:
    built, events = order(shop, "--now", "2011-12-09 06:00")
    assert built == ["d", "extras", "c", "board", "a", "b"]
    assert not [e for e in events if e.get("result") == "late"]


def test_what_cannot_be_kept_is_told_and_goes_behind_what_can(shop: Place) -> None:
    order(shop, "--now", "2011-12-08 06:00")
    took(shop, TOOK)
    shop.numbers("a", 1, 2)
    shop.edit("products/sales.py", '"08:00"', '"07:00"')
    built, events = order(shop, "--now", "2011-12-09 06:50")
    assert built == ["c", "board", "d", "extras", "a", "b"]
    [late] = [e for e in events if e.get("result") == "late"]
    assert late["product"] == "sales.extras" and late["demoted"]
    assert late["due"] == "2011-12-09T07:00:00+00:00"
    assert late["likely"].startswith("2011-12-09T07:43:")


def test_people_read_what_cannot_be_kept(shop: Place) -> None:
    order(shop, "--now", "2011-12-08 06:00")
    took(shop, TOOK)
    shop.numbers("a", 1, 2)
    shop.edit("products/sales.py", '"08:00"', '"07:00"')
    ran = shop.run("materialize", "--jobs", "1", "--now", "2011-12-09 06:50")
    [line] = [line for line in ran.out.splitlines() if line.startswith("  late")]
    assert "sales.extras" in line
    assert "cannot be there by 07:00 (likely 07:43): what can still be kept goes first" in line


def test_a_due_time_of_another_day_has_its_date() -> None:
    due = datetime(2011, 12, 9, 7, tzinfo=ZoneInfo("Europe/Berlin"))
    late = LateView(
        product="p",
        result=ResultKind.LATE,
        due=due,
        likely=due + timedelta(minutes=5),
        demoted=False,
    )
    for now, text in (
        (datetime(2011, 12, 8, 23, 10, tzinfo=UTC), "by 07:00 (likely 07:05)"),
        (datetime(2011, 12, 8, 22, 50, tzinfo=UTC), "by 2011-12-09 07:00 (likely 07:05)"),
    ):
        assert text in late_lines(late, 1, now)[0]


def test_a_set_that_is_published_together_is_as_urgent_as_its_most_urgent_product(
    shop: Place,
) -> None:
    shop.edit("pyproject.toml", "as_ready", "coherent")
    assert order(shop, "--now", "2011-12-09 06:00")[0] == ["a", "b", "c", "d", "board", "extras"]


# ------------------------------------------------------------------------------ what is at stake

DAILY = Freshness(by="07:00", covers="previous day")
NOW = datetime(2011, 12, 9, 6, tzinfo=UTC)


def promised(freshness: Freshness) -> Graph:
    plain = graph({"p": "", "q": ""})
    from msgspec.structs import replace

    products = {**plain.products, "p": replace(plain.products["p"], freshness=freshness)}
    return Graph(products, {})


@pytest.mark.parametrize(
    ("as_of", "due"),
    [
        (datetime(2011, 12, 7, 23), datetime(2011, 12, 9, 7, tzinfo=UTC)),
        (datetime(2011, 12, 8, 23), datetime(2011, 12, 10, 7, tzinfo=UTC)),
        (datetime(2011, 12, 6, 23), datetime(2011, 12, 8, 7, tzinfo=UTC)),
        (None, datetime(2011, 12, 9, 7, tzinfo=UTC)),
    ],
    ids=["the next", "the one after what is kept", "what is late", "not known"],
)
def test_the_first_promise_that_is_not_reached_counts(
    as_of: datetime | None, due: datetime
) -> None:
    assert at_stake(promised(DAILY), ["p", "q"], {"p": as_of}, NOW) == {"p": due}


def test_data_that_ages_is_due_when_it_is_too_old() -> None:
    within = promised(Freshness(within="36h"))
    as_of = datetime(2011, 12, 8, 0, tzinfo=UTC)
    assert at_stake(within, ["p"], {"p": as_of}, NOW) == {
        "p": datetime(2011, 12, 9, 12, tzinfo=UTC)
    }
    assert at_stake(within, ["p"], {"p": None}, NOW) == {}
