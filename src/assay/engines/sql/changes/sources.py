"""Tables and joins of a query that were added, removed, replaced, or joined in another way."""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from assay.engines.sql.changes.expressions import QUERIES, folded, rest_of, shown
from assay.engines.sql.changes.pairs import is_reordered, paired, unpaired
from assay.engines.sql.changes.words import Words

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlglot.expressions import Expr

    Compare = Callable[[Expr, Expr], None]

_JOINING = {"this", "on", "using", "method", "side", "kind"}
_NAMING = {"this", "db", "catalog", "alias"}  # what a table is named by; all else is how it is read


class Source(Struct, frozen=True, eq=False):
    """A table, or a query in place of one, that a SELECT reads.

    `join` is None for the first; `is_again` says that the SELECT reads the same table twice.
    """

    node: "Expr"
    join: "Expr | None" = None
    is_again: bool = False

    @property
    def name(self) -> str:
        """The name that columns are qualified with, as it is written."""
        return str(self.node.alias_or_name)

    @property
    def key(self) -> str:
        """The name as it is compared."""
        return folded(self.name)

    @property
    def label(self) -> str:
        """The name in texts: that of the table, with its alias if it is read twice."""
        if not self.name or not _is_table(self.node):
            return self.name or shown(self.node, 60)
        return f"{self.table} as {self.name}" if self.is_again else self.table

    @property
    def table(self) -> str:
        """The table that is read, without its alias; a query, shortened."""
        if _is_table(self.node):
            parts = (self.node.args.get(part) for part in ("catalog", "db", "this"))
            return ".".join(part.name for part in parts if part is not None)
        return shown(_unaliased(self.node), 60)

    @property
    def kind(self) -> str:
        """How it is joined: "inner", "left", "cross", "asof left" …; '' for the first table."""
        if self.join is None:
            return ""
        given = (self.join.args.get(part) for part in ("method", "side", "kind"))
        kinds = [str(part).lower() for part in given if part and str(part) != "OUTER"]
        conditional = self.join.args.get("on") is not None or self.join.args.get("using")
        return " ".join(kinds) or ("inner" if conditional else "cross")

    @property
    def joined(self) -> str:
        """The table and how it is joined, as SQL."""
        if self.join is None:
            return self.table
        on, using = self.join.args.get("on"), self.join.args.get("using")
        alias = f" as {self.name}" if self.node.args.get("alias") and self.name else ""
        condition = f" on {shown(on)}" if on is not None else ""
        condition = f" using ({shown(using)})" if using else condition
        return f"{self.kind} join {self.table}{alias}{condition}"


def sources_of(select: "Expr") -> list[Source]:
    """Return what a SELECT reads, in its order."""
    first = select.args.get("from_")
    sources = [Source(first.this)] if first is not None else []
    sources += [Source(join.this, join) for join in select.args.get("joins") or ()]
    counts = Counter(folded(source.table) for source in sources)
    return [replace(source, is_again=counts[folded(source.table)] > 1) for source in sources]


def _is_table(node: "Expr") -> bool:
    """Return whether a node is the name of a table: no query, and no function."""
    return node.key == "table" and node.this.key == "identifier"


def source_changes(
    before: "Expr", after: "Expr", words: Words, compare: "Compare"
) -> list[tuple[Source, Source]]:
    """Add what happened to the tables of a SELECT; return those that are still there, in pairs.

    Where one is named differently, the columns of `before` are renamed: they name it as those of
    `after` do.
    """
    old, new = sources_of(before), sources_of(after)
    pairs = _pairs(old, new)
    for first, second in pairs:
        _table_change(first, second, words, compare)
    renamed = {a.key: b.name for a, b in pairs if a.key != b.key and a.key and b.key}
    if renamed:
        _rename(before, renamed)
    for change, sources in (("removed", unpaired(old, pairs)), ("added", unpaired(new, pairs))):
        for source in sources:
            what = "table" if source.join is None else "join"
            words.add(f"{what} {change}: {source.joined}")
    _order_change(old, new, pairs, words)
    return pairs


def _pairs(old: Sequence[Source], new: Sequence[Source]) -> list[tuple[Source, Source]]:
    """Return the sources that are the same by name, by table, or as the only others left."""
    pairs = [
        *paired(
            old,
            new,
            lambda source: (source.key, folded(source.table)),
            lambda source: folded(source.table),
            lambda source: source.key or None,
        )
    ]
    for is_first in (True, False):
        left, others = (
            [source for source in unpaired(sources, pairs) if (source.join is None) is is_first]
            for sources in (old, new)
        )
        if len(left) == len(others) == 1:
            pairs.append((left[0], others[0]))
    return pairs


def _table_change(old: Source, new: Source, words: Words, compare: "Compare") -> None:
    first, second = old.node, new.node
    both = first.key == second.key == "subquery" and {first.this.key, second.this.key} <= QUERIES
    same = both or folded(old.table) == folded(new.table)
    if both:
        with words.inside(f"subquery {new.name}" if new.name else "a subquery"):
            compare(first.this, second.this)
    elif not same:
        words.add(f"reads other table: {old.table} -> {new.table}")
    if same and old.key != new.key:
        words.add(f"table alias renamed: {old.name} -> {new.name}")
    if _reading(first) != _reading(second):
        words.add(f"{new.label} is read differently: {shown(first)} -> {shown(second)}")
    if old.join is None or new.join is None:
        return
    if old.kind != new.kind:
        words.add(f"join {old.kind} -> {new.kind} on {new.label}")
    elif rest_of(old.join, _JOINING) != rest_of(new.join, _JOINING):
        words.add(f"join of {new.label} changed: {shown(old.join)} -> {shown(new.join)}")


def _reading(node: "Expr") -> Hashable:
    """Return what a table is read with besides its name: a sample, names of columns, a pivot …"""
    alias = node.args.get("alias")
    named = rest_of(alias, {"this"}) if alias is not None else ()
    return named, rest_of(node, _NAMING)


def _order_change(
    old: Sequence[Source],
    new: Sequence[Source],
    pairs: Sequence[tuple[Source, Source]],
    words: Words,
) -> None:
    """Add that tables are joined in another order, if nothing else is why."""
    if is_reordered(old, new, pairs):
        words.add(f"joins in another order: {_chain(old)} -> {_chain(new)}")


def _chain(sources: Sequence[Source]) -> str:
    return " ".join(
        f"{source.kind} join {source.label}" if source.join is not None else source.label
        for source in sources
    )


def _unaliased(node: "Expr") -> "Expr":
    copied: Expr = node.copy()
    copied.set("alias", None)
    return copied


def _rename(query: "Expr", names: Mapping[str, str]) -> None:
    """Rename the qualifiers of columns, except in queries that have a table of that name."""
    for node in query.iter_expressions():
        left = names
        if node.key == "select":
            own = {source.key for source in sources_of(node)}
            left = {old: new for old, new in names.items() if old not in own}
        table = node.args.get("table") if node.key == "column" else None
        if table is not None and folded(table.name) in left:
            table.set("this", left[folded(table.name)])
        _rename(node, left)
