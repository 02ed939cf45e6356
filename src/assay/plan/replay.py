"""The last nights, replayed over what remains to be done: when everything is there in each; pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from zlib import crc32

from msgspec import Struct, field

from assay.plan.graph import Graph
from assay.plan.queueing import Course, Night, courses, ends
from assay.plan.samples import NIGHTS, Sampler, middle

_LEAST = 10  # nights that are replayed even when there are very many products to build
_BUILDS = 100_000  # that are replayed in all
_FEW = 8  # samples, of which comparing one with another is quicker than all at once
Times = list[float]  # a sample for each night, in seconds


class Experience(Struct, frozen=True, kw_only=True):
    """What is known from before, newest last; names without history may be missing.

    - `durations`: how long past builds of each product took, in seconds.
    - `arrivals`: when past drops of each source came, in seconds after the moment that each is
      counted from (see `Remaining.awaited`), which may be negative; inf for a drop that never came.
    """

    durations: Mapping[str, Sequence[float]] = field(default_factory=dict)
    arrivals: Mapping[str, Sequence[float]] = field(default_factory=dict)


class Remaining(Struct, frozen=True, kw_only=True):
    """What is not done yet, of all that promises need.

    - `to_build`: the products that have to be built: those that are stale, and those that will be
      when the awaited drops are there. All others count as being there.
    - `awaited`: the sources whose drop is not there, each with the moment that the drop is counted
      from in `Experience.arrivals`: when it is due by the window of the source, or, without one,
      the local midnight at which its day begins. A drop that is not there comes later than now.
    - `running`: since when products are being built.
    - `sets`: products that are released together (`Graph.units`), each set after those it reads
      from; products that are in none are released as they are built.
    - `begins`: when the next run begins; None for at once, and whenever a drop comes.
    - `jobs`: how many products are built at once. Recorded durations are taken as they are: they
      should be from runs with as many.
    """

    to_build: Collection[str] = ()
    awaited: Mapping[str, datetime] = field(default_factory=dict)
    running: Mapping[str, datetime] = field(default_factory=dict)
    sets: Iterable[Sequence[str]] = ()
    begins: datetime | None = None
    jobs: int = 4


class Samples:
    """Samples of what remains: how long products take, when drops come (in seconds from `now`).

    `unknown` are the names that depend on something without history, each with its name.
    """

    def __init__(
        self, graph: Graph, now: datetime, remaining: Remaining, experience: Experience
    ) -> None:
        self.graph, self.remaining = graph, remaining
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


class Built:
    """When products are built, and drops are there, in seconds from now, in each of the nights.

    `course_of` says what that depends on, `queued` how long products wait for others (in the usual
    night, in seconds).
    """

    def __init__(self, samples: Samples, night: Night) -> None:
        graph, self._begin = samples.graph, samples.begin
        self.course_of = courses(graph, night)
        self.queued = _queued(graph, night, self.course_of)
        self._work: dict[str, Times] = {}  # from when all drops are there
        self._there: dict[str, Times] = dict(samples.comes)  # of what waits for a drop
        for name in samples.order:
            reads, takes = graph.products[name].reads, samples.takes[name]
            self._work[name] = _after([self._work[r] for r in reads if r in self._work], takes)
            if not self._there.keys().isdisjoint(reads):
                before = [self._at(read) for read in reads if read in self.course_of]
                if self._begin:
                    before.append([self._begin] * samples.nights)
                self._there[name] = _after(before, takes)
        total = sum(night.takes.values())
        loads = zip(*samples.takes.values(), strict=True) if total else ()
        self._load = [sum(load) / total for load in loads]

    def at(self, name: str) -> Times:
        """Return when a product or source is there."""
        return self._later(name, self._at(name))

    def work(self, name: str) -> Times:
        """Return how long it takes until a product is there from when all drops are there."""
        return self._later(name, self._work[name])

    def _at(self, name: str) -> Times:
        """Return when a product or source is there if builds need not queue."""
        if name in self._there:
            return self._there[name]
        work = self._work[name]
        return [self._begin + seconds for seconds in work] if self._begin else work

    def _later(self, name: str, times: Times) -> Times:
        """Return times after the wait in the queue, which is longer in nights with more work."""
        queued = self.queued.get(name)
        if not queued:
            return times
        return [at + queued * load for at, load in zip(times, self._load, strict=True)]


def _queued(graph: Graph, night: Night, course_of: Mapping[str, Course]) -> dict[str, float]:
    """Return how much later than without a queue each product is there, in seconds."""
    if len(night.order) <= night.jobs:
        return {}
    return {n: max(end - course_of[n].at, 0.0) for n, end in ends(graph, night).items()}


class Released:
    """When products are released: with all of their set, and after the sets that it reads from.

    `last_of` is the product that its set waits for, by product; only where there is more than one.
    """

    def __init__(self, samples: Samples, built: Built) -> None:
        self.built, self.last_of = built, dict[str, str]()
        self._set_of: dict[str, int] = {}
        self._at: list[Times] = []
        self._work: list[Times] = []
        self._a_member: list[str] = []
        known = set(samples.order)
        for members in samples.remaining.sets:
            names = [name for name in members if name in known]
            reads = (read for name in names for read in samples.graph.products[name].reads)
            above = {self._set_of[read] for read in reads if read in self._set_of}
            if len(names) > 1 or above:
                self._add(names, sorted(above), samples.unknown)
        self._in_order()

    def _add(self, names: Sequence[str], above: Sequence[int], unknown: dict[str, str]) -> None:
        self._at.append(_latest([*map(self.built.at, names), *(self._at[i] for i in above)]))
        self._work.append(_latest([*map(self.built.work, names), *(self._work[i] for i in above)]))
        last = max(names, key=lambda name: self.built.course_of[name].at)
        near = (*names, *(self._a_member[i] for i in above))
        missing = next((unknown[name] for name in near if name in unknown), "")
        self._a_member.append(last)
        for name in names:
            self._set_of[name] = len(self._at) - 1
            self.last_of[name] = last
            if missing:
                unknown.setdefault(name, missing)

    def at(self, name: str) -> Times:
        """Return when a product is released, or a drop is there, in order of time."""
        if name in self._set_of:
            return self._at[self._set_of[name]]
        return sorted(self.built.at(name))

    def work(self, name: str) -> Times:
        """Return how long it takes, from when all drops are there, in order of length."""
        if name in self._set_of:
            return self._work[self._set_of[name]]
        return sorted(self.built.work(name))

    def _in_order(self) -> None:
        self._at = [sorted(times) for times in self._at]
        self._work = [sorted(times) for times in self._work]


def _latest(samples: Sequence[Times]) -> Times:
    """Return the latest of several times, in each night."""
    latest, *others = samples
    if len(others) > _FEW:
        return [max(times) for times in zip(*samples, strict=True)]
    for times in others:
        latest = [a if a > b else b for a, b in zip(latest, times, strict=True)]
    return latest


def _after(before: Sequence[Times], takes: Times) -> Times:
    """Return when what takes so long is there, if it begins when all of `before` are there."""
    if not before:
        return takes
    return [at + seconds for at, seconds in zip(_latest(before), takes, strict=True)]
