"""Reads published products from Python: `read`, `connect` and `path`, without user modules."""

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from assay.catalog import shared_catalog
from assay.config import Config, find_config
from assay.declare.manifest import last_access
from assay.engines import duckdb as duck
from assay.engines import polars as lazy
from assay.engines.damage import damage_reported
from assay.engines.quoting import dotted
from assay.engines.tables import StoredTable, split_of, stored
from assay.errors import UsageError
from assay.facts import Version
from assay.model import QUARANTINE, Access
from assay.plan.holding import missing_and_earlier
from assay.plan.names import nearest
from assay.plan.parts import some_parts
from assay.store.files import LocalStorage, Storage
from assay.store.leases import folder_of, keep, reading

if TYPE_CHECKING:
    import duckdb
    import polars as pl

# Types whose values the names of folders (`day=2024-01-01`) can hold.
_FOLDER_TYPES = {"DATE", "VARCHAR", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "BOOLEAN"}
AsOf = datetime | date | str | int | None


class PartsHeldBack(UserWarning):
    """Parts of a product are held back: they are missing, or are those published before."""


def read(
    name: str, *, as_of: AsOf = None, env: str | None = None, project: Path | str | None = None
) -> "pl.LazyFrame":
    """Return the published version of a product as a LazyFrame.

    `as_of` is a moment (a datetime, or ISO 8601 text; UTC by default) or a release number.
    `project` is a folder in the project (by default the working directory). Raises UsageError for a
    name that is not published, or that is private or protected, and warns (PartsHeldBack) when
    parts of the product are held back.
    """
    products = published(_config(project), env, as_of, name)
    version = products.version(name)
    _check_access(products.config, version.product)
    if not version.columns:
        raise UsageError(
            f"{version.product} is a file, not a table",
            hint=f"assay.path({version.product!r}) says where it is.",
        )
    _warn([version])
    return lazy.parquet(table_of(version, products.storage))


def path(
    name: str, *, as_of: AsOf = None, env: str | None = None, project: Path | str | None = None
) -> Path:
    """Return the file of the published version of a product: for a table, a Parquet file.

    Raises UsageError for a table that is stored in several files, as one in parts may be, and for a
    product that is private or protected.
    """
    products = published(_config(project), env, as_of, name)
    _check_access(products.config, products.version(name).product)
    return products.file(name)


def connect(
    *, as_of: AsOf = None, env: str | None = None, project: Path | str | None = None
) -> "duckdb.DuckDBPyConnection":
    """Return a DuckDB connection with a view for every public table, all from one moment.

    A view is called `domain.name`, and also by the bare name if only one product has it. The time
    zone is UTC, as it is for products.
    """
    import duckdb

    products = published(_config(project), env, as_of)
    access = last_access(products.config)
    public = [name for name in products.tables if _is_public(name, access)]
    _warn(version for name, version in products.versions.items() if _is_public(name, access))
    tables = products.stored(public)
    views = {name: duck.parquet(table) for name, table in tables.items()}
    bare_names = Counter(name.partition(".")[2] for name in tables)
    for name in tables:
        bare_name = name.partition(".")[2]
        if bare_names[bare_name] == 1:
            views[bare_name] = f"from {dotted(name)}"
    connection = duckdb.connect()
    duck.in_utc(connection)
    with damage_reported(tables.values()):
        duck.create_views(connection, views)
    return connection


class Published:
    """The published version of each product of an environment at one moment, and its files."""

    def __init__(
        self,
        versions: Mapping[str, Version],
        config: Config,
        environment: str,
        at: datetime | int | None = None,
    ) -> None:
        self.versions, self.config, self.environment = versions, config, environment
        self.when = ""
        if isinstance(at, datetime):
            self.when = f" as of {at:%Y-%m-%d %H:%M:%S} UTC"
        elif at is not None:
            self.when = f" at release {at}"
        self.storage = LocalStorage(config.state / "store")

    def file(self, name: str) -> Path:
        """Return the file of a product, given by its full or bare name.

        Raises UsageError if the product is not in one file, StoreError if the file is damaged.
        """
        version = self.version(name)
        table = table_of(version, self.storage)
        if len(table.files) != 1 or table.cuts:
            raise UsageError(
                f"{version.product} is in {len(version.parts)} parts, not in one file",
                hint=f"assay.read({version.product!r}) reads them as one table.",
            )
        return table.files[0]

    def version(self, name: str) -> Version:
        """Return the version of a product, given by its full or bare name; UsageError if none."""
        matches = [full for full in self.versions if name in {full, full.partition(".")[2]}]
        if len(matches) == 1:
            return self.versions[matches[0]]
        problem = f"is not published in {self.environment}{self.when}"
        if matches:
            problem = f"could be {' or '.join(sorted(matches))}"
        earlier = f"`products history {name}` says when it was published."
        now = "`products status` says what is published."
        hint = nearest(name, self.versions) or (earlier if self.when else now)
        raise UsageError(f"{name!r} {problem}", hint=hint)

    @property
    def tables(self) -> list[str]:
        """The full names of the published tables, without products that are files."""
        return [name for name, version in self.versions.items() if version.columns]

    def stored(self, names: Iterable[str]) -> dict[str, StoredTable]:
        """Return where the rows of these tables are stored, by name."""
        return {name: table_of(self.versions[name], self.storage) for name in names}


def table_of(version: Version, storage: Storage) -> StoredTable:
    """Return where the rows of a version are stored, without quarantined rows.

    If the names of the files' folders hold the values of a column, the table names that column.
    """
    parts = [part for part in version.parts if version.in_parts or part.key != QUARANTINE]
    table = stored(version, storage, parts)
    # Engines read each folder of a path that contains "=", also those above the store.
    if not version.in_parts or "=" in str(storage.root):
        return table
    names = split_of(table.files)
    types = {column.name: column.type for column in version.columns if not column.logical}
    column = names.pop() if len(names) == 1 else ""
    if types.get(column) not in _FOLDER_TYPES:
        return table
    return replace(table, split=(column, types[column]))


def published(
    config: Config, env: str | None = None, as_of: AsOf = None, name: str = ""
) -> Published:
    """Return the published version of each product, at a moment or as of a release.

    The files of all products, or of the product `name`, are kept until this process ends.
    """
    storage = LocalStorage(config.state / "store")
    with reading(storage.root):
        products = _published(config, storage, env or config.environment, moment(as_of))
        versions = [products.version(name)] if name else list(products.versions.values())
        folders = (folder_of(part.path) for version in versions for part in version.parts)
        keep(storage.root, folders)
    return products


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
        versions = {name: catalog.published_version(pointer) for name, pointer in pointers.items()}
    finally:
        catalog.close()
    return Published(versions, config, environment, at)


def moment(as_of: AsOf) -> datetime | int | None:
    """Return a moment or a release number for the catalog; UsageError for any other text."""
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


def _is_public(name: str, access: Mapping[str, Access]) -> bool:
    """Return whether everyone may read a product; one that is no longer declared is public."""
    return access.get(name, Access.PUBLIC) is Access.PUBLIC


def _check_access(config: Config, name: str) -> None:
    """Raise UsageError for a product that is private or protected."""
    access = last_access(config)
    if not _is_public(name, access):
        of = "this project" if access[name] is Access.PROTECTED else name.partition(".")[0]
        raise UsageError(
            f"{name} is {access[name]}: only products of {of} read it",
            hint=f"`products show {name}` and `products query` look at it;"
            ' declared with access="public", everyone may read it.',
        )


def held_back(version: Version) -> str:
    """Return which parts of a published version are held back, in words; '' if none are."""
    missing, before = missing_and_earlier(version)
    phrases = []
    if missing:
        phrases.append(f"without {some_parts(missing)}")
    if before:
        phrases.append(f"{some_parts(before)} as it was before")
    if not phrases:
        return ""
    why = f"`products why {version.product}` says why"
    return f"{version.product} has parts that are held back: {', '.join(phrases)}; {why}"


def _warn(versions: Iterable[Version]) -> None:
    for message in filter(None, map(held_back, versions)):
        warnings.warn(message, PartsHeldBack, stacklevel=3)
