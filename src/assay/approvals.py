"""Approvals: who agreed that a version may be published, and with what exactly."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

SHORTEST = 7  # characters by which an approval in a file may name its version


class Approval(Struct, frozen=True, kw_only=True):
    """One person's yes to one version of a product, in one environment; it never changes.

    - `approver`: who agreed, of the list that the product declares.
    - `author`: the user of the system who recorded it; of a declared one, its place.
    - `version`: the id of the version; of a declared one, its first characters.
    - `content`, `logic`, `findings`: digests of the rows, of the code, and of what its rules found;
      '' for a declared one: they are those of its version.
    - `at`: when it was recorded; None for a declared one.
    - `withdrawn`: when it was withdrawn; None if it was not.
    - `release`: the release that it let out; 0 for none.
    - `where`: the place of the declaration; '' for one that was recorded by a command.
    """

    id: str
    product: str
    environment: str
    version: str
    approver: str
    because: str
    author: str
    content: str = ""
    logic: str = ""
    findings: str = ""
    at: datetime | None = None
    withdrawn: datetime | None = None
    release: int = 0
    where: str = ""


class Given(Struct, frozen=True, kw_only=True):
    """What is recorded about the approval of a version.

    - `author`: the user whose run built it; '' if it is not known.
    - `approvals`: all of its product in this environment, the oldest first.
    - `same`: ids of all versions with its content and logic.
    """

    author: str = ""
    approvals: Sequence[Approval] = ()
    same: frozenset[str] = frozenset()


def is_same_person(approver: str, user: str) -> bool:
    """Return whether an approver is a user of the system: `anna` and `anna@shop.example` are one."""
    names = {approver.casefold(), approver.casefold().partition("@")[0]}
    return bool(user) and user.casefold() in names
