"""Compares the footers of Parquet files with what the catalog records of them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from assay.engines.duckdb import parquet
from assay.engines.quoting import file_list
from assay.engines.sql.parser import connect
from assay.model import Column

if TYPE_CHECKING:
    import duckdb

_BATCH = 500  # files per query


class RecordedTable(Struct, frozen=True, kw_only=True):
    """What the catalog records of a file: its number of rows, and the columns of its version."""

    rows: int
    columns: tuple[Column, ...]


def contradictions(files: Mapping[Path, RecordedTable]) -> Iterator[tuple[Path, str]]:
    """Yield each file whose footer contradicts the catalog, with a message; reads footers only."""
    connection = connect()
    try:
        footers = _Footers(connection)
        paths = list(files)
        for start in range(0, len(paths), _BATCH):
            for path, rows, columns in footers.read(paths[start : start + _BATCH]):
                message = _contradiction(files[path], rows, columns)
                if message:
                    yield path, message
    finally:
        connection.close()


class _Footers:
    """Reads rows and columns of files; each set of columns is described once."""

    def __init__(self, connection: "duckdb.DuckDBPyConnection") -> None:
        self._connection = connection
        self._described: dict[str, list[tuple[str, str]]] = {}  # by the columns in the footer

    def read(self, paths: Sequence[Path]) -> Iterator[tuple[Path, int, list[tuple[str, str]]]]:
        """Yield each file with its number of rows, and name and type of its columns."""
        files = file_list(paths)
        rows = self._query(f"select file_name, num_rows from parquet_file_metadata({files})")
        rows_of = dict(rows)
        schemas = self._query(
            "select file_name, string_agg(concat_ws(',', name, duckdb_type, num_children), ';'"
            f" order by column_id) from parquet_schema({files}) group by file_name"
        )
        schema_of = dict(schemas)
        for path in paths:
            schema = schema_of[str(path)]
            if schema not in self._described:
                described = self._query(f"describe {parquet([path])}")
                self._described[schema] = [(row[0], row[1]) for row in described]
            yield path, rows_of[str(path)], self._described[schema]

    def _query(self, sql: str) -> list[Any]:
        return self._connection.execute(sql).fetchall()


def _contradiction(recorded: RecordedTable, rows: int, columns: Sequence[tuple[str, str]]) -> str:
    """Return what differs, as a message; '' if nothing does."""
    if rows != recorded.rows:
        return f"its footer says {rows:,} rows, and the catalog {recorded.rows:,}"
    in_file = [(name, _plain(type)) for name, type in columns]
    in_catalog = [(column.name, _plain(column.type)) for column in recorded.columns]
    if in_file == in_catalog:
        return ""
    differing = [
        " ".join(column)
        for column in dict.fromkeys([*in_file, *in_catalog])
        if (column in in_file) != (column in in_catalog)
    ]
    names = ", ".join(differing) or "they are in another order"
    return f"its columns are not those of the catalog: {names}"


def _plain(type: str) -> str:
    """Return a type as both engines write it: one of them quotes the names of fields."""
    return type.replace('"', "")
