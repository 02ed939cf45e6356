"""Which columns hold values that must not be shown; pure."""

import re
from collections.abc import Callable, Iterable
from functools import cache, lru_cache

HIDDEN = "(sensitive)"

_PASSWORD = re.compile(r"(://[^\s:/@'\"]*:)[^\s'\"]*@")


def masked(text: str) -> str:
    """Return a text without the passwords of the addresses in it (`scheme://user:…@host`)."""
    return _PASSWORD.sub(r"\1…@", text)


@lru_cache(maxsize=4096)
def _matcher(patterns: frozenset[str]) -> Callable[[str], bool]:
    either = "|".join(f"(?:{pattern})" for pattern in sorted(patterns)) or r"(?!)"
    whole = re.compile(either, re.IGNORECASE).fullmatch
    inside = re.compile(rf"(?<!\w)(?:{either})(?!\w)", re.IGNORECASE).search

    def matches(name: str) -> bool:
        plain = re.sub(r"(_\d+|:\d+)+$", "", name)
        return bool(whole(name) or whole(plain) or (not name.isidentifier() and inside(name)))

    return matches


def secret(names: Iterable[str], patterns: Iterable[str]) -> set[str]:
    """Return the names of columns that one of these regular expressions matches as a whole, whatever their case.

    Two kinds of names that DuckDB gives are matched too: of a column that is there twice (`email_1`), and of an
    expression without a name (`upper(email)`).
    """
    matches = _matcher(frozenset(patterns))
    return {name for name in names if matches(name)}


def unless(patterns: Iterable[str], cleared: Iterable[str]) -> frozenset[str]:
    """Return patterns that match what `patterns` do, but for the names that a pattern in `cleared` matches."""
    but = "|".join(f"(?:{pattern})" for pattern in sorted(set(cleared)))
    return frozenset(rf"(?!(?:{but})\Z)(?:{pattern})" if but else pattern for pattern in patterns)


_PERSONAL = r"""(.*_)?(
    e_?mails?(_addr(ess)?)?|mails?|phones?(_(no|number))?|mobiles?|cell|tel(ephone)?|fax|msisdn
    |ibans?|bic|swift|bank_account|account_(no|number|holder)|card(_?(no|number|holder))?|pan|cvv|cvc
    |ssn|sin|nino|social_security(_(no|number))?|tax_(id|no|number)|vat_id|passport(_(no|number))?|national_id|license_(no|number|plate)
    |names?|(first|last|full|sur|given|family|middle|maiden|user|nick|display|contact|customer)_?names?|surname|initials
    |birth_?(day|date|place)?s?|date_of_birth|dob|age|gender|sex|nationality|religion|ethnicity|diagnos[ie]s
    |address(es)?|street|house_(no|number)|zip(_?code)?|post(al)?_?codes?
    |salary|wages?|income|pass_?word|passwd|secret|token|api_key|pin|ip|ip_addr(ess)?|lat(itude)?|lon(gitude)?|lng
    )(_\d+|_?hash)?"""
# As DuckDB and Python both read them: what looks like an e-mail address, an IBAN, a number of a phone or of a card.
PERSONAL = (
    r"[^@\s]+@[^@\s]+\.[^@\s]+",
    r"[A-Z]{2}[0-9]{2}( ?[A-Z0-9]){11,30}",
    r"(\+|00|\(0|0)[0-9 ()/.-]{7,20}",
    r"[0-9]{4}([ -]?[0-9]{4}){2}[ -]?[0-9]{1,7}",
)


def personal(name: str) -> bool:
    """Say whether a column that is called this may well hold what is somebody's own."""
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[^\w]+", "_", name).strip("_")
    return bool(_personal().fullmatch(plain))


@cache
def _personal() -> re.Pattern[str]:
    """Return the pattern, which takes as long to compile as the rest of this takes to load; few commands ask."""
    return re.compile(_PERSONAL, re.IGNORECASE | re.VERBOSE)


def names_columns(header: Iterable[str], known: Iterable[str]) -> bool:
    """Say whether a first line holds names of columns (some are `known`) and no value."""
    from difflib import get_close_matches

    words = {word.lower() for cell in header for word in re.findall(r"\w+", cell)}
    alike = any(get_close_matches(name.lower(), words, n=1, cutoff=0.6) for name in known)
    return alike and not any(
        re.fullmatch(r"[\W\d_]+|.*@.*|.{80,}", cell, re.DOTALL) for cell in header
    )
