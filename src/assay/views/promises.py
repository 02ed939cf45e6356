"""How promises stand, for everything that shows it."""

from collections.abc import Mapping

from assay.build.standings import standings_of
from assay.build.workspace import Workspace
from assay.decisions import Decision
from assay.plan.observed import Observed
from assay.plan.outcomes import start_of_quarter
from assay.views.freshness import FreshnessView
from assay.views.standings import freshness_views


def promises_of(
    workspace: Workspace, observed: Observed, steps: Mapping[str, Decision] | None = None
) -> Mapping[str, FreshnessView]:
    """Return how promises stand, by product or source; `steps` are all decisions, if known."""
    standings = standings_of(workspace, observed, steps)
    quarter = start_of_quarter(observed.now)
    tallies = workspace.catalog.promises.tallies(workspace.environment, quarter, observed.now)
    return freshness_views(standings, workspace.graph.sources, tallies, observed.now)
