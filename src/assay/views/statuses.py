"""The status of many products at once, with what is wrong with their inputs."""

from collections.abc import Mapping

from assay.build.mixtures import mixtures_by_pins
from assay.build.workspace import Workspace
from assay.decisions import Decision
from assay.plan.as_of import as_of
from assay.plan.observed import Observed
from assay.views.freshness import FreshnessView, awaited_by, late_above
from assay.views.products import ProductViews, undeclared_column
from assay.views.results import UndeclaredColumnView
from assay.views.status import StatusView, status_of
from assay.views.words.results import listed


def statuses(
    workspace: Workspace,
    observed: Observed,
    steps: Mapping[str, Decision],
    promises: Mapping[str, FreshnessView],
) -> list[StatusView]:
    """Return the status of each product, with notes about its inputs."""
    graph, catalog, environment = workspace.graph, workspace.catalog, workspace.environment
    views = ProductViews(graph, observed.facts, as_of(graph, observed), observed.now)
    now = workspace.clock()
    held_inputs = views.with_held_inputs(graph.products)
    mixtures = mixtures_by_pins(catalog, graph, environment)
    late_inputs = late_above(graph, promises)
    unfinished = set(catalog.unfinished(environment))
    spent = spent_budgets(workspace)
    new_columns = _new_columns(workspace)
    found = []
    for name, decision in steps.items():
        notes = [
            f"parts of {held_input} that it depends on are held back"
            for held_input in held_inputs.get(name, ())
        ]
        notes += map(str, mixtures.get(name, ()))
        notes += [spent[name]] if name in spent else []
        notes += [
            f"{read.removesuffix('__files')} does not declare {new_columns[read]}"
            for read in dict.fromkeys(graph.products[name].reads)
            if read in new_columns
        ]
        status = status_of(
            graph.products[name],
            views.plan(name, decision),
            views.readers(name),
            now,
            notes=notes,
            unfinished=name in unfinished,
            promise=promises.get(name) or promises.get(graph.products[name].files),
            late_inputs=late_inputs.get(name, ()),
            awaited_by=awaited_by(promises.get(name), promises),
        )
        found.append(status)
    return found


def _new_columns(workspace: Workspace) -> Mapping[str, str]:
    """Return the columns that appeared in files of sources that do not declare them, in words."""
    if not workspace.catalog.undeclared.any():
        return {}
    from assay.build.appeared import appeared, levels_of  # most projects have none

    graph = workspace.graph
    levels = levels_of(graph, workspace.config.policy)
    found: dict[str, list[UndeclaredColumnView]] = {}
    names = [name for name in graph.sources if levels.get(name) != "off"]
    for column in appeared(workspace.catalog, graph.sources, names):
        found.setdefault(column.source, []).append(undeclared_column(column))
    return {source: listed(columns) for source, columns in found.items()}


def spent_budgets(workspace: Workspace) -> Mapping[str, str]:
    """Return the products whose budget is spent, each with how much of it is used, in words."""
    if not workspace.graph.has_budgets:
        return {}
    from assay.build.budgets import uses_of  # a project without budgets needs none of it

    uses = uses_of(workspace)
    return {name: f"budget spent: {use}" for name, use in uses.items() if use.is_spent}
