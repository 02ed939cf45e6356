"""Texts as values of declared types: SQL that checks texts, and that reads them."""

import re
from collections.abc import Iterable

from assay.engines.formats import nestedvalues
from assay.engines.formats.pathcolumns import by_path
from assay.engines.nested import is_nested, tree_of
from assay.engines.quoting import identifier, literal
from assay.engines.tables import InputFiles, TextTable
from assay.engines.types import DECIMAL, INTEGERS, zone_of
from assay.model import Column, Dialect, Source

_YEAR = r"(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
_DATE = rf"{_YEAR}(?:-[0-9]{{1,2}}-|/[0-9]{{1,2}}/)[0-9]{{1,2}}"
_CLOCK = r"(?:[01]?[0-9]|2[0-3]):[0-5][0-9]"
_OFFSET = r" ?(?:[Zz]|UTC|[+-][0-9]{2}(?::?[0-9]{2})?)"
_FRACTION = r"\.[0-9]+"
_HAS_OFFSET = rf".*:.*{_OFFSET}"
_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_NO_NUMBER = r"[+-]?(?i:inf|infinity|nan)"
_DIGITS = {  # of a second, that a type stores
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
    "TIMESTAMP": "Times are written 2024-01-31 10:00:00.123456; "
    "of text with a zone, declare the type timestamptz.",
    "TIMESTAMP WITH TIME ZONE": "Times are written 2024-01-31 10:00:00, "
    "or with an offset: 2024-01-31T10:00:00+02:00.",
}


def select(files: InputFiles, tables: Iterable[TextTable]) -> str:
    """Return the query that reads tables of text (SQL) as the declared columns of a source."""
    assert files.source is not None
    named = ", ".join(
        f"{value(c, identifier(c.name), files.source.dialect)} as {identifier(c.name)}"
        for c in files.source.columns
    )
    return " union all ".join(
        f"select {named}{by_path(files)} from {table.sql}" for table in tables
    )


def faulty(column: Column, text: str, dialect: Dialect) -> str:
    """Return the condition that `text` (SQL) is neither null nor exactly a value of the type."""
    if column.type == "VARCHAR":
        return "false"
    if is_nested(column.type):
        return nestedvalues.faulty(
            tree_of(column.type), text, lambda type, leaf: faulty(_leaf(type), leaf, dialect)
        )
    if format := dict(dialect.formats).get(column.name):
        return f"{text} is not null and not coalesce({_is_formatted(column, text, format)}, false)"
    text = _plain_number(column, text, dialect)
    if column.type.startswith("ENUM("):
        return f"{text} is not null and try_cast({text} as {column.type}) is null"
    trimmed, pattern = f"trim({text})", _pattern(column)
    fits = f"try_cast({trimmed} as {column.type}) is not null"
    if zone_of(column)[1]:
        matches = (
            f"regexp_full_match({trimmed}, {literal(pattern)})"  # a cast also takes 'infinity'
        )
        local = f"case when {matches} then try_cast({trimmed} as TIMESTAMP) end"
        has_offset = f"regexp_full_match({trimmed}, {literal(_HAS_OFFSET)})"
        fits += f" and ({has_offset} or {_is_once(local, column)})"
    if pattern:
        fits = f"regexp_full_match({trimmed}, {literal(pattern)}) and {fits}"
    if column.type in {"FLOAT", "DOUBLE"}:  # a number that is too large must not become infinite
        finite = f"isfinite(try_cast({trimmed} as {column.type}))"
        fits = f"regexp_full_match({trimmed}, {literal(_NO_NUMBER)}) or ({fits} and {finite})"
    return f"{text} is not null and not coalesce({fits}, false)"


def value(column: Column, text: str, dialect: Dialect) -> str:
    """Return the SQL of the value of the column's type that `text` (SQL), if not faulty, means."""
    if column.type == "VARCHAR":
        return text
    if is_nested(column.type):
        return nestedvalues.value(
            tree_of(column.type), text, lambda type, leaf: value(_leaf(type), leaf, dialect)
        )
    if format := dict(dialect.formats).get(column.name):
        return _formatted(column, text, format)
    text = _plain_number(column, text, dialect)
    if column.type == "BLOB" or column.type.startswith("ENUM("):
        return f"cast({text} as {column.type})"
    moment = f"cast(trim({text}) as {column.type})"
    if not zone_of(column)[1]:
        return moment
    zone, clock = literal(zone_of(column)[1]), f"cast(trim({text}) as TIMESTAMP)"
    local = f"timezone({zone}, {clock})"
    if column.type == "TIMESTAMPTZ_NS":
        # DuckDB converts microseconds only: convert whole seconds, then put the fraction back.
        seconds = f"cast(timezone({zone}, date_trunc('second', {clock})) as varchar)"
        fraction = f"regexp_extract({text}, {literal(_FRACTION)})"
        local = f"cast(replace({seconds}, '+00', {fraction} || '+00') as TIMESTAMPTZ_NS)"
    has_offset = f"regexp_full_match(trim({text}), {literal(_HAS_OFFSET)})"
    return f"case when {has_offset} then {moment} else {local} end"


def _leaf(type: str) -> Column:
    """Return a value inside of a list or struct as a column: options of columns are not for it."""
    return Column(name="", type=type)


def _is_number(column: Column) -> bool:
    return column.type in INTEGERS | {"FLOAT", "DOUBLE"} or bool(DECIMAL.match(column.type))


def _plain_number(column: Column, text: str, dialect: Dialect) -> str:
    """Return the SQL of a number (SQL) as it is without a dialect; what is no number stays none."""
    point, group = dialect.decimal_separator, dialect.thousands
    if not _is_number(column) or (point == "." and not group):
        return text
    trimmed, digits = f"trim({text})", "[0-9]+"
    if group:
        digits = rf"(?:[0-9]+|[0-9]{{1,3}}(?:\x{{{ord(group):x}}}[0-9]{{3}})+)"
    fraction = "" if column.type in INTEGERS else rf"(?:\x{{{ord(point):x}}}[0-9]*)?"
    exponent = "(?:[eE][+-]?[0-9]+)?" if column.type in {"FLOAT", "DOUBLE"} else ""
    # A fraction without digits before it is a number, too.
    pattern = rf"[+-]?(?:{digits})?{fraction}{exponent}"
    if exponent:
        pattern = f"{pattern}|{_NO_NUMBER}"
    plain = f"replace({trimmed}, {literal(group)}, '')" if group else trimmed
    plain = f"replace({plain}, {literal(point)}, '.')"
    matches = f"regexp_full_match({trimmed}, {literal(pattern)})"
    return f"(case when {matches} then {plain} when {text} is not null then '?' end)"


def _is_formatted(column: Column, text: str, format: str) -> str:
    """Return the condition that a text (SQL) is written in a format, exactly a value of the type."""
    parsed = f"try_strptime(trim({text}), {literal(format)})"
    fits = f"{parsed} is not null and isfinite({parsed})"
    if "%Y" in format:  # `24` for 2024 would be the year 24
        fits += f" and year({parsed}) >= 1000"
    if column.type in {"TIMESTAMP_MS", "TIMESTAMP_S"}:
        fits += f" and cast(cast({parsed} as {column.type}) as TIMESTAMP) = {parsed}"
    unit, zone = zone_of(column)
    if unit == "ms":
        fits += f" and epoch_us({parsed}) % 1000 = 0"
    if zone and "%z" not in format:
        fits += f" and {_is_once(parsed, column)}"
    return fits


def _formatted(column: Column, text: str, format: str) -> str:
    """Return the SQL of the value of a text (SQL) that is written in a format."""
    parsed, zone = f"strptime(trim({text}), {literal(format)})", zone_of(column)[1]
    if zone and "%z" not in format:
        return f"timezone({literal(zone)}, {parsed})"
    return f"cast({parsed} as {column.type})"


def _is_once(local: str, column: Column) -> str:
    """Return the condition that a local time (SQL) occurs exactly once in the column's zone.

    When clocks are put forward, times are left out; when they are put back, times occur twice.
    """
    zone = literal(zone_of(column)[1])
    utc = f"timezone('UTC', {local})"

    def with_offset_of(sign: str) -> str:
        """Return the time's moment by the zone's offset of a day before (-) or after (+)."""
        day = f"({utc} {sign} interval 1 day)"
        return f"({utc} - (timezone({zone}, {day}) - timezone('UTC', {day})))"

    before, after = with_offset_of("-"), with_offset_of("+")
    fits_before = f"timezone({zone}, {before}) = {local}"
    fits_after = f"timezone({zone}, {after}) = {local}"
    return (
        f"case when {before} = {after} then {fits_before} "
        f"else ({fits_before}) <> ({fits_after}) end"
    )


def hint(source: Source, column: Column, text: str) -> str:
    """Return the hint for a text that is no value of a column's declared type."""
    kind = "TIMESTAMP" if column.type.startswith("TIMESTAMP_") else column.type
    advice = _HINTS.get(kind, "")
    if zone := zone_of(column)[1]:
        advice = (
            f"Times are by the clocks of {zone} (2024-01-31 10:00:00), "
            "or with an offset (2024-01-31T10:00:00Z). "
            "What these clocks never show, or twice, when they are put forward and back, "
            "needs an offset."
        )
    dialect, declared = source.dialect, column.logical or column.type
    if format := dict(dialect.formats).get(column.name):
        advice = f"The source says that it is written as {format!r}."
    elif advice:
        option = "date_format" if column.type == "DATE" else "timestamp_format"
        others = f", or give {option}=" if column.type != "TIME" else ""
        advice = f"{advice.removesuffix('.')}{others}."
    elif _is_number(column) and source.format == "csv":
        advice = _hint_of_number(dialect, text)
    null = "name in null_values= what stands for no value, " if source.format == "csv" else ""
    other = f"or declare {source.declared_name(column.name)!r} as another type, such as 'varchar', than {declared}"
    return f"{advice} Mend the file, {null}{other}.".lstrip()


def _hint_of_number(dialect: Dialect, text: str) -> str:
    """Return which option may make a number of a text; '' for none."""
    if "," in text and dialect.decimal_separator == "." and not dialect.thousands:
        last = text.rfind(",") > text.rfind(".")
        return 'Give decimal_separator="," if it is 1,5.' if last else 'Give thousands=",".'
    if re.fullmatch(r"[+-]?[0-9]{1,3}(?:[^0-9+-][0-9]{3})+", text.strip()):
        return "Give thousands= if digits are grouped."
    return ""


def _pattern(column: Column) -> str:
    """Return the regular expression of whole texts of a type; '' if a cast is exact enough."""
    type = column.type
    if type in INTEGERS:
        return "[+-]?[0-9]+"
    if decimal := DECIMAL.match(type):
        digits = rf"\.[0-9]{{0,{decimal[2]}}}0*"  # more zeros lose nothing
        return rf"[+-]?(?:[0-9]+(?:{digits})?|{digits})"
    if type in {"FLOAT", "DOUBLE"}:
        return _NUMBER
    if type == "DATE":  # midnight after it loses nothing
        return rf"{_DATE}(?:[ T]0?0:00(?::00(?:\.0*)?)?)?"
    if type not in _DIGITS:
        return ""
    digits = str(3 if zone_of(column)[0] == "ms" else _DIGITS[type])
    clock = rf"{_CLOCK}(?::[0-5][0-9](?:\.[0-9]{{0,{digits}}}0*)?)?"
    if type == "TIME":
        return clock
    offset = f"(?:{_OFFSET})?" if type in _ZONED else ""
    return rf"{_DATE}(?:[ T]{clock}{offset})?"
