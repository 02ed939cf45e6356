"""Days, months and years in paths that are written otherwise than 2024-01-31; pure.

{day:date:%Y%m%d}    {day:date:%Y/%m/%d}    {month:month:%b%y}    {year:year:%y}
"""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import date, datetime
from functools import cache

# What a specifier of strptime is in a path, as a regular expression of Python, Rust and RE2.
_SPECIFIERS = {
    "Y": "[0-9]{4}",
    "y": "[0-9]{2}",
    "m": "[0-9]{2}",
    "-m": "[0-9]{1,2}",
    "d": "[0-9]{2}",
    "-d": "[0-9]{1,2}",
    "j": "[0-9]{3}",
    "b": "[A-Za-z]{3}",
    "B": "[A-Za-z]{3,9}",
}
_SPECIFIER = re.compile("%(-?.)", re.DOTALL)
_YEARS, _MONTHS = ({"Y"}, {"y"}), ({"m"}, {"b"}, {"B"})
_OF_KIND = {
    "date": ([{"j"}, *(month | {"d"} for month in _MONTHS)], "year, month and day"),
    "month": ([*_MONTHS], "year and month"),
    "year": ([set[str]()], "year"),
}
ISO = {"date": "%Y-%m-%d", "month": "%Y-%m", "year": "%Y"}
_COMPACT = {"%Y-%m-%d", "%Y%m%d"}  # what date.fromisoformat reads, ten times as fast
_HINT = "Write it as strptime does: {day:date:%Y%m%d}, {month:month:%Y%m}, {day:date:%Y/%m/%d}."


def regex_of_format(kind: str, format: str) -> str:
    """Return the regular expression of what a format writes; ValueError for one that is unfit.

    `kind` is that of the placeholder: date, month or year.
    """
    if kind not in ISO:
        raise ValueError(
            f"a placeholder of kind {kind!r} has no format: {format!r} is for date, month and year"
        )
    found = _SPECIFIER.findall(format)
    if "%" in _SPECIFIER.sub("", format):
        raise ValueError(f"the format {format!r} ends in a % without a letter. {_HINT}")
    if unknown := [name for name in found if name not in _SPECIFIERS]:
        known = ", ".join(f"%{name}" for name in _SPECIFIERS)
        raise ValueError(f"the format {format!r} has %{unknown[0]}; a path may have {known}")
    plain = [name.lstrip("-") for name in found]
    if twice := [name for name in plain if plain.count(name) > 1]:
        raise ValueError(f"the format {format!r} has %{twice[0]} twice. {_HINT}")
    ways, wanted = _OF_KIND[kind]
    if not any(set(plain) == year | way for year in _YEARS for way in ways):
        raise ValueError(f"the format {format!r} of a {kind} should say {wanted} once. {_HINT}")
    literals = _SPECIFIER.split(format)[::2]
    groups = [*(_SPECIFIERS[name] for name in found), ""]
    return "".join(re.escape(text) + group for text, group in zip(literals, groups, strict=True))


def glob_of_format(format: str) -> str:
    """Return the pattern of what a format writes: a star for each folder that it names."""
    return "/".join("*" for _ in format.split("/"))


@cache
def iso_of(format: str, kind: str) -> Callable[[str], str]:
    """Return a function from what a format writes to 2024-01-31, 2024-01 or 2024.

    The function raises ValueError for a day that does not exist.
    """
    length, of_python = len("2024-01-31"[: {"date": 10, "month": 7, "year": 4}[kind]]), format
    for name in ("-m", "-d"):
        of_python = of_python.replace(f"%{name}", f"%{name[1]}")

    def iso(text: str) -> str:
        if format in _COMPACT:
            return date.fromisoformat(text).isoformat()
        return datetime.strptime(text, of_python).date().isoformat()[:length]

    return iso


def kind_of(format: str) -> str:
    """Return the kind of the placeholder that a format fits: date, month or year."""
    plain = {name.lstrip("-") for name in _SPECIFIER.findall(format)}
    if plain & {"d", "j"}:
        return "date"
    return "year" if plain <= {"Y", "y"} else "month"


def iso_texts(texts: Mapping[str, str | None], format: str) -> dict[str, str | None]:
    """Return the values of paths by their texts, as ISO writes them; others are left as they are."""
    iso, values = iso_of(format, kind_of(format)), dict(texts)
    for text in values:
        with suppress(ValueError):
            values[text] = iso(text)
    return values
