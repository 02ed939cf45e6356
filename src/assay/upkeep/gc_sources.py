"""Drops from the catalog what it remembers of sources: of undeclared ones, and what is too old."""

from collections.abc import Collection

from msgspec.json import decode

from assay.catalog.arrivals import KEPT
from assay.catalog.catalog import Catalog
from assay.catalog.database import Writer
from assay.catalog.rows import decoded, files_of, stamp


def forget_sources(catalog: Catalog, declared: Collection[str], *, dry: bool) -> list[str]:
    """Drop what is recorded of sources that are not declared; return their names, sorted.

    Of the arrivals of others, the last few hundred stay.
    """
    rows = catalog.database.rows("select source from listings union select source from arrivals")
    undeclared = sorted({name for (name,) in rows}.difference(declared))
    if dry:
        return undeclared
    if undeclared:
        _delete(catalog, "delete from listings where source = ?", undeclared)
        _delete(catalog, "delete from arrivals where source = ?", undeclared)
    _forget_listings(catalog)
    _forget_inspected(catalog)
    _forget_arrivals(catalog)
    return undeclared


def _forget_listings(catalog: Catalog) -> None:
    """Let listings go, with the next of their source, that no version was built from."""

    def forget(writer: Writer) -> None:
        used = writer.rows("select digest from listings where used = 1")
        needed = {
            digest
            for (inputs,) in writer.rows("select distinct inputs from versions")
            for digest in decode(inputs, type=dict[str, str]).values()
        }
        gone = [(digest,) for (digest,) in used if digest not in needed]
        writer.many("update listings set used = 0 where digest = ?", gone)

    catalog.write(forget)


def _forget_arrivals(catalog: Catalog) -> None:
    """Drop all but the last arrivals of each source."""
    query = "select source from arrivals group by source having count(*) > ?"
    sources = [source for (source,) in catalog.database.rows(query, [KEPT])]
    first = [(source, stamp(catalog.arrivals.of(source)[0].at)) for source in sources]
    if first:
        statement = "delete from arrivals where source = ? and at < ?"
        catalog.write(lambda writer: writer.many(statement, first))


def _forget_inspected(catalog: Catalog) -> None:
    """Drop the inspections of files whose content is in no listing."""
    with decoded(catalog.name):
        rows = catalog.database.rows("select files from listings")
        listed = {file.digest for (files,) in rows for file in files_of(files)}
    rows = catalog.database.rows("select distinct digest from inspected")
    unlisted = sorted(content for (content,) in rows if content.partition(" ")[0] not in listed)
    if unlisted:
        _delete(catalog, "delete from inspected where digest = ?", unlisted)


def _delete(catalog: Catalog, statement: str, values: Collection[str]) -> None:
    catalog.write(lambda writer: writer.many(statement, [(value,) for value in values]))
