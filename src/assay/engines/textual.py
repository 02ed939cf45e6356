"""Text as declared types: what a source of text hands over is exactly what the text says, or an error."""

from assay.engines.feed import Feed
from assay.engines.pathcolumns import by_path
from assay.engines.quoting import identifier, literal
from assay.engines.types import DECIMAL, INTEGERS
from assay.model import Column, Source


def read_as(column: Column) -> str:
    """Return the type to read text as; whole numbers and decimals are read as text, because DuckDB would round."""
    return "VARCHAR" if column.type in INTEGERS or DECIMAL.match(column.type) else column.type


def typed(feed: Feed) -> str:
    """Return the select list that gives columns their declared types; a text that is no such number is an error."""
    source = feed.source
    assert source is not None
    told = ", ".join(f"{_number(source, c)} as {identifier(c.name)}" for c in source.columns)
    return told + by_path(feed)


def _number(source: Source, column: Column) -> str:
    name, decimal = identifier(column.name), DECIMAL.match(column.type)
    if read_as(column) == column.type:
        return name
    digits = rf"(\.[0-9]{{0,{decimal[2]}}}0*)?" if decimal else ""
    told = f"{source.name}: column {column.name!r} should be {column.type}, and a file has "
    wrong = f"error({literal(told)} || {name} || ' (in ' || __file || ')')"
    fits = f"regexp_full_match(trim({name}), {literal('[+-]?[0-9]+' + digits)})"
    if decimal:
        fits += f" or regexp_full_match(trim({name}), {literal('[+-]?[0-9]*' + digits)})"
    number = f"coalesce(try_cast(trim({name}) as {column.type}), {wrong})"  # it may be too large
    return f"case when {name} is null then null when {fits} then {number} else {wrong} end"
