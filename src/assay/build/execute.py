"""Makes the world agree with the declarations, in as many passes as that takes."""

import time
from collections.abc import Mapping

from msgspec.structs import replace

from assay.build.workspace import Workspace
from assay.decisions import Keep
from assay.errors import Conflict
from assay.events import Holder, Left, Outcome, Result, Settled, Waiting
from assay.plan.ladder import Plan, plan
from assay.plan.observed import Observed
from assay.plan.request import Request, RunOptions
from assay.store.spill import forget_spills

_ATTEMPTS = 10
_LOOK = 0.5  # seconds between looks for whether other runs are done


def execute(
    workspace: Workspace, request: Request, observed: Observed, *, options: RunOptions
) -> Outcome:
    """Build, judge and publish what is requested and stale, as observed; return how every product came out.

    What another run publishes meanwhile is observed and decided on again; so is, once, a source of which a file was
    replaced while it was read. What another run builds is left to it, or waited for and decided on then. Ctrl-C
    (KeyboardInterrupt) stops after what is running; what is finished by then is kept for the next run.
    """
    project, catalog = workspace.project, workspace.catalog
    if project.now is None:
        project.set_clock(observed.now)
    forget_spills(project.config, catalog.runs.recover(workspace.storage.remove))
    requested = [name for name in project.graph.order if name in request.products]
    results: dict[str, Result] = {}
    until, conflicts = time.monotonic() + options.wait, 0
    while True:
        workspace.remember(observed)
        steps = plan(project.graph, observed, request, in_parts=False)
        if not steps.work:
            results.update(_unchanged(steps, results, workspace))
            return workspace.keep_unfinished(_outcome(results, requested))
        options = replace(options, wait=max(0.0, until - time.monotonic()))
        from assay.build.run import Run  # builds and judges: nothing to do needs none of it

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
        if run.comes_back:
            products = request.products - results.keys()
            request = replace(request, products=products, forced=frozenset(run.forced))
            options = replace(options, looks_again=options.looks_again and bool(run.held_up))
            if not run.held_up or _wait(workspace, run.held_up, until):
                observed = workspace.observe()
                continue
            finished = False
            left = {name: Result(product=name, end=Left()) for name in products}
            workspace.reporter(Settled(results=tuple(left.values())))
            results |= left
        outcome = _outcome(results, requested)
        return workspace.keep_unfinished(
            replace(outcome, interrupted=not finished, spilled=run.tasks.workers.most_spilled)
        )


def _outcome(results: Mapping[str, Result], requested: list[str]) -> Outcome:
    return Outcome(results={name: results[name] for name in requested})


def _news(results: Mapping[str, Result], before: Mapping[str, Result]) -> dict[str, Result]:
    """Return the results that say more than those of an earlier pass: that it is kept now says less."""
    return {
        name: result
        for name, result in results.items()
        if name not in before or not isinstance(result.end, Keep)
    }


def _wait(workspace: Workspace, holders: Mapping[str, Holder], until: float) -> bool:
    """Wait until no other run builds any of these products, at most until then; False when told to stop."""
    workspace.reporter(Waiting(holders=holders))
    try:
        while workspace.catalog.runs.holders(holders) and time.monotonic() < until:
            time.sleep(_LOOK)
            workspace.catalog.runs.recover(workspace.storage.remove)
    except KeyboardInterrupt:
        return False
    return True


def _unchanged(
    steps: Plan, before: Mapping[str, Result], workspace: Workspace
) -> dict[str, Result]:
    """Report the products for which there is nothing to do; return their results."""
    results = {name: Result(product=name, end=step) for name, step in steps.steps.items()}
    if results:
        workspace.reporter(Settled(results=tuple(results.values())))
    return _news(results, before)
