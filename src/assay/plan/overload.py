"""Too much work: products that are late because they are not built yet are one cause together."""

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from assay.plan.causes import TOO_MUCH_WORK, Cause, worst

_LEAST = 2  # products that are not built in time, from which on it is about the work as a whole
_REASON = "their inputs are there and nothing is held back: they are not built yet"


def together(causes: Mapping[str, Cause], noted: Iterable[Cause] = ()) -> Mapping[str, Cause]:
    """Return the causes with those that are only work that is not done yet as one of them.

    One product that is not built in time is about that product, unless it is what remains of too
    much work that was noted before.
    """
    work = {name: cause for name, cause in causes.items() if cause.is_work}
    least = 1 if any(cause.about == TOO_MUCH_WORK for cause in noted) else _LEAST
    if len(work) < least:
        return causes
    others = {name: cause for name, cause in causes.items() if name not in work}
    return {**others, TOO_MUCH_WORK: _as_one(work)}


def _as_one(work: Mapping[str, Cause]) -> Cause:
    names = work.keys() - {TOO_MUCH_WORK}
    due = {name: at for cause in work.values() for name, at in cause.due.items()}
    return replace(
        next(iter(work.values())),
        about=TOO_MUCH_WORK,
        kind=worst(cause.kind for cause in work.values()),
        since=min(cause.since for cause in work.values()),
        reason=_REASON,
        due=dict(sorted(due.items())),
        waiting=tuple(sorted(names.union(*(cause.waiting for cause in work.values())))),
    )
