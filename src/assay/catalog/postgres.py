"""A catalog in a PostgreSQL database that several machines share; connections may be lost.

Every transaction that writes first takes one advisory lock, as SQLite's `begin immediate` does: so
ids are given in the order of commits, and what a transaction has read does not change until it
ends.

A transaction whose commit was not answered may have been committed: each records its number in the
table `writes`, and is repeated only if that number is missing.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from itertools import count
from os import urandom
from time import sleep
from typing import Any

from assay.catalog.database import Reader, T, Writer
from assay.catalog.postgres_runs import RunLock, is_dead
from assay.catalog.postgres_server import SCHEMA, PostgresServer, Transaction
from assay.catalog.schema import extras
from assay.errors import CatalogError

DELAYS = (0, 0.1, 0.3, 1, 2, 4, 8, 8, 8)  # seconds before each attempt to connect again
_TRIES = 5  # times that one piece of work is begun when connections keep getting lost
_RECORDED = "What is recorded is kept; run it again when the server is back."


class Postgres:
    """The tables of a catalog in the schema `assay` of a database."""

    def __init__(self, address: str) -> None:
        self._server = PostgresServer(address)
        self.name = self._server.name
        self._writer, self._numbers = urandom(16).hex(), count(1)
        self._lost = ""  # the message after all attempts to connect again have failed
        self._connection = self._server.connect()

    @property
    def extras(self) -> Sequence[str]:
        return [extras("postgres")]

    def schema_version(self) -> int:
        with self._server.translated():
            reader = Transaction(self._connection)
            [(exists, allowed, user)] = reader.rows(
                "select to_regclass('meta') is not null,"
                " (select has_schema_privilege(oid, 'usage') from pg_namespace"
                f" where nspname = '{SCHEMA}'), current_user"
            )
            if allowed is False:  # to such a user, the schema looks empty
                raise self._no_access(user)
            if not exists:
                return 0
            rows = reader.rows("select value from meta where name = 'schema'")
        [(version,)] = rows or [("nothing",)]
        return int(version)

    def _no_access(self, user: str) -> CatalogError:
        return CatalogError(
            f"the user {user} may not look into the schema {SCHEMA} of the catalog {self.name}",
            hint=f"Its owner can allow it: grant usage on schema {SCHEMA} to {user}; grant select"
            f" on all tables in schema {SCHEMA} to {user} (to read; all privileges to record as"
            " well).",
        )

    def prepare(self, steps: Callable[[Writer], None]) -> None:
        with self._server.translated(), self._server.sole_writer(self._connection) as writer:
            if writer.rows("select to_regnamespace(?)", [SCHEMA]) == [(None,)]:
                writer.define(f"create schema {SCHEMA}")
            steps(writer)

    def close(self) -> None:
        with suppress(self._server.Error):
            if not self._connection.closed and next(self._numbers) > 1:
                self._connection.execute(
                    "delete from writes where writer = %s or at < now() - interval '30 days'",
                    [self._writer],
                )
        self._connection.close()

    # ------------------------------------------------------------------------------ queries

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        return self._retry(lambda: Transaction(self._connection).rows(sql, values))

    def stamp(self) -> str:
        """Return which transactions have ended, of the whole server: all that write have a number."""
        [(snapshot,)] = self.rows("select txid_current_snapshot()::text")
        return str(snapshot)

    def write(self, work: Callable[[Writer], T]) -> T:
        number, results = next(self._numbers), list[T]()

        def attempt() -> T:
            with self._server.sole_writer(self._connection) as writer:
                query = "select 1 from writes where writer = ? and number = ?"
                if results and writer.rows(query, [self._writer, number]):
                    return results[-1]  # the last attempt was committed
                result = work(writer)
                writer.execute(
                    "insert into writes (writer, number) values (?, ?)"
                    " on conflict (writer) do update set number = excluded.number, at = now()",
                    [self._writer, number],
                )
                results.append(result)
            return result

        return self._retry(attempt)

    def read(self, work: Callable[[Reader], T]) -> T:
        def attempt() -> T:
            self._connection.execute("begin isolation level repeatable read read only")
            try:
                return work(Transaction(self._connection))
            finally:
                if not self._connection.closed:
                    self._connection.execute("rollback")

        return self._retry(attempt)

    def _retry(self, attempt: Callable[[], T]) -> T:
        """Return the result of an attempt; after a lost connection, connect and repeat it."""
        if self._lost:
            raise CatalogError(self._lost, hint=_RECORDED)
        for _ in range(_TRIES):
            with self._server.translated():
                try:
                    return attempt()
                except self._server.Error as error:
                    if not self._connection.closed:
                        raise
                    message = self._server.message(error)
            self._connect_again(message)
        raise CatalogError(
            f"the connection to the catalog {self.name} keeps getting lost: {message}",
            hint=_RECORDED,
        )

    def _connect_again(self, message: str) -> None:
        self._connection.close()
        for delay in DELAYS:
            sleep(delay)
            try:
                self._connection = self._server.connect()
                return
            except CatalogError as error:
                message = error.what
        # Stored, so that later calls fail at once while the run ends.
        self._lost = f"lost the connection to the catalog, and did not get another: {message}"
        raise CatalogError(self._lost, hint=_RECORDED)

    # ------------------------------------------------------------------------------ upkeep

    def damage(self) -> Sequence[str]:
        return ()  # the server reports damage when it reads it

    def mend(self) -> bool:
        self._retry(lambda: self._connection.execute(f"reindex schema {SCHEMA}".encode()))
        return True

    def shrink(self) -> None:
        """Do nothing: the server does it by itself."""

    # ------------------------------------------------------------------------------ living runs

    def hold(self, run: str) -> AbstractContextManager[None]:
        return RunLock(self._server, run).held()

    def is_dead(self, run: str, reader: Reader | None = None) -> bool:
        return is_dead(run, reader or self)

    def remove_dead_locks(self) -> None:
        """Do nothing: a lock ends with its connection."""
