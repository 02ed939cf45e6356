"""Writes an archive: a ZIP file whose entries are stored as they are, the same for the same evidence."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from assay.archive.collect import Collected, Options, collect
from assay.archive.form import DOCUMENT, MANIFEST, PAGE, encoded
from assay.archive.page import page_of
from assay.build.workspace import Workspace
from assay.errors import UsageError
from assay.views.view import View

_CHUNK = 1 << 20  # bytes copied at a time
_FIRST_DAY = (1980, 1, 1, 0, 0, 0)  # of ZIP: when an archive is written is not in it
_READ_ONLY = 0o444 << 16
_UNIX = 3


class Written(View, frozen=True, kw_only=True):
    """An archive that was written. `missing` says what is not in it, and why."""

    file: str
    product: str
    version: str
    environment: str
    release: int
    versions: int
    sources: int
    bytes: int
    missing: tuple[str, ...]
    signature: str = ""


def write_evidence(
    workspace: Workspace, name: str, wanted: Options, to: Path | None, *, overwrite: bool = False
) -> Written:
    """Write the evidence of a product to a file, by default `NAME-RELEASE.zip`."""
    if to:
        _check_place(to, overwrite=overwrite)
    collected = collect(workspace, name, wanted)
    evidence = collected.evidence
    file = to or Path(f"{evidence.product}-{evidence.release.id}.zip")
    size = write(collected, file, overwrite=overwrite)
    return Written(
        file=str(file),
        product=evidence.product,
        version=evidence.version,
        environment=evidence.environment,
        release=evidence.release.id,
        versions=len(evidence.versions),
        sources=len(evidence.sources),
        bytes=size,
        missing=evidence.missing,
    )


def _check_place(to: Path, *, overwrite: bool) -> None:
    if not to.parent.is_dir():
        raise UsageError(f"there is no folder {to.parent}, where {to.name} should be written")
    if not overwrite and to.exists():
        raise UsageError(f"{to} exists", hint="--overwrite replaces it.")


def write(collected: Collected, to: Path, *, overwrite: bool = False) -> int:
    """Write an archive in one step, and return its bytes: at no time is there half of it.

    Raises UsageError if there is such a file, unless it is to be overwritten.
    """
    _check_place(to, overwrite=overwrite)
    texts = {
        **{entry: text.encode() for entry, text in collected.texts.items()},
        DOCUMENT: encoded(collected.evidence),
        PAGE: page_of(collected.evidence).encode(),
    }
    temporary = to.with_name(f".{to.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("xb") as out:
            with ZipFile(out, "w", ZIP_STORED) as archive:
                _fill(archive, texts, collected.files)
            out.flush()
            os.fsync(out.fileno())
            size = out.tell()
        if overwrite:
            temporary.replace(to)
        else:
            _place(temporary, to)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()
    return size


def _place(temporary: Path, to: Path) -> None:
    """Give a file its name, unless another file has got it meanwhile."""
    try:
        to.hardlink_to(temporary)
    except FileExistsError:
        raise UsageError(f"{to} exists", hint="--overwrite replaces it.") from None
    except OSError:  # a file system without links
        temporary.replace(to)


def _fill(archive: ZipFile, texts: Mapping[str, bytes], files: Mapping[str, Path]) -> None:
    sums = {}
    for name in sorted({*texts, *files}):
        chunks = _chunks(files[name]) if name in files else iter([texts[name]])
        sums[name] = _add(archive, name, chunks)
    lines = "".join(f"{digest}  {name}\n" for name, digest in sums.items())
    _add(archive, MANIFEST, iter([lines.encode()]))


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as source:
        while chunk := source.read(_CHUNK):
            yield chunk


def _add(archive: ZipFile, name: str, chunks: Iterator[bytes]) -> str:
    """Add an entry, and return the SHA-256 of its content."""
    info = ZipInfo(name, _FIRST_DAY)
    info.create_system, info.external_attr = _UNIX, _READ_ONLY
    digest = hashlib.sha256()
    with archive.open(info, "w", force_zip64=True) as entry:
        for chunk in chunks:
            digest.update(chunk)
            entry.write(chunk)
    return digest.hexdigest()
