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


def amount(value: object) -> Amount:
    """Return the amount behind 10, "0.01", "0.5 %" or "±40 %"; ValueError for anything else."""
    match = _AMOUNT.fullmatch(str(value).strip())
    if not match or isinstance(value, bool):
        raise ValueError(f"{value!r} is no amount")
    return Amount(Decimal(match[1].replace("_", "")), bool(match[2]))


def exceeds(limit: str, failing: int, rows: int) -> bool:
    """Return whether so many failing rows exceed a limit ("10", "0.5 %"); '' is no limit."""
    if not limit:
        return False
    most = amount(limit)
    return failing * 100 > most.number * rows if most.percent else failing > most.number


def allowed(warn_above: str, fail_above: str, scope: str = "") -> str:
    """Return in words what limits allow, followed by `scope`; '' when no row may fail."""
    limits = [
        f"{word} above {limit}{'' if limit.endswith('%') else ' rows'}"
        for word, limit in (("warns", warn_above), ("fails", fail_above))
        if limit and limit != "0"
    ]
    return ", ".join(limits) + (f" {scope}" if limits and scope else "")
