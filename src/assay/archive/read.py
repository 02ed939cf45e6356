"""Opens an archive that anybody may have made: nothing in it is believed before it is checked."""

import hashlib
import re
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from assay.archive.form import DOCUMENT, MANIFEST, Evidence, decoded
from assay.errors import UsageError
from assay.text import clean

_CHUNK = 1 << 20
_MOST_ENTRIES = 200_000
_MOST = {MANIFEST: 64 << 20, DOCUMENT: 512 << 20}  # bytes of what is read as a whole
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")
_WRONG = (BadZipFile, NotImplementedError, RuntimeError, EOFError, struct.error, ValueError)


class Archive:
    """An open archive, with the entries that it lists."""

    def __init__(self, file: ZipFile, entries: Mapping[str, ZipInfo]) -> None:
        self._file, self.entries = file, entries

    def evidence(self) -> Evidence:
        """Return the evidence; UsageError when it cannot be read."""
        return decoded(self._whole(DOCUMENT))

    def manifest(self) -> dict[str, str]:
        """Return the SHA-256 of each entry, as the archive says; UsageError for anything else."""
        sums: dict[str, str] = {}
        try:
            lines = self._whole(MANIFEST).decode().split("\n")
        except UnicodeDecodeError:
            raise UsageError(f"{MANIFEST} is not UTF-8") from None
        for number, line in enumerate(filter(None, lines), 1):
            match = _LINE.fullmatch(line)
            if match is None:
                raise UsageError(f"{MANIFEST}:{number}: not a SHA-256 and a name")
            if match[2] in sums:
                raise UsageError(f"{MANIFEST}:{number}: {clean(match[2])} is listed twice")
            sums[match[2]] = match[1]
        return sums

    def sha256(self, name: str, to: Path | None = None) -> str:
        """Return the SHA-256 of an entry; with `to`, copy it there. UsageError for a broken one."""
        digest = hashlib.sha256()
        with self._open(name) as entry:
            out = to.open("xb") if to else None
            try:
                while chunk := entry.read(_CHUNK):
                    digest.update(chunk)
                    if out:
                        out.write(chunk)
            except _WRONG as error:
                raise _broken(name, error) from None
            finally:
                if out:
                    out.close()
        return digest.hexdigest()

    def text(self, name: str) -> str:
        """Return an entry as text; UsageError if it is none."""
        try:
            return self._whole(name).decode()
        except UnicodeDecodeError:
            raise UsageError(f"{clean(name)} is not UTF-8") from None

    def _whole(self, name: str) -> bytes:
        if name not in self.entries:
            raise UsageError(f"there is no {clean(name)} in it: this is not evidence of Assay")
        most = _MOST.get(name, _MOST[MANIFEST])
        if self.entries[name].file_size > most:
            raise UsageError(f"{clean(name)} is larger than {most:,} bytes")
        with self._open(name) as entry:
            try:
                return entry.read(most + 1)
            except _WRONG as error:
                raise _broken(name, error) from None

    @contextmanager
    def _open(self, name: str) -> Iterator[IO[bytes]]:
        try:
            entry = self._file.open(self.entries[name])
        except _WRONG as error:
            raise _broken(name, error) from None
        with entry:
            yield entry


def _broken(name: str, error: BaseException) -> UsageError:
    return UsageError(f"{clean(name)} cannot be read: {clean(str(error))}")


@contextmanager
def opened(file: Path) -> Iterator[Archive]:
    """Open an archive; UsageError if it is none, or one that could do harm.

    Its entries are stored as they are, without compression: so it takes no more room when it is
    read than it has.
    """
    try:
        size = file.stat().st_size
        archive = ZipFile(file)
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror or error}") from None
    except _WRONG as error:
        raise UsageError(f"{file} is not a ZIP file: {clean(str(error))}") from None
    with archive:
        yield Archive(archive, _entries(file, archive.infolist(), size))


def _entries(file: Path, infos: list[ZipInfo], size: int) -> dict[str, ZipInfo]:
    if len(infos) > _MOST_ENTRIES:
        raise UsageError(f"{file} has {len(infos):,} entries: more than {_MOST_ENTRIES:,}")
    entries: dict[str, ZipInfo] = {}
    for info in infos:
        name = clean(info.filename)
        if problem := _problem(info):
            raise UsageError(f"{file}: the entry {name} {problem}")
        if info.filename in entries:
            raise UsageError(f"{file}: two entries are called {name}")
        entries[info.filename] = info
    if sum(info.file_size for info in infos) > size:
        raise UsageError(f"{file}: its entries say that they are larger than the file")
    return entries


def _problem(info: ZipInfo) -> str:
    """Return what is wrong with an entry; '' for nothing."""
    parts = info.filename.split("/")
    if info.orig_filename != info.filename or "\\" in info.filename or ":" in parts[0]:
        return "has a name that is no path below a folder"
    if any(part in {"", ".", ".."} for part in parts):
        return "has a name that is no path below a folder"
    if info.compress_type != ZIP_STORED or info.compress_size != info.file_size:
        return "is compressed: evidence is stored as it is"
    if info.flag_bits & 0x1:
        return "is encrypted"
    return ""
