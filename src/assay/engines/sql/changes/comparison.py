"""What changed between two queries as the library sqlglot reads them, and those inside them."""

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from assay.engines.sql.changes.clauses import modifier_changes
from assay.engines.sql.changes.expressions import (
    QUERIES,
    folded,
    identity,
    rest_of,
    shown,
    walk,
)
from assay.engines.sql.changes.selects import select_changes
from assay.engines.sql.changes.words import Words

if TYPE_CHECKING:
    from sqlglot.expressions import Expr

_BRANCHES = {"this", "expression", "distinct", "by_name"}  # what a set operation is made of
_READ = _BRANCHES | {"with_", "order", "limit", "offset"}  # clauses that are compared by themselves


class Comparison:
    """Compares queries, and those inside them, and adds what changed to `words`."""

    def __init__(self, words: Words) -> None:
        self.words = words

    def queries(self, before: "Expr", after: "Expr") -> None:
        """Compare two queries."""
        before, after = unwrapped(before), unwrapped(after)
        self._common_tables(before, after)
        if before.key == after.key == "select":
            select_changes(before, after, self.words, self.queries)
        elif before.key in QUERIES and after.key in QUERIES:
            self._branches(before, after)
        elif identity(before) != identity(after):
            self.words.add(f"query {shown(before)} -> {shown(after)}")

    # ------------------------------------------------------------------------ common tables

    def _common_tables(self, before: "Expr", after: "Expr") -> None:
        old, new = _common(before), _common(after)
        renamed = dict(_renamed(old, new))
        for first, second in renamed.items():
            self.words.add(f"common table renamed: {old[first].alias} -> {new[second].alias}")
            old[second] = old.pop(first)
        if renamed:
            _rename(before, {first: new[second].alias for first, second in renamed.items()})
        for name in [name for name in old if name not in new]:
            self.words.add(f"common table removed: {old[name].alias}")
        for name, table in new.items():
            if name not in old:
                self.words.add(f"common table added: {table.alias}")
                continue
            with self.words.inside(table.alias):
                self.queries(old[name].this, table.this)
            if _declared(old[name]) != _declared(table):
                self.words.add(f"common table {table.alias} is declared differently")
        if _is_recursive(before) != _is_recursive(after):
            self.words.add(f"recursive {'added' if _is_recursive(after) else 'removed'}")

    # ----------------------------------------------------------------------- set operations

    def _branches(self, before: "Expr", after: "Expr") -> None:
        """Compare queries of which one, or both, are a UNION, INTERSECT or EXCEPT of others."""
        if before.key != after.key and "select" in {before.key, after.key}:
            modifier_changes(before, after, self.words, read=_given(before) | _given(after))
            before, after = _unmodified(before), _unmodified(after)
        else:
            modifier_changes(before, after, self.words, read=_READ)
        old, new = [*_branches(before)], [*_branches(after)]
        if len(old) == len(new):
            for number, pair in enumerate(zip(old, new, strict=True), 1):
                (first, kind), (second, other) = pair
                if kind != other:
                    self.words.add(f"set operation {kind} -> {other}")
                with self.words.inside(f"query {number} of the {new[-1][1]}"):
                    self.queries(first, second)
        else:
            for query, kind in _missing(old, new):
                self.words.add(f"query removed ({kind or old[-1][1]}): {shown(query)}")
            for query, kind in _missing(new, old):
                self.words.add(f"query added ({kind or new[-1][1]}): {shown(query)}")


def unwrapped(query: "Expr") -> "Expr":
    """Return a query without the parentheses around it."""
    while query.key in {"subquery", "paren"} and _given(query) == {"this"}:
        query = query.this
    return query


def _rename(query: "Expr", names: Mapping[str, str]) -> None:
    """Rename common tables wherever they are read, and where they qualify a column."""
    for node in walk(query):
        part = node.args.get("table") if node.key == "column" else None
        if node.key == "table" and not node.args.get("db"):
            part = node.this
        if part is not None and folded(part.name) in names:
            part.set("this", names[folded(part.name)])


def _common(query: "Expr") -> "dict[str, Expr]":
    """Return the common tables of a query by their names, folded."""
    clause = query.args.get("with_")
    tables = clause.args.get("expressions") or () if clause is not None else ()
    return {folded(table.alias): table for table in tables}


def _is_recursive(query: "Expr") -> bool:
    clause = query.args.get("with_")
    return clause is not None and bool(clause.args.get("recursive"))


def _renamed(old: "dict[str, Expr]", new: "dict[str, Expr]") -> Iterator[tuple[str, str]]:
    """Yield the common tables that have another name and the same query."""
    removed = [name for name in old if name not in new]
    added = {identity(new[name].this): name for name in new if name not in old}
    for name in removed:
        if same := added.pop(identity(old[name].this), ""):
            yield name, same


def _declared(table: "Expr") -> Hashable:
    """Return what a common table has besides its name and query."""
    alias = table.args.get("alias")
    named = rest_of(alias, {"this"}) if alias is not None else ()
    return named, table.args.get("materialized"), rest_of(table, {"this", "alias", "materialized"})


def _branches(query: "Expr") -> "Iterator[tuple[Expr, str]]":
    """Yield the queries of a set operation, each with the operation in front of it ('' at first)."""
    query = unwrapped(query)
    if query.key == "select":
        yield query, ""
        return
    inner = unwrapped(query.this)
    if inner.key in QUERIES - {"select"} and not _given(inner) - _BRANCHES:
        yield from _branches(inner)
    else:
        yield inner, ""
    yield unwrapped(query.args["expression"]), _operation(query)


def _given(query: "Expr") -> set[str]:
    return {name for name, value in query.args.items() if value}


def _unmodified(query: "Expr") -> "Expr":
    """Return a query without the clauses that follow a set operation as a whole."""
    copied = query.copy()
    for clause in ("with_", "order", "limit", "offset"):
        copied.set(clause, None)
    return copied


def _operation(query: "Expr") -> str:
    """Return a set operation as SQL, such as "union all by name"."""
    every = "" if query.args.get("distinct", True) else " all"
    by_name = " by name" if query.args.get("by_name") else ""
    return f"{query.key}{every}{by_name}"


def _missing(
    these: "Sequence[tuple[Expr, str]]", others: "Sequence[tuple[Expr, str]]"
) -> "Iterator[tuple[Expr, str]]":
    """Yield the queries that are not among the others."""
    left = Counter(identity(query) for query, _ in others)
    for query, kind in these:
        if left[key := identity(query)] > 0:
            left[key] -= 1
        else:
            yield query, kind
