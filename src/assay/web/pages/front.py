"""The front page: what is wrong now, what is at risk today, what changed; and the list of products."""

from collections.abc import Sequence
from datetime import timedelta
from urllib.parse import urlencode

from assay.catalog import Catalog
from assay.catalog.releases import releases_between
from assay.model import Product, Source
from assay.plan.promise_state import State
from assay.views.now import NowView, Tone
from assay.views.view import View
from assay.web.look import Look
from assay.web.pages.product import now_view
from assay.web.rendering import Page

_WRONG = 20  # products that the front page tells about
_RELEASES = 15
_MOVES = 6  # products of a release
_INCIDENTS = 10
ON_A_PAGE = 100


class Listed(View, frozen=True, kw_only=True):
    """A product or source in a list; `label` says which of both, of what is no plain product."""

    kind: str
    label: str
    name: str
    purpose: str
    owner: str
    state: str
    tone: Tone
    as_of: str
    promise: str


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


def listed_as(look: Look, declared: Product | Source) -> Listed:
    """Return a product or source as a list has it."""
    promise = look.promises.get(declared.name)
    if isinstance(declared, Source):
        broken = promise is not None and promise.is_broken
        missing = look.sources[declared.name].missing
        return Listed(
            kind="source",
            label=_files_of(look, declared.name) or "source",
            name=declared.name,
            purpose=declared.purpose,
            owner=declared.owner,
            state=missing or (str(promise.state) if promise else "there"),
            tone=Tone.BAD if missing or broken else Tone.GOOD,
            as_of=_day(look, declared.name),
            promise=str(declared.freshness or ""),
        )
    status = look.statuses[declared.name]
    return Listed(
        kind="product",
        label="source" if declared.files else "",
        name=declared.name,
        purpose=declared.purpose,
        owner=declared.owner,
        state=status.state,
        tone=look.tones[declared.name],
        as_of=_day(look, declared.name),
        promise=status.freshness,
    )


def _files_of(look: Look, source: str) -> str:
    """Return what a source is to one whose rows are stored; '' for any other."""
    name = stored_as(look, source)
    return f"files of {name}" if name else ""


def stored_as(look: Look, source: str) -> str:
    """Return the product that stores the rows of a source, where it is judged; '' for none."""
    below = look.graph.below.get(source, ())
    return next((name for name in below if look.graph.products[name].files == source), "")


def _day(look: Look, name: str) -> str:
    reached = look.reaches.get(name)
    return f"{reached:%Y-%m-%d}" if reached else ""


# ---------------------------------------------------------------------------------- lists, search


class Listing(View, frozen=True, kw_only=True):
    """What a list shows: its title, its rows of this page, and the way to the pages beside it."""

    title: str
    rows: tuple[Listed, ...]
    count: int
    first: int
    before: str
    after: str


def listing(
    look: Look, title: str, chosen: Sequence[Product | Source], *, start: int = 0, query: str = ""
) -> Listing:
    """Return a page of a list, from the row `start` on."""
    start = max(0, min(start, max(0, len(chosen) - 1)))
    rows = [listed_as(look, each) for each in chosen[start : start + ON_A_PAGE]]

    def address(first: int) -> str:
        return "?" + urlencode({"q": query, "start": first} if query else {"start": first})

    return Listing(
        title=title,
        rows=tuple(rows),
        count=len(chosen),
        first=start + 1,
        before=address(max(0, start - ON_A_PAGE)) if start else "",
        after=address(start + ON_A_PAGE) if start + ON_A_PAGE < len(chosen) else "",
    )


def found(look: Look, query: str) -> list[Product | Source]:
    """Return what matches all words of a query: in names first, then in purposes, owners, readers."""
    words = query.lower().split()
    by_name, by_text = [], []
    for each in look.all_declared():
        name = each.name.lower()
        if all(word in name for word in words):
            by_name.append(each)
            continue
        consumers = each.consumers if isinstance(each, Product) else ()
        text = " ".join(
            [name, each.purpose, each.owner, *(f"{c.name} {c.decides}" for c in consumers)]
        ).lower()
        if all(word in text for word in words):
            by_text.append(each)
    return [*by_name, *by_text]


def search_page(look: Look, query: str, start: int = 0) -> Page:
    """Return what was found; everything, for an empty query."""
    chosen = found(look, query)
    title = f"Found for “{query}”" if query.strip() else "All products and sources"
    return Page(
        path="search",
        title=title,
        template="list.html",
        values={"listing": listing(look, title, chosen, start=start, query=query), "query": query},
    )


def list_page(look: Look, number: int = 0) -> Page:
    """Return a page of the list of all products and sources; files are numbered."""
    chosen = list(look.all_declared())
    title = "All products and sources"
    return Page(
        path="products" if number == 0 else f"products-{number + 1}",
        title=title,
        template="list.html",
        values={
            "listing": listing(look, title, chosen, start=number * ON_A_PAGE),
            "query": "",
        },
    )
