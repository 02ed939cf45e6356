"""One read-only query over published products, and the first rows of a file."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from assay.config import Config
from assay.engines import duckdb as duck
from assay.engines.damage import damage_reported
from assay.engines.quoting import dotted, identifier
from assay.engines.sql import reader
from assay.engines.sql.tables import Unreadable
from assay.engines.tables import StoredTable
from assay.errors import QueryRefused, QueryStopped, StoreError
from assay.plan.graph import nearest
from assay.signals import in_thread
from assay.views.bounds import Bounds
from assay.views.read import Published

T = TypeVar("T")
_BATCH = 1000
_FINER_THAN_PYTHON = {"TIMESTAMP_NS", "TIMESTAMPTZ_NS", "TIME_NS"}
_EMPTY = "`products materialize` publishes; with --env, check how the environment is spelled."
_NOT_PUBLISHED = "`products ls` lists what is declared; `products materialize` publishes it."


@contextmanager
def run(
    sql: str, seen: Published, timeout: float = 0.0
) -> Iterator[tuple[list[str], Iterator[Sequence[Any]]]]:
    """Run one query over what readers see; gives the names of its columns, and its rows as they come.

    Raises QueryStopped when it is waited for longer than `timeout` (seconds; 0: any time), or when this process takes
    more memory than is set. What DuckDB is at then may go on for a while, in a thread of its own: who serves queries
    to others runs each in a process that ends.

    A bare name stands for the product of that name when there is one only. Raises QueryRefused for anything but one
    query that reads those products: the connection can reach no other file, no network and no setting.
    """
    import duckdb

    named = tables(sql, seen)
    stored = seen.stored(set(named.values()))
    views = {name: duck.parquet(table) for name, table in stored.items()}
    views |= {bare: f"from {dotted(full)}" for bare, full in named.items() if bare != full}
    files = [file for table in stored.values() for file in table.files]
    with damage_reported(
        stored.values()
    ):  # what is no Parquet file is told when views are made of it
        room = duck.reading_room(files, views, seen.config.spill_folder, seen.config.limits)
    bounds = Bounds(timeout, seen.config.memory)
    try:
        with damage_reported(stored.values()):
            names, answer = _stoppable(room, bounds, lambda: _answer(room, sql))
            yield _unique(names), _rows(room, bounds, answer)
    except duckdb.OutOfMemoryException:
        room.close()
        raise  # that is no fault of the query
    except duckdb.Error as error:
        raise QueryRefused(str(error).strip()) from error
    except (KeyboardInterrupt, QueryStopped):
        raise  # closing would wait for what may never end
    except BaseException:
        room.close()
        raise
    else:
        room.close()


def first_rows(
    table: StoredTable, count: int, config: Config, sensitive: Sequence[str] = ()
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Return column names and the first rows of a stored table, values of sensitive columns hidden."""
    import duckdb

    room = duck.reading_room(table.files, {}, config.spill_folder, config.limits)
    hide = ", ".join(f"'(sensitive)' as {identifier(name)}" for name in sensitive)
    chosen = f"select * replace ({hide})" if hide else ""
    try:
        with damage_reported([table]):
            names, answer = _answer(room, f"{chosen} {duck.parquet(table)} limit {count}")
            return names, answer.fetchall()
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        raise StoreError(f"cannot read {table.files[0]}: {str(error).splitlines()[0]}") from None
    finally:
        room.close()


def _answer(room: Any, sql: str) -> tuple[list[str], Any]:
    """Run a query; return the names of its columns, and its rows: nanoseconds as text, because Python cuts them."""
    answer = room.execute(sql)
    columns = [(column[0], str(column[1])) for column in answer.description or ()]
    if any(type in _FINER_THAN_PYTHON for _, type in columns):
        shown = (
            f"cast(#{n} as varchar)" if t in _FINER_THAN_PYTHON else f"#{n}"
            for n, (_, t) in enumerate(columns, 1)
        )
        room.execute(f"create temp view __answer as {sql}")
        answer = room.execute(f"select {', '.join(shown)} from __answer")
    return [name for name, _ in columns], answer


def tables(sql: str, seen: Published) -> dict[str, str]:
    """Return the published tables that a query names, by the names it uses; QueryRefused for any other."""
    try:
        parsed = reader.parse(sql)
    except Unreadable as error:
        line, column, shown = reader.place(sql, max(error.offset, 0))
        pointed = f"{shown}\n  {' ' * (column - 1)}^" if error.offset >= 0 else ""
        place = f"line {line} column {column}: " if error.offset >= 0 else ""
        raise QueryRefused(f"{place}{error.what}", hint=pointed) from None
    named, known = {}, seen.tables
    for table in map(str, parsed.tables):
        found = [full for full in seen.versions if table in {full, full.partition(".")[2]}]
        if len(found) == 1 and found[0] not in known:
            raise QueryRefused(
                f"{found[0]} is a file, not a table",
                hint=f"`products show {found[0]}` says where it is.",
            )
        if len(found) != 1:
            if not seen.versions and not seen.when:
                raise QueryRefused(
                    f"nothing is published in the environment {seen.environment!r}", hint=_EMPTY
                )
            none = f"no published table {table!r}{seen.when}"
            message = f"{table!r} could be {' or '.join(sorted(found))}" if found else none
            hint = (
                "`products history NAME` says when it was published."
                if seen.when
                else _NOT_PUBLISHED
            )
            raise QueryRefused(message, hint=nearest(table, known) or hint)
        named[table] = found[0]
    return named


def _unique(names: Sequence[str]) -> list[str]:
    """Return the names of columns so that each is there once (`x`, `x_1`)."""
    found: list[str] = []
    for name in names:
        number, unique = 0, name
        while unique in found:
            number += 1
            unique = f"{name}_{number}"
        found.append(unique)
    return found


def _rows(room: Any, bounds: Bounds, answer: Any) -> Iterator[Sequence[Any]]:
    while batch := _stoppable(room, bounds, lambda: answer.fetchmany(_BATCH)):
        yield from batch


def _stoppable(room: Any, bounds: Bounds, work: Callable[[], T]) -> T:
    """Do this in a thread of its own, so that it can be stopped also while DuckDB would not look up from a join."""
    done, _ = in_thread(work)
    try:
        return bounds.wait(done)
    except (KeyboardInterrupt, QueryStopped):
        room.interrupt()
        raise
