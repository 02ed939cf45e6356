"""What is published in an environment at one moment: only what is asked for, decoded on demand.

The rows of versions and parts are read at once, because gc may drop them later; they become values
when somebody asks for them.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from assay.catalog.database import rows_in
from assay.catalog.reads import CatalogReads
from assay.catalog.rows import (
    PART,
    VERSION,
    check_product,
    decoded,
    ids_of,
    part_of,
    version_of,
)
from assay.facts import Pointer, Version

At = datetime | int | None
_MOST_NAMES = 500  # that are looked up one by one
_VERSION, _PART = VERSION.split(", "), PART.split(", ")
_COLUMNS, _HELD, _PARTS = map(_VERSION.index, ("columns", "held", "parts"))
_PATH = _PART.index("path")


class Look(Mapping[str, Version]):
    """Published versions by the full names of their products."""

    def __init__(self, catalog: CatalogReads, pointers: Mapping[str, Pointer]) -> None:
        self._name, self._pointers = catalog.name, pointers
        self._decoded: dict[str, Version] = {}
        with decoded(self._name):
            ids = [pointer.version for pointer in pointers.values()]
            query = f"select {VERSION} from versions where id in"
            self._rows = {row[0]: row for row in rows_in(catalog.database, query, ids)}
            for id in ids:
                if id not in self._rows:
                    catalog.version(id)  # raises the error for what is not recorded
            self._part_ids = {id: ids_of(row[_PARTS]) for id, row in self._rows.items()}
            numbers = sorted({number for each in self._part_ids.values() for number in each})
            query = f"select {PART} from parts where id in"
            self._parts = {row[0]: row for row in rows_in(catalog.database, query, numbers)}

    def __iter__(self) -> Iterator[str]:
        return iter(self._pointers)

    def __len__(self) -> int:
        return len(self._pointers)

    def __contains__(self, product: object) -> bool:
        return product in self._pointers

    def __getitem__(self, product: str) -> Version:
        """Return the version of a product; CatalogDamaged when it cannot be decoded."""
        if product not in self._decoded:
            pointer = self._pointers[product]
            with decoded(self._name):
                parts = {
                    number: part_of(self._parts[number])
                    for number in self._part_ids[pointer.version]
                }
                version = version_of(self._rows[pointer.version], parts)
            check_product(self._name, pointer, version)
            self._decoded[product] = version
        return self._decoded[product]

    def is_table(self, product: str) -> bool:
        """Return whether a published product is a table, not a file."""
        return bool(self._row(product)[_COLUMNS] != "[]")

    def is_held_in_part(self, product: str) -> bool:
        """Return whether parts of a published product are held back."""
        return bool(self._row(product)[_HELD] != "{}")

    def paths(self) -> Iterator[str]:
        """Yield the paths of all files, relative to the store."""
        for row in self._parts.values():
            yield str(row[_PATH])

    def _row(self, product: str) -> Sequence[Any]:
        row: Sequence[Any] = self._rows[self._pointers[product].version]
        return row


def look(
    catalog: CatalogReads,
    environment: str,
    at: At = None,
    wanted: Collection[str] | None = None,
) -> Look:
    """Return what is published, at a moment or as of a release.

    With `wanted` (full or bare names) it holds those products only, unless one of the names is not
    that of exactly one published product: then it holds all, for the message.
    """
    if wanted is not None and len(wanted) <= _MOST_NAMES:  # one query: they are of one moment
        found = _full_names(catalog, environment, wanted, now=at is None)
        pointers = catalog.pointers(environment, at, {one for names in found for one in names})
        if all(len(names & pointers.keys()) == 1 for names in found):
            return Look(catalog, pointers)
    return Look(catalog, catalog.pointers(environment, at))


def _full_names(
    catalog: CatalogReads, environment: str, wanted: Collection[str], *, now: bool
) -> list[set[str]]:
    """Return the products that each wanted name may mean, of those published now or ever."""
    if not now:
        query = (
            "select distinct m.product from moves m join releases r on r.id = m.release"
            " where r.environment = ?"
        )
        with decoded(catalog.name):
            by_name = _by_name(catalog.database.rows(query, [environment]))
    else:
        place, stamp = (catalog.name, environment), catalog.database.stamp()
        known, by_name = _PUBLISHED.get(place, ("", {}))
        if not stamp or stamp != known:
            query = "select product from pointers where environment = ?"
            with decoded(catalog.name):
                by_name = _by_name(catalog.database.rows(query, [environment]))
            _PUBLISHED[place] = (stamp, by_name)
    return [set(by_name.get(name, ())) for name in wanted]


def _by_name(rows: Iterable[Sequence[str]]) -> Mapping[str, Sequence[str]]:
    """Return full names by full and by bare name."""
    found: dict[str, list[str]] = {}
    for (full,) in rows:
        for name in {full, full.partition(".")[2]}:
            found.setdefault(name, []).append(full)
    return found


# The names that are published, by catalog and environment, with the stamp of the catalog: a process
# that reads often asks for them again only after something was written.
_PUBLISHED: dict[tuple[str, str], tuple[str, Mapping[str, Sequence[str]]]] = {}
