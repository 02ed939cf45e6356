"""What engines read and write: stored tables, the files of inputs, and staged files."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote

from msgspec import Struct, field

from assay.errors import StoreError
from assay.facts import Part, SourceFile, Version, short
from assay.model import Column, Source
from assay.store.files import Storage
from assay.text import clean


class Origin(Struct, frozen=True):
    """The product and version of a stored table, and the SHA-256 of each of its files."""

    product: str
    version: str
    sums: Mapping[Path, str]


class StoredTable(Struct, frozen=True):
    """Parquet files that are one table.

    Of a file in `cuts`, only ranges of rows belong to the table: (first row, number of rows).
    `split` is a column and its type; folders of some files give its value (`day=2011-12-05`), so
    that readers can skip files without opening them.
    """

    files: tuple[Path, ...]
    cuts: Mapping[Path, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    split: tuple[str, str] | None = None
    origin: Origin | None = None

    @property
    def hive_files(self) -> list[Path]:
        """The whole files whose folder gives the value of the column `split`."""
        if self.split is None:
            return []
        return [file for file in self._whole_files if _column_of(file) == self.split[0]]

    @property
    def plain_files(self) -> list[Path]:
        """The other whole files."""
        hive_files = set(self.hive_files)
        return [file for file in self._whole_files if file not in hive_files]

    @property
    def _whole_files(self) -> list[Path]:
        return [file for file in self.files if file not in self.cuts]


def split_of(files: Iterable[Path]) -> set[str]:
    """Return the columns whose values the folders of these files give."""
    return {name for file in files if (name := _column_of(file))}


def _column_of(file: Path) -> str:
    name, equals, _ = file.parent.name.partition("=")
    return unquote(name) if equals else ""


class PartRows(Struct, frozen=True):
    """Rows of a file that are of one of several parts: its number, the first row, and their count.

    `rows` is None for the whole file.
    """

    part: int
    file: Path
    first: int = 0
    rows: int | None = None


class Shape(Struct, frozen=True):
    """What files of a source have in common that others of it have not.

    - `key`: differs for another shape.
    - `names`: the name in these files of each declared column that they have.
    - `absent`: names of columns that these files must not have, by their day.
    """

    key: str
    names: Mapping[str, str]
    absent: tuple[str, ...] = ()


class TextTable(Struct, frozen=True):
    """SQL that reads text files of a source, and the names in their headers that it does not declare."""

    sql: str
    files: list[Path]
    undeclared: tuple[str, ...] = ()


# Columns of files that their source does not declare, each list with the files that have it.
Undeclared = dict[tuple[str, ...], list[Path]]


class InputFiles(Struct, frozen=True, kw_only=True):
    """One input as files: `alias` is its name in the product's code.

    Of a source, `source` is its declaration (how to read the files), `root` the project's folder,
    `observed` the files as they were when they were listed, and `copies` the folder for copies of
    files that engines cannot read. Of a source whose rows are stored, `declared` are its columns
    of types that are not stored: enums and zones. With `part_rows`, it is an input of many parts at
    once: its rows have the number of their part in the column `__part`. With `shape`, all files are
    of one shape, and `source` declares what these files have, by the names that they have.
    With `empty`, it is a table without files that has these columns and no rows.
    """

    alias: str
    name: str
    table: StoredTable
    source: Source | None = None
    root: str = ""
    observed: tuple[SourceFile, ...] = ()
    part_rows: tuple[PartRows, ...] = ()
    copies: str = ""
    declared: tuple[Column, ...] = ()
    shape: Shape | None = None
    empty: tuple[Column, ...] = ()

    @property
    def path_regex(self) -> str:
        """The regular expression that whole paths of a source's files match."""
        assert self.source is not None
        below = "" if self.source.pattern.startswith("/") else re.escape(f"{self.root}/")
        return f"^{below}{self.source.path_regex}$"

    def path_of(self, file: Path) -> str:
        """Return the path of a file for messages: relative to the project's folder, if below it."""
        return clean(str(file).removeprefix(f"{self.root}/"))

    @property
    def is_table(self) -> bool:
        """Whether the input is a table, not a file that is handed over as such."""
        if self.source:
            return not self.source.is_file
        return bool(self.empty) or self.paths[0].suffix == ".parquet"

    @property
    def paths(self) -> tuple[Path, ...]:
        """The paths of the files, also of files of which only some rows are read."""
        return self.table.files


def stored(version: Version, storage: Storage, parts: Iterable[Part] | None = None) -> StoredTable:
    """Return the table that a version, or some of its parts, are stored as, in order of parts.

    Raises StoreError for a file that is missing or not of its size.
    """
    return _stored(version, version.parts if parts is None else parts, storage.locate)


def stored_singly(version: Version, storage: Storage) -> Callable[[Sequence[Part]], StoredTable]:
    """Return a function as `stored`, for many calls: it looks at each file once."""
    located: dict[str, Path] = {}

    def locate(part: Part) -> Path:
        if part.path not in located:
            located[part.path] = storage.locate(part)
        return located[part.path]

    return lambda parts: _stored(version, parts, locate)


def _stored(version: Version, parts: Iterable[Part], locate: Callable[[Part], Path]) -> StoredTable:
    by_path: dict[str, list[Part]] = {}
    for part in parts:
        by_path.setdefault(part.path, []).append(part)
    try:
        files = {path: locate(inside[0]) for path, inside in by_path.items()}
    except StoreError as error:
        raise unreadable(version.product, version.id, error.what, error.hint) from None
    cuts = {}
    for path, inside in by_path.items():
        ranges = _row_ranges(inside)
        if ranges:
            cuts[files[path]] = ranges
    sums = {files[path]: inside[0].checksum for path, inside in by_path.items()}
    origin = Origin(version.product, version.id, sums)
    return StoredTable(tuple(files.values()), cuts, origin=origin)


def unreadable(product: str, version: str, why: str, hint: str = "") -> StoreError:
    """Return the error for a version that cannot be read."""
    advice = (
        f"`products verify {product} --repair` looks for another copy; "
        f"`products materialize {product}` builds it again."
    )
    return StoreError(f"{product} {short(version)} cannot be read: {why}", hint=hint or advice)


def _row_ranges(parts: Sequence[Part]) -> tuple[tuple[int, int], ...]:
    """Return the ranges of rows (first, number) that parts are of one file; () for the whole file.

    Neighbouring parts are one range.
    """
    rows_in_file = parts[0].of
    if rows_in_file is None:
        return ()
    ranges = joined_ranges((part.start, part.rows) for part in parts)
    return () if ranges == ((0, rows_in_file),) else ranges


def joined_ranges(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return ranges of rows (first, number) in order, neighbours as one."""
    joined: list[tuple[int, int]] = []
    for start, rows in sorted(ranges):
        if joined and sum(joined[-1]) == start:
            joined[-1] = (joined[-1][0], joined[-1][1] + rows)
        else:
            joined.append((start, rows))
    return tuple(joined)


class Measured(Struct, frozen=True, kw_only=True):
    """What a staged file holds: rows, columns as stored, content digest, and the last event time.

    `foreign_rows` counts the rows that belong to another part.
    """

    rows: int
    columns: tuple[Column, ...]
    digest: str
    data_as_of: datetime | None = None
    foreign_rows: int = 0
