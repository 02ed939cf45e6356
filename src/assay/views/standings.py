"""The standings of promises as values to show."""

from collections.abc import Mapping
from datetime import datetime

from assay.plan.shares import Tally, is_under
from assay.plan.standing import Standing
from assay.plan.windows import Promise
from assay.views.freshness import CauseView, FreshnessView


def freshness_views(
    standings: Mapping[str, Standing],
    sources: Mapping[str, object],
    tallies: Mapping[str, Tally],
    now: datetime,
) -> dict[str, FreshnessView]:
    """Return the views of standings; `tallies` are those of the current quarter."""
    return {
        name: freshness_view(standing, tallies.get(name, Tally()), now, is_source=name in sources)
        for name, standing in standings.items()
    }


def freshness_view(
    standing: Standing, tally: Tally, now: datetime, *, is_source: bool = False
) -> FreshnessView:
    """Return the view of a standing."""
    freshness, promise = standing.window.freshness, standing.promise
    left = standing.time_left
    return FreshnessView(
        name=standing.name,
        is_source=is_source,
        state=standing.state,
        freshness=str(freshness),
        tz=freshness.tz,
        inherited_from=standing.inherited_from,
        as_of=standing.as_of,
        due=promise.due if promise else None,
        reach=_reach(promise),
        seconds_left=None if left is None else left.total_seconds(),
        start_by=standing.start_by,
        likely_at=standing.likely_at,
        probability=standing.probability,
        next_due=standing.next.due if standing.next else None,
        kept=tally.kept,
        promised=tally.promised,
        at_least=freshness.at_least,
        under_at_least=not standing.inherited_from and is_under(standing.window, tally, now),
        causes=tuple(CauseView(name=cause.name, text=cause.text) for cause in standing.causes),
        problem=standing.problem,
    )


def _reach(promise: Promise | None) -> str:
    return promise.reach.isoformat() if promise else ""
