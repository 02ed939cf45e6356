"""Encodes facts as rows of the catalog, and decodes them."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import MAXYEAR, MINYEAR, UTC, date, datetime
from functools import lru_cache
from typing import Any

from msgspec import MsgspecError, Struct, convert, field, to_builtins
from msgspec.json import Decoder, decode
from msgspec.structs import asdict

from assay.catalog.address import put_back
from assay.errors import CatalogDamaged
from assay.facts import Key, Part, Pointer, RuleResult, SourceFile, Status, Verdict, Version
from assay.model import Code, Column, Severity, Waiver
from assay.plan.digests import non_defaults
from assay.plan.restatements import RestatedRows

# The standard library's encoder: a rule may measure a whole number of over 64 bits, which msgspec
# refuses. Created once, because that is slow.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_MOST_PARTS = 10_000_000  # of one version: a longer range is damage, and would fill the memory


class _Row(Struct, array_like=True, gc=False):
    """The values of a row; their types are checked, because SQLite stores values of any type."""


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
    peak: int
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
    aside: int | None
    rows_in: int | None


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


class _RestatedRow(_Row):
    environment: str
    version: str
    rule: str
    at: str
    product: str
    parts: str
    because: str
    who: str
    approved_by: str


class _WaiverRow(_Row):
    id: str
    environment: str
    product: str
    rule: str
    until: str
    because: str
    author: str
    approved_by: str
    at: str
    tolerates: str
    withdrawn: str | None


class _Tolerated(Struct, omit_defaults=True):
    """What a waiver tolerates, as it is recorded."""

    parts: tuple[str, ...] = ()
    rows: dict[str, tuple[str, ...]] = field(default_factory=dict)
    most_rows: int | None = None
    most_measured: float | None = None
    rule: str = ""  # digest of the rule


def _listed(kind: type[_Row]) -> str:
    """Return the columns of a row for a query."""
    return ", ".join('"of"' if name == "of" else name for name in kind.__struct_fields__)


VERSION, PART, VERDICT = _listed(_VersionRow), _listed(_PartRow), _listed(_VerdictRow)
ASIDE = _PartRow.__struct_fields__.index("aside")  # the place of this value in PART
RESTATED, WAIVER = _listed(_RestatedRow), _listed(_WaiverRow)
_tolerated_of = Decoder(_Tolerated)
_texts_of = Decoder(dict[str, str])
_findings_of = Decoder(dict[str, dict[str, Any]])
_files_of = Decoder(tuple[SourceFile, ...])


# ------------------------------------------------------------------------------ to rows


def version_row(v: Version) -> list[Any]:
    """Return the values of VERSION."""
    return [
        v.id,
        v.product,
        v.key.digest,
        v.key.code.digest,
        to_json(dict(v.key.code.reached)),
        to_json(dict(v.key.inputs)),
        v.digest,
        _columns(v.columns),
        v.rows,
        v.bytes,
        stamp(v.built_at),
        v.seconds,
        _moment(v.data_as_of),
        v.run,
        v.rows_in,
        v.peak,
        to_json(dict(v.key.held)),
        ranges([p.id for p in v.parts]),
    ]


def part_row(part: Part) -> list[Any]:
    """Return the values of PART, without the id."""
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
        part.aside.id if part.aside else None,
        part.rows_in,
    ]


def verdict_row(v: Verdict) -> list[Any]:
    """Return the values of VERDICT."""
    return [
        v.version,
        v.contract,
        v.against,
        v.status,
        to_json([_changed(result) for result in v.results]),
        stamp(v.judged_at),
        v.run,
        v.restated,
        to_json(v.failed_parts),
    ]


def restated_row(w: RestatedRows) -> list[Any]:
    """Return the values of RESTATED."""
    return [
        w.environment,
        w.version,
        w.rule,
        stamp(w.at),
        w.product,
        to_json(dict(w.row_digests)),
        w.because,
        w.who,
        w.approved_by,
    ]


def waiver_row(w: Waiver) -> list[Any]:
    """Return the values of WAIVER, of one that was recorded at a moment."""
    assert w.at is not None
    tolerated = _Tolerated(
        parts=w.parts,
        rows=dict(w.rows),
        most_rows=w.most_rows,
        most_measured=w.most_measured,
        rule=w.rule_digest,
    )
    return [
        w.id,
        w.environment,
        w.product,
        w.rule,
        w.until.isoformat(),
        w.because,
        w.author,
        w.approved_by,
        stamp(w.at),
        to_json(to_builtins(tolerated)),
        stamp(w.withdrawn) if w.withdrawn else None,
    ]


def _changed(result: RuleResult) -> dict[str, Any]:
    """Return the fields of a result that differ from their defaults, by their recorded names."""
    fields = non_defaults(result)
    fields.pop("over", None)
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
    """Return a moment as it is recorded: ISO 8601 in UTC."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def moment_of(text: str) -> datetime:
    """Return a moment that `stamp` wrote; ValueError for another text, also one without a zone.

    In the first and last year of what can be expressed, nothing was run: there, one cannot compute.
    """
    moment = datetime.fromisoformat(text)
    if not MINYEAR < moment.year < MAXYEAR:
        raise ValueError(f"{text!r} is in no year in which anything was run")
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return moment


def moment_or_none(text: str | None) -> datetime | None:
    """Return a moment that `stamp` wrote, or None where nothing was recorded."""
    return moment_of(text) if text else None


def event_or_none(text: str | None) -> datetime | None:
    """Return a business time, with or without a zone, as in the data; None where none is recorded."""
    return datetime.fromisoformat(text) if text else None


def ranges(ids: Sequence[int]) -> str:
    """Return ids as ranges, in order: '1-3,7' for 1, 2, 3, 7.

    A range may have a step, for parts of products that were built by turns: '7-13/3' for 7, 10, 13.
    """
    texts, start = [], 0
    while start < len(ids):
        first, end = ids[start], start + 1
        step = ids[end] - first if end < len(ids) else 0
        while end < len(ids) and ids[end] - ids[end - 1] == step > 0:
            end += 1
        if end - start == 2 and step > 1:
            end = start + 1  # two ids are no range: the second may begin one
        if end == start + 1:
            texts.append(f"{first}")
        elif step == 1:
            texts.append(f"{first}-{ids[end - 1]}")
        else:
            texts.append(f"{first}-{ids[end - 1]}/{step}")
        start = end
    return ",".join(texts)


def ids_of(text: str) -> list[int]:
    """Return the ids in ranges; raise ValueError for another text."""
    ids: list[int] = []
    for span in text.split(",") if text else ():
        bounds, _, step = span.partition("/")
        low, _, high = bounds.partition("-")
        first, last, every = int(low), int(high or low), int(step or 1)
        if not 0 < first <= last < first + _MOST_PARTS * every or every < 1:
            raise ValueError(f"{span!r} is no range of parts")
        ids += range(first, last + 1, every)
    return ids


# ------------------------------------------------------------------------------ from rows


@contextmanager
def decoded(catalog: str) -> Iterator[None]:
    """Raise CatalogDamaged when a row or a value cannot be decoded in this context."""
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
        message = f"{error!r}"[:200]  # it may quote the whole value
        raise CatalogDamaged(
            f"the catalog {catalog} is damaged: {message}", hint=put_back(catalog)
        ) from error


def texts_of(text: str) -> dict[str, str]:
    """Return a mapping of names to texts, such as digests; ValidationError for other JSON."""
    return _texts_of.decode(text)


def files_of(text: str) -> tuple[SourceFile, ...]:
    """Return the files of a source that were listed; ValidationError for other JSON."""
    return _files_of.decode(text)


def version_of(row: Sequence[Any], parts: Mapping[int, Part]) -> Version:
    """Return the version in a row of VERSION; `parts` holds its parts, by id."""
    fields = convert(row, _VersionRow)
    return Version(
        id=fields.id,
        product=fields.product,
        key=Key(
            digest=fields.key,
            code=Code(digest=fields.code, reached=texts_of(fields.code_parts)),
            inputs=texts_of(fields.inputs),
            held=texts_of(fields.held),
        ),
        digest=fields.digest,
        columns=columns_of(fields.columns),
        rows=fields.rows,
        bytes=fields.bytes,
        built_at=moment_of(fields.built_at),
        seconds=fields.seconds,
        run=fields.run,
        parts=tuple([parts[number] for number in ids_of(fields.parts)]),
        data_as_of=event_or_none(fields.data_as_of),
        rows_in=fields.rows_in,
        peak=fields.peak,
    )


def part_of(row: Sequence[Any], asides: Mapping[int, Part] | None = None) -> Part:
    """Return the part in a row of PART; `asides` are the parts of rows set aside, by id.

    Without them, it has no `aside`.
    """
    fields = convert(row, _PartRow)
    return Part(
        id=fields.id,
        key=fields.key,
        built_from=fields.made_of,
        inputs=texts_of(fields.inputs),
        digest=fields.digest,
        columns=columns_of(fields.columns),
        rows=fields.rows,
        seconds=fields.seconds,
        data_as_of=event_or_none(fields.data_as_of),
        path=fields.path,
        start=fields.start,
        of=fields.of,
        bytes=fields.bytes,
        checksum=fields.checksum,
        modified=fields.modified,
        aside=asides[fields.aside] if asides and fields.aside is not None else None,
        rows_in=fields.rows_in,
    )


@lru_cache(maxsize=1000)
def columns_of(text: str) -> tuple[Column, ...]:
    """Return the columns in JSON, each a name, a type and, for some, a logical type."""
    rows = decode(text, type=list[list[str]])
    return tuple(
        Column(name=name, type=type, logical="".join(logical)) for name, type, *logical in rows
    )


class _Brief(Struct):
    """A result without its failing rows, of which there may be megabytes."""

    text: str
    status: Status
    severity: Severity = Severity.ERROR
    failing: int | None = None
    rows: int | None = None
    measured: float | int | str | None = None
    threshold: str = ""
    message: str = ""
    waived: str = ""
    waived_by: tuple[str, ...] = ()


_brief = Decoder(list[_Brief])


def _results_of(text: str, *, brief: bool) -> tuple[RuleResult, ...]:
    """Return the results in JSON; with `brief`, without their failing rows."""
    if brief:
        with suppress(MsgspecError):  # NaN is no JSON
            return tuple(RuleResult(**asdict(each)) for each in _brief.decode(text))
    return convert(json.loads(text), tuple[RuleResult, ...])


def verdict_of(row: Sequence[Any], *, brief: bool = False) -> Verdict:
    """Return the verdict in a row of VERDICT; with `brief`, without the failing rows."""
    fields = convert(row, _VerdictRow)
    return Verdict(
        version=fields.version,
        contract=fields.contract,
        against=fields.against,
        status=Status(fields.status),
        results=_results_of(fields.results, brief=brief),
        judged_at=moment_of(fields.judged_at),
        run=fields.run,
        restated=fields.restated,
        failed_parts=decode(fields.failed_parts, type=tuple[str, ...]),
    )


def restated_of(row: Sequence[Any]) -> RestatedRows:
    """Return the restated rows in a row of RESTATED."""
    fields = convert(row, _RestatedRow)
    return RestatedRows(
        environment=fields.environment,
        product=fields.product,
        version=fields.version,
        rule=fields.rule,
        row_digests=_texts_of.decode(fields.parts),
        because=fields.because,
        who=fields.who,
        approved_by=fields.approved_by,
        at=moment_of(fields.at),
    )


def waiver_of(row: Sequence[Any]) -> Waiver:
    """Return the waiver in a row of WAIVER."""
    fields = convert(row, _WaiverRow)
    tolerated = _tolerated_of.decode(fields.tolerates)
    return Waiver(
        id=fields.id,
        environment=fields.environment,
        product=fields.product,
        rule=fields.rule,
        until=date.fromisoformat(fields.until),
        because=fields.because,
        author=fields.author,
        approved_by=fields.approved_by,
        at=moment_of(fields.at),
        parts=tolerated.parts,
        rows=tolerated.rows,
        most_rows=tolerated.most_rows,
        most_measured=tolerated.most_measured,
        withdrawn=moment_or_none(fields.withdrawn),
        rule_digest=tolerated.rule,
    )


def check_product(catalog: str, pointer: Pointer, version: Version) -> None:
    """Raise CatalogDamaged when a pointer names a version of another product."""
    if version.product != pointer.product:
        raise CatalogDamaged(
            f"the catalog {catalog} sends readers of {pointer.product} to {version.id[:7]},"
            f" which is of {version.product}",
            hint=put_back(catalog),
        )


class _FailingRows(Struct):
    failing: int
    samples: list[dict[str, Any]]


class _Range(Struct):
    low: int | str | None
    high: int | str | None
    nulls: int


def findings_of(text: str) -> dict[str, dict[str, Any]]:
    """Return the recorded findings in a part, by rule or query; ValidationError for other JSON."""
    findings = _findings_of.decode(text)
    for finding in findings.values():
        if "failing" in finding:
            convert(finding, _FailingRows)
        elif "nulls" in finding:
            convert(finding, _Range)
    return findings
