"""Facts for deciding, from the catalog: what readers see is read at once, all else when asked for."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from assay.catalog.protocol import Holds
from assay.catalog.recording import rows_of
from assay.catalog.rows import PLACE_KINDS, SEEN_KINDS, checked, decoded, ids_of, texts_of
from assay.errors import CatalogError
from assay.later import later
from assay.model import Key, Part, Pointer, Status, Verdict, Version

if TYPE_CHECKING:
    from assay.catalog.catalog import Catalog


# What is known of a part at once: all that finding and reading it takes, so that any thread can.
_SEEN_ALL = (*SEEN_KINDS, *PLACE_KINDS)
_WHERE = ("id", "key", "made_of", "digest", "path", "start", "of", "rows", "bytes", "checksum", "modified")
# What deciding asks of the versions that readers see; of one in a single part, the part too.
_SEEN = """
    select v.id, v.product, v.key, v.digest, v.data_as_of, v.held, v.parts,
      p.id, p.key, p.made_of, p.digest, p.path, p.start, p."of", p.rows, p.bytes, p.checksum, p.modified
    from pointers x join versions v on v.id = x.version
    left join parts p on p.id = case when v.parts = '' or v.parts like '%-%' or v.parts like '%,%' then null
      else cast(v.parts as bigint) end
    where x.environment = ?
"""


class RecordedFacts:
    """What is recorded, as one environment sees it: what readers see is read at once, all else when asked for."""

    def __init__(self, catalog: "Catalog", environment: str, holds: Holds) -> None:
        self._catalog, self._environment, self._look = catalog, environment, holds
        self._rows = catalog.database.rows
        self._whole: dict[str, bool] = {}
        self._files: dict[tuple[str, int, int, str], bool] = {}
        self._made: dict[tuple[str, str], Part | None] = {}
        self._shared: dict[int, Part] = {}
        self._other = cache(lambda id: catalog.version(id, self._shared))
        self._of_key = cache(self._recorded)
        self._known = cache(self._has_any)

    @cached_property
    def _pointers(self) -> Mapping[str, Pointer]:
        return self._catalog.pointers(self._environment)

    @cached_property
    def _current(self) -> Mapping[str, Version]:
        """The versions that readers see, by id: of each, what deciding asks for; the rest when something else does."""
        rows = self._rows(_SEEN, [self._environment])
        with decoded(self._catalog.name):
            self._shared |= self._catalog.parts(id for row in rows if row[7] is None for id in ids_of(row[6]))
            return {row[0]: self._seen(row) for row in rows}

    def _seen(self, row: Sequence[Any]) -> Version:
        id, product, key, digest, data_as_of, held, ids, *part = row
        if part[0] is None:
            checked(row[:7], SEEN_KINDS)
        else:
            checked(row, _SEEN_ALL)
        known = {
            "id": id,
            "product": product,
            "key": later(Key, lambda: self._other(id).key, {"digest": key, "held": texts_of(held)}),
            "digest": digest,
            "data_as_of": datetime.fromisoformat(data_as_of) if data_as_of else None,
            "parts": tuple(self._shared[number] for number in ids_of(ids))
            if part[0] is None
            else (later(Part, lambda: self._other(id).parts[0], dict(zip(_WHERE, part, strict=True))),),
        }
        return later(Version, lambda: self._other(id), known)

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
        asked = [made for made in made_of if (product, made) not in self._made]
        with decoded(self._catalog.name):
            ids = {id for (id,) in rows_of(self._catalog.database, query, asked, [product])}
            self._shared |= self._catalog.parts(ids - self._shared.keys())
            found = [self._shared[id] for id in sorted(ids)]
        self._made |= dict.fromkeys((product, made) for made in asked)
        self._made |= {(product, part.made_of): part for part in found if self._there(part)}
        return {made: part for made in made_of if (part := self._made[product, made])}

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
        return self._catalog.versions_where("where product = ? and key = ? order by seq desc", [product, key])

    def latest(self, product: str) -> Version | None:
        if not self._known(product):
            return None
        return next(iter(self._catalog.versions(product, limit=1)), None)

    def has_code(self, product: str, code: str) -> bool:
        query = "select 1 from versions where product = ? and code = ? limit 1"
        return self._known(product) and bool(self._rows(query, [product, code]))

    @cached_property
    def _passed(self) -> Mapping[tuple[str, str, str], str]:
        """How the versions that readers see came out, where they passed, by version, contract and against."""
        seen = "version in (select version from pointers where environment = ?)"
        query = (
            f"select version, contract, against, status from verdicts where {seen} and status in ('passed', 'warning')"
        )
        rows = self._rows(query, [self._environment])
        return {(version, contract, against): status for version, contract, against, status in rows}

    def verdict(self, version: str, contract: str, against: str) -> Verdict | None:
        if status := self._passed.get((version, contract, against)):
            known = {"version": version, "contract": contract, "against": against, "status": Status(status)}
            return later(Verdict, lambda: self._verdict(version, contract, against) or _gone(version), known)
        return self._verdict(version, contract, against)

    def _verdict(self, version: str, contract: str, against: str) -> Verdict | None:
        where = "where version = ? and contract = ? and against = ?"
        return next(iter(self._catalog.verdicts_where(where, [version, contract, against])), None)

    def failed(self, version: str, contract: str) -> Verdict | None:
        where = "where version = ? and contract = ? and status in ('failed', 'error') order by judged_at desc limit 1"
        return next(iter(self._catalog.verdicts_where(where, [version, contract])), None)

    def restated(self, version: str, against: str) -> str:
        rows = self._rows(
            "select restated from verdicts where version = ? and against = ? and restated <> ''"
            " order by judged_at desc limit 1",
            [version, against],
        )
        return str(rows[0][0]) if rows else ""

    def files(self, source: str) -> Mapping[str, str] | None:
        rows = self._rows("select files from listings where digest = ?", [source])
        with decoded(self._catalog.name):
            return texts_of(rows[0][0]) if rows else None


def _gone(version: str) -> NoReturn:
    raise CatalogError(f"the verdict on {version} is gone", hint="Has somebody put back a copy of the catalog?")
