"""Changes of declared waivers: one more lets more through, and excuses nothing before it is merged."""

from collections.abc import Iterator, Sequence

from assay.model import Waiver
from assay.plan.changes.values import Moved, Role, Way


def waiver_changes(before: Sequence[Waiver], now: Sequence[Waiver]) -> Iterator[Moved]:
    """Yield the waivers that are new, and those that are gone; one that changes is both."""
    old, new = ({waiver.id for waiver in waivers} for waivers in (before, now))
    for waiver in now:
        if waiver.id not in old:
            yield _of(waiver, Way.WEAKER, f"waived {_words(waiver)}")
    for waiver in before:
        if waiver.id not in new:
            yield _of(waiver, Way.STRONGER, f"not waived any more {_words(waiver)}", removed=True)


def _of(waiver: Waiver, way: Way, what: str, *, removed: bool = False) -> Moved:
    return Moved(
        aspect="waiver",
        role=Role.CHECK,
        way=way,
        what=what,
        of=waiver.rule,
        where=waiver.where,
        removed=removed,
    )


def _words(waiver: Waiver) -> str:
    parts = f" in {', '.join(waiver.parts)}" if waiver.parts else ""
    by = f" by {waiver.approved_by}" if waiver.approved_by else ""
    return f"until {waiver.until}{by} ({waiver.tolerates}{parts}): {waiver.because}"
