"""Asks DuckDB how it reads SQL, on an instance that an engine may go on with: making one takes a small query's time."""

from collections.abc import Sequence
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Any

from assay.signals import hearing

if TYPE_CHECKING:
    import duckdb


class Parser:
    """A connection that is made when somebody asks, and answers one thread after the other: it holds one answer."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._lent = False

    def ask(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """Return all rows of a query that reads no data."""
        with self._lock:
            self._connection = self._connection or connect()
            with hearing():
                return self._connection.execute(query, list(values)).fetchall()

    def lend(self) -> "duckdb.DuckDBPyConnection | None":
        """Return a connection to the instance, for an engine to set up; None where there is none, or another has it."""
        with self._lock:
            if self._connection is None or self._lent:
                return None
            self._lent = True
            return self._connection.cursor()

    def let_go(self) -> None:
        """Let go of the instance that was lent, and of its memory; who asks next gets another."""
        with self._lock:
            if self._connection is not None:
                close(self._connection)
            self._connection, self._lent = None, False


def connect() -> "duckdb.DuckDBPyConnection":
    """Return a new instance, which loads nothing on its own."""
    import duckdb

    return duckdb.connect(
        config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
    )


def close(connection: "duckdb.DuckDBPyConnection") -> None:
    """Close a connection; where a query hears no interrupt, that has it until the process ends."""
    import duckdb

    with suppress(duckdb.ResourceInUseException):
        connection.close()


PARSER = Parser()
