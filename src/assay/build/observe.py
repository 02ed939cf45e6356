"""Reads catalog, sources and clock once: the state that decisions depend on."""

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

from msgspec.structs import replace

from assay.catalog import Catalog
from assay.facts import SourceFile, SourceState
from assay.model import Source
from assay.plan.digests import source_digest
from assay.plan.observed import Observed
from assay.plan.parts import keys_of
from assay.store.files import Storage, digest_of, file_digest, kind_of, opened
from assay.store.matching import matching
from assay.text import clean

# A file that changed this shortly before it was read may change again within the same
# timestamp (git's racy rule). The time is the ctime of its inode: a program that replaces a file
# can set its other times.
_RACY_NS = 2_000_000_000
_EXAMPLES = {
    "day": " (such as 2011-12-09)",
    "month": " (such as 2011-12)",
    "year": " (such as 2011)",
}


def observe(
    root: Path,
    sources: Mapping[str, Source],
    catalog: Catalog,
    storage: Storage,
    *,
    environment: str,
    now: datetime,
    recent: Mapping[str, SourceState] | None = None,
) -> Observed:
    """Return sources by content, and what the catalog holds for an environment, at `now`.

    The `recent` sources are not looked at again.
    """
    recent = recent or {}
    recorded = catalog.recorded()
    listings = catalog.sources.last_seen(sources)
    return Observed(
        recorded=recorded,
        now=now,
        environment=environment,
        sources={
            name: recent.get(name) or observe_source(root, source, listings)
            for name, source in sources.items()
        },
        facts=catalog.facts(environment, storage.holds),
        seen=listings,
    )


# ------------------------------------------------------------------------------------------ sources


def observe_source(root: Path, source: Source, listings: Mapping[str, SourceFile]) -> SourceState:
    """Return a source as it is now; a file that is unchanged since its listing is not read again.

    `listings` are by path. The source is `missing`, with the reason, if one of its files cannot be
    looked at: it may still exist.
    """
    try:
        files = tuple(_files(root, source, listings))
    except _Unusable as problem:
        return SourceState(name=source.name, missing=f"{source.name}: {problem}")
    if not files:
        return SourceState(
            name=source.name, missing=f"{source.name}: no file matches {source.pattern}"
        )
    digest = source_digest(source.reading, ((f.path, f.digest) for f in files))
    return SourceState(name=source.name, digest=digest, files=files, reading=source.reading)


class _Unusable(Exception):
    """Why a source cannot be read."""


def _files(root: Path, source: Source, listings: Mapping[str, SourceFile]) -> Iterator[SourceFile]:
    """Yield the files of a source by path; raise _Unusable if one cannot be read."""
    part_of, top = keys_of(source), str(root)
    for path in _paths(root, source.pattern):  # texts, since a Path for each of very many is slow
        full = path if path.startswith("/") else f"{top}/{path}"
        try:
            status = os.stat(full)  # noqa: PTH116
            if stat.S_ISDIR(status.st_mode):
                continue
            _check(path, status)
            part = part_of(path)
            if part is None:
                raise _Unusable(f"{clean(path)} does not say {_part_names(source)}")
            listed = listings.get(path)
            if listed is None or not _is_unchanged(listed, status):
                yield _read(full, path, part)
            else:
                yield _as_now(listed, part, status)
        except OSError as error:
            raise _Unusable(f"cannot read {clean(path)}: {error.strerror}") from error


def _as_now(listed: SourceFile, part: str, status: os.stat_result) -> SourceFile:
    """Return an unchanged file; older listings do not have the time when it was written."""
    if listed.part == part and listed.modified_ns == status.st_mtime_ns:
        return listed  # the same object: see has_new_listing
    return replace(listed, part=part, modified_ns=status.st_mtime_ns)


def _paths(root: Path, pattern: str) -> list[str]:
    try:
        return sorted(set(matching(root, pattern)))
    except OSError as error:
        folder = error.filename
        if not pattern.startswith("/"):
            folder = os.path.relpath(folder, root)
        raise _Unusable(f"cannot look into {clean(folder)}: {error.strerror}") from error


def _check(path: str, status: os.stat_result) -> None:
    """Raise _Unusable for what is not a regular file, and for a name that is not UTF-8."""
    if not stat.S_ISREG(status.st_mode):
        kind = kind_of(status.st_mode)
        raise _Unusable(f"{clean(path)} is {kind}, and a source is read from regular files")
    if not path.isascii() and not _is_utf8(path):
        raise _Unusable(f"a file's name is not UTF-8: {path!a}")


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _read(full: str, path: str, part: str) -> SourceFile:
    """Return a file as it was when reading it began; a change meanwhile is found next time."""
    with opened(Path(full)) as file:
        status = os.fstat(file)
        _check(path, status)
        digest = digest_of(file)
    return SourceFile(
        path=path,
        size=status.st_size,
        ctime_ns=status.st_ctime_ns,
        digest=digest,
        part=part,
        inode=status.st_ino,
        device=status.st_dev,
        modified_ns=status.st_mtime_ns,
    )


def _part_names(source: Source) -> str:
    """Return what the path of a file has to contain, as it continues a sentence."""
    assert source.partition is not None
    names = ", ".join(source.partition.names)
    return f"its {names}{_EXAMPLES.get(source.partition.grain, '')}"


# ----------------------------------------------------------------------------------------- listings


def has_new_listing(state: SourceState, listings: Mapping[str, SourceFile], now: datetime) -> bool:
    """Return whether a file differs from its listing, and its ctime is old enough to be trusted."""
    racy_from = _racy_from(now)
    for file in state.files:
        listed = listings.get(file.path)
        # Most files are the very objects of their listings.
        if file is listed or file.ctime_ns >= racy_from:
            continue
        if listed is None or replace(listed, part=file.part) != file:
            return True
    return False


def without_racy_times(state: SourceState, now: datetime) -> SourceState:
    """Return a source with a ctime of 0 for files that changed too recently to trust it."""
    racy_from = _racy_from(now)
    files = [replace(f, ctime_ns=0) if f.ctime_ns >= racy_from else f for f in state.files]
    return replace(state, files=tuple(files))


def changed_just_now(state: SourceState, now: datetime) -> bool:
    """Return whether a file changed within the last seconds: its time will be trusted soon."""
    at = int(now.timestamp() * 1e9)
    return any(abs(at - file.ctime_ns) < _RACY_NS for file in state.files)


def changed_since(root: Path, files: Iterable[SourceFile], now: datetime) -> str:
    """Return the path of the first file that is not as it was observed at `now`; '' if all are.

    A file whose ctime was too recent then is read again. Raises OSError for a file that cannot be
    looked at: it may be unchanged.
    """
    racy_from = _racy_from(now)
    for observed in files:
        file = root / observed.path
        try:
            if not _is_unchanged(observed, file.stat()):
                return observed.path
            if observed.ctime_ns >= racy_from and file_digest(file) != observed.digest:
                return observed.path
        except (FileNotFoundError, NotADirectoryError):
            return observed.path
    return ""


def _is_unchanged(listed: SourceFile, status: os.stat_result) -> bool:
    """Return whether a file is the one that was read, as far as its status tells."""
    return (
        listed.ctime_ns == status.st_ctime_ns
        and listed.inode == status.st_ino
        and listed.size == status.st_size
        and listed.device == status.st_dev
    )


def _racy_from(now: datetime) -> int:
    """Return the first ctime, in nanoseconds, that is too recent to be trusted."""
    return int(now.timestamp() * 1e9) - _RACY_NS
