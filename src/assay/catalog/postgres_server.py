"""Connections to a PostgreSQL server, transactions on them, and errors as CatalogError."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from assay.catalog.address import is_split, put_back, scrubbed, shown
from assay.errors import CatalogDamaged, CatalogError, UsageError

if TYPE_CHECKING:
    from psycopg import Connection, Error

SCHEMA = "assay"
# So that a connection that is lost without notice is detected soon; the address may set other
# values.
_TIMEOUTS = {
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
_DURABLE = (
    "select set_config('synchronous_commit', 'on', false)"
    " where current_setting('synchronous_commit') = 'off'"
)
# How SQLSTATE begins where the tables are not ours, or their bytes are wrong.
_DAMAGED = ("42", "XX001", "XX002")
_FORBIDDEN = "42501"
_SPELLED = "Write postgresql://user@host:port/database; @ : / ? in a password as %40 %3A %2F %3F."
# What to do, by a pattern of the message of the server or the library.
_HINTS = {
    "lock timeout": (
        "Another process has been writing to the catalog for a minute."
        " Is one of them stopped half-way?"
    ),
    (
        "Connection refused|No such file or directory|could not translate|not known|timeout"
        "|unreachable|No route"
    ): "Is the server running, and are host and port right?",
    "starting up|shutting down|not yet accepting": (
        "The server is starting or stopping; try again in a moment."
    ),
    "password|authentication|no pg_hba.conf|role .* does not exist": (
        "Check user and password; they can also come from PGUSER and PGPASSWORD, ~/.pgpass or"
        " ASSAY_CATALOG."
    ),
    "database .* does not exist": "Make it first: createdb NAME",
    "too many clients|remaining connection slots": (
        "The server has no connection left; see its max_connections."
    ),
    "permission denied|must be owner": (
        "The user must own the schema assay, or be allowed to make it: grant create on database"
        " NAME to USER"
    ),
    "No space left|could not extend": (
        "The server's disk is full. Nothing was changed; make room, and run it again."
    ),
    "no schema has been selected": (
        "Something between here and the server forgets the settings of a session, or the schema"
        " assay was dropped meanwhile: connect to the server itself."
    ),
    "read-only transaction": "This is a standby, or set read-only; name the primary server.",
}


class PostgresServer:
    """The server at an address. `Error` is the class of the library's errors."""

    def __init__(self, address: str) -> None:
        self._address, self.name = address, shown(address)
        self._psycopg = _driver()
        self.Error: type[Error] = self._psycopg.Error

    def connect(self) -> "Connection[Any]":
        """Return a new connection; raise CatalogError when there is none."""
        timeouts = {
            name: value for name, value in _TIMEOUTS.items() if f"{name}=" not in self._address
        }
        with self.translated():
            connection: Connection[Any] = self._psycopg.connect(
                self._address,
                autocommit=True,
                fallback_application_name="assay",
                client_encoding="utf8",
                **timeouts,
            )
            settings = ", ".join(
                f"set_config('{name}', '{value}', false)" for name, value in _SETTINGS.items()
            )
            connection.execute(f"select {settings}".encode())
            connection.execute(_DURABLE)
            return connection

    @contextmanager
    def sole_writer(self, connection: "Connection[Any]") -> Iterator["Transaction"]:
        """Open a transaction as the only writer of the catalog; commit it at the end."""
        connection.execute(f"begin; select pg_advisory_xact_lock({lock_key('writer')})".encode())
        try:
            yield Transaction(connection)
            connection.execute("commit")
        except BaseException:
            with suppress(self.Error):
                if not connection.closed:
                    connection.execute("rollback")
            raise

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Raise CatalogError for the library's errors; not as cause, which may quote a password."""
        try:
            yield
        except (self.Error, UnicodeError) as error:
            raise self._catalog_error(error) from None

    def message(self, error: Exception) -> str:
        """Return the first line of an error, without secrets."""
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        first = lines[0] if lines else type(error).__name__
        return scrubbed(first, self._address, os.environ.get("PGPASSWORD", ""))

    def _catalog_error(self, error: "Error | UnicodeError") -> CatalogError:
        state = getattr(error, "sqlstate", None) or ""
        if isinstance(error, UnicodeError | self._psycopg.ProgrammingError) and not state:
            return CatalogError(
                f"cannot read the address of the catalog {self.name}", hint=_SPELLED
            )
        text = self.message(error)
        message = f"cannot use the catalog {self.name}: {text}"
        if state.startswith(_DAMAGED) and state != _FORBIDDEN:
            hint = "It is damaged, or its tables are not those that this Assay makes."
            return CatalogDamaged(message, hint=f"{hint} {put_back(self.name)}")
        hint = next((hint for pattern, hint in _HINTS.items() if re.search(pattern, text)), "")
        return CatalogError(message, hint=_SPELLED if is_split(self._address) else hint)


class Transaction:
    """A Writer on a connection that has a transaction open."""

    def __init__(self, connection: "Connection[Any]") -> None:
        self._connection = connection

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        return self._connection.execute(to_postgres(sql), tuple(values)).fetchall()

    def execute(self, sql: str, values: Sequence[Any] = ()) -> int:
        return self._connection.execute(to_postgres(sql), tuple(values)).rowcount

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        with self._connection.cursor() as cursor:
            cursor.executemany(to_postgres(sql), list(rows))

    def define(self, sql: str) -> None:
        """Execute with PostgreSQL's types: 64-bit integers, and texts ordered by their bytes."""
        sql = re.sub(r"\binteger\b", "bigint", sql)
        self._connection.execute(re.sub(r"\btext\b", 'text collate "C"', sql).encode())


@lru_cache(maxsize=200)
def to_postgres(sql: str) -> bytes:
    """Return a query with `%s` for `?`, as the library takes it."""
    return sql.replace("%", "%%").replace("?", "%s").encode()


def lock_key(*names: str) -> int:
    """Return the number of an advisory lock."""
    digest = sha256("\0".join((SCHEMA, *names)).encode()).digest()
    return int.from_bytes(digest[:8], signed=True)


def _driver() -> Any:
    try:
        import psycopg
    except ImportError:
        raise UsageError(
            "a catalog in PostgreSQL needs the library psycopg",
            hint="python -m pip install 'assay[postgres]'",
        ) from None
    return psycopg
