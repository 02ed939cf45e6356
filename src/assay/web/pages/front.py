"""The front page: what is wrong now, what is at risk today, what changed since yesterday."""

from datetime import timedelta

from assay.catalog import Catalog
from assay.catalog.releases import releases_between
from assay.plan.promise_state import State
from assay.views.now import NowView, Tone
from assay.web.look import Look
from assay.web.pages.lists import listed_as
from assay.web.pages.product import now_view
from assay.web.rendering import Page

_WRONG = 20  # products that the front page tells about
_RELEASES = 15
_MOVES = 6  # products of a release
_INCIDENTS = 10


def front_page(look: Look, catalog: Catalog) -> Page:
    """Return the front page."""
    wrong = [name for name in look.graph.order if look.tones[name] is Tone.BAD]
    roots = [name for name in wrong if look.statuses[name].plan.result != "held"]
    shown: list[NowView] = [now_view(look, catalog, name) for name in roots[:_WRONG]]
    listed = (listed_as(look, source) for source in look.graph.sources.values())
    sources = [source for source in listed if source.tone is Tone.BAD]
    risk = [
        promise
        for promise in look.promises.values()
        if not promise.inherited_from and promise.state in {State.AT_RISK, State.DUE}
    ]
    since = look.now - timedelta(days=1)
    opened = [view for view in look.incidents if not view.closed]
    return Page(
        path="index",
        title=look.project,
        template="front.html",
        values={
            "wrong": shown,
            "sources": sources[:_WRONG],
            "more_sources": max(0, len(sources) - _WRONG),
            "waiting": len(wrong) - len(roots),
            "more_wrong": len(roots) - len(shown),
            "at_risk": sorted(risk, key=lambda promise: str(promise.due))[:_WRONG],
            "more_at_risk": max(0, len(risk) - _WRONG),
            "releases": releases_between(
                catalog.database, look.environment, since, look.now, _RELEASES, moves=_MOVES
            ),
            "open": opened[:_INCIDENTS],
            "more_open": max(0, len(opened) - _INCIDENTS),
            "products": len(look.graph.products),
            "good": sum(tone is Tone.GOOD for tone in look.tones.values()),
            "domains": sorted({each.domain for each in look.graph.products.values()}),
        },
    )
