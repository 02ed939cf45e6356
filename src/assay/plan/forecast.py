"""Whether promises are likely to be kept, from how long builds took and when drops came; pure."""

from bisect import bisect_right
from collections.abc import Mapping
from datetime import datetime, timedelta

from msgspec import Struct

from assay.plan.graph import Graph
from assay.plan.replay import Built, Experience, Released, Remaining, Samples, Times
from assay.plan.samples import NEVER, NIGHTS

__all__ = ["Experience", "Forecast", "Remaining", "forecasts", "obstacle"]

SAFE = 0.8  # the share of the nights in which work that starts by `start_by` is in time
_CERTAIN = (NIGHTS + 0.5) / (NIGHTS + 1)  # for what is there


class Forecast(Struct, frozen=True, kw_only=True):
    """What is likely for one promise; None for what is not known.

    - `start_by`: when the work has to start at the latest, so that it is likely to be in time.
    - `likely_at`: when the data is there for readers: as likely earlier as later.
    - `probability`: that it is there when it is due, over 0 and under 1.
    - `waits_for`: the source whose drop decides when it is there; '' when only work does.
    - `slowest`: the product that takes the most of the time; '' for none.
    - `queued`: seconds that it waits for other work, because only so many builds run at once.
    - `unknown`: a product or source without history, so that nothing is known; '' for none.
    """

    start_by: datetime | None = None
    likely_at: datetime | None = None
    probability: float | None = None
    waits_for: str = ""
    slowest: str = ""
    queued: float = 0.0
    unknown: str = ""


def forecasts(
    graph: Graph,
    now: datetime,
    dues: Mapping[str, datetime],
    *,
    remaining: Remaining,
    experience: Experience,
) -> Mapping[str, Forecast]:
    """Return what is likely for each promise, by the name of its product or source.

    It replays the last nights: in each, drops come and builds take as long as they did then, and
    the share of the nights in which a promise is kept is its probability. `dues` says when the
    promises fall due that are not kept yet. Nothing is said of products that were held back or
    failed: `to_build` should name neither them nor what depends on them.
    """
    samples = Samples(graph, now, remaining, experience)
    night = samples.usual({name: (due - now).total_seconds() for name, due in dues.items()})
    released = Released(samples, Built(samples, night))
    return {name: _forecast(name, now, due, samples, released) for name, due in dues.items()}


def obstacle(forecast: Forecast, due: datetime) -> tuple[str, str]:
    """Return the product that stands in the way of a promise when no source does, and why.

    ('', '') when the data is likely in time, when a drop decides that, or when nothing is known.
    """
    at = forecast.likely_at
    if at is None or at <= due or forecast.waits_for or not forecast.slowest:
        return "", ""
    if forecast.queued and at - timedelta(seconds=forecast.queued) <= due:
        waits = _length(forecast.queued)
        return forecast.slowest, f"too much work at once: it waits {waits} for other builds"
    return forecast.slowest, "takes the most of the time that is left to build"


def _length(seconds: float) -> str:
    """Return a length of time as people say it: 40 s, 25 min, 2 h 5 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _forecast(
    name: str, now: datetime, due: datetime, samples: Samples, released: Released
) -> Forecast:
    if name in samples.unknown:
        return Forecast(unknown=samples.unknown[name])
    built = released.built
    last = released.last_of.get(name, name)
    course = built.course_of.get(last)
    if course is None:
        return Forecast(start_by=due, likely_at=now, probability=_CERTAIN)
    there = released.at(name)
    work = released.work(name) if name in samples.takes else None
    return Forecast(
        start_by=_moment(due, -work[int(SAFE * len(work))]) if work else None,
        likely_at=_moment(now, there[(len(there) - 1) // 2]),
        probability=_probability(there, (due - now).total_seconds()),
        waits_for=course.waits_for,
        slowest=course.slowest,
        queued=built.queued.get(last, 0.0),
    )


def _probability(there: Times, due: float) -> float:
    """Return the probability that it is there when due: never 0, and never 1."""
    return (bisect_right(there, due) + 0.5) / (len(there) + 1)


def _moment(start: datetime, seconds: float) -> datetime | None:
    """Return the moment so many seconds later; None when that is never."""
    return start + timedelta(seconds=seconds) if abs(seconds) < NEVER / 2 else None
