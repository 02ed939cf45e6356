"""Amounts that rules allow: rows or shares of rows, absolute or relative differences; pure."""

import re
from decimal import Decimal

from msgspec import Struct

_AMOUNT = re.compile(
    r"(?:±|\+/-)?\s*(\d{1,30}(?:_\d+)*(?:\.\d{1,30})?(?:e-?\d\d?)?)\s*(%?)", re.ASCII
)


class Amount(Struct, frozen=True):
    """A number, or a percentage."""

    number: Decimal
    percent: bool

    def __str__(self) -> str:
        return f"{self.number:f}{' %' if self.percent else ''}"


def amount(told: object) -> Amount:
    """Return the amount behind 10, "0.01", "0.5 %" or "±40 %"; ValueError for anything else."""
    found = _AMOUNT.fullmatch(str(told).strip())
    if not found or isinstance(told, bool):
        raise ValueError(f"{told!r} is no amount")
    return Amount(Decimal(found[1].replace("_", "")), bool(found[2]))


def exceeds(limit: str, failing: int, rows: int) -> bool:
    """Say whether so many failing rows of so many are more than a limit as `Amount` spells it; '' is no limit."""
    if not limit:
        return False
    most = amount(limit)
    return failing * 100 > most.number * rows if most.percent else failing > most.number


def allowed(warn_above: str, fail_above: str, scope: str = "") -> str:
    """Return in words what limits allow, of what `scope` says; '' when no row may fail."""
    told = [
        f"{word} above {limit}{'' if limit.endswith('%') else ' rows'}"
        for word, limit in (("warns", warn_above), ("fails", fail_above))
        if limit and limit != "0"
    ]
    return ", ".join(told) + (f" {scope}" if told and scope else "")
