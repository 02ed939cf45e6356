"""DuckDB: one instance per run, with views of a product's inputs; results become Parquet."""

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from assay.engines.formats import csv as csvfiles
from assay.engines.formats import jsonlines, shapes
from assay.engines.formats import parquet as parquetfiles
from assay.engines.formats.pathcolumns import part_of_file
from assay.engines.quoting import as_named, dotted, file_list, files_of, identifier, literal
from assay.engines.sql.parser import close, connect
from assay.engines.tables import InputFiles, PartRows, StoredTable
from assay.engines.types import casts, check_names
from assay.errors import BuildError
from assay.model import Column
from assay.signals import hearing

if TYPE_CHECKING:
    import duckdb

# No temporary file is needed: the path is new, is read only after the catalog names it, and is
# removed if the copy fails.
COPY = "(format parquet, compression zstd, compression_level 1, parquet_version v2, use_tmp_file false)"


class DuckDB:
    """One DuckDB instance that can read and write below `folders` only.

    Its connections share `limits` (settings of DuckDB), and are used by one thread each. Events
    later than `until` are not counted by what measures files.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        spill: Path,
        limits: Mapping[str, str] | None = None,
        *,
        until: datetime | None = None,
    ) -> None:
        import duckdb

        self.until = until
        self.limited = bool((limits or {}).get("memory_limit"))
        self._lock = threading.Lock()
        self._cursors: dict[int, duckdb.DuckDBPyConnection] = {}
        self._threads: dict[int, int] = {}  # the thread that uses each cursor; 0 for none
        self._idle: list[int] = []  # cursors that can be used again
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
        _set_limits(self._instance, spill, limits)
        run("set python_enable_replacements = false")
        in_utc(self._instance)
        directories = [
            f"{spelled}/"
            for folder in folders
            for spelled in dict.fromkeys((str(folder), as_named(folder)))
        ]
        run(f"set allowed_directories = [{', '.join(map(literal, directories))}]")
        run("set enable_external_access = false")
        run("set lock_configuration = true")
        # Another version of DuckDB may hash rows differently.
        self.version = str(run("select version()").fetchall()[0][0])

    @contextmanager
    def bench(
        self,
        inputs: Sequence[InputFiles],
        domain: str,
        *,
        read: Callable[[InputFiles], str] | None = None,
    ) -> Iterator["duckdb.DuckDBPyConnection"]:
        """Open a connection with the inputs as views: by full name and, in this domain, by alias.

        `read` returns the query of a view; without it, views read the inputs' files. Tables and
        views that are created on it are dropped when it is closed.
        """
        number, bench = self._open_cursor()
        database = f"room{number}"
        try:
            views = {
                name: (read or select)(files)
                for name, files in _by_view_name(inputs, domain).items()
            }
            domains = {files.name.partition(".")[0] for files in inputs if "." in files.name}
            _create_input_views(bench, database, {domain, *domains}, views)
            bench.execute(f"use {database}.{identifier(domain)}")
            with hearing():
                yield bench
        finally:
            _detach(bench, database)
            self._close_cursor(number)

    @contextmanager
    def cursor(self) -> Iterator["duckdb.DuckDBPyConnection"]:
        """Lend a connection without views, for queries that read files by their paths.

        It is used again later, so create nothing and set nothing on it.
        """
        number, cursor = self._idle_cursor() or self._open_cursor()
        try:
            with hearing():
                yield cursor
        except BaseException:
            self._close_cursor(number)
            raise
        with self._lock:
            self._threads[number] = 0
            self._idle.append(number)

    def _idle_cursor(self) -> tuple[int, "duckdb.DuckDBPyConnection"] | None:
        with self._lock:
            if not self._idle:
                return None
            number = self._idle.pop()
            self._threads[number] = threading.get_ident()
            return number, self._cursors[number]

    def _open_cursor(self) -> tuple[int, "duckdb.DuckDBPyConnection"]:
        with self._lock:
            self._count += 1
            cursor = self._cursors[self._count] = self._instance.cursor()
            self._threads[self._count] = threading.get_ident()
            return self._count, cursor

    def _close_cursor(self, number: int) -> None:
        with self._lock:
            cursor = self._cursors.pop(number)
            del self._threads[number]
        cursor.close()

    def interrupt(self, thread: int | None = None) -> None:
        """Interrupt the queries that run: of one thread, or all."""
        with self._lock:
            for number, cursor in self._cursors.items():
                if thread in {None, self._threads[number]}:
                    cursor.interrupt()

    def close(self) -> None:
        """Close the instance and free its memory."""
        for number in [*self._idle]:
            self._close_cursor(number)
        close(self._instance)

    def copy_by(self, file: Path, key: str, keys: Sequence[str], target: Path) -> None:
        """Copy rows whose `key` (SQL of a text) is in `keys`, sorted by key, else in their order."""
        chosen = f"where {key} in ({', '.join(map(literal, keys))})" if keys else "where false"
        rows = (
            f"select * exclude (file_row_number) {numbered(file)} {chosen} "
            f"order by {key}, file_row_number"
        )
        self._copy(rows, target)

    def copy_where(self, file: Path, condition: str, target: Path) -> None:
        """Copy the rows of a file that meet a condition, in their order."""
        self._copy(f"select * {parquet([file])} where {condition}", target)

    def copy_tables(self, tables: Sequence[StoredTable], target: Path) -> None:
        """Copy stored tables of the same columns to one file, in order."""
        reads: list[StoredTable] = []
        for is_cut, group in groupby(tables, key=lambda table: bool(table.cuts)):
            if is_cut:
                reads += group
            else:
                reads.append(StoredTable(tuple(file for table in group for file in table.files)))
        self._copy(" union all ".join(f"({parquet(table)})" for table in reads), target)

    def _copy(self, query: str, target: Path) -> None:
        with self.cursor() as cursor:
            cursor.execute(f"copy ({query}) to {literal(str(target))} {COPY}")


def _create_input_views(
    bench: "duckdb.DuckDBPyConnection",
    database: str,
    domains: Iterable[str],
    views: Mapping[str, str],
) -> None:
    """Attach a database in memory with these schemas, and create views (name: query) in it."""
    bench.execute(f"attach ':memory:' as {database}")
    for schema in sorted(domains):
        bench.execute(f"create schema {database}.{identifier(schema)}")
    for name, query in views.items():
        bench.execute(f"create view {database}.{name} as {query}")


def _detach(bench: "duckdb.DuckDBPyConnection", database: str) -> None:
    import duckdb

    with suppress(duckdb.Error):
        bench.execute("use memory.main")
        bench.execute(f"detach {database}")


def _by_view_name(inputs: Sequence[InputFiles], domain: str) -> dict[str, InputFiles]:
    """Return the inputs by the quoted names of their views; BuildError for a name of two inputs."""
    views: dict[str, InputFiles] = {}
    for files in inputs:
        by_alias = f"{domain}.{files.alias}" if "." not in files.alias else ""
        full_name = files.name if "." in files.name else ""
        for name in filter(None, (by_alias, full_name)):
            quoted = dotted(name)
            if views.setdefault(quoted, files).name != files.name:
                raise BuildError(
                    f"{name} would be {views[quoted].name} and {files.name}",
                    hint="Choose another alias.",
                )
    return views


def before(query: str, inputs: Sequence[InputFiles], domain: str) -> str:
    """Return a WITH clause of the inputs, by alias, for a query: it is quicker than views.

    Returns '' for a query that needs a bench: it may name inputs by domain, or sets a seed, which
    the next query would see.
    """
    text = query.lower()
    # The name of the domain before a dot; a comment may be between them.
    qualified = rf'\b{re.escape(domain.lower())}\b"?\s*(\.|--|/\*)'
    if re.search(qualified, text) or "setseed" in text:
        return ""
    if not inputs or any("." in files.alias for files in inputs):
        return ""
    reads = (f"{identifier(files.alias)} as not materialized ({select(files)})" for files in inputs)
    return f"with {', '.join(reads)} "


def stage(
    bench: "duckdb.DuckDBPyConnection",
    query: str,
    target: Path,
    want: Mapping[str, str],
    before: str = "",
) -> dict[str, str]:
    """Copy a query's rows to one Parquet file, in the contract's types where casts are exact.

    `before` is a WITH clause, or ''. Returns the type of each column as written.
    """
    described = columns_of(bench, query, before)
    check_names([name for name, _ in described])
    have = dict(described)
    changed = casts(have, want)
    select_list = []
    for column in have:
        name = identifier(column)
        select_list.append(
            f"cast({name} as {changed[column]}) as {name}" if column in changed else name
        )
    rows = f"{before}select {', '.join(select_list)} from (\n{query}\n)"
    bench.execute(f"copy ({rows}) to {literal(str(target))} {COPY}")
    return have | changed


def columns_of(
    bench: "duckdb.DuckDBPyConnection", query: str, before: str = ""
) -> list[tuple[str, str]]:
    """Return name and type of each column of a query."""
    import duckdb

    try:
        relation = bench.sql(f"{before}(\n{query}\n)")
        return list(zip(relation.columns, map(str, relation.types), strict=True))
    except duckdb.ProgrammingError:
        if before:
            raise
        # Only execute() raises the full message, with the line.
        return [(row[0], row[1]) for row in bench.execute(f"describe (\n{query}\n)").fetchall()]


def select(files: InputFiles) -> str:
    """Return the query that reads an input: a source as declared, a product as stored."""
    if files.empty:
        return _without_rows(files.empty)
    if files.source is None:
        query = parquet_of_parts(files.part_rows) if files.part_rows else parquet(files.table)
        return _as_declared(query, files.declared)
    if not files.paths:  # a part of which this source has no file
        return _without_rows((*files.source.columns, *files.source.path_columns))
    return shapes.select(files, _SELECT[files.source.format])


def _as_declared(query: str, columns: Sequence[Column]) -> str:
    """Return a query of stored rows with columns of an enum as that, which is stored as text."""
    enums = [column for column in columns if column.type.startswith("ENUM")]
    casts = (f"cast({identifier(c.name)} as {c.type}) as {identifier(c.name)}" for c in enums)
    return f"select * replace ({', '.join(casts)}) from ({query})" if enums else query


def _without_rows(columns: Iterable[Column]) -> str:
    nulls = ", ".join(f"null::{c.type} as {identifier(c.name)}" for c in columns)
    return f"select {nulls} where false"


_SELECT: dict[str, Callable[[InputFiles], str]] = {
    "csv": csvfiles.select,
    "jsonl": jsonlines.select,
    "json": jsonlines.select,
    "parquet": parquetfiles.select,
}


def parquet(table: StoredTable | Sequence[Path]) -> str:
    """Return the FROM clause that reads a stored table, or Parquet files as they are.

    Folders called `key=value` are not read as columns, except for the table's column `split`.
    """
    table = table if isinstance(table, StoredTable) else StoredTable(tuple(table))
    reads = []
    if table.split and (hive_files := table.hive_files):
        types = f"hive_types = {{{literal(table.split[0])}: {table.split[1]}}}"
        options = f"hive_partitioning = true, {types}"
        reads.append(f"from read_parquet({files_of(hive_files)}, {options})")
    if (plain_files := table.plain_files) or not table.files:
        reads.append(f"from read_parquet({files_of(plain_files)}, hive_partitioning = false)")
    for file, ranges in table.cuts.items():
        inside = " or ".join(
            f"file_row_number between {first} and {first + rows - 1}" for first, rows in ranges
        )
        reads.append(f"select * exclude (file_row_number) {numbered(file)} where {inside}")
    if len(reads) == 1 and not table.cuts:
        return reads[0]
    return f"from ({' union all by name '.join(reads)})"


def parquet_of_parts(part_rows: Sequence[PartRows]) -> str:
    """Return the query that reads Parquet files of several parts, with `__part`, their number."""
    whole = [rows for rows in part_rows if rows.rows is None]
    reads = []
    if whole:
        files = files_of([rows.file for rows in whole])
        options = "filename = '__file', hive_partitioning = false"
        number = part_of_file(whole)
        reads.append(
            f"select * exclude (__file), {number} as __part from read_parquet({files}, {options})"
        )
    ranges: dict[Path, list[PartRows]] = {}
    for rows in part_rows:
        if rows.rows is not None:
            ranges.setdefault(rows.file, []).append(rows)
    for file, inside in ranges.items():
        inside.sort(key=lambda rows: rows.first)
        ends = [(rows.first + (rows.rows or 0), rows.part) for rows in inside]
        reads.append(
            f"select * exclude (file_row_number), {number_of_row(ends)} as __part {numbered(file)}"
            f" where {_within(inside)}"
        )
    return " union all by name ".join(f"({read})" for read in reads)


def _within(ranges: Sequence[PartRows]) -> str:
    """Return the condition that a row is in one of these ranges, which are in their order."""
    spans: list[list[int]] = []
    for rows in ranges:
        end = rows.first + (rows.rows or 0)
        if spans and spans[-1][1] == rows.first:
            spans[-1][1] = end
        else:
            spans.append([rows.first, end])
    return " or ".join(f"file_row_number between {first} and {end - 1}" for first, end in spans)


def number_of_row(ends: Sequence[tuple[int, int]]) -> str:
    """Return the SQL of the number of the range that a row of a file is in.

    `ends` are the rows after each range, ascending, and the numbers. Halving takes a few
    comparisons for a thousand ranges.
    """
    if len(ends) == 1:
        return str(ends[0][1])
    middle = len(ends) // 2
    low, high = number_of_row(ends[:middle]), number_of_row(ends[middle:])
    return f"case when file_row_number < {ends[middle - 1][0]} then {low} else {high} end"


def numbered(file: Path) -> str:
    """Return the FROM clause that reads a Parquet file with `file_row_number`, from 0."""
    path = literal(str(file))
    return f"from read_parquet({path}, file_row_number = true, hive_partitioning = false)"


_KEYS = {"month": "%Y-%m", "year": "%Y", "week": "%G-W%V"}


def keyed(value: str, grain: str, type: str) -> str:
    """Return the SQL of the key of a value's part; `type` is the value's, `grain` as in Partition.

    A text or a number is its own key: a text `2011-12` is not read as a time.
    """
    if not type.startswith(("DATE", "TIMESTAMP")):
        return f"cast({value} as varchar)"
    if grain in _KEYS:
        return f"strftime({value}, {literal(_KEYS[grain])})"
    if grain == "quarter":
        return f"strftime({value}, '%Y') || '-Q' || quarter({value})"
    if grain == "day":
        return f"cast(cast({value} as date) as varchar)"
    return f"cast({value} as varchar)"


def reading_room(
    files: Sequence[Path],
    views: Mapping[str, str],
    spill: Path,
    limits: Mapping[str, str] | None = None,
) -> "duckdb.DuckDBPyConnection":
    """Return a connection that can read nothing but these files, with these views (name: query).

    Queries on it cannot reach other files, the network, extensions or settings. It spills to the
    folder `spill`, within `limits` (settings of DuckDB).
    """
    room = connect()
    _set_limits(room, spill, limits)
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


def _set_limits(
    connection: "duckdb.DuckDBPyConnection", spill: Path, limits: Mapping[str, str] | None
) -> None:
    # The limit of spilled bytes takes effect only if it is set after the folder.
    connection.execute(f"set temp_directory = {literal(str(spill))}")
    for name, value in (limits or {}).items():
        if value:
            connection.execute(f"set {name} = {literal(value)}")


def in_utc(connection: "duckdb.DuckDBPyConnection") -> None:
    """Set the time zone to UTC, so that the day of a moment is the same on every machine."""
    connection.execute("set global TimeZone = 'UTC'")
