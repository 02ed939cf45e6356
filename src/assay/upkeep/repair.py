"""Mends what `verify` found where the bytes prove what is right; sets the rest aside, and deletes nothing."""

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
from assay.upkeep.audit import Audit, Kept
from assay.upkeep.findings import Finding

HISTORY = "`products gc` lets go of it, once it need not be kept (sooner: `--keep N`, `--days D`)."
_DAMAGED = {"missing", "truncated", "edited", "unreadable"}


def mend_catalog(catalog: Catalog, sick: Sequence[Finding]) -> list[Finding]:
    """Make the indexes of a catalog anew when they alone are damaged: all that they hold is in the tables too."""
    try:
        if all("index" in finding.says for finding in sick) and catalog.database.mend():
            return [
                replace(finding, repaired="its indexes were made anew from the tables")
                for finding in sick
            ]
    except CatalogError:
        pass  # the tables are damaged too: there is nothing to prove by
    return list(sick)


def repair(
    catalog: Catalog,
    storage: LocalStorage,
    audit: Audit,
    findings: Sequence[Finding],
    *,
    now: datetime,
) -> list[Finding]:
    """Return the findings, each with what was done about it."""
    damaged = [f for f in findings if f.found in _DAMAGED and f.file in audit.files]
    done: dict[str, Finding] = {}
    if damaged:
        run = f"repair-{now:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
        mending = _Mending(catalog, storage, _Copies(storage, audit, findings), now=now)
        wanted = {finding.file.partition("/")[0]: "" for finding in damaged}
        with catalog.runs.open(run, "", now, wanted, storage.remove, recorded=catalog.recorded()):
            for number, finding in enumerate(damaged):
                folder = f"{finding.file.partition('/')[0]}/{run}/{number}"
                done[finding.file] = mending.mend(finding, audit.files[finding.file], folder)
    return [done[f.file] if f.file in done else _cleared(f, storage, audit) for f in findings]


class _Mending:
    """One round of putting files back."""

    def __init__(
        self, catalog: Catalog, storage: LocalStorage, copies: "_Copies", *, now: datetime
    ) -> None:
        self.catalog, self.storage, self.copies, self.now = catalog, storage, copies, now

    def mend(self, finding: Finding, kept: Kept, folder: str) -> Finding:
        """Put what proves to be the same in a fresh folder; without it, let the file be missing."""
        try:
            if copy := next(self.copies.of(kept), None):
                self._same_bytes(copy, kept, folder)
                return replace(
                    finding, repaired=f"from {self._told(copy)}, which has the same SHA-256"
                )
            if twin := self._same_rows(kept, folder):
                return replace(
                    finding, repaired=f"from {self._told(twin)}, which holds the same rows"
                )
            where = ""
            if finding.found != "missing":
                where = f"It is set aside as {self._told(self.storage.set_aside(kept.path))}. "
        except (OSError, AssayError) as error:
            return replace(finding, do=f"This could not be repaired: {error}")
        then = (
            f"`products materialize {kept.product}` builds what it is now."
            if finding.readers
            else f"It is only history. {HISTORY}"
        )
        return replace(finding, do=f"{where}No other file has its bytes. {then}")

    def _same_bytes(self, copy: Path, kept: Kept, folder: str) -> None:
        """Let the parts of a file be in a copy of one that has its bytes."""
        parts = self.catalog.parts(kept.parts).values()
        moved = [self._in_copy(part, copy, _below(folder, kept.path), part) for part in parts]
        self._relocated(moved)

    def _same_rows(self, kept: Kept, folder: str) -> Path | None:
        """Let each part of a file be in a copy of one that holds its rows; returns the last of those."""
        moved, found = [], None
        for number, (id, part) in enumerate(self.catalog.parts(kept.parts).items()):
            twins = (twin for twin in self.catalog.twins(id) if twin.columns == part.columns)
            twin = next((twin for twin in twins if self.copies.is_whole(twin.path)), None)
            if twin is None:
                return None
            found = self.storage.root / twin.path
            moved.append(self._in_copy(part, found, _below(f"{folder}-{number}", twin.path), twin))
        self._relocated(moved)
        return found

    def _in_copy(self, part: Part, copy: Path, path: str, like: Part) -> Part:
        """Return a part as it is in a copy, at `path`, of a file in which it is where `like` is."""
        target = self.storage.prepare(path)
        if not target.exists():
            shutil.copyfile(copy, target)
        size, checksum, modified = self.storage.seal(path)
        if checksum != like.checksum:
            raise StoreError(f"{self._told(copy)} is not what it was a moment ago")
        return replace(
            part,
            path=path,
            start=like.start,
            of=like.of,
            bytes=size,
            checksum=checksum,
            modified=modified,
        )

    def _relocated(self, moved: Sequence[Part]) -> None:
        self.storage.flush({part.path for part in moved})
        self.catalog.relocate(moved, self.now)

    def _told(self, path: Path) -> str:
        return path.relative_to(self.storage.root.parent.parent).as_posix()


class _Copies:
    """Files that may hold the bytes that another has lost; each is read when somebody asks for one of its size."""

    def __init__(self, storage: LocalStorage, audit: Audit, findings: Sequence[Finding]) -> None:
        self.storage, self._digests = storage, dict[Path, str]()
        lost = {finding.file for finding in findings if finding.found in _DAMAGED}
        self.named = [kept for path, kept in audit.files.items() if path not in lost]
        self._whole = {kept.path for kept in self.named}
        self.foreign = [
            storage.root / finding.file for finding in findings if finding.found == "foreign"
        ]

    def of(self, kept: Kept) -> Iterator[Path]:
        """Yield the files with just these bytes."""
        for path in self._of_size(kept):
            if path not in self._digests:
                self._digests[path] = ""
                with suppress(OSError):  # it is lost itself
                    self._digests[path] = file_digest(path)
            if self._digests[path] == kept.checksum:
                yield path

    def is_whole(self, path: str) -> bool:
        """Say whether a file is named, and was found to be whole."""
        return path in self._whole

    def _of_size(self, kept: Kept) -> Iterator[Path]:
        yield from (
            self.storage.root / other.path
            for other in self.named
            if other.checksum == kept.checksum
        )
        for place in [*self.foreign, self.storage.root.with_name("damaged")]:
            for file in [place] if place.is_file() else place.rglob("*"):
                if file.is_file() and not file.is_symlink() and file.stat().st_size == kept.bytes:
                    yield file


def _cleared(finding: Finding, storage: LocalStorage, audit: Audit) -> Finding:
    """Move away what nothing names, and make read-only what should be."""
    try:
        if finding.found == "writable":
            (storage.root / finding.file).chmod(file_mode(storage.root) & 0o440)
            return replace(finding, repaired="it is read-only again")
        if finding.found == "foreign" and audit.busy:
            return replace(
                finding, do="A run is at work: `--repair` moves it away when there is none."
            )
        if finding.found == "foreign":
            aside = storage.set_aside(finding.file).relative_to(storage.root.parent.parent)
            return replace(finding, repaired=f"moved to {aside.as_posix()}")
    except (OSError, AssayError) as error:
        return replace(finding, do=f"This could not be repaired: {error}")
    return finding


def _below(folder: str, path: str) -> str:
    """Return where a file goes in a fresh folder; those above it stay: they may tell a value (`day=2011-12-05`)."""
    return f"{folder}/{'/'.join(path.split('/')[2:]) or 'data'}"
