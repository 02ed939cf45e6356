"""Lists of products and sources: all of them, and those that a text, owner, domain and state leave."""

from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import urlencode

from assay.model import Product, Source
from assay.views.now import Tone
from assay.views.view import View
from assay.web.look import Look
from assay.web.rendering import Page

ON_A_PAGE = 100
_CHOICES = 200  # owners, domains and states that can be chosen from a list
_LONGEST = 200  # characters of a filter
_ALL = "All products and sources"


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


class Listing(View, frozen=True, kw_only=True):
    """What a list shows: its title, its rows of this page, and the way to the pages beside it."""

    title: str
    rows: tuple[Listed, ...]
    count: int
    first: int
    before: str
    after: str


def listing(
    look: Look,
    title: str,
    chosen: Sequence[Product | Source],
    *,
    start: int = 0,
    given: Mapping[str, str] | None = None,
) -> Listing:
    """Return a page of a list, from the row `start` on; `given` are the other parts of the address."""
    start = max(0, min(start, max(0, len(chosen) - 1)))
    rows = [listed_as(look, each) for each in chosen[start : start + ON_A_PAGE]]

    def address(first: int) -> str:
        return "?" + urlencode({**(given or {}), "start": first})

    return Listing(
        title=title,
        rows=tuple(rows),
        count=len(chosen),
        first=start + 1,
        before=address(max(0, start - ON_A_PAGE)) if start else "",
        after=address(start + ON_A_PAGE) if start + ON_A_PAGE < len(chosen) else "",
    )


class Filters(View, frozen=True, kw_only=True):
    """What a list is narrowed to: words (`q`), and an owner, a domain and a state as a whole; '' for any."""

    q: str = ""
    owner: str = ""
    domain: str = ""
    state: str = ""

    @property
    def given(self) -> dict[str, str]:
        """The filters that are not empty, as an address has them."""
        return {name: str(value) for name, value in self.as_json().items()}


def filters_of(query: Mapping[str, str]) -> Filters:
    """Return the filters that an address has."""

    def given(name: str) -> str:
        return query.get(name, "").strip()[:_LONGEST]

    return Filters(q=given("q"), owner=given("owner"), domain=given("domain"), state=given("state"))


class Choices(View, frozen=True, kw_only=True):
    """The first owners, domains and states that there are, sorted."""

    owners: tuple[str, ...]
    domains: tuple[str, ...]
    states: tuple[str, ...]


def choices_of(look: Look, filters: Filters) -> Choices:
    """Return what can be chosen; what is chosen is among it, also if there is no such thing."""
    owners, domains, states = set[str](), set[str](), set[str]()
    for each in look.all_declared():
        owners.add(each.owner)
        domains.add(each.domain)
        states.update(states_of(look, each))
    return Choices(
        owners=_first(owners, filters.owner),
        domains=_first(domains, filters.domain),
        states=_first(states, filters.state),
    )


def _first(names: Iterable[str], chosen: str) -> tuple[str, ...]:
    shown = sorted({*names} - {""})[:_CHOICES]
    return tuple(sorted({*shown, chosen} - {""}))


def states_of(look: Look, declared: Product | Source) -> list[str]:
    """Return the states of a product or source, each as a list shows it: "stale, missed" are two."""
    if isinstance(declared, Product):
        return [_plain(word) for word in look.statuses[declared.name].state.split(", ")]
    if look.sources[declared.name].missing:
        return ["missing"]
    promise = look.promises.get(declared.name)
    return [str(promise.state) if promise else "there"]


def _plain(state: str) -> str:
    """Return a state without the number of parts that it is about."""
    return "parts held back" if state.endswith("held back") and state[:1].isdigit() else state


def found(look: Look, filters: Filters) -> list[Product | Source]:
    """Return what all filters leave: what matches in names first, then in purposes, owners, readers."""
    words = filters.q.lower().split()
    by_name, by_text = [], []
    for each in look.all_declared():
        if filters.owner and each.owner != filters.owner:
            continue
        if filters.domain and each.domain != filters.domain:
            continue
        if filters.state and filters.state not in states_of(look, each):
            continue
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


def search_page(look: Look, filters: Filters, start: int = 0, path: str = "search") -> Page:
    """Return what the filters leave; everything, without one."""
    chosen = found(look, filters)
    title = f"Found for “{filters.q}”" if filters.q else _ALL
    return Page(
        path=path,
        title=title,
        template="list.html",
        values={
            "listing": listing(look, title, chosen, start=start, given=filters.given),
            "filters": filters,
            "choices": choices_of(look, filters),
        },
    )


def list_page(look: Look, number: int = 0) -> Page:
    """Return a page of the list of all products and sources; files are numbered."""
    chosen = list(look.all_declared())
    return Page(
        path="products" if number == 0 else f"products-{number + 1}",
        title=_ALL,
        template="list.html",
        values={
            "listing": listing(look, _ALL, chosen, start=number * ON_A_PAGE),
            "filters": None,
        },
    )
