"""Conditions of a query that were added, removed, changed, or moved to another place of it."""

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from assay.engines.sql.changes.expressions import (
    FULL,
    columns,
    conjuncts,
    differing,
    identity,
    shown,
    subqueries,
)
from assay.engines.sql.changes.pairs import paired, unpaired
from assay.engines.sql.changes.words import Words, arrow

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlglot.expressions import Expr

    Compare = Callable[[Expr, Expr], None]


class Condition(Struct, frozen=True, eq=False):
    """One condition, and its `place`: "filter", "having", "qualify", "join condition of orders"."""

    place: str
    node: "Expr"
    key: Hashable

    @property
    def text(self) -> str:
        """The condition as it is shown; a column of USING stands for itself."""
        text = shown(self.node)
        return f"using ({text})" if self.node.key == "identifier" else text


def conditions(place: str, node: "Expr | None", home: str) -> list[Condition]:
    """Return the conditions that are joined by AND; those that are always true are none."""
    return [
        Condition(place, part, identity(part, home))
        for part in conjuncts(node)
        if not (part.key == "boolean" and part.this)
    ]


def condition_changes(
    before: Sequence[Condition], after: Sequence[Condition], words: Words, compare: "Compare"
) -> None:
    """Add what happened to the conditions of a query; `compare` adds it of the queries in them."""
    same = [*paired(before, after, lambda c: (c.place, c.key))]
    removed, added = unpaired(before, same), unpaired(after, same)
    if not removed and not added and [c.key for c in before] != [c.key for c in after]:
        words.add("conditions in another order")
    moved = [*paired(removed, added, lambda c: c.key)]
    for old, new in moved:
        words.add(f"condition moved: {new.text} ({old.place} -> {new.place})")
    removed, added = unpaired(removed, moved), unpaired(added, moved)
    changed = [*paired(removed, added, _around, _left, _named)]
    for old, new in changed:
        expression_change(old.node, new.node, f"{new.place} changed", words, compare)
    for old in unpaired(removed, changed):
        words.add(f"{old.place} removed: {old.text}")
    for new in unpaired(added, changed):
        words.add(f"{new.place} added: {new.text}")


# What a condition that took the place of another has in common with it.


def _around(condition: Condition) -> Hashable:
    """Return a condition with queries in it, without those."""
    if not subqueries(condition.node):
        return None
    return condition.place, identity(_emptied(condition.node))


def _left(condition: Condition) -> Hashable:
    """Return the left side of a condition."""
    left = condition.node.args.get("this")
    return (condition.place, identity(left)) if hasattr(left, "args") else None


def _named(condition: Condition) -> Hashable:
    """Return the columns that a condition names."""
    names = columns(condition.node)
    return (condition.place, names) if names else None


def expression_change(
    before: "Expr", after: "Expr", what: str, words: Words, compare: "Compare", *, name: str = ""
) -> None:
    """Add how an expression changed: `a -> b`, or what changed in the queries that are in it.

    `what` begins the text; `name` is that of the column, which ends it.
    """
    old_queries, new_queries = subqueries(before), subqueries(after)
    if old_queries and len(old_queries) == len(new_queries) and _same_around(before, after):
        place = (
            f"the subquery of {name}" if name else f"a subquery of the {what.split(maxsplit=1)[0]}"
        )
        with words.inside(place):
            for old, new in zip(old_queries, new_queries, strict=True):
                compare(old, new)
        return
    old, new, is_part = differing(before, after)
    change = arrow(shown(old, FULL), shown(new, FULL))
    ending = f" {'in' if is_part else 'as'} {name}" if name else ""
    words.add(f"{what}: {change}{ending}" if what else f"{change}{ending}")


def _same_around(before: "Expr", after: "Expr") -> bool:
    """Return whether two expressions are the same but for the queries in them."""
    return identity(_emptied(before)) == identity(_emptied(after))


def _emptied(node: "Expr") -> "Expr":
    copied = node.copy()
    for query in subqueries(copied):
        query.pop()
    return copied
