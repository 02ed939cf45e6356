"""Reads text files as bytes, without an engine: unpacks gzip, and counts lines."""

import io
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct

_CHUNK = 1 << 20  # bytes that are read at a time
_PACKED_CHUNK = 1 << 16  # the same of a gzip file, which may unpack to a thousand times as many
_GZIP = 31  # zlib's `wbits` for the header and the checksum of gzip


class Damaged(Exception):
    """A file that fails its own checksum, or contains bytes that text cannot have."""


class Survey(Struct, frozen=True):
    """The number of lines of a text file that end outside of quotes, and whether it has quotes.

    The last line may end with the file.
    """

    lines: int
    quotes: bool


def chunks(file: Path) -> Iterator[bytes]:
    """Yield the bytes of a file, unpacked; raises Damaged if the checksum of gzip is wrong."""
    packed = file.suffix == ".gz"
    with file.open("rb") as raw:
        stored = iter(lambda: raw.read(_PACKED_CHUNK if packed else _CHUNK), b"")
        yield from _gunzipped(stored) if packed else stored


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


def survey(file: Path, *, quoted: bool) -> Survey:
    """Read a whole file and count its lines; with `quoted`, line ends between quotes do not count.

    Raises Damaged for a wrong gzip file and for NUL bytes, which text cannot have; OSError.
    """
    lines, in_quotes, quotes, last_byte = 0, 0, False, b"\n"
    for chunk in chunks(file):
        if not chunk:
            continue
        if b"\0" in chunk:
            line = lines + chunk.partition(b"\0")[0].count(b"\n") + 1
            raise Damaged(_nul_problem(file, line))
        last_byte = chunk[-1:]
        if quoted and b'"' in chunk:
            pieces = chunk.split(b'"')
            lines += b"".join(pieces[in_quotes::2]).count(b"\n")
            quotes, in_quotes = True, (in_quotes + len(pieces) - 1) % 2
        elif not in_quotes:
            lines += chunk.count(b"\n")
    return Survey(lines + (last_byte != b"\n"), quotes)


def _nul_problem(file: Path, line: int) -> str:
    """Return what is wrong with a file with NUL bytes, the first in this line."""
    start = next((chunk for chunk in chunks(file) if chunk), b"")[:2]
    if start in {b"\xff\xfe", b"\xfe\xff"}:
        return "is UTF-16 and not UTF-8 text: save it as UTF-8"
    return (
        f"holds NUL bytes, from line {line:,} on: "
        "it was not written to its end, or is no UTF-8 text"
    )


class _Stream(io.RawIOBase):
    """The unpacked chunks of a file as a raw stream."""

    def __init__(self, file: Path) -> None:
        self.chunks, self.rest = chunks(file), b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        while not self.rest:
            chunk = next(self.chunks, None)
            if chunk is None:
                return 0
            self.rest = chunk
        count = min(len(buffer), len(self.rest))
        buffer[:count], self.rest = self.rest[:count], self.rest[count:]
        return count


def opened(file: Path) -> io.TextIOWrapper:
    """Open a file as text, line ends unchanged; bytes that are not UTF-8 become lone surrogates."""
    return io.TextIOWrapper(
        io.BufferedReader(_Stream(file), _CHUNK),
        encoding="utf-8-sig",
        errors="surrogateescape",
        newline="",
    )
