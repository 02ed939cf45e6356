"""Builds and publishes what is stale, in as many passes as are needed."""

import time
from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from assay.build.workspace import Workspace
from assay.decisions import Keep
from assay.errors import Conflict
from assay.events import Holder, Left, Outcome, Result, Settled, Waiting
from assay.plan.graph import Graph
from assay.plan.ladder import Plan, plan
from assay.plan.observed import Observed
from assay.plan.part_specs import check_range
from assay.plan.request import Request, RunOptions

_ATTEMPTS = 10
_POLL = 0.5  # seconds between checks whether other runs have ended


def execute(
    workspace: Workspace, request: Request, observed: Observed, *, options: RunOptions
) -> Outcome:
    """Build, check and publish what is stale, and record the promises that fell due by then."""
    outcome = _publish(workspace, request, observed, options=options)
    if workspace.graph.has_promises or workspace.catalog.watches(workspace.environment):
        from assay.build.promises import record_due  # a project without promises needs none of it

        record_due(workspace, observed)
    return outcome


def _publish(
    workspace: Workspace, request: Request, observed: Observed, *, options: RunOptions
) -> Outcome:
    """Build, check and publish the requested products that are stale; return their results.

    If another run publishes something that the plan depends on, the plan is made again; also,
    once, if a source file is replaced while it is read. Products that another run builds are left
    to it, or, with `wait`, decided on when it has ended. Ctrl-C (KeyboardInterrupt) interrupts
    running tasks; results that are finished are recorded for the next run.
    """
    project = workspace.project
    if project.now is None:
        project.set_clock(observed.now)
    workspace.recover()
    requested = [name for name in project.graph.order if name in request.products]
    results: dict[str, Result] = {}
    until, conflicts = time.monotonic() + options.wait, 0
    while True:
        workspace.remember(observed)
        steps = plan(project.graph, observed, request, in_parts=False)
        _check_parts_of_kept(project.graph, steps, request)
        if not steps.work:
            results.update(_unchanged(steps, results, workspace))
            return workspace.keep_unfinished(_outcome(results, requested))
        options = replace(options, wait=max(0.0, until - time.monotonic()))
        from assay.build.run import Run  # slow to import, and a no-op does not need it

        run = Run(workspace, request, observed, steps, options)
        try:
            finished = run.go()
        except Conflict:
            conflicts += 1
            if conflicts == _ATTEMPTS:
                raise
            observed = workspace.observe()
            continue
        finally:
            results.update(_news(run.results.results, results))
        if not run.needs_another_pass:
            break
        products = request.products - results.keys()
        request = replace(request, products=products, forced=frozenset(run.forced))
        options = replace(options, looks_again=options.looks_again and bool(run.held_up))
        if run.held_up and not _wait(workspace, run.held_up, until):
            finished = False
            results.update(_left(products, workspace))
            break
        observed = workspace.observe()
    spilled = run.tasks.workers.most_spilled
    outcome = replace(_outcome(results, requested), interrupted=not finished, spilled=spilled)
    return workspace.keep_unfinished(outcome)


def _check_parts_of_kept(graph: Graph, steps: Plan, request: Request) -> None:
    """Raise UsageError when a product that stays as it is has no part that was asked for."""
    if not request.part_range:
        return
    for name in request.products:
        if isinstance(step := steps.steps.get(name), Keep):
            keys = [part.key for part in step.version.parts]
            check_range(graph.products[name], keys, request.part_range)


def _outcome(results: Mapping[str, Result], requested: list[str]) -> Outcome:
    return Outcome(results={name: results[name] for name in requested})


def _news(results: Mapping[str, Result], before: Mapping[str, Result]) -> dict[str, Result]:
    """Return results that replace those of an earlier pass; `Keep` replaces none."""
    return {
        name: result
        for name, result in results.items()
        if name not in before or not isinstance(result.end, Keep)
    }


def _left(products: Iterable[str], workspace: Workspace) -> dict[str, Result]:
    """Report products that a stopped run did not finish; return their results."""
    results = {name: Result(product=name, end=Left()) for name in products}
    workspace.reporter(Settled(results=tuple(results.values())))
    return results


def _wait(workspace: Workspace, holders: Mapping[str, Holder], until: float) -> bool:
    """Wait until no other run builds these products, or until a moment; False after Ctrl-C."""
    workspace.reporter(Waiting(holders=holders))
    try:
        while workspace.catalog.runs.holders(holders) and time.monotonic() < until:
            time.sleep(_POLL)
    except KeyboardInterrupt:
        return False
    # A run that was killed holds nothing, but has left files.
    workspace.recover()
    return True


def _unchanged(
    steps: Plan, before: Mapping[str, Result], workspace: Workspace
) -> dict[str, Result]:
    """Report the products of a plan without work; return their results."""
    results = {name: Result(product=name, end=step) for name, step in steps.steps.items()}
    if results:
        workspace.reporter(Settled(results=tuple(results.values())))
    return _news(results, before)
