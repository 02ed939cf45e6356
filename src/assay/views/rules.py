"""How the rules of a product are judged, how each came out over its versions, and what fails them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any

from assay.build.evidence import evidence_of, totals_of
from assay.build.inputs import Inputs
from assay.catalog import Catalog
from assay.declare.project import Project
from assay.engines.damage import damage_reported
from assay.engines.duckdb import parquet
from assay.engines.sql.timed import clock_set
from assay.engines.tables import StoredTable
from assay.errors import UsageError
from assay.model import Column, Product, Rule, RuleResult, Version, short
from assay.plan.graph import rule_of
from assay.rules import with_duckdb, with_queries
from assay.rules.answers import first_line
from assay.rules.compile import ByPandera, DecidedByColumns, Rows, Text, Unique, Way, Whole, ways_of
from assay.rules.incremental.total_queries import TOTALS, TotalsQuery
from assay.rules.judge import failing_rows
from assay.rules.schema import Schema

_BARS = "▁▂▃▄▅▆▇█"


# ---------------------------------------------------------------------------------------------- how


def judged_how(
    shelf: Inputs, product: Product, version: Version | None, results: Sequence[RuleResult]
) -> list[dict[str, Any]]:
    """Return for each rule how it is judged, its query, and how it came out last, as plain data.

    Types are those of the newest version, or of the contract before there is any.
    """
    columns: Sequence[Column] = version.columns if version else product.contract.columns
    ways = ways_of(product, columns)
    totals = totals_of(shelf, product, version)[0] if version else {}
    last = {result.text: result for result in results}
    types = {column.name.lower(): column.type for column in columns}
    table = parquet(StoredTable(())).replace("[]::varchar[]", "'this'")
    return [
        {
            "rule": rule.text,
            **(
                _in_parts(totals[rule.text])
                if rule.text in totals
                else _way(rule, ways.get(rule.text), table, types)
            ),
            "last": {"status": str(found.status), "how": found.how}
            if (found := last.get(rule.text))
            else None,
        }
        for rule in product.contract.rules
    ]


def _in_parts(totals: TotalsQuery) -> dict[str, str]:
    asked = [
        f"{TOTALS}{n}, of each part of {b.table}: {b.query}" for n, b in enumerate(totals.blocks)
    ]
    return {"how": "totals", "query": "\n".join([*asked, totals.sql])}


def _way(rule: Rule, way: Way | None, table: str, types: Mapping[str, str]) -> dict[str, str]:
    match way:
        case None:
            return {"how": "sql", "query": with_queries.query_of(rule, types)}
        case DecidedByColumns():
            return {"how": "schema", "query": ""}
        case Rows(prunes=prunes):
            how = "fused; pruned, when there are many rows" if prunes else "fused"
            return {"how": how, "query": with_duckdb.fused([way], table, prune=prunes)}
        case Whole():
            return {"how": "fused", "query": with_duckdb.fused([way], table)}
        case Unique():
            return {"how": "sorted", "query": with_duckdb.hashes(way, table)}
        case Text(column=column, kind="length", bounds=(low, high)):
            return {
                "how": "polars",
                "query": f"pl.col({column!r}).str.len_chars() between {low} and {high}",
            }
        case Text(column=column, kind=kind, value=value):
            return {"how": "polars", "query": f"pl.col({column!r}).str.{kind}({value!r})"}
        case ByPandera(why=why):
            return {"how": "pandera", "query": "", "because": why}


# ---------------------------------------------------------------------------------------------- over time


def history_of_rule(
    catalog: Catalog, product: Product, rule: Rule, environment: str
) -> list[dict[str, Any]]:
    """Return how a rule came out on each version, oldest first: its value, and what was allowed."""
    found = []
    for version in reversed(catalog.versions(product.name)):
        judged = list(catalog.verdicts(version.id, environment))
        judged.sort(
            key=lambda v: v.contract != product.contract.digest
        )  # today's contract first, then the newest
        verdicts = [v for v in judged if any(r.text == rule.text for r in v.results)]
        result = next((r for v in verdicts[:1] for r in v.results if r.text == rule.text), None)
        if result is not None:
            found.append(
                {
                    "version": version.id,
                    "built_at": version.built_at.isoformat(),
                    "data_as_of": version.data_as_of.isoformat() if version.data_as_of else None,
                    "status": str(result.status),
                    "value": value_of(result),
                    "failing": result.failing,
                    "rows": result.rows,
                    "threshold": result.threshold,
                    "message": result.message,
                }
            )
    return found


def value_of(result: RuleResult) -> float | int | str | None:
    """Return what was measured: a difference, an age, a count; of a rule about rows, how many failed."""
    return result.measured if result.measured is not None else result.failing


def sparkline(values: Sequence[Any]) -> str:
    """Return numbers as a line of bars; what is no number is a gap."""
    numbers = [float(v) for v in values if _is_number(v)]
    if not numbers:
        return ""
    low, high = min(numbers), max(numbers)
    step = (high - low) / (len(_BARS) - 1) or 1
    return "".join(_BARS[round((float(v) - low) / step)] if _is_number(v) else " " for v in values)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def overdue(product: Product, today: date) -> list[Rule]:
    """Return the rules whose review date has passed."""
    return [
        r for r in product.contract.rules if r.review_by and date.fromisoformat(r.review_by) < today
    ]


# ---------------------------------------------------------------------------------------------- what fails


@contextmanager
def failures(
    project: Project, shelf: Inputs, product: Product, version: Version, rule: Rule
) -> Iterator[tuple[list[str], Iterator[Sequence[Any]]]]:
    """Give all rows of a version that fail a rule, judged again against what its rules read now."""
    import duckdb

    project.vouch([product.name])
    product, rule = clock_set(product), rule_of(clock_set(product), rule.text)
    evidence = evidence_of(shelf, product, version)
    engine = shelf.engine()

    def schema() -> Schema:
        return project.definitions()[product.name].schema

    try:
        with (
            damage_reported([evidence.this]),
            failing_rows(product, rule, evidence, engine, schema) as found,
        ):
            yield found
    except duckdb.Error as error:
        words = "" if any(evidence.sensitive.values()) else f": {first_line(error)}"
        raise UsageError(f"{rule.text!r} cannot be judged on {short(version.id)}{words}") from None
    finally:
        engine.close()
