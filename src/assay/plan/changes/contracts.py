"""All changes between two graphs of declarations."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import date

from msgspec import Struct
from msgspec.structs import replace

from assay.model import Column, Contract, Kind, Product, Source
from assay.plan.changes.columns import column_changes
from assay.plan.changes.deprecations import (
    after_notice,
    deprecation_changes,
    version_changes,
)
from assay.plan.changes.fields import ASPECTS
from assay.plan.changes.freshness import freshness_changes
from assay.plan.changes.measures import SameQuery
from assay.plan.changes.products import key_changes, product_changes, source_changes
from assay.plan.changes.renames import renamed_columns, renamed_products, renamed_sources
from assay.plan.changes.rules import compared, rule_changes
from assay.plan.changes.values import Change, Moved, Role, Way
from assay.plan.changes.waivers import waiver_changes
from assay.plan.graph import Graph
from assay.sensitive import secret

Columns = Callable[[str], tuple[Column, ...]]
Origin = Callable[[str, str, str, str], bool]
_OPPOSITE = {Way.WEAKER: Way.STRONGER, Way.STRONGER: Way.WEAKER}


def _same_words(one: str, other: str) -> bool:
    return one.split() == other.split()


def _unknown_origin(old: str, old_column: str, new: str, new_column: str) -> bool:
    return False


class Revision(Struct, frozen=True, kw_only=True):
    """One side of a comparison: the declarations, and what is known besides.

    - `columns`: the columns of a product by its full name, where its contract names none.
    - `aspects`: the only aspects that this side knows; None for all of them.
    """

    graph: Graph
    columns: Columns = lambda _: ()
    aspects: Collection[str] | None = None

    def columns_of(self, product: Product) -> tuple[Column, ...]:
        """Return the columns that readers of a product see, as far as they are known."""
        return product.contract.columns or self.columns(product.name)


class Known(Struct, frozen=True, kw_only=True):
    """What comparing asks: whether two texts are the same query, two columns of one origin; the day."""

    same_query: SameQuery = _same_words
    today: date = date.min
    same_origin: Origin = _unknown_origin


def contract_changes(before: Revision, now: Revision, known: Known | None = None) -> list[Change]:
    """Return what changed, in the order of names; nothing when both sides are equal."""
    known = known or Known()
    changes = [*_products(before, now, known), *_sources(before, now)]
    if before.aspects is not None:
        changes = [change for change in changes if change.aspect in before.aspects]
    return sorted(changes, key=lambda change: change.name)


def renamed_of(before: Revision, now: Revision) -> dict[str, str]:
    """Return the new name of each renamed product, by its old name."""
    return renamed_products(_declared(before), _declared(now))


def _declared(revision: Revision) -> dict[str, Product]:
    """Return the products that people declared: those of rows set aside follow from rules."""
    products = revision.graph.products.items()
    return {name: product for name, product in products if product.kind is not Kind.QUARANTINE}


def _products(before: Revision, now: Revision, known: Known) -> Iterator[Change]:
    old, new = _declared(before), _declared(now)
    renamed = renamed_of(before, now)
    for name, product in old.items():
        current = renamed.get(name, name)
        if current not in new:
            yield _whole(product, "product", Way.WEAKER, "removed", removed=True)
            continue
        if current != name:
            what = f"renamed to {current}"
            yield _whole(product, "product", Way.OTHER, what, renamed_to=current)
        pair = product, new[current]
        yield from _changes(pair[0], pair[1], _of_product(pair, (before, now), known))
    for name, product in new.items():
        if name not in old and name not in renamed.values():
            yield _whole(product, "product", Way.STRONGER, "added")


def _sources(before: Revision, now: Revision) -> Iterator[Change]:
    old, new = before.graph.sources, now.graph.sources
    renamed = renamed_sources(old, new)
    for name, source in old.items():
        current = renamed.get(name, name)
        if current not in new:
            yield _whole(source, "source", Way.WEAKER, "removed: nothing reads it", removed=True)
            continue
        if current != name:
            what = f"renamed to {current}"
            yield _whole(source, "source", Way.WEAKER, what, renamed_to=current)
        moves = _of_source(source, new[current], before, now)
        yield from _changes(source, new[current], moves)
    for name, source in new.items():
        if name not in old and name not in renamed.values():
            yield _whole(source, "source", Way.WEAKER, "added")


def _whole(
    declared: Product | Source,
    aspect: str,
    way: Way,
    what: str,
    *,
    removed: bool = False,
    renamed_to: str = "",
) -> Change:
    return Change(
        name=declared.name,
        aspect=aspect,
        role=ASPECTS[aspect],
        way=way,
        what=what,
        where=declared.where,
        removed=removed,
        renamed_to=renamed_to,
    )


def _changes(
    before: Product | Source, now: Product | Source, moves: Iterable[Moved]
) -> Iterator[Change]:
    """Yield the changes of one product or source: whose they are, and where."""
    for move in moves:
        removed = move.removed and move.where is not None
        yield Change(
            name=before.name,
            aspect=move.aspect,
            role=move.role,
            way=move.way,
            what=move.what,
            where=move.where or (before.where if removed else now.where),
            of=move.of,
            removed=removed,
            renamed_to=move.renamed_to,
        )


def _of_product(
    pair: tuple[Product, Product], revisions: tuple[Revision, Revision], known: Known
) -> Iterator[Moved]:
    before, now = pair
    old, new = (side.columns_of(p) for side, p in zip(revisions, pair, strict=True))
    renamed: Mapping[str, str] = {}
    if bool(before.contract.columns) is not bool(now.contract.columns):
        is_new = bool(now.contract.columns)
        way = Way.STRONGER if is_new else Way.WEAKER
        what = "its columns are promised now" if is_new else "its columns are not promised any more"
        yield Moved(aspect="contract", way=way, what=what)
    if old and new:
        renamed = renamed_columns(
            old, new, lambda one, two: known.same_origin(before.name, one, now.name, two)
        )
        for move in column_changes(old, new, renamed):
            yield after_notice(move, before.contract.deprecated, known.today)
    yield from version_changes(before.contract.version, now.contract.version)
    kept = {column.name for column in new} if new else None
    yield from deprecation_changes(before.contract, now.contract, kept, known.today)
    key = tuple(renamed.get(name, name) for name in before.contract.key)
    yield from key_changes(key, now.contract.key)
    yield from _rules(before.contract, now.contract, (old, new), renamed, known)
    yield from freshness_changes(
        before.freshness, now.freshness, *(side.graph.calendars for side in revisions)
    )
    patterns = [side.graph.sensitive(p.name) for side, p in zip(revisions, pair, strict=True)]
    hidden = [
        secret((c.name for c in columns), each)
        for columns, each in zip((old, new), patterns, strict=True)
    ]
    if old and new:
        yield from _sensitive({c.name for c in old}, hidden, renamed)
    yield from waiver_changes(before.waivers, now.waivers)
    yield from product_changes(before, replace(now, event_time=_back(now.event_time, renamed)))


def _back(name: str, renamed: Mapping[str, str]) -> str:
    """Return the name that a column had before it was renamed."""
    return next((old for old, new in renamed.items() if new == name), name)


def _rules(
    before: Contract,
    now: Contract,
    columns: tuple[tuple[Column, ...], tuple[Column, ...]],
    renamed: Mapping[str, str],
    known: Known,
) -> Iterator[Moved]:
    """Yield the changes of rules; what is said of a new or removed column goes with the column."""
    old = {c.name for c in columns[0]}
    new = {c.name for c in columns[1]}
    kept = {name for name in old if renamed.get(name, name) in new}
    kept_now = {renamed.get(name, name) for name in kept}
    yield from rule_changes(
        compared(before.rules, kept, before.key),
        compared(now.rules, kept_now, now.key),
        renamed,
        known.same_query,
    )


def _sensitive(
    columns: set[str], hidden: list[set[str]], renamed: Mapping[str, str]
) -> Iterator[Moved]:
    for name in sorted(columns):
        was, is_now = name in hidden[0], renamed.get(name, name) in hidden[1]
        if is_now and not was:
            what = "sensitive now: its values are not shown any more"
            yield Moved(aspect="sensitive", way=Way.WEAKER, what=what, of=name)
        elif was and not is_now:
            what = "not sensitive any more: its values are shown"
            yield Moved(aspect="protection", role=Role.CHECK, way=Way.WEAKER, what=what, of=name)


def _of_source(before: Source, now: Source, old: Revision, new: Revision) -> Iterator[Moved]:
    """Yield the changes of a source: each says what is demanded of those who deliver its files."""
    moves = [
        *column_changes(before.columns, now.columns, {}),
        *freshness_changes(
            before.freshness, now.freshness, old.graph.calendars, new.graph.calendars
        ),
    ]
    for move in moves:
        # A type that holds less now takes less of those who deliver: it demands more.
        way = _OPPOSITE.get(move.way, move.way) if move.aspect == "type" else move.way
        yield replace(move, way=way, role=Role.ABOUT if move.role is Role.ABOUT else Role.DEMAND)
    columns = {column.name for column in before.columns}
    yield from _sensitive(columns, [secret(columns, s.sensitive) for s in (before, now)], {})
    yield from source_changes(before, now)
