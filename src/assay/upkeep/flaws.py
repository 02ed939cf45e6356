"""Contradictions between the facts of a catalog: their kinds, and how each is found."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from assay.catalog.rows import PART, VERDICT, VERSION, ids_of, part_of, verdict_of, version_of
from assay.facts import Part, Verdict, Version, worst_status
from assay.model import QUARANTINE
from assay.plan.digests import digest, key_digest

Query = Callable[[str], Sequence[Any]]  # returns the rows of an SQL query
T = TypeVar("T")


class FlawKind(StrEnum):
    """A kind of contradiction: its message, with places for what differs from one to the next."""

    POINTS_TO_UNRECORDED = "readers of {environment} are sent to {version}, which is not recorded"
    POINTS_TO_NO_RELEASE = (
        "its pointer in {environment} says release #{detail}, which is not recorded"
    )
    POINTS_TO_OTHER_PRODUCT = "readers of {environment} are sent to {version}, which is of {detail}"
    PUBLISHED_UNCHECKED = (
        "readers of {environment} see {version}, and no verdict says that it is good"
    )
    PUBLISHED_UNRELEASED = (
        "readers of {environment} see {version}, and no release moved them there"
        " (the last went to {detail})"
    )
    RELEASED_WITHOUT_POINTER = (
        "it was released in {environment}, and readers there are sent nowhere"
    )
    MOVED_BY_UNRECORDED = "release #{detail} is not recorded, and moved it"
    MOVED_TO_UNRECORDED = "release #{detail} moved it to {version}, which is not recorded"
    CHECKED_UNRECORDED = "there is a verdict on {version}, which is not recorded"
    OUTSIDE_STORE = "part {detail} is said to be in a file outside the store"
    FILE_DIFFERS = "parts of it say different things of one file, {detail}"
    PARTS_UNREADABLE = "the parts of {version} cannot be read: {detail}"
    PARTS_UNRECORDED = "{detail} parts of {version} are not recorded"
    NO_PARTS = "{version} has no parts"
    PARTS_OF_OTHERS = "{version} has parts of {detail}"
    ROW_UNREADABLE = "{detail}"
    ROWS_DIFFER = "{version} says that it has {detail}"
    CONTENT_DIFFERS = "the content digest of {version} is not that of its parts"
    KEY_DIFFERS = "the key of {version} is not that of its code and inputs"
    VERDICT_DIFFERS = "the verdict on {version} says {detail}"


# Each query returns the product, version and environment that a flaw is about, and its detail.
_QUERIES = {
    FlawKind.POINTS_TO_UNRECORDED: """
        select product, version, environment, '' from pointers
        where version not in (select id from versions)""",
    FlawKind.POINTS_TO_NO_RELEASE: """
        select p.product, p.version, p.environment, p.release from pointers p
        left join releases r on r.id = p.release and r.environment = p.environment
        where r.id is null""",
    FlawKind.POINTS_TO_OTHER_PRODUCT: """
        select p.product, p.version, p.environment, v.product from pointers p
        join versions v on v.id = p.version where v.product <> p.product""",
    FlawKind.PUBLISHED_UNCHECKED: """
        select p.product, p.version, p.environment, '' from pointers p
        join versions v on v.id = p.version
        where not exists
          (select 1 from verdicts d
           where d.version = p.version and d.status in ('passed', 'warning'))""",
    FlawKind.PUBLISHED_UNRELEASED: """
        select p.product, p.version, p.environment, substr(coalesce(m.version, 'nothing'), 1, 7)
        from pointers p
        left join moves m on m.product = p.product and m.release = (
          select max(n.release) from moves n join releases r on r.id = n.release
          where r.environment = p.environment and n.product = p.product)
        where m.release is null or m.release <> p.release or m.version <> p.version""",
    FlawKind.RELEASED_WITHOUT_POINTER: """
        select distinct m.product, '', r.environment, ''
        from moves m join releases r on r.id = m.release
        where not exists (
          select 1 from pointers p where p.product = m.product and p.environment = r.environment)
        and m.version <> '' and m.release = (
          select max(n.release) from moves n join releases q on q.id = n.release
          where q.environment = r.environment and n.product = m.product)""",
    FlawKind.MOVED_BY_UNRECORDED: """
        select product, version, '', release from moves
        where release not in (select id from releases)""",
    FlawKind.MOVED_TO_UNRECORDED: """
        select product, version, '', release from moves
        where version <> '' and version not in (select id from versions)""",
    FlawKind.CHECKED_UNRECORDED: """
        select distinct '', version, '', '' from verdicts
        where version not in (select id from versions)""",
    FlawKind.OUTSIDE_STORE: """
        select product, '', '', id from parts
        where path = '' or path like '/%' or path like '../%' or path like '%/../%'
        or path like '%/..'""",
    FlawKind.FILE_DIFFERS: """
        select min(product), '', '', path from parts group by path
        having min(bytes) <> max(bytes) or min(checksum) <> max(checksum)""",
}


class Flaw(Struct, frozen=True, kw_only=True):
    """A contradiction, with the product, version and environment that it is about, if any."""

    kind: FlawKind
    product: str = ""
    version: str = ""
    environment: str = ""
    detail: object = ""

    @property
    def message(self) -> str:
        """The message that users read."""
        return self.kind.format(
            environment=self.environment, version=self.version[:7], detail=self.detail
        )


def flaws_of(
    query: Query, versions: Mapping[str, tuple[str, str]], owners: Mapping[int, str]
) -> Iterator[Flaw]:
    """Yield the contradictions in a catalog.

    `versions` are product and parts (as ranges) by id, `owners` the product of each part by id.
    """
    for kind, sql in _QUERIES.items():
        for product, version, environment, detail in query(sql):
            yield Flaw(
                kind=kind,
                product=product,
                version=version,
                environment=environment,
                detail=detail,
            )
    for id, (product, ranges) in versions.items():
        if flaw := _parts_flaw(id, product, ranges, owners):
            yield flaw
    parts: dict[int, Part] = {}
    yield from _unreadable_parts(query, parts)
    yield from _set_aside(query, parts)
    yield from _wrong_versions(query, parts)
    yield from _wrong_verdicts(query)
    for row in _read(query, "releases", "id, at", "release", _moment_of):
        if isinstance(row, Flaw):
            yield row


def part_ids(ranges: str) -> set[int]:
    """Return the ids of the parts of a version; none if they cannot be read."""
    try:
        return set(ids_of(ranges))
    except ValueError:
        return set()


def _parts_flaw(id: str, product: str, ranges: str, owners: Mapping[int, str]) -> Flaw | None:
    """Return the flaw of a version whose parts are not recorded, or are another product's."""
    try:
        ids = ids_of(ranges)
    except ValueError:
        detail, kind = repr(ranges[:40]), FlawKind.PARTS_UNREADABLE
        return Flaw(kind=kind, product=product, version=id, detail=detail)
    if not ids:
        return Flaw(kind=FlawKind.NO_PARTS, product=product, version=id)
    missing = [number for number in ids if number not in owners]
    if missing:
        detail, kind = f"{len(missing)} of the {len(ids)}", FlawKind.PARTS_UNRECORDED
        return Flaw(kind=kind, product=product, version=id, detail=detail)
    strangers = {owners[number] for number in ids} - {product}
    if strangers:
        detail, kind = ", ".join(sorted(strangers)), FlawKind.PARTS_OF_OTHERS
        return Flaw(kind=kind, product=product, version=id, detail=detail)
    return None


def _read(
    query: Query, table: str, columns: str, noun: str, decode: Callable[[Sequence[Any]], T]
) -> Iterator[T | Flaw]:
    """Yield each row of a table decoded; a Flaw for one that cannot be, such as broken JSON."""
    for row in query(f"select {columns} from {table}"):
        try:
            yield decode(row)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            detail = f"{noun} {str(row[0])[:7]} cannot be read: {error}"
            yield Flaw(kind=FlawKind.ROW_UNREADABLE, detail=detail)


def _unreadable_parts(query: Query, parts: dict[int, Part]) -> Iterator[Flaw]:
    """Yield the parts that cannot be read; collect all others in `parts`, by id."""
    for part in _read(query, "parts", PART, "part", part_of):
        if isinstance(part, Flaw):
            yield part
        else:
            parts[part.id] = part


def _set_aside(query: Query, parts: dict[int, Part]) -> Iterator[Flaw]:
    """Give parts the rows that were set aside of them; yield those of which they are not recorded."""
    for id, aside in query("select id, aside from parts where aside is not null"):
        if aside in parts and id in parts:
            parts[id] = replace(parts[id], aside=parts[aside])
        elif id in parts:
            detail = f"the rows that were set aside of part {id} are not recorded"
            yield Flaw(kind=FlawKind.ROW_UNREADABLE, detail=detail)


def _wrong_versions(query: Query, parts: Mapping[int, Part]) -> Iterator[Flaw]:
    """Yield the versions that cannot be read, or that contradict their parts or their key."""
    for row in _read(query, "versions", VERSION, "version", _version_and_ranges):
        if isinstance(row, Flaw):
            yield row
            continue
        version, ranges = row
        ids = part_ids(ranges)
        if ids <= parts.keys():
            yield from _wrong_version(version, [parts[id] for id in sorted(ids)])


def _wrong_version(version: Version, parts: Sequence[Part]) -> Iterator[Flaw]:
    product, id = version.product, version.id
    passing = [part for part in parts if part.built_from or part.key != QUARANTINE]
    rows = sum(part.rows for part in passing)
    if version.rows != rows:
        detail = f"{version.rows:,} rows, and its parts have {rows:,}"
        yield Flaw(kind=FlawKind.ROWS_DIFFER, product=product, version=id, detail=detail)
    if version.key.held:
        return
    if version.digest != _content_digest(version, parts):
        yield Flaw(kind=FlawKind.CONTENT_DIFFERS, product=product, version=id)
    if version.key.digest != key_digest(version.key.code, version.key.inputs):
        yield Flaw(kind=FlawKind.KEY_DIFFERS, product=product, version=id)


def _content_digest(version: Version, parts: Sequence[Part]) -> str:
    """Return the content digest that follows from a version's parts; its own if none does."""
    if len(parts) > 1 and parts[0].built_from:
        return digest([part.content for part in sorted(parts, key=lambda p: p.key)])
    if len(parts) == 1 and not parts[0].built_from:
        return parts[0].digest
    return version.digest


def _wrong_verdicts(query: Query) -> Iterator[Flaw]:
    """Yield the verdicts that cannot be read, or whose status contradicts their results."""
    for verdict in _read(query, "verdicts", VERDICT, "the verdict on", verdict_of):
        if isinstance(verdict, Flaw):
            yield verdict
        elif verdict.status is not worst_status(verdict.results):
            yield _wrong_status(verdict)


def _wrong_status(verdict: Verdict) -> Flaw:
    detail = f"{verdict.status}, and its results {worst_status(verdict.results)}"
    return Flaw(kind=FlawKind.VERDICT_DIFFERS, version=verdict.version, detail=detail)


def _version_and_ranges(row: Sequence[Any]) -> tuple[Version, str]:
    return version_of([*row[:-1], ""], {}), row[-1]


def _moment_of(row: Sequence[Any]) -> datetime:
    return datetime.fromisoformat(row[1])
