"""How tables are split into parts: what a part is called, which parts of an input one of its own needs; pure.

A part is called by the value that all of its rows share (`2011-12-05`, `2011-12`, `london`), or, of a source without a
placeholder in its pattern, by the path of its file.
"""

import re
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from functools import cache
from urllib.parse import unquote

from msgspec import Struct

from assay.model import Partition, Source

GRAINS = ("day", "week", "month", "quarter", "year")
_COARSER = {
    "day": set(GRAINS),
    "month": {"month", "quarter", "year"},
    "quarter": {"quarter", "year"},
}
_BY = re.compile(rf"(?:(?P<grain>{'|'.join(GRAINS)})\(\s*(?P<inner>\w+)\s*\)|(?P<column>\w+))")
_PLACEHOLDER = re.compile(r"\{(\w+)(?::(\w+))?\}")
# What a placeholder stands for: how it looks in a path, and the type of the column it becomes.
_KINDS = {
    "str": (r"[^/]+", "VARCHAR"),
    "int": (r"[+-]?[0-9]+", "BIGINT"),
    "date": (r"[0-9]{4}-[0-9]{2}-[0-9]{2}", "DATE"),
    "month": (r"[0-9]{4}-[0-9]{2}", "VARCHAR"),
    "year": (r"[0-9]{4}", "BIGINT"),
}
_GRAIN_OF = {"date": "day", "month": "month", "year": "year"}
NULL = "__HIVE_DEFAULT_PARTITION__"  # how Hive, Spark, DuckDB and Polars write null in a folder called `key=value`
_IN_KEY_VALUE = re.compile(r"(?:^|/)[^/=*?{]+=[^/]*$")


# ---------------------------------------------------------------------------------------------- declared


def partition_by(text: str) -> Partition:
    """Read `day`, `month(invoiced_at)` or the name of a key column; ValueError for anything else."""
    found = _BY.fullmatch(text.strip())
    if not found:
        raise ValueError(
            f"{text!r} is neither a column nor one of {', '.join(f'{g}(column)' for g in GRAINS)}"
        )
    return Partition(
        names=(found["inner"] or found["column"],), grain=found["grain"] or "", in_rows=True
    )


class Template(Struct, frozen=True, kw_only=True):
    """A pattern of paths with placeholders: the glob, a regular expression with a group for each, and their types.

    `escaped` are the names of those in a folder called `key=value`, where values are written as in a URL.
    """

    glob: str
    regex: str
    names: tuple[str, ...]
    types: tuple[str, ...]
    escaped: tuple[str, ...] = ()
    grain: str = ""


def template(pattern: str) -> Template:
    """Read `retail/{day:date}.csv.gz`; ValueError for a placeholder that is none."""
    pattern = re.sub(r"(?:(?<=/)|^)(?:\./)+", "", re.sub(r"/{2,}", "/", pattern))
    found = list(_PLACEHOLDER.finditer(pattern))
    names, kinds = [f[1] for f in found], [f[2] or "str" for f in found]
    for placeholder, name, kind in zip(found, names, kinds, strict=True):
        if kind not in _KINDS:
            kinds_of = ", ".join(f"{{{name}:{k}}}" for k in _KINDS)
            raise ValueError(f"{placeholder[0]} is no placeholder: write one of {kinds_of}")
        if names.count(name) > 1:
            raise ValueError(f"{{{name}}} is there twice")
    literals = _PLACEHOLDER.split(pattern)[:: _PLACEHOLDER.groups + 1]
    if set("".join(literals)) & set("{}"):
        raise ValueError(
            f"{pattern!r} has a placeholder that is none: write {{day:date}}, {{shop}} or {{n:int}}"
        )
    escaped = tuple(
        f[1]
        for f in found
        if _IN_KEY_VALUE.search(pattern[: f.start()]) and "/" in pattern[f.end() :]
    )
    grain = _GRAIN_OF.get(kinds[0], "") if len(kinds) == 1 else ""
    groups = [
        _group(kind, nullable=name in escaped and not grain)
        for name, kind in zip(names, kinds, strict=True)
    ]
    return Template(
        glob="*".join(literals),
        regex=regex_of(literals[0])
        + "".join(g + regex_of(text) for g, text in zip(groups, literals[1:], strict=True)),
        names=tuple(names),
        types=tuple(_KINDS[kind][1] for kind in kinds),
        escaped=escaped,
        grain=grain,
    )


def _group(kind: str, *, nullable: bool) -> str:
    """Return the regular expression of a placeholder; a part in time has to have a time."""
    looks = _KINDS[kind][0]
    return f"({looks}|{NULL})" if nullable else f"({looks})"


def unescaped(value: str) -> str | None:
    """Return the value behind that of a folder called `key=value`; None for null.

    Raises ValueError where no text is behind it.
    """
    told = None if value == NULL else unquote(value, errors="strict")
    if told and "\0" in told:
        raise ValueError(f"{value!r} has a null character")
    return told


def regex_of(glob: str) -> str:
    """Return the regular expression of a glob; `**` goes through folders, `*` and `?` do not."""
    parts = re.split(r"(\*\*/|\*\*$|\*|\?|\[[^]]+\])", glob)
    said = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(
        said.get(p) or (p.replace("[!", "[^") if p[:1] == "[" else re.escape(p)) for p in parts
    )


def keys_of(source: Source) -> Callable[[str], str | None]:
    """Return what tells the part that a file belongs to by its path; None where that does not say (or no real day)."""
    partition = source.partition
    if partition is None or not source.path_regex:
        return lambda path: path
    matches = re.compile(source.path_regex).fullmatch
    if grain := partition.grain:

        def of_time(path: str) -> str | None:
            found = matches(path)
            return found[1] if found and is_key(found[1], grain) else None

        return of_time
    types = {column.name: column.type for column in source.path_columns}
    kinds = [(types.get(name) == "BIGINT", name in source.path_escaped) for name in partition.names]
    alone = len(kinds) == 1

    def of_values(path: str) -> str | None:
        found = matches(path)
        try:
            values = (
                [_value(text, *kind) for text, kind in zip(found.groups(), kinds, strict=True)]
                if found
                else []
            )
        except ValueError:
            return None
        told = (
            values if alone else [value.replace("%", "%25").replace("/", "%2F") for value in values]
        )
        return "/".join(told) if found else None

    return of_values


def _value(text: str, is_number: bool, is_escaped: bool) -> str:
    """Return what the part of a value in a path is called: as the value, and for null as its folder."""
    value = unescaped(text) if is_escaped else text
    if value is None:
        return NULL
    if is_number and abs(int(value)) >= 2**63:
        raise ValueError(f"{value} is no BIGINT")
    return str(int(value)) if is_number else value


def partition_text(partition: Partition) -> str:
    """Return what something is split by, in words."""
    names = ", ".join(partition.names)
    return f"{partition.grain}({names})" if partition.grain and partition.grain != "day" else names


# ---------------------------------------------------------------------------------------------- time


def is_key(key: str, grain: str) -> bool:
    """Say whether a part of this grain can be called so."""
    try:
        first_day(key, grain)
    except ValueError:
        return False
    return True


def first_day(key: str, grain: str) -> date:
    """Return the first day of a part in time; ValueError for a key that is none."""
    match grain:
        case "day":
            return date.fromisoformat(key)
        case "week":
            return date.fromisocalendar(int(key[:4]), int(key[6:]), 1)
        case "month":
            return date.fromisoformat(f"{key}-01")
        case "quarter":
            return date(int(key[:4]), int(key[6:]) * 3 - 2, 1)
        case "year":
            return date(int(key), 1, 1)
    raise ValueError(f"{grain!r} is no grain")


def key_of_day(day: date, grain: str) -> str:
    """Return the part that a day belongs to."""
    match grain:
        case "day":
            return day.isoformat()
        case "week":
            year, week, _ = day.isocalendar()
            return f"{year:04d}-W{week:02d}"
        case "month":
            return f"{day.year:04d}-{day.month:02d}"
        case "quarter":
            return f"{day.year:04d}-Q{(day.month + 2) // 3}"
    return f"{day.year:04d}"


def some_parts(keys: Iterable[str]) -> str:
    """Return the names of a few parts, and how many more there are."""
    names = sorted(keys)
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


@cache
def ordinal(key: str, grain: str) -> int:
    """Return the number of a part in time, so that neighbours differ by one; ValueError for a key that is none."""
    day = first_day(key, grain)
    match grain:
        case "day":
            return day.toordinal()
        case "week":
            return day.toordinal() // 7
        case "month":
            return day.year * 12 + day.month
        case "quarter":
            return day.year * 4 + (day.month + 2) // 3
    return day.year


def fits_grain(fine: str, coarse: str) -> bool:
    """Say whether every part of one grain lies within one of the other, or they are the same."""
    return fine == coarse or coarse in _COARSER.get(fine, ())


def coarsen(key: str, fine: str, coarse: str) -> str:
    """Return the coarser part that a part belongs to."""
    return key if fine == coarse else key_of_day(first_day(key, fine), coarse)


def contains_parts(own: Partition, other: Partition) -> bool:
    """Say whether each part of a table belongs to one of `own`, by what both are split by."""
    return bool(own.names) and own.names == other.names and fits_grain(other.grain, own.grain)


def parts_in_range(keys: Iterable[str], asked: str, grain: str) -> list[str]:
    """Return the parts that `A..B`, or one key, asks for; for parts in time the ends may be coarser (`2011-11`).

    Raises ValueError for ends that cannot be read.
    """
    low, dots, high = asked.partition("..")
    high = high if dots else low
    if grain:
        first = _span(low)[0] if low else date.min
        last = _span(high)[1] if high else date.max
        if first > last:
            raise ValueError(f"{low} is after {high}")
        spans = {key: (first_day(key, grain), last_day(key, grain)) for key in keys if key}
        return [key for key, (begins, ends) in spans.items() if begins <= last and ends >= first]
    if not dots:
        return [key for key in keys if key == low]
    if all(end == "" or end.lstrip("+-").isdecimal() for end in (low, high)):
        numbers = [(key, int(key)) for key in keys if key.lstrip("+-").isdecimal()]
        return [
            k for k, n in numbers if (not low or n >= int(low)) and (not high or n <= int(high))
        ]
    return [key for key in keys if (not low or key >= low) and (not high or key <= high)]


def _span(text: str) -> tuple[date, date]:
    """Return the first and the last day of a day, week, month, quarter or year."""
    for grain in GRAINS:
        if (
            len(text) >= 4
            and is_key(text, grain)
            and key_of_day(first_day(text, grain), grain) == text
        ):
            return first_day(text, grain), last_day(text, grain)
    raise ValueError(f"{text!r} is no day, week, month, quarter or year")


def last_day(key: str, grain: str) -> date:
    """Return the last day of a part in time."""
    first = first_day(key, grain)
    lengths = (
        n
        for n in (365, 364, 91, 90, 89, 30, 29, 28, 27, 6)
        if first.toordinal() + n <= date.max.toordinal()
    )
    days = (first + timedelta(days=n) for n in lengths)
    return next((day for day in days if key_of_day(day, grain) == key), first)


# ---------------------------------------------------------------------------------------------- needs


# Parts in time are numbered; those of other tables stand in the order of what they are called.
