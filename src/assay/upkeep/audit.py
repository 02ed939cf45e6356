"""What a catalog names, and where its facts contradict each other: what `verify` asks of it, in standard SQL."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from assay.catalog.catalog import Catalog
from assay.catalog.rows import (
    PART,
    VERDICT,
    VERSION,
    decoded,
    ids_of,
    part_of,
    verdict_of,
    version_of,
)
from assay.facts import Part, Version
from assay.model import QUARANTINE
from assay.plan.digests import digest, digest_of
from assay.plan.verdicts import outcome

Ask = Callable[[str], Sequence[Any]]
T = TypeVar("T")

# Product, version and environment that are concerned, and what else is to be said.
_FLAWS = {
    "readers of {env} are sent to {version}, which is not recorded": """
        select product, version, environment, '' from pointers where version not in (select id from versions)""",
    "its pointer in {env} says release #{more}, which is not recorded": """
        select p.product, p.version, p.environment, p.release from pointers p
        left join releases r on r.id = p.release and r.environment = p.environment where r.id is null""",
    "readers of {env} are sent to {version}, which is of {more}": """
        select p.product, p.version, p.environment, v.product from pointers p
        join versions v on v.id = p.version where v.product <> p.product""",
    "readers of {env} see {version}, and no verdict says that it is good": """
        select p.product, p.version, p.environment, '' from pointers p join versions v on v.id = p.version
        where not exists
          (select 1 from verdicts d where d.version = p.version and d.status in ('passed', 'warning'))""",
    "readers of {env} see {version}, and no release moved them there (the last went to {more})": """
        select p.product, p.version, p.environment, coalesce(m.version, 'nothing') from pointers p
        left join moves m on m.product = p.product and m.release = (
          select max(n.release) from moves n join releases r on r.id = n.release
          where r.environment = p.environment and n.product = p.product)
        where m.release is null or m.release <> p.release or m.version <> p.version""",
    "it was released in {env}, and readers there are sent nowhere": """
        select distinct m.product, '', r.environment, '' from moves m join releases r on r.id = m.release
        where not exists (select 1 from pointers p where p.product = m.product and p.environment = r.environment)
        and m.version <> '' and m.release = (
          select max(n.release) from moves n join releases q on q.id = n.release
          where q.environment = r.environment and n.product = m.product)""",
    "release #{more} is not recorded, and moved it": """
        select product, version, '', release from moves where release not in (select id from releases)""",
    "release #{more} moved it to {version}, which is not recorded": """
        select product, version, '', release from moves
        where version <> '' and version not in (select id from versions)""",
    "there is a verdict on {version}, which is not recorded": """
        select distinct '', version, '', '' from verdicts where version not in (select id from versions)""",
    "part {more} is said to be in a file outside the store": """
        select product, '', '', id from parts
        where path = '' or path like '/%' or path like '../%' or path like '%/../%' or path like '%/..'""",
    "parts of it say different things of one file, {more}": """
        select min(product), '', '', path from parts group by path
        having min(bytes) <> max(bytes) or min(checksum) <> max(checksum)""",
}


class Kept(Struct, frozen=True, kw_only=True):
    """A file that the catalog names, and the parts that are in it, by id."""

    path: str
    product: str
    bytes: int
    checksum: str
    modified: int
    parts: frozenset[int]
    rows: int
    columns: str  # JSON, as recorded; '' for a file that is no table


class Flaw(Struct, frozen=True, kw_only=True):
    """A contradiction: the product and the version that it is about, where there are any."""

    says: str
    product: str = ""
    version: str = ""
    environment: str = ""


class Audit(Struct, frozen=True, kw_only=True):
    """What a catalog names at one moment.

    `files` by path; `versions` are product and parts (as ranges) by id, `seen` the environments whose readers see one.
    `busy` are the paths that living runs may write, `replaced` the files that `gc` will remove.
    """

    files: Mapping[str, Kept]
    versions: Mapping[str, tuple[str, str]]
    seen: Mapping[str, tuple[str, ...]]
    busy: frozenset[str]
    replaced: frozenset[str]
    flaws: tuple[Flaw, ...]

    def versions_of(self, parts: Collection[int]) -> list[tuple[str, str]]:
        """Return product and id of the versions that have one of these parts, those that readers see first."""
        found = [
            (product, id)
            for id, (product, ids) in self.versions.items()
            if not _ids(ids).isdisjoint(parts)
        ]
        return sorted(found, key=lambda version: version[1] not in self.seen)


def audit_of(catalog: Catalog) -> Audit:
    """Return all that a catalog names, as of one moment."""
    with decoded(catalog.name):
        return catalog.database.read(lambda reader: _audited(reader.rows))


def _audited(reader: Ask) -> Audit:
    """Ask for all that a catalog names; the caller keeps it still meanwhile."""

    def ask(sql: str) -> list[Any]:
        return [_texts(row) for row in reader(sql)]

    versions = {
        id: (product, ids)
        for id, product, ids in ask("select id, product, parts from versions order by seq")
    }
    seen: dict[str, list[str]] = {}
    for version, environment in ask(
        "select version, environment from pointers order by environment"
    ):
        seen.setdefault(version, []).append(environment)
    files, owners = _named(ask, versions)
    return Audit(
        files=files,
        versions=versions,
        seen={version: tuple(found) for version, found in seen.items()},
        busy=frozenset(path for (path,) in ask("select path from intents")),
        replaced=frozenset(path for (path,) in ask("select path from replaced")),
        flaws=(*_flaws(ask), *_partless(versions, owners), *_contradicting(ask)),
    )


def _named(
    ask: Ask, versions: Mapping[str, tuple[str, str]]
) -> tuple[dict[str, Kept], dict[int, str]]:
    """Return the files that parts are in, by path, and the product of each part, by id."""
    of_version = dict(ask("select id, columns from versions"))
    columns = {part: of_version[id] for id, (_, ids) in versions.items() for part in _ids(ids)}
    files: dict[str, Kept] = {}
    owners: dict[int, str] = {}
    parts: dict[str, set[int]] = {}
    for id, product, path, size, checksum, modified, rows, of, key, built_from in ask(
        'select id, product, path, bytes, checksum, modified, rows, "of", key, made_of from parts order by id'
    ):
        owners[id] = product
        if not all(type(number) is int for number in (size, modified, rows, of or 0)):
            continue  # it is told as a row that cannot be read
        parts.setdefault(path, set()).add(id)
        files[path] = files.get(path) or Kept(
            path=path,
            product=product,
            bytes=size,
            checksum=checksum,
            modified=modified,
            parts=frozenset(),
            rows=rows if of is None else of,
            # Rows that were set aside have a column more, which says why.
            columns="" if key == QUARANTINE and not built_from else columns.get(id, ""),
        )
    return {
        path: replace(kept, parts=frozenset(parts[path])) for path, kept in files.items()
    }, owners


def _flaws(ask: Ask) -> Iterator[Flaw]:
    for says, query in _FLAWS.items():
        for product, version, environment, more in ask(query):
            told = says.format(
                env=environment,
                version=version[:7],
                more=str(more)[:7] if "went to" in says else more,
            )
            yield Flaw(says=told, product=product, version=version, environment=environment)


def _partless(versions: Mapping[str, tuple[str, str]], owners: Mapping[int, str]) -> Iterator[Flaw]:
    """Yield the versions whose parts are not recorded, or are another product's."""
    for id, (product, text) in versions.items():
        try:
            ids = ids_of(text)
        except ValueError:
            yield Flaw(
                says=f"the parts of {id[:7]} cannot be read: {text[:40]!r}",
                product=product,
                version=id,
            )
            continue
        lost = [number for number in ids if number not in owners]
        if lost or not ids:
            what = (
                f"{len(lost)} of the {len(ids)} parts of {id[:7]} are not recorded"
                if ids
                else f"{id[:7]} has no parts"
            )
            yield Flaw(says=what, product=product, version=id)
        elif strange := {owners[number] for number in ids} - {product}:
            told = f"{id[:7]} has parts of {', '.join(sorted(strange))}"
            yield Flaw(says=told, product=product, version=id)


def _read(
    ask: Ask, table: str, columns: str, what: str, reading: Callable[[Sequence[Any]], T]
) -> Iterator[tuple[T | None, str]]:
    """Yield what each row of a table says; None, with what is wrong, where it does not say what it should."""
    for row in ask(f"select {columns} from {table}"):
        try:
            yield reading(row), ""
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            yield None, f"{what} {str(row[0])[:7]} cannot be read: {error}"


def _contradicting(ask: Ask) -> Iterator[Flaw]:
    """Yield the facts that cannot be read (a time that is none, JSON that is not whole), or contradict their parts."""
    parts: dict[int, Part] = {}
    for part, wrong in _read(ask, "parts", PART, "part", part_of):
        if part is None:
            yield Flaw(says=wrong)
        else:
            parts[part.id] = part
    for row, wrong in _read(
        ask, "versions", VERSION, "version", lambda row: (version_of([*row[:-1], ""], {}), row[-1])
    ):
        if row is None:
            yield Flaw(says=wrong)
            continue
        version, ids = row
        of = [parts[id] for id in sorted(_ids(ids)) if id in parts]
        for says in _against_parts(version, of) if len(of) == len(_ids(ids)) else ():
            yield Flaw(says=says, product=version.product, version=version.id)
    for verdict, wrong in _read(ask, "verdicts", VERDICT, "the verdict on", verdict_of):
        if verdict is None:
            yield Flaw(says=wrong)
        elif verdict.status is not outcome(verdict.results):
            come_to = outcome(verdict.results)
            says = f"the verdict on {verdict.version[:7]} says {verdict.status}, and its results {come_to}"
            yield Flaw(says=says, version=verdict.version)
    for _, wrong in _read(
        ask, "releases", "id, at", "release", lambda row: datetime.fromisoformat(row[1])
    ):
        if wrong:
            yield Flaw(says=wrong)


def _against_parts(version: Version, parts: Sequence[Part]) -> Iterator[str]:
    """Yield what a version says of itself that its parts, or its own key, contradict."""
    kept = [part for part in parts if part.built_from or part.key != QUARANTINE]
    rows = sum(part.rows for part in kept)
    if version.rows != rows:
        yield f"{version.id[:7]} says that it has {version.rows:,} rows, and its parts have {rows:,}"
    if len(parts) > 1 and parts[0].built_from:
        content = digest(
            [[part.key, part.digest] for part in sorted(parts, key=lambda part: part.key)]
        )
    else:
        content = parts[0].digest if len(parts) == 1 and not parts[0].built_from else version.digest
    if version.digest != content and not version.key.held:
        yield f"the content digest of {version.id[:7]} is not that of its parts"
    if not version.key.held and version.key.digest != digest_of(
        version.key.code, version.key.inputs
    ):
        yield f"the key of {version.id[:7]} is not that of its code and inputs"


def _texts(row: Sequence[Any]) -> list[Any]:
    """Return a row with text where a damaged one has bytes."""
    return [value.decode(errors="replace") if isinstance(value, bytes) else value for value in row]


def _ids(text: str) -> set[int]:
    try:
        return set(ids_of(text))
    except ValueError:
        return set()
