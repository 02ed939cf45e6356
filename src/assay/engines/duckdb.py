"""DuckDB: one instance a run, a bench of views for each product on it, results copied to Parquet."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from assay.engines.formats import csv as csvfiles
from assay.engines.formats import jsonlines
from assay.engines.formats import parquet as parquetfiles
from assay.engines.quoting import as_named, dotted, file_list, files_of, identifier, literal
from assay.engines.sql.parser import close, connect
from assay.engines.tables import InputFiles, StoredTable
from assay.engines.types import casts, check_names
from assay.errors import BuildError
from assay.signals import hearing

if TYPE_CHECKING:
    import duckdb

# The path is new, nobody reads it before the catalog names it, and it is removed when this fails: no detour is needed.
COPY = "(format parquet, compression zstd, compression_level 1, parquet_version v2, use_tmp_file false)"


class DuckDB:
    """One DuckDB instance that reads and writes `folders` alone; benches on it share `limits` (settings of DuckDB)."""

    def __init__(
        self, folders: Sequence[Path], spill: Path, limits: Mapping[str, str] | None = None
    ) -> None:
        import duckdb

        self.limited = bool((limits or {}).get("memory_limit"))
        self._lock = threading.Lock()
        self._open: dict[int, duckdb.DuckDBPyConnection] = {}
        self._at: dict[int, int] = {}  # the thread that each is used by
        self._idle: list[int] = []  # cursors for whoever wants one next
        self._count = 0
        self._instance = connect()
        try:
            self._set_up(folders, spill, limits)
        except BaseException:
            self.close()
            raise

    def _set_up(
        self, folders: Sequence[Path], spill: Path, limits: Mapping[str, str] | None
    ) -> None:
        run = self._instance.execute
        _limit(self._instance, spill, limits)
        run("set python_enable_replacements = false")
        in_utc(self._instance)
        told = (
            f"{way}/"
            for folder in folders
            for way in dict.fromkeys((str(folder), as_named(folder)))
        )
        run(f"set allowed_directories = [{', '.join(map(literal, told))}]")
        run("set enable_external_access = false")
        run("set lock_configuration = true")
        self.version = str(
            run("select version()").fetchall()[0][0]
        )  # another may hash rows otherwise

    @contextmanager
    def bench(
        self, inputs: Sequence[InputFiles], domain: str
    ) -> Iterator["duckdb.DuckDBPyConnection"]:
        """Open a connection of its own that sees the inputs as views, by full name and, in this domain, by alias.

        What is made there is gone with it.
        """
        number, bench = self._opened()
        room = f"room{number}"
        try:
            _furnish(bench, room, inputs, domain)
            bench.execute(f"use {room}.{identifier(domain)}")
            with hearing():
                yield bench
        finally:
            _clear(bench, room)
            self._closed(number)

    @contextmanager
    def cursor(self) -> Iterator["duckdb.DuckDBPyConnection"]:
        """Lend a connection that sees no views: files are read by their paths. Nothing is made or set there."""
        number, cursor = self._again() or self._opened()
        try:
            with hearing():
                yield cursor
        except BaseException:
            self._closed(number)
            raise
        with self._lock:
            self._at[number] = 0
            self._idle.append(number)

    def _again(self) -> tuple[int, "duckdb.DuckDBPyConnection"] | None:
        with self._lock:
            if not self._idle:
                return None
            number = self._idle.pop()
            self._at[number] = threading.get_ident()
            return number, self._open[number]

    def _opened(self) -> tuple[int, "duckdb.DuckDBPyConnection"]:
        with self._lock:
            self._count += 1
            cursor = self._open[self._count] = self._instance.cursor()
            self._at[self._count] = threading.get_ident()
            return self._count, cursor

    def _closed(self, number: int) -> None:
        with self._lock:
            cursor = self._open.pop(number)
            del self._at[number]
        cursor.close()

    def interrupt(self, thread: int | None = None) -> None:
        """Stop what is running: all of it, or what one thread runs."""
        with self._lock:
            for number, bench in self._open.items():
                if thread in {None, self._at[number]}:
                    bench.interrupt()

    def close(self) -> None:
        """Let go of the instance and its memory."""
        for number in [*self._idle]:
            self._closed(number)
        close(self._instance)

    def copy_by(self, file: Path, key: str, keys: Sequence[str], target: Path) -> None:
        """Copy the rows of these values of `key` (SQL of a text), sorted by it, and as they were otherwise."""
        numbered = (
            f"read_parquet({file_list([file])}, file_row_number = true, hive_partitioning = false)"
        )
        chosen = f"where {key} in ({', '.join(map(literal, keys))})" if keys else "where false"
        rows = f"select * exclude (file_row_number) from {numbered} {chosen} order by {key}, file_row_number"
        with self.cursor() as cursor:
            cursor.execute(f"copy ({rows}) to {literal(str(target))} {COPY}")

    def copy_where(self, file: Path, condition: str, target: Path) -> None:
        """Copy the rows of a file that meet a condition, in their order."""
        with self.cursor() as cursor:
            cursor.execute(
                f"copy (select * {parquet([file])} where {condition}) to {literal(str(target))} {COPY}"
            )

    def copy_tables(self, tables: Sequence[StoredTable], target: Path) -> None:
        """Copy stored tables of the same columns to one file, in order."""
        runs = [
            (cut, list(run)) for cut, run in groupby(tables, key=lambda table: bool(table.cuts))
        ]
        reads = [
            run if cut else [StoredTable(tuple(file for table in run for file in table.files))]
            for cut, run in runs
        ]
        every = " union all ".join(f"({parquet(table)})" for run in reads for table in run)
        with self.cursor() as cursor:
            cursor.execute(f"copy ({every}) to {literal(str(target))} {COPY}")


def _furnish(
    bench: "duckdb.DuckDBPyConnection", room: str, inputs: Sequence[InputFiles], domain: str
) -> None:
    bench.execute(f"attach ':memory:' as {room}")
    for schema in sorted(
        {domain, *(files.name.partition(".")[0] for files in inputs if "." in files.name)}
    ):
        bench.execute(f"create schema {room}.{identifier(schema)}")
    for name, files in _named(inputs, domain).items():
        bench.execute(f"create view {room}.{name} as {select(files)}")


def _clear(bench: "duckdb.DuckDBPyConnection", room: str) -> None:
    import duckdb

    with suppress(duckdb.Error):
        bench.execute("use memory.main")
        bench.execute(f"detach {room}")


def _named(inputs: Sequence[InputFiles], domain: str) -> dict[str, InputFiles]:
    """Return the views of a bench by quoted name; BuildError when a name would stand for two things."""
    named: dict[str, InputFiles] = {}
    for files in inputs:
        for full in (
            f"{domain}.{files.alias}" if "." not in files.alias else "",
            files.name if "." in files.name else "",
        ):
            name = dotted(full)
            if full and named.setdefault(name, files).name != files.name:
                raise BuildError(
                    f"{full} would be {named[name].name} and {files.name}",
                    hint="Choose another alias.",
                )
    return named


def before(query: str, inputs: Sequence[InputFiles], domain: str) -> str:
    """Return what lets a query read the inputs by alias where there are no views, to be put before it.

    It is quicker than making views. '' for a query that may name them otherwise, or leaves something: it needs a bench.
    """
    named = (domain.lower(), "setseed")  # a seed is not left for the next query
    apart = any(name in query.lower() for name in named) or any(
        "." in files.alias for files in inputs
    )
    read = (f"{identifier(files.alias)} as not materialized ({select(files)})" for files in inputs)
    return "" if apart or not inputs else f"with {', '.join(read)} "


def stage(
    bench: "duckdb.DuckDBPyConnection",
    query: str,
    target: Path,
    want: Mapping[str, str],
    before: str = "",
) -> dict[str, str]:
    """Copy a query's rows to one Parquet file (v2, zstd), in the contract's types where the cast is exact.

    Returns the types that the columns were written in.
    """
    described = _described(bench, query, before)
    check_names([name for name, _ in described])
    have = dict(described)
    changed = casts(have, want)
    named = (
        f"cast({identifier(n)} as {changed[n]}) as {identifier(n)}"
        if n in changed
        else identifier(n)
        for n in have
    )
    bench.execute(
        f"copy ({before}select {', '.join(named)} from (\n{query}\n)) to {literal(str(target))} {COPY}"
    )
    return have | changed


def _described(
    bench: "duckdb.DuckDBPyConnection", query: str, before: str
) -> list[tuple[str, str]]:
    """Return name and type of each column of a query."""
    import duckdb

    try:
        relation = bench.sql(f"{before}(\n{query}\n)")
        return list(zip(relation.columns, map(str, relation.types), strict=True))
    except duckdb.ProgrammingError:
        if before:
            raise
        # It is said in full, with the line, only by what is executed.
        return [(row[0], row[1]) for row in bench.execute(f"describe (\n{query}\n)").fetchall()]


def select(files: InputFiles) -> str:
    """Return the query that reads an input: columns as declared for a source, as stored for a product."""
    if files.source is None:
        return parquet(files.table)
    if not files.paths:  # a part that this source has none of
        columns = (*files.source.columns, *files.source.path_columns)
        return f"select {', '.join(f'null::{c.type} as {identifier(c.name)}' for c in columns)} where false"
    return _SELECT[files.source.format](files)


_SELECT: dict[str, Callable[[InputFiles], str]] = {
    "csv": csvfiles.select,
    "jsonl": jsonlines.select,
    "parquet": parquetfiles.select,
}


def parquet(table: StoredTable | Sequence[Path]) -> str:
    """Return the FROM clause that reads a stored table, or Parquet files as they are.

    Folders called `key=value` mean nothing, but for the column that the table says it is split by.
    """
    table = table if isinstance(table, StoredTable) else StoredTable(tuple(table))
    reads = []
    if table.split and (hive_files := table.hive_files):
        types = f"hive_types = {{{literal(table.split[0])}: {table.split[1]}}}"
        reads.append(
            f"from read_parquet({files_of(hive_files)}, hive_partitioning = true, {types})"
        )
    if (plain_files := table.plain_files) or not table.files:
        reads.append(f"from read_parquet({files_of(plain_files)}, hive_partitioning = false)")
    for file, ranges in table.cuts.items():
        inside = " or ".join(
            f"file_row_number between {first} and {first + rows - 1}" for first, rows in ranges
        )
        numbered = (
            f"read_parquet({files_of([file])}, file_row_number = true, hive_partitioning = false)"
        )
        reads.append(f"select * exclude (file_row_number) from {numbered} where {inside}")
    return (
        reads[0]
        if len(reads) == 1 and not table.cuts
        else f"from ({' union all by name '.join(reads)})"
    )


_KEYS = {"month": "%Y-%m", "year": "%Y", "week": "%G-W%V"}


def keyed(value: str, grain: str, type: str) -> str:
    """Return the SQL of the part that a value of this type belongs to; `grain` as in Partition.

    A text or a number is called what it is: it may be `2011-12`, and is not read as a time.
    """
    if not type.startswith(("DATE", "TIMESTAMP")):
        return f"cast({value} as varchar)"
    if grain in _KEYS:
        return f"strftime({value}, {literal(_KEYS[grain])})"
    if grain == "quarter":
        return f"strftime({value}, '%Y') || '-Q' || quarter({value})"
    return (
        f"cast(cast({value} as date) as varchar)" if grain == "day" else f"cast({value} as varchar)"
    )


def reading_room(
    files: Sequence[Path],
    views: Mapping[str, str],
    spill: Path,
    limits: Mapping[str, str] | None = None,
) -> "duckdb.DuckDBPyConnection":
    """Return a connection that can read these files through these views (name: query) and nothing else at all.

    Neither other files, the network and extensions nor its own settings are within reach of what runs on it; what
    does not fit into memory is in `spill` meanwhile, within `limits` (settings of DuckDB).
    """

    room = connect()
    _limit(room, spill, limits)
    room.execute("set python_enable_replacements = false")
    in_utc(room)
    room.execute(f"set allowed_paths = {file_list(files)}")
    create_views(room, views)
    room.execute("set enable_external_access = false")
    room.execute("set lock_configuration = true")
    return room


def create_views(connection: "duckdb.DuckDBPyConnection", views: Mapping[str, str]) -> None:
    """Create a view for each name, `domain.name` in a schema of its own."""
    for schema in sorted({name.partition(".")[0] for name in views if "." in name}):
        connection.execute(f"create schema if not exists {identifier(schema)}")
    for name, query in views.items():
        connection.execute(f"create view {dotted(name)} as {query}")


def _limit(
    connection: "duckdb.DuckDBPyConnection", spill: Path, limits: Mapping[str, str] | None
) -> None:
    connection.execute(f"set temp_directory = {literal(str(spill))}")
    for name, value in (
        limits or {}
    ).items():  # how much may be spilled counts only when it is set after the folder
        if value:
            connection.execute(f"set {name} = {literal(value)}")


def in_utc(connection: "duckdb.DuckDBPyConnection") -> None:
    """Let the day of a moment be the same on every machine."""
    connection.execute("set global TimeZone = 'UTC'")
