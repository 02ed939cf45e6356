"""Reads text files of sources without an engine: their lines, as declared, and how many there are."""

import codecs
import io
import json
import re
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from types import TracebackType

from msgspec import Struct

from assay.engines.formats.unpacking import CHUNK, Damaged, chunks, streams
from assay.model import Dialect, Source
from assay.text import clean

_LONGEST_LINE = 64 << 20  # letters of a line that is read
LONGEST_OBJECT = 16_777_216  # bytes of an object of JSON that DuckDB reads
_PLAIN = Dialect()
_BOM = "\ufeff"
_JSON = json.JSONDecoder()
_BETWEEN = re.compile(r"[ \t\r\n]*,?[ \t\r\n]*")
_SPACE = re.compile(r"[ \t\r\n]*")


class Survey(Struct, frozen=True):
    """The number of lines of a text file that end outside of quotes, and how they end.

    The last line may end with the file. `mixed`: some lines end otherwise than others.
    """

    lines: int
    mixed: bool = False


def survey(file: Path, *, quote: str = "") -> Survey:
    """Read a whole file and count its lines; line ends between quotes do not count.

    Raises Damaged for a file that cannot be unpacked and for NUL bytes, which text cannot have;
    OSError.
    """
    lines, in_quotes, last_byte, mark = 0, 0, b"\n", quote.encode()
    returns, pairs, feeds = 0, 0, 0
    for chunk in chunks(file):
        if not chunk:
            continue
        if b"\0" in chunk:
            line = lines + chunk.partition(b"\0")[0].count(b"\n") + 1
            raise _nul_problem(file, line)
        if b"\r" in chunk or last_byte == b"\r":
            returns += chunk.count(b"\r")
            pairs += chunk.count(b"\r\n") + (last_byte == b"\r" and chunk[:1] == b"\n")
            feeds += chunk.count(b"\n")
        elif b"\n" in chunk:
            feeds += 1  # enough to know that some lines end so
        last_byte = chunk[-1:]
        if mark and mark in chunk:
            pieces = chunk.split(mark)
            lines += b"".join(pieces[in_quotes::2]).count(b"\n")
            in_quotes = (in_quotes + len(pieces) - 1) % 2
        elif not in_quotes:
            lines += chunk.count(b"\n")
    kinds = (pairs > 0) + (returns > pairs) + (feeds > pairs)
    # Of many files, DuckDB leaves out a last line with an open quote, without an error.
    return Survey(lines + (bool(in_quotes) or last_byte not in {b"\n", b"\r"}), kinds > 1)


def _nul_problem(file: Path, line: int) -> Damaged:
    """Return what is wrong with a file with NUL bytes, the first in this line."""
    start = next((chunk for chunk in chunks(file) if chunk), b"")[:2]
    if start in {b"\xff\xfe", b"\xfe\xff"}:
        return Damaged("is UTF-16 and not UTF-8 text", 'Give encoding="utf-16".')
    return Damaged(
        f"holds NUL bytes, from line {line:,} on: "
        "it was not written to its end, or is no UTF-8 text",
        'Fetch the file again, or give its encoding=, such as "utf-16-le".',
    )


def is_recoded(source: Source, file: Path) -> bool:
    """Return whether engines cannot read a file as it is: they read a copy of its lines."""
    if not source.is_text:
        return False
    # As text: `suffix` of very many files costs more.
    return source.format == "json" or str(file).endswith(".zip") or source.dialect.is_recoded


class Lines:
    """The lines of a text file that are read as rows, as an iterator.

    They end as in the file, or, `recoded`, all in the same way outside of quotes. Bytes that are
    not UTF-8 become lone surrogates; of another encoding, they raise Damaged. Of several members of
    a zip file, only the first has its header. Of a list in JSON, each object is a line.
    """

    def __init__(self, source: Source, file: Path, *, recoded: bool = False) -> None:
        self.source, self.file = source, file
        self.number, self.member = 0, ""
        self.start = 0  # the first line that was read since it was set to 0
        is_special = recoded or is_recoded(source, file)
        self._lines = self._recoded() if is_special else self._plain()

    def __enter__(self) -> "Lines":
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.close()

    def __iter__(self) -> "Lines":
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.start = self.start or self.number
        return line

    def place(self, number: int | None = None) -> str:
        """Return the place of a line, by default of the last one, for messages."""
        kind = "object" if self.source.format == "json" else "line"
        place = f"{kind} {self.number if number is None else number:,}"
        return f"{clean(self.member)}, {place}" if self.member else place

    def _plain(self) -> Generator[str]:
        with closing(chunks(self.file)) as raw:
            for line in _as_text(raw, "utf-8-sig"):
                self.number += 1
                yield line

    def _recoded(self) -> Generator[str]:
        dialect, first_header = self.source.dialect, ""
        keeps_header = self.source.format != "csv" or not dialect.header
        for index, (member, raw) in enumerate(streams(self.file, dialect.member)):
            self.number, self.member = 0, member
            lines = self._of_member(_decoded(raw, dialect.encoding))
            if index == 0 and not keeps_header:
                first_header = next(lines, "")
                if first_header:
                    yield first_header
            elif not keeps_header and (header := next(lines, "")).strip() != first_header.strip():
                problem = f"has members with different headers: {clean(member)} has another"
                raise Damaged(problem, f"It has {clean(header.strip())[:200]}.")
            for line in lines:
                yield line if line.endswith(("\n", "\r")) else f"{line}\n"

    def _of_member(self, decoded: Iterator[bytes]) -> Generator[str]:
        """Yield the lines of a member without those that its source leaves out."""
        if self.source.format == "json":
            yield from self._objects(decoded)
            return
        dialect = self.source.dialect
        quotes = _Quotes(dialect) if self.source.format == "csv" else None
        for line in _as_text(decoded, "utf-8"):
            self.number += 1
            is_inside = quotes is not None and quotes.inside
            if self.number <= dialect.skip_rows:
                continue
            if dialect.comment_prefix and not is_inside and line.startswith(dialect.comment_prefix):
                continue
            if quotes:
                quotes.read(line)
            is_inside = quotes is not None and quotes.inside
            yield line if is_inside else line.rstrip("\r\n") + "\n"

    def _objects(self, decoded: Iterator[bytes]) -> Generator[str]:
        """Yield each element of a list in JSON, or each of the values that stand one by one."""
        text, is_list, at_end = "", None, False
        utf8 = codecs.getincrementaldecoder("utf-8")()
        while True:
            start = _SPACE.match(text).end()  # type: ignore[union-attr]
            if is_list is None and start < len(text):
                is_list = text[start] == "["
                text, start = text[start + is_list :], 0
                start = _SPACE.match(text).end()  # type: ignore[union-attr]
            if is_list and text[start : start + 1] == "]":
                text = text[start + 1 :]
                if text.strip():
                    raise Damaged("has text behind the end of its list", "")
                is_list = False
                continue
            try:
                _, end = _JSON.raw_decode(text, start)
                whole = at_end or end < len(text)
            except (ValueError, RecursionError):
                end, whole = start, False
            if whole and end > start:
                self.number += 1
                yield re.sub(r"[\r\n]+", " ", text[start:end]) + "\n"
                text = text[_BETWEEN.match(text, end).end() :]  # type: ignore[union-attr]
                continue
            if at_end:
                if text.strip() or is_list:
                    problem = f"is no JSON: object {self.number + 1:,} cannot be read"
                    raise Damaged(problem, "It is one list of objects, to its end.")
                return
            if len(text) > LONGEST_OBJECT:
                raise Damaged(
                    f"object {self.number + 1:,} is longer than {LONGEST_OBJECT:,} letters", ""
                )
            text, at_end = self._more(text, decoded, utf8)

    @staticmethod
    def _more(
        text: str, decoded: Iterator[bytes], utf8: codecs.IncrementalDecoder
    ) -> tuple[str, bool]:
        """Return a text with as much again of what follows, and whether that was the end."""
        pieces, wanted = [text], max(len(text), CHUNK)
        while wanted > 0:
            chunk = next(decoded, None)
            if chunk is None:
                return "".join(pieces), True
            pieces.append(utf8.decode(chunk))
            wanted -= len(pieces[-1])
        return "".join(pieces), False


class _Quotes:
    """Whether the end of the lines so far is inside of a field in quotes."""

    def __init__(self, dialect: Dialect) -> None:
        self.quote, self.inside = dialect.quote_char, False
        quote = re.escape(dialect.quote_char)
        escape = re.escape(dialect.escape)
        escaped = rf"{escape}." if dialect.escape and escape != quote else f"{quote}{quote}"
        inner = rf"(?:{escaped}|[^{quote}{escape}])*"
        self._rest = re.compile(rf"{inner}({quote})?", re.S)
        self._separator = dialect.separator

    def read(self, line: str) -> None:
        """Go on with one more line."""
        if not self.quote or (not self.inside and self.quote not in line):
            return
        start = 0
        if self.inside:
            match = self._rest.match(line)
            if match is None or match[1] is None:
                return
            self.inside, start = False, match.end()
        at_start = start == 0
        while start < len(line):
            if at_start and line[start] == self.quote:
                match = self._rest.match(line, start + 1)
                if match is None or match[1] is None:
                    self.inside = True
                    return
                start, at_start = match.end(), False
                continue
            end = line.find(self._separator, start)
            if end < 0:
                return
            start, at_start = end + 1, True


def _decoded(raw: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Yield text as UTF-8; Damaged, with the position, for bytes that do not decode."""
    decoder, read, start = codecs.getincrementaldecoder(encoding)(), 0, True
    for chunk, final in _with_last(raw):
        waiting = len(decoder.getstate()[0])
        try:
            text = decoder.decode(chunk, final)
        except UnicodeError as error:
            at = read - waiting + getattr(error, "start", 0)
            problem = f"is no {encoding} text: byte {at:,} cannot be read"
            raise Damaged(problem, 'Give its encoding=, such as "cp1252" or "utf-16".') from None
        read += len(chunk)
        if start and text:
            text, start = text.removeprefix(_BOM), False
        if "\0" in text:
            raise Damaged(
                f"holds NUL characters, before byte {read:,}",
                "Fetch the file again, or give another encoding=.",
            )
        yield text.encode("utf-8", "surrogatepass")


def _with_last(raw: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    yield from ((chunk, False) for chunk in raw)
    yield b"", True


class _Stream(io.RawIOBase):
    """Chunks of bytes as a raw stream."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.chunks, self.rest = chunks, b""

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


def _as_text(raw: Iterator[bytes], encoding: str) -> Iterator[str]:
    """Yield lines, line ends unchanged; Damaged for one that no memory should have to hold."""
    stream = io.BufferedReader(_Stream(raw), CHUNK)
    text = io.TextIOWrapper(stream, encoding=encoding, errors="surrogateescape", newline="")
    for number, line in enumerate(iter(lambda: text.readline(_LONGEST_LINE), ""), 1):
        if len(line) == _LONGEST_LINE and not line.endswith(("\r", "\n")):
            raise Damaged(
                f"has a line of more than {_LONGEST_LINE >> 20} million letters, line {number:,}",
                "Leave out what is so large, or hand it over as Parquet.",
            )
        yield line


def recoded(source: Source, file: Path) -> Iterator[bytes]:
    """Yield the lines of a file that engines read, as UTF-8, in pieces of any length."""
    dialect = source.dialect
    is_whole = not (dialect.skip_rows or dialect.comment_prefix or file.suffix == ".zip")
    if is_whole and source.format == "jsonl":
        yield from _decoded(chunks(file), dialect.encoding)
        return
    with Lines(source, file, recoded=True) as lines:
        pieces, size = [], 0
        for line in lines:
            pieces.append(line)
            size += len(line)
            if size > CHUNK:
                yield "".join(pieces).encode("utf-8", "surrogateescape")
                pieces, size = [], 0
        yield "".join(pieces).encode("utf-8", "surrogateescape")
