"""When a look at a project is made anew, and what a release shows of its moves."""

from datetime import UTC, datetime

import pytest

from assay.catalog.releases import releases_between
from assay.web import looks as module
from assay.web.look import at
from assay.web.looks import Looks
from tests.conftest import Place


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(module.time, "monotonic", lambda: self.now)


def test_a_look_is_made_anew_when_something_has_changed_or_a_minute_is_over(
    shop: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, looks = Clock(monkeypatch), Looks(shop.root, None)
    first = looks.now()
    clock.now += 30
    assert looks.now() is first, "nothing has changed"
    shop.write("raw/2024-01-07.csv", "id,amount,email\n4,50,d@x\n")
    clock.now += 1
    assert looks.now() is first, "it was asked a second ago"
    clock.now += 10
    delivered = looks.now()
    assert delivered is not first
    assert delivered.sources["shop.raw"] != first.sources["shop.raw"]
    clock.now += 10
    assert looks.now() is delivered
    shop.write("raw/2024-01-06.csv", "id,amount,email\n3,50,c@x\n")
    assert shop.run("materialize").code == 0
    clock.now += 10
    recorded = looks.now()
    assert (delivered.statuses["shop.lines"].state, recorded.statuses["shop.lines"].state) == (
        "stale",
        "up to date",
    )
    clock.now += 61
    assert looks.now() is not recorded, "time alone changes how promises stand"


def test_looks_take_a_tenth_of_the_time_at_most(
    shop: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, looks = Clock(monkeypatch), Looks(shop.root, None)
    real = module.looking

    def slow(*given: object, **named: object) -> object:
        clock.now += 2
        return real(*given, **named)

    monkeypatch.setattr(module, "looking", slow)
    first = looks.now()
    shop.write("raw/2024-01-07.csv", "id,amount,email\n4,50,d@x\n")
    clock.now += 19
    assert looks.now() is first
    clock.now += 2
    assert looks.now() is not first


def test_what_is_going_on_is_asked_once_for_all_browsers(
    shop: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, looks = Clock(monkeypatch), Looks(shop.root, None)
    state = looks.state()
    assert state == {"text": "", "release": 2}
    assert looks.state() is state
    clock.now += 2
    assert looks.state() is not state


def test_a_release_has_the_first_of_its_moves_and_the_number_of_all(shop: Place) -> None:
    with Looks(shop.root, None).opened() as (look, catalog):
        begin = datetime(2000, 1, 1, tzinfo=UTC)
        found = releases_between(catalog.database, "prod", begin, look.now, 1, moves=1)
        [whole] = releases_between(catalog.database, "prod", begin, look.now, 1, moves=9)
    [release] = found
    assert release.moves == whole.moves[:1]
    assert (release.count, release.more) == (len(whole.moves), len(whole.moves) - 1)


def test_an_address_names_what_has_this_slug() -> None:
    names = ["shop.orders", "Shop Orders"]
    assert at(names, "shop.orders") == "shop.orders"
    assert at(names, "Shop Orders") is None, "no slug has capitals"
    assert at(names, "shop-orders-" + "0" * 8) is None
    assert at(["a.b"], "") is None
