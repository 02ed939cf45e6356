"""Judges by pandera itself the demands that no cheaper strategy answers exactly.

Each demand gets a schema of its own: a failure in one does not stop the others, and only the
columns that it needs are read.
"""

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from assay.engines.tables import StoredTable
from assay.model import Demand
from assay.rules.answers import WHOLE, Answer, error_line, first_line
from assay.rules.samples import SAMPLES, CompiledRule
from assay.rules.schema import Schema, dtype_of
from assay.rules.with_polars import pick, scan

if TYPE_CHECKING:
    import polars as pl


def answer_rules(
    rules: Sequence[CompiledRule], table: StoredTable, schema: Callable[[], Schema]
) -> dict[str, Answer]:
    """Return the answers to rules, with samples, by the rule's text."""
    answers = {}
    for rule in rules:
        answer, numbers = ask(rule.demand, schema(), table)
        if numbers:
            rows = rows_of(table, numbers[:SAMPLES], rule.columns)
            answer = replace(answer, samples=rows.to_dicts())
        answers[rule.text] = answer
    return answers


def ask(demand: Demand, schema: Schema, table: StoredTable) -> tuple[Answer, list[int]]:
    """Return pandera's answer, and the ascending numbers of the failing rows (from 0)."""
    import polars as pl

    frame, height = scan(table)
    try:
        errors = _validate(_schema_of(demand, schema), frame)
    # A check can raise anything: the exception is the result of its rule.
    except (Exception, pl.exceptions.PanicException) as error:
        return Answer(how="pandera", error=error_line(error)), []
    if not errors:
        return Answer(how="pandera", failing=None), []
    for failure in errors:
        if failure.reason_code and failure.reason_code.name == "CHECK_ERROR":
            return Answer(how="pandera", error=_message(failure)), []
    rows = _rows(errors, height)
    if rows is None:
        message = WHOLE
        if demand.kind in {"type", "strict", "ordered"}:
            message = first_line(errors[0]).partition(" in DataFrameSchema")[0]
        return Answer(how="pandera", holds=False, message=message), []
    return Answer(how="pandera", failing=len(rows)), rows


def rows_of(table: StoredTable, numbers: Sequence[int], columns: Sequence[str]) -> "pl.DataFrame":
    """Return these columns of the rows with these numbers (from 0)."""
    import polars as pl

    frame, _ = scan(table)

    def numbered(name: str) -> pl.LazyFrame:
        return pl.LazyFrame({name: numbers}, schema={name: pl.get_index_type()})

    return pick(frame, numbered, columns).collect()


def _schema_of(demand: Demand, schema: Schema) -> Any:
    """Return a pandera schema with one demand."""
    import pandera.polars as pa

    original = schema.pandera
    check = schema.checks.get(demand.place)
    checks = [_raising(check)] if check is not None else None
    columns = original.columns if original is not None else {}
    unchecked = {
        name: pa.Column(required=False, nullable=True, regex=column.regex)
        for name, column in columns.items()
    }
    match demand.kind:
        case "strict":
            return pa.DataFrameSchema(unchecked, strict=True)
        case "ordered":
            return pa.DataFrameSchema(unchecked, ordered=True)
    if not demand.column:
        unique = demand.arguments.get("columns") if demand.kind == "unique" else None
        return pa.DataFrameSchema(unchecked, checks=checks, unique=unique)
    declared = columns.get(demand.column)
    column = pa.Column(
        dtype=dtype_of(original, declared) if demand.kind == "type" else None,
        nullable=demand.kind != "null",
        unique=demand.kind == "unique",
        checks=checks,
        required=declared is not None and declared.required and demand.kind == "type",
        regex=demand.pattern,
    )
    return pa.DataFrameSchema({**unchecked, demand.column: column})


def _raising(check: Any) -> Any:
    """Return a check that reports failures as errors; Assay itself decides what is a warning."""
    raising = copy.copy(check)
    raising.raise_warning = False
    return raising


def _validate(schema: Any, frame: Any) -> list[Any]:
    """Return pandera's errors; data checks run even if the environment disables them."""
    from pandera.config import ValidationDepth, config_context
    from pandera.errors import SchemaErrors

    with config_context(validation_enabled=True, validation_depth=ValidationDepth.SCHEMA_AND_DATA):
        try:
            schema.validate(frame, lazy=True)
        except SchemaErrors as errors:
            return list(errors.schema_errors)
    return []


def _rows(errors: Sequence[Any], height: int) -> list[int] | None:
    """Return the ascending numbers of the failing rows; None when an error is not about rows."""
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
                return None  # the answer is about an aggregate or a group
            if getattr(cases, "height", 0) > 0:
                rows |= set(output.filter(output["check_output"].not_())["row"].to_list())
                continue
        if "index" not in getattr(cases, "columns", ()):
            return None
        rows |= set(cases["index"].to_list())
    return sorted(rows) if rows and None not in rows else None


def _message(error: Any) -> str:
    """Return pandera's message on a check that could not be run, without a query plan."""
    message = str(error.failure_cases if error.failure_cases is not None else error)
    return message.strip().splitlines()[0]
