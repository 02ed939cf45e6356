"""How the promises of a project stand now: with what is held back, missing, or being built."""

from collections.abc import Iterator, Mapping

from msgspec import Struct, field

from assay.build.outlook import outlook
from assay.build.selection import everything
from assay.build.workspace import Workspace
from assay.decisions import (
    AwaitApproval,
    Blocked,
    Build,
    Check,
    Decision,
    Maybe,
    Publish,
    Restate,
    Waive,
)
from assay.facts import Status
from assay.plan.as_of import as_of
from assay.plan.ladder import plan
from assay.plan.lateness import UNFINISHED, Progress, held_back, with_usual
from assay.plan.observed import Observed
from assay.plan.standing import Standing, standings_in, surroundings

_FAILING = {Status.FAILED, Status.ERROR}
_WORK = Build | Check | Restate | Waive | Maybe | Publish


class Stand(Struct, frozen=True, kw_only=True):
    """How a project stands: the decision on each product, and how each promise stands."""

    steps: Mapping[str, Decision]
    standings: Mapping[str, Standing] = field(default_factory=dict)

    @property
    def own(self) -> Mapping[str, Standing]:
        """The standings of what has a promise of its own."""
        return {
            n: standing for n, standing in self.standings.items() if not standing.inherited_from
        }


def decisions(workspace: Workspace, observed: Observed) -> Mapping[str, Decision]:
    """Return the decision on each product, by name; those on parts are not worked out."""
    graph = workspace.graph
    return plan(graph, observed, everything(graph), in_parts=False).steps


def stand_of(workspace: Workspace, observed: Observed, steps: Mapping[str, Decision]) -> Stand:
    """Return how a project stands, given the decisions on all products. Writes nothing."""
    return Stand(steps=steps, standings=standings_of(workspace, observed, steps))


def standings_of(
    workspace: Workspace, observed: Observed, steps: Mapping[str, Decision] | None = None
) -> Mapping[str, Standing]:
    """Return how each promise stands, by product or source; {} for a project without windows.

    `steps` are the decisions on all products, if they are known. Writes nothing.
    """
    graph = workspace.graph
    if not graph.has_promises:
        return {}
    if steps is None:
        steps = decisions(workspace, observed)
    progress = _progress(workspace, observed, steps)
    around = surroundings(graph, as_of(graph, observed), observed.now, progress)
    likely = outlook(workspace, around)
    if likely.usual:
        around = with_usual(around, likely.usual)
    return standings_in(around, likely.forecasts)


def _progress(workspace: Workspace, observed: Observed, steps: Mapping[str, Decision]) -> Progress:
    graph, facts = workspace.graph, observed.facts
    held = {n: f"the source cannot be read: {why}" for n, why in _missing(observed)}
    unfinished = workspace.catalog.unfinished(workspace.environment)
    held |= {name: UNFINISHED for name in unfinished if name in graph.products}
    held |= {
        name: held_back([r.text for r in step.verdict.results if r.status in _FAILING])
        for name, step in steps.items()
        if isinstance(step, Blocked)
    }
    held |= {
        name: f"waits for {step.waits_for}"
        for name, step in steps.items()
        if isinstance(step, AwaitApproval)
    }
    there = {name for name, state in observed.sources.items() if not state.missing}
    published = {name for name in graph.products if facts.pointer(name)}
    started = workspace.catalog.runs.holders(graph.products)
    return Progress(
        published=there | published,
        held=held,
        stale={name for name, step in steps.items() if isinstance(step, _WORK)},
        started=started.keys(),
    )


def _missing(observed: Observed) -> Iterator[tuple[str, str]]:
    """Yield the sources that cannot be read, each with why."""
    for name, state in observed.sources.items():
        if state.missing:
            yield name, state.missing.removeprefix(f"{name}: ")
