"""Where it begins that a promise is broken: the source that is late, the product that is held."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import cached_property

from msgspec import Struct, field
from msgspec.structs import replace

from assay.plan.calendars import DaysUnknown
from assay.plan.graph import Graph
from assay.plan.windows import Promise, Window
from assay.times import local

UNFINISHED = "the last run did not finish it: `products retry` tries again, and says why"
_MOST = 5  # causes of one promise that are shown
_INSTANT = timedelta(microseconds=1)


class Delay(Struct, frozen=True, kw_only=True):
    """Why a promise is, or may be, broken: `name` is the product or source where that begins.

    - `is_work`: whether it is only that a product is not built yet, although it could be.
    """

    name: str
    text: str
    is_work: bool = False


class Progress(Struct, frozen=True, kw_only=True):
    """What is known beside how far data reaches.

    - `published`: products with a published version and sources with files; None when not known.
    - `held`: what keeps a product, or a source, from readers (a failed rule, an error), in words.
    - `stale`: products that the next run builds or publishes; None when not known.
    - `started`: products that a run is building.
    - `usual`: seconds after the due moment at which data of a source usually comes (negative:
      before).
    """

    published: Collection[str] | None = None
    held: Mapping[str, str] = field(default_factory=dict)
    stale: Collection[str] | None = None
    started: Collection[str] = ()
    usual: Mapping[str, float] = field(default_factory=dict)


class Moments(Struct, frozen=True, kw_only=True):
    """The promises of a window around now; `problem` says which days of a calendar are not known.

    `before` is the one before `last`; `last` is the newest that fell due.
    """

    before: Promise | None = None
    last: Promise | None = None
    next: Promise | None = None
    problem: str = ""


def moments_of(window: Window, now: datetime, as_of: datetime | None) -> Moments:
    """Return the promises of a window before and after now."""
    last = before = None
    try:
        if last := window.last(now, as_of):
            before = window.last(last.due - _INSTANT, as_of)
        return Moments(before=before, last=last, next=window.next(now, as_of))
    except DaysUnknown as problem:
        return Moments(before=before, last=last, problem=str(problem))


class Surroundings(Struct, frozen=True, kw_only=True, dict=True):
    """What causes are looked for in.

    - `as_of`: how far the data of each product and source reaches.
    - `windows`, `moments`: of every name that has a window of its own, or inherits one.
    - `inherited_from`: the product whose window a name inherits.
    - `remembered`: causes that were looked for, by name, window and due moment.
    - `limits`: inputs that were looked for, see `lacking`.
    """

    graph: Graph
    now: datetime
    as_of: Mapping[str, datetime | None]
    progress: Progress
    windows: Mapping[str, Window]
    moments: Mapping[str, Moments]
    inherited_from: Mapping[str, str] = field(default_factory=dict)
    remembered: dict[tuple[str, int, datetime], tuple[Delay, ...]] = field(default_factory=dict)
    limits: dict[tuple[str, int, Promise], Sequence[str]] = field(default_factory=dict)

    @cached_property
    def troubled(self) -> frozenset[str]:
        """What is held, or is a source that is late, and everything below that."""
        late = [
            name
            for name, source in self.graph.sources.items()
            if source.freshness
            and (moments := self.moments.get(name))
            and moments.last
            and not self.windows[name].reached(moments.last, self.as_of.get(name))
        ]
        names = {*self.progress.held, *late}
        edge = names
        while edge:
            edge = {below for name in edge for below in self.graph.below.get(name, ())} - names
            names |= edge
        return frozenset(names)


def with_usual(around: Surroundings, usual: Mapping[str, float]) -> Surroundings:
    """Return surroundings that know when drops of sources usually come."""
    return replace(around, progress=replace(around.progress, usual=usual), remembered={})


def root_causes(
    name: str, promise: Promise, window: Window, around: Surroundings
) -> tuple[Delay, ...]:
    """Return where it begins that readers of `name` do not have what is promised.

    Goes upstream from product to product, through all that lack it, to the first that are held or
    that lack it although their inputs have it.
    """
    causes: dict[str, Delay] = {}
    seen: set[str] = set()
    todo = [name]
    while todo and len(causes) < _MOST:
        current = todo.pop()
        if current in seen:
            continue
        seen.add(current)
        if earlier := around.remembered.get((current, id(window), promise.due)):
            causes |= {cause.name: cause for cause in earlier}
            continue
        if problem := around.progress.held.get(current):
            is_work = problem == UNFINISHED
            causes[current] = Delay(name=current, text=problem, is_work=is_work)
        limiting = lacking(current, promise, window, around)
        if not limiting and not problem:
            causes[current] = _without_inputs(current, promise, window, around)
        todo += reversed(limiting)
    shown = tuple(causes.values())[:_MOST]
    around.remembered[name, id(window), promise.due] = shown
    return shown


def lacking(name: str, promise: Promise, window: Window, around: Surroundings) -> Sequence[str]:
    """Return the inputs that do not reach what is promised, and limit how far a product reaches.

    Those that reach as far as it does, or further: a table of countries may be older.
    """
    key = (name, id(window), promise)
    if key not in around.limits:
        around.limits[key] = _lacking(name, promise, window, around)
    return around.limits[key]


def _lacking(name: str, promise: Promise, window: Window, around: Surroundings) -> list[str]:
    if name not in around.graph.products:
        return []
    inputs = dict.fromkeys(i.name for i in around.graph.products[name].inputs)
    short = [i for i in inputs if not window.reached(promise, around.as_of.get(i))]
    reach = _day(around.as_of.get(name)) or date.min
    limiting = [i for i in short if (_day(around.as_of.get(i)) or date.min) >= reach]
    return limiting or [i for i in inputs if i in around.progress.held]


def _day(moment: datetime | None) -> date | None:
    return moment.date() if moment else None


def _without_inputs(name: str, promise: Promise, window: Window, around: Surroundings) -> Delay:
    """Return why a source, or a product whose inputs have the data, does not have it."""
    if name in around.graph.sources:
        return Delay(name=name, text=_of_source(name, around))
    published, started = around.progress.published, name in around.progress.started
    stale = around.progress.stale
    to_do = started or (stale is not None and name in stale)
    if published is not None and name not in published:
        return Delay(name=name, text="nothing is published yet", is_work=to_do)
    if started:
        return Delay(name=name, text="it is being built", is_work=True)
    if to_do:
        text = "its inputs are there, and it is not built from them yet"
        return Delay(name=name, text=text, is_work=True)
    reaches = _reaches(around.as_of.get(name))
    if not around.graph.products[name].inputs:
        return Delay(name=name, text=f"it {reaches}")
    if stale is None:
        return Delay(name=name, text=f"its inputs reach further, and it {reaches}")
    return Delay(name=name, text=f"it is built of its inputs as they are, and {reaches}")


def _of_source(name: str, around: Surroundings) -> str:
    """Return what was promised of a source, or how far it reaches."""
    as_of, window = around.as_of.get(name), around.windows.get(name)
    reaches = _reaches(as_of)
    source = around.graph.sources[name]
    if window is None or source.freshness is None:
        return reaches
    if window.freshness.within:
        return f"{reaches}; {window.freshness} was promised"
    moments = around.moments[name]
    for promise, verb in ((moments.last, "was"), (moments.next, "is")):
        if promise and not window.reached(promise, as_of):
            return _drop(promise, verb, window, around.progress.usual.get(name))
    return reaches


def _reaches(as_of: datetime | None) -> str:
    return f"has data up to {_shown(as_of)}" if as_of else "has no data of a known time"


def _drop(promise: Promise, verb: str, window: Window, usual: float | None) -> str:
    tz, day = window.freshness.tz, _last_day(promise.reach)
    due = local(promise.due, tz)
    text = f"the drop of {day} {verb} due {_clock(due, day)}"
    if usual is None:
        return text
    at = local(promise.due + timedelta(seconds=usual), tz)
    return f"{text}, usually there by {_clock(at, due.date())}"


def _clock(moment: datetime, day: date) -> str:
    """Return a time of day, with its date if that is another day."""
    return f"{moment:%H:%M}" if moment.date() == day else f"{moment:%Y-%m-%d %H:%M}"


def _shown(moment: datetime) -> str:
    at_midnight = (moment.hour, moment.minute, moment.second) == (0, 0, 0)
    return f"{moment:%Y-%m-%d}" if at_midnight else f"{moment:%Y-%m-%d %H:%M}"


def is_prevented(
    name: str, promise: Promise, window: Window, around: Surroundings, *, near: bool
) -> bool:
    """Return whether something is wrong now that has to end before the promise can be kept.

    A product that is held does so once the data of the promise can exist; a source does so when
    what was promised of it, and is late, is that data. `near`: the promise falls due soon.
    """
    if name not in around.troubled:
        return False
    for cause in root_causes(name, promise, window, around):
        if cause.name in around.progress.held:
            if near or around.now >= window.opens(promise):
                return True
        elif cause.name != name and _is_late_with(cause.name, promise, around, near=near):
            return True
    return False


def _is_late_with(name: str, promise: Promise, around: Surroundings, *, near: bool) -> bool:
    """Return whether a source is late with the data of a promise to others."""
    source = around.graph.sources.get(name)
    window, moments = around.windows.get(name), around.moments.get(name)
    if source is None or source.freshness is None or window is None or moments is None:
        return False
    last = moments.last
    if last is None or window.reached(last, around.as_of.get(name)):
        return False
    return near or _last_day(last.reach) >= _last_day(promise.reach)


def _last_day(reach: date | datetime) -> date:
    return reach.date() if isinstance(reach, datetime) else reach


def held_back(rules: Sequence[str]) -> str:
    """Return what keeps a product from readers whose version fails these rules."""
    names = ", ".join(repr(rule) for rule in rules[:_MOST])
    return f"held back: it fails {names}" if names else "held back by its rules"
