"""Numbers of JSON in quotes, behind a mark: DuckDB would read them as doubles."""

from assay.engines.quoting import literal

MARK = "\ufdd0"  # Unicode reserves it for internal use; a file that contains it is refused
_MARKED = f'"{MARK}([^"]*)"'


def unmarked(text: str, type: str) -> str:
    """Return the SQL of a text (SQL) of a type without marks."""
    if type != "VARCHAR":
        return f"replace({text}, '{MARK}', '')"
    # The text may be an object or a list with numbers in it.
    numbers = f"regexp_replace({text}, {literal(_MARKED)}, '\\1', 'g')"
    without = f"replace({numbers}, '{MARK}', '')"
    return f"case when contains({text}, '{MARK}') then {without} else {text} end"
