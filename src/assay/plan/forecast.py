"""Whether promises are likely to be kept, from how long builds took and when drops came; pure."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from zlib import crc32

from msgspec import Struct, field

from assay.plan.graph import Graph
from assay.plan.queueing import Course, Night, courses, ends
from assay.plan.samples import NEVER, NIGHTS, Sampler, high, middle

SAFE = 0.9  # the share of the nights in which work that starts by `start_by` is in time
_LEAST = 15  # nights that are replayed even when there are very many products to build
_BUILDS = 150_000  # that are replayed in all
_CERTAIN = (NIGHTS + 0.5) / (NIGHTS + 1)  # for what is there
Times = list[float]  # a sample for each night, in seconds


class Experience(Struct, frozen=True, kw_only=True):
    """What is known from before, newest last; names without history may be missing.

    - `durations`: how long past builds of each product took, in seconds.
    - `arrivals`: when past drops of each source came, in seconds after the moment that each is
      counted from (see `awaited` of `forecasts`), which may be negative; inf for a drop that never
      came.
    """

    durations: Mapping[str, Sequence[float]] = field(default_factory=dict)
    arrivals: Mapping[str, Sequence[float]] = field(default_factory=dict)


class Forecast(Struct, frozen=True, kw_only=True):
    """What is likely for one promise; None for what is not known.

    - `start_by`: when the work has to start at the latest, so that it is likely to be in time.
    - `likely_at`: when the data is there: as likely earlier as later.
    - `probability`: that it is there when it is due, over 0 and under 1.
    - `waits_for`: the source whose drop decides when it is there; '' when only work does.
    - `slowest`: the product that takes the most of the time; '' for none.
    - `queued`: seconds that it waits for other work, because only so many builds run at once.
    - `unknown`: a product or source without history, for which nothing is known; '' for none.
    """

    start_by: datetime | None = None
    likely_at: datetime | None = None
    probability: float | None = None
    waits_for: str = ""
    slowest: str = ""
    queued: float = 0.0
    unknown: str = ""


class Remaining(Struct, frozen=True, kw_only=True):
    """What is not done yet, of all that promises need.

    - `to_build`: the products that have to be built: those that are stale, and those that will be
      when the awaited drops are there. All others count as being there.
    - `awaited`: the sources whose drop is not there, each with the moment that the drop is counted
      from in `Experience.arrivals`: when it is due by the window of the source, or, without one,
      the local midnight at which its day begins. A drop that is not there comes later than now.
    - `running`: since when products are being built.
    - `begins`: when the next run begins; None for at once, and whenever a drop comes.
    - `jobs`: how many products are built at once. Recorded durations are taken as they are: they
      should be from runs with as many.
    """

    to_build: Collection[str] = ()
    awaited: Mapping[str, datetime] = field(default_factory=dict)
    running: Mapping[str, datetime] = field(default_factory=dict)
    begins: datetime | None = None
    jobs: int = 4


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
    samples = _Samples(graph, now, remaining, experience)
    night = samples.usual({name: (due - now).total_seconds() for name, due in dues.items()})
    course_of = courses(graph, night)
    queued = _queued(graph, night, course_of)
    times = _Times(graph, samples, night)

    def of(name: str, due: datetime) -> Forecast:
        if name in samples.unknown:
            return Forecast(unknown=samples.unknown[name])
        if name not in course_of:
            return Forecast(start_by=due, likely_at=now, probability=_CERTAIN)
        wait, course = queued.get(name, 0.0), course_of[name]
        there = times.with_queue(times.without_queue(name), wait)
        work = times.with_queue(times.work[name], wait) if name in times.work else None
        return Forecast(
            start_by=_moment(due, -high(work, SAFE)) if work else None,
            likely_at=_moment(now, middle(there)),
            probability=_probability(there, night.dues[name]),
            waits_for=course.waits_for,
            slowest=course.slowest,
            queued=wait,
        )

    return {name: of(name, due) for name, due in dues.items()}


def _probability(there: Times, due: float) -> float:
    """Return the probability that it is there when due: never 0, and never 1."""
    return (sum(at <= due for at in there) + 0.5) / (len(there) + 1)


def _moment(start: datetime, seconds: float) -> datetime | None:
    """Return the moment so many seconds later; None when that is never."""
    return start + timedelta(seconds=seconds) if abs(seconds) < NEVER / 2 else None


class _Samples:
    """Samples of what remains: how long products take, when drops come (in seconds from `now`).

    `unknown` are the names that depend on something without history, each with its name.
    """

    def __init__(
        self, graph: Graph, now: datetime, remaining: Remaining, experience: Experience
    ) -> None:
        self.remaining = remaining
        to_build = set(remaining.to_build)
        self.order = tuple(name for name in graph.order if name in to_build)
        self.nights = max(min(NIGHTS, _BUILDS // max(len(self.order), 1)), _LEAST)
        self._sampler = Sampler(self.nights)
        self.begin = max(_seconds(now, remaining.begins), 0.0)
        self.comes: dict[str, Times] = {}
        self.takes: dict[str, Times] = {}
        self.unknown: dict[str, str] = {}
        for source, since in remaining.awaited.items():
            self._add_source(source, -_seconds(now, since), experience.arrivals.get(source, ()))
        for name in self.order:
            history = experience.durations.get(name, ())
            unknown = [self.unknown[r] for r in graph.products[name].reads if r in self.unknown]
            if unknown or not history:
                self.unknown[name] = unknown[0] if unknown else name
            self._add_product(name, max(-_seconds(now, remaining.running.get(name)), 0.0), history)

    def _add_source(self, name: str, passed: float, history: Sequence[float]) -> None:
        try:
            offsets = self._sampler.arrivals(history, over=passed, variant=crc32(name.encode()))
        except ValueError:
            self.unknown[name] = name
        else:
            self.comes[name] = [offset - passed for offset in offsets]

    def _add_product(self, name: str, passed: float, history: Sequence[float]) -> None:
        if not history:
            self.takes[name] = [0.0] * self.nights
            return
        takes = self._sampler.durations(history, over=passed, variant=crc32(name.encode()))
        self.takes[name] = [seconds - passed for seconds in takes] if passed else takes

    def usual(self, dues: Mapping[str, float]) -> Night:
        """Return the night in which everything takes as long as it usually does."""
        return Night(
            order=self.order,
            takes={name: middle(times) for name, times in self.takes.items()},
            comes={name: middle(times) for name, times in self.comes.items()},
            dues=dues,
            begin=self.begin,
            jobs=self.remaining.jobs,
        )


def _seconds(now: datetime, moment: datetime | None) -> float:
    """Return the seconds from now until a moment; 0 for none."""
    return (moment - now).total_seconds() if moment else 0.0


def _queued(graph: Graph, night: Night, course_of: Mapping[str, Course]) -> dict[str, float]:
    """Return how much later than without a queue each product is there, in seconds."""
    if len(night.order) <= night.jobs:
        return {}
    return {n: max(end - course_of[n].at, 0.0) for n, end in ends(graph, night).items()}


class _Times:
    """When products and sources are there, in seconds from now, in each of the nights."""

    def __init__(self, graph: Graph, samples: _Samples, night: Night) -> None:
        self.begin = samples.begin
        self.work: dict[str, Times] = {}  # from when all drops are there
        self.there: dict[str, Times] = dict(samples.comes)  # of what waits for a drop
        for name in samples.order:
            reads, takes = graph.products[name].reads, samples.takes[name]
            self.work[name] = _after([self.work[r] for r in reads if r in self.work], takes)
            if not self.there.keys().isdisjoint(reads):
                known = [self.without_queue(r) for r in reads if r in self.there or r in self.work]
                self.there[name] = _after([*known, [self.begin] * samples.nights], takes)
        total = sum(night.takes.values())
        loads = zip(*samples.takes.values(), strict=True) if total else ()
        self.load = [sum(load) / total for load in loads] or [1.0] * samples.nights

    def without_queue(self, name: str) -> Times:
        """Return when a product or source is there if builds need not queue."""
        if name in self.there:
            return self.there[name]
        return [self.begin + seconds for seconds in self.work[name]]

    def with_queue(self, times: Times, queued: float) -> Times:
        """Return times after a wait in the queue, which is longer in nights with more work."""
        if not queued:
            return times
        return [at + queued * load for at, load in zip(times, self.load, strict=True)]


def _after(before: Sequence[Times], takes: Times) -> Times:
    """Return when what takes so long is there, if it begins when all of `before` are there."""
    if not before:
        return takes
    latest, *others = before
    for times in others:
        latest = [a if a > b else b for a, b in zip(latest, times, strict=True)]
    return [at + seconds for at, seconds in zip(latest, takes, strict=True)]
