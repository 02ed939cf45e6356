"""A change of a declaration, and the one model of what a change does to a promise."""

from enum import StrEnum

from msgspec import Struct

from assay.model import Where


class Way(StrEnum):
    """Which way a statement moved: it says less, it says more, or it says something else."""

    WEAKER = "weaker"
    STRONGER = "stronger"
    OTHER = "other"


class Role(StrEnum):
    """What a statement is to people outside.

    - `promise`: readers rely on it.
    - `demand`: those who deliver the data of a source have to meet it.
    - `check`: it keeps wrong data from readers.
    - `about`: it says who and what for; no data depends on it.
    """

    PROMISE = "promise"
    DEMAND = "demand"
    CHECK = "check"
    ABOUT = "about"


class Effect(StrEnum):
    """What a change does: it breaks, it lets more through, or it does neither."""

    BREAKING = "breaking"
    LOOSENED = "loosened"
    COMPATIBLE = "compatible"


# The model. What is not here is compatible. A statement that says something else says less too.
_EFFECTS = {
    (Role.PROMISE, Way.WEAKER): Effect.BREAKING,
    (Role.PROMISE, Way.OTHER): Effect.BREAKING,
    (Role.DEMAND, Way.STRONGER): Effect.BREAKING,
    (Role.DEMAND, Way.OTHER): Effect.BREAKING,
    (Role.CHECK, Way.WEAKER): Effect.LOOSENED,
    (Role.CHECK, Way.OTHER): Effect.LOOSENED,
}


class Change(Struct, frozen=True, kw_only=True):
    """One change of a product or source.

    - `name`: its full name, before the change if it was renamed or removed.
    - `aspect`: which statement changed, one of `assay.plan.changes.fields.ASPECTS`.
    - `of`: the column, before the change, or the name of the rule; '' for neither.
    - `what`: the change in words.
    - `where`: the place now; of something removed, the one that it had, and `removed`.
    - `renamed_to`: the new name of a column, product or source that was renamed.
    """

    name: str
    aspect: str
    role: Role
    way: Way
    what: str
    where: Where
    of: str = ""
    removed: bool = False
    renamed_to: str = ""

    @property
    def is_demand(self) -> bool:
        """Whether it is about what those who deliver a source have to meet."""
        return self.role is Role.DEMAND

    @property
    def effect(self) -> Effect:
        """What the change does to those who rely on the statement."""
        return _EFFECTS.get((self.role, self.way), Effect.COMPATIBLE)


class Moved(Struct, frozen=True, kw_only=True):
    """A change of one statement, before it is known whose it is; see `Change`."""

    aspect: str
    way: Way
    what: str
    role: Role = Role.PROMISE
    of: str = ""
    where: Where | None = None
    removed: bool = False
    renamed_to: str = ""


def ranked(before: float, now: float, *, more: Way) -> Way | None:
    """Return the way of a number that moved; `more` is the way of a greater one. None if equal."""
    if before == now:
        return None
    less = Way.WEAKER if more is Way.STRONGER else Way.STRONGER
    return more if now > before else less


def moved(before: str, now: str) -> str:
    """Return "before -> now"; what was not there is "none"."""
    return f"{before or 'none'} -> {now or 'none'}"
