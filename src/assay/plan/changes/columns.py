"""Changes of the columns of a product or source."""

from collections.abc import Iterator, Mapping, Sequence

from assay.model import Column
from assay.plan.changes.types import type_way
from assay.plan.changes.values import Moved, Way, moved


def column_changes(
    before: Sequence[Column], now: Sequence[Column], renamed: Mapping[str, str]
) -> Iterator[Moved]:
    """Yield what became of each column, and which ones are new. Their order does not count."""
    current = {column.name: column for column in now}
    for old in before:
        name = renamed.get(old.name, old.name)
        new = current.get(name)
        if new is None:
            yield _column(old, Way.WEAKER, "removed", removed=True)
            continue
        if name != old.name:
            yield _column(old, Way.OTHER, f"renamed to {name}", renamed_to=name)
        if way := type_way(old.type, new.type):
            words = {Way.WEAKER: "narrowed", Way.STRONGER: "widened", Way.OTHER: "changed"}
            what = f"type {words[way]}: {moved(old.type, new.type)}"
            yield Moved(aspect="type", way=way, what=what, of=old.name)
        elif old.logical != new.logical:
            what = f"type changed: {moved(old.logical or old.type, new.logical or new.type)}"
            yield Moved(aspect="type", way=Way.OTHER, what=what, of=old.name)
    known = {column.name for column in before} | set(renamed.values())
    for new in now:
        if new.name not in known:
            yield _column(new, Way.STRONGER, f"added: {new.logical or new.type}")


def _column(
    column: Column, way: Way, what: str, *, removed: bool = False, renamed_to: str = ""
) -> Moved:
    return Moved(
        aspect="column",
        way=way,
        what=what,
        of=column.name,
        removed=removed,
        renamed_to=renamed_to,
    )
