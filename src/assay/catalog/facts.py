"""Facts for decisions: published versions are read at once, the rest on demand."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import cache, cached_property

from assay.approvals import Given
from assay.catalog.database import Holds, rows_in
from assay.catalog.published import Published
from assay.catalog.reads import CatalogReads, lineage
from assay.catalog.rows import decoded
from assay.catalog.sources import SourceFiles
from assay.facts import Figures, Part, Pointer, Verdict, Version
from assay.model import Waiver
from assay.plan.restatements import RestatedRows


class RecordedFacts:
    """What is recorded, for one environment; each fact is read once."""

    def __init__(
        self, catalog: CatalogReads, sources: SourceFiles, environment: str, holds: Holds
    ) -> None:
        self._catalog, self._environment = catalog, environment
        self._rows = catalog.database.rows
        self._published = Published(catalog, environment)
        self._files = _ExistingFiles(holds)
        self._parts = _PartsByInputs(catalog, self._published, self._files)
        self._of_key = cache(self._versions_of_key)
        self._has_version = cache(self._look_for_version)
        self._listing, self._sources = cache(sources.listing), sources

    # ------------------------------------------------------------------------------ versions

    def version(self, id: str) -> Version:
        return self._published.version(id)

    def pointer(self, product: str) -> Pointer | None:
        return self._published.pointers.get(product)

    def find(self, product: str, key: str) -> Version | None:
        published = self._published.version_of(product)
        if published and published.key.digest == key and self._files.has_all(published):
            return published
        return next((v for v in self._of_key(product, key) if self._files.has_all(v)), None)

    def lost(self, product: str, key: str) -> Version | None:
        return next((v for v in self._of_key(product, key) if not self._files.has_all(v)), None)

    def latest(self, product: str) -> Version | None:
        if not self._has_version(product):
            return None
        return next(iter(self._catalog.versions(product, limit=1)), None)

    def with_content(self, product: str, digest: str) -> Version | None:
        published = self._published.version_of(product)
        condition = "where product = ? and digest = ? order by seq desc"
        found = [published] if published and published.digest == digest else []
        found += self._catalog.versions_where(condition, [product, digest])
        return next((v for v in found if self._files.has_all(v)), None)

    def has_code(self, product: str, code: str) -> bool:
        query = "select 1 from versions where product = ? and code = ? limit 1"
        return self._has_version(product) and bool(self._rows(query, [product, code]))

    def _look_for_version(self, product: str) -> bool:
        """Return whether a product has any version; if not, no other query about it is needed."""
        query = "select 1 from versions where product = ? limit 1"
        return product in self._published.pointers or bool(self._rows(query, [product]))

    def _versions_of_key(self, product: str, key: str) -> list[Version]:
        if not self._has_version(product):
            return []
        condition = "where product = ? and key = ? order by seq desc"
        return self._catalog.versions_where(condition, [product, key])

    # ------------------------------------------------------------------------------ parts, files

    def parts(self, product: str, built_from: Collection[str]) -> dict[str, Part]:
        return self._parts.find(product, built_from)

    def parts_with_content(self, product: str, contents: Collection[str]) -> Sequence[Part]:
        return self._parts.with_content(product, contents)

    def latest_event(
        self, inspected_as: str, digests: Collection[str], until: datetime
    ) -> datetime | None:
        return self._sources.latest_event(inspected_as, digests, until)

    def files(self, source: str) -> Mapping[str, str] | None:
        files = self._listing(source)
        return None if files is None else {file.path: file.digest for file in files}

    # ------------------------------------------------------------------------------ verdicts

    def passed(self, version: str, contract: str, against: str) -> bool:
        return (version, contract, against) in self._published.passed

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

    def restated(self, version: str) -> Sequence[RestatedRows]:
        return self._restated.get(version, ())

    @cached_property
    def _restated(self) -> Mapping[str, Sequence[RestatedRows]]:
        """All restated rows of this environment, by version: few, so one query is enough."""
        rows: dict[str, list[RestatedRows]] = {}
        for each in self._catalog.restated(self._environment):
            rows.setdefault(each.version, []).append(each)
        return rows

    def approvals(self, version: Version) -> Given:
        from assay.catalog.approvals import given  # most products ask for none

        with decoded(self._catalog.name):
            return given(self._catalog.database, self._environment, version)

    @cached_property
    def lineage(self) -> Collection[str]:
        return lineage(self._catalog.database, self._environment)

    def waivers(self, product: str) -> Sequence[Waiver]:
        return self._waivers.get(product, ())

    def difference(self, before: str, after: str) -> Figures | None:
        from assay.catalog.differences import figures_between  # only where something is held back

        return figures_between(self._catalog.database, before, after)

    @cached_property
    def _waivers(self) -> Mapping[str, Sequence[Waiver]]:
        """All waivers of this environment, by product: few, so one query is enough."""
        waivers: dict[str, list[Waiver]] = {}
        for waiver in self._catalog.waivers(self._environment):
            waivers.setdefault(waiver.product, []).append(waiver)
        return waivers


class _PartsByInputs:
    """The newest part whose file exists, of each product, by the digest of its code and inputs."""

    def __init__(
        self, catalog: CatalogReads, published: Published, files: "_ExistingFiles"
    ) -> None:
        self._catalog, self._published, self._files = catalog, published, files
        self._parts: dict[str, dict[str, Part | None]] = {}  # None: there is no such part

    def find(self, product: str, digests: Collection[str]) -> dict[str, Part]:
        """Return the parts of a product that were built from these inputs."""
        parts = self._parts.get(product)
        if parts is None:
            parts = self._parts[product] = dict(self._published_parts(product))
        if missing := [digest for digest in digests if digest not in parts]:
            parts |= dict.fromkeys(missing) | self._newest_parts(product, missing)
        return {digest: part for digest in digests if (part := parts[digest])}

    def with_content(self, product: str, digests: Collection[str]) -> list[Part]:
        """Return the parts of a product that have this content."""
        query = "select id from parts where product = ? and digest in"
        with decoded(self._catalog.name):
            ids = {id for (id,) in rows_in(self._catalog.database, query, list(digests), [product])}
            return [part for part in self._published.parts(ids) if self._files.has(part)]

    def _newest_parts(self, product: str, digests: Sequence[str]) -> dict[str, Part]:
        query = "select id from parts where product = ? and made_of in"
        with decoded(self._catalog.name):
            ids = {id for (id,) in rows_in(self._catalog.database, query, digests, [product])}
            parts = self._published.parts(ids)
        # The newest of the same inputs comes last, and replaces the others.
        return {part.built_from: part for part in parts if self._files.has(part)}

    def _published_parts(self, product: str) -> Mapping[str, Part]:
        """Return the published parts that no newer part of the same inputs replaces."""
        version = self._published.version_of(product)
        if version is None or version.key.held or not self._files.has_all(version):
            return {}  # parts that are held back are newer than the published ones
        parts = {part.built_from: part for part in version.parts}
        last = max((part.id for part in version.parts), default=0)
        query = "select made_of from parts where product = ? and id > ?"
        for (digest,) in self._catalog.database.rows(query, [product, last]):
            parts.pop(digest, None)
        return parts


class _ExistingFiles:
    """Which files exist; each is looked at once."""

    def __init__(self, holds: Holds) -> None:
        self._holds = holds
        self._versions: dict[str, bool] = {}
        self._parts: dict[object, bool] = {}  # by the files of a part

    def has_all(self, version: Version) -> bool:
        """Return whether every file of a version exists."""
        if version.id not in self._versions:
            self._versions[version.id] = self._holds(version.parts)
        return self._versions[version.id]

    def has(self, part: Part) -> bool:
        """Return whether the file of a part exists; parts may share a file."""
        files = (part.file, part.aside.file) if part.aside else part.file
        if files not in self._parts:
            self._parts[files] = self._holds([part])
        return self._parts[files]
