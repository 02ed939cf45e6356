"""Facts for deciding, from the catalog: published versions are read at once, all else when it is needed."""

from collections.abc import Collection, Mapping, Sequence
from functools import cache, cached_property
from typing import Any

from assay.catalog.database import Holds, rows_in
from assay.catalog.reads import CatalogReads
from assay.catalog.rows import PART, VERSION, check_product, decoded, ids_of, part_of, version_of
from assay.catalog.sources import SourceFiles
from assay.facts import Part, Pointer, Verdict, Version
from assay.plan.waivers import Waiver

# The published versions; for a version of a single part, the part too.
_PUBLISHED = f"""
    select {", ".join(f"v.{name.strip()}" for name in VERSION.split(","))},
      {", ".join(f"p.{name.strip()}" for name in PART.split(","))}
    from pointers x join versions v on v.id = x.version
    left join parts p on p.id = case when v.parts = '' or v.parts like '%-%' or v.parts like '%,%' then null
      else cast(v.parts as bigint) end
    where x.environment = ?
"""
_WIDTH = VERSION.count(",") + 1  # columns of a version


class RecordedFacts:
    """What is recorded, for one environment; each fact is read once."""

    def __init__(
        self, catalog: CatalogReads, sources: SourceFiles, environment: str, holds: Holds
    ) -> None:
        self._catalog, self._environment = catalog, environment
        self._rows = catalog.database.rows
        self._files = _ExistingFiles(holds)
        self._loaded: dict[int, Part] = {}  # parts by id
        # By product: the newest part that exists, by the digest of its inputs; None where there is
        # none.
        self._parts: dict[str, dict[str, Part | None]] = {}
        self._unpublished = cache(lambda id: catalog.version(id, self._loaded))
        self._of_key = cache(self._versions_of_key)
        self._has_version = cache(self._look_for_version)
        self._listing = cache(sources.listing)

    # ------------------------------------------------------------------------------ versions

    @cached_property
    def _pointers(self) -> Mapping[str, Pointer]:
        return self._catalog.pointers(self._environment)

    @cached_property
    def _published(self) -> Mapping[str, Version]:
        """The published versions, by id."""
        rows = self._rows(_PUBLISHED, [self._environment])
        with decoded(self._catalog.name):
            texts = (row[_WIDTH - 1] for row in rows if row[_WIDTH] is None)
            self._loaded |= self._catalog.parts(id for text in texts for id in ids_of(text))
            versions = {row[0]: _published_version(row, self._loaded) for row in rows}
        for pointer in self._pointers.values():
            if version := versions.get(pointer.version):
                check_product(self._catalog.name, pointer, version)
        return versions

    def version(self, id: str) -> Version:
        return self._published.get(id) or self._unpublished(id)

    def pointer(self, product: str) -> Pointer | None:
        return self._pointers.get(product)

    def find(self, product: str, key: str) -> Version | None:
        pointer = self._pointers.get(product)
        if pointer:
            published = self.version(pointer.version)
            if published.key.digest == key and self._files.has_all(published):
                return published
        return next((v for v in self._of_key(product, key) if self._files.has_all(v)), None)

    def lost(self, product: str, key: str) -> Version | None:
        return next((v for v in self._of_key(product, key) if not self._files.has_all(v)), None)

    def latest(self, product: str) -> Version | None:
        if not self._has_version(product):
            return None
        return next(iter(self._catalog.versions(product, limit=1)), None)

    def has_code(self, product: str, code: str) -> bool:
        query = "select 1 from versions where product = ? and code = ? limit 1"
        return self._has_version(product) and bool(self._rows(query, [product, code]))

    def _look_for_version(self, product: str) -> bool:
        """Return whether a product has any version; if not, no other query about it is needed."""
        query = "select 1 from versions where product = ? limit 1"
        return product in self._pointers or bool(self._rows(query, [product]))

    def _versions_of_key(self, product: str, key: str) -> list[Version]:
        if not self._has_version(product):
            return []
        condition = "where product = ? and key = ? order by seq desc"
        return self._catalog.versions_where(condition, [product, key])

    # ------------------------------------------------------------------------------ parts

    def parts(self, product: str, built_from: Collection[str]) -> dict[str, Part]:
        parts = self._parts.get(product)
        if parts is None:
            parts = self._parts[product] = dict(self._published_parts(product))
        if missing := [digest for digest in built_from if digest not in parts]:
            parts |= dict.fromkeys(missing) | self._newest_parts(product, missing)
        return {digest: part for digest in built_from if (part := parts[digest])}

    def _newest_parts(self, product: str, built_from: Sequence[str]) -> dict[str, Part]:
        """Return the newest recorded part for each of these digests of inputs, if its file exists."""
        query = "select id from parts where product = ? and made_of in"
        with decoded(self._catalog.name):
            ids = {id for (id,) in rows_in(self._catalog.database, query, built_from, [product])}
            self._loaded |= self._catalog.parts(ids - self._loaded.keys())
            parts = [self._loaded[id] for id in sorted(ids)]  # the newest comes last, and stays
        return {part.built_from: part for part in parts if self._files.has(part)}

    def _published_parts(self, product: str) -> Mapping[str, Part]:
        """Return the parts of the published version that no newer part of the same inputs replaces."""
        pointer = self._pointers.get(product)
        version = self.version(pointer.version) if pointer else None
        if version is None or version.key.held or not self._files.has_all(version):
            return {}  # parts that are held back are newer than the published ones
        parts = {part.built_from: part for part in version.parts}
        last = max((part.id for part in version.parts), default=0)
        query = "select made_of from parts where product = ? and id > ?"
        for (built_from,) in self._rows(query, [product, last]):
            parts.pop(built_from, None)
        return parts

    # ------------------------------------------------------------------------------ verdicts

    @cached_property
    def _passed(self) -> Collection[tuple[str, str, str]]:
        """The verdicts that published versions have passed, by version, contract and against."""
        published = "version in (select version from pointers where environment = ?)"
        query = (
            f"select version, contract, against from verdicts where {published}"
            " and status in ('passed', 'warning')"
        )
        return set(self._rows(query, [self._environment]))

    def passed(self, version: str, contract: str, against: str) -> bool:
        return (version, contract, against) in self._passed

    def verdict(self, version: str, contract: str, against: str) -> Verdict | None:
        condition = "where version = ? and contract = ? and against = ?"
        values = [version, contract, against]
        return next(iter(self._catalog.verdicts_where(condition, values)), None)

    def failed(self, version: str, contract: str) -> Verdict | None:
        condition = (
            "where version = ? and contract = ? and status in ('failed', 'error')"
            " order by judged_at desc limit 1"
        )
        return next(iter(self._catalog.verdicts_where(condition, [version, contract])), None)

    def waivers(self, version: str) -> Sequence[Waiver]:
        return self._waivers.get(version, ())

    @cached_property
    def _waivers(self) -> Mapping[str, Sequence[Waiver]]:
        """All waivers of this environment, by version: they are few, so one query is enough."""
        waivers: dict[str, list[Waiver]] = {}
        for waiver in self._catalog.waivers(self._environment):
            waivers.setdefault(waiver.version, []).append(waiver)
        return waivers

    def files(self, source: str) -> Mapping[str, str] | None:
        files = self._listing(source)
        return None if files is None else {file.path: file.digest for file in files}


class _ExistingFiles:
    """Which files exist; each is looked at once."""

    def __init__(self, holds: Holds) -> None:
        self._holds = holds
        self._versions: dict[str, bool] = {}
        self._parts: dict[tuple[str, int, int, str], bool] = {}

    def has_all(self, version: Version) -> bool:
        """Return whether every file of a version exists."""
        if version.id not in self._versions:
            self._versions[version.id] = self._holds(version.parts)
        return self._versions[version.id]

    def has(self, part: Part) -> bool:
        """Return whether the file of a part exists; parts may share a file."""
        if part.file not in self._parts:
            self._parts[part.file] = self._holds([part])
        return self._parts[part.file]


def _published_version(row: Sequence[Any], loaded: Mapping[int, Part]) -> Version:
    """Return the version behind a row of _PUBLISHED; `loaded` are the parts that the row does not hold itself."""
    part = row[_WIDTH:]
    parts = loaded if part[0] is None else {part[0]: part_of(part)}
    return version_of(row[:_WIDTH], parts)
