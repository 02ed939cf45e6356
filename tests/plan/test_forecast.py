"""What is likely for promises: when work has to start, when data is there, and how probable it is."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from math import inf
from statistics import median

import pytest
from msgspec.structs import replace

from assay.plan.forecast import Experience, Forecast, Remaining, forecasts, obstacle
from assay.plan.queueing import Night, courses, ends
from assay.plan.samples import NIGHTS, Sampler, at_level
from tests.plan.test_graph import of

NOW = datetime(2011, 12, 9, 6, 8, tzinfo=UTC)
CHAIN = of(m__a="s.raw", m__b="m.a", m__c="m.b", m__other="s.raw")
STEADY = {"m.a": [600.0] * 40, "m.b": [60.0] * 40, "m.c": [300.0] * 40, "m.other": [5.0] * 40}


def ago(**length: float) -> datetime:
    return NOW - timedelta(**length)


def ahead(**length: float) -> datetime:
    return NOW + timedelta(**length)


def forecast(
    due: datetime,
    remaining: Remaining,
    durations: dict[str, Sequence[float]] | None = None,
    arrivals: Sequence[float] = (),
    name: str = "m.c",
) -> Forecast:
    experience = Experience(
        durations=STEADY if durations is None else durations, arrivals={"s.raw": arrivals}
    )
    dues = {name: due}
    return forecasts(CHAIN, NOW, dues, remaining=remaining, experience=experience)[name]


def test_work_alone() -> None:
    work = Remaining(to_build=["m.a", "m.b", "m.c"])
    due = ahead(minutes=52)
    said = forecast(due, work)
    assert said.likely_at == pytest.approx(NOW + timedelta(seconds=960), abs=timedelta(seconds=30))
    assert said.start_by is not None
    assert timedelta(minutes=15) < due - said.start_by < timedelta(minutes=20)
    assert said.probability is not None
    assert 0.95 < said.probability < 1
    assert (said.waits_for, said.slowest, said.queued, said.unknown) == ("", "m.a", 0, "")
    late = forecast(ahead(minutes=10), work)
    assert late.likely_at == said.likely_at
    assert late.probability is not None
    assert 0 < late.probability < 0.05


def test_what_is_built_is_not_built_again() -> None:
    said = forecast(ahead(minutes=52), Remaining(to_build=["m.c"]))
    assert said.likely_at is not None
    assert said.likely_at < ahead(minutes=6)
    done = forecast(ahead(minutes=52), Remaining())
    assert done.likely_at == NOW
    assert done.probability is not None
    assert done.probability > 0.95


def test_what_runs_already_takes_less() -> None:
    work = Remaining(to_build=["m.a", "m.b", "m.c"], running={"m.a": ago(minutes=9)})
    said = forecast(ahead(minutes=52), work)
    assert said.likely_at is not None
    assert ahead(minutes=6) < said.likely_at < ahead(minutes=9)


def test_a_run_that_begins_later() -> None:
    said = forecast(ahead(minutes=52), Remaining(to_build=["m.c"], begins=ahead(minutes=30)))
    assert said.likely_at is not None
    assert ahead(minutes=34) < said.likely_at < ahead(minutes=37)


# The drop came 20 to 59 minutes after it was due, earlier and later ones mixed.
MINUTES = [60.0 * (20 + number * 7 % 40) for number in range(40)]


def test_a_drop_that_is_awaited() -> None:
    """The drop was due now: from what was, the work of 16 minutes begins in 20 to 59 minutes."""
    waiting = Remaining(to_build=["m.a", "m.b", "m.c"], awaited={"s.raw": NOW})
    said = forecast(ahead(minutes=64), waiting, arrivals=MINUTES)
    assert said.waits_for == "s.raw"
    assert said.probability is not None
    assert said.probability == pytest.approx(0.7, abs=0.05)
    assert said.start_by is not None
    assert ahead(minutes=44) < said.start_by < ahead(minutes=49)
    itself = forecast(ahead(minutes=40), waiting, arrivals=MINUTES, name="s.raw")
    assert itself.likely_at is not None
    assert ahead(minutes=36) < itself.likely_at < ahead(minutes=43)
    assert itself.start_by is None


def test_a_drop_that_did_not_come_yet_comes_later() -> None:
    """Of the nights that are left, half come within 10 minutes; it cannot come before now."""
    waiting = Remaining(awaited={"s.raw": ago(minutes=40)})
    said = forecast(ahead(minutes=10), waiting, arrivals=MINUTES, name="s.raw")
    assert said.probability == pytest.approx(0.5, abs=0.1)
    gone = forecast(NOW, waiting, arrivals=MINUTES, name="s.raw")
    assert gone.probability is not None
    assert gone.probability < 0.05


def test_later_than_ever_takes_the_longer_the_later_it_is() -> None:
    def likely(hours: float) -> datetime:
        waiting = Remaining(awaited={"s.raw": ago(hours=hours)})
        at = forecast(ahead(hours=1), waiting, arrivals=MINUTES, name="s.raw").likely_at
        assert at is not None
        return at

    assert NOW < likely(1.0) < likely(3.0) < likely(24.0)


def test_drops_that_never_came_count() -> None:
    arrivals = [0.0, inf] * 20
    waiting = Remaining(to_build=["m.a"], awaited={"s.raw": ago(minutes=-30)})
    said = forecast(ahead(days=3), waiting, arrivals=arrivals, name="m.a")
    assert said.probability == pytest.approx(0.5, abs=0.05)
    waiting = Remaining(to_build=["m.a"], awaited={"s.raw": ago(hours=2)})
    said = forecast(ahead(days=3), waiting, arrivals=arrivals, name="m.a")
    assert said.likely_at is None
    assert said.probability is not None
    assert said.probability < 0.05


def test_what_has_no_history_is_unknown() -> None:
    work = Remaining(to_build=["m.a", "m.b", "m.c", "m.other"])
    new = {**STEADY, "m.b": []}
    assert forecast(ahead(hours=1), work, new) == Forecast(unknown="m.b")
    assert forecast(ahead(hours=1), work, new, name="m.other").probability is not None
    waiting = Remaining(to_build=["m.a"], awaited={"s.raw": NOW})
    assert forecast(ahead(hours=1), waiting, name="m.a") == Forecast(unknown="s.raw")
    assert forecast(ahead(hours=1), waiting, arrivals=[inf], name="s.raw").unknown == "s.raw"


def test_too_much_work_at_once() -> None:
    graph = of(**{f"m__p{number:02}": "" for number in range(20)})
    experience = Experience(durations={name: [60.0] * 40 for name in graph.products})
    dues = dict.fromkeys(graph.products, ahead(minutes=30)) | {"m.p19": ahead(minutes=2)}
    remaining = Remaining(to_build=list(graph.products), jobs=4)
    said = forecasts(graph, NOW, dues, remaining=remaining, experience=experience)
    assert said["m.p19"].queued == 0, "its promise is the first"
    waits = sorted(round(forecast.queued) for forecast in said.values())
    assert waits == [0] * 4 + [60] * 4 + [120] * 4 + [180] * 4 + [240] * 4
    assert said["m.p18"].likely_at == ahead(minutes=5)
    alone = forecasts(
        graph, NOW, dues, remaining=Remaining(to_build=["m.p18"]), experience=experience
    )
    assert alone["m.p18"].queued == 0


def test_what_is_released_together_is_there_when_the_last_of_it_is() -> None:
    durations = {**STEADY, "m.other": [7200.0] * 40}
    experience = Experience(durations=durations)
    dues = {"m.b": ahead(minutes=52)}
    names = ["m.a", "m.b", "m.c", "m.other"]

    def said(*sets: list[str], experience: Experience = experience) -> Forecast:
        remaining = Remaining(to_build=names, sets=sets)
        return forecasts(CHAIN, NOW, dues, remaining=remaining, experience=experience)["m.b"]

    assert (said().slowest, said(["m.a"], ["m.b"]).slowest) == ("m.a", "m.a")
    coherent = said(names)
    assert coherent.slowest == "m.other"
    assert coherent.likely_at is not None
    assert ahead(minutes=115) < coherent.likely_at < ahead(minutes=125)
    grouped = said(["m.a", "m.other"], ["m.b"], ["m.c"])
    assert grouped.likely_at is not None
    assert ahead(minutes=115) < grouped.likely_at < ahead(minutes=125)
    new = Experience(durations={**durations, "m.other": []})
    assert said(names, experience=new).unknown == "m.other"


def test_what_stands_in_the_way() -> None:
    due = ahead(minutes=30)
    assert obstacle(Forecast(), due) == ("", "")
    late = Forecast(likely_at=ahead(minutes=40), slowest="m.a")
    assert obstacle(late, ahead(minutes=41)) == ("", "")
    assert obstacle(late, due) == ("m.a", "takes the most of the time that is left to build")
    assert obstacle(replace(late, waits_for="s.raw"), due) == ("", "")
    assert obstacle(replace(late, queued=900.0), due) == (
        "m.a",
        "too much work at once: it waits 15 min for other builds",
    )


def test_a_night_without_a_queue_and_with_one() -> None:
    night = Night(
        order=("m.a", "m.other", "m.b", "m.c"),
        takes={"m.a": 10.0, "m.b": 5.0, "m.c": 5.0, "m.other": 30.0},
        comes={"s.raw": 100.0},
        dues={"m.c": 130.0},
        jobs=1,
    )
    assert {name: course.at for name, course in courses(CHAIN, night).items()} == {
        "s.raw": 100.0,
        "m.a": 110.0,
        "m.b": 115.0,
        "m.c": 120.0,
        "m.other": 130.0,
    }
    assert ends(CHAIN, night) == {"m.a": 110.0, "m.b": 115.0, "m.c": 120.0, "m.other": 150.0}


def test_few_builds_are_less_certain_than_many() -> None:
    durations = [95.0, 100.0, 105.0]
    few, many = Sampler().durations(durations), Sampler().durations(durations * 10)
    assert len(few) == len(many) == NIGHTS
    assert max(few) > max(many) > 105
    assert median(few) == pytest.approx(median(many), rel=0.05)
    one = Sampler().durations([100.0])
    assert 0 < min(one) < 80
    assert max(one) > 120


def test_the_same_history_gives_the_same_samples() -> None:
    assert Sampler().durations([1.0, 2.0], variant=5) == Sampler().durations([1.0, 2.0], variant=5)
    assert Sampler().durations([1.0, 2.0], variant=5) != Sampler().durations([1.0, 2.0], variant=6)


def test_a_new_level_of_durations_is_seen() -> None:
    noise = [0.9, 1.1, 0.95, 1.05, 1.0, 0.97]
    steady = [100 * noise[n % 6] for n in range(30)]
    assert at_level(steady) == steady
    doubled = [value * (1 if n < 20 else 2) for n, value in enumerate(steady)]
    assert median(at_level(doubled)) == pytest.approx(200, rel=0.1)
    few = doubled[16:24]
    assert at_level(few) == few


def test_very_many_products_take_few_samples_each() -> None:
    """The work is bounded: the more products are to be built, the fewer nights are replayed."""
    names = [f"m__p{number}" for number in range(2_000)]
    graph = of(**{name: names[n - 1] if n % 10 else "s.raw" for n, name in enumerate(names)})
    experience = Experience(durations={name: [1.0] * 60 for name in graph.products})
    dues = dict.fromkeys(graph.products, ahead(hours=5))
    remaining = Remaining(to_build=list(graph.products))
    said = forecasts(graph, NOW, dues, remaining=remaining, experience=experience)
    assert len(said) == 2_000
    assert all(forecast.probability for forecast in said.values())
