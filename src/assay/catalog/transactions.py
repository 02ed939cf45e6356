"""Transactions that write: each checks first that this process may still write to the catalog."""

from collections.abc import Callable

from assay.catalog import schema
from assay.catalog.database import Database, T, Writer, set_note
from assay.catalog.rows import decoded
from assay.errors import CatalogError


class Transactions:
    """The write transactions of a catalog; `run` is the open run of this process, or ''."""

    def __init__(self, database: Database) -> None:
        """Create the tables, or migrate them to the current schema, if needed."""
        self.database, self.run = database, ""
        with decoded(database.name):
            version = database.schema_version()
        if version > schema.SCHEMA_VERSION:
            raise _newer(database.name, version)
        if version < schema.SCHEMA_VERSION:
            database.prepare(self._migrate)

    def write(self, work: Callable[[Writer], T]) -> T:
        """Do the work in one transaction and return its result.

        Raises CatalogError if the schema is newer than this code, the catalog was moved, or another
        process has marked the open run as dead.
        """

        def checked(writer: Writer) -> T:
            self._check(writer)
            return work(writer)

        with decoded(self.database.name):
            return self.database.write(checked)

    def _check(self, writer: Writer) -> None:
        name = self.database.name
        [(version, state, moved)] = writer.rows(
            "select value, (select state from runs where id = ?),"
            " (select value from meta where name = 'moved') from meta where name = 'schema'",
            [self.run],
        )
        if int(version) != schema.SCHEMA_VERSION:
            raise _newer(name, int(version))
        if moved is not None:
            raise moved_to(name, moved)
        if self.run and state != "running":
            raise CatalogError(
                f"the run {self.run} was taken for dead by another, which has tidied up after it"
                f" (state {state or 'unknown'} in the catalog {name})",
                hint="Was this machine cut off from the catalog for long?"
                " What it has recorded is kept; run it again.",
            )

    def _migrate(self, writer: Writer) -> None:
        name = self.database.name
        version = self.database.schema_version()  # another process may have migrated it meanwhile
        if version > schema.SCHEMA_VERSION:
            raise _newer(name, version)
        if version and version < min(schema.MIGRATIONS):
            raise CatalogError(
                f"{name} has schema version {version}, from before this Assay can read it",
                hint="Move it and the store away: what can be built is built again.",
            )
        for statement in schema.steps(version, self.database.extras):
            writer.define(statement)
        set_note(writer, "schema", str(schema.SCHEMA_VERSION))


def moved_to(name: str, target: str, more_hint: str = "") -> CatalogError:
    """Return the error for a catalog that was copied to `target`, the store's catalog now."""
    return CatalogError(
        f"the catalog {name} was moved to {target}",
        hint=f"Set that as `catalog` in [tool.products], or as ASSAY_CATALOG.{more_hint}",
    )


def _newer(name: str, version: int) -> CatalogError:
    return CatalogError(
        f"{name} has schema version {version}; this Assay knows {schema.SCHEMA_VERSION}",
        hint="Upgrade Assay to use this catalog.",
    )
