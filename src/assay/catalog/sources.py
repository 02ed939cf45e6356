"""The recorded files of sources: the last listings of each, and the files that were inspected."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from assay.catalog.arrivals import add_arrivals
from assay.catalog.database import Writer, rows_in
from assay.catalog.rows import decoded, event_or_none, files_of, moment_or_none, stamp
from assay.catalog.transactions import Transactions
from assay.catalog.undeclared import add_undeclared
from assay.facts import Arrival, Listing, SourceFile, SourceState, UndeclaredColumn
from assay.jsonform import encode

_LISTINGS = 5  # stored per source
_NEWEST_EVENTS = 100  # rows that are read first


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

    def last_read(self) -> Mapping[str, str]:
        """Return the digest of the last listing of each source that has one."""
        newest = "rowid in (select max(rowid) from listings group by source)"
        query = f"select source, digest from listings where {newest}"
        return {str(name): str(digest) for name, digest in self._database.rows(query)}

    def listings(self, source: str) -> Sequence[Listing]:
        """Return the recorded listings of a source, the last one first."""
        query = "select digest, seen, files from listings where source = ? order by rowid desc"
        rows = self._database.rows(query, [source])
        with decoded(self._database.name):
            return [
                Listing(digest=digest, seen=moment_or_none(seen), files=files_of(files))
                for digest, seen, files in rows
            ]

    def observed_at(self) -> Mapping[str, datetime | None]:
        """Return when something new was last observed, of each source that has a listing.

        None when an older Assay recorded it.
        """
        query = "select source, max(seen) from listings group by source"
        with decoded(self._database.name):
            rows = self._database.rows(query)
            return {name: moment_or_none(at) for name, at in rows}

    def remember(
        self, sources: Sequence[SourceState], arrivals: Sequence[Arrival] = (), *, seen: datetime
    ) -> None:
        """Record the files of sources, and what arrived; `seen` is when they were observed.

        Of each source, only the last few listings stay, and those that versions were built from.
        """
        # Two sources may have the same digest: the last is recorded.
        listings = {
            s.digest: (s.digest, s.name, encode(s.files).decode(), stamp(seen)) for s in sources
        }

        def add(writer: Writer) -> None:
            query = "select digest from listings where used = 1 and digest in"
            used = {digest for (digest,) in rows_in(writer, query, list(listings))}
            writer.many("delete from listings where digest = ?", [(digest,) for digest in listings])
            writer.many(
                "insert into listings (digest, source, files, seen, used) values (?, ?, ?, ?, ?)",
                [(*row, int(digest in used)) for digest, row in listings.items()],
            )
            writer.many(
                "delete from listings where source = ? and used = 0 and rowid not in"
                " (select rowid from listings where source = ? order by rowid desc limit ?)",
                [(s.name, s.name, _LISTINGS) for s in sources],
            )
            add_arrivals(writer, arrivals)

        self._write(add)

    def inspected(self, inspected_as: str) -> dict[str, datetime | None]:
        """Return the files that are as declared, by digest, each with its last event time."""
        query = "select digest, event from inspected where reading = ?"
        with decoded(self._database.name):
            rows = self._database.rows(query, [inspected_as])
            return {digest: event_or_none(text) for digest, text in rows}

    def latest_event(
        self, inspected_as: str, digests: Collection[str], until: datetime
    ) -> datetime | None:
        """Return the newest event, not after a moment, recorded of files with these digests."""
        query = (
            "select digest, event from inspected where reading = ? and event <= ?"
            " order by event desc, digest"
        )
        values = [inspected_as, stamp(until)]
        with decoded(self._database.name):
            # The newest file, as a rule, has the newest event: all rows are seldom needed.
            for limited in (f"{query} limit {_NEWEST_EVENTS}", query):
                for digest, text in self._database.rows(limited, values):
                    if digest.partition(" ")[0] in digests:
                        return event_or_none(text)
        return None

    def add_inspected(
        self,
        files: Sequence[tuple[str, str, datetime | None]],
        undeclared: Sequence[tuple[str, UndeclaredColumn]] = (),
    ) -> None:
        """Record that files are as declared: digest, `inspected_as` and last event of each.

        `undeclared` are the columns of these files that are not declared, each after its reading.
        """
        query = (
            "insert into inspected (digest, reading, event) values (?, ?, ?) on conflict do nothing"
        )
        rows = [(digest, reading, _event_text(event)) for digest, reading, event in files]

        def add(writer: Writer) -> None:
            writer.many(query, rows)
            add_undeclared(writer, undeclared)

        self._write(add)


def _event_text(at: datetime | None) -> str | None:
    """Return an event time such that the order of texts is that of times."""
    if at is None:
        return None
    return stamp(at) if at.tzinfo else at.isoformat(timespec="microseconds")
