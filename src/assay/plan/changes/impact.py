"""Whom a change affects: products that really use what changed, and people who rely on them."""

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from assay.model import Freshness, Kind, Product
from assay.plan.changes.logic import logic_of
from assay.plan.changes.values import Change
from assay.plan.flows import ROWS, How, Lineage, Place
from assay.plan.graph import Graph

# What changed is the table as a whole for these: all products that read it use it.
_OF_THE_TABLE = {"product", "contract", "key", "partition", "event time", "access", "file"}


class User(Struct, frozen=True, kw_only=True):
    """A product that uses what changed.

    - `columns`: its columns into which the value flows or that it decides, in order; none when it
      decides only which rows there are, or when that is not known.
    - `is_direct`: whether it reads what changed, and not only what was made of it.
    - `is_sure`: whether it is known that it does.
    """

    name: str
    columns: tuple[str, ...] = ()
    is_direct: bool = True
    is_sure: bool = True


def users_of(change: Change, graph: Graph, lineage: Lineage) -> Sequence[User]:
    """Return the products that use what changed, nearest first; `graph` and `lineage` are the old."""
    if change.of and change.aspect in {"column", "type", "sensitive", "rule"}:
        return [*_of_column(Place(change.name, change.of), graph, lineage)]
    if change.aspect in _OF_THE_TABLE:
        return [User(name=name) for name in _readers(change.name, graph)]
    return []


def _readers(name: str, graph: Graph) -> list[str]:
    """Return the products that people declared and that read one directly."""
    below = graph.below.get(name, ())
    return [each for each in below if graph.products[each].kind is not Kind.QUARANTINE]


def _of_column(place: Place, graph: Graph, lineage: Lineage) -> Iterator[User]:
    names: dict[str, None] = {}  # in the order in which they are reached
    columns: dict[str, dict[str, None]] = {}
    sure: set[str] = set()
    direct: set[str] = set()
    for edge in lineage.downstream(place):
        name = edge.target.of
        if name not in graph.products or graph.products[name].kind is Kind.QUARANTINE:
            continue
        names[name] = None
        if edge.source == place:
            direct.add(name)
        if How.UNKNOWN not in edge.how:
            sure.add(name)
        if edge.target.column not in {ROWS, "*"}:
            columns.setdefault(name, {})[edge.target.column] = None
    for name in names:
        yield User(
            name=name,
            columns=tuple(columns.get(name, ())),
            is_direct=name in direct,
            is_sure=name in sure,
        )


def is_relied_on(change: Change, users: Iterable[User], before: Graph, now: Graph) -> bool:
    """Return whether somebody else relies on what a change takes away.

    That is: the product has consumers, or a product uses it that is another owner's, or whose code
    was not changed with it. What is left is a table that its owner changes together with all that
    is made of it. Those who deliver a source are always somebody else.
    """
    product = before.products.get(change.name)
    if product is None:
        return True
    current = now.products.get(change.renamed_to) or now.products.get(change.name)
    if product.consumers or (current and current.consumers):
        return True
    readers = {user.name for user in users if user.is_direct}
    readers.update(() if readers or change.of else _readers(change.name, before))
    return any(_is_apart(before.products[name], product, now) for name in readers)


def _is_apart(reader: Product, product: Product, now: Graph) -> bool:
    current = now.products.get(reader.name)
    if current is None:
        return False
    return reader.owner != product.owner or logic_of(current) == logic_of(reader)


class Affected(Struct, frozen=True, kw_only=True):
    """A consumer that a change affects: what it decides, and when that is due."""

    name: str
    decides: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name} ({'; '.join(self.decides)})" if self.decides else self.name


def affected(change: Change, users: Iterable[User], *graphs: Graph) -> Sequence[Affected]:
    """Return the consumers of a product and of its users, before and now, nearest first."""
    names = dict.fromkeys([change.name, change.renamed_to, *(user.name for user in users)])
    decides: dict[str, dict[str, None]] = {}
    for name in names:
        for graph in graphs:
            product = graph.products.get(name)
            for consumer in product.consumers if product else ():
                texts = decides.setdefault(consumer.name, {})
                if consumer.decides and product:
                    texts[f"{consumer.decides}{_due(product.freshness)}"] = None
    return [Affected(name=name, decides=tuple(texts)) for name, texts in decides.items()]


def _due(promise: Freshness | None) -> str:
    """Return when a promise falls due, as it continues a sentence."""
    if promise is None:
        return ""
    if promise.within:
        return f", at most {promise.within} old"
    days = str(promise.on)
    on = f" on {days}" if "day " in days else ""  # of a month, not each day of a calendar
    return f", due {promise.by}{on}" if promise.by else f", due at {promise.every!r}"
