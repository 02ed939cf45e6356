"""Paths inside a store: no path leads out of it, by `..` or through a link."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from assay.errors import StoreError

LINK = "is a link, and nothing is read or written through it: what the store holds is inside it"
_MOST_SINGLY = 20  # folders; for more, the folders of all products are listed
UNLINK = "Put the folder itself there, or let `store` in pyproject.toml name where it may grow."


class StorePaths:
    """The paths inside the folder of a store.

    Works on texts: a Path for each folder of very many files costs more than the checks. A folder
    that was no link once is not looked at again.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._checked: set[str] = set()  # folders that are no links
        self._singly = 0  # how many folders were looked at by themselves

    def full(self, path: str) -> Path:
        """Return the full path; raise StoreError when the path may lead out of the store."""
        for folder in self.folders(path):
            self.check(folder)
        return Path(f"{self._root}/{path}")

    def folders(self, path: str) -> Iterator[str]:
        """Yield the folders above a path, the store first; raise StoreError for `..` in it."""
        if not is_inside(path):
            raise StoreError(f"{path!r} is not a path inside the store")
        yield from self._folders(path)

    def link_above(self, path: str) -> str:
        """Return the first folder above a path that is a link; '' if none is."""
        folders = self._folders(path) if is_inside(path) else ()
        return next((folder for folder in folders if self._is_link(folder)), "")

    def is_safe(self, path: str) -> bool:
        """Return whether a path is certain to lead to a file inside the store."""
        if not is_inside(path):
            return False
        if f"{self._root}/{path[: path.rindex('/')]}" in self._checked:
            return True  # the folders above it were checked too
        return not any(map(self._is_link, self._folders(path)))

    def check(self, folder: str) -> None:
        """Raise StoreError when a folder is a link."""
        if self._is_link(folder):
            raise StoreError(f"{folder} {LINK}", hint=UNLINK)

    def add_created(self, folder: str) -> None:
        """Take over a folder that this process has just created, so it is no link."""
        self._checked.add(folder)

    def _folders(self, path: str) -> Iterator[str]:
        full = f"{self._root}/{path}"
        at = full.find("/", len(full) - len(path))
        while at >= 0:
            yield full[:at]
            at = full.find("/", at + 1)

    def _is_link(self, folder: str) -> bool:
        if folder in self._checked:
            return False
        self._singly += 1
        if self._singly == _MOST_SINGLY:  # one look at the folders of all products
            with suppress(OSError), os.scandir(self._root) as entries:
                self._checked.update(
                    f"{self._root}/{entry.name}" for entry in entries if not entry.is_symlink()
                )
            if folder in self._checked:
                return False
        if os.path.islink(folder):  # noqa: PTH114
            return True
        self._checked.add(folder)
        return False


def is_inside(path: str) -> bool:
    """Return whether a path, relative to a store, names something below one of its folders."""
    names = path.split("/")
    return len(names) > 1 and "\0" not in path and not {"", ".", ".."}.intersection(names)
