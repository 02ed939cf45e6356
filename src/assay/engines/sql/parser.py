"""DuckDB's parser, on an instance that can read nothing, and is created on first use."""

from collections.abc import Sequence
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Any

from assay.signals import hearing

if TYPE_CHECKING:
    import duckdb


class Parser:
    """One DuckDB instance that reads no data; one thread at a time uses it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._connection: duckdb.DuckDBPyConnection | None = None

    def ask(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """Return all rows of a query that reads no data."""
        with self._lock:
            if self._connection is None:
                self._connection = connect()
                self._connection.execute("set enable_external_access = false")
                self._connection.execute("set lock_configuration = true")
            with hearing():
                return self._connection.execute(query, list(values)).fetchall()


def connect() -> "duckdb.DuckDBPyConnection":
    """Return a new instance, which loads no extension by itself."""
    import duckdb

    return duckdb.connect(
        config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
    )


def close(connection: "duckdb.DuckDBPyConnection") -> None:
    """Close a connection; if a query that ignores interrupts still uses it, leave it open."""
    import duckdb

    with suppress(duckdb.ResourceInUseException):
        connection.close()


PARSER = Parser()  # one instance for the process; it stores no result
