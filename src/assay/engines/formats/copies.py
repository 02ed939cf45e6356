"""Copies of text files that engines cannot read as they are: in UTF-8, without what is left out.

A copy is made when a file is first read, and is removed with its folder when the process ends.
"""

import atexit
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from threading import Lock

from assay.engines.formats.textfiles import is_recoded, recoded
from assay.engines.formats.unpacking import Damaged
from assay.engines.tables import InputFiles
from assay.errors import SourceFault
from assay.store.permissions import make_folder

_SUFFIX = ".txt"  # nothing unpacks it
_NAME = 16  # letters of the folder of a copy


_cleared: set[str] = set()  # folders for copies that this process has looked at
_clearing = Lock()


def _clear(folder: Path) -> None:
    """Remove what a dead process, which had the number of this one, left in its folder for copies."""
    with _clearing:
        if str(folder) in _cleared:
            return
        _cleared.add(str(folder))
        if folder.name.endswith(f"-{os.getpid()}"):
            shutil.rmtree(folder, ignore_errors=True)


def read_paths(files: InputFiles, paths: Iterable[Path]) -> list[Path]:
    """Return the paths to read files from: of those that engines cannot read, the copies'.

    Raises SourceFault for a file of which no copy can be made.
    """
    copied = _copied(files)
    return [copy_of(files, file) if copied(file) else file for file in paths]


def by_copy(files: InputFiles, paths: Iterable[Path]) -> Iterator[tuple[bool, list[Path]]]:
    """Yield the files that engines read as they are, and those of which they read copies."""
    copied, groups = _copied(files), dict[bool, list[Path]]()
    for file in paths:
        groups.setdefault(copied(file), []).append(file)
    yield from groups.items()


def is_copied(files: InputFiles, file: Path) -> bool:
    """Return whether engines read a copy of a file: as declared, or as it was found to need."""
    return _copied(files)(file)


def _copied(files: InputFiles) -> Callable[[Path], bool]:
    """Return what `is_copied` says of each of many files."""
    source = files.source
    assert source is not None
    has_copies = source.is_text and bool(files.copies) and Path(files.copies).is_dir()
    return lambda file: is_recoded(source, file) or (has_copies and _place(files, file).exists())


def is_copied_by_need(files: InputFiles, file: Path) -> bool:
    """Return whether a file was found to need a copy, which no declaration says."""
    assert files.source is not None
    return not is_recoded(files.source, file) and is_copied(files, file)


def path_of_copy(files: InputFiles) -> str:
    """Return the SQL of the path of a file, of the path `__file` of its copy."""
    start = len(files.copies) + 1 + _NAME + 1
    return f"substr(__file, {start}, length(__file) - {start + len(_SUFFIX) - 1})"


def copy_of(files: InputFiles, file: Path) -> Path:
    """Return the copy of a file, which is made if it is not there; raises SourceFault."""
    source = files.source
    assert source is not None and files.copies
    _clear(Path(files.copies))
    copy = _place(files, file)
    try:
        if not copy.exists():
            _write(recoded(source, file), Path(files.copies), copy)
    except Damaged as damage:
        problem = f"{files.path_of(file)} {damage}"
        raise SourceFault(source.name, problem, hint=damage.hint) from None
    return copy


def _place(files: InputFiles, file: Path) -> Path:
    """Return the path of the copy of a file as it is now."""
    assert files.source is not None
    at = file.stat()
    known = f"{file} {at.st_size} {at.st_mtime_ns} {at.st_ino} {files.source.reading}"
    name = blake2b(known.encode("utf-8", "surrogateescape"), digest_size=_NAME // 2).hexdigest()
    return Path(f"{files.copies}/{name}{file}{_SUFFIX}")


def _write(content: Iterator[bytes], folder: Path, copy: Path) -> None:
    if not folder.exists():
        make_folder(folder)
        if folder.name.endswith(f"-{os.getpid()}"):
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
    copy.parent.mkdir(parents=True, exist_ok=True)
    part = copy.with_name(f"{copy.name}.{os.getpid()}.{id(content)}")
    try:
        with part.open("wb") as target:
            for piece in content:
                target.write(piece)
        part.replace(copy)
    finally:
        part.unlink(missing_ok=True)
