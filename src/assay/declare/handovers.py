"""How the parameters of a function are handed over, as they are annotated, and what is wrong with that."""

from pathlib import PurePath
from typing import Any

from assay.engines.make import FILE, HANDOVERS, LAZY_FRAME
from assay.errors import Problem
from assay.model import Where


def handover_of(annotation: Any) -> str:
    """Return what an annotation is called among the handovers."""
    if annotation is None:
        return LAZY_FRAME
    if isinstance(annotation, type) and issubclass(annotation, PurePath):
        return FILE
    module = getattr(annotation, "__module__", "").partition(".")[0].lstrip("_")
    return f"{module}.{getattr(annotation, '__name__', annotation)}"


def wrong_handover(
    parameter: str, annotation: Any, where: Where, *, is_file: bool
) -> Problem | None:
    """Return what is wrong with how a parameter takes an input, which may be a file."""
    handover = handover_of(annotation)
    if handover not in HANDOVERS:
        return Problem(
            what=f"{parameter} cannot be handed over as {getattr(annotation, '__name__', None) or annotation}",
            where=where,
            hint="Annotate it pl.LazyFrame, pl.DataFrame, duckdb.DuckDBPyRelation or pyarrow.Table.",
        )
    if is_file != (handover == FILE):
        kind = (
            "a file: annotate it pathlib.Path"
            if is_file
            else "a table: it cannot be handed over as a path"
        )
        return Problem(what=f"{parameter} is {kind}", where=where)
    return None


def moment_without_turn(parameter: str, where: Where) -> Problem:
    """Return what is wrong with a parameter for the moment of a product that does not change with time."""
    hint = 'Say how often that changes: changes_with="day" (or "hour", "month" …).'
    return Problem(
        what=f"{parameter} is given the moment that the product is built for",
        where=where,
        hint=hint,
    )
