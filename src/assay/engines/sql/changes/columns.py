"""Columns of a SELECT that were added, removed, renamed, or are computed in another way."""

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from assay.engines.sql.changes.conditions import expression_change
from assay.engines.sql.changes.expressions import folded, identity, shown
from assay.engines.sql.changes.pairs import is_reordered, paired, unpaired
from assay.engines.sql.changes.words import Words

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlglot.expressions import Expr

    Compare = Callable[[Expr, Expr], None]


class Column(Struct, frozen=True, eq=False):
    """A column of a result: its name as written ('' if it has none of its own), and expression."""

    name: str
    node: "Expr"
    key: Hashable

    @property
    def text(self) -> str:
        """The column as SQL."""
        text = shown(self.node)
        return f"{text} as {self.name}" if self.name and text != self.name else text

    @property
    def label(self) -> str:
        """Its name, or its expression."""
        return self.name or self.text


def columns_of(query: "Expr", home: str = "") -> list[Column]:
    """Return the columns that a SELECT gives; none for other queries."""
    columns = []
    for node in query.args.get("expressions") or ():
        inner = node.this if node.key == "alias" else node
        name = node.alias_or_name if node.key in {"alias", "column"} else ""
        columns.append(Column("" if name == "*" else name, inner, identity(inner, home)))
    return columns


def column_changes(
    before: Sequence[Column], after: Sequence[Column], words: Words, compare: "Compare"
) -> list[tuple[Column, Column]]:
    """Add what happened to the columns of a SELECT; return those that are still there, in pairs."""
    pairs = _same(before, after)
    for old, new in pairs:
        if old.name != new.name:
            words.add(f"column renamed: {old.label} -> {new.label}")
    for old, new in pairs:
        if old.key != new.key:
            _column_change(old, new, words, compare)
    for column in unpaired(before, pairs):
        words.add(f"column removed: {column.label}")
    for column in unpaired(after, pairs):
        words.add(f"column added: {column.text}")
    if is_reordered(before, after, pairs):
        words.add(f"columns in another order: {', '.join(column.label for column in after)}")
    return pairs


def _same(before: Sequence[Column], after: Sequence[Column]) -> list[tuple[Column, Column]]:
    """Return the columns that are the same by name, by expression, or by place without a name."""
    at = {id(column): place for columns in (before, after) for place, column in enumerate(columns)}
    pairs = paired(
        before,
        after,
        lambda column: folded(column.name) or None,
        lambda column: (column.key, bool(column.name)),
        lambda column: column.key,
        lambda column: None if column.name else at[id(column)],
    )
    return [*pairs]


def _column_change(old: Column, new: Column, words: Words, compare: "Compare") -> None:
    first, second = old.node, new.node
    if first.key == second.key == "window" and identity(first.this) == identity(second.this):
        _window_changes(first, second, new.name or shown(second.this), words)
    else:
        what = "columns of * changed" if first.key == second.key == "star" else ""
        expression_change(first, second, what, words, compare, name=new.name)


def _window_changes(before: "Expr", after: "Expr", name: str, words: Words) -> None:
    """Add what changed of the window of a function: its partitions, its order, or its frame."""
    for part in sorted(before.args.keys() | after.args.keys()):
        old, new = before.args.get(part), after.args.get(part)
        if identity(old) == identity(new):
            continue
        begins = "partition by " if part == "partition_by" else ""
        old_text, new_text = (
            f"{begins}{shown(clause).strip()}" if clause else "nothing" for clause in (old, new)
        )
        words.add(f"window of {name} changed: {old_text} -> {new_text}")
