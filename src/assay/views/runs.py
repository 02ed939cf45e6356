"""The runs of an environment: when each was, what was asked, how it came out, how long it took."""

from collections.abc import Mapping
from datetime import datetime

from assay.catalog import Catalog
from assay.facts import RecordedRun
from assay.views.view import View


class RunView(View, frozen=True, kw_only=True):
    """One run that had something to do.

    `seconds`, `ended_at` and `counts` are not known of a run that is in progress or was killed;
    what it has built and published is. `names` has the first products of each result.
    """

    run: str
    state: str
    asked: str
    started_at: datetime
    ended_at: datetime | None
    seconds: float | None
    built: int
    published: int
    counts: Mapping[str, int]
    names: Mapping[str, tuple[str, ...]]
    host: str
    pid: int
    who: str


def runs_of(catalog: Catalog, environment: str, limit: int) -> list[RunView]:
    """Return the last runs of an environment, newest first, at most `limit`."""
    return [run_view(catalog, run) for run in catalog.runs.listed(environment, limit)]


def came_out(view: RunView) -> str:
    """Return how a run came out, in words: "3 built, 2 published, 1 held back"."""
    counts = {"built": view.built, "published": view.published, **view.counts}
    order = ("built", "published", "held back", "awaiting approval", "held", "failed")
    kinds = [*order, *sorted(counts.keys() - {*order})]
    return ", ".join(f"{counts[kind]:,} {kind}" for kind in kinds if counts.get(kind))


def run_view(catalog: Catalog, run: RecordedRun) -> RunView:
    """Return the view of a recorded run."""
    summary = run.summary
    if summary:
        built, published = summary.built, summary.counts.get("published", 0)
    else:
        built, published = catalog.runs.work_of(run.id)
    return RunView(
        run=run.id,
        state=run.state,
        asked=run.asked,
        started_at=run.started_at,
        ended_at=summary.at if summary else None,
        seconds=summary.seconds if summary else None,
        built=built,
        published=published,
        counts=summary.counts if summary else {},
        names=summary.names if summary else {},
        host=run.host,
        pid=run.pid,
        who=run.who,
    )
