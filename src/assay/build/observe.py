"""One read of catalog, sources and clock: what the ladder decides on."""

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

# A file changed this shortly before it was read may change again without its time telling (as git's index has it).
# The time is that of its inode (ctime): whoever replaces a file can give it the other times that it had.
_RACY_NS = 2_000_000_000


def observe(
    root: Path,
    sources: Mapping[str, Source],
    catalog: Catalog,
    storage: Storage,
    *,
    environment: str,
    now: datetime,
) -> Observed:
    """Return the state of the world at `now`: sources by content, and what the catalog holds for an environment."""
    recorded = catalog.recorded()
    seen = catalog.sources.last_seen(sources)
    return Observed(
        recorded=recorded,
        now=now,
        environment=environment,
        sources={name: look(root, source, seen) for name, source in sources.items()},
        facts=catalog.facts(environment, storage.holds),
        seen=seen,
    )


def look(root: Path, source: Source, seen: Mapping[str, SourceFile]) -> SourceState:
    """Return a source as it is now; a file that is the very one already read is not read again.

    One of which something cannot be looked at is `missing`: what cannot be seen is not known to be gone.
    """
    try:
        files = tuple(_files(root, source, seen))
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


def _files(root: Path, source: Source, seen: Mapping[str, SourceFile]) -> Iterator[SourceFile]:
    """Yield the files of a source in the order of their paths; _Unusable when that cannot be done for all of them."""
    part_of, top = keys_of(source), str(root)
    for path in _paths(root, source.pattern):  # no Path is made for each: there may be very many
        full = path if path.startswith("/") else f"{top}/{path}"
        try:
            status = os.stat(full)  # noqa: PTH116
            if stat.S_ISDIR(status.st_mode):
                continue
            _check(path, status)
            part = part_of(path)
            if part is None:
                raise _Unusable(f"{clean(path)} does not say {_wanted(source)}")
            known = seen.get(path)
            if known is None or not _is_same(known, status):
                yield _read(full, path, part)
            else:
                yield known if known.part == part else replace(known, part=part)
        except OSError as error:
            raise _Unusable(f"cannot read {clean(path)}: {error.strerror}") from error


def _paths(root: Path, pattern: str) -> list[str]:
    try:
        return sorted(set(matching(root, pattern)))
    except OSError as error:
        folder = (
            os.path.relpath(error.filename, root) if not pattern.startswith("/") else error.filename
        )
        raise _Unusable(f"cannot look into {clean(folder)}: {error.strerror}") from error


def _check(path: str, status: os.stat_result) -> None:
    """Refuse what can never be read: what is no regular file, and what is called what no text can say."""
    if not stat.S_ISREG(status.st_mode):
        raise _Unusable(
            f"{clean(path)} is {kind_of(status.st_mode)}, and a source is read from regular files"
        )
    if not path.isascii() and not _is_text(path):
        raise _Unusable(f"a file's name is not UTF-8: {path!a}")


def _read(full: str, path: str, part: str) -> SourceFile:
    """Return a file as it was when reading it began: what it is changed to meanwhile is another."""
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
    )


def _is_same(known: SourceFile, status: os.stat_result) -> bool:
    """Say whether a file is the very one that was read, as far as anybody can tell without reading it."""
    return (
        known.ctime_ns == status.st_ctime_ns
        and known.inode == status.st_ino
        and known.size == status.st_size
        and known.device == status.st_dev
    )


def _wanted(source: Source) -> str:
    """Return what the path of a source's file should say."""
    assert source.partition is not None
    like = {
        "day": " (such as 2011-12-09)",
        "month": " (such as 2011-12)",
        "year": " (such as 2011)",
    }
    return f"its {', '.join(source.partition.names)}{like.get(source.partition.grain, '')}"


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def has_new_listing(state: SourceState, seen: Mapping[str, SourceFile], now: datetime) -> bool:
    """Say whether something of a source is worth remembering that is not: of a file whose time tells by now."""
    new = (f for f in state.files if f is not (known := seen.get(f.path)) and not _same(f, known))
    return any(not _is_racy(f, now) for f in new)


def without_racy_times(state: SourceState, now: datetime) -> SourceState:
    """Return a source as it is remembered: the time of a file changed so recently that it can't tell is not."""
    untold = _racy_from(now)
    return replace(
        state,
        files=tuple([replace(f, ctime_ns=0) if f.ctime_ns >= untold else f for f in state.files]),
    )


def _same(file: SourceFile, known: SourceFile | None) -> bool:
    return known is not None and replace(known, part=file.part) == file


def _racy_from(now: datetime) -> int:
    """Return the ctime (ns) from which on it does not tell."""
    return int(now.timestamp() * 1e9) - _RACY_NS


def _is_racy(file: SourceFile, now: datetime) -> bool:
    return file.ctime_ns >= _racy_from(now)


def changed_since(root: Path, files: Iterable[SourceFile], now: datetime) -> str:
    """Return the first of these files that is no longer what was observed `now`; '' when all are.

    A file whose time could not tell, because it was new then, is read again. Raises OSError where nobody can look:
    that says nothing of the file.
    """
    for known in files:
        file = root / known.path
        try:
            if not _is_same(known, file.stat()) or (
                _is_racy(known, now) and file_digest(file) != known.digest
            ):
                return known.path
        except (FileNotFoundError, NotADirectoryError):
            return known.path
    return ""
