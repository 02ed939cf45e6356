"""Records how the promises came out that fell due: kept, late or missed, and why.

That is read off what is recorded of releases and arrivals, so nothing is lost by runs that did not
happen or were killed, and it does not matter how many recorded it.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cache

from msgspec.structs import replace

from assay.build.workspace import Workspace
from assay.catalog.promises import Watched
from assay.errors import UsageError
from assay.facts import SourceFile, SourceState
from assay.jsonform import canonical
from assay.model import Source
from assay.plan.as_of import as_of
from assay.plan.calendars import DaysUnknown
from assay.plan.lateness import Progress, Surroundings, held_back, root_causes
from assay.plan.observed import Observed
from assay.plan.outcomes import PromiseOutcome, Reach, came_out, newest
from assay.plan.promise_state import State
from assay.plan.reach import reach_of
from assay.plan.standing import surroundings
from assay.plan.windows import Promise, Window, windows_of
from assay.times import in_utc


def record_due(workspace: Workspace, observed: Observed) -> Sequence[PromiseOutcome]:
    """Record the promises that fell due since the last time; return them.

    A promise that is late is recorded when its data came, or when the next one fell due: facts do
    not change. A window is watched from when it is first seen here, anew when it was changed.
    """
    windows = windows_of(workspace.graph)
    now, environment = workspace.clock(), workspace.environment
    promises = workspace.catalog.promises
    watched = promises.watched(environment)  # also without windows: the last may have been removed
    if not windows and not watched:
        return ()
    text_of = {w: canonical(w.freshness).decode() for w in set(windows.values())}
    texts = {name: text_of[window] for name, window in windows.items()}
    new = [
        Watched(name=name, freshness=text, since=now)
        for name, text in texts.items()
        if name not in watched or watched[name].freshness != text
    ]
    since = {w.name: w.recorded_until for w in watched.values()}
    since = {name: since[name] for name in windows.keys() - {w.name for w in new}}
    outcomes = _outcomes(workspace, observed, windows, since, now)
    forget = watched.keys() - windows.keys()
    if new or forget or outcomes:
        promises.record(environment, outcomes, new, forget)
    return outcomes


def record_everywhere(workspace: Workspace) -> None:
    """Record the promises that fell due in every environment, before what they follow from is removed.

    Where the clock is ahead (`gc --now`), nothing is recorded: what has not been, may still come.
    """
    if not workspace.graph.has_promises:
        return
    states: Mapping[str, SourceState] = {}
    for environment in workspace.catalog.environments.publishing():
        inside = replace(workspace, environment=environment)
        try:
            inside.check_now(workspace.clock())
        except UsageError:
            continue
        observed = inside.observe(states)
        states = observed.sources
        record_due(inside, observed)


def _outcomes(
    workspace: Workspace,
    observed: Observed,
    windows: Mapping[str, Window],
    since: Mapping[str, datetime],
    now: datetime,
) -> list[PromiseOutcome]:
    """Return how promises came out, each since its moment, with the causes."""
    due = [name for name in windows if name in since and _is_due(windows[name], since[name], now)]
    if not due:
        return []
    pasts = Pasts(workspace, observed, min(since[name] for name in due))
    pasts.read(due)
    pairs = [
        pair
        for name in due
        for pair in came_out(name, windows[name], pasts.history(name), since[name], now)
    ]
    return _with_causes(workspace, pairs, windows, pasts)


def _is_due(window: Window, since: datetime, now: datetime) -> bool:
    """Return whether a promise may have fallen due; of ages only the history can tell."""
    if window.freshness.within:
        return True
    with suppress(DaysUnknown):
        promise = window.next(since, None)
        return promise is not None and promise.due <= now
    return False


class Pasts:
    """How far the data of products and sources reached in the past, since a moment."""

    def __init__(self, workspace: Workspace, observed: Observed, since: datetime) -> None:
        self._workspace, self._observed, self._since = workspace, observed, since
        self._now = as_of(workspace.graph, observed)
        self._histories: dict[str, Sequence[Reach]] = {}

    def read(self, names: Iterable[str]) -> None:
        """Read the histories of products and sources that are not read yet."""
        graph, catalog = self._workspace.graph, self._workspace.catalog
        wanted = [name for name in names if name not in self._histories]
        products = [name for name in wanted if name in graph.products]
        reaches = catalog.promises.reaches(self._workspace.environment, products, self._since)
        for name in wanted:
            if name in graph.sources:
                self._histories[name] = self._of_source(graph.sources[name])
        for name in products:
            self._histories[name] = self._with_present(name, reaches.get(name, ()))

    def history(self, name: str) -> Sequence[Reach]:
        """Return how far data reached from when on, in order of time."""
        if name not in self._histories:
            self.read([name])
        return self._histories[name]

    def _of_source(self, source: Source) -> list[Reach]:
        """Return how far a source reached with each of its arrivals."""
        state = self._observed.sources.get(source.name)
        files_of: dict[str, list[SourceFile]] = defaultdict(list)
        for file in state.files if state else ():
            files_of[file.part if source.path_regex else ""].append(file)
        latest, latest_event = list[Reach](), self._observed.facts.latest_event
        for arrival in self._workspace.catalog.arrivals.of(source.name):
            reach = reach_of(source, files_of[arrival.part], arrival.at, latest_event)
            before = latest[-1].as_of if latest else None
            latest.append(Reach(arrival.at, newest(before, reach)))
        return latest

    def _with_present(self, name: str, history: Sequence[Reach]) -> Sequence[Reach]:
        """Return the history of a product with how far it reaches now, if that is further.

        What its inputs deliver again, with the same content, makes it reach further without a
        release. That was when the last of its sources arrived.
        """
        present, recorded = self._now[name], history[-1].as_of if history else None
        if recorded is None or present is None or in_utc(present) <= in_utc(recorded):
            return history
        sources = self._workspace.graph.upstream(name) & self._workspace.graph.sources.keys()
        arrivals = [self.history(source)[-1].at for source in sources if self.history(source)]
        at = max([history[-1].at, *arrivals])
        return [*history, Reach(at, present)]

    def as_of(self, name: str, at: datetime) -> datetime | None:
        """Return how far data reached at a moment."""
        last = self._last(name, at)
        return last.as_of if last else None

    def was_there(self, name: str, at: datetime) -> bool:
        """Return whether a product was published, or a source had files, at a moment."""
        return self._last(name, at) is not None

    def changed(self, name: str, after: datetime, until: datetime) -> bool:
        """Return whether another version was published in a period."""
        last = self._last(name, until)
        return last is not None and last.at > after

    def _last(self, name: str, at: datetime) -> Reach | None:
        history = self.history(name)
        index = bisect_right(history, at, key=lambda reach: reach.at)
        return history[index - 1] if index else None


def _with_causes(
    workspace: Workspace,
    pairs: Sequence[tuple[Promise, PromiseOutcome]],
    windows: Mapping[str, Window],
    pasts: Pasts,
) -> list[PromiseOutcome]:
    """Return outcomes with the causes of those that were not kept, as of when they fell due."""
    broken = [outcome for _, outcome in pairs if outcome.state is not State.KEPT]
    if not broken:
        return [outcome for _, outcome in pairs]
    causes = _Causes(workspace, pasts, broken)
    return [
        outcome
        if outcome.state is State.KEPT
        else replace(outcome, cause=causes.of(promise, outcome, windows[outcome.name]))
        for promise, outcome in pairs
    ]


class _Causes:
    """Finds where it began that promises were not kept."""

    def __init__(
        self, workspace: Workspace, pasts: Pasts, broken: Sequence[PromiseOutcome]
    ) -> None:
        self._pasts, self._graph = pasts, workspace.graph
        names = {outcome.name for outcome in broken}
        self._names = names.union(*(self._graph.upstream(name) for name in names))
        pasts.read(sorted(self._names))
        products = sorted(self._names & self._graph.products.keys())
        self._failures = workspace.catalog.promises.failures(products)
        asking = [name for name in products if self._graph.products[name].approvers]
        self._awaited = (
            workspace.catalog.promises.awaited(workspace.environment, asking) if asking else ()
        )
        self._surroundings = cache(self._at)

    def of(self, promise: Promise, outcome: PromiseOutcome, window: Window) -> str:
        """Return the causes of a promise that was not kept, as of when it fell due."""
        around = self._surroundings(promise.due)
        causes = root_causes(outcome.name, promise, window, around)
        return "; ".join(f"{cause.name}: {cause.text}" for cause in causes)

    def _at(self, due: datetime) -> Surroundings:
        reaches = {name: self._pasts.as_of(name, due) for name in self._names}
        published = {name for name in self._names if self._pasts.was_there(name, due)}
        progress = Progress(published=published, held=self._held(due))
        return surroundings(self._graph, reaches, due, progress)

    def _held(self, due: datetime) -> dict[str, str]:
        """Return the products whose newest version then was held back, or awaited approval."""
        found = [(product, at, held_back(rules)) for product, at, rules in self._failures]
        found += [(product, at, self._awaits(product)) for product, at in self._awaited]
        return {
            product: why
            for product, at, why in sorted(found, key=lambda each: each[1])
            if at <= due and not self._pasts.changed(product, at, due)
        }

    def _awaits(self, product: str) -> str:
        return f"waited for the approval of {' or '.join(self._graph.products[product].approvers)}"
