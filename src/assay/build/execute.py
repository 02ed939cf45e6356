"""Makes the world agree with the declarations, in as many passes as that takes."""

import time
from collections.abc import Mapping

from msgspec.structs import replace

from assay.build.world import World, kept, look_around, remember
from assay.decisions import Keep
from assay.declare.project import Project
from assay.errors import Conflict
from assay.events import Holder, Left, Outcome, Reporter, Result, Settled, Waiting
from assay.plan.ladder import Observed, Plan, Request, RunOptions, plan
from assay.store.spill import forget_spills

_ATTEMPTS = 10
_LOOK = 0.5  # seconds between looks for whether other runs are done


def execute(
    project: Project, request: Request, world: World, observed: Observed, *, manner: RunOptions
) -> Outcome:
    """Build, judge and publish what is asked for and stale, as observed; returns how every product came out.

    What another run publishes meanwhile is observed and decided on again; so is, once, a source of which a file was
    replaced while it was read. What another run builds is left to it, or waited for and decided on then. Ctrl-C
    (KeyboardInterrupt) stops after what is running; what is done by then is kept for the next run.
    """
    if project.now is None:
        project.set_clock(observed.now)
    forget_spills(project.config, world.catalog.recover(world.storage.remove))
    results: dict[str, Result] = {}
    until, attempt, environment = time.monotonic() + manner.wait, 0, observed.environment
    asked = [name for name in project.graph.order if name in request.products]
    while True:
        remember(observed, world)
        steps = plan(project.graph, observed, request, in_parts=False)
        if not steps.work:
            results.update(_as_it_is(steps, results, world.reporter))
            return kept(Outcome(results={n: results[n] for n in asked}), world, environment)
        manner = replace(manner, wait=max(0.0, until - time.monotonic()))
        from assay.build.run import (
            Run,  # and all that builds and judges: nothing to do is soonest done
        )

        run = Run(project, request, world, observed=observed, steps=steps, manner=manner)
        try:
            run.go()
        except Conflict:
            attempt += 1
            if attempt == _ATTEMPTS:
                raise
            observed = look_around(project, world, environment)
            continue
        finally:
            done = {
                n: r
                for n, r in run.results.items()
                if n not in results or not isinstance(r.end, Keep)
            }
            results.update(done)
        stopped = run.interrupted
        if run.comes_back:
            products = request.products - results.keys()
            request = replace(request, products=products, forced=frozenset(run.forced))
            manner = replace(manner, looks_again=manner.looks_again and bool(run.held_up))
            if not run.held_up or _wait(world, run.held_up, until):
                observed = look_around(project, world, environment)
                continue
            stopped, left = True, {name: Result(product=name, end=Left()) for name in products}
            world.reporter(Settled(results=tuple(left.values())))
            results |= left
        told = {n: results[n] for n in asked}
        return kept(
            Outcome(results=told, interrupted=stopped, spilled=run.spilled), world, environment
        )


def _wait(world: World, holders: Mapping[str, Holder], until: float) -> bool:
    """Wait until no other run builds any of these products, at most until then; False when told to stop."""
    world.reporter(Waiting(holders=holders))
    try:
        while world.catalog.holders(holders) and time.monotonic() < until:
            time.sleep(_LOOK)
            world.catalog.recover(world.storage.remove)
    except KeyboardInterrupt:
        return False
    return True


def _as_it_is(steps: Plan, before: Mapping[str, Result], reporter: Reporter) -> dict[str, Result]:
    """Tell of products for which nothing is to be done; what came of one in an attempt `before` is told by that."""
    results = {name: Result(product=name, end=decision) for name, decision in steps.steps.items()}
    if results:
        reporter(Settled(results=tuple(results.values())))
    return {n: r for n, r in results.items() if n not in before or not isinstance(r.end, Keep)}
