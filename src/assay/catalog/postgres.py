"""A catalog in a PostgreSQL database that several machines share: one writer at a time, and connections that get lost.

Every transaction that writes first takes one advisory lock, as SQLite's `begin immediate` does: so ids are handed out
in the order of commits, and what a transaction has looked at stays so until its end.

A run lives as long as a connection of its own holds the advisory lock of its id. A server that restarts lets go of
it while the run lives on, so that lock only says who *may* be taken for dead: whoever does so marks the run first, as a
writer, and every write of a run looks, as a writer, whether it was marked. The lock is taken back within a second.

A transaction whose commit was not answered may have happened: each leaves its number in the table `writes`, and is
repeated only if that is not there.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from hashlib import sha256
from itertools import count
from os import urandom
from threading import Event, Thread
from time import sleep
from typing import TYPE_CHECKING, Any

from assay.catalog.address import is_split, put_back, scrubbed, shown
from assay.catalog.database import Reader, T, Writer
from assay.catalog.schema import extras
from assay.errors import CatalogDamaged, CatalogError, UsageError

if TYPE_CHECKING:
    from psycopg import Connection, Error

SCHEMA = "assay"
GRACE = 10  # seconds that runs have, after a server came back, to show that they live
PULSE = 1.0  # seconds between the looks of a run at its own lock
DELAYS = (0, 0.1, 0.3, 1, 2, 4, 8, 8, 8)  # seconds before each attempt to connect again
_TRIES = 5  # times that one piece of work is begun when connections keep getting lost
# How soon a connection that is dead without a word is noticed, unless the address says otherwise.
_PATIENCE = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
_SETTINGS = {
    "search_path": SCHEMA,
    "lock_timeout": "60s",
    "idle_in_transaction_session_timeout": "60s",
    "client_min_messages": "warning",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
_DURABLE = "select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') = 'off'"
_HOLDER = (
    "select pid from pg_locks where locktype = 'advisory' and granted and objsubid = 1"
    " and database = (select oid from pg_database where datname = current_database())"
    " and ((classid::bigint << 32) | objid::bigint) = ?"
)
_KEPT = "What is recorded is kept; run it again when the server is back."
_DAMAGED = (
    "42",
    "XX001",
    "XX002",
)  # how SQLSTATE begins where tables are other ones than ours, or their bytes are wrong
_FORBIDDEN = "42501"
_SPELLED = "Write postgresql://user@host:port/database; @ : / ? in a password as %40 %3A %2F %3F."
# What to do, by what the server or the library says.
_HINTS = {
    "lock timeout": "Another process has been writing to the catalog for a minute. Is one of them stopped half-way?",
    "Connection refused|No such file or directory|could not translate|not known|timeout|unreachable|No route": (
        "Is the server running, and are host and port right?"
    ),
    "starting up|shutting down|not yet accepting": "The server is starting or stopping; try again in a moment.",
    "password|authentication|no pg_hba.conf|role .* does not exist": (
        "Check user and password; they can also come from PGUSER and PGPASSWORD, ~/.pgpass or ASSAY_CATALOG."
    ),
    "database .* does not exist": "Make it first: createdb NAME",
    "too many clients|remaining connection slots": "The server has no connection left; see its max_connections.",
    "permission denied|must be owner": (
        "The user must own the schema assay, or be allowed to make it: grant create on database NAME to USER"
    ),
    "No space left|could not extend": "The server's disk is full. Nothing was changed; make room, and run it again.",
    "no schema has been selected": (
        "Something between here and the server forgets the settings of a session, or the schema assay was dropped"
        " meanwhile: connect to the server itself."
    ),
    "read-only transaction": "This is a standby, or set read-only; name the primary server.",
}


class Postgres:
    """The tables of a catalog in the schema `assay` of a database."""

    def __init__(self, address: str) -> None:
        self._address, self.name, self._lost = address, shown(address), ""
        self._me, self._numbers = urandom(16).hex(), count(1)
        self._psycopg = _driver()
        self._connection = self._connect()

    @property
    def extras(self) -> Sequence[str]:
        return [extras("postgres")]

    def schema_version(self) -> int:
        with self._told():
            [(there, allowed, user)] = self._fetch(
                "select to_regclass('meta') is not null, (select has_schema_privilege(oid, 'usage') from pg_namespace"
                f" where nspname = '{SCHEMA}'), current_user"
            )
            if allowed is False:
                raise self._kept_out(user)
            if not there:
                return 0
            [(version,)] = self._fetch("select value from meta where name = 'schema'") or [
                ("nothing",)
            ]
        return int(version)

    def _kept_out(self, user: str) -> CatalogError:
        """Return the error for a user who is not shown what is in the schema: to them it looks like an empty one."""
        return CatalogError(
            f"the user {user} may not look into the schema {SCHEMA} of the catalog {self.name}",
            hint=f"Its owner can allow it: grant usage on schema {SCHEMA} to {user}; grant select on all tables in"
            f" schema {SCHEMA} to {user} (to read; all privileges to record as well).",
        )

    def prepare(self, steps: Callable[[Writer], None]) -> None:
        with self._told(), self._alone(self._connection) as writer:
            if writer.rows("select to_regnamespace(?)", [SCHEMA]) == [(None,)]:
                writer.define(f"create schema {SCHEMA}")
            steps(writer)

    def shrink(self) -> None:
        """The server does so by itself."""

    def close(self) -> None:
        with suppress(self._psycopg.Error):
            if not self._connection.closed and next(self._numbers) > 1:
                old = "delete from writes where writer = %s or at < now() - interval '30 days'"
                self._connection.execute(old, [self._me])
        self._connection.close()

    # ------------------------------------------------------------------------------------------ asking

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        return self._steadily(lambda: self._fetch(sql, values))

    def _fetch(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        return self._connection.execute(_sql(sql), tuple(values)).fetchall()

    def write(self, work: Callable[[Writer], T]) -> T:
        number, done = next(self._numbers), list[T]()

        def attempt() -> T:
            with self._alone(self._connection) as writer:
                if done and writer.rows(
                    "select 1 from writes where writer = ? and number = ?", [self._me, number]
                ):
                    return done[-1]
                result = work(writer)
                writer.execute(
                    "insert into writes (writer, number) values (?, ?)"
                    " on conflict (writer) do update set number = excluded.number, at = now()",
                    [self._me, number],
                )
                done.append(result)
            return result

        return self._steadily(attempt)

    def read(self, look: Callable[[Reader], T]) -> T:
        def attempt() -> T:
            self._connection.execute("begin isolation level repeatable read read only")
            try:
                return look(_Transaction(self._connection))
            finally:
                if not self._connection.closed:
                    self._connection.execute("rollback")

        return self._steadily(attempt)

    def damage(self) -> Sequence[str]:
        return ()  # what the server finds damaged, it says when that is read

    def mend(self) -> bool:
        self._steadily(lambda: self._connection.execute(f"reindex schema {SCHEMA}".encode()))
        return True

    @contextmanager
    def _alone(self, connection: "Connection[Any]") -> Iterator["_Transaction"]:
        """Hold a transaction open, as the only writer of the catalog."""
        connection.execute(f"begin; select pg_advisory_xact_lock({_key('writer')})".encode())
        try:
            yield _Transaction(connection)
            connection.execute("commit")
        except BaseException:
            with suppress(self._psycopg.Error):
                if not connection.closed:
                    connection.execute("rollback")
            raise

    # ------------------------------------------------------------------------------------------ connections

    def _connect(self) -> "Connection[Any]":
        """Return a new connection; CatalogError when there is none to be had."""
        patience = {
            name: value for name, value in _PATIENCE.items() if f"{name}=" not in self._address
        }
        with self._told():
            connection: Connection[Any] = self._psycopg.connect(
                self._address,
                autocommit=True,
                fallback_application_name="assay",
                client_encoding="utf8",
                **patience,
            )
            settings = ", ".join(
                f"set_config('{name}', '{value}', false)" for name, value in _SETTINGS.items()
            )
            connection.execute(f"select {settings}".encode())
            connection.execute(_DURABLE)
            return connection

    def _steadily(self, attempt: Callable[[], T]) -> T:
        """Do something; where the connection is lost meanwhile, get another and do it again."""
        if self._lost:
            raise CatalogError(self._lost, hint=_KEPT)
        for _ in range(_TRIES):
            with self._told():
                try:
                    return attempt()
                except self._psycopg.Error as error:
                    if not self._connection.closed:
                        raise
                    said = self._said(error)
            self._connect_again(said)
        raise CatalogError(
            f"the connection to the catalog {self.name} keeps getting lost: {said}", hint=_KEPT
        )

    def _connect_again(self, said: str) -> None:
        self._connection.close()
        for delay in DELAYS:
            sleep(delay)
            try:
                self._connection = self._connect()
                return
            except CatalogError as error:
                said = error.what
        # Not tried again by all that a run still does on its way out.
        self._lost = f"lost the connection to the catalog, and did not get another: {said}"
        raise CatalogError(self._lost, hint=_KEPT)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn errors of the library and the server into ours, without any that could quote a password behind them."""
        try:
            yield
        except (self._psycopg.Error, UnicodeError) as error:
            raise self._worded(error) from None

    def _worded(self, error: "Error | UnicodeError") -> CatalogError:
        if isinstance(error, UnicodeError | self._psycopg.ProgrammingError) and not getattr(
            error, "sqlstate", None
        ):
            return CatalogError(
                f"cannot read the address of the catalog {self.name}", hint=_SPELLED
            )
        said = self._said(error)
        hint = next((hint for words, hint in _HINTS.items() if re.search(words, said)), "")
        hint = _SPELLED if is_split(self._address) else hint
        told, state = (
            f"cannot use the catalog {self.name}: {said}",
            getattr(error, "sqlstate", None) or "",
        )
        if state.startswith(_DAMAGED) and state != _FORBIDDEN:
            hint = f"It is damaged, or its tables are not those that this Assay makes. {put_back(self.name)}"
            return CatalogDamaged(told, hint=hint)
        return CatalogError(told, hint=hint)

    def _said(self, error: Exception) -> str:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [
            type(error).__name__
        ]
        return scrubbed(lines[0], self._address, os.environ.get("PGPASSWORD", ""))

    # ------------------------------------------------------------------------------------------ living runs

    @contextmanager
    def hold(self, run: str) -> Iterator[None]:
        with self._told():
            held = [self._holding(run)]
        over = Event()
        keeper = Thread(target=self._keep, args=(run, held, over), daemon=True, name=f"keep {run}")
        keeper.start()
        try:
            yield
        finally:
            over.set()
            keeper.join(PULSE)
            held[0].close()

    def _keep(self, run: str, held: list["Connection[Any]"], over: Event) -> None:
        """Look after the lock of a run until that is over, and take it back when its connection was lost."""
        while not over.wait(PULSE):
            try:
                held[0].execute("select 1")
            except self._psycopg.Error:
                with suppress(self._psycopg.Error, CatalogError):
                    held[0] = self._holding(run)

    def _holding(self, run: str) -> "Connection[Any]":
        """Return a new connection that holds the lock of a run."""
        connection = self._connect()
        try:
            self._take(run, connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _take(self, run: str, connection: "Connection[Any]") -> None:
        """Take the lock of a run, unless others have settled it meanwhile.

        Nobody but the run itself ever takes it. So who has it now is the run's last connection, which the server has
        not yet noticed to be lost.
        """
        key = _key("run", run)
        with self._alone(connection) as writer:
            if writer.rows("select 1 from runs where id = ? and state <> 'running'", [run]):
                return
            if writer.rows("select pg_try_advisory_lock(?)", [key]) == [(False,)]:
                writer.rows(f"select pg_terminate_backend(pid) from ({_HOLDER}) holder", [key])
                writer.rows("select pg_advisory_lock(?)", [key])

    def remove_dead_locks(self) -> None:
        """Nothing is left of a lock: it goes with its connection."""

    def is_dead(self, run: str, reader: Reader | None = None) -> bool:
        asked = reader.rows if reader else self.rows
        return asked(
            f"select not exists ({_HOLDER})"
            " and clock_timestamp() - pg_postmaster_start_time() > make_interval(secs => ?)",
            [_key("run", run), GRACE],
        ) == [(True,)]


class _Transaction:
    """A transaction that writes, on a connection."""

    def __init__(self, connection: "Connection[Any]") -> None:
        self._connection = connection

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        return self._connection.execute(_sql(sql), tuple(values)).fetchall()

    def execute(self, sql: str, values: Sequence[Any] = ()) -> int:
        return self._connection.execute(_sql(sql), tuple(values)).rowcount

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        with self._connection.cursor() as cursor:
            cursor.executemany(_sql(sql), list(rows))

    def define(self, sql: str) -> None:
        """SQLite's integers have 64 bits, and its texts are ordered by their bytes."""
        self._connection.execute(
            re.sub(r"\btext\b", 'text collate "C"', re.sub(r"\binteger\b", "bigint", sql)).encode()
        )


def _driver() -> Any:
    try:
        import psycopg
    except ImportError:
        raise UsageError(
            "a catalog in PostgreSQL needs the library psycopg",
            hint="python -m pip install 'assay[postgres]'",
        ) from None
    return psycopg


@lru_cache(maxsize=200)
def _sql(sql: str) -> bytes:
    """Return a query as the library takes it: `%s` for `?`."""
    return sql.replace("%", "%%").replace("?", "%s").encode()


def _key(*words: str) -> int:
    """Return the number of an advisory lock."""
    return int.from_bytes(sha256("\0".join((SCHEMA, *words)).encode()).digest()[:8], signed=True)
