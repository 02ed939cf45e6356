"""Advisory locks of living runs.

A run lives as long as a connection of its own holds the advisory lock of its id. A server that
restarts drops the lock while the run lives on, so the lock only shows who *may* be dead. Whoever
takes a run for dead marks it first, in a transaction, and each write of a run checks, in its
transaction, whether the run was marked. The run takes the lock back within a second.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from assay.catalog.database import Reader
from assay.catalog.postgres_server import PostgresServer, lock_key
from assay.errors import CatalogError

if TYPE_CHECKING:
    from psycopg import Connection

GRACE = 10  # seconds after the server's start during which no run is taken for dead
PULSE = 1.0  # seconds between a run's checks of its own lock
_HOLDER = (
    "select pid from pg_locks where locktype = 'advisory' and granted and objsubid = 1"
    " and database = (select oid from pg_database where datname = current_database())"
    " and ((classid::bigint << 32) | objid::bigint) = ?"
)


class RunLock:
    """The lock of a run of this process, on a connection of its own."""

    def __init__(self, server: PostgresServer, run: str) -> None:
        self._server, self._run = server, run
        with server.translated():
            self._connection = locked_connection(server, run)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock; a thread takes it back when its connection is lost."""
        ended = Event()
        keeper = Thread(target=self._keep, args=(ended,), daemon=True, name=f"keep {self._run}")
        keeper.start()
        try:
            yield
        finally:
            ended.set()
            keeper.join(PULSE)
            self._connection.close()

    def _keep(self, ended: Event) -> None:
        while not ended.wait(PULSE):
            try:
                self._connection.execute("select 1")
            except self._server.Error:
                with suppress(self._server.Error, CatalogError):
                    self._connection = locked_connection(self._server, self._run)


def locked_connection(server: PostgresServer, run: str) -> "Connection[Any]":
    """Return a new connection that holds the lock of a run."""
    connection = server.connect()
    try:
        _lock(server, run, connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _lock(server: PostgresServer, run: str, connection: "Connection[Any]") -> None:
    """Take the lock of a run, unless another process has settled the run meanwhile.

    Only the run itself ever takes the lock. If another connection holds it, that is an earlier one
    of this run, whose loss the server has not noticed yet.
    """
    key = lock_key("run", run)
    with server.sole_writer(connection) as writer:
        if writer.rows("select 1 from runs where id = ? and state <> 'running'", [run]):
            return
        if writer.rows("select pg_try_advisory_lock(?)", [key]) == [(False,)]:
            writer.rows(f"select pg_terminate_backend(pid) from ({_HOLDER}) holder", [key])
            writer.rows("select pg_advisory_lock(?)", [key])


def is_dead(run: str, reader: Reader) -> bool:
    """Return whether no connection holds the lock of a run.

    False just after the server's start, when the run may not have taken its lock back yet.
    """
    rows = reader.rows(
        f"select not exists ({_HOLDER})"
        " and clock_timestamp() - pg_postmaster_start_time() > make_interval(secs => ?)",
        [lock_key("run", run), GRACE],
    )
    return rows == [(True,)]
