"""Which columns hold values that must not be shown; pure."""

import re
from collections.abc import Iterable
from functools import lru_cache

_PASSWORD = re.compile(r"(://[^\s:/@'\"]*:)[^\s'\"]*@")
HUSHED = "what went wrong is not told: its words may hold sensitive values"


def masked(text: str) -> str:
    """Return a text without the passwords of the addresses in it (`scheme://user:…@host`)."""
    return _PASSWORD.sub(r"\1…@", text)


@lru_cache(maxsize=4096)
def _matcher(patterns: frozenset[str]) -> "re.Pattern[str]":
    return re.compile("|".join(f"(?:{pattern})" for pattern in sorted(patterns)) or r"(?!)", re.IGNORECASE)


def secret(names: Iterable[str], patterns: Iterable[str]) -> set[str]:
    """Return the names that one of these regular expressions matches as a whole, whatever their case.

    A name that DuckDB made of such a one because it was there twice (`email_1`) is one too.
    """
    matches = _matcher(frozenset(patterns)).fullmatch
    return {name for name in names if matches(name) or matches(re.sub(r"(_\d+|:\d+)+$", "", name))}
