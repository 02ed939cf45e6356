"""Reading published products from Python: `read`, `connect` and `path`. None of it imports the user's modules."""

import warnings
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from assay.catalog import shared_catalog
from assay.config import Config, find_config
from assay.engines import duckdb as duck
from assay.engines import polars as lazy
from assay.engines.damage import damage_reported
from assay.engines.quoting import dotted
from assay.engines.tables import StoredTable, split_of, stored
from assay.errors import UsageError
from assay.facts import Version
from assay.model import QUARANTINE
from assay.plan.holding import as_before
from assay.plan.names import nearest
from assay.plan.parts import some_parts
from assay.store.files import LocalStorage, Storage
from assay.store.leases import folder_of, keep, reading

if TYPE_CHECKING:
    import duckdb
    import polars as pl

_TOLD = {
    "DATE",
    "VARCHAR",
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "BOOLEAN",
}  # what a folder's name can tell
AsOf = datetime | date | str | int | None


class PartsHeldBack(UserWarning):
    """Parts of what is read are held back: they are missing, or as they were before."""


def read(
    name: str, *, as_of: AsOf = None, env: str | None = None, project: Path | str | None = None
) -> "pl.LazyFrame":
    """Return the published version of a product as a LazyFrame.

    `as_of` is a moment (a datetime, or ISO 8601 text; UTC unless it says) or a release number; `project` is a folder
    in the project (the working directory unless given). Raises UsageError for a name that is not published, and warns
    (PartsHeldBack) when parts of it are held back.
    """
    found = published(_config(project), env, as_of, name)
    version = found.version(name)
    if not version.columns:
        raise UsageError(
            f"{version.product} is a file, not a table",
            hint=f"assay.path({version.product!r}) says where it is.",
        )
    _warn([version])
    return lazy.parquet(table_of(version, found.storage))


def path(
    name: str, *, as_of: AsOf = None, env: str | None = None, project: Path | str | None = None
) -> Path:
    """Return the file of the published version of a product: Parquet for a table, the file itself for a file.

    Raises UsageError for a table that is several files, as one in parts may be.
    """
    return published(_config(project), env, as_of, name).file(name)


def connect(
    *, as_of: AsOf = None, env: str | None = None, project: Path | str | None = None
) -> "duckdb.DuckDBPyConnection":
    """Return a DuckDB connection with a view for every published table, all from one moment.

    A view is called `domain.name`, and by the bare name too where that is clear. It runs in UTC, as products do.
    """
    import duckdb

    seen = published(_config(project), env, as_of)
    _warn(seen.versions.values())
    tables = seen.stored(seen.tables)
    views = {name: duck.parquet(table) for name, table in tables.items()}
    bare = [name.partition(".")[2] for name in views]
    views |= {
        short: f"from {dotted(n)}"
        for n, short in zip(list(views), bare, strict=True)
        if bare.count(short) == 1
    }
    connection = duckdb.connect()
    duck.in_utc(connection)
    with damage_reported(tables.values()):
        duck.create_views(connection, views)
    return connection


class Published:
    """What readers of one environment see at one moment: the version of every product, and where its bytes are."""

    def __init__(
        self,
        versions: Mapping[str, Version],
        config: Config,
        environment: str,
        at: datetime | int | None = None,
    ) -> None:
        self.versions, self.config, self.environment = versions, config, environment
        when = (
            f"as of {at:%Y-%m-%d %H:%M:%S} UTC" if isinstance(at, datetime) else f"at release {at}"
        )
        self.when = "" if at is None else f" {when}"
        self.storage = LocalStorage(config.state / "store")

    def file(self, name: str) -> Path:
        """Return the file of a product given in full or by its bare name; StoreError when it is not there whole."""
        version = self.version(name)
        found = table_of(version, self.storage)
        if len(found.files) != 1 or found.cuts:
            raise UsageError(
                f"{version.product} is in {len(version.parts)} parts, not in one file",
                hint=f"assay.read({version.product!r}) reads them as one table.",
            )
        return found.files[0]

    def version(self, name: str) -> Version:
        """Return the version of a product given in full or by its bare name."""
        found = [n for n in self.versions if name in {n, n.partition(".")[2]}]
        if len(found) != 1:
            there = f"is not published in {self.environment}{self.when}"
            what = f"could be {' or '.join(sorted(found))}" if found else there
            raise UsageError(
                f"{name!r} {what}",
                hint=nearest(name, self.versions) or "`products status` says what is.",
            )
        return self.versions[found[0]]

    @property
    def tables(self) -> list[str]:
        """Full names of the published tables (files are none)."""
        return [name for name, version in self.versions.items() if version.columns]

    def stored(self, names: Iterable[str]) -> dict[str, StoredTable]:
        """Return where each of these tables is read."""
        return {name: table_of(self.versions[name], self.storage) for name in names}


def table_of(version: Version, storage: Storage) -> StoredTable:
    """Return where the rows of a version are read; those that were set aside are none.

    Where files lie in folders that tell the value of a column, the table says so.
    """
    found = stored(
        version, storage, [p for p in version.parts if version.in_parts or p.key != QUARANTINE]
    )
    # Engines read every folder of a path, also those that the store lies in.
    told = split_of(found.files) if version.in_parts and "=" not in str(storage.root) else set()
    types = {column.name: column.type for column in version.columns if not column.logical}
    column = told.pop() if len(told) == 1 else ""
    return replace(found, split=(column, types[column])) if types.get(column) in _TOLD else found


def published(
    config: Config, env: str | None = None, as_of: AsOf = None, name: str = ""
) -> Published:
    """Return what readers see, read from the catalog in one go.

    The files of all of it, or of the product that is named, stay for as long as this process lives.
    """
    storage = LocalStorage(config.state / "store")
    with reading(storage.root):
        found = _published(config, storage, env or config.environment, moment(as_of))
        versions = [found.version(name)] if name else list(found.versions.values())
        keep(storage.root, (folder_of(part.path) for version in versions for part in version.parts))
    return found


def _published(
    config: Config, storage: LocalStorage, environment: str, at: datetime | int | None
) -> Published:
    catalog = shared_catalog(config)
    try:
        last = catalog.last_release(environment)
        if isinstance(at, int) and at > (last.id if last else 0):
            newest = (
                f"the last of {environment} is {last.id}" if last else f"{environment} has none"
            )
            raise UsageError(f"there is no release {at}: {newest}")
        pointers = catalog.pointers(environment, at)
        versions = {name: catalog.version_seen(pointer) for name, pointer in pointers.items()}
    finally:
        catalog.close()
    return Published(versions, config, environment, at)


def moment(as_of: AsOf) -> datetime | int | None:
    """Return a moment or a release number as the catalog takes it; UsageError for text that is neither."""
    if isinstance(as_of, date) and not isinstance(as_of, datetime):
        as_of = datetime(as_of.year, as_of.month, as_of.day)
    if isinstance(as_of, str):
        if as_of.isdecimal() and len(as_of) < 18:
            return int(as_of)
        try:
            as_of = datetime.fromisoformat(as_of)
            as_of = as_of.astimezone(UTC) if as_of.tzinfo else as_of.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            raise UsageError(
                f"{as_of!r} is no moment", hint="Write 2011-12-09T07:00, or a release number."
            ) from None
    if isinstance(as_of, datetime) and as_of.tzinfo is None:
        return as_of.replace(tzinfo=UTC)
    return as_of


def _config(project: Path | str | None) -> Config:
    return find_config(Path(project) if project else Path.cwd())


def held_back(version: Version) -> str:
    """Return which parts of what readers see are held back, in words; '' when none is."""
    missing, before = as_before(version)
    told = [f"without {some_parts(missing)}"] if missing else []
    told += [f"{some_parts(before)} as it was before"] if before else []
    why = f"`products why {version.product}` says why"
    return (
        f"{version.product} has parts that are held back: {', '.join(told)}; {why}" if told else ""
    )


def _warn(versions: Iterable[Version]) -> None:
    for told in filter(None, map(held_back, versions)):
        warnings.warn(told, PartsHeldBack, stacklevel=3)
