"""A contract kept as data and judged without its definitions, as a run does whose manifest is there."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec.json import decode, encode

from assay.engines.duckdb import DuckDB, parquet
from assay.engines.tables import StoredTable
from assay.model import Code, Column, Contract, Kind, Product, Where
from assay.rules.evidence import Evidence


def product_of(read: Any) -> Product:
    """Return a product with nothing but the contract of a schema that was read."""
    contract = Contract(digest="c", columns=read.columns, key=read.key, rules=read.rules)
    code = Code(digest="d", reached={})
    return Product(
        name="b.p",
        where=Where("x.py", 1),
        kind=Kind.SQL,
        code=code,
        contract=contract,
        owner="bench",
    )


def keep(schema: Any, file: Path) -> None:
    """Read a pandera schema and keep it as the manifest does."""
    from assay.rules.schema import read_schema

    file.write_bytes(encode(product_of(read_schema(schema, Where("x.py", 1)))))


def load(file: Path) -> Product:
    """Return what was kept."""
    return decode(file.read_bytes(), type=Product)


def evidence_of(file: Path, engine: DuckDB) -> Evidence:
    """Return a file as evidence; a run has its columns and rows from building it."""
    with engine.cursor() as cursor:
        columns = tuple(
            Column(name=row[0], type=row[1])
            for row in cursor.execute(f"describe {parquet([file])}").fetchall()
        )
        found = cursor.execute(f"select count(*) {parquet([file])}").fetchone()
    assert found is not None
    return Evidence(
        this=StoredTable((file,)),
        columns=columns,
        rows=found[0],
        now=datetime(2024, 1, 1, tzinfo=UTC),
    )
