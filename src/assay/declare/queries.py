"""The SQL of declarations: which text or file it is, and how it is parsed."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from assay.declare.names import Names
from assay.declare.rule_arguments import NotARule
from assay.declare.rule_queries import given_sql
from assay.declare.words import ProductDeclaration
from assay.engines.sql import reader
from assay.engines.sql.dialects import OURS, dialects, translate
from assay.engines.sql.tables import Unreadable
from assay.errors import UsageError
from assay.model import Where
from assay.plan.names import nearest
from assay.store.files import not_a_file


def sql_file(declared: ProductDeclaration) -> Path | None:
    """Return the `.sql` file that a product names; None for a product that gives its SQL."""
    text = str(declared.make).strip()
    if text.endswith(".sql") and len(text.split()) == 1:
        return Path(declared.where.file).parent / text
    return None


def text_of(file: Path) -> str:
    """Return the text of a file; OSError for a pipe or a device, which might have no end."""
    if kind := not_a_file(file):
        raise OSError(0, f"it is {kind}")
    return file.read_text(encoding="utf-8")


def sql_texts(declared: ProductDeclaration) -> Iterator[str]:
    """Yield the SQL of a product and of its rules, to be parsed together.

    SQL that cannot be read is left out: its problem is reported when the product or the rule is
    read.
    """
    if isinstance(declared.make, str):
        file = sql_file(declared)
        with suppress(OSError, UnicodeDecodeError, UsageError):
            text = text_of(file) if file else declared.make
            dialect = declared.dialect
            yield translate(text, dialect).sql if is_foreign(dialect) else text
    for rule in declared.rules:
        with suppress(NotARule, UnicodeError):
            yield from given_sql(rule)


def is_foreign(dialect: str) -> bool:
    """Return whether a query in a dialect has to be translated."""
    return dialect not in {"", OURS}


def translated(
    text: str,
    declared: ProductDeclaration,
    label: str,
    where: Where,
    names: Names,
    *,
    in_file: bool,
) -> str | None:
    """Return the query of a product in DuckDB's dialect; None, with its problems reported, if it
    cannot be translated. `label`, `where` and `in_file` are as for `parse_query`."""
    dialect = declared.dialect
    try:
        known = dialects(f"dialect={dialect!r}")
        if dialect not in known:
            message = f"{label}: there is no dialect {dialect!r}"
            hints = [nearest(dialect.lower(), known), f"There are {', '.join(known)}."]
            names.report(message, names.relative(declared.where), "\n".join(filter(None, hints)))
            return None
        translation = translate(text, dialect)
    except UsageError as error:
        names.report(f"{label}: {error.what}", names.relative(declared.where), error.hint)
        return None
    lines = text.splitlines()
    for refusal in translation.refusals:
        line, column = refusal.line, refusal.column
        at = f", line {line} column {column}" if line else ""
        hint = f"{lines[line - 1]}\n{' ' * (column - 1)}^" if 0 < line <= len(lines) else ""
        place = Where(where.file, line) if in_file and line else where
        names.report(f"{label} ({dialect}){at}: {refusal.what}", place, hint)
    return None if translation.refusals else translation.sql


def parse_query(
    text: str, label: str, where: Where, names: Names, *, in_file: bool = False, condition: str = ""
) -> reader.Parsed | None:
    """Return a parsed query; None, with its problem reported, for a text that is no query.

    `label` says whose SQL it is; `in_file` says that `where` is the file of the SQL, whose line is
    then reported; positions are those in the `condition`, if the query was made of one.
    """
    try:
        return reader.parse(text)
    except Unreadable as error:
        if error.offset < 0:
            names.report(f"{label}: {error.what}", where)
            return None
        line, column, line_text = reader.place(text, error.offset, inside=condition)
        end = reader.place(condition, len(condition.encode()))[:2] if condition else None
        what = "syntax error at the end of the condition" if end == (line, column) else error.what
        message = f"{label}, line {line} column {column}: {what}"
        marker = " " * (column - 1) + "^"
        names.report(
            message, Where(where.file, line) if in_file else where, f"{line_text}\n{marker}"
        )
        return None
