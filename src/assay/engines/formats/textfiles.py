"""Text files as bytes: what gzip says of them, and how many lines they have, counted without an engine."""

import io
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct

_CHUNK, _PACKED = (
    1 << 20,
    1 << 16,
)  # bytes read at a time; packed ones may be a thousand times as many
_GZIP = 31  # zlib's word for: with the header and the checksum of gzip


class Damaged(Exception):
    """A file that is not whole: one that does not pass its own checksum, or with bytes that no text has."""


class Survey(Struct, frozen=True):
    """What the bytes of a text file say: how many lines end outside of quotes (the last one may end with the file)."""

    lines: int
    quotes: bool


def chunks(file: Path) -> Iterator[bytes]:
    """Yield what a file holds, uncompressed; raises Damaged where gzip's own checksum does not hold."""
    packed = file.suffix == ".gz"
    with file.open("rb") as raw:
        stored = iter(lambda: raw.read(_PACKED if packed else _CHUNK), b"")
        yield from _gunzipped(stored) if packed else stored


def _gunzipped(stored: Iterable[bytes]) -> Iterator[bytes]:
    """Yield what gzip members hold, one after the other."""
    member, begun = zlib.decompressobj(_GZIP), False
    try:
        for chunk in stored:
            rest = chunk
            while rest:
                yield member.decompress(rest)
                begun, rest = not member.eof, member.unused_data
                if member.eof:
                    member = zlib.decompressobj(_GZIP)
    except zlib.error as error:
        raise Damaged(f"is no whole gzip file: {_explained(str(error))}") from None
    if begun:
        raise Damaged("is no whole gzip file: it ends in the middle")


def _explained(message: str) -> str:
    """Return what zlib's message means."""
    if "incorrect data check" in message or "incorrect length check" in message:
        return "its checksum (CRC) does not hold, so some of its bytes were changed"
    if "incorrect header check" in message:
        return "bytes that are not gzip stand at its start or after its end"
    return "its compressed bytes make no sense"


def survey(file: Path, *, quoted: bool) -> Survey:
    """Read a whole file and count its lines; with `quoted`, those between quotes belong to one line.

    Raises Damaged for a file that gzip refuses, or that holds NUL bytes, as no text does; OSError.
    """
    lines, odd, quotes, last = 0, 0, False, b"\n"
    for chunk in chunks(file):
        if not chunk:
            continue
        if b"\0" in chunk:
            raise Damaged(_of_nul(file, lines + chunk.partition(b"\0")[0].count(b"\n") + 1))
        last = chunk[-1:]
        if quoted and b'"' in chunk:
            pieces = chunk.split(b'"')
            lines += b"".join(pieces[odd::2]).count(b"\n")
            quotes, odd = True, (odd + len(pieces) - 1) % 2
        elif not odd:
            lines += chunk.count(b"\n")
    return Survey(lines + (last != b"\n"), quotes)


def _of_nul(file: Path, line: int) -> str:
    """Return what to say of a file with NUL bytes, the first in this line."""
    start = next((chunk for chunk in chunks(file) if chunk), b"")[:2]
    if start in {b"\xff\xfe", b"\xfe\xff"}:
        return "is UTF-16 and not UTF-8 text: save it as UTF-8"
    return f"holds NUL bytes, from line {line:,} on: it was not written to its end, or is no UTF-8 text"


class _Stream(io.RawIOBase):
    """The chunks of a file, as something to read from."""

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
    """Open a file as text; what is not UTF-8 is read as lone surrogates. Lines end as they do in the file."""
    return io.TextIOWrapper(
        io.BufferedReader(_Stream(file), _CHUNK),
        encoding="utf-8-sig",
        errors="surrogateescape",
        newline="",
    )
