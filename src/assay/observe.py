"""One read of catalog, sources and clock: what the ladder decides on."""

import fnmatch
import glob
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

from msgspec.structs import replace

from assay.catalog import Catalog
from assay.cleaning import clean
from assay.fingerprint import source_of
from assay.model import Source, SourceFile, SourceState
from assay.partition import keys_of, regex_of
from assay.plan import Observed
from assay.storage import Storage, file_digest

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
    seen = catalog.seen(sources)
    return Observed(
        recorded=recorded,
        now=now,
        environment=environment,
        sources={name: look(root, source, seen) for name, source in sources.items()},
        facts=catalog.facts(environment, storage.holds),
        seen=seen,
    )


def look(root: Path, source: Source, seen: Mapping[str, SourceFile]) -> SourceState:
    """Return a source as it is now; a file whose size and time are those of one already read is not read again."""
    files, part_of, top = list[SourceFile](), keys_of(source), str(root)
    for path in sorted(set(_matching(root, source.pattern))):  # no Path is made for each: there may be very many
        full = path if path.startswith("/") else f"{top}/{path}"
        try:
            found = os.stat(full)  # noqa: PTH116
            if stat.S_ISDIR(found.st_mode):
                continue
            if not path.isascii() and not _is_text(path):
                told = f"{source.name}: a file's name is not UTF-8: {path!a}"
                return SourceState(name=source.name, missing=told)
            part = part_of(path)
            if part is None:
                told = f"{source.name}: {clean(path)} does not say {_wanted(source)}"
                return SourceState(name=source.name, missing=told)
            size, ctime, known = found.st_size, found.st_ctime_ns, seen.get(path)
            if known is None or (known.size, known.ctime_ns, known.part) != (size, ctime, part):
                same = known and (known.size, known.ctime_ns) == (size, ctime)
                digest = known.digest if known and same else file_digest(Path(full))
                known = SourceFile(path=path, size=size, ctime_ns=ctime, digest=digest, part=part)
            files.append(known)
        except OSError as error:
            told = f"{source.name}: cannot read {clean(path)}: {error.strerror}"
            return SourceState(name=source.name, missing=told)
    if not files:
        return SourceState(name=source.name, missing=f"{source.name}: no file matches {source.pattern}")
    digest = source_of(source.reading, ((f.path, f.digest) for f in files))
    return SourceState(name=source.name, digest=digest, files=tuple(files), reading=source.reading)


def _wanted(source: Source) -> str:
    """Return what the path of a source's file should say."""
    assert source.partition is not None
    like = {"day": " (such as 2011-12-09)", "month": " (such as 2011-12)", "year": " (such as 2011)"}
    return f"its {', '.join(source.partition.names)}{like.get(source.partition.grain, '')}"


def _matching(root: Path, pattern: str) -> Iterator[str]:
    """Yield the paths that match a glob; `**` does not go through links to folders, which may be loops."""
    if "**" not in pattern:
        above, _, last = pattern.rpartition("/")
        if above and last[:1] != "." and glob.has_magic(last) and not glob.has_magic(above):
            names = fnmatch.filter(_names(root / above), last)  # as glob does, which takes longer where there are many
            yield from (f"{above}/{name}" for name in names if name[0] != ".")
        else:
            yield from glob.glob(pattern, root_dir=root)  # noqa: PTH207 (it may be absolute)
        return
    fixed = pattern[: re.search(r"[*?[]", pattern).start()].rpartition("/")[0]  # type: ignore[union-attr]
    top = f"{root}/{fixed}" if not pattern.startswith("/") else fixed or "/"
    matches = re.compile(regex_of(pattern))
    for folder, folders, files in os.walk(top):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = folder if pattern.startswith("/") else os.path.relpath(folder, root)
        for name in files:
            path = name if below == "." else f"{below}/{name}"
            if not name.startswith(".") and matches.fullmatch(path):
                yield path


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 (no Path is made for each)
    except OSError:
        return []


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def told_anew(state: SourceState, seen: Mapping[str, SourceFile], now: datetime) -> bool:
    """Say whether something of a source is worth remembering that is not: of a file whose time tells by now."""
    new = (f for f in state.files if f is not (known := seen.get(f.path)) and not _same(f, known))
    return any(not _is_racy(f, now) for f in new)


def settled(state: SourceState, now: datetime) -> SourceState:
    """Return a source as it is remembered: the time of a file changed so recently that it can't tell is not."""
    untold = _racy_from(now)
    return replace(state, files=tuple([replace(f, ctime_ns=0) if f.ctime_ns >= untold else f for f in state.files]))


def _same(file: SourceFile, known: SourceFile | None) -> bool:
    return known is not None and (file.size, file.ctime_ns, file.digest) == (known.size, known.ctime_ns, known.digest)


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
            now_there = file.stat()
            same = (now_there.st_size, now_there.st_ctime_ns) == (known.size, known.ctime_ns)
            if not same or (_is_racy(known, now) and file_digest(file) != known.digest):
                return known.path
        except (FileNotFoundError, NotADirectoryError):
            return known.path
    return ""
