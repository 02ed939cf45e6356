"""Finds files whose paths match a glob; a folder that cannot be read is an error."""

import fnmatch
import os
import re
from collections.abc import Iterator
from glob import has_magic
from pathlib import Path

from assay.plan.parts import regex_of


def matching(root: Path, pattern: str) -> Iterator[str]:
    """Yield the paths that match a glob: files, and folders that match without `**`.

    Paths are relative to `root` unless the glob is absolute. `**` does not follow links to folders,
    which may be loops. Raises OSError, with the folder's name, for a folder that cannot be read; a
    missing folder has no files.
    """
    if "**" in pattern:
        yield from _in_depth(str(root), pattern)
    else:
        yield from _level_by_level(str(root), pattern)


def files_below(folder: str) -> Iterator[tuple[str, list[str]]]:
    """Yield this folder and each one below it, with the names of its files.

    Hidden files and folders are left out. Raises OSError as `matching` does.
    """
    folders = [folder]
    while folders:
        folder, names = folders.pop(), list[str]()
        for entry in _entries(folder):
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
            else:
                names.append(entry.name)
        yield folder, names


def _in_depth(root: str, pattern: str) -> Iterator[str]:
    fixed = re.split(r"[*?[]", pattern, maxsplit=1)[0].rpartition("/")[0]  # has no wildcards
    absolute = pattern.startswith("/")
    start = (fixed or "/") if absolute else f"{root}/{fixed}"
    matches = re.compile(regex_of(pattern)).fullmatch
    for folder, names in files_below(start):
        below = folder if absolute else os.path.relpath(folder, root)
        for name in names:
            path = name if below == "." else f"{below}/{name}"
            if matches(path):
                yield path


def _level_by_level(root: str, pattern: str) -> Iterator[str]:
    above, slash, last = pattern.rpartition("/")
    for folder in _folders(root, above):
        full = _full(root, f"{folder}{slash}")
        if has_magic(last):
            for name in fnmatch.filter(_names(full), last):
                if name[0] != "." or last[0] == ".":
                    yield f"{folder}{slash}{name}"
        elif _exists(f"{full}{last}"):
            yield f"{folder}{slash}{last}"


def _folders(root: str, pattern: str) -> Iterator[str]:
    """Yield the folders that match a glob; a glob without wildcards as it is, existing or not."""
    if not has_magic(pattern):
        yield pattern
        return
    above, slash, last = pattern.rpartition("/")
    matches = re.compile(fnmatch.translate(last)).match
    for folder in _folders(root, above):
        if not has_magic(last):
            yield f"{folder}{slash}{last}"
            continue
        for entry in _entries(_full(root, f"{folder}{slash}")):
            hidden = entry.name[0] == "." and last[0] != "."
            if not hidden and matches(entry.name) and entry.is_dir():
                yield f"{folder}{slash}{entry.name}"


def _full(root: str, path: str) -> str:
    return path if path.startswith("/") else f"{root}/{path}"


def _entries(folder: str) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        # An error in the middle of a folder does not name it.
        raise OSError(error.errno, error.strerror, folder) from error


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 (a Path for each name costs more)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _exists(path: str) -> bool:
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
