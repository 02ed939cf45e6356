"""How rules are checked, their results over the versions of a product, and the failing rows."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from msgspec import field

from assay.build.evidence import evidence_of, totals_of
from assay.build.inputs import Inputs
from assay.catalog import Catalog
from assay.declare.project import Project
from assay.engines.damage import damage_reported
from assay.engines.duckdb import parquet
from assay.engines.sql.timed import clock_set
from assay.engines.tables import StoredTable
from assay.errors import UsageError
from assay.facts import RuleResult, Status, Version, short
from assay.model import Column, Product, Rule
from assay.plan.names import rule_of
from assay.rules.answers import first_line
from assay.rules.compile import (
    Aggregate,
    ByPandera,
    DecidedByColumns,
    Rows,
    Text,
    Unique,
    Way,
    ways_of,
)
from assay.rules.failing import failing_rows
from assay.rules.incremental.total_queries import TOTALS, TotalsQuery
from assay.rules.schema import Schema
from assay.rules.uniqueness import hashes
from assay.rules.with_duckdb import fused
from assay.rules.with_queries import query_of
from assay.views.history import VerdictsOf, read_verdicts
from assay.views.view import View

_BARS = "▁▂▃▄▅▆▇█"


# -------------------------------------------------------------------------------------- method


class LastResult(View, frozen=True, kw_only=True):
    """The last result of a rule, and how it was checked then."""

    status: Status
    method: str = field(name="how")


class RuleWay(View, frozen=True, kw_only=True):
    """How a rule is checked: the method and its query; `because` says why pandera checks it."""

    rule: str
    method: str = field(name="how")
    query: str
    because: str | None = None
    last: LastResult | None


def rule_ways(
    inputs: Inputs, product: Product, version: Version | None, results: Sequence[RuleResult]
) -> list[RuleWay]:
    """Return for each rule how it is checked, its query, and its last result.

    Column types are those of `version`, or of the contract if no version exists.
    """
    columns: Sequence[Column] = version.columns if version else product.contract.columns
    ways = ways_of(product, columns)
    totals = totals_of(inputs, product, version)[0] if version else {}
    last = {result.text: result for result in results}
    types = {column.name.lower(): column.type for column in columns}
    table = parquet(StoredTable(())).replace("[]::varchar[]", "'this'")
    views = []
    for rule in product.contract.rules:
        if rule.text in totals:
            method, query, because = "totals", _totals_query(totals[rule.text]), None
        else:
            method, query, because = _way(rule, ways.get(rule.text), table, types)
        result = last.get(rule.text)
        views.append(
            RuleWay(
                rule=rule.text,
                method=method,
                query=query,
                because=because,
                last=LastResult(status=result.status, method=result.how) if result else None,
            )
        )
    return views


def _totals_query(totals: TotalsQuery) -> str:
    blocks = [
        f"{TOTALS}{number}, of each part of {block.table}: {block.query}"
        for number, block in enumerate(totals.blocks)
    ]
    return "\n".join([*blocks, totals.sql])


def _way(
    rule: Rule, way: Way | None, table: str, types: Mapping[str, str]
) -> tuple[str, str, str | None]:
    """Return the method, its query, and why pandera checks the rule."""
    match way:
        case None:
            return "sql", query_of(rule, types), None
        case DecidedByColumns():
            return "schema", "", None
        case Rows(prunes=prunes):
            method = "fused; pruned, when there are many rows" if prunes else "fused"
            return method, fused([way], table, prune=prunes), None
        case Aggregate():
            return "fused", fused([way], table), None
        case Unique():
            return "sorted", hashes(way, table), None
        case Text(column=column, kind="length", bounds=(low, high)):
            return "polars", f"pl.col({column!r}).str.len_chars() between {low} and {high}", None
        case Text(column=column, kind=kind, value=value):
            return "polars", f"pl.col({column!r}).str.{kind}({value!r})", None
        case ByPandera(why=why):
            return "pandera", "", why


# ----------------------------------------------------------------------------------- over time


class RuleHistoryView(View, frozen=True, kw_only=True):
    """The result of a rule on one version: the measured value, or the number of failing rows."""

    version: str
    built_at: datetime
    data_as_of: datetime | None
    status: Status
    value: float | int | str | None
    failing: int | None
    rows: int | None
    threshold: str
    message: str


def history_of_rule(
    catalog: Catalog, product: Product, rule: Rule, environment: str
) -> list[RuleHistoryView]:
    """Return the results of a rule on all versions, oldest first."""
    return history_of_rules(catalog, product, environment).get(rule.text, [])


def history_of_rules(
    catalog: Catalog,
    product: Product,
    environment: str,
    limit: int | None = None,
    verdicts_of: VerdictsOf | None = None,
) -> dict[str, list[RuleHistoryView]]:
    """Return the results of each rule by its name, oldest first, on the last `limit` versions.

    Those under today's contract, or else under the newest contract that had the rule.
    """
    found: dict[str, list[RuleHistoryView]] = {}
    verdicts_of = verdicts_of or read_verdicts(catalog, environment)
    for version in reversed(catalog.versions(product.name, limit)):
        verdicts = list(verdicts_of(version.id))
        verdicts.sort(key=lambda verdict: verdict.contract != product.contract.digest)
        seen: set[str] = set()
        for result in (result for verdict in verdicts for result in verdict.results):
            if result.text not in seen:
                seen.add(result.text)
                found.setdefault(result.text, []).append(_on(version, result))
    return found


def _on(version: Version, result: RuleResult) -> RuleHistoryView:
    return RuleHistoryView(
        version=version.id,
        built_at=version.built_at,
        data_as_of=version.data_as_of,
        status=result.status,
        value=value_of(result),
        failing=result.failing,
        rows=result.rows,
        threshold=result.threshold,
        message=result.message,
    )


def value_of(result: RuleResult) -> float | int | str | None:
    """Return the measured value of a result; for a rule on rows, the number of failing rows."""
    return result.measured if result.measured is not None else result.failing


def sparkline(values: Sequence[Any]) -> str:
    """Return numbers as a line of bars; other values are gaps."""
    numbers = [float(value) for value in values if _is_number(value)]
    if not numbers:
        return ""
    low, high = min(numbers), max(numbers)
    step = (high - low) / (len(_BARS) - 1) or 1
    return "".join(
        _BARS[round((float(value) - low) / step)] if _is_number(value) else " " for value in values
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


# --------------------------------------------------------------------------------- failing rows


@contextmanager
def failures(
    project: Project,
    inputs: Inputs,
    product: Product,
    version: Version,
    rule: Rule,
    *,
    masked: bool = True,
) -> Iterator[tuple[list[str], Iterator[Sequence[Any]]]]:
    """Give the column names and all rows of a version that fail a rule.

    Sensitive values are masked, unless it is for something that nobody is shown. The
    rule is checked again, with the current rows of its other inputs.
    """
    import duckdb

    project.vouch([product.name])
    product = clock_set(product)
    rule = rule_of(product, rule.text)
    evidence = evidence_of(inputs, product, version)
    engine = inputs.engine()

    def schema() -> Schema:
        return project.definitions()[product.name].schema

    try:
        with (
            damage_reported([evidence.this]),
            failing_rows(product, rule, evidence, engine, schema) as failing,
        ):
            yield failing.names, failing.masked() if masked else failing.rows
    except duckdb.Error as error:
        why = "" if any(evidence.sensitive.values()) else f": {first_line(error)}"
        raise UsageError(f"{rule.text!r} cannot be judged on {short(version.id)}{why}") from None
    finally:
        engine.close()
