"""How tables are split into parts: names of parts, patterns of paths, and periods of time; pure.

A part is named by the value that all of its rows share (`2011-12-05`, `2011-12`, `london`), or by
the path of its file, in a source without placeholders.
"""

import re
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from functools import cache
from urllib.parse import unquote

from msgspec import Struct

from assay.model import Partition, Source
from assay.plan.path_dates import glob_of_format, iso_of, kind_of, regex_of_format

GRAINS = ("day", "week", "month", "quarter", "year")
_COARSER = {
    "day": set(GRAINS),
    "month": {"month", "quarter", "year"},
    "quarter": {"quarter", "year"},
}
_BY = re.compile(rf"(?:(?P<grain>{'|'.join(GRAINS)})\(\s*(?P<inner>\w+)\s*\)|(?P<column>\w+))")
_PLACEHOLDER = re.compile(r"\{(\w+)(?::(\w+)(?::([^{}*?\[\]]*))?)?\}")
# The kinds of placeholders: regular expression of the values, and type of the column.
_KINDS = {
    "str": (r"[^/]+", "VARCHAR"),
    "int": (r"[+-]?[0-9]+", "BIGINT"),
    "date": (r"[0-9]{4}-[0-9]{2}-[0-9]{2}", "DATE"),
    "month": (r"[0-9]{4}-[0-9]{2}", "VARCHAR"),
    "year": (r"[0-9]{4}", "BIGINT"),
}
_GRAIN_OF = {"date": "day", "month": "month", "year": "year"}
# How Hive, Spark, DuckDB and Polars write null in the name of a folder `key=value`.
NULL = "__HIVE_DEFAULT_PARTITION__"
_IN_KEY_VALUE = re.compile(r"(?:^|/)[^/=*?{]+=[^/]*$")


def partition_by(text: str) -> Partition:
    """Read `day`, `month(invoiced_at)` or the name of a column; ValueError for anything else."""
    match = _BY.fullmatch(text.strip())
    if not match:
        grains = ", ".join(f"{grain}(column)" for grain in GRAINS)
        raise ValueError(f"{text!r} is neither a column nor one of {grains}")
    name, grain = match["inner"] or match["column"], match["grain"] or ""
    return Partition(names=(name,), grain=grain, in_rows=True)


class Template(Struct, frozen=True, kw_only=True):
    """A pattern of paths with placeholders.

    - `glob`: the pattern with `*` for each placeholder.
    - `regex`: a regular expression with a group for each placeholder.
    - `names`, `types`: the names of the placeholders, and the types of their columns.
    - `escaped`: names of placeholders in a folder `key=value`, where values are escaped as in a
      URL.
    - `grain`: the period that the only placeholder stands for; '' for none.
    - `formats`: how days, months and years are written, by placeholder; those without one as ISO
      writes them.
    - `grains`: the period that each placeholder stands for; '' for none.
    """

    glob: str
    regex: str
    names: tuple[str, ...]
    types: tuple[str, ...]
    escaped: tuple[str, ...] = ()
    grain: str = ""
    formats: tuple[tuple[str, str], ...] = ()
    grains: tuple[str, ...] = ()


def template(pattern: str) -> Template:
    """Read `retail/{day:date}.csv.gz`; ValueError for a placeholder that cannot be read.

    `{day:date:%Y%m%d}` says how days are written in paths.
    """
    pattern = re.sub(r"(?:(?<=/)|^)(?:\./)+", "", re.sub(r"/{2,}", "/", pattern))
    placeholders = list(_PLACEHOLDER.finditer(pattern))
    names = [placeholder[1] for placeholder in placeholders]
    kinds = [placeholder[2] or "str" for placeholder in placeholders]
    formats = [placeholder[3] for placeholder in placeholders]
    for placeholder, name, kind in zip(placeholders, names, kinds, strict=True):
        if kind not in _KINDS:
            kinds_of = ", ".join(f"{{{name}:{k}}}" for k in _KINDS)
            raise ValueError(f"{placeholder[0]} is no placeholder: write one of {kinds_of}")
        if names.count(name) > 1:
            raise ValueError(f"{{{name}}} is there twice")
    literals = _PLACEHOLDER.split(pattern)[:: _PLACEHOLDER.groups + 1]
    if set("".join(literals)) & set("{}"):
        raise ValueError(
            f"{pattern!r} has a placeholder that is none:"
            " write {day:date}, {day:date:%Y%m%d}, {shop} or {n:int}"
        )
    escaped = tuple(
        placeholder[1]
        for placeholder in placeholders
        if _IN_KEY_VALUE.search(pattern[: placeholder.start()])
        and "/" in pattern[placeholder.end() :]
    )
    grain = _GRAIN_OF.get(kinds[0], "") if len(kinds) == 1 else ""
    groups = [
        _group(kind, format, nullable=name in escaped and not grain)
        for name, kind, format in zip(names, kinds, formats, strict=True)
    ]
    stars = ["*" if format is None else glob_of_format(format) for format in formats]
    return Template(
        glob="".join(text + star for text, star in zip(literals, [*stars, ""], strict=True)),
        regex=regex_of(literals[0])
        + "".join(g + regex_of(text) for g, text in zip(groups, literals[1:], strict=True)),
        names=tuple(names),
        types=tuple(_KINDS[kind][1] for kind in kinds),
        escaped=escaped,
        grain=grain,
        formats=tuple(pair for pair in zip(names, formats, strict=True) if pair[1] is not None),
        grains=tuple(_GRAIN_OF.get(kind, "") for kind in kinds),
    )


def _group(kind: str, format: str | None, *, nullable: bool) -> str:
    """Return the regular expression of a placeholder, with a group."""
    pattern = _KINDS[kind][0] if format is None else regex_of_format(kind, format)
    return f"({pattern}|{NULL})" if nullable else f"({pattern})"


def unescaped(value: str) -> str | None:
    """Return the value that is escaped in the name of a folder `key=value`; None for null.

    Raises ValueError for escapes that are no text.
    """
    if value == NULL:
        return None
    text = unquote(value, errors="strict")
    if "\0" in text:
        raise ValueError(f"{value!r} has a null character")
    return text


def regex_of(glob: str) -> str:
    """Return the regular expression of a glob; `**` goes through folders, `*` and `?` do not."""
    parts = re.split(r"(\*\*/|\*\*$|\*|\?|\[[^]]+\])", glob)
    wildcards = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}

    def regex(part: str) -> str:
        if part in wildcards:
            return wildcards[part]
        return part.replace("[!", "[^") if part.startswith("[") else re.escape(part)

    return "".join(map(regex, parts))


def keys_of(source: Source) -> Callable[[str], str | None]:
    """Return a function from the path of a file to the key of its part.

    It returns None for a path without a part, or with a day that does not exist.
    """
    partition = source.partition
    if partition is None or not source.path_regex:
        return lambda path: path
    matches, formats = re.compile(source.path_regex).fullmatch, dict(source.path_formats)
    isos = {name: iso_of(format, kind_of(format)) for name, format in formats.items()}
    if grain := partition.grain:
        iso = isos.get(partition.names[0])

        def of_time(path: str) -> str | None:
            if not (match := matches(path)):
                return None
            if iso is None:
                return match[1] if is_key(match[1], grain) else None
            try:
                return iso(match[1])
            except ValueError:
                return None

        return of_time
    types = {column.name: column.type for column in source.path_columns}
    kinds = [
        (types.get(name) == "BIGINT", name in source.path_escaped, isos.get(name))
        for name in partition.names
    ]

    def of_values(path: str) -> str | None:
        match = matches(path)
        if not match:
            return None
        try:
            values = [_value(text, *kind) for text, kind in zip(match.groups(), kinds, strict=True)]
        except ValueError:
            return None
        if len(values) == 1:
            return values[0]
        return "/".join(value.replace("%", "%25").replace("/", "%2F") for value in values)

    return of_values


def _value(text: str, is_number: bool, is_escaped: bool, iso: Callable[[str], str] | None) -> str:
    """Return the value in a path as it is in the key of a part; null stays as it is in the path."""
    value = unescaped(text) if is_escaped else text
    if value is None:
        return NULL
    if iso is not None:
        return iso(value)
    if is_number and abs(int(value)) >= 2**63:
        raise ValueError(f"{value} is no BIGINT")
    return str(int(value)) if is_number else value


def partition_text(partition: Partition) -> str:
    """Return what splits a table, as users write it: `month(invoiced_at)` or `day`."""
    names = ", ".join(partition.names)
    return f"{partition.grain}({names})" if partition.grain and partition.grain != "day" else names


def is_key(key: str, grain: str) -> bool:
    """Return whether this is the key of a part of this grain."""
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
    """Return the number of a part in time: neighbours differ by one; ValueError for another key."""
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
    """Return whether every period of the fine grain lies within one of the coarse grain."""
    return fine == coarse or coarse in _COARSER.get(fine, ())


def coarsen(key: str, fine: str, coarse: str) -> str:
    """Return the coarser part that a part belongs to."""
    return key if fine == coarse else key_of_day(first_day(key, fine), coarse)


def contains_parts(own: Partition, finer: Partition) -> bool:
    """Return whether each part of a table split by `finer` belongs to one part of `own`."""
    return bool(own.names) and own.names == finer.names and fits_grain(finer.grain, own.grain)


def parts_in_range(keys: Iterable[str], part_range: str, grain: str) -> list[str]:
    """Return the keys in a range `A..B`, or the one key; ends in time may be coarser (`2011-11`).

    Raises ValueError for ends that cannot be read.
    """
    low, dots, high = part_range.partition("..")
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
            key
            for key, number in numbers
            if (not low or number >= int(low)) and (not high or number <= int(high))
        ]
    return [key for key in keys if (not low or key >= low) and (not high or key <= high)]


def _span(text: str) -> tuple[date, date]:
    """Return the first and the last day of a day, week, month, quarter or year."""
    for grain in GRAINS:
        if len(text) < 4 or not is_key(text, grain):
            continue
        first = first_day(text, grain)
        if key_of_day(first, grain) == text:
            return first, last_day(text, grain)
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
