"""A few rows of each table that a product reads, which belong together; the same each time."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from assay.build.failures import of_source
from assay.build.inputs import Inputs
from assay.engines.damage import damage_reported
from assay.engines.duckdb import DuckDB, select
from assay.engines.formats.inspect import inspect
from assay.engines.quoting import identifier, literal
from assay.engines.tables import InputFiles, stored
from assay.errors import BuildError, SourceFault, UsageError
from assay.model import Product
from assay.plan.graph import Graph

if TYPE_CHECKING:
    import duckdb

_LINKS = ("VARCHAR", "DATE", "TIMESTAMP", "BIGINT", "INTEGER", "SMALLINT", "UUID")
_MOST_PAIRS = 60  # of columns that are tried as a link between two tables
_LARGE = 10_000_000  # rows of a table of which only columns of the same name are tried
_SHARED = 0.5  # share of the values of a link that the other table has


class Sample(Struct, frozen=True, kw_only=True):
    """Rows of a table, with the names and the types (of DuckDB) of its columns."""

    columns: Mapping[str, str]
    rows: Sequence[tuple[Any, ...]]


class _Table(Struct, kw_only=True):
    """A table to take rows of: the query of all its rows, and then that of the chosen ones."""

    name: str
    query: str
    columns: Mapping[str, str]
    rows: int
    event_time: str
    chosen: str = ""


def samples(
    graph: Graph, inputs: Inputs, names: Mapping[str, bool], count: int
) -> dict[str, Sample]:
    """Return up to `count` rows of each published product and source, by name.

    `names` say whether the part of each row is needed: then it is a column of the sample.

    The largest table comes first: half of its rows are of one day, half of another, if it has an
    event time. Of the others, rows are taken that have the same values in a column that links them.
    Raises UsageError for what is not published, or is a file; BuildError for wrong files.
    """
    import duckdb

    engine = inputs.engine()
    try:
        files = {name: _files(graph, inputs, name, engine) for name in names}
        with damage_reported([f.table for f in files.values()]), engine.cursor() as cursor:
            tables = [
                _table(graph, inputs, f, cursor, parts=names[name]) for name, f in files.items()
            ]
            done: list[_Table] = []
            for table in sorted(tables, key=lambda table: (-table.rows, table.name)):
                table.chosen = _chosen(table, done, count, cursor)
                done.append(table)
            return {table.name: _read(table, cursor) for table in done}
    except duckdb.Error as error:  # its message may quote values
        problem = f"no rows can be taken of {', '.join(names)} ({type(error).__name__})"
        raise BuildError(problem, hint="Write the test by hand.") from None
    finally:
        engine.close()


def _files(graph: Graph, inputs: Inputs, name: str, engine: DuckDB) -> InputFiles:
    source = graph.sources.get(name)
    if source is None and inputs.observed.facts.pointer(name) is None:
        raise UsageError(
            f"{name} is not published, so there are no rows to take",
            hint="`products materialize` publishes it.",
        )
    if source and (missing := inputs.observed.sources[name].missing):
        raise UsageError(missing)
    files = inputs.published(name)
    is_file = source.is_file if source else not _version(inputs, name).columns
    if is_file:
        raise UsageError(f"{name} is a file, of which no rows can be taken: write the test by hand")
    if source and source.is_text:
        try:
            inspect(files, files.paths, engine)
        except SourceFault as fault:
            raise BuildError(of_source(fault, graph)) from None
    return files


def _version(inputs: Inputs, name: str) -> Any:
    pointer = inputs.observed.facts.pointer(name)
    assert pointer is not None
    return inputs.observed.facts.version(pointer.version)


def _table(
    graph: Graph,
    inputs: Inputs,
    files: InputFiles,
    cursor: "duckdb.DuckDBPyConnection",
    *,
    parts: bool,
) -> _Table:
    of = graph.sources.get(files.name) or graph.products[files.name]
    query = select(files)
    columns = _columns(query, cursor)
    if parts and isinstance(of, Product) and (key := _unnamed_part(of, columns)):
        query = _with_parts(inputs, of, key)
        columns = _columns(query, cursor)
    (rows,) = cursor.execute(f"select count(*) from ({query})").fetchone() or (0,)
    event_time = of.event_time if of.event_time in columns else ""
    return _Table(name=files.name, query=query, columns=columns, rows=rows, event_time=event_time)


def _columns(query: str, cursor: "duckdb.DuckDBPyConnection") -> dict[str, str]:
    return {row[0]: row[1] for row in cursor.execute(f"describe ({query})").fetchall()}


def _unnamed_part(product: Product, columns: Mapping[str, str]) -> str:
    """Return what splits a table, if its rows do not tell their part; '' if they do."""
    partition = product.partition
    if partition is None or set(partition.names) <= columns.keys():
        return ""
    if partition.grain and product.event_time in columns:
        return ""
    name = partition.names[0]
    if len(partition.names) > 1:
        raise UsageError(
            f"{product.name} is in parts by {' and '.join(partition.names)}, which its rows do not"
            " tell: write the test by hand"
        )
    return "" if name in product.name or "." in name else name


def _with_parts(inputs: Inputs, product: Product, key: str) -> str:
    """Return the query of a product with the name of each row's part, as a column."""
    version = _version(inputs, product.name)
    selects = [
        f"select *, {literal(part.key)} as {identifier(key)} from ("
        f"{select(InputFiles(alias=key, name=product.name, table=stored(version, inputs.storage, [part])))})"
        for part in version.parts
        if part.key
    ]
    return " union all ".join(selects)


# ------------------------------------------------------------------------------------- choosing


def _chosen(
    table: _Table, others: Sequence[_Table], count: int, cursor: "duckdb.DuckDBPyConnection"
) -> str:
    """Return the query of the rows of a table that are taken."""
    for other in others:
        if link := _link(table, other, cursor):
            mine, theirs = (identifier(column) for column in link)
            linked = f"select * from ({table.query}) where {mine} in (select {theirs} from ({other.chosen}))"
            return _first(linked, table, count)
    if table.event_time and table.rows > count:
        return _of_two_days(table, count)
    return _first(table.query, table, count)


def _first(query: str, table: _Table, count: int) -> str:
    """Return the query of so many rows, which are the same whatever the order of the rows."""
    return f"select * from ({query}) order by {_hash(table)} limit {count}"


def _hash(table: _Table) -> str:
    columns = ", ".join(f"{identifier(name)}::varchar" for name in table.columns)
    return f"hash({columns}), {columns}"


def _of_two_days(table: _Table, count: int) -> str:
    day = f"cast({identifier(table.event_time)} as date)"
    days = (
        f"select __day from (select distinct {day} as __day from ({table.query}))"
        " where __day is not null order by hash(__day), __day limit 2"
    )
    ranked = (
        f"select *, row_number() over (partition by {day} order by {_hash(table)}) as __rank"
        f" from ({table.query}) where {day} in ({days})"
    )
    return f"select * exclude (__rank) from ({ranked}) where __rank <= {(count + 1) // 2}"


def _link(
    table: _Table, other: _Table, cursor: "duckdb.DuckDBPyConnection"
) -> tuple[str, str] | None:
    """Return a column of each table that links them: of one name, or else with the same values."""
    best: tuple[float, int, tuple[str, str]] | None = None
    for number, (mine, theirs) in enumerate(_pairs(table, other)):
        same_name = mine.lower() == theirs.lower()
        if number == _MOST_PAIRS or (table.rows > _LARGE and not same_name):
            break
        name = identifier(theirs)
        query = (
            f"select count(distinct {name}), count(distinct {name}) filter ({name} in"
            f" (select {identifier(mine)} from ({table.query}))) from ({other.chosen})"
        )
        values, shared = cursor.execute(query).fetchone() or (0, 0)
        share = shared / values if values else 0.0
        if shared and (same_name or (share >= _SHARED and values > 1)):
            rank = (share + same_name, values, (mine, theirs))
            best = max(best, rank) if best else rank
    return best[2] if best else None


def _pairs(table: _Table, other: _Table) -> Iterator[tuple[str, str]]:
    """Yield the pairs of columns of one type that may link two tables; of one name first."""
    pairs = [
        (mine, theirs)
        for mine, type in table.columns.items()
        for theirs, their_type in other.columns.items()
        if type == their_type
        and type in _LINKS
        # A number is a link only by its name: small numbers are everywhere.
        and (mine.lower() == theirs.lower() or type in {"VARCHAR", "DATE"})
    ]
    yield from sorted(pairs, key=lambda pair: (pair[0].lower() != pair[1].lower(), pair))


def _read(table: _Table, cursor: "duckdb.DuckDBPyConnection") -> Sample:
    order = ", ".join(str(number) for number in range(1, len(table.columns) + 1))
    rows = cursor.execute(f"select * from ({table.chosen}) order by {order}").fetchall()
    return Sample(columns=table.columns, rows=rows)
