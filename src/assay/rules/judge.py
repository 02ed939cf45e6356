"""Judges staged bytes: every demand of the schema by pandera, every rule in SQL by DuckDB, each on its own.

Each demand is put to pandera in a schema of its own that reads only the columns it needs, so that one demand that
cannot be judged never hides another. Nothing here changes data: types are compared as they are stored.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.engines import duckdb as duck
from assay.engines.feed import Feed
from assay.errors import BuildError
from assay.model import PREVIOUS, THIS, Kind, Product, Rule, RuleResult, Status
from assay.rules.schema import Demand, Demands, dtype_of, is_built_in

SAMPLES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is judged, `this`, and what its rules read besides, by alias (no `previous` on a first release)."""

    this: Path
    others: tuple[Feed, ...] = ()


def judge(product: Product, demands: Demands | None, evidence: Evidence, engine: duck.DuckDB) -> tuple[RuleResult, ...]:
    """Return how each rule of a product's contract came out, in the order of the contract.

    An exception inside a rule is that rule's result; exhausted memory or disk is not a result, and is raised.
    """
    results: list[RuleResult] = []
    if demands is not None:
        results += _judge_schema(demands, evidence.this)
    rules = [rule for rule in product.contract.rules if rule.sql]
    if rules:
        results += _judge_sql(product, rules, evidence, engine)
    return tuple(results)


# ---------------------------------------------------------------------------------------------- the schema


def _judge_schema(demands: Demands, file: Path) -> list[RuleResult]:
    import polars as pl

    frame = pl.scan_parquet(file, glob=False)
    return [_judge_demand(demand, demands, frame) for demand in demands.demands]


def _judge_demand(demand: Demand, demands: Demands, frame: Any) -> RuleResult:
    import polars as pl

    names = frame.collect_schema().names()
    if demand.kind not in {"type", "strict", "ordered"} and (lacking := _lacking(demand, demands, names)):
        return result(demand.rule, Status.SKIPPED, message=f"there is no column {lacking}")
    try:
        errors = _validate(_schema_of(demand, demands), _needed(demand, demands, frame, names))
    except (MemoryError, OSError) as error:  # the machinery's failure, and no verdict on the data
        raise BuildError(f"{demand.rule.text!r} cannot be judged now: {error or type(error).__name__}") from error
    except Exception as error:  # a check of the user's can raise anything; it is this rule's result
        return result(demand.rule, Status.ERROR, message=_said(error))
    if not errors:
        return result(demand.rule, Status.PASSED)
    broken = [error for error in errors if error.reason_code and error.reason_code.name == "CHECK_ERROR"]
    if broken:
        return result(demand.rule, Status.ERROR, message=_case(broken[0]))
    rows = _rows(errors, frame.select(pl.len()).collect().item())
    if rows is None:
        said = "the check says no to the whole column" if demand.check is not None else _first_line(errors[0])
        return result(demand.rule, _failed(demand.rule), message=said.partition(" in DataFrameSchema")[0])
    number = "row"
    while number in names:
        number = f"_{number}"
    sampled = frame.with_row_index(number).filter(pl.col(number).is_in(rows[:SAMPLES]))
    samples = sampled.select(_shown(demand, demands, names)).collect().to_dicts()
    return result(demand.rule, _failed(demand.rule), failing=len(rows), samples=samples)


def _needed(demand: Demand, demands: Demands, frame: Any, names: Sequence[str]) -> Any:
    """Return the column alone where that is all the demand can look at; a check of the user's sees the whole frame."""
    if demand.column not in names or demands.schema.columns[demand.column].regex:
        return frame
    alone = demand.kind in {"null", "unique"} or (demand.check is not None and is_built_in(demand.check))
    return frame.select(demand.column) if alone else frame


def _lacking(demand: Demand, demands: Demands, names: Sequence[str]) -> str:
    """Return a column that the demand is about and the data lacks; '' when there is none."""
    if demand.column:
        column = demands.schema.columns[demand.column]
        return "" if column.regex or demand.column in names else demand.column
    needed = demands.schema.unique or () if demand.kind == "unique" else ()
    return next((name for name in needed if name not in names), "")


def _schema_of(demand: Demand, demands: Demands) -> Any:
    """Return a pandera schema that demands this one thing."""
    import pandera.polars as pa

    whole = demands.schema
    if not demand.column:
        free = {n: pa.Column(required=False, nullable=True, regex=c.regex) for n, c in whole.columns.items()}
        match demand.kind:
            case "strict":
                return pa.DataFrameSchema(free, strict=True)
            case "ordered":
                return pa.DataFrameSchema(free, ordered=True)
            case "unique":
                return pa.DataFrameSchema(unique=whole.unique)
        return pa.DataFrameSchema(checks=[_loud(demand.check)])
    column = whole.columns[demand.column]
    made = pa.Column(
        dtype=dtype_of(whole, column) if demand.kind == "type" else None,
        nullable=demand.kind != "null",
        unique=demand.kind == "unique",
        checks=[_loud(demand.check)] if demand.check is not None else None,
        required=column.required and demand.kind == "type",
        regex=column.regex,
    )
    others = whole.columns.items() if demand.check is not None and demand.check.groupby else ()
    free = {n: pa.Column(required=False, nullable=True, regex=c.regex) for n, c in others}
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
        if error.check_output is not None and "check_output" in error.check_output.collect_schema().names():
            output = error.check_output.lazy().select("check_output").with_row_index("row").collect()
            if output.height != height:
                return None  # an answer about something else than rows: an aggregate, a group
            if getattr(cases, "height", 0) > 0:
                rows |= set(output.filter(output["check_output"].not_())["row"].to_list())
                continue
        if "index" not in getattr(cases, "columns", ()):
            return None
        rows |= set(cases["index"].to_list())
    return sorted(rows) if rows and None not in rows else None


def _shown(demand: Demand, demands: Demands, names: Sequence[str]) -> list[str]:
    """Return the columns a sample shows: the offending one and the key, or all when neither is known."""
    wanted = [*demands.key, demand.column] if demand.column in names or not demand.column else []
    chosen = [n for n in dict.fromkeys(wanted) if n in names]
    return chosen if demand.column and len(chosen) > 1 else list(names)


# ---------------------------------------------------------------------------------------------- rules in SQL


def _judge_sql(product: Product, rules: Sequence[Rule], evidence: Evidence, engine: duck.DuckDB) -> list[RuleResult]:
    feeds = [*evidence.others]
    if product.kind is not Kind.FILE:
        feeds.append(Feed(alias=THIS, name=THIS, files=(evidence.this,)))
    absent = PREVIOUS not in {feed.alias for feed in evidence.others}
    with engine.bench(feeds, product.domain) as bench:
        if product.kind is Kind.FILE:
            name, size = duck.literal(product.file), evidence.this.stat().st_size
            bench.execute(f"create view this as select {name} as file, {size}::bigint as bytes")
        return [
            result(rule, Status.SKIPPED, message="nothing is published yet to compare with")
            if absent and any(i.name == PREVIOUS for i in rule.inputs)
            else _judge_query(rule, bench)
            for rule in rules
        ]


def _judge_query(rule: Rule, bench: Any) -> RuleResult:
    import duckdb

    query = rule.sql
    try:
        (failing,) = bench.execute(f"select count(*) from (\n{query}\n)").fetchone()
        if not failing:
            return result(rule, Status.PASSED, failing=0)
        found = bench.execute(f"select * from (\n{query}\n) limit {SAMPLES}")
        names = [column[0] for column in found.description]
        samples = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    except (duckdb.OutOfMemoryException, duckdb.IOException, duckdb.InterruptException):
        raise
    except duckdb.Error as error:
        return result(rule, Status.ERROR, message=_said(error))
    return result(rule, _failed(rule), failing=failing, samples=samples)


# ---------------------------------------------------------------------------------------------- results


def result(
    rule: Rule,
    status: Status,
    *,
    failing: int | None = None,
    samples: Sequence[Mapping[str, Any]] = (),
    message: str = "",
) -> RuleResult:
    """Return the result of a rule, its samples as JSON can hold them."""
    return RuleResult(
        text=rule.text,
        status=status,
        severity=rule.severity,
        dimension=rule.dimension,
        because=rule.because,
        owner=rule.owner,
        failing=failing,
        samples=tuple({name: _plain(value) for name, value in row.items()} for row in samples),
        message=message,
    )


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


def _failed(rule: Rule) -> Status:
    return Status.FAILED if rule.severity == "error" else Status.WARNING


def _case(error: Any) -> str:
    """Return what pandera says of a check that could not be run, without Polars' plan behind it."""
    return str(error.failure_cases if error.failure_cases is not None else error).strip().splitlines()[0]


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {_first_line(error)}"


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), "")
