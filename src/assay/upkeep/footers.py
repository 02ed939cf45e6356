"""What Parquet files say of themselves in their footers, held against what the catalog says of them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from assay.engines.duckdb import parquet
from assay.engines.quoting import file_list
from assay.engines.sql.parser import connect
from assay.model import Column

_AT_ONCE = 500  # files that are asked about in one query


class Recorded(Struct, frozen=True, kw_only=True):
    """What the catalog says of a file: rows in all, and the columns of the version that it is of."""

    rows: int
    columns: tuple[Column, ...]


def contradicted(files: Mapping[Path, Recorded]) -> Iterator[tuple[Path, str]]:
    """Yield the files whose footer says something else than the catalog, each with what; no data is read."""
    connection = connect()
    try:
        described: dict[
            str, list[tuple[str, str]]
        ] = {}  # columns by what footers of the same columns say
        paths = list(files)
        for start in range(0, len(paths), _AT_ONCE):
            some = paths[start : start + _AT_ONCE]
            read = file_list(some)
            rows = dict(
                connection.execute(
                    f"select file_name, num_rows from parquet_file_metadata({read})"
                ).fetchall()
            )
            kinds = dict(
                connection.execute(
                    "select file_name, string_agg(concat_ws(',', name, duckdb_type, num_children), ';'"
                    f" order by column_id) from parquet_schema({read}) group by file_name"
                ).fetchall()
            )
            for path in some:
                kind = kinds[str(path)]
                if kind not in described:
                    described[kind] = [
                        row[:2]
                        for row in connection.execute(f"describe {parquet([path])}").fetchall()
                    ]
                if wrong := _wrong(files[path], rows[str(path)], described[kind]):
                    yield path, wrong
    finally:
        connection.close()


def _wrong(recorded: Recorded, rows: int, columns: Sequence[tuple[str, str]]) -> str:
    if rows != recorded.rows:
        return f"its footer says {rows:,} rows, and the catalog {recorded.rows:,}"
    here, there = (
        [(name, _plain(type)) for name, type in columns],
        [(c.name, _plain(c.type)) for c in recorded.columns],
    )
    if here != there:
        odd = [
            " ".join(column)
            for column in dict.fromkeys([*here, *there])
            if (column in here) != (column in there)
        ]
        return f"its columns are not those of the catalog: {', '.join(odd) or 'they are in another order'}"
    return ""


def _plain(type: str) -> str:
    """Return a type as both engines spell it: one quotes the names of fields."""
    return type.replace('"', "")
