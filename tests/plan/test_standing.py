"""How promises stand, as a table: a source, a product of it, and how far their data reaches."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from msgspec import Struct
from msgspec.structs import replace

from assay.model import Freshness, Source, Where, WorkCalendar
from assay.plan.graph import Graph
from assay.plan.lateness import Progress
from assay.plan.promise_state import State
from assay.plan.standing import Expected, Standing, standings
from tests.plan.test_ladder import product

WEEKDAYS = "Mon Tue Wed Thu Fri"
DROP = Freshness(by="21:30", tz="Europe/London", on=WEEKDAYS, covers="today")
BY_SEVEN = Freshness(by="07:00", tz="Europe/London", on=WEEKDAYS, covers="previous working day")
MONTHLY = Freshness(by="08:00", on="working day 3", covers="previous month")


class Forecast(Struct, frozen=True, kw_only=True):
    start_by: datetime | None = None
    likely_at: datetime | None = None
    probability: float | None = None


def at(text: str) -> datetime:
    """A moment of December 2011, as "9 07:00"; 2011-12-09 is a Friday."""
    day, _, time = text.partition(" ")
    return datetime.fromisoformat(f"2011-12-{int(day):02}T{time or '00:00'}:00+00:00")


def source(name: str, freshness: Freshness | None = None) -> Source:
    return Source(
        name=name,
        where=Where("x", 1),
        pattern="*",
        format="csv",
        columns=(),
        freshness=freshness,
        owner="shop@x",
    )


def graph(daily: Freshness | None = BY_SEVEN, raw: Freshness | None = DROP) -> Graph:
    """s.raw -> s.lines -> s.daily; s.lines also reads s.countries, which hardly ever changes."""
    products = [
        product("s.lines", "s.raw", "s.countries"),
        replace(product("s.daily", "s.lines"), freshness=daily),
    ]
    sources = [source("s.raw", raw), source("s.countries")]
    return Graph({p.name: p for p in products}, {s.name: s for s in sources})


def standing_at(
    now: str,
    *,
    raw: str,
    daily: str,
    lines: str = "",
    graph: Graph = graph(),  # noqa: B008
    progress: Progress | None = None,
    forecast: Mapping[str, Expected] | None = None,
) -> Mapping[str, Standing]:
    texts = {"s.raw": raw, "s.lines": lines or daily, "s.daily": daily}
    as_of = {name: text and at(text) for name, text in texts.items()}
    reaching = {name: moment or None for name, moment in as_of.items()}
    reaching["s.countries"] = datetime(2010, 1, 1, tzinfo=UTC)
    return standings(graph, reaching, at(now), progress=progress, forecast=forecast)


HELD = Progress(held={"s.daily": "held back: 1 of 6 rules failed"})
UNLIKELY = {"s.daily": Forecast(probability=0.62, start_by=at("9 06:31"), likely_at=at("9 07:04"))}
LIKELY = {"s.daily": Forecast(probability=0.95, start_by=at("9 06:31"), likely_at=at("9 06:20"))}

# now, how far the source reaches, how far the product does -> state of source, state of product
TABLE = {
    "all is there": ("9 06:00", "8", "8 17:20", State.KEPT, State.KEPT),
    "not near yet": ("9 05:00", "8", "7 17:20", State.KEPT, State.KEPT),
    "within an hour": ("9 06:01", "8", "7 17:20", State.KEPT, State.DUE),
    "as it falls due": ("9 07:00", "8", "7 17:20", State.KEPT, State.LATE),
    "just after": ("9 07:01", "8", "8 17:20", State.KEPT, State.KEPT),
    "the source is due": ("8 21:00", "7", "7 17:20", State.DUE, State.KEPT),
    "the source is late, and its product will be": (
        "8 22:00",
        "7",
        "7 17:20",
        State.LATE,
        State.AT_RISK,
    ),
    "both are late": ("9 07:00", "7", "7 17:20", State.LATE, State.LATE),
    "on Saturday still": ("10 12:00", "8", "8 17:20", State.LATE, State.AT_RISK),
    "on Sunday too, Friday was there": ("11 12:00", "9", "9 17:20", State.KEPT, State.KEPT),
    "two drops are missing": ("12 21:30", "8", "8 17:20", State.MISSED, State.LATE),
    "a week without a drop": ("14 12:00", "7", "7 17:20", State.MISSED, State.MISSED),
    "nothing was ever published": ("9 12:00", "8", "", State.KEPT, State.LATE),
}


@pytest.mark.parametrize("case", TABLE)
def test_table(case: str) -> None:
    now, raw, daily, of_raw, of_daily = TABLE[case]
    progress = Progress(published={"s.raw", "s.lines", *(["s.daily"] if daily else [])})
    found = standing_at(now, raw=raw, daily=daily, progress=progress)
    assert (found["s.raw"].state, found["s.daily"].state) == (of_raw, of_daily)


def causes(standing: Standing) -> list[tuple[str, str]]:
    return [(cause.name, cause.text) for cause in standing.causes]


def test_the_cause_is_where_it_begins() -> None:
    usual = Progress(usual={"s.raw": -4200.0})
    found = standing_at("9 06:08", raw="7", daily="7 17:20", progress=usual, forecast=UNLIKELY)
    daily = found["s.daily"]
    assert daily.state is State.AT_RISK
    assert daily.time_left == timedelta(minutes=52)
    assert (daily.start_by, daily.likely_at) == (at("9 06:31"), at("9 07:04"))
    assert causes(daily) == [
        ("s.raw", "the drop of 2011-12-08 was due 21:30, usually there by 20:20")
    ]
    assert causes(found["s.raw"]) == causes(daily)


def test_what_was_promised_is_the_last_that_fell_due() -> None:
    daily = standing_at("12 09:00", raw="8", daily="8 17:20")["s.daily"]
    assert daily.promise and daily.next
    assert str(daily.promise.reach) == "2011-12-09"
    assert (daily.promise.due, daily.next.due) == (at("12 07:00"), at("13 07:00"))
    assert daily.time_left == timedelta(hours=-2)


def test_a_product_that_is_held_is_the_cause() -> None:
    found = standing_at("9 05:00", raw="8", lines="8", daily="7", progress=HELD)["s.daily"]
    assert (found.state, causes(found)) == (
        State.AT_RISK,
        [("s.daily", "held back: 1 of 6 rules failed")],
    )
    kept = standing_at("9 05:00", raw="8", daily="8 17:20", progress=HELD)["s.daily"]
    assert kept.state is State.KEPT  # what it lacks is not promised yet
    month = graph(MONTHLY)
    early = standing_at("9 05:00", raw="8", daily="7 17:20", graph=month, progress=HELD)["s.daily"]
    assert early.state is State.KEPT  # the data of December cannot be there yet
    late = standing_at(
        "9 05:00", raw="8", daily="7 17:20", progress=Progress(held={"s.raw": "no file"})
    )
    assert causes(late["s.daily"]) == [("s.raw", "no file")]


@pytest.mark.parametrize(
    ("now", "forecast", "started", "state"),
    [
        ("9 03:00", UNLIKELY, (), State.KEPT),  # hours before, people are not told
        ("9 06:05", UNLIKELY, (), State.AT_RISK),
        ("9 05:30", LIKELY, (), State.KEPT),
        ("9 05:31", LIKELY, (), State.DUE),  # an hour before it has to start
        ("9 06:32", LIKELY, (), State.AT_RISK),
        ("9 06:32", LIKELY, ("s.daily",), State.DUE),
    ],
)
def test_forecasts(
    now: str, forecast: Mapping[str, Forecast], started: tuple[str, ...], state: State
) -> None:
    progress = Progress(started=started)
    found = standing_at(now, raw="8", daily="7 17:20", forecast=forecast, progress=progress)
    assert found["s.daily"].state is state
    assert found["s.daily"].probability == forecast["s.daily"].probability


def test_warn_before() -> None:
    early = graph(replace(BY_SEVEN, warn_before="3h"))
    assert standing_at("9 04:01", raw="8", daily="7", graph=early)["s.daily"].state is State.DUE
    assert standing_at("9 03:59", raw="8", daily="7", graph=early)["s.daily"].state is State.KEPT


@pytest.mark.parametrize(
    ("now", "state"),
    [
        ("9 00:00", State.KEPT),
        ("9 11:30", State.DUE),
        ("9 12:00", State.LATE),
        ("10 23:00", State.LATE),
        ("11 00:00", State.MISSED),
    ],
)
def test_ages(now: str, state: State) -> None:
    aged = graph(Freshness(within="36h"), raw=None)
    daily = standing_at(now, raw="8 00:00", daily="8 00:00", graph=aged)["s.daily"]
    assert daily.state is state
    if state is not State.KEPT:
        assert causes(daily) == [("s.raw", "has data up to 2011-12-08")]


def test_unknown() -> None:
    found = standing_at("9 06:00", raw="8", daily="")["s.daily"]
    assert (found.state, found.promise) == (State.UNKNOWN, None)
    assert "declare its event_time=" in found.problem
    short = WorkCalendar(name="SHOP", first=at("1").date(), last=at("9").date())
    known = replace(graph(replace(BY_SEVEN, on="SHOP")), calendars={"SHOP": short})
    kept = standing_at("8 12:00", raw="8", daily="7 17:20", graph=known)["s.daily"]
    assert kept.state is State.KEPT
    ended = standing_at("9 12:00", raw="8", daily="8 17:20", graph=known)["s.daily"]
    assert ended.state is State.UNKNOWN
    assert "SHOP is known from 2011-12-01 to 2011-12-09" in ended.problem
    late = standing_at("9 12:00", raw="8", daily="7 17:20", graph=known)["s.daily"]
    assert late.state is State.LATE  # that is certain, whatever the next day is


def test_what_was_never_published_is_not_kept() -> None:
    """An age is promised, and there is nothing that could be too old; nor is a promise kept that never falls due."""
    nothing = Progress(published=frozenset())
    ages = graph(Freshness(within="36h"))
    found = standing_at("9 05:00", raw="8", daily="", graph=ages, progress=nothing)["s.daily"]
    assert (found.state, found.problem) == (State.UNKNOWN, "nothing is published yet")
    never = graph(Freshness(by="07:00", on="working day 30", covers="previous month"))
    found = standing_at("9 05:00", raw="8", daily="8", graph=never)["s.daily"]
    assert (found.state, found.problem) == (State.UNKNOWN, "it never falls due")
