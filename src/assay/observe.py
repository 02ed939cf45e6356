"""One read of catalog, sources and clock: what the ladder decides on."""

import glob
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

from assay.catalog import Catalog
from assay.fingerprint import source_of
from assay.model import Source, SourceFile, SourceState
from assay.plan import Observed
from assay.storage import Storage, file_digest

# A file changed this shortly before it was read may change again without its time telling (as git's index has it).
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
    seen = catalog.seen() if sources else {}
    return Observed(
        now=now,
        environment=environment,
        sources={name: look(root, source, seen) for name, source in sources.items()},
        facts=catalog.facts(environment, storage.holds),
    )


def look(root: Path, source: Source, seen: Mapping[str, SourceFile]) -> SourceState:
    """Return a source as it is now; a file whose size and time are those of one already read is not read again."""
    paths = sorted(glob.glob(source.pattern, root_dir=root, recursive=True))  # noqa: PTH207 (it may be absolute)
    files: list[SourceFile] = []
    for path in paths:
        full = root / path
        if full.is_dir():
            continue
        if not _is_text(path):
            return SourceState(name=source.name, missing=f"{source.name}: a file's name is not UTF-8: {path!a}")
        try:
            files.append(_look_at(full, path, seen.get(path)))
        except OSError as error:
            return SourceState(name=source.name, missing=f"{source.name}: cannot read {path}: {error.strerror}")
    if not files:
        return SourceState(name=source.name, missing=f"{source.name}: no file matches {source.pattern}")
    digest = source_of(source.reading, ((f.path, f.digest) for f in files))
    return SourceState(name=source.name, digest=digest, files=tuple(files))


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _look_at(full: Path, path: str, known: SourceFile | None) -> SourceFile:
    stat = full.stat()
    if known and (known.size, known.mtime_ns) == (stat.st_size, stat.st_mtime_ns):
        return known
    return SourceFile(path=path, size=stat.st_size, mtime_ns=stat.st_mtime_ns, digest=file_digest(full))


def settled(states: Iterable[SourceState], seen: Mapping[str, SourceFile], now: datetime) -> list[SourceFile]:
    """Return the files worth remembering: new to `seen`, and not so recently changed that their time can't tell."""
    limit = int(now.timestamp() * 1e9) - _RACY_NS
    return [f for s in states for f in s.files if seen.get(f.path) != f and f.mtime_ns < limit]


def changed_since(root: Path, state: SourceState) -> str:
    """Return the first file of a source that is no longer what was observed; '' when all are."""
    for file in state.files:
        try:
            stat = (root / file.path).stat()
        except OSError:
            return file.path
        if (stat.st_size, stat.st_mtime_ns) != (file.size, file.mtime_ns):
            return file.path
    return ""
