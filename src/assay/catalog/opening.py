"""Opens the catalog of a project: a file of its own, or a database that several machines share with its store."""

from pathlib import Path
from uuid import uuid4

from assay.catalog.catalog import Catalog
from assay.catalog.postgres import Postgres
from assay.catalog.protocol import Database
from assay.catalog.sqlite import Sqlite
from assay.config import Config
from assay.errors import CatalogError

MARK = "catalog-id"  # the file in a store that says which catalog is its own


def open_catalog(place: Path | str, *, create: bool = True) -> Catalog:
    """Open the catalog in a file, or at an address; without `create`, one that is not there yet reads as empty."""
    if isinstance(place, Path):
        return _on(Sqlite(place, create=create))
    database = Postgres(place)
    if create or database.found():
        return _on(database)
    database.close()
    return _on(Sqlite(None, create=False))


def _on(database: Database) -> Catalog:
    try:
        return Catalog(database)
    except BaseException:
        database.close()
        raise


def shared_catalog(config: Config, *, create: bool = False) -> Catalog:
    """Open the catalog that a project is set to use; CatalogError when it is that of another store."""
    place = config.catalog_place
    catalog = open_catalog(place, create=create)
    if isinstance(place, str):
        try:
            _match(catalog, config.state / "store" / MARK, create=create)
        except BaseException:
            catalog.close()
            raise
    return catalog


def _match(catalog: Catalog, file: Path, *, create: bool) -> None:
    """Refuse a catalog whose files are elsewhere: recovery would remove ours, and nothing of it could be read."""
    known, mark = catalog.note("store"), _read(file)
    if not known and create:
        mark = mark or uuid4().hex
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{mark}\n", encoding="utf-8")
        known = catalog.note_down("store", mark)
    if known and known != mark:
        raise CatalogError(
            f"the catalog {catalog.name} is that of another store than {file.parent}",
            hint="Machines that share a catalog must share the folder of the store, and each project needs a database"
            f" of its own.\n  If this is its store all the same, or that is gone for good, write {known} into"
            f" {file}",
        )


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogError(f"cannot read {file}: {error}") from error
