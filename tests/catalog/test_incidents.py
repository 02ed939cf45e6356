"""Incidents and their messages in both databases: one open incident for each cause, no message lost."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from assay.catalog import Catalog, open_catalog
from assay.catalog.incidents import KEPT_FOR, MOST_KEPT, forget, old_incidents
from assay.errors import CatalogError
from assay.plan.causes import Cause, Kind
from assay.plan.graph import Graph
from assay.plan.incidents import Change, Ending, Incident, Message, Notice, Step, steps

NOW = datetime(2011, 12, 9, 7, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
NOBODY = Graph(products={}, sources={})


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    is_file = request.param == "sqlite"
    return tmp_path / "catalog.db" if is_file else request.getfixturevalue("address")


@pytest.fixture
def opened(place: Path | str) -> Iterator[Callable[[], Catalog]]:
    catalogs = []

    def another() -> Catalog:
        catalogs.append(open_catalog(place))
        return catalogs[-1]

    yield another
    for catalog in catalogs:
        catalog.close()


def cause(about: str = "d.p", kind: Kind = Kind.HELD_BACK, *waiting: str) -> Cause:
    due = dict.fromkeys(waiting, NOW)
    return Cause(
        about=about,
        kind=kind,
        since=NOW,
        rules=("adds up",),
        failing={"adds up": 3},
        waiting=waiting,
        due=due,
    )


def notice(step: Step, told_before: Sequence[str] = (), route: str = "all") -> Notice:
    message = Message(subject=f"{step.change}", text="text\nöfter", recipient="a@shop.example")
    return Notice(route=route, event=step.change, at=NOW, message=message)


def change(
    catalog: Catalog, *causes: Cause, now: datetime = NOW, env: str = "prod"
) -> Sequence[Step]:
    """Make these the causes of now, and queue a message for each change."""
    return catalog.incidents.change(
        env,
        lambda incidents: steps(incidents, {c.about: c for c in causes}, NOBODY, now),
        lambda step, routes: [notice(step)],
    )


def test_an_incident_is_recorded_from_its_opening_to_its_end(
    opened: Callable[[], Catalog],
) -> None:
    catalog = opened()
    held, more = cause(), cause("d.p", Kind.HELD_BACK, "d.q")
    [step] = change(catalog, held)
    assert step.change is Change.OPENED
    [incident] = opened().incidents.open("prod")
    assert incident == step.incident
    assert incident.id == 1
    assert incident.cause == held
    assert change(catalog, held) == (), "the same again"
    [step] = change(catalog, more)
    assert step.news == {"product d.q"}
    [step] = change(catalog, now=NOW + MINUTE)
    assert catalog.incidents.open("prod") == []
    [closed] = catalog.incidents.recent("prod", 10)
    assert closed == step.incident
    assert (closed.closed, closed.ending) == (NOW + MINUTE, Ending.UNDECLARED)
    assert closed.told == ("kind held back", "product d.q", "rule adds up")
    notices = catalog.incidents.notices([closed])[1]
    assert [n.event for n in notices] == [Change.OPENED, Change.CHANGED, Change.CLOSED]
    assert notices[0].message.text == "text\nöfter"
    assert catalog.incidents.open("try") == catalog.incidents.recent("try", 10) == []


def test_there_is_news_until_an_incident_ended_and_its_messages_are_delivered(
    opened: Callable[[], Catalog],
) -> None:
    catalog = opened()
    assert not catalog.has_news("prod")
    change(catalog, cause())
    assert opened().has_news("prod")
    assert not catalog.has_news("try")
    change(catalog, now=NOW + MINUTE)
    assert catalog.has_news("prod"), "its messages wait"
    while notices := catalog.incidents.claim("prod", NOW + MINUTE, until=NOW + MINUTE):
        assert catalog.has_news("prod")
        for one in notices:
            catalog.incidents.settle(one, sent=NOW, retry_at=None)
    assert not opened().has_news("prod")


@pytest.mark.parametrize("text", ["2019-01-01T00:00:00+00:00", "9999-12-31T23:59:59+00:00", "x"])
def test_no_message_waits_for_ever(opened: Callable[[], Catalog], text: str) -> None:
    catalog = opened()
    change(catalog, cause())
    [claimed] = catalog.incidents.claim("prod", NOW, until=NOW + MINUTE)
    assert not catalog.incidents.is_waiting("prod", NOW)
    catalog.write(lambda writer: writer.execute("update notices set retry_at = ?", [text]))
    assert catalog.incidents.is_waiting("prod", NOW)
    [again] = catalog.incidents.claim("prod", NOW, until=NOW + MINUTE)
    assert again.id == claimed.id
    assert not catalog.incidents.is_waiting("prod", NOW)


def test_no_number_is_given_twice(opened: Callable[[], Catalog]) -> None:
    catalog = opened()
    for about in ("d.p", "d.q", "d.r"):
        change(catalog, cause(about))
        change(catalog)
    later = NOW + KEPT_FOR + MINUTE
    catalog.write(lambda writer: forget(writer, old_incidents(writer, later)))
    assert [incident.id for incident in catalog.incidents.recent("prod", 9)] == [3]
    [step] = change(catalog, cause(), now=later)
    assert step.incident.id == 4


def test_the_stamp_of_a_catalog_changes_when_something_is_written(
    opened: Callable[[], Catalog],
) -> None:
    catalog, other = opened(), opened()
    stamps = [catalog.database.stamp()]
    assert stamps[0]
    assert catalog.incidents.open("prod") == []
    assert catalog.database.stamp() == stamps[0], "nothing was written"
    for about in ("d.p", "d.q"):
        change(other, cause(about))
        stamps.append(catalog.database.stamp())
    other.close()
    assert len(set(stamps)) == 3
    assert catalog.incidents.open("prod")
    stamps = [catalog.database.stamp(), catalog.database.stamp()]
    assert len(set(stamps)) == 1


def test_two_processes_open_an_incident_once(
    opened: Callable[[], Catalog], place: Path | str
) -> None:
    catalog = opened()

    def process(ready: threading.Barrier) -> Sequence[Step]:
        with closing(open_catalog(place)) as mine:
            ready.wait()
            return change(mine, cause())

    with ThreadPoolExecutor(4) as pool:
        steps_of = list(pool.map(process, [threading.Barrier(4)] * 4))
    assert sorted(map(len, steps_of)) == [0, 0, 0, 1]
    [incident] = catalog.incidents.open("prod")
    assert len(catalog.incidents.notices([incident])[incident.id]) == 1


def test_the_database_refuses_a_second_open_incident(opened: Callable[[], Catalog]) -> None:
    catalog = opened()
    change(catalog, cause())
    row = "values (7, 'prod', 'd.p', '2011', null, '', '{}', '[]')"
    with pytest.raises(CatalogError):
        catalog.write(lambda writer: writer.execute(f"insert into incidents {row}"))
    catalog.write(
        lambda writer: writer.execute(f"insert into incidents {row.replace('prod', 'x')}")
    )


def test_nothing_is_recorded_when_a_message_cannot_be_written(
    opened: Callable[[], Catalog],
) -> None:
    catalog = opened()

    def fail(step: Step, routes: Sequence[str]) -> Sequence[Notice]:
        raise RuntimeError("no words")

    with pytest.raises(RuntimeError):
        catalog.incidents.change(
            "prod", lambda open_now: steps(open_now, {"d.p": cause()}, NOBODY, NOW), fail
        )
    assert catalog.incidents.open("prod") == []


def test_a_message_is_claimed_by_one_until_its_lease_is_over(
    opened: Callable[[], Catalog],
) -> None:
    one, other = opened(), opened()
    change(one, cause())
    [mine] = one.incidents.claim("prod", NOW, until=NOW + MINUTE)
    assert (mine.tries, mine.incident, mine.route) == (1, 1, "all")
    assert not other.incidents.claim("prod", NOW, until=NOW + MINUTE)
    [again] = other.incidents.claim("prod", NOW + MINUTE, until=NOW + MINUTE + MINUTE)
    assert again.id == mine.id, "whoever had it was killed before it said how it went"
    other.incidents.settle(again, sent=NOW + MINUTE, retry_at=None)
    assert not one.incidents.claim(
        "prod", NOW + timedelta(days=9), until=NOW + timedelta(days=9) + MINUTE
    )
    [told] = one.incidents.notices(one.incidents.open("prod"))[1]
    assert (told.sent, told.retry_at, told.tries, told.error) == (NOW + MINUTE, None, 2, "")


def test_of_an_incident_one_message_follows_another(opened: Callable[[], Catalog]) -> None:
    catalog = opened()
    change(catalog, cause())
    change(catalog)
    change(catalog, cause("d.other"))
    first, other = catalog.incidents.claim("prod", NOW, until=NOW + MINUTE)
    assert (first.event, other.incident) == (Change.OPENED, 2)
    catalog.incidents.settle(first, sent=None, retry_at=NOW + 5 * MINUTE, error="no answer")
    catalog.incidents.settle(other, sent=NOW, retry_at=None)
    assert not catalog.incidents.claim("prod", NOW + 4 * MINUTE, until=NOW + 4 * MINUTE + MINUTE)
    [first] = catalog.incidents.claim("prod", NOW + 5 * MINUTE, until=NOW + 5 * MINUTE + MINUTE)
    assert (first.event, first.error) == (Change.OPENED, "no answer")
    catalog.incidents.settle(first, sent=NOW, retry_at=None)
    [last] = catalog.incidents.claim("prod", NOW + 5 * MINUTE, until=NOW + 5 * MINUTE + MINUTE)
    assert last.event is Change.CLOSED


def test_the_routes_that_were_told_before_are_known(opened: Callable[[], Catalog]) -> None:
    catalog, before = opened(), []

    def write(step: Step, routes: Sequence[str]) -> Sequence[Notice]:
        before.append(list(routes))
        return [notice(step, route=route) for route in ("finance", "all")]

    for causes in ({"d.p": cause()}, {}):
        catalog.incidents.change(
            "prod", lambda open_now, now=causes: steps(open_now, now, NOBODY, NOW), write
        )
    assert before == [[], ["all", "finance"]]


def test_old_incidents_are_forgotten(opened: Callable[[], Catalog]) -> None:
    catalog = opened()
    values = [
        (
            id,
            "prod",
            f"d.p{id}",
            NOW.isoformat(),
            (NOW + id * MINUTE).isoformat(timespec="microseconds"),
        )
        for id in range(1, MOST_KEPT + 4)
    ]
    query = "insert into incidents values (?, ?, ?, ?, ?, 'restored', '{}', '[]')"
    catalog.write(lambda writer: writer.many(query, values))
    change(catalog, cause(), now=NOW)
    assert sorted(old_incidents(catalog.database, NOW)) == [1, 2, 3]
    late = NOW + KEPT_FOR + 6 * MINUTE
    assert sorted(old_incidents(catalog.database, late)) == [1, 2, 3, 4, 5]
    far = old_incidents(catalog.database, NOW + 9 * KEPT_FOR)
    assert len(far) == MOST_KEPT + 3
    catalog.write(lambda writer: forget(writer, far))
    [incident] = catalog.incidents.open("prod")
    assert len(catalog.incidents.notices([incident])[incident.id]) == 1


def test_nothing_waits(opened: Callable[[], Catalog]) -> None:
    assert not opened().incidents.claim("prod", NOW, until=NOW + MINUTE)
    assert opened().incidents.notices([]) == {}
    assert Incident(cause=cause(), opened=NOW).closed is None
