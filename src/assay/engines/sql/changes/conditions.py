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
    removed, added = _without(before, after), _without(after, before)
    if not removed and not added and [c.key for c in before] != [c.key for c in after]:
        words.add("conditions in another order")
    for old in list(removed):
        if new := next((c for c in added if c.key == old.key), None):
            words.add(f"condition moved: {new.text} ({old.place} -> {new.place})")
            removed.remove(old)
            added.remove(new)
    for old in list(removed):
        if new := _changed_to(old, added):
            expression_change(old.node, new.node, f"{new.place} changed", words, compare)
            removed.remove(old)
            added.remove(new)
    for old in removed:
        words.add(f"{old.place} removed: {old.text}")
    for new in added:
        words.add(f"{new.place} added: {new.text}")


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


def _without(these: Sequence[Condition], others: Sequence[Condition]) -> list[Condition]:
    """Return the conditions that the others do not have as well, at the same place."""
    left = [(other.place, other.key) for other in others]
    kept = []
    for condition in these:
        if (key := (condition.place, condition.key)) in left:
            left.remove(key)
        else:
            kept.append(condition)
    return kept


def _changed_to(old: Condition, added: Sequence[Condition]) -> Condition | None:
    """Return the added condition at the same place that most likely took the place of one."""
    here = [new for new in added if new.place == old.place and new.node.key != "identifier"]
    if old.node.key == "identifier":
        return None
    around = [new for new in here if subqueries(old.node) and _same_around(old.node, new.node)]
    left = identity(old.node.args.get("this"))
    same_left = [new for new in here if identity(new.node.args.get("this")) == left]
    names = columns(old.node)
    same_columns = [new for new in here if names and columns(new.node) == names]
    return next(iter([*around, *same_left, *same_columns]), None)
