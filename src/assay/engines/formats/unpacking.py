"""Unpacks files of sources as streams of bytes: gzip, Zstandard, and the members of zip files."""

import zlib
from collections.abc import Generator, Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import zipfile

CHUNK = 1 << 20  # bytes that are read at a time
_PACKED_CHUNK = 1 << 16  # the same of a packed file, which may unpack to a thousand times as many
_GZIP = 31  # zlib's `wbits` for the header and the checksum of gzip
_MOST_MEMBERS = 10_000
_MOST_TIMES = 250  # how many times as large as its zip file text may be
_ALWAYS_ALLOWED = 64 << 20  # bytes that a zip file may unpack to, however small it is
_NAMES = 5  # names of members that a message shows


class Damaged(Exception):
    """A file that cannot be unpacked, fails its checksum, or has bytes that text cannot have."""

    def __init__(self, problem: str, hint: str = "Fetch the file again.") -> None:
        super().__init__(problem)
        self.hint = hint


def streams(file: Path, member: str = "") -> Iterator[tuple[str, Iterator[bytes]]]:
    """Yield each member of a file that is read, with its unpacked bytes; '' is a whole file.

    Raises Damaged, also while bytes are read.
    """
    if file.suffix == ".zip":
        yield from _members(file, member)
    else:
        yield "", chunks(file)


def chunks(file: Path) -> Generator[bytes]:
    """Yield the bytes of a file, unpacked by its suffix; raises Damaged."""
    packed = file.suffix in {".gz", ".zst"}
    with file.open("rb") as raw:
        stored = iter(lambda: raw.read(_PACKED_CHUNK if packed else CHUNK), b"")
        if file.suffix == ".gz":
            yield from _gunzipped(stored)
        elif file.suffix == ".zst":
            yield from _unzstd(stored)
        else:
            yield from stored


def _gunzipped(stored: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the bytes of all gzip members, one member after the other."""
    member, is_inside = zlib.decompressobj(_GZIP), False
    try:
        for chunk in stored:
            rest = chunk
            while rest:
                yield member.decompress(rest)
                is_inside, rest = not member.eof, member.unused_data
                if member.eof:
                    member = zlib.decompressobj(_GZIP)
    except zlib.error as error:
        raise Damaged(f"is no whole gzip file: {_explained(str(error))}") from None
    if is_inside:
        raise Damaged("is no whole gzip file: it ends in the middle")


def _explained(message: str) -> str:
    """Return an explanation of zlib's message."""
    if "incorrect data check" in message or "incorrect length check" in message:
        return "its checksum (CRC) does not hold, so some of its bytes were changed"
    if "incorrect header check" in message:
        return "bytes that are not gzip stand at its start or after its end"
    return "its compressed bytes make no sense"


def _unzstd(stored: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the bytes of all frames of Zstandard, one frame after the other."""
    try:
        import zstandard
    except ImportError:
        hint = "Run `pip install 'assay[zstd]'`."
        raise Damaged("is a .zst file, which needs the package zstandard", hint) from None
    frame, is_inside = zstandard.ZstdDecompressor().decompressobj(), False
    try:
        for chunk in stored:
            rest = chunk
            while rest:
                yield frame.decompress(rest)
                is_inside, rest = not frame.eof, frame.unused_data
                if frame.eof:
                    frame = zstandard.ZstdDecompressor().decompressobj()
    except zstandard.ZstdError:
        raise Damaged("is no whole Zstandard file: its bytes make no sense") from None
    if is_inside:
        raise Damaged("is no whole Zstandard file: it ends in the middle")


def _members(file: Path, pattern: str) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Yield the members of a zip file that a glob matches, by name; without one, the only member."""
    import zipfile

    most = max(_ALWAYS_ALLOWED, _MOST_TIMES * file.stat().st_size)
    try:
        with zipfile.ZipFile(file) as archive:
            unpacked = 0
            for member in _chosen(archive, pattern):
                with archive.open(member) as content:
                    stream = _limited(content, most - unpacked, most)
                    yield member.filename, stream
                    for _ in stream:  # its checksum is at its end
                        pass
                    unpacked += content.tell()
    except (zipfile.BadZipFile, zlib.error, EOFError, UnicodeDecodeError) as error:
        raise Damaged(f"is no whole zip file: {str(error) or 'it ends in the middle'}") from None
    except (NotImplementedError, RuntimeError) as error:  # encrypted, or packed in another way
        raise Damaged(f"cannot be unpacked: {error}", "Pack it without a password.") from None


def _chosen(archive: "zipfile.ZipFile", pattern: str) -> "list[zipfile.ZipInfo]":
    """Return the members to read; Damaged if there are none, or, without a pattern, several."""
    members = archive.infolist()
    if len(members) > _MOST_MEMBERS:
        problem = f"has {len(members):,} members, and a zip file may have {_MOST_MEMBERS:,}"
        raise Damaged(problem, "Pack fewer files into one.")
    files = [member for member in members if not member.is_dir() and _is_plain(member.filename)]
    chosen = [m for m in files if not pattern or fnmatchcase(m.filename, pattern)]
    names = ", ".join(repr(member.filename) for member in files[:_NAMES])
    names += f" and {len(files) - _NAMES:,} more" if len(files) > _NAMES else ""
    if not chosen:
        wanted = f"no member matches {pattern!r}" if pattern else "there is no file in it"
        raise Damaged(f"cannot be read: {wanted}", f"It has {names}." if names else "")
    if len(chosen) > 1 and not pattern:
        hint = 'Say which are read with member=, a glob such as "*.csv".'
        raise Damaged(f"has {len(chosen):,} members: {names}", hint)
    if len({member.filename for member in chosen}) < len(chosen):
        raise Damaged("has two members of one name", "Pack each file once.")
    return sorted(chosen, key=lambda member: member.filename)


def _is_plain(name: str) -> bool:
    """Return whether a member is a file that someone packed, not one that a system adds."""
    parts = PurePosixPath(name).parts
    return "__MACOSX" not in parts and not any(part.startswith(".") for part in parts[-1:])


def _limited(content: IO[bytes], left: int, most: int) -> Iterator[bytes]:
    """Yield the bytes of a member; Damaged if there are too many."""
    for chunk in iter(lambda: content.read(CHUNK), b""):
        left -= len(chunk)
        if left < 0:
            problem = f"unpacks to more than {most >> 20:,} MB, {_MOST_TIMES} times its size"
            raise Damaged(problem, "Unpack it, or pack it as .gz, if it is what it should be.")
        yield chunk
