"""The declared version of a contract, and until when deprecated columns are kept."""

from collections.abc import Mapping
from datetime import date

from assay.declare.names import Names
from assay.declare.words import ProductDeclaration
from assay.model import Column
from assay.plan.changes.versions import version_of
from assay.plan.names import nearest
from assay.times import is_date


def read_version(name: str, declared: ProductDeclaration, names: Names) -> str:
    """Return the version of a contract, '' for none; a mistake in it is reported to `names`."""
    if not declared.version:
        return ""
    version = version_of(declared.version)
    if version is None:
        message = f"{name}: version {declared.version!r} is no version of a contract"
        names.report(message, names.relative(declared.where), 'Write version="1.4.0".')
    return str(version or "")


def read_deprecated(
    name: str, declared: ProductDeclaration, columns: tuple[Column, ...], names: Names
) -> Mapping[str, str]:
    """Return until which day deprecated columns are kept (ISO 8601); mistakes are reported."""
    where = names.relative(declared.where)
    known = [column.name for column in columns]
    days: dict[str, str] = {}
    for column, day in declared.deprecated.items():
        if known and column not in known:
            message = f"{name}: deprecated {column!r} is no column of its contract"
            hint = nearest(column, known) or "Leave out a column that is removed."
            names.report(message, where, hint)
        elif isinstance(day, date) or (is_date(day) and len(day) == len("2026-03-01")):
            days[str(column)] = str(day)[:10]
        else:
            message = f"{name}: deprecated until {day!r}, which is no date"
            names.report(message, where, 'Write deprecated={"amount": "2026-03-01"}.')
    return days
