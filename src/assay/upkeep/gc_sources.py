"""Drops from the catalog what it remembers of the files of sources that are no longer declared."""

from collections.abc import Collection

from assay.catalog.catalog import Catalog
from assay.catalog.rows import decoded, files_of


def forget_sources(catalog: Catalog, declared: Collection[str], *, dry: bool) -> list[str]:
    """Drop the listings of sources that are not declared; return their names, sorted."""
    rows = catalog.database.rows("select distinct source from listings")
    undeclared = sorted({name for (name,) in rows}.difference(declared))
    if dry:
        return undeclared
    if undeclared:
        _delete(catalog, "delete from listings where source = ?", undeclared)
    _forget_inspected(catalog)
    return undeclared


def _forget_inspected(catalog: Catalog) -> None:
    """Drop the inspections of files whose content is in no listing."""
    with decoded(catalog.name):
        rows = catalog.database.rows("select files from listings")
        listed = {file.digest for (files,) in rows for file in files_of(files)}
    rows = catalog.database.rows("select distinct digest from inspected")
    unlisted = sorted({digest for (digest,) in rows} - listed)
    if unlisted:
        _delete(catalog, "delete from inspected where digest = ?", unlisted)


def _delete(catalog: Catalog, statement: str, values: Collection[str]) -> None:
    catalog.write(lambda writer: writer.many(statement, [(value,) for value in values]))
