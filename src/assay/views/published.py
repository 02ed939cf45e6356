"""What readers see: the published versions that they ask for, all as of one moment."""

from collections.abc import Collection, Iterable
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

from msgspec.structs import replace

from assay.catalog import Catalog, shared_catalog
from assay.catalog.known import check_environment
from assay.catalog.look import Look, look
from assay.config import Config
from assay.engines.tables import StoredTable, split_of, stored
from assay.errors import UsageError
from assay.facts import Version
from assay.model import QUARANTINE
from assay.plan.holding import missing_and_earlier
from assay.plan.names import nearest
from assay.plan.parts import some_parts
from assay.store.files import LocalStorage, Storage
from assay.store.leases import folder_of, keep, reading

# Types whose values the names of folders (`day=2024-01-01`) can hold.
_FOLDER_TYPES = {"DATE", "VARCHAR", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "BOOLEAN"}
AsOf = datetime | date | str | int | None


class Published:
    """Published versions of an environment at one moment, by product, and their files."""

    def __init__(
        self,
        versions: Look,
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

    def has(self, name: str) -> bool:
        """Return whether a product of this full or bare name is published."""
        return any(name in {full, full.partition(".")[2]} for full in self.versions)

    @property
    def tables(self) -> list[str]:
        """The full names of the published tables, without products that are files."""
        return [name for name in self.versions if self.versions.is_table(name)]

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
    config: Config,
    env: str | None = None,
    as_of: AsOf = None,
    names: Collection[str] | None = None,
) -> Published:
    """Return what is published, at a moment or as of a release: of these names, or of everything.

    If one of `names` is not that of one published product, the result holds all, for the message.
    The files are kept until this process ends.
    """
    storage = LocalStorage(config.state / "store")
    environment, at = env or config.environment, moment(as_of)
    with reading(storage.root), closing(shared_catalog(config)) as catalog:
        check_environment(catalog, config, environment)
        if isinstance(at, int):
            _check_release(catalog, environment, at)
        versions = look(catalog, environment, at, names)
        keep(storage.root, set(map(folder_of, versions.paths())))
    return Published(versions, config, environment, at)


def _check_release(catalog: Catalog, environment: str, id: int) -> None:
    """Raise UsageError for a release that is not there yet."""
    last = catalog.last_release(environment)
    if id > (last.id if last else 0):
        newest = f"the last of {environment} is {last.id}" if last else f"{environment} has none"
        raise UsageError(f"there is no release {id}: {newest}")


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
