"""How values are written in the catalog's rows, and read back."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from msgspec import MsgspecError, Struct, convert
from msgspec.json import Decoder, decode

from assay.catalog.address import put_back
from assay.errors import CatalogDamaged
from assay.fingerprint import changed
from assay.model import (
    Code,
    Column,
    Key,
    Part,
    RuleResult,
    Status,
    Verdict,
    Version,
)

# JSON of Python's own: what rules measured may be a whole number of over 64 bits. Made once: that is slow.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_MOST_PARTS = 10_000_000  # of one version: a range of more is damage, and would fill the memory
VERSION = (
    "id, product, key, code, code_parts, inputs, digest, columns, rows, bytes, built_at, seconds, data_as_of, run,"
    " rows_in, held, parts"
)
VERDICT = "version, contract, against, status, results, judged_at, run, restated, failed_parts"
PART = (
    'id, key, made_of, inputs, digest, columns, rows, seconds, data_as_of, path, start, "of", bytes, checksum, modified'
)
_texts_of, _judged = Decoder(dict[str, str]), Decoder(dict[str, dict[str, Any]])
_TEXT, _COUNT, _LONGER, _MAYBE = (str,), (int,), (int, float), (int, type(None))
_TEXT_OR_NONE = (str, type(None))


# ---------------------------------------------------------------------------------------------- to rows


def version_row(v: Version) -> list[Any]:
    """Return the values of VERSION."""
    code, inputs, held = to_json(dict(v.key.code.parts)), to_json(dict(v.key.inputs)), to_json(dict(v.key.held))
    return [v.id, v.product, v.key.digest, v.key.code.digest, code, inputs, v.digest, _columns(v.columns), v.rows,
            v.bytes, stamp(v.built_at), v.seconds, _moment(v.data_as_of), v.run, v.rows_in, held,
            ranges([p.id for p in v.parts])]  # fmt: skip


def part_row(part: Part) -> list[Any]:
    """Return the values of PART but the id."""
    return [part.key, part.made_of, to_json(dict(part.inputs)), part.digest, _columns(part.columns), part.rows,
            part.seconds, _moment(part.data_as_of), part.path, part.start, part.of, part.bytes,
            part.checksum, part.modified]  # fmt: skip


def verdict_row(v: Verdict) -> list[Any]:
    """Return the values of VERDICT."""
    results = to_json([changed(result) for result in v.results])
    return [v.version, v.contract, v.against, v.status, results, stamp(v.judged_at), v.run, v.restated,
            to_json(v.failed_parts)]  # fmt: skip


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
        found.append(str(first) if end == at + 1 else f"{first}-{ids[end - 1]}" + (f"/{step}" if step > 1 else ""))
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


# ---------------------------------------------------------------------------------------------- from rows


@contextmanager
def decoded(catalog: str) -> Iterator[None]:
    """Say that a catalog is damaged when what is in it is nothing that was written so."""
    try:
        yield
    except (MsgspecError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        told = f"{error!r}"[:200]  # it may quote what is in the catalog, all of it
        raise CatalogDamaged(f"the catalog {catalog} is damaged: {told}", hint=put_back(catalog)) from error


class Kinds:
    """The types that the values of a row may have: SQLite may have been told something else."""

    def __init__(self, *kinds: tuple[type, ...]) -> None:
        self._kinds, self._known = kinds, set[tuple[type, ...]]()

    def check(self, row: Sequence[Any]) -> Sequence[Any]:
        """Return a row whose values are of these; TypeError for any other."""
        types = tuple(map(type, row))
        if types not in self._known:  # there may be hundreds of thousands of rows
            for value, kind in zip(row, self._kinds, strict=True):
                if not isinstance(value, kind):
                    raise TypeError(f"{value!r} is no {kind[0].__name__}")
            self._known.add(types)
        return row


def texts_of(text: str) -> dict[str, str]:
    """Return a mapping of names to texts (digests, mostly) from JSON; ValidationError for other JSON."""
    return _texts_of.decode(text)


FILE_KINDS = Kinds(_TEXT, _COUNT, _COUNT, _TEXT)
_VERSION_KINDS = Kinds(*[_TEXT] * 8, _COUNT, _COUNT, _TEXT, _LONGER, _TEXT_OR_NONE, _TEXT, _MAYBE, _TEXT, _TEXT)
_PART_KINDS = Kinds(_COUNT, *[_TEXT] * 5, _COUNT, _LONGER, _TEXT_OR_NONE, _TEXT, _COUNT, _MAYBE, _COUNT, _TEXT, _COUNT)
_VERDICT_KINDS = Kinds(*[_TEXT] * 9)


def version_of(row: Sequence[Any], parts: Mapping[int, Part]) -> Version:
    """Return the version behind a row of VERSION; `parts` holds those it names."""
    (id, product, key, code, code_parts, inputs, digest, columns, rows, size,
     built_at, seconds, data_as_of, run, rows_in, held, ids) = _VERSION_KINDS.check(row)  # fmt: skip
    return Version(
        id=id,
        product=product,
        key=Key(
            digest=key,
            code=Code(digest=code, parts=texts_of(code_parts)),
            inputs=texts_of(inputs),
            held=texts_of(held),
        ),
        digest=digest,
        columns=_columns_of(columns),
        rows=rows,
        bytes=size,
        built_at=datetime.fromisoformat(built_at),
        seconds=seconds,
        run=run,
        parts=tuple(parts[number] for number in ids_of(ids)),
        data_as_of=datetime.fromisoformat(data_as_of) if data_as_of else None,
        rows_in=rows_in,
    )


def part_of(row: Sequence[Any]) -> Part:
    """Return the part behind a row of PART."""
    (id, key, made_of, inputs, digest, columns, rows, seconds, data_as_of,
     path, start, of, size, checksum, modified) = _PART_KINDS.check(row)  # fmt: skip
    return Part(
        id=id, key=key, made_of=made_of, inputs=texts_of(inputs), digest=digest, columns=_columns_of(columns),
        rows=rows, seconds=seconds, data_as_of=datetime.fromisoformat(data_as_of) if data_as_of else None,
        path=path, start=start, of=of, bytes=size, checksum=checksum, modified=modified,
    )  # fmt: skip


@lru_cache(maxsize=1000)
def _columns_of(text: str) -> tuple[Column, ...]:
    found = decode(text, type=list[list[str]])
    return tuple(Column(name=name, type=type, logical="".join(more)) for name, type, *more in found)


def verdict_of(row: Sequence[Any]) -> Verdict:
    """Return the verdict behind a row of VERDICT."""
    version, contract, against, status, results, judged_at, run, restated, failed_parts = _VERDICT_KINDS.check(row)
    return Verdict(
        version=version,
        contract=contract,
        against=against,
        status=Status(status),
        results=convert(json.loads(results), tuple[RuleResult, ...]),
        judged_at=datetime.fromisoformat(judged_at),
        run=run,
        restated=restated,
        failed_parts=decode(failed_parts, type=tuple[str, ...]),
    )


class _Failing(Struct):
    failing: int
    samples: list[dict[str, Any]]


class _Between(Struct):
    low: int | str | None
    high: int | str | None
    nulls: int


def judged_of(text: str) -> dict[str, dict[str, Any]]:
    """Return what is remembered of a part, by rule or query; ValidationError for what could not be."""
    found = _judged.decode(text)
    for told in found.values():
        if "failing" in told:
            convert(told, _Failing)
        elif "nulls" in told:
            convert(told, _Between)
    return found
