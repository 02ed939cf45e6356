"""Who may read and write what is stored: its owner, or a group, whatever the umask.

What is made in a folder is for whom the folder is: a group's folder is one that new files take their group from
(`chmod g+s`) and that the group may write to; every other is its owner's alone.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path

OWNER, GROUP = 0o700, 0o2770  # of folders
ACCESS = {"owner": OWNER, "group": GROUP}


def folder_mode(folder: Path | str) -> int:
    """Return the permissions of folders that are made in a folder; those of its owner where there is none."""
    with suppress(OSError):
        if os.stat(folder).st_mode & (stat.S_ISGID | stat.S_IWGRP) == stat.S_ISGID | stat.S_IWGRP:  # noqa: PTH116
            return GROUP
    return OWNER


def file_mode(folder: Path | str) -> int:
    """Return the permissions of files that are made in a folder."""
    return folder_mode(folder) & 0o660


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing."""
    missing = [folder]
    while not missing[-1].parent.exists():
        missing.append(missing[-1].parent)
    mode = folder_mode(missing[-1].parent)
    for path in reversed(missing):
        with suppress(FileExistsError):
            path.mkdir(mode & 0o777)
            path.chmod(mode)


def create(file: Path, flags: int) -> int:
    """Open a file, made where there is none, and return its descriptor."""
    descriptor = os.open(file, flags | os.O_CREAT, 0o600)
    mode = file_mode(file.parent)
    if stat.S_IMODE(os.fstat(descriptor).st_mode) != mode:
        with suppress(OSError):  # somebody else's
            os.fchmod(descriptor, mode)
    return descriptor


def claim(folder: Path, access: str) -> None:
    """Make the folder of a project's state, or let what is in it be for whom `access` says, where that has changed."""
    mode = ACCESS[access]
    make_folder(folder)
    found = folder.stat()
    if stat.S_IMODE(found.st_mode) == mode or found.st_uid != os.geteuid():
        return
    folder.chmod(OWNER)  # nobody else looks on
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent, name)
            with suppress(OSError):  # it is gone by now, or somebody else's
                if not path.is_symlink():
                    own = stat.S_IMODE(path.stat().st_mode) & 0o600
                    path.chmod(mode if path.is_dir() else own | (own >> 3 if mode == GROUP else 0))
    folder.chmod(mode)
