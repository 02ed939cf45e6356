"""Which of several processes leads: one at a time may watch an environment of a catalog.

Nothing depends on there being only one: two that build at once do not disturb each other. So a lock
that is lost with its connection costs some work that is done twice, and nothing else.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from assay.catalog.postgres_server import PostgresServer, lock_key
from assay.config import Config
from assay.errors import CatalogError
from assay.store.permissions import create, make_folder

if TYPE_CHECKING:
    from psycopg import Connection

FOLDER = "watch"  # in the state folder


class Lead(Protocol):
    """The lead in watching one environment."""

    def take(self) -> bool:
        """Return whether this process leads: it does already, or no other process did.

        Raises CatalogError or OSError if that cannot be found out.
        """

    def leave(self) -> None:
        """Let another process lead."""


class FileLead:
    """The lead of whoever has a file locked; the lock ends with its process."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._descriptor: int | None = None

    def take(self) -> bool:
        if self._descriptor is not None:
            return True
        make_folder(self._file.parent)
        descriptor = create(self._file, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return True

    def leave(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class ServerLead:
    """The lead of whoever holds an advisory lock of a PostgreSQL server, on its own connection."""

    def __init__(self, address: str, environment: str) -> None:
        self._server, self._key = PostgresServer(address), lock_key("watch", environment)
        self._connection: Connection[Any] | None = None
        self._leads = False

    def take(self) -> bool:
        try:
            return self._take()
        except self._server.Error as error:
            self.leave()
            raise CatalogError(
                f"lost the connection to the catalog {self._server.name}:"
                f" {self._server.message(error)}"
            ) from None

    def _take(self) -> bool:
        if self._connection is None:
            self._connection = self._server.connect()
        if self._leads:
            self._connection.execute("select 1")  # the lock lives as long as the connection
            return True
        row = self._connection.execute("select pg_try_advisory_lock(%s)", [self._key]).fetchone()
        self._leads = bool(row and row[0])
        return self._leads

    def leave(self) -> None:
        if self._connection is not None:
            with suppress(self._server.Error):
                self._connection.close()
        self._connection, self._leads = None, False


def lead_of(config: Config, environment: str) -> Lead:
    """Return the lead in watching an environment of a project."""
    place = config.catalog_place
    if isinstance(place, str):
        return ServerLead(place, environment)
    return FileLead(config.state / FOLDER / f"{environment}.lock")
