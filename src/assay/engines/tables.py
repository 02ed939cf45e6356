"""What engines read and leave behind: an input's files and how to read them; what a staged file holds."""

import re
from collections.abc import Iterable, Mapping, Sequence
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
    """Whose a stored table is, and the SHA-256 of each of its files: what is asked when they cannot be read."""

    product: str
    version: str
    sums: Mapping[Path, str]


class StoredTable(Struct, frozen=True):
    """Parquet files that are one table; of those in `cuts`, only ranges of rows are it (the first, and how many).

    `split` is a column, and its type, whose value some files' folders tell (`day=2011-12-05`), so that readers skip
    those without opening them. `behind` says whose it is.
    """

    files: tuple[Path, ...]
    cuts: Mapping[Path, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    split: tuple[str, str] | None = None
    behind: Origin | None = None

    @property
    def hive_files(self) -> list[Path]:
        """The whole files whose folder gives the value of the column `split`."""
        return [file for file in self._whole if self.split and _column_of(file) == self.split[0]]

    @property
    def plain_files(self) -> list[Path]:
        """The other whole files."""
        hive_files = set(self.hive_files)
        return [file for file in self._whole if file not in hive_files]

    @property
    def _whole(self) -> list[Path]:
        return [file for file in self.files if file not in self.cuts]


def split_of(files: Iterable[Path]) -> set[str]:
    """Return the columns whose values the folders of these files tell."""
    return {name for file in files if (name := _column_of(file))}


def _column_of(file: Path) -> str:
    name, equals, _ = file.parent.name.partition("=")
    return unquote(name) if equals else ""


class InputFiles(Struct, frozen=True, kw_only=True):
    """One input as files: `alias` is what the code calls it, `source` how to read files that are not ours.

    `root` is the folder of the project, below which those are, and `observed` how they were found there.
    """

    alias: str
    name: str
    table: StoredTable
    source: Source | None = None
    root: str = ""
    observed: tuple[SourceFile, ...] = ()

    @property
    def path_regex(self) -> str:
        """The regular expression that the paths of a source match, from the first letter to the last."""
        assert self.source is not None
        below = "" if self.source.pattern.startswith("/") else re.escape(f"{self.root}/")
        return f"^{below}{self.source.path_regex}$"

    def path_of(self, file: Path) -> str:
        """Return a file as users know it: by its path below the root of the project, if it is there."""
        return clean(str(file).removeprefix(f"{self.root}/"))

    @property
    def is_table(self) -> bool:
        """Whether it is a table, and no file that is handed over as such."""
        return not self.source.is_file if self.source else self.paths[0].suffix == ".parquet"

    @property
    def paths(self) -> tuple[Path, ...]:
        """The paths of the files, also of files of which only some rows are read."""
        return self.table.files


def stored(version: Version, storage: Storage, parts: Iterable[Part] | None = None) -> StoredTable:
    """Return where a version, or these parts of it, are read, in order; StoreError when a file is not whole."""
    found: dict[str, list[Part]] = {}
    for part in version.parts if parts is None else parts:
        found.setdefault(part.path, []).append(part)
    try:
        files = {path: storage.locate(of[0]) for path, of in found.items()}
    except StoreError as error:
        raise unreadable(version.product, version.id, error.what, error.hint) from None
    cuts = {files[path]: cut for path, of in found.items() if (cut := _cut(of))}
    sums = {files[path]: of[0].checksum for path, of in found.items()}
    return StoredTable(
        tuple(files.values()), cuts, behind=Origin(version.product, version.id, sums)
    )


def unreadable(product: str, version: str, why: str, hint: str = "") -> StoreError:
    """Return what is said of a version that cannot be read."""
    return StoreError(
        f"{product} {short(version)} cannot be read: {why}",
        hint=hint
        or f"`products verify {product} --repair` looks for another copy; `products materialize {product}` builds it"
        " again.",
    )


def _cut(parts: Sequence[Part]) -> tuple[tuple[int, int], ...]:
    """Return the ranges of rows of a file that these parts are, neighbours as one; () for all of it."""
    if parts[0].of is None:
        return ()
    ranges: list[tuple[int, int]] = []
    for part in sorted(parts, key=lambda part: part.start):
        if ranges and sum(ranges[-1]) == part.start:
            ranges[-1] = (ranges[-1][0], ranges[-1][1] + part.rows)
        else:
            ranges.append((part.start, part.rows))
    return () if ranges == [(0, parts[0].of)] else tuple(ranges)


class Measured(Struct, frozen=True, kw_only=True):
    """What a staged file holds: rows, columns as stored, content digest, and the last event time.

    `foreign_rows` counts the rows that belong to another part.
    """

    rows: int
    columns: tuple[Column, ...]
    digest: str
    data_as_of: datetime | None = None
    foreign_rows: int = 0
