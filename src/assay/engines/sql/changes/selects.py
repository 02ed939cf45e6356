"""What changed between two SELECTs, clause by clause."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from assay.engines.sql.changes.clauses import (
    Naming,
    distinct_change,
    group_changes,
    modifier_changes,
)
from assay.engines.sql.changes.columns import column_changes, columns_of
from assay.engines.sql.changes.conditions import Condition, condition_changes, conditions
from assay.engines.sql.changes.expressions import folded, identity
from assay.engines.sql.changes.sources import Source, source_changes, sources_of
from assay.engines.sql.changes.words import Words

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlglot.expressions import Expr

    Compare = Callable[[Expr, Expr], None]

# Clauses that are compared in a way of their own; any other is shown as a whole.
_READ = {"with_", "expressions", "from_", "joins", "where", "group", "having", "qualify"}
_READ |= {"distinct", "order", "limit", "offset"}


def select_changes(before: "Expr", after: "Expr", words: Words, compare: "Compare") -> None:
    """Add what changed between two SELECTs; `compare` adds it of the queries inside them."""
    pairs = source_changes(before, after, words, compare)
    home = _home(before, after)
    condition_changes(
        [*_conditions(before, [old for old, _ in pairs], home)],
        [*_conditions(after, [new for _, new in pairs], home)],
        words,
        compare,
    )
    old, new = columns_of(before, home), columns_of(after, home)
    same = column_changes(old, new, words, compare)
    renamed = {folded(a.name): folded(b.name) for a, b in same if a.name and b.name}
    names = Naming(old, home, renamed), Naming(new, home)
    distinct_change(before, after, words)
    group_changes(before, after, names, words)
    modifier_changes(before, after, words, names, read=_READ)


def _home(before: "Expr", after: "Expr") -> str:
    """Return the name of the only table that both SELECTs read: its columns need no qualifier."""
    old, new = sources_of(before), sources_of(after)
    return new[0].key if len(old) == len(new) == 1 else ""


def _conditions(select: "Expr", joined: Sequence[Source], home: str) -> Iterator[Condition]:
    """Yield the conditions of a SELECT, without those of joins that are new or gone as a whole."""
    for source in joined:
        if source.join is not None:
            place = f"join condition of {source.label}"
            yield from conditions(place, source.join.args.get("on"), home)
            for column in source.join.args.get("using") or ():
                yield Condition(place, column, identity(column))
    for place, clause in (("filter", "where"), ("having", "having"), ("qualify", "qualify")):
        node = select.args.get(clause)
        yield from conditions(place, node.this if node is not None else None, home)
