"""Semantic versions of contracts, and the next one that a change needs."""

import re
from datetime import date, timedelta
from enum import IntEnum

from msgspec import Struct

from assay.plan.changes.values import Change, Effect, Role, Way

_VERSION = re.compile(r"(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})", re.ASCII)
_NOTICE = timedelta(days=90)  # at least how long a deprecated column is kept, as suggested


class Bump(IntEnum):
    """Which number of a version a change needs to be raised."""

    PATCH = 0
    MINOR = 1
    MAJOR = 2


class Version(Struct, frozen=True, order=True):
    """A semantic version: major, minor, patch."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    def after(self, bump: Bump) -> "Version":
        """Return the next version; before 1.0.0 the minor number stands for the major one."""
        if bump is Bump.MAJOR and self.major:
            return Version(self.major + 1, 0, 0)
        if bump is Bump.PATCH or (bump is Bump.MINOR and not self.major):
            return Version(self.major, self.minor, self.patch + 1)
        return Version(self.major, self.minor + 1, 0)


def version_of(text: str) -> Version | None:
    """Return the version that a text spells, such as "1.4.0"; None for any other."""
    match = _VERSION.fullmatch(text)
    return Version(*(int(number) for number in match.groups())) if match else None


def bump_of(change: Change) -> Bump:
    """Return what a change needs: a break a major version, what readers get besides a minor one."""
    if change.effect is Effect.BREAKING:
        return Bump.MAJOR
    is_more = change.way is Way.STRONGER and change.role is Role.PROMISE
    return Bump.MINOR if is_more or change.aspect == "deprecated" else Bump.PATCH


def needed(before: str, now: str, bump: Bump) -> str:
    """Return the version that a bump needs; '' when it is reached, or none was declared before."""
    old, new = version_of(before), version_of(now)
    if old is None:
        return ""
    least = old.after(bump)
    return "" if new and new >= least else str(least)


def suggested_day(today: date) -> date:
    """Return a day until which a column could be kept: the first of a month, in three or four."""
    day = today + _NOTICE
    return day if day.day == 1 else (day.replace(day=1) + timedelta(days=32)).replace(day=1)
