"""Suggests declarations for columns that the files of a source have and that it does not declare."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from assay.build.appeared import is_new
from assay.engines.duckdb import DuckDB, select
from assay.engines.quoting import identifier
from assay.engines.tables import InputFiles, StoredTable
from assay.engines.types import from_polars
from assay.facts import UndeclaredColumn
from assay.model import Column

if TYPE_CHECKING:
    import duckdb

# What all texts of a column can be read as, and the type to declare then; the first that fits.
_TYPES = {
    "bigint": "regexp_full_match({0}, '[+-]?[0-9]{{1,18}}')",
    "double": "try_cast({0} as double) is not null",
    "date": "length({0}) <= 10 and try_cast({0} as date) is not null",
    "timestamp": "try_cast({0} as timestamp) is not null",
}


def suggested_columns(
    files: InputFiles, undeclared: Sequence[UndeclaredColumn], engine: DuckDB
) -> list[str]:
    """Return lines that declare the columns of a source; types are those of the first file with each."""
    source = files.source
    assert source is not None
    first = next((column for column in undeclared if not column.name), None)
    lines = []
    for column in undeclared:
        path = Path(files.root, column.file)
        if not column.name or not path.is_file():
            continue
        about = ""
        if first and is_new(column, first):
            is_day = source.partition is not None and source.partition.grain == "day"
            about = f', since="{column.part}"' if is_day else ", optional=True"
        type = _type(replace(files, table=StoredTable((path,))), column.name, engine)
        declared = f'Column("{type}"{about})' if about else f'"{type}"'
        lines.append(f"    {column.name!r}: {declared},")
    return lines


def _type(files: InputFiles, name: str, engine: DuckDB) -> str:
    """Return the type of a column of one file: as it is stored, or as all of its texts can be read."""
    source = files.source
    assert source is not None
    if source.format == "parquet":
        import polars as pl

        with files.paths[0].open("rb") as content:
            return (from_polars(pl.read_parquet_schema(content)[name]) or "varchar").lower()
    text = replace(
        source, columns=(Column(name=name, type="VARCHAR"),), namings=(), optional=(), layouts=()
    )
    with engine.cursor() as cursor:
        return _type_of_texts(cursor, select(replace(files, source=text)), identifier(name))


def _type_of_texts(cursor: "duckdb.DuckDBPyConnection", table: str, column: str) -> str:
    fits = ", ".join(f"bool_and({test.format(column)})" for test in _TYPES.values())
    code = f"bool_or(regexp_matches({column}, '^0[0-9]'))"
    row = cursor.execute(
        f"select {code}, {fits} from ({table}) where {column} is not null"
    ).fetchone()
    is_code, *kinds = row or (None,)
    if is_code:  # a code with a leading zero is a text
        return "varchar"
    return next((type for type, fit in zip(_TYPES, kinds, strict=False) if fit), "varchar")


def commented(source: str, lines: Sequence[str]) -> str:
    """Return suggested declarations as comments to append to code."""
    if not lines:
        return ""
    head = f"# Columns of its files that {source} does not declare (columns= of the source):"
    return "\n".join(["", head, *(f"# {line}" for line in lines)])
