"""Errors of functions that were run without rows: whether they would be raised for rows too, and where."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from assay.engines.sql.unbound import problem_of
from assay.model import Column, Where
from assay.plan.misfits import Degree, Problem, no_column
from assay.text import clean

# Errors of Polars and DuckDB about columns and types, which do not depend on rows.
_ABOUT_COLUMNS = {
    *("ColumnNotFoundError", "DuplicateError", "InvalidOperationError", "SchemaError"),
    *("SchemaFieldNotFoundError", "StructFieldNotFoundError"),
    *("BinderException", "CatalogException", "ParserException"),
}
_NOT_FOUND = re.compile(
    r'unable to find column "(.*?)"; valid columns: \[(.*)\]'
    r'|^"(.*?)" not found|^Binder Error: Referenced column "(.*?)" not found'
)
_COMPARES = "cannot compare"


def problem_with(
    error: BaseException,
    inputs: Mapping[str, Sequence[Column]],
    function: Callable[..., Any],
    root: Path,
    *,
    values_taken: bool,
) -> Problem:
    """Return what an error of a function of a project says about its code.

    It is `wrong` if rows would not change it. `values_taken` says that the code took values out of
    tables, so that with rows it may do something else.
    """
    text = str(error).strip()
    where = _where_raised(error.__traceback__, root)
    if type(error) is NameError and not values_taken:
        return Problem(what=clean(f"its function raises NameError: {text}"), where=where)
    if values_taken or not _is_about_columns(error, text):
        first = text.partition("\n")[0]
        what = f"its function, run without rows, raised {type(error).__name__}: {first}"
        return Problem(what=clean(what), degree=Degree.UNCHECKED, where=where)
    found = _NOT_FOUND.search(text.partition("\n")[0])
    missing = _missing(found, inputs) if found else ""
    if found and missing:
        name = next(group for group in (found[1], found[3], found[4]) if group is not None)
        return Problem(what=clean(missing), where=where or _where_named(name, function, root))
    what = problem_of(text.partition("Error: ")[2] or text, "", -1, {}).what
    return Problem(what=clean(what), where=where)


def _missing(found: re.Match[str], inputs: Mapping[str, Sequence[Column]]) -> str:
    """Return which table lacks the column that an error names; '' if it does not say."""
    name = next(group for group in (found[1], found[3], found[4]) if group is not None)
    tables = {owner: [column.name for column in columns] for owner, columns in inputs.items()}
    valid = re.findall(r'"(.*?)"(?:, |$)', found[2] or "")
    owners = [owner for owner, columns in tables.items() if columns == valid]
    if not valid and len(tables) == 1:
        owners = [owner for owner, columns in tables.items() if name not in columns]
    if owners:
        return no_column(name, owners[0], tables[owners[0]])
    if found[4] is not None:
        return ""  # DuckDB says which columns there are in its own words
    return no_column(name, "the table that its function selects from", valid)


def _is_about_columns(error: BaseException, text: str) -> bool:
    name, module = type(error).__name__, type(error).__module__
    if not module.startswith(("polars.", "duckdb", "_duckdb")):
        return False
    return name in _ABOUT_COLUMNS or (name == "ComputeError" and text.startswith(_COMPARES))


def _where_raised(traceback: TracebackType | None, root: Path) -> Where | None:
    """Return the innermost line of the project that an error came through."""
    where = None
    while traceback:
        file = Path(traceback.tb_frame.f_code.co_filename)
        if file.is_relative_to(root):
            where = Where(str(file.relative_to(root)), traceback.tb_lineno)
        traceback = traceback.tb_next
    return where


def _where_named(column: str, function: Callable[..., Any], root: Path) -> Where | None:
    """Return the line of a function that names a column, if there is just one."""
    try:
        function = inspect.unwrap(function)
        lines, first = inspect.getsourcelines(function)
        file = Path(inspect.getsourcefile(function) or "")
    except (OSError, TypeError):
        return None
    quoted = re.compile(rf"(['\"]){re.escape(column)}\1|\bcol\.{re.escape(column)}\b")
    numbers = [number for number, line in enumerate(lines, first) if quoted.search(line)]
    if len(numbers) != 1 or not file.is_relative_to(root):
        return None
    return Where(str(file.relative_to(root)), numbers[0])
