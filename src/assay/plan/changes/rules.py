"""Changes of rules: what lets more rows through is weaker."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from assay.model import Demand, Rule
from assay.plan.changes.measures import SameQuery, limit_way, measured_ways, settled_ways
from assay.plan.changes.values import Moved, Role, Way, moved

_PROMISES = {"null", "unique"}  # demands that readers build on: no nulls, one row a key
_OF_COLUMNS = {"type", "strict", "ordered"}  # demands that the comparison of columns covers


def rule_changes(
    before: Sequence[Rule],
    now: Sequence[Rule],
    renamed: Mapping[str, str],
    same_query: SameQuery,
) -> Iterator[Moved]:
    """Yield what became of each rule, and which ones are new.

    `renamed` has the new names of columns; `same_query` says whether two texts are the same query.
    """
    partners = _partners(before, now, renamed, same_query)
    for old in before:
        new = partners.get(old.text)
        if new is None:
            words = "not checked any more" if old.demand else "removed"
            yield _of(old, Way.WEAKER, words, removed=True)
        else:
            for each in _changes(old, new, same_query):
                yield _of(new, each[0], each[1], role=each[2] if len(each) > 2 else None)
    taken = {rule.text for rule in partners.values()}
    for new in now:
        if new.text not in taken:
            yield _of(new, Way.STRONGER, "added")


def compared(rules: Sequence[Rule], columns: set[str], key: Sequence[str]) -> list[Rule]:
    """Return the rules to compare.

    Without those about columns that are not in `columns`, which are new or gone, and without those
    that only repeat the key or the types of columns.
    """
    return [rule for rule in rules if not _is_covered(rule, columns, key)]


def _is_covered(rule: Rule, columns: set[str], key: Sequence[str]) -> bool:
    demand = rule.demand
    if demand is None:
        return False
    if demand.kind in _OF_COLUMNS or (demand.column and demand.column not in columns):
        return not (demand.kind == "type" and demand.column in columns)
    return demand.kind == "unique" and list(key) == demand.arguments.get("columns")


def _of(
    rule: Rule, way: Way, what: str, *, role: Role | None = None, removed: bool = False
) -> Moved:
    kind = rule.demand.kind if rule.demand else ""
    usual = Role.PROMISE if kind in {*_PROMISES, "type"} else Role.CHECK
    about = f'rule "{rule.text}" ' if rule.text else ""
    return Moved(
        aspect="rule",
        role=role or usual,
        way=way,
        what=f"{about}{what}",
        of=rule.demand.column if kind in {*_PROMISES, "type"} and rule.demand else "",
        where=rule.where,
        removed=removed,
    )


def _partners(
    before: Sequence[Rule], now: Sequence[Rule], renamed: Mapping[str, str], same: SameQuery
) -> dict[str, Rule]:
    """Return what is now in the place of each rule, by its text: the same text, check or query."""
    ways: list[Callable[[Rule, Rule], bool]] = [
        lambda old, new: old.text == new.text,
        lambda old, new: _place(old.demand, renamed) == _place(new.demand, {}) != (),
        lambda old, new: bool(old.sql and new.sql) and same(old.sql, new.sql),
    ]
    partners: dict[str, Rule] = {}
    for is_partner in ways:
        taken = {rule.text for rule in partners.values()}
        for old in before:
            if old.text in partners:
                continue
            for new in now:
                if new.text not in taken and is_partner(old, new):
                    partners[old.text] = new
                    taken.add(new.text)
                    break
    return partners


def _place(demand: Demand | None, renamed: Mapping[str, str]) -> tuple[Any, ...]:
    """Return what identifies a check in its schema; () for a rule that is none."""
    if demand is None or demand.kind == "condition" or not demand.column:
        return ()
    column = renamed.get(demand.column, demand.column)
    return demand.kind, column, demand.place.rpartition(":")[2]


def _changes(old: Rule, new: Rule, same: SameQuery) -> Iterator[tuple[Any, ...]]:
    """Yield the way and the words of each change of a rule, and perhaps its role."""
    if old.severity is not new.severity:
        way = Way.WEAKER if new.severity == "warning" else Way.STRONGER
        yield way, f"severity {moved(old.severity, new.severity)}"
    else:
        yield from limit_way("fails above", old.fail_above, new.fail_above)
        yield from limit_way("warns above", old.warn_above, new.warn_above)
    if old.quarantines is not new.quarantines:
        if new.quarantines:
            yield Way.WEAKER, "failing rows are set aside, and the others are published"
        else:
            yield Way.STRONGER, "failing rows hold the version back: they are not set aside"
    yield from measured_ways(old, new, same)
    yield from settled_ways(old, new)
    if old.owner != new.owner:
        yield Way.OTHER, f"owner {moved(old.owner, new.owner)}", Role.ABOUT
    if old.review_by != new.review_by:
        yield Way.OTHER, f"review by {moved(old.review_by, new.review_by)}", Role.ABOUT
    if old.text != new.text and not (old.demand and old.demand.kind != "condition"):
        yield Way.OTHER, f'was called "{old.text}"', Role.ABOUT
