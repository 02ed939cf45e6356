"""Facts for deciding, from the catalog: what readers see is read at once, all else when asked for."""

from collections.abc import Collection, Mapping, Sequence
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from assay.catalog.database import Holds
from assay.catalog.recording import rows_of
from assay.catalog.rows import (
    PART,
    VERSION,
    check_seen,
    decoded,
    files_of,
    ids_of,
    part_of,
    version_of,
)
from assay.model import Part, Pointer, Verdict, Version
from assay.plan.waivers import Waiver

if TYPE_CHECKING:
    from assay.catalog.catalog import Catalog


# The versions that readers see; of one in a single part, the part too.
_SEEN = f"""
    select {", ".join(f"v.{name.strip()}" for name in VERSION.split(","))},
      {", ".join(f"p.{name.strip()}" for name in PART.split(","))}
    from pointers x join versions v on v.id = x.version
    left join parts p on p.id = case when v.parts = '' or v.parts like '%-%' or v.parts like '%,%' then null
      else cast(v.parts as bigint) end
    where x.environment = ?
"""
_WIDE = VERSION.count(",") + 1


class RecordedFacts:
    """What is recorded, as one environment sees it: what readers see is read at once, all else when asked for."""

    def __init__(self, catalog: "Catalog", environment: str, holds: Holds) -> None:
        self._catalog, self._environment, self._look = catalog, environment, holds
        self._rows = catalog.database.rows
        self._whole: dict[str, bool] = {}
        self._files: dict[tuple[str, int, int, str], bool] = {}
        self._made: dict[str, dict[str, Part | None]] = {}  # by product, and what it was made of
        self._shared: dict[int, Part] = {}
        self._other = cache(lambda id: catalog.version(id, self._shared))
        self._of_key = cache(self._recorded)
        self.files = cache(self._listed)
        self._known = cache(self._has_any)

    @cached_property
    def _pointers(self) -> Mapping[str, Pointer]:
        return self._catalog.pointers(self._environment)

    @cached_property
    def _current(self) -> Mapping[str, Version]:
        """The versions that readers see, by id."""
        rows = self._rows(_SEEN, [self._environment])
        with decoded(self._catalog.name):
            many = (row[_WIDE - 1] for row in rows if row[_WIDE] is None)
            self._shared |= self._catalog.parts(id for ids in many for id in ids_of(ids))
            found = {row[0]: self._seen(row) for row in rows}
        for pointer in self._pointers.values():
            if version := found.get(pointer.version):
                check_seen(self._catalog.name, pointer, version)
        return found

    def _seen(self, row: Sequence[Any]) -> Version:
        part = row[_WIDE:]
        return version_of(
            row[:_WIDE], self._shared if part[0] is None else {part[0]: part_of(part)}
        )

    def version(self, id: str) -> Version:
        return self._current.get(id) or self._other(id)

    def pointer(self, product: str) -> Pointer | None:
        return self._pointers.get(product)

    def find(self, product: str, key: str) -> Version | None:
        pointer = self._pointers.get(product)
        if pointer:
            current = self.version(pointer.version)
            if current.key.digest == key and self._holds(current):
                return current
        return next((v for v in self._of_key(product, key) if self._holds(v)), None)

    def parts(self, product: str, made_of: Collection[str]) -> dict[str, Part]:
        query = "select id from parts where product = ? and made_of in"
        known = self._made.get(product)
        if known is None:
            known = self._made[product] = dict(self._newest(product))
        asked = [made for made in made_of if made not in known]
        if not asked:
            return {made: part for made in made_of if (part := known[made])}
        with decoded(self._catalog.name):
            ids = {id for (id,) in rows_of(self._catalog.database, query, asked, [product])}
            self._shared |= self._catalog.parts(ids - self._shared.keys())
            found = [self._shared[id] for id in sorted(ids)]
        known |= dict.fromkeys(asked) | {part.made_of: part for part in found if self._there(part)}
        return {made: part for made in made_of if (part := known[made])}

    def _newest(self, product: str) -> Mapping[str, Part]:
        """Return the parts of what readers see of a product that are there, and the newest of their keys."""
        pointer = self._pointers.get(product)
        version = self.version(pointer.version) if pointer else None
        if version is None or version.key.held or not self._holds(version):
            return {}  # what is held back is newer than what readers keep of it
        found = {part.made_of: part for part in version.parts}
        last = max((part.id for part in version.parts), default=0)
        for (made_of,) in self._rows(
            "select made_of from parts where product = ? and id > ?", [product, last]
        ):
            found.pop(made_of, None)
        return found

    def _there(self, part: Part) -> bool:
        """Say whether the file of a part is there; it is looked at once for all the parts that share it."""
        if part.file not in self._files:
            self._files[part.file] = self._look([part])
        return self._files[part.file]

    def lost(self, product: str, key: str) -> Version | None:
        return next((v for v in self._of_key(product, key) if not self._holds(v)), None)

    def _holds(self, version: Version) -> bool:
        if version.id not in self._whole:
            self._whole[version.id] = self._look(version.parts)
        return self._whole[version.id]

    def _has_any(self, product: str) -> bool:
        """Say whether there is any version of a product: of one that was never built nothing more is asked."""
        query = "select 1 from versions where product = ? limit 1"
        return product in self._pointers or bool(self._rows(query, [product]))

    def _recorded(self, product: str, key: str) -> list[Version]:
        if not self._known(product):
            return []
        return self._catalog.versions_where(
            "where product = ? and key = ? order by seq desc", [product, key]
        )

    def latest(self, product: str) -> Version | None:
        if not self._known(product):
            return None
        return next(iter(self._catalog.versions(product, limit=1)), None)

    def has_code(self, product: str, code: str) -> bool:
        query = "select 1 from versions where product = ? and code = ? limit 1"
        return self._known(product) and bool(self._rows(query, [product, code]))

    @cached_property
    def _passed(self) -> Collection[tuple[str, str, str]]:
        """The verdicts that the versions that readers see passed, by version, contract and against."""
        seen = "version in (select version from pointers where environment = ?)"
        query = f"select version, contract, against from verdicts where {seen} and status in ('passed', 'warning')"
        return set(self._rows(query, [self._environment]))

    def passed(self, version: str, contract: str, against: str) -> bool:
        return (version, contract, against) in self._passed

    def verdict(self, version: str, contract: str, against: str) -> Verdict | None:
        where = "where version = ? and contract = ? and against = ?"
        return next(iter(self._catalog.verdicts_where(where, [version, contract, against])), None)

    def failed(self, version: str, contract: str) -> Verdict | None:
        where = "where version = ? and contract = ? and status in ('failed', 'error') order by judged_at desc limit 1"
        return next(iter(self._catalog.verdicts_where(where, [version, contract])), None)

    def waivers(self, version: str) -> Sequence[Waiver]:
        return self._waivers.get(version, ())

    @cached_property
    def _waivers(self) -> Mapping[str, Sequence[Waiver]]:
        """All waivers of this environment, by version: they are few, and few products ask for them."""
        found: dict[str, list[Waiver]] = {}
        for waiver in self._catalog.waivers(self._environment):
            found.setdefault(waiver.version, []).append(waiver)
        return found

    def _listed(self, source: str) -> Mapping[str, str] | None:
        files = self._catalog.listed.get(source)
        if files is None:
            rows = self._rows("select files from listings where digest = ?", [source])
            with decoded(self._catalog.name):
                files = files_of(rows[0][0]) if rows else None
        return None if files is None else {file.path: file.digest for file in files}
