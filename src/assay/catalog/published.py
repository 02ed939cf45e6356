"""What is published in one environment: pointers, versions and passed verdicts."""

from collections.abc import Collection, Mapping, Sequence
from functools import cache, cached_property
from typing import Any

from assay.catalog.reads import CatalogReads
from assay.catalog.rows import PART, VERSION, check_product, decoded, ids_of, part_of, version_of
from assay.facts import Part, Pointer, Version

# The published versions; for a version of a single part, the part too.
_PUBLISHED = f"""
    select {", ".join(f"v.{name.strip()}" for name in VERSION.split(","))},
      {", ".join(f"p.{name.strip()}" for name in PART.split(","))}
    from pointers x join versions v on v.id = x.version
    left join parts p on p.id = case when v.parts = '' or v.parts like '%-%' or v.parts like '%,%'
      then null else cast(v.parts as bigint) end
    where x.environment = ?
"""
_WIDTH = VERSION.count(",") + 1  # columns of a version


class Published:
    """The published versions of an environment, read in one query; other versions one by one."""

    def __init__(self, catalog: CatalogReads, environment: str) -> None:
        self._catalog, self._environment = catalog, environment
        self._parts: dict[int, Part] = {}  # the parts that were read, by id
        self._unpublished = cache(lambda id: catalog.version(id, self._parts))

    @cached_property
    def pointers(self) -> Mapping[str, Pointer]:
        """The pointers, by product."""
        return self._catalog.pointers(self._environment)

    @cached_property
    def versions(self) -> Mapping[str, Version]:
        """The published versions, by id."""
        rows = self._catalog.database.rows(_PUBLISHED, [self._environment])
        with decoded(self._catalog.name):
            texts = (row[_WIDTH - 1] for row in rows if row[_WIDTH] is None)
            self._parts |= self._catalog.parts(id for text in texts for id in ids_of(text))
            versions = {row[0]: _version_of(row, self._parts) for row in rows}
        for pointer in self.pointers.values():
            if version := versions.get(pointer.version):
                check_product(self._catalog.name, pointer, version)
        return versions

    @cached_property
    def passed(self) -> Collection[tuple[str, str, str]]:
        """The verdicts that published versions have passed, by version, contract and against."""
        published = "version in (select version from pointers where environment = ?)"
        query = (
            f"select version, contract, against from verdicts where {published}"
            " and status in ('passed', 'warning')"
        )
        return set(self._catalog.database.rows(query, [self._environment]))

    def version(self, id: str) -> Version:
        """Return a version by id, published or not."""
        return self.versions.get(id) or self._unpublished(id)

    def version_of(self, product: str) -> Version | None:
        """Return the published version of a product; None if it is not published."""
        pointer = self.pointers.get(product)
        return self.version(pointer.version) if pointer else None

    def parts(self, ids: Collection[int]) -> list[Part]:
        """Return parts in the order of their ids, published or not."""
        self._parts |= self._catalog.parts(id for id in ids if id not in self._parts)
        return [self._parts[id] for id in sorted(ids)]


def _version_of(row: Sequence[Any], parts: Mapping[int, Part]) -> Version:
    """Return the version in a row of _PUBLISHED; `parts` are those that the row does not hold."""
    part = row[_WIDTH:]
    return version_of(row[:_WIDTH], parts if part[0] is None else {part[0]: part_of(part)})
