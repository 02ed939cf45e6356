"""The states of a promise: kept, due, at risk, late, missed or unknown."""

from enum import StrEnum


class State(StrEnum):
    """How a promise stands.

    - `kept`: the last promise was kept, and the next is not near or is kept already.
    - `due`: the next promise falls due soon, and the data is not there yet.
    - `at risk`: the next promise falls due soon, or something is in its way, and it will probably
      not be kept.
    - `late`: the last promise fell due, and the data is not there.
    - `missed`: the promise before that was not kept either: a whole window passed without data.
    - `unknown`: the days of the calendar, or how far the data reaches, are not known.
    """

    KEPT = "kept"
    DUE = "due"
    AT_RISK = "at risk"
    LATE = "late"
    MISSED = "missed"
    UNKNOWN = "unknown"

    @property
    def is_broken(self) -> bool:
        """Whether a promise fell due and is not kept."""
        return self in {State.LATE, State.MISSED}
