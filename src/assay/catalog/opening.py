"""Opens the catalog of a project: a file of its own, or a database that machines share."""

from pathlib import Path

from assay.catalog.catalog import Catalog
from assay.catalog.database import Database
from assay.catalog.owner import StoreOwner
from assay.catalog.postgres import Postgres
from assay.catalog.sqlite import Sqlite
from assay.config import Config
from assay.store.permissions import claim


def open_catalog(place: Path | str, *, create: bool = True) -> Catalog:
    """Open the catalog in a file, or at an address.

    Without `create`, a missing catalog reads as empty.
    """
    if isinstance(place, Path):
        return _on(Sqlite(place, create=create))
    database = Postgres(place)
    if create or database.schema_version():
        return _on(database)
    database.close()
    return _on(Sqlite(None, create=False, name=database.name))


def no_catalog(name: str) -> Catalog:
    """Return a catalog without anything in it, which cannot be written; `name` is for messages."""
    return _on(Sqlite(None, create=False, name=name))


def _on(database: Database) -> Catalog:
    try:
        return Catalog(database)
    except BaseException:
        database.close()
        raise


def shared_catalog(config: Config, *, create: bool = False) -> Catalog:
    """Open the catalog of a project; with `create`, pair it with the store if both are unclaimed.

    Raises CatalogError, and creates nothing, when one of them belongs to another.
    """
    place = config.catalog_place
    catalog = open_catalog(place, create=False)
    pair = StoreOwner(
        name=catalog.name,
        store=config.state / "store",
        beside=isinstance(place, Path) and place.parent == config.state,
    )
    try:
        paired = pair.check_owner(catalog.database)
        if create:
            claim(config.state, config.access)
        if paired or not create:
            return catalog
        catalog.close()
        catalog = open_catalog(place)
        pair.claim_store(catalog)
    except BaseException:
        catalog.close()
        raise
    return catalog
