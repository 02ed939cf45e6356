"""Tells people about incidents after a run or a turn; nothing that goes wrong here fails a run."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from msgspec.structs import replace

from assay.build.budgets import uses_of
from assay.build.standings import Stand, decisions, stand_of
from assay.build.workspace import Workspace
from assay.decisions import Decision, Keep, Publish
from assay.errors import AssayError
from assay.events import Busy, Failed, Left, Outcome, Result, Unfinished, held_parts
from assay.facts import Pointer, Version
from assay.plan.causes import Present, causes
from assay.plan.incidents import Incident, Notice, Step, steps
from assay.plan.observed import Observed
from assay.plan.outcomes import start_of_quarter
from assay.plan.overload import together
from assay.plan.routing import notices
from assay.plan.shares import is_under
from assay.plan.windows import windows_of
from assay.views.products import ProductViews
from assay.views.words.figures import figures_lines
from assay.views.words.incidents import message_of
from assay.watch.notify import deliver, routes_of

Note = Callable[[str], None]


def tell(
    workspace: Workspace,
    observed: Observed,
    outcome: Outcome | None,
    stand: Stand | None = None,
    /,
    *,
    note: Note,
) -> None:
    """Record what is wrong now and what is over, and tell people what is new about that.

    `observed` is what a run began with; its outcome is None when nothing was run. With `stand`,
    both are as of after the run, and nothing is worked out again. Problems are passed to `note`,
    each as one line. After a run that was stopped, the next one tells.
    """
    if outcome and outcome.interrupted:
        return
    try:
        record(workspace, observed, outcome, stand)
        for delivery in deliver(workspace):
            if delivery.error:
                note(f"{delivery.route} was not told, and will be later: {delivery.error}")
    except AssayError as error:
        note(f"people could not be told of incidents: {error}")
    except Exception as error:
        note(f"people could not be told of incidents: {type(error).__name__}: {error}")


def record(
    workspace: Workspace,
    observed: Observed,
    outcome: Outcome | None = None,
    stand: Stand | None = None,
) -> Sequence[Step]:
    """Open, change and close incidents as of now, and queue the messages about that."""
    graph, environment, now = workspace.graph, workspace.environment, workspace.clock()
    if stand is None:
        facts = observed.facts
        if outcome is None or not outcome.changed_nothing:
            facts = workspace.catalog.facts(environment, workspace.storage.holds)
        observed = replace(observed, facts=facts, now=now)
        stand = stand_of(workspace, observed, _decided(workspace, observed, outcome))
    facts, results = observed.facts, results_of(outcome, stand.steps)
    views = ProductViews(graph, facts, now=now)
    present = Present(
        graph=graph,
        now=now,
        results=results,
        missing={name: s.missing for name, s in observed.sources.items() if s.missing},
        standings=stand.standings,
        rules_of_parts=_rules_of_parts(views, results),
        under=_under(workspace, now),
        spent=_spent(workspace),
    )
    routes = routes_of(workspace)

    def published(name: str) -> tuple[Pointer, Version] | None:
        pointer = facts.pointer(name)
        return (pointer, facts.version(pointer.version)) if pointer else None

    def changes(name: str) -> Sequence[str]:
        view = views.changes(name, results[name].end) if name in results else None
        return figures_lines(name, view, "would change") if view else ()

    def decide(incidents: Sequence[Incident]) -> Sequence[Step]:
        noted = [incident.cause for incident in incidents]
        return steps(incidents, together(causes(present, noted), noted), graph, now)

    def write(step: Step, told_before: Sequence[str]) -> Sequence[Notice]:
        message = message_of(step, graph, published, environment, changes)
        return notices(step, graph, routes, told_before, message=message, now=now)

    changed = list(workspace.catalog.incidents.change(environment, decide, write))
    if (spent := _spent(workspace)) != present.spent:  # by what was opened just now
        present = replace(present, spent=spent)
        changed += workspace.catalog.incidents.change(environment, decide, write)
    return changed


def _decided(
    workspace: Workspace, observed: Observed, outcome: Outcome | None
) -> Mapping[str, Decision]:
    """Return the decisions on products after a run: what it published is kept.

    They are planned only when the run was not about all products.
    """
    ends = {name: result.end for name, result in (outcome.results if outcome else {}).items()}
    decided = {
        name: Keep(version=end.version) if isinstance(end, Publish) else end
        for name, end in ends.items()
        if not isinstance(end, Failed | Left | Busy | Unfinished)
    }
    if workspace.graph.products.keys() <= ends.keys():
        return decided
    return {**decisions(workspace, observed), **decided}


def _under(workspace: Workspace, now: datetime) -> Mapping[str, str]:
    """Return what is late so often that its `at_least` cannot be met in this quarter any more."""
    windows = {
        n: window for n, window in windows_of(workspace.graph).items() if window.freshness.at_least
    }
    if not windows:
        return {}
    quarter = start_of_quarter(now)
    tallies = workspace.catalog.promises.tallies(workspace.environment, quarter, now)
    return {
        name: f"{tally}, under the {windows[name].freshness.at_least} promised"
        for name, tally in tallies.items()
        if name in windows and is_under(windows[name], tally, now)
    }


def _spent(workspace: Workspace) -> Mapping[str, str]:
    """Return the products whose budget is spent, each with how much of it is used."""
    return {name: str(use) for name, use in uses_of(workspace).items() if use.is_spent}


def _rules_of_parts(
    views: ProductViews, results: Mapping[str, Result]
) -> Mapping[str, tuple[str, ...]]:
    """Return the rules for which parts are held back, by product."""
    return {
        name: tuple(
            rule.text for rule in views.plan(name, result.end, result.partial_version).held_by or ()
        )
        for name, result in results.items()
        if held_parts(result.end)
    }


def results_of(outcome: Outcome | None, steps: Mapping[str, Decision]) -> Mapping[str, Result]:
    """Return how every product stands: as a run left it, or else as the ladder says.

    What the ladder would still publish is not known to be fine before it is.
    """
    results = dict(outcome.results) if outcome else {}
    for name, decision in steps.items():
        if name not in results and not isinstance(decision, Publish):
            results[name] = Result(product=name, end=decision)
    return results
