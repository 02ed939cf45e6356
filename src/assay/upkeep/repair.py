"""Repairs damage where bytes prove what is right, and sets the rest aside; deletes nothing."""

import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from msgspec.structs import replace

from assay.catalog import Catalog
from assay.errors import AssayError, CatalogError, StoreError
from assay.facts import Part
from assay.store.files import LocalStorage, file_digest
from assay.store.permissions import file_mode
from assay.upkeep.audit import Audit, StoredFile
from assay.upkeep.findings import Finding, FindingKind

HISTORY = "`products gc` lets go of it, once it need not be kept (sooner: `--keep N`, `--days D`)."


def mend_catalog(catalog: Catalog, findings: Sequence[Finding]) -> list[Finding]:
    """Rebuild the indexes of a catalog if only they are damaged; the tables hold all values."""
    try:
        if all(_is_of_index(finding.message) for finding in findings) and catalog.database.mend():
            repaired = "its indexes were made anew from the tables"
            return [replace(finding, repaired=repaired) for finding in findings]
    except CatalogError:
        pass  # the tables are damaged too: nothing proves what is right
    return list(findings)


def _is_of_index(message: str) -> bool:
    """Return whether a message of SQLite's integrity check is about an index."""
    return "index" in message


def repair(
    catalog: Catalog,
    storage: LocalStorage,
    audit: Audit,
    findings: Sequence[Finding],
    *,
    now: datetime,
) -> list[Finding]:
    """Repair what can be repaired; return the findings, each with what was done about it."""
    damaged = [f for f in findings if f.kind.loses_bytes and f.file in audit.files]
    mended: dict[str, Finding] = {}
    if damaged:
        run = f"repair-{now:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
        mending = _Mending(catalog, storage, _Copies(storage, audit, findings), now=now)
        products = {_product_of(finding.file): "" for finding in damaged}
        with catalog.runs.open(run, "", now, products, storage.remove, recorded=catalog.recorded()):
            for number, finding in enumerate(damaged):
                folder = f"{_product_of(finding.file)}/{run}/{number}"
                mended[finding.file] = mending.mend(finding, audit.files[finding.file], folder)
    return [mended.get(f.file) or _cleared(f, storage, audit) for f in findings]


def _product_of(path: str) -> str:
    """Return the product of a file: the first folder of its path."""
    return path.partition("/")[0]


class _Mending:
    """Restores damaged files from copies, in one run."""

    def __init__(
        self, catalog: Catalog, storage: LocalStorage, copies: "_Copies", *, now: datetime
    ) -> None:
        self.catalog, self.storage, self.copies, self.now = catalog, storage, copies, now

    def mend(self, finding: Finding, file: StoredFile, folder: str) -> Finding:
        """Restore a file in a new folder; without any copy, set it aside."""
        try:
            if copy := next(self.copies.of(file), None):
                self._restore_bytes(copy, file, folder)
                repaired = f"from {self._shown(copy)}, which has the same SHA-256"
                return replace(finding, repaired=repaired)
            if copy := self._restore_rows(file, folder):
                repaired = f"from {self._shown(copy)}, which holds the same rows"
                return replace(finding, repaired=repaired)
            moved = ""
            if finding.kind is not FindingKind.MISSING:
                moved = f"It is set aside as {self._shown(self.storage.set_aside(file.path))}. "
        except (OSError, AssayError) as error:
            return replace(finding, advice=f"This could not be repaired: {error}")
        advice = f"It is only history. {HISTORY}"
        if finding.readers:
            advice = f"`products materialize {file.product}` builds what it is now."
        return replace(finding, advice=f"{moved}No other file has its bytes. {advice}")

    def _restore_bytes(self, copy: Path, file: StoredFile, folder: str) -> None:
        """Copy a file with the same bytes, and move the parts of the damaged file there."""
        parts = self.catalog.parts(file.parts).values()
        path = _path_in(folder, file.path)
        self._relocate([self._copied(part, copy, path, part) for part in parts])

    def _restore_rows(self, file: StoredFile, folder: str) -> Path | None:
        """Move each part of a file to a copy of an intact file that holds its rows.

        Returns the last of those files; None, and nothing is moved, if there is none for one part.
        """
        moved, source = [], None
        for number, (id, part) in enumerate(self.catalog.parts(file.parts).items()):
            twins = (twin for twin in self.catalog.twins(id) if twin.columns == part.columns)
            twin = next((twin for twin in twins if self.copies.is_intact(twin.path)), None)
            if twin is None:
                return None
            source = self.storage.root / twin.path
            path = _path_in(f"{folder}-{number}", twin.path)
            moved.append(self._copied(part, source, path, twin))
        self._relocate(moved)
        return source

    def _copied(self, part: Part, copy: Path, path: str, twin: Part) -> Part:
        """Copy a file to `path`; return the part there, in the same rows as `twin` in the file."""
        target = self.storage.prepare(path)
        if not target.exists():
            shutil.copyfile(copy, target)
        size, checksum, modified = self.storage.seal(path)
        if checksum != twin.checksum:
            raise StoreError(f"{self._shown(copy)} is not what it was a moment ago")
        return replace(
            part,
            path=path,
            start=twin.start,
            of=twin.of,
            bytes=size,
            checksum=checksum,
            modified=modified,
        )

    def _relocate(self, moved: Sequence[Part]) -> None:
        """Make the new files durable, then record where the parts are."""
        self.storage.flush({part.path for part in moved})
        self.catalog.relocate(moved, self.now)

    def _shown(self, path: Path) -> str:
        """Return a path as messages show it: from the folder of the project."""
        return path.relative_to(self.storage.root.parent.parent).as_posix()


class _Copies:
    """Finds files with the bytes that a damaged file has lost; each candidate is read once."""

    def __init__(self, storage: LocalStorage, audit: Audit, findings: Sequence[Finding]) -> None:
        self.storage, self._digests = storage, dict[Path, str]()
        lost = {finding.file for finding in findings if finding.kind.loses_bytes}
        self.intact = {path: file for path, file in audit.files.items() if path not in lost}
        self.foreign = [
            storage.root / finding.file
            for finding in findings
            if finding.kind is FindingKind.FOREIGN
        ]

    def of(self, file: StoredFile) -> Iterator[Path]:
        """Yield the files with exactly these bytes."""
        for path in self._candidates(file):
            if path not in self._digests:
                self._digests[path] = ""
                with suppress(OSError):  # it is gone, or cannot be read
                    self._digests[path] = file_digest(path)
            if self._digests[path] == file.checksum:
                yield path

    def is_intact(self, path: str) -> bool:
        """Return whether the catalog names a file, and no damage of it was found."""
        return path in self.intact

    def _candidates(self, file: StoredFile) -> Iterator[Path]:
        """Yield intact files of the same checksum, then foreign and damaged ones of the size."""
        for named in self.intact.values():
            if named.checksum == file.checksum:
                yield self.storage.root / named.path
        for place in [*self.foreign, self.storage.root.with_name("damaged")]:
            for path in [place] if place.is_file() else place.rglob("*"):
                if path.is_file() and not path.is_symlink() and path.stat().st_size == file.bytes:
                    yield path


def _cleared(finding: Finding, storage: LocalStorage, audit: Audit) -> Finding:
    """Make a writable file read-only; move a foreign one out of the store."""
    try:
        if finding.kind is FindingKind.WRITABLE:
            (storage.root / finding.file).chmod(file_mode(storage.root) & 0o440)
            return replace(finding, repaired="it is read-only again")
        if finding.kind is FindingKind.FOREIGN:
            if audit.busy:
                advice = "A run is at work: `--repair` moves it away when there is none."
                return replace(finding, advice=advice)
            moved = storage.set_aside(finding.file).relative_to(storage.root.parent.parent)
            return replace(finding, repaired=f"moved to {moved.as_posix()}")
    except (OSError, AssayError) as error:
        return replace(finding, advice=f"This could not be repaired: {error}")
    return finding


def _path_in(folder: str, path: str) -> str:
    """Return where a file goes in a new folder; its sub-folders stay: `day=…` is a value."""
    return f"{folder}/{'/'.join(path.split('/')[2:]) or 'data'}"
