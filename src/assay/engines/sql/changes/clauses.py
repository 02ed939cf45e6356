"""Clauses of a query besides its tables, conditions and columns: how it groups, sorts and limits."""

import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from assay.engines.sql.changes.columns import Column
from assay.engines.sql.changes.expressions import folded, identity, rest_of, shown
from assay.engines.sql.changes.words import Words

if TYPE_CHECKING:
    from sqlglot.expressions import Expr


class Naming(Struct, frozen=True):
    """How GROUP BY and ORDER BY name the `columns` of a SELECT: by name, number, or expression.

    `renamed` has their names in the query that this one is compared with.
    """

    columns: Sequence[Column] = ()
    home: str = ""
    renamed: Mapping[str, str] = {}

    def of(self, node: "Expr") -> tuple[Hashable, str]:
        """Return how an expression is compared, and how it is shown."""
        key = identity(node, self.home)
        column = self._column(node, key)
        if column is None:
            return key, shown(node)
        name = folded(column.name)
        return self.renamed.get(name, name) or column.key, column.label

    def _column(self, node: "Expr", key: Hashable) -> Column | None:
        if node.key == "literal" and not node.args.get("is_string") and node.name.isdigit():
            number = int(node.name)
            return self.columns[number - 1] if 0 < number <= len(self.columns) else None
        name = folded(node.name) if node.key == "column" else ""
        named = (column for column in self.columns if name and folded(column.name) == name)
        equal = (column for column in self.columns if column.key == key)
        return next(named, None) or next(equal, None)


NO_NAMES = Naming(), Naming()


def distinct_change(before: "Expr", after: "Expr", words: Words) -> None:
    """Add whether DISTINCT was added, removed, or is by other columns."""
    (old, old_text), (new, new_text) = _distinct(before), _distinct(after)
    if old == new:
        return
    if not old_text:
        words.add(f"{new_text} added")
    elif not new_text:
        words.add(f"{old_text} removed")
    else:
        words.add(f"{old_text} -> {new_text}")


def _distinct(select: "Expr") -> tuple[Hashable, str]:
    node = select.args.get("distinct")
    if node is None:
        return None, ""
    on = node.args.get("on")
    return identity(node), f"distinct on {shown(on)}" if on is not None else "distinct"


# ------------------------------------------------------------------------------------------ groups


def group_changes(
    before: "Expr", after: "Expr", names: tuple[Naming, Naming], words: Words
) -> None:
    """Add what a query groups by now and did not before, and the other way round."""
    old, new = before.args.get("group"), after.args.get("group")
    old_keys, new_keys = dict(_keys(old, names[0])), dict(_keys(new, names[1]))
    is_otherwise = bool(old and new) and ("all" in old_keys) != ("all" in new_keys)
    if is_otherwise or _sets(old) != _sets(new):
        words.add(f"group by {_listed(old, old_keys)} -> {_listed(new, new_keys)}")
        return
    for key, text in old_keys.items():
        if key not in new_keys:
            words.add(f"group by removed: {text}")
    for key, text in new_keys.items():
        if key not in old_keys:
            words.add(f"group by added: {text}")
    if old_keys.keys() == new_keys.keys() and [*old_keys] != [*new_keys]:
        words.add(f"group by in another order: {_listed(new, new_keys)}")


def _keys(clause: "Expr | None", naming: Naming) -> Iterator[tuple[Hashable, str]]:
    """Yield what a GROUP BY names; a number stands for the column at that place."""
    if clause is None:
        return
    if clause.args.get("all"):
        yield "all", "all"
    for node in clause.args.get("expressions") or ():
        yield naming.of(node)


def _sets(clause: "Expr | None") -> Hashable:
    """Return the grouping sets of a GROUP BY, and whatever else is in it."""
    return rest_of(clause, {"expressions", "all"}) if clause is not None else ()


def _listed(clause: "Expr | None", keys: Mapping[Hashable, str]) -> str:
    """Return what a GROUP BY names, with its grouping sets."""
    if clause is None:
        return "nothing"
    return _shown(clause) if _sets(clause) else ", ".join(keys.values())


# ------------------------------------------------------------------------------------------ others


def modifier_changes(
    before: "Expr",
    after: "Expr",
    words: Words,
    names: tuple[Naming, Naming] = NO_NAMES,
    *,
    read: set[str],
) -> None:
    """Add what changed of ORDER BY, LIMIT, OFFSET, and of all clauses that are not in `read`."""
    _order_change([*_order(before, names[0])], [*_order(after, names[1])], words)
    for clause in ("limit", "offset"):
        _clause_change(clause, before.args.get(clause), after.args.get(clause), words)
    for clause in sorted((before.args.keys() | after.args.keys()) - read):
        _clause_change(clause, before.args.get(clause), after.args.get(clause), words)


def _order_change(
    old: Sequence[tuple[Hashable, str]], new: Sequence[tuple[Hashable, str]], words: Words
) -> None:
    if [key for key, _ in old] == [key for key, _ in new]:
        return
    old_text, new_text = (", ".join(text for _, text in order) for order in (old, new))
    if not old:
        words.add(f"order by added: {new_text}")
    elif not new:
        words.add(f"order by removed: {old_text}")
    else:
        words.add(f"order by {old_text} -> {new_text}")


def _order(query: "Expr", naming: Naming) -> Iterator[tuple[Hashable, str]]:
    """Yield what an ORDER BY names, each with its direction."""
    clause = query.args.get("order")
    for node in clause.args.get("expressions") or () if clause is not None else ():
        if node.key != "ordered":
            yield identity(node), shown(node)
            continue
        key, text = naming.of(node.this)
        direction = shown(node)[len(shown(node.this)) :]
        yield (key, rest_of(node, {"this"})), f"{text}{direction}"


def _clause_change(clause: str, old: Any, new: Any, words: Words) -> None:
    if identity(old) == identity(new) or not (old or new):
        return
    name = clause.strip("_").replace("_", " ")
    if not new:
        words.add(f"{name} removed: {_shown(old)}")
    elif not old:
        words.add(f"{name} added: {_shown(new)}")
    else:
        words.add(f"{name} {_shown(old)} -> {_shown(new)}")


def _shown(node: Any) -> str:
    """Return a clause without the words that begin it."""
    return re.sub("^(group by|limit|offset) ", "", shown(node).strip())
