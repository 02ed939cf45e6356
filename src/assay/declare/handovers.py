"""How the parameters of a function take their inputs, by annotation."""

from pathlib import PurePath
from typing import Any

from assay.engines.make import FILE, HANDOVERS, LAZY_FRAME
from assay.errors import Problem
from assay.model import Where


def handover_of(annotation: Any) -> str:
    """Return the full name of an annotated type, as in `HANDOVERS`; LAZY_FRAME without one."""
    if annotation is None:
        return LAZY_FRAME
    if isinstance(annotation, type) and issubclass(annotation, PurePath):
        return FILE
    module = getattr(annotation, "__module__", "").partition(".")[0].lstrip("_")
    return f"{module}.{getattr(annotation, '__name__', annotation)}"


def wrong_handover(
    parameter: str, annotation: Any, where: Where, *, is_file: bool
) -> Problem | None:
    """Return the problem of an annotation that cannot take its input: a file, or else a table."""
    handover = handover_of(annotation)
    if handover not in HANDOVERS:
        name = getattr(annotation, "__name__", None) or annotation
        return Problem(
            what=f"{parameter} cannot be handed over as {name}",
            where=where,
            hint="Annotate it pl.LazyFrame, pl.DataFrame, duckdb.DuckDBPyRelation"
            " or pyarrow.Table.",
        )
    if is_file and handover != FILE:
        return Problem(what=f"{parameter} is a file: annotate it pathlib.Path", where=where)
    if handover == FILE and not is_file:
        message = f"{parameter} is a table: it cannot be handed over as a path"
        return Problem(what=message, where=where)
    return None


def moment_without_turn(parameter: str, where: Where) -> Problem:
    """Return the problem of a parameter for the moment of a product that has no `changes_with`."""
    hint = 'Say how often that changes: changes_with="day" (or "hour", "month" …).'
    return Problem(
        what=f"{parameter} is given the moment that the product is built for",
        where=where,
        hint=hint,
    )
