"""The policies of a project that are not kept: those of the settings, and functions of its own."""

from collections.abc import Collection
from datetime import UTC

from assay.build.workspace import Workspace
from assay.declare.own_policies import run_own_policies
from assay.plan.policies import Broken, broken


def broken_policies(workspace: Workspace, names: Collection[str]) -> list[Broken]:
    """Return what is not kept by these products and the sources that they read.

    When they are all products, also by sources that none reads. Imports the project's own policies,
    and no definitions. Raises UsageError for a selector that names nothing, or a policy that fails.
    """
    graph, policies = workspace.graph, workspace.config.policy
    read = {read for name in names for read in graph.products[name].reads}
    is_all = graph.products.keys() <= set(names)
    looked_at = {*names, *(graph.sources if is_all else read & graph.sources.keys())}
    found = list(broken(graph, policies, workspace.clock().astimezone(UTC)))
    if policies.own:
        found += run_own_policies(workspace.config, graph)
    return [each for each in found if each.finding.name in looked_at]
