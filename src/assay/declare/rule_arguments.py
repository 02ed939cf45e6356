"""The arguments of declared rules, checked one by one."""

import re
from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

from assay.amounts import Amount, amount
from assay.engines.quoting import dotted

IDENTIFIER = re.compile(r"[A-Za-z_]\w*")


class NotARule(ValueError):
    """A rule whose arguments are wrong; the message says which and why."""


def is_text(value: Any) -> bool:
    """Return True for a text that is not blank and fits in SQL; UnicodeError for a surrogate."""
    if not isinstance(value, str):
        return False
    return bool(value.strip()) and "\0" not in value and bool(value.encode())


def name_of_rule(value: Any) -> str:
    """Return the name of a rule that needs one; NotARule for a blank one."""
    if not is_text(value):
        raise NotARule("it has no words: say what has to hold")
    return str(value)


def text_argument(value: Any, keyword: str) -> str:
    """Return a text without the space around it; NotARule for anything else."""
    if not is_text(value):
        raise NotARule(f"{keyword}= should be a text, and is {value!r}")
    return str(value).strip()


def sql_argument(value: Any, kind: str) -> str:
    """Return SQL without the space around it; NotARule, with its `kind`, for anything else."""
    if not is_text(value):
        raise NotARule(f"its {kind} should be SQL, and is {value!r}")
    return str(value).strip()


def columns_argument(value: Any, keyword: str) -> list[str]:
    """Return a list of column names; NotARule for anything else, and for names with `__` first."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise NotARule(f"{keyword}= should be a list of columns, and is {value!r}")
    names = [text_argument(name, keyword) for name in value]
    if reserved := [name for name in names if name.startswith("__")]:
        raise NotARule(f"{keyword}= names {reserved[0]!r}: names that begin with __ are taken")
    return names


def product_table(name: str) -> str:
    """Return the name of a product as a table in SQL; NotARule for a text that is no name."""
    if not all(IDENTIFIER.fullmatch(part) for part in name.split(".")):
        raise NotARule(f"{name!r} is no name of a product")
    return dotted(name)


def amount_argument(value: Any, keyword: str) -> Amount:
    """Return an amount or a share; NotARule for anything else."""
    try:
        return amount(value)
    except ValueError:
        raise NotARule(f'{keyword}={value!r} should be an amount such as 0.01 or "0.1 %"') from None


def zone_argument(tz: Any) -> str:
    """Return the name of a time zone; NotARule for anything else."""
    try:
        return str(ZoneInfo(tz).key)
    except (ValueError, KeyError, TypeError, OSError):
        raise NotARule(f"tz={tz!r} is no time zone") from None
