"""Judges by pandera itself what nothing cheaper answers alike, one demand at a time in a schema of its own.

So that one that cannot be judged never hides another, and only the columns that it needs are read.
"""

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from assay.engines.tables import StoredTable
from assay.model import Demand
from assay.rules.answers import WHOLE, Answer, first_line, said
from assay.rules.schema import Schema, dtype_of
from assay.rules.with_polars import pick, scan

if TYPE_CHECKING:
    import polars as pl


def ask(demand: Demand, schema: Schema, table: StoredTable) -> tuple[Answer, list[int]]:
    """Return pandera's answer, and the numbers of the failing rows (from 0, ascending) where it is about rows."""
    import polars as pl

    frame, height = scan(table)
    try:
        errors = _validate(_schema_of(demand, schema), frame)
    except (
        Exception,
        pl.exceptions.PanicException,
    ) as error:  # a check can raise anything; it is this rule's result
        return Answer(how="pandera", error=said(error)), []
    if not errors:
        return Answer(how="pandera", failing=None), []
    broken = [
        error for error in errors if error.reason_code and error.reason_code.name == "CHECK_ERROR"
    ]
    if broken:
        return Answer(how="pandera", error=_case(broken[0])), []
    rows = _rows(errors, height)
    if rows is None:
        on_values = demand.kind not in {"type", "strict", "ordered"}
        told = WHOLE if on_values else first_line(errors[0])
        return Answer(
            how="pandera", holds=False, message=told.partition(" in DataFrameSchema")[0]
        ), []
    return Answer(how="pandera", failing=len(rows)), rows


def rows_of(table: StoredTable, rows: Sequence[int], columns: Sequence[str]) -> "pl.DataFrame":
    """Return these columns of the rows of these numbers."""
    import polars as pl

    frame, _ = scan(table)
    return pick(
        frame, lambda name: pl.LazyFrame({name: rows}, schema={name: pl.get_index_type()}), columns
    ).collect()


def _schema_of(demand: Demand, schema: Schema) -> Any:
    """Return a pandera schema that demands this one thing."""
    import pandera.polars as pa

    whole = schema.pandera
    check = schema.checks.get(demand.place)
    columns = whole.columns.items() if whole is not None else ()
    free = {n: pa.Column(required=False, nullable=True, regex=c.regex) for n, c in columns}
    match demand.kind:
        case "strict":
            return pa.DataFrameSchema(free, strict=True)
        case "ordered":
            return pa.DataFrameSchema(free, ordered=True)
    if not demand.column:
        unique = demand.arguments.get("columns") if demand.kind == "unique" else None
        return pa.DataFrameSchema(
            free, checks=[_loud(check)] if check is not None else None, unique=unique
        )
    declared = whole.columns.get(demand.column) if whole is not None else None
    made = pa.Column(
        dtype=dtype_of(whole, declared) if demand.kind == "type" else None,
        nullable=demand.kind != "null",
        unique=demand.kind == "unique",
        checks=[_loud(check)] if check is not None else None,
        required=declared is not None and declared.required and demand.kind == "type",
        regex=demand.pattern,
    )
    return pa.DataFrameSchema({**free, demand.column: made})


def _loud(check: Any) -> Any:
    """Return the check so that pandera reports what fails it; what only warns is ours to say."""
    loud = copy.copy(check)
    loud.raise_warning = False
    return loud


def _validate(schema: Any, frame: Any) -> list[Any]:
    """Return pandera's errors; data checks run whatever the environment says of pandera."""
    from pandera.config import ValidationDepth, config_context
    from pandera.errors import SchemaErrors

    with config_context(validation_enabled=True, validation_depth=ValidationDepth.SCHEMA_AND_DATA):
        try:
            schema.validate(frame, lazy=True)
        except SchemaErrors as errors:
            return list(errors.schema_errors)
    return []


def _rows(errors: Sequence[Any], height: int) -> list[int] | None:
    """Return the numbers of the failing rows of a frame this high, ascending; None when the failure is not of rows."""
    rows: set[int] = set()
    for error in errors:
        cases = error.failure_cases
        if (
            error.check_output is not None
            and "check_output" in error.check_output.collect_schema().names()
        ):
            output = (
                error.check_output.lazy().select("check_output").with_row_index("row").collect()
            )
            if output.height != height:
                return None  # an answer about something else than rows: an aggregate, a group
            if getattr(cases, "height", 0) > 0:
                rows |= set(output.filter(output["check_output"].not_())["row"].to_list())
                continue
        if "index" not in getattr(cases, "columns", ()):
            return None
        rows |= set(cases["index"].to_list())
    return sorted(rows) if rows and None not in rows else None


def _case(error: Any) -> str:
    """Return what pandera says of a check that could not be run, without Polars' plan behind it."""
    return (
        str(error.failure_cases if error.failure_cases is not None else error)
        .strip()
        .splitlines()[0]
    )
