"""Who may read and write what is stored: its owner, or a group; the umask has no effect.

New files and folders have the permissions of the folder that they are in. A folder is shared by a
group if the group may write to it and new files get its group (`chmod g+s`); any other folder is
private to its owner.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path

OWNER, GROUP = 0o700, 0o2770  # of folders
ACCESS = {"owner": OWNER, "group": GROUP}


def folder_mode(folder: Path | str) -> int:
    """Return the permissions of new folders in a folder; OWNER if the folder is missing."""
    shared = stat.S_ISGID | stat.S_IWGRP
    with suppress(OSError):
        if os.stat(folder).st_mode & shared == shared:  # noqa: PTH116
            return GROUP
    return OWNER


def file_mode(folder: Path | str) -> int:
    """Return the permissions of new files in a folder."""
    return folder_mode(folder) & 0o660


def make_folder(folder: Path) -> None:
    """Create a folder, and the missing folders above it."""
    missing = [folder]
    while not missing[-1].parent.exists():
        missing.append(missing[-1].parent)
    mode = folder_mode(missing[-1].parent)
    for path in reversed(missing):
        with suppress(FileExistsError):
            path.mkdir(mode & 0o777)
            path.chmod(mode)


def create(file: Path, flags: int) -> int:
    """Open a file, or create it, and return its descriptor."""
    descriptor = os.open(file, flags | os.O_CREAT, 0o600)
    mode = file_mode(file.parent)
    if stat.S_IMODE(os.fstat(descriptor).st_mode) != mode:
        with suppress(OSError):  # the file is another user's
            os.fchmod(descriptor, mode)
    return descriptor


def claim(folder: Path, access: str) -> None:
    """Create the folder of a project's state, or change who may use it and everything in it."""
    mode = ACCESS[access]
    make_folder(folder)
    status = folder.stat()
    if stat.S_IMODE(status.st_mode) == mode or status.st_uid != os.geteuid():
        return
    folder.chmod(OWNER)  # no other user sees the folder until all of it is changed
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            with suppress(OSError):  # removed meanwhile, or another user's
                _share(Path(parent, name), mode)
    folder.chmod(mode)


def _share(path: Path, mode: int) -> None:
    """Give a folder this mode, and a file as much of it as its owner has."""
    if path.is_symlink():
        return
    if path.is_dir():
        path.chmod(mode)
        return
    own = stat.S_IMODE(path.stat().st_mode) & 0o600
    path.chmod(own | own >> 3 if mode == GROUP else own)
