"""One read-only query over published products, and the first rows of a file."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from msgspec import Struct, field

from assay.config import Config
from assay.engines import duckdb as duck
from assay.engines.damage import damage_reported
from assay.engines.quoting import dotted, identifier
from assay.engines.sql import reader
from assay.engines.sql.tables import Unreadable
from assay.engines.tables import StoredTable
from assay.errors import QueryRefused, QueryStopped, StoreError
from assay.plan.names import nearest
from assay.signals import in_thread
from assay.views.bounds import Bounds
from assay.views.published import Published

T = TypeVar("T")
_BATCH = 1000
FINER_THAN_PYTHON = {"TIMESTAMP_NS", "TIMESTAMPTZ_NS", "TIME_NS"}
_EMPTY = "`products materialize` publishes."
_SEE_HISTORY = "`products history NAME` says when it was published."
_NOT_PUBLISHED = "`products ls` lists what is declared; `products materialize` publishes it."


class Sources(Struct, frozen=True):
    """Sources that a query reads: full names by those that it uses, queries, and their files."""

    names: Mapping[str, str] = field(default_factory=dict)
    queries: Mapping[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()


@contextmanager
def run(
    sql: str,
    published: Published,
    timeout: float = 0.0,
    sources: Sources | None = None,
) -> Iterator[tuple[list[str], Iterator[Sequence[Any]]]]:
    """Run one query over published products; give its column names, and its rows as they come.

    It may read `sources` as well. A bare name stands for the product of that name if there is one
    only. The connection can reach no other file, no network and no setting.

    Raises QueryRefused for anything but one query that reads published products. Raises
    QueryStopped after `timeout` seconds (0: any time), or when this process takes more memory than
    is configured. DuckDB may go on for a while after that, in a thread of its own: a server should
    run each query in a process that it can end.
    """
    import duckdb

    sources = sources or Sources()
    full_names = tables(sql, published, sources)
    stored = published.stored(set(full_names.values()) - sources.queries.keys())
    views = {name: duck.parquet(table) for name, table in stored.items()} | {**sources.queries}
    views |= {name: f"from {dotted(full)}" for name, full in full_names.items() if name != full}
    files = [*sources.files, *(file for table in stored.values() for file in table.files)]
    config = published.config
    with damage_reported(stored.values()):  # creating a view fails for what is no Parquet file
        room = duck.reading_room(files, views, config.spill_folder, config.limits)
    bounds = Bounds(timeout, config.memory)
    try:
        with damage_reported(stored.values()):
            columns, answer = _stoppable(room, bounds, lambda: _answer(room, sql))
            yield _unique(columns), _rows(room, bounds, answer)
    except duckdb.OutOfMemoryException:
        room.close()
        raise  # not a mistake in the query
    except duckdb.Error as error:
        raise QueryRefused(str(error).strip()) from error
    except (KeyboardInterrupt, QueryStopped):
        raise  # closing would wait for the query, which may never end
    except BaseException:
        room.close()
        raise
    else:
        room.close()


def first_rows(
    table: StoredTable, count: int, config: Config, sensitive: Sequence[str] = ()
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Return column names and the first rows of a stored table, without sensitive values."""
    import duckdb

    room = duck.reading_room(table.files, {}, config.spill_folder, config.limits)
    hidden = ", ".join(f"'(sensitive)' as {identifier(name)}" for name in sensitive)
    select = f"select * replace ({hidden})" if hidden else ""
    try:
        with damage_reported([table]):
            columns, answer = _answer(room, f"{select} {duck.parquet(table)} limit {count}")
            return columns, answer.fetchall()
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        raise StoreError(f"cannot read {table.files[0]}: {str(error).splitlines()[0]}") from None
    finally:
        room.close()


def _answer(room: Any, sql: str) -> tuple[list[str], Any]:
    """Run a query; return the names of its columns, and its rows.

    Times in nanoseconds are returned as text, because Python's times are in microseconds.
    """
    answer = room.execute(sql)
    columns = [(column[0], str(column[1])) for column in answer.description or ()]
    if any(type in FINER_THAN_PYTHON for _, type in columns):
        expressions = (
            f"cast(#{number} as varchar)" if type in FINER_THAN_PYTHON else f"#{number}"
            for number, (_, type) in enumerate(columns, 1)
        )
        room.execute(f"create temp view __answer as {sql}")
        answer = room.execute(f"select {', '.join(expressions)} from __answer")
    return [name for name, _ in columns], answer


def names(sql: str) -> list[str]:
    """Return the names of the tables that a query reads; QueryRefused if it cannot be parsed."""
    try:
        parsed = reader.parse(sql)
    except Unreadable as error:
        raise _refused(sql, error) from None
    return list(dict.fromkeys(map(str, parsed.tables)))


def tables(sql: str, published: Published, sources: Sources | None = None) -> dict[str, str]:
    """Return the full names of the tables that a query reads, by the names it uses.

    Raises QueryRefused for a name that is no published table, and none of the `sources`.
    """
    known = sources.names if sources else {}
    return {name: known.get(name) or _full_name(name, published) for name in names(sql)}


def _refused(sql: str, error: Unreadable) -> QueryRefused:
    """Return the refusal of a query that cannot be parsed, pointing at the place."""
    if error.offset < 0:
        return QueryRefused(error.what)
    line, column, text = reader.place(sql, error.offset)
    pointer = f"{text}\n  {' ' * (column - 1)}^"
    return QueryRefused(f"line {line} column {column}: {error.what}", hint=pointer)


def _full_name(name: str, published: Published) -> str:
    """Return the published table of this full or bare name."""
    matches = [full for full in published.versions if name in {full, full.partition(".")[2]}]
    if len(matches) > 1:
        message = f"{name!r} could be {' or '.join(sorted(matches))}"
    elif not published.versions and not published.when:
        raise QueryRefused(
            f"nothing is published in the environment {published.environment!r}", hint=_EMPTY
        )
    elif not matches:
        message = f"no published table {name!r}{published.when}"
    elif matches[0] in published.tables:
        return matches[0]
    else:
        raise QueryRefused(
            f"{matches[0]} is a file, not a table",
            hint=f"`products show {matches[0]}` says where it is.",
        )
    hint = nearest(name, published.tables)
    if not hint:
        hint = _SEE_HISTORY if published.when else _NOT_PUBLISHED
    raise QueryRefused(message, hint=hint)


def _unique(columns: Sequence[str]) -> list[str]:
    """Return the names of columns, with a number where a name comes twice (`x`, `x_1`)."""
    unique: dict[str, None] = {}
    for name in columns:
        number, candidate = 0, name
        while candidate in unique:
            number += 1
            candidate = f"{name}_{number}"
        unique[candidate] = None
    return list(unique)


def _rows(room: Any, bounds: Bounds, answer: Any) -> Iterator[Sequence[Any]]:
    while batch := _stoppable(room, bounds, lambda: answer.fetchmany(_BATCH)):
        yield from batch


def _stoppable(room: Any, bounds: Bounds, work: Callable[[], T]) -> T:
    """Do this in a thread of its own: DuckDB may not check for interrupts for a long time."""
    future, _ = in_thread(work)
    try:
        return bounds.wait(future)
    except (KeyboardInterrupt, QueryStopped):
        room.interrupt()
        raise
