"""Judging a file by a schema, as a run would, without a project around it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from assay.engines.duckdb import DuckDB
from assay.engines.measure import measure
from assay.engines.tables import StoredTable
from assay.facts import RuleResult
from assay.model import Code, Contract, Kind, Product, Where
from assay.rules.evidence import Evidence
from assay.rules.judge import judge
from assay.rules.schema import Schema


def product_of(schema: Schema) -> Product:
    contract = Contract(
        digest="c",
        columns=schema.columns,
        key=schema.key,
        rules=schema.rules,
        sensitive=schema.sensitive,
    )
    code = Code(digest="d", reached={})
    return Product(
        name="x.p",
        where=Where("x.py", 1),
        kind=Kind.FUNCTION,
        code=code,
        contract=contract,
        owner="o",
    )


def judged_file(
    engine: DuckDB, schema: Schema, file: Path, types: Any = None
) -> dict[str, RuleResult]:
    """Return the result of each rule by its text."""
    measured = measure(engine, file, types=types)
    evidence = Evidence(
        this=StoredTable((file,)),
        columns=measured.columns,
        rows=measured.rows,
        now=datetime(2020, 1, 1, tzinfo=UTC),
        sensitive={"this": frozenset(schema.sensitive)},
    )
    return {r.text: r for r in judge(product_of(schema), evidence, engine, lambda: schema)}
