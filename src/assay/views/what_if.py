"""What a version that is held back would change downstream: found by building that on trial."""

from collections.abc import Iterator

from msgspec.structs import replace

from assay.build.compared_columns import DiffOptions
from assay.build.on_trial import TriedBelow, to_try, tried_below
from assay.build.workspace import Workspace
from assay.decisions import AwaitApproval, Blocked, Held, Keep, Publish
from assay.errors import AssayError
from assay.events import Failed, Result
from assay.facts import Status, Version
from assay.plan.observed import Observed
from assay.views.diff import Comparer
from assay.views.diff_sides import Side
from assay.views.diff_views import DiffView, EffectView

SOON = 10.0  # seconds of building that are spent without being asked
_ROWS = 3


def with_effects(workspace: Workspace, view: DiffView, *, asked: bool | None) -> DiffView:
    """Return a difference with what the later version would change in each product downstream.

    Only queries are tried, and only if that is fast; with `asked`, functions as well, and however
    long it takes. With `asked` false, nothing is. What goes wrong is said of the products.
    """
    if asked is False or not view.downstream:
        return view
    held = workspace.catalog.version(view.after.version)
    effects = _effects(workspace, workspace.observe(), held, asked=asked)
    return replace(view, effects=tuple(effects))


def _effects(
    workspace: Workspace, observed: Observed, held: Version, *, asked: bool | None
) -> Iterator[EffectView]:
    plan = to_try(workspace.graph, observed, held.product, functions=bool(asked))
    left_out = dict(plan.left_out)
    if not asked and plan.seconds > SOON:
        why = f"--downstream builds it (about {plan.seconds:,.0f} s in all)"
        left_out |= dict.fromkeys(plan.names, why)
    found: dict[str, EffectView] = {}
    if names := [name for name in plan.names if name not in left_out]:
        try:
            with tried_below(workspace, observed, held, names) as tried:
                found = {name: _effect(tried, observed, tried.results[name]) for name in names}
        except (AssayError, OSError) as error:
            why = error.what if isinstance(error, AssayError) else str(error.strerror)
            left_out |= dict.fromkeys(names, f"it could not be tried: {why}")
    for name in workspace.graph.order:
        if name in found:
            yield found[name]
        elif name in left_out:
            yield EffectView(product=name, result="not tried", why=left_out[name])


def _effect(tried: TriedBelow, observed: Observed, result: Result) -> EffectView:
    """Return what came of one product."""
    name, end = result.product, result.end
    pointer = observed.facts.pointer(name)
    match end:
        case Keep():
            pinned = "it is pinned" if end.pinned else ""
            return EffectView(product=name, result="the same", why=pinned)
        case Publish() | AwaitApproval() | Blocked():
            failed = [
                each.text
                for each in end.verdict.results
                if each.status in {Status.FAILED, Status.ERROR}
            ]
            outcome = "would be held back" if isinstance(end, Blocked) else "would change"
            if pointer is None:
                return EffectView(product=name, result=outcome, why="it is not published yet")
            difference = _difference(tried, observed.facts.version(pointer.version), end.version)
            if outcome == "would change" and not (difference.differs or difference.notes):
                return EffectView(product=name, result="the same")
            return EffectView(
                product=name, result=outcome, why="; ".join(failed), difference=difference
            )
        case Failed(error=error):
            return EffectView(product=name, result="would fail", why=error)
        case Held(by=by):
            return EffectView(product=name, result="would wait", why="; ".join(by.values()))
    return EffectView(product=name, result="not tried", why=type(end).__name__.lower())


def _difference(tried: TriedBelow, before: Version, after: Version) -> DiffView:
    sides = Side("published", before), Side("on trial", after)
    return Comparer(tried.workspace).compare(after.product, *sides, DiffOptions(limit=_ROWS))
