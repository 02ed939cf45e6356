"""How values are written in the catalog's rows, and read back."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from msgspec import MsgspecError, Struct, convert
from msgspec.json import Decoder, decode
from msgspec.structs import asdict

from assay.catalog.address import put_back
from assay.errors import CatalogDamaged
from assay.facts import Key, Part, Pointer, RuleResult, SourceFile, Status, Verdict, Version
from assay.model import Code, Column
from assay.plan.digests import non_defaults
from assay.plan.waivers import Waiver

# JSON of Python's own: what rules measured may be a whole number of over 64 bits. Made once: that
# is slow.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_MOST_PARTS = 10_000_000  # of one version: a range of more is damage, and would fill the memory


class _Row(Struct, array_like=True, gc=False):
    """The values of a row, in order, each of its type: SQLite may have been told something else."""


class _VersionRow(_Row):
    id: str
    product: str
    key: str
    code: str
    code_parts: str
    inputs: str
    digest: str
    columns: str
    rows: int
    bytes: int
    built_at: str
    seconds: float
    data_as_of: str | None
    run: str
    rows_in: int | None
    held: str
    parts: str


class _PartRow(_Row):
    id: int
    key: str
    made_of: str
    inputs: str
    digest: str
    columns: str
    rows: int
    seconds: float
    data_as_of: str | None
    path: str
    start: int
    of: int | None
    bytes: int
    checksum: str
    modified: int


class _VerdictRow(_Row):
    version: str
    contract: str
    against: str
    status: str
    results: str
    judged_at: str
    run: str
    restated: str
    failed_parts: str


class _WaiverRow(_Row):
    environment: str
    version: str
    rule: str
    at: str
    product: str
    parts: str
    because: str
    who: str


def _listed(kind: type[_Row]) -> str:
    """Return the columns of a row for a query."""
    return ", ".join('"of"' if name == "of" else name for name in kind.__struct_fields__)


VERSION, PART, VERDICT = _listed(_VersionRow), _listed(_PartRow), _listed(_VerdictRow)
WAIVER = _listed(_WaiverRow)
_texts_of, _judged = Decoder(dict[str, str]), Decoder(dict[str, dict[str, Any]])
_files_of = Decoder(tuple[SourceFile, ...])


# ------------------------------------------------------------------------------ to rows


def version_row(v: Version) -> list[Any]:
    """Return the values of VERSION."""
    code, inputs, held = (
        to_json(dict(v.key.code.reached)),
        to_json(dict(v.key.inputs)),
        to_json(dict(v.key.held)),
    )
    return [
        v.id,
        v.product,
        v.key.digest,
        v.key.code.digest,
        code,
        inputs,
        v.digest,
        _columns(v.columns),
        v.rows,
        v.bytes,
        stamp(v.built_at),
        v.seconds,
        _moment(v.data_as_of),
        v.run,
        v.rows_in,
        held,
        ranges([p.id for p in v.parts]),
    ]


def part_row(part: Part) -> list[Any]:
    """Return the values of PART but the id."""
    return [
        part.key,
        part.built_from,
        to_json(dict(part.inputs)),
        part.digest,
        _columns(part.columns),
        part.rows,
        part.seconds,
        _moment(part.data_as_of),
        part.path,
        part.start,
        part.of,
        part.bytes,
        part.checksum,
        part.modified,
    ]


def verdict_row(v: Verdict) -> list[Any]:
    """Return the values of VERDICT."""
    results = to_json([_changed(result) for result in v.results])
    return [
        v.version,
        v.contract,
        v.against,
        v.status,
        results,
        stamp(v.judged_at),
        v.run,
        v.restated,
        to_json(v.failed_parts),
    ]


def waiver_row(w: Waiver) -> list[Any]:
    """Return the values of WAIVER."""
    return [
        w.environment,
        w.version,
        w.rule,
        stamp(w.at),
        w.product,
        to_json(dict(w.row_digests)),
        w.because,
        w.who,
    ]


def _changed(result: RuleResult) -> dict[str, Any]:
    """Return the fields of a result that differ from their defaults, under the names that are recorded."""
    fields = non_defaults(result)
    if counts := fields.pop("part_counts", None):
        fields["parts"] = [asdict(count) for count in counts]
    return fields


def _columns(columns: Iterable[Column]) -> str:
    return to_json([[c.name, c.type, *([c.logical] if c.logical else [])] for c in columns])


def _moment(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def to_json(value: Any) -> str:
    """Return canonical JSON."""
    return _encode(value)


def stamp(at: datetime) -> str:
    """Return a moment as it is kept: ISO 8601 in UTC."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def ranges(ids: Sequence[int]) -> str:
    """Return ids as ranges, in order: 1, 2, 3, 7 is '1-3,7', and 7, 10, 13 (products built by turns) is '7-13/3'."""
    found, at = [], 0
    while at < len(ids):
        first, end = ids[at], at + 1
        step = ids[end] - first if end < len(ids) else 0
        while end < len(ids) and ids[end] - ids[end - 1] == step > 0:
            end += 1
        if end - at == 2 and step > 1:
            end = at + 1  # two are no range: the second may begin one
        found.append(
            str(first)
            if end == at + 1
            else f"{first}-{ids[end - 1]}" + (f"/{step}" if step > 1 else "")
        )
        at = end
    return ",".join(found)


def ids_of(text: str) -> list[int]:
    """Return the ids behind ranges; ValueError for a text that is none."""
    found: list[int] = []
    for told in text.split(",") if text else ():
        bounds, _, step = told.partition("/")
        low, _, high = bounds.partition("-")
        first, last, every = int(low), int(high or low), int(step or 1)
        if not 0 < first <= last < first + _MOST_PARTS * every or every < 1:
            raise ValueError(f"{told!r} is no range of parts")
        found += range(first, last + 1, every)
    return found


# ------------------------------------------------------------------------------ from rows


@contextmanager
def decoded(catalog: str) -> Iterator[None]:
    """Say that a catalog is damaged when what is in it is nothing that was written so."""
    try:
        yield
    except (
        MsgspecError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        ArithmeticError,
        RecursionError,
    ) as error:
        told = f"{error!r}"[:200]  # it may quote what is in the catalog, all of it
        raise CatalogDamaged(
            f"the catalog {catalog} is damaged: {told}", hint=put_back(catalog)
        ) from error


def texts_of(text: str) -> dict[str, str]:
    """Return a mapping of names to texts (digests, mostly) from JSON; ValidationError for other JSON."""
    return _texts_of.decode(text)


def files_of(text: str) -> tuple[SourceFile, ...]:
    """Return the files of a source that were listed; ValidationError for other JSON."""
    return _files_of.decode(text)


def version_of(row: Sequence[Any], parts: Mapping[int, Part]) -> Version:
    """Return the version behind a row of VERSION; `parts` holds those it names."""
    told = convert(row, _VersionRow)
    return Version(
        id=told.id,
        product=told.product,
        key=Key(
            digest=told.key,
            code=Code(digest=told.code, reached=texts_of(told.code_parts)),
            inputs=texts_of(told.inputs),
            held=texts_of(told.held),
        ),
        digest=told.digest,
        columns=columns_of(told.columns),
        rows=told.rows,
        bytes=told.bytes,
        built_at=datetime.fromisoformat(told.built_at),
        seconds=told.seconds,
        run=told.run,
        parts=tuple([parts[number] for number in ids_of(told.parts)]),
        data_as_of=datetime.fromisoformat(told.data_as_of) if told.data_as_of else None,
        rows_in=told.rows_in,
    )


def part_of(row: Sequence[Any]) -> Part:
    """Return the part behind a row of PART."""
    told = convert(row, _PartRow)
    return Part(
        id=told.id,
        key=told.key,
        built_from=told.made_of,
        inputs=texts_of(told.inputs),
        digest=told.digest,
        columns=columns_of(told.columns),
        rows=told.rows,
        seconds=told.seconds,
        data_as_of=datetime.fromisoformat(told.data_as_of) if told.data_as_of else None,
        path=told.path,
        start=told.start,
        of=told.of,
        bytes=told.bytes,
        checksum=told.checksum,
        modified=told.modified,
    )


@lru_cache(maxsize=1000)
def columns_of(text: str) -> tuple[Column, ...]:
    found = decode(text, type=list[list[str]])
    return tuple(Column(name=name, type=type, logical="".join(more)) for name, type, *more in found)


def verdict_of(row: Sequence[Any]) -> Verdict:
    """Return the verdict behind a row of VERDICT."""
    told = convert(row, _VerdictRow)
    return Verdict(
        version=told.version,
        contract=told.contract,
        against=told.against,
        status=Status(told.status),
        results=convert(json.loads(told.results), tuple[RuleResult, ...]),
        judged_at=datetime.fromisoformat(told.judged_at),
        run=told.run,
        restated=told.restated,
        failed_parts=decode(told.failed_parts, type=tuple[str, ...]),
    )


def waiver_of(row: Sequence[Any]) -> Waiver:
    """Return the waiver behind a row of WAIVER."""
    told = convert(row, _WaiverRow)
    return Waiver(
        environment=told.environment,
        product=told.product,
        version=told.version,
        rule=told.rule,
        row_digests=_texts_of.decode(told.parts),
        because=told.because,
        who=told.who,
        at=datetime.fromisoformat(told.at),
    )


def check_product(catalog: str, pointer: Pointer, version: Version) -> None:
    """Raise CatalogDamaged when readers of a product are sent to a version of another."""
    if version.product != pointer.product:
        wrong = (
            f"sends readers of {pointer.product} to {version.id[:7]}, which is of {version.product}"
        )
        raise CatalogDamaged(f"the catalog {catalog} {wrong}", hint=put_back(catalog))


class _Failing(Struct):
    failing: int
    samples: list[dict[str, Any]]


class _Between(Struct):
    low: int | str | None
    high: int | str | None
    nulls: int


def findings_of(text: str) -> dict[str, dict[str, Any]]:
    """Return what is remembered of a part, by rule or query; ValidationError for what could not be."""
    found = _judged.decode(text)
    for told in found.values():
        if "failing" in told:
            convert(told, _Failing)
        elif "nulls" in told:
            convert(told, _Between)
    return found
