"""One turn of the loop: reads everything anew, builds what is due, and says when to look again."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from msgspec import Struct, field
from msgspec.structs import replace

from assay.build.due import Due, due_in, moments_of
from assay.build.execute import execute
from assay.build.promises import record_due
from assay.build.results import kind_of
from assay.build.standings import Stand, decisions, stand_of
from assay.build.workspace import Workspace
from assay.decisions import Build, Check, Decision, Maybe, Publish, Restate, Waive
from assay.events import Event, Outcome, Reporter
from assay.plan.due import without
from assay.plan.moments import NEVER, is_fetcher, opens_next
from assay.plan.observed import Observed
from assay.plan.request import Request, RunOptions
from assay.plan.standing import Standing, warned_from
from assay.upkeep.gc_files import finish
from assay.watch.calm import Basis, Calm, basis_of, calm_of
from assay.watch.looks import Looks
from assay.watch.pauses import Pauses

ASKED = "run"  # as `products runs` shows what the loop does


class Memory:
    """What the loop keeps from one turn to the next. All of it may be lost: it only saves work."""

    def __init__(self) -> None:
        self.looks = Looks()
        self.pauses = Pauses()
        self.calm: tuple[Calm, Turn] | None = None  # the last turn, if nothing was to do


class Turn(Struct, frozen=True, kw_only=True):
    """What a turn did.

    - `outcome`: of the run; None when nothing was to do.
    - `moments`: when something may be to do by time alone, or a source is looked at again.
    - `standings`: how promises stand then, if that was asked for.
    """

    began: datetime
    outcome: Outcome | None = None
    moments: Sequence[datetime] = ()
    standings: Mapping[str, Standing] = field(default_factory=dict)

    @property
    def counts(self) -> Mapping[str, int]:
        """The number of products by result."""
        results = self.outcome.results.values() if self.outcome else ()
        return Counter(kind_of(result.end) for result in results)


class AfterTurn(Protocol):
    """Is called after each turn, with what is observed and published then, and how that stands.

    The outcome is None when nothing was to do.
    """

    def __call__(
        self, workspace: Workspace, observed: Observed, outcome: Outcome | None, stand: Stand, /
    ) -> None: ...


class TurnOptions(Struct, frozen=True, kw_only=True):
    """How turns are done.

    - `jobs`: how many products are worked on at a time; 0 for the setting of the project.
    - `eager`: whether everything that is stale is built, also what is not due yet.
    - `standings`: whether to work out how promises stand, for metrics.
    - `after`: called after each turn.
    - `reporter_of`: returns what receives the events of a run, given what the run begins with.
    """

    jobs: int = 0
    eager: bool = False
    standings: bool = False
    after: Sequence[AfterTurn] = field(default_factory=tuple)
    reporter_of: Callable[[Workspace, Observed], Reporter] | None = None


def one_turn(workspace: Workspace, memory: Memory, options: TurnOptions) -> Turn:
    """Observe, build what is due, and return when to look again.

    If all is as it was in a turn with nothing to do, and no moment has come that matters, nothing
    is read but what shows that.
    """
    basis = basis_of(workspace)
    if turn := _as_before(workspace, memory, basis):
        return turn
    finish(workspace)
    observed = _observe(workspace, memory)
    began = observed.now
    due = due_in(workspace, observed, eager=options.eager)
    products = _to_build(workspace, due, memory, observed.now)
    outcome, steps = None, due.steps
    if products:
        outcome = _build(workspace, observed, products, options)
        memory.pauses.note(outcome, due.steps, workspace.clock())
        observed = _observe(workspace, memory)
        steps = decisions(workspace, observed)
    else:
        workspace.remember(observed)
        workspace.recover()
        record_due(workspace, observed)
    stand = Stand(steps=steps)
    if options.after or options.standings:
        stand = stand_of(workspace, observed, steps)
    for after in options.after:
        after(workspace, observed, outcome, stand)
    turn = Turn(
        began=began,
        outcome=outcome,
        moments=[
            *_moments(workspace, observed, due, memory),
            *_moments_to_start(stand.own.values(), observed.now),
        ],
        standings=stand.own if options.standings else {},
    )
    if outcome is None:
        calm = calm_of(workspace, observed, stand, basis, turn.moments)
        memory.calm = (calm, turn) if calm else None
    return turn


def _as_before(workspace: Workspace, memory: Memory, basis: Basis) -> Turn | None:
    """Return a turn that comes to the same as the last one, if it does."""
    if memory.calm is None:
        return None
    calm, turn = memory.calm
    now = workspace.clock()
    recent = memory.looks.recent(workspace.graph.sources, now)
    if calm.lasts(workspace, basis, recent):
        return replace(turn, began=now)
    memory.calm = None
    return None


def _observe(workspace: Workspace, memory: Memory) -> Observed:
    sources = workspace.graph.sources
    observed = workspace.observe(memory.looks.recent(sources, workspace.clock()))
    memory.looks.note(sources, observed.sources, observed.now)
    return observed


def _to_build(workspace: Workspace, due: Due, memory: Memory, now: datetime) -> set[str]:
    """Return the products to work on; none of them when nothing of it is to be done."""
    graph = workspace.graph
    left_out = memory.pauses.paused(due.steps, now)
    if workspace.project.outdated:  # code in Python cannot be loaded while it has mistakes
        left_out |= {name for name in due.products if graph.products[name].runs_python}
    products = without(graph, due.products, left_out)
    return products if any(_is_work(due.steps[name]) for name in products) else set()


def _is_work(step: Decision) -> bool:
    return isinstance(step, Build | Check | Maybe | Publish | Restate | Waive)


def _build(
    workspace: Workspace, observed: Observed, products: Iterable[str], options: TurnOptions
) -> Outcome:
    request = Request(products=frozenset(products), asked=ASKED)
    jobs = options.jobs or workspace.config.jobs
    reporting = _reporting(workspace, observed, options)
    return execute(reporting, request, observed, options=RunOptions(jobs=jobs))


def _reporting(workspace: Workspace, observed: Observed, options: TurnOptions) -> Workspace:
    """Return the workspace with the reporter of a run beside its own."""
    if options.reporter_of is None:
        return workspace
    reporter = options.reporter_of(workspace, observed)

    def both(event: Event, /) -> None:
        workspace.reporter(event)
        reporter(event)

    return replace(workspace, reporter=both)


def _moments_to_start(standings: Iterable[Standing], now: datetime) -> Iterator[datetime]:
    """Yield when work for a promise has to start, and when people are to be warned of that."""
    for standing in standings:
        if standing.start_by and standing.promise:
            warned = warned_from(standing.window, standing.promise.due, standing)
            yield from (at for at in (warned, standing.start_by) if at > now)


def _moments(
    workspace: Workspace, observed: Observed, due: Due, memory: Memory
) -> Iterator[datetime]:
    """Yield the moments at which something may be to do, by time alone."""
    yield from moments_of(due.windows, workspace.graph, observed)
    yield from memory.looks.ends()
    yield from (at for at in memory.pauses.ends() if at > observed.now)
    periods = {product.changes_with for product in workspace.graph.products.values()}
    if periods - {"", NEVER}:  # every hour, day or month begins with an hour
        yield observed.now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    for product in workspace.graph.products.values():
        if product.freshness and is_fetcher(product):
            yield opens_next(product.freshness, observed.now, workspace.graph.calendars)
