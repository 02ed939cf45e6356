"""Text as declared types: which texts are a value of a type, exactly, and the SQL that reads them."""

from collections.abc import Iterable

from assay.engines.formats.pathcolumns import by_path
from assay.engines.quoting import identifier, literal
from assay.engines.tables import InputFiles
from assay.engines.types import DECIMAL, INTEGERS, zone_of
from assay.model import Column

_YEAR = r"(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
_DATE = rf"{_YEAR}(?:-[0-9]{{1,2}}-|/[0-9]{{1,2}}/)[0-9]{{1,2}}"
_CLOCK = r"(?:[01]?[0-9]|2[0-3]):[0-5][0-9]"
_OFFSET = r" ?(?:[Zz]|UTC|[+-][0-9]{2}(?::?[0-9]{2})?)"
_FRACTION = r"\.[0-9]+"
_HAS_OFFSET = rf".*:.*{_OFFSET}"
_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_NO_NUMBER = r"[+-]?(?i:inf|infinity|nan)"
_DIGITS = {  # of a second, that a type keeps
    "TIME": 6,
    "TIMESTAMP": 6,
    "TIMESTAMP_S": 0,
    "TIMESTAMP_MS": 3,
    "TIMESTAMP_NS": 9,
    "TIMESTAMP WITH TIME ZONE": 6,
    "TIMESTAMPTZ_NS": 9,
}
_ZONED = {"TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ_NS"}
_HINTS = {
    "DATE": "Dates are written 2024-01-31.",
    "TIME": "Times are written 10:00:00, up to 23:59:59.999999.",
    "TIMESTAMP": "Times are written 2024-01-31 10:00:00.123456; of text with a zone, declare the type timestamptz.",
    "TIMESTAMP WITH TIME ZONE": "Times are written 2024-01-31 10:00:00, or with an offset: 2024-01-31T10:00:00+02:00.",
}


def select(files: InputFiles, tables: Iterable[str]) -> str:
    """Return the query that reads tables of text (SQL) as the columns that a source declares."""
    assert files.source is not None
    named = ", ".join(
        f"{value(c, identifier(c.name))} as {identifier(c.name)}" for c in files.source.columns
    )
    return " union all ".join(f"select {named}{by_path(files)} from {table}" for table in tables)


def faulty(column: Column, text: str) -> str:
    """Return the condition that `text` (SQL) is there and is not, exactly, a value of a column's declared type."""
    if column.type == "VARCHAR":
        return "false"
    if column.type.startswith("ENUM("):
        return f"{text} is not null and try_cast({text} as {column.type}) is null"
    fits = f"try_cast(trim({text}) as {column.type}) is not null"
    if zone_of(column)[1]:
        shaped = (
            f"regexp_full_match(trim({text}), {literal(_pattern(column))})"  # and not infinite, say
        )
        local = f"case when {shaped} then try_cast(trim({text}) as TIMESTAMP) end"
        fits += f" and (regexp_full_match(trim({text}), {literal(_HAS_OFFSET)}) or {_is_once(local, column)})"
    if pattern := _pattern(column):
        fits = f"regexp_full_match(trim({text}), {literal(pattern)}) and {fits}"
    if column.type in {"FLOAT", "DOUBLE"}:  # a number that is too large is not infinite
        finite = f"isfinite(try_cast(trim({text}) as {column.type}))"
        fits = f"regexp_full_match(trim({text}), {literal(_NO_NUMBER)}) or ({fits} and {finite})"
    return f"{text} is not null and not coalesce({fits}, false)"


def value(column: Column, text: str) -> str:
    """Return the SQL of the value of a declared type that `text` (SQL), which is not faulty, is."""
    if column.type in {"VARCHAR", "BLOB"} or column.type.startswith("ENUM("):
        return text if column.type == "VARCHAR" else f"cast({text} as {column.type})"
    moment = f"cast(trim({text}) as {column.type})"
    if not (zone := zone_of(column)[1]):
        return moment
    local = f"timezone({literal(zone)}, cast(trim({text}) as TIMESTAMP))"
    if (
        column.type == "TIMESTAMPTZ_NS"
    ):  # DuckDB has zones for microseconds; what a second is divided in is put back
        whole = f"cast(timezone({literal(zone)}, date_trunc('second', cast(trim({text}) as TIMESTAMP))) as varchar)"
        fraction = f"regexp_extract({text}, {literal(_FRACTION)})"
        local = f"cast(replace({whole}, '+00', {fraction} || '+00') as TIMESTAMPTZ_NS)"
    return f"case when regexp_full_match(trim({text}), {literal(_HAS_OFFSET)}) then {moment} else {local} end"


def _is_once(local: str, column: Column) -> str:
    """Return the condition that the clocks of a column's zone show a time (SQL) once: they are put forward and back."""
    zone = literal(zone_of(column)[1])
    utc = f"timezone('UTC', {local})"

    def by_offset_of(
        day: str,
    ) -> str:  # the moment, if the offset is that of the day before, or after
        other = f"({utc} {day} interval 1 day)"
        return f"({utc} - (timezone({zone}, {other}) - timezone('UTC', {other})))"

    before, after = by_offset_of("-"), by_offset_of("+")
    right = [f"timezone({zone}, {moment}) = {local}" for moment in (before, after)]
    return f"case when {before} = {after} then {right[0]} else ({right[0]}) <> ({right[1]}) end"


def hint(column: Column) -> str:
    """Return what to do about a text that is no value of a column's declared type."""
    kind = "TIMESTAMP" if column.type.startswith("TIMESTAMP_") else column.type
    how = _HINTS.get(kind, "")
    if zone := zone_of(column)[1]:
        how = f"Times are by the clocks of {zone} (2024-01-31 10:00:00), or with an offset (2024-01-31T10:00:00Z). "
        how += "What these clocks never show, or twice, when they are put forward and back, needs an offset."
    name = f"{column.name!r}: 'varchar'"
    return (
        f"{how} ".lstrip()
        + f"Mend the file, name in null_values= what stands for no value, or declare {name}."
    )


def _pattern(column: Column) -> str:
    """Return the regular expression that texts of a type match as a whole; '' where a cast alone says it."""
    type = column.type
    if type in INTEGERS:
        return "[+-]?[0-9]+"
    if decimal := DECIMAL.match(type):
        digits = rf"\.[0-9]{{0,{decimal[2]}}}0*"  # zeros that are too many lose nothing
        return rf"[+-]?(?:[0-9]+(?:{digits})?|{digits})"
    if type in {"FLOAT", "DOUBLE"}:
        return _NUMBER
    if type == "DATE":  # midnight behind it loses nothing
        return rf"{_DATE}(?:[ T]0?0:00(?::00(?:\.0*)?)?)?"
    if type not in _DIGITS:
        return ""
    kept = 3 if zone_of(column)[0] == "ms" else _DIGITS[type]
    clock = rf"{_CLOCK}(?::[0-5][0-9](?:\.[0-9]{{0,{kept}}}0*)?)?"
    if type == "TIME":
        return clock
    return rf"{_DATE}(?:[ T]{clock}{f'(?:{_OFFSET})?' if type in _ZONED else ''})?"
