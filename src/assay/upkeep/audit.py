"""What a catalog names at one moment: files and versions, and where its facts disagree."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from assay.catalog.catalog import Catalog
from assay.catalog.rows import decoded
from assay.model import QUARANTINE
from assay.upkeep.flaws import Flaw, Query, flaws_of, part_ids


class StoredFile(Struct, frozen=True, kw_only=True):
    """A file that the catalog names, and the ids of the parts that are in it.

    `modified` is in nanoseconds; `columns` are JSON as recorded, '' for a file that is no table.
    """

    path: str
    product: str
    bytes: int
    checksum: str
    modified: int
    parts: frozenset[int]
    rows: int
    columns: str


class Audit(Struct, frozen=True, kw_only=True):
    """What a catalog names at one moment.

    `files` are by path, `versions` product and parts (as ranges) by id. `readers` are the
    environments in which a version is published, by its id. `busy` are the paths that living runs
    may write, `replaced` the files that `gc` will remove.
    """

    files: Mapping[str, StoredFile]
    versions: Mapping[str, tuple[str, str]]
    readers: Mapping[str, tuple[str, ...]]
    busy: frozenset[str]
    replaced: frozenset[str]
    flaws: tuple[Flaw, ...]

    def versions_of(self, parts: Collection[int]) -> list[tuple[str, str]]:
        """Return product and id of versions with one of these parts; published versions first."""
        versions = [
            (product, id)
            for id, (product, ranges) in self.versions.items()
            if not part_ids(ranges).isdisjoint(parts)
        ]
        return sorted(versions, key=lambda version: version[1] not in self.readers)


def audit_of(catalog: Catalog) -> Audit:
    """Return all that a catalog names, as of one moment."""
    with decoded(catalog.name):
        return catalog.database.read(lambda reader: _audit(reader.rows))


def _audit(query: Query) -> Audit:
    """Return all that a catalog names; the caller's transaction keeps it unchanged meanwhile."""

    def rows(sql: str) -> list[Any]:
        return [_as_text(row) for row in query(sql)]

    versions = {
        id: (product, ranges)
        for id, product, ranges in rows("select id, product, parts from versions order by seq")
    }
    readers: dict[str, list[str]] = {}
    pointers = rows("select version, environment from pointers order by environment")
    for version, environment in pointers:
        readers.setdefault(version, []).append(environment)
    files, owners = _files(rows, versions)
    return Audit(
        files=files,
        versions=versions,
        readers={version: tuple(environments) for version, environments in readers.items()},
        busy=frozenset(path for (path,) in rows("select path from intents")),
        replaced=frozenset(path for (path,) in rows("select path from replaced")),
        flaws=tuple(flaws_of(rows, versions, owners)),
    )


def _files(
    query: Query, versions: Mapping[str, tuple[str, str]]
) -> tuple[dict[str, StoredFile], dict[int, str]]:
    """Return the files that parts are in, by path, and the product of each part, by id."""
    of_version = dict(query("select id, columns from versions"))
    columns = {
        part: of_version[id] for id, (_, ranges) in versions.items() for part in part_ids(ranges)
    }
    files: dict[str, StoredFile] = {}
    owners: dict[int, str] = {}
    parts: dict[str, set[int]] = {}
    for id, product, path, size, checksum, modified, rows, of, key, built_from in query(
        'select id, product, path, bytes, checksum, modified, rows, "of", key, made_of'
        " from parts order by id"
    ):
        owners[id] = product
        if not all(type(number) is int for number in (size, modified, rows, of or 0)):
            continue  # it is reported as a row that cannot be read
        parts.setdefault(path, set()).add(id)
        # Rows in quarantine have one column more, the reason.
        quarantined = key == QUARANTINE and not built_from
        if path not in files:
            files[path] = StoredFile(
                path=path,
                product=product,
                bytes=size,
                checksum=checksum,
                modified=modified,
                parts=frozenset(),
                rows=rows if of is None else of,
                columns="" if quarantined else columns.get(id, ""),
            )
    with_parts = {path: replace(file, parts=frozenset(parts[path])) for path, file in files.items()}
    return with_parts, owners


def _as_text(row: Sequence[Any]) -> list[Any]:
    """Return a row with text where damage has left bytes."""
    return [value.decode(errors="replace") if isinstance(value, bytes) else value for value in row]
