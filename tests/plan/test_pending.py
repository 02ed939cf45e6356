"""What promises wait for, and what stands in their way: from the standings' surroundings."""

from datetime import date, datetime

from assay.plan.forecast import Forecast
from assay.plan.lateness import Progress
from assay.plan.pending import Pending, pending
from assay.plan.promise_state import State
from assay.plan.standing import surroundings
from tests.plan.test_standing import at, graph, standing_at


def waiting(now: str, *, raw: str, daily: str, held: str = "") -> list[Pending]:
    as_of: dict[str, datetime | None] = {
        "s.raw": at(raw),
        "s.lines": at(daily),
        "s.daily": at(daily),
        "s.countries": at("12"),
    }
    progress = Progress(held={held: "held back"} if held else {})
    return list(pending(surroundings(graph(), as_of, at(now), progress)))


def test_a_drop_and_what_is_built_from_it() -> None:
    """On Thursday evening that of the day is awaited, for 21:30 and for 07:00 on Friday."""
    [both] = waiting("8 20:00", raw="7", daily="7")
    assert both.day == date(2011, 12, 8)
    assert both.to_build == {"s.lines", "s.daily"}
    assert both.awaited == {"s.raw"}
    assert {name: p.due for name, p in both.promises.items()} == {
        "s.raw": at("8 21:30"),
        "s.daily": at("9 07:00"),
    }


def test_work_alone() -> None:
    """On Friday morning all is there but the build; the drop of Friday is the next to come."""
    first, second = waiting("9 06:00", raw="8", daily="7")
    assert (first.day, first.awaited) == (date(2011, 12, 8), frozenset())
    assert first.to_build == {"s.lines", "s.daily"}
    assert (second.day, second.awaited) == (date(2011, 12, 9), {"s.raw"})
    assert second.promises.keys() == {"s.raw"}


def test_what_is_late_is_still_awaited() -> None:
    first, *_ = waiting("9 08:00", raw="8", daily="7")
    assert first.promises["s.daily"].due == at("9 07:00")


def test_what_is_far_or_held_is_left_out() -> None:
    """On Saturday the promises of Monday are not far enough to be left out on Sunday evening."""
    assert waiting("10 06:00", raw="9", daily="9") == []
    held = waiting("9 06:00", raw="8", daily="7", held="s.lines")
    assert [one.promises.keys() for one in held] == [{"s.raw"}]


def test_late_data_is_likely_there_at_some_time() -> None:
    likely = Forecast(likely_at=at("9 08:10"), start_by=at("9 06:00"), probability=0.01)
    late = standing_at("9 08:00", raw="8", daily="7", forecast={"s.daily": likely})["s.daily"]
    assert late.state is State.LATE
    assert (late.likely_at, late.start_by, late.probability) == (at("9 08:10"), None, None)


def test_too_much_work_is_a_cause() -> None:
    busy = Forecast(
        likely_at=at("9 07:20"),
        start_by=at("9 05:00"),
        probability=0.1,
        slowest="s.lines",
        queued=2400,
    )
    risky = standing_at("9 06:00", raw="8", daily="7", forecast={"s.daily": busy})["s.daily"]
    assert risky.state is State.AT_RISK
    assert (risky.causes[0].name, risky.causes[0].text) == (
        "s.lines",
        "too much work at once: it waits 40 min for other builds",
    )
    waits = {"s.daily": Forecast(probability=0.1, likely_at=at("9 07:20"), waits_for="s.raw")}
    late = standing_at("9 06:00", raw="7", daily="7", forecast=waits)["s.daily"]
    assert [cause.name for cause in late.causes] == ["s.raw"]
