"""The recorded files of sources: the last listings of each, and the files that were inspected."""

from collections.abc import Collection, Mapping, Sequence

from assay.catalog.database import Writer
from assay.catalog.rows import decoded, files_of
from assay.catalog.transactions import Transactions
from assay.facts import SourceFile, SourceState
from assay.jsonform import encode

_LISTINGS = 5  # stored per source


class SourceFiles:
    """What the catalog records of the files of sources."""

    def __init__(self, transactions: Transactions) -> None:
        self._database, self._write = transactions.database, transactions.write
        self._last: dict[str, tuple[SourceFile, ...]] = {}  # last listings read, by digest

    def last_seen(self, sources: Collection[str]) -> Mapping[str, SourceFile]:
        """Return the files in the newest listings of these sources, by path.

        A path that two sources have is that of the later listing.
        """
        newest = "rowid in (select max(rowid) from listings group by source)"
        query = f"select digest, source, files from listings where {newest} order by rowid"
        rows = [row for row in self._database.rows(query) if row[1] in sources] if sources else []
        with decoded(self._database.name):
            self._last = {digest: files_of(files) for digest, _, files in rows}
        return {file.path: file for files in self._last.values() for file in files}

    def listing(self, digest: str) -> Sequence[SourceFile] | None:
        """Return the files behind the content digest of a source; None if they are not recorded."""
        if digest in self._last:
            return self._last[digest]
        rows = self._database.rows("select files from listings where digest = ?", [digest])
        with decoded(self._database.name):
            return files_of(rows[0][0]) if rows else None

    def remember(self, sources: Sequence[SourceState]) -> None:
        """Record the files of sources; of each source, only the last few listings stay."""
        # Two sources may have the same digest: the last is recorded.
        listings = {s.digest: (s.digest, s.name, encode(s.files).decode()) for s in sources}

        def add(writer: Writer) -> None:
            writer.many("delete from listings where digest = ?", [(digest,) for digest in listings])
            writer.many(
                "insert into listings (digest, source, files) values (?, ?, ?)",
                list(listings.values()),
            )
            writer.many(
                "delete from listings where source = ? and rowid not in"
                " (select rowid from listings where source = ? order by rowid desc limit ?)",
                [(s.name, s.name, _LISTINGS) for s in sources],
            )

        self._write(add)

    def inspected(self, reading: str) -> set[str]:
        """Return the digests of the files that are known to be as declared, if read like this."""
        query = "select digest from inspected where reading = ?"
        return {digest for (digest,) in self._database.rows(query, [reading])}

    def add_inspected(self, files: Sequence[tuple[str, str]]) -> None:
        """Record that files are as declared, each by its digest and how it was read."""
        query = "insert into inspected (digest, reading) values (?, ?) on conflict do nothing"
        self._write(lambda writer: writer.many(query, files))
