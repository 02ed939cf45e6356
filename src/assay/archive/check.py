"""Checks an archive by itself: every SHA-256 and digest is computed again, and it has to agree with itself."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec.structs import replace

from assay.archive.form import (
    MANIFEST,
    Evidence,
    FileRecord,
    SourceRecord,
    TotalRecord,
    VersionRecord,
)
from assay.archive.read import Archive, opened
from assay.archive.sign import problem_of, signature_of
from assay.archive.totals import ONE_THREAD, totals_of
from assay.engines.duckdb import DuckDB, parquet
from assay.engines.measure import measure, measure_tables
from assay.engines.tables import StoredTable
from assay.errors import UsageError
from assay.facts import RuleResult, Status, worst_status
from assay.model import QUARANTINE, Column
from assay.plan.digests import code_of, digest, key_of, source_digest
from assay.text import clean
from assay.views.view import View

_CLOSE = 1e-9  # sums of floats may differ by this share between machines


class Checked(View, frozen=True, kw_only=True):
    """What came of checking an archive.

    - `problems`: each thing that is not right.
    - `notes`: what was not checked, and why.
    - `entries`, `bytes`: how much was read.
    - `contents`: versions whose content digest was computed again from their rows.
    - `signed_by`: the public key of whose signature the file is; '' if that was not asked.
    """

    file: str
    product: str
    version: str
    environment: str
    release: int
    entries: int
    bytes: int
    versions: int
    sources: int
    contents: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    signed_by: str = ""


def check(file: Path, signed_by: Path | None = None) -> Checked:
    """Return what is right and wrong with an archive, and with its signature by a public key.

    Raises UsageError for what is no archive, and where there is no signature.
    """
    wrong = problem_of(file, signed_by) if signed_by else ""
    checked = _checked(file)
    if signed_by is None:
        note = "who made it is not known: --signed-by PUBLIC_KEY checks a signature"
        return replace(checked, notes=(*checked.notes, note))
    if wrong:
        problem = f"{signature_of(file).name} is no signature of it by {signed_by}: {wrong}"
        return replace(checked, problems=(problem, *checked.problems))
    return replace(checked, signed_by=str(signed_by))


def _checked(file: Path) -> Checked:
    with opened(file) as archive:
        evidence = archive.evidence()
        sums, problems = _sums(archive)
        problems += _disagreements(evidence)
        problems += _texts(archive, evidence)
        contents, wrong, notes = _contents(archive, evidence, sums)
        entries = archive.entries
        return Checked(
            file=str(file),
            product=evidence.product,
            version=evidence.version,
            environment=evidence.environment,
            release=evidence.release.id,
            entries=len(entries),
            bytes=sum(entry.file_size for entry in entries.values()),
            versions=len(evidence.versions),
            sources=len(evidence.sources),
            contents=tuple(contents),
            problems=(*problems, *wrong),
            notes=tuple(notes),
        )


def _sums(archive: Archive) -> tuple[dict[str, str], list[str]]:
    """Return the SHA-256 of each entry, and what differs from the manifest."""
    manifest, problems = archive.manifest(), []
    found: dict[str, str] = {}
    for name in sorted(archive.entries.keys() - {MANIFEST}):
        shown = clean(name)
        if name not in manifest:
            problems.append(f"{shown} is not in {MANIFEST}")
            continue
        try:
            found[name] = archive.sha256(name)
        except UsageError as error:
            problems.append(error.what)
            continue
        if found[name] != manifest[name]:
            problems.append(f"{shown}: its SHA-256 is not the one in {MANIFEST}")
    problems += [f"{clean(n)} is missing" for n in sorted(manifest.keys() - archive.entries.keys())]
    return found, problems


# ------------------------------------------------------------------------- evidence with itself


def _disagreements(evidence: Evidence) -> Iterator[str]:
    """Yield what cannot be true at once."""
    by_id = {version.id: version for version in evidence.versions}
    sources = {(source.name, source.digest) for source in evidence.sources}
    first = evidence.versions[0] if evidence.versions else None
    if first is None or (first.id, first.product) != (evidence.version, evidence.product):
        yield f"{evidence.version} of {evidence.product} is not the first of its versions"
        return
    if len(by_id) != len(evidence.versions):
        yield "a version is in it twice"
    for version in evidence.versions:
        name = f"{version.product} {version.id}"
        for what in _wrong_version(version):
            yield f"{name}: {what}"
        for input in version.inputs:
            other = by_id.get(input.version)
            if other and (other.digest, other.product) != (input.digest, input.name):
                yield f"{name}: {input.version} is not what it was built from as {input.name}"
    for source in evidence.sources:
        yield from _wrong_source(source)
    read = {(i.name, i.digest) for version in evidence.versions for i in version.inputs}
    for name, _ in sorted(sources - read):
        yield f"{name}: nothing in it was built from that content"
    passed = [v for v in first.verdicts if v.status in {"passed", "warning"}]
    if first.verdicts and not passed:
        yield f"{first.product} {first.id} was published, and did not pass its rules"


def _wrong_version(version: VersionRecord) -> Iterator[str]:
    parts = [p for p in version.parts if version.in_parts or p.key != QUARANTINE]
    if version.columns and sum(part.rows for part in parts) != version.rows:
        yield f"{version.rows:,} rows, and its parts have {sum(p.rows for p in parts):,}"
    if sum(file.bytes for file in version.files) != version.bytes:
        yield f"{version.bytes:,} bytes, and its files have {sum(f.bytes for f in version.files):,}"
    files = {file.path for file in version.files}
    if {part.file for part in version.parts} != files:
        yield "its parts are in other files than it has"
    if version.in_parts and digest([p.content for p in version.parts]) != version.digest:
        yield "its content digest is not that of its parts"
    code = code_of(version.code.reached)
    if code.digest != version.code.digest:
        yield "the digest of its code is not that of the things that the code consists of"
    inputs = {input.name: input.digest for input in version.inputs}
    if not version.held and key_of(code, inputs).digest != version.key:
        yield "its key is not that of its code and inputs"
    for verdict in version.verdicts:
        try:
            results = [
                RuleResult(text=rule.name, status=Status(rule.status)) for rule in verdict.rules
            ]
        except ValueError as error:
            yield clean(str(error))
            continue
        if str(worst_status(results)) != verdict.status:
            yield f"checked {verdict.judged_at}: it says {verdict.status}, and its rules do not"


def _wrong_source(source: SourceRecord) -> Iterator[str]:
    if source.files is None or not source.reading:
        return
    files = ((file.path, file.sha256) for file in source.files)
    if source_digest(source.reading, files) != source.digest:
        yield f"{source.name}: its content digest is not that of its files"


# ---------------------------------------------------------------------------------- the entries


def _texts(archive: Archive, evidence: Evidence) -> Iterator[str]:
    """Yield entries that the evidence names and that are not as it says, or not there."""
    files = [file for v in evidence.versions for file in (*v.code.files, *v.files) if file.entry]
    manifest = archive.manifest()
    for file in files:
        entry = archive.entries.get(file.entry)
        if entry is None:
            yield f"{clean(file.entry)} is not in the archive"
        elif (entry.file_size, manifest.get(file.entry)) != (file.bytes, file.sha256):
            yield f"{clean(file.entry)} is not the file that the evidence names"


def _contents(
    archive: Archive, evidence: Evidence, sums: Mapping[str, str]
) -> tuple[list[str], list[str], list[str]]:
    """Return the versions whose rows were measured again, and what is wrong, and what was left out."""
    with_data = [v for v in evidence.versions if v.columns and any(f.entry for f in v.files)]
    without = [v for v in evidence.versions if v.columns and v not in with_data]
    notes = []
    if without:
        notes.append(
            f"{len(without)} of {len(evidence.versions)} versions: their rows are not in the archive"
        )
    contents: list[str] = []
    problems: list[str] = []
    if not with_data:
        return contents, problems, notes
    with TemporaryDirectory(prefix="products-") as folder:
        place = Path(folder).resolve()
        with closing(DuckDB([place], place / "spill", ONE_THREAD)) as engine:
            for version in with_data:
                if not all(sums.get(file.entry) == file.sha256 for file in version.files):
                    notes.append(f"{version.product} {version.id}: not measured, its files differ")
                    continue
                wrong, note = _measured(archive, engine, version, place)
                problems += [f"{version.product} {version.id}: {what}" for what in wrong]
                notes += [note] if note else []
                contents += [] if note else [version.id]
    return contents, problems, notes


def _measured(
    archive: Archive, engine: DuckDB, version: VersionRecord, place: Path
) -> tuple[list[str], str]:
    """Measure the rows of a version: return what is wrong, and why its digest was not computed."""
    files = _extracted(archive, version.files, place)
    columns = [Column(name=c.name, type=c.type, logical=c.logical) for c in version.columns]
    tables = [_table(files[part.file], part.start, part.rows, part.of) for part in version.parts]
    try:
        return _compared(engine, version, columns, tables)
    except Exception as error:  # engines raise errors of their own for what is no Parquet
        return [f"its files cannot be read: {clean(str(error).partition(chr(10))[0])[:300]}"], ""
    finally:
        for file in files.values():
            file.unlink()


def _extracted(archive: Archive, records: tuple[FileRecord, ...], place: Path) -> dict[str, Path]:
    files = {}
    for number, record in enumerate(records):
        files[record.path] = place / f"{number}.parquet"
        archive.sha256(record.entry, files[record.path])
    return files


def _table(file: Path, start: int, rows: int, of: int | None) -> StoredTable:
    whole = of is None or (start, rows) == (0, of)
    return StoredTable((file,), {} if whole else {file: ((start, rows),)})


def _compared(
    engine: DuckDB, version: VersionRecord, columns: list[Column], tables: list[StoredTable]
) -> tuple[list[str], str]:
    problems = []
    measured = measure_tables(engine, tables, columns)
    for number, part in enumerate(version.parts):
        if not version.in_parts and part.key == QUARANTINE:  # it has columns of its own
            measured[number] = measure(engine, tables[number].files[0])
    for part, found in zip(version.parts, measured, strict=True):
        if found.rows != part.rows:
            problems.append(f"part {part.key!r} has {found.rows:,} rows, not {part.rows:,}")
    shown = [
        table
        for part, table in zip(version.parts, tables, strict=True)
        if version.in_parts or part.key != QUARANTINE
    ]
    hidden = {c.name for c in columns} - {total.column for total in version.totals}
    union = " union all ".join(f"({parquet(table)})" for table in shown)
    _, totals = totals_of(engine, f"from ({union})", columns, hidden=hidden)
    known = {total.column: total for total in version.totals}
    floats = {c.name for c in columns if c.type in {"FLOAT", "DOUBLE"}}
    problems += [
        f"the control total of {total.column} is {total.sum}, not {known[total.column].sum}"
        for total in totals
        if not _same(total, known[total.column], inexact=total.column in floats)
    ]
    built_with = version.code.tools.get("duckdb", "")
    if f"v{built_with}" != engine.version:
        other = (
            f"it was made by DuckDB {built_with}"
            if built_with
            else "which DuckDB made it is not known"
        )
        note = f"the content digest was not computed: {other}, and this is {engine.version}"
        return problems, f"{version.product} {version.id}: {note}"
    digests = [found.digest for found in measured]
    if version.in_parts:
        recorded = [part.digest for part in version.parts]
        if digests != recorded:
            problems.append("the content digests of its parts are not those of their rows")
    elif (digests[0] if len(digests) == 1 else digest(digests)) != version.digest:
        problems.append("its content digest is not that of its rows")
    return problems, ""


def _same(one: TotalRecord, other: TotalRecord, *, inexact: bool) -> bool:
    """Return whether two totals agree; sums of floats may differ between machines."""
    if one.nulls != other.nulls or not inexact or None in {one.sum, other.sum}:
        return (one.nulls, one.sum) == (other.nulls, other.sum)
    try:
        a, b = float(one.sum or 0), float(other.sum or 0)
    except ValueError:
        return False
    return one.sum == other.sum or abs(a - b) <= _CLOSE * max(abs(a), abs(b))
