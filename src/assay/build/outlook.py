"""What is likely for the next promises: from what they wait for, and from past nights."""

import os
from collections.abc import Collection, Mapping, Sequence
from math import isinf

from msgspec import Struct, field

from assay.build.workspace import Workspace
from assay.catalog.durations import durations
from assay.facts import Arrival
from assay.plan.forecast import Experience, Forecast, Remaining, forecasts
from assay.plan.habits import Habit, habit
from assay.plan.lateness import Surroundings
from assay.plan.pending import Pending, pending
from assay.plan.samples import NIGHTS
from assay.plan.windows import Window, window_of

_MOST_ARRIVALS = 200  # of a source: parts, of which a day may have several
_ONE_BY_ONE = 50  # sources whose arrivals are read by themselves


class Outlook(Struct, frozen=True):
    """What is likely for promises, by name, and when drops usually come.

    `usual` are the seconds after a drop of a source is due by its window (negative: before).
    """

    forecasts: Mapping[str, Forecast] = field(default_factory=dict)
    usual: Mapping[str, float] = field(default_factory=dict)


def outlook(workspace: Workspace, around: Surroundings) -> Outlook:
    """Return what is likely for the promises that are late, or fall due soon and are not kept.

    It costs a few queries, however many promises there are; none when all are kept.
    """
    groups = pending(around)
    if not groups:
        return Outlook()
    catalog = workspace.catalog
    products = frozenset[str]().union(*(group.to_build for group in groups))
    past = durations(catalog.name, catalog.database, products, NIGHTS)
    arrivals = _arrivals(workspace, frozenset[str]().union(*(group.awaited for group in groups)))
    likely, usual = dict[str, Forecast](), dict[str, float]()
    earlier: frozenset[str] = frozenset()
    for group in groups:
        earlier |= group.to_build  # goes first, or at the same time
        habits = {name: _habit(name, group, arrivals, around) for name in group.awaited}
        dues = {name: promise.due for name, promise in group.promises.items()}
        offsets = {name: habit.offsets for name, habit in habits.items()}
        remaining = Remaining(
            to_build=earlier,
            awaited={name: habit.since for name, habit in habits.items()},
            sets=around.graph.units(earlier, coherent=workspace.config.release == "coherent"),
            jobs=min(4, os.cpu_count() or 1),
        )
        experience = Experience(durations=past, arrivals=offsets)
        likely |= forecasts(
            around.graph, around.now, dues, remaining=remaining, experience=experience
        )
        usual = _usual(offsets, around) | usual
    return Outlook(likely, usual)


def _usual(offsets: Mapping[str, Sequence[float]], around: Surroundings) -> dict[str, float]:
    """Return when drops usually come, of sources that have a window and came before."""
    came = {name: [at for at in of if not isinf(at)] for name, of in offsets.items()}
    return {name: _median(of) for name, of in came.items() if of and _window(name, around)}


def _median(values: Sequence[float]) -> float:  # the module statistics takes 2 ms to import
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(values) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _arrivals(workspace: Workspace, sources: Collection[str]) -> Mapping[str, Sequence[Arrival]]:
    recorded = workspace.catalog.arrivals
    if len(sources) > _ONE_BY_ONE:
        return recorded.of_all(_MOST_ARRIVALS)
    return {name: recorded.of(name, _MOST_ARRIVALS) for name in sources}


def _habit(
    name: str, group: Pending, arrivals: Mapping[str, Sequence[Arrival]], around: Surroundings
) -> Habit:
    window = _window(name, around)
    tz = window.tz if window else group.tz
    return habit(arrivals.get(name, ()), window, group.day, tz=tz, now=around.now)


def _window(source: str, around: Surroundings) -> Window | None:
    """Return the window that a source has of its own."""
    freshness = around.graph.sources[source].freshness
    return window_of(freshness, around.graph.calendars) if freshness else None
