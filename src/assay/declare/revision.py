"""The files of a project as they were at a revision of git, in a folder of their own."""

import os
import subprocess
import tarfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from msgspec import Struct

from assay.errors import UsageError
from assay.text import clean

_LIMIT = 120.0  # seconds that git has
_SHORT = 12  # letters of a commit that are shown
# Of a hook, these name another repository or index; and no filter may fetch large files.
_OF_A_HOOK = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR")
_NO_FETCHING = {"GIT_LFS_SKIP_SMUDGE": "1", "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0"}


class Commit(Struct, frozen=True):
    """A commit that a text of the user names, such as `origin/main`."""

    named: str
    id: str

    def __str__(self) -> str:
        return self.named if self.id.startswith(self.named) else f"{self.named} ({self.short})"

    @property
    def short(self) -> str:
        """The beginning of its id."""
        return self.id[:_SHORT]


def commit_of(root: Path, named: str) -> Commit | None:
    """Return the commit that a text names in the repository of a folder; None for none."""
    if not named or named.startswith("-") or "\0" in named:
        return None
    try:
        arguments = ("rev-parse", "--verify", "--quiet", "--end-of-options")
        done = _git(root, (*arguments, f"{named}^{{commit}}"))
    except FileNotFoundError:
        return None
    id = done.stdout.decode("utf-8", "replace").strip()
    return Commit(named, id) if done.returncode == 0 and id else None


def why_unknown(root: Path, named: str, environments: Sequence[str] = ()) -> UsageError:
    """Return the error about a text that names no commit, with what to do about it.

    `environments` are names that could be meant as well.
    """
    from difflib import get_close_matches

    problem = f"cannot compare with {named!r}: "
    try:
        inside = _git(root, ("rev-parse", "--is-shallow-repository"))
    except FileNotFoundError:
        return UsageError(f"{problem}git is not installed", hint="Install git, or name a folder.")
    if inside.returncode:
        said = clean(inside.stderr.decode("utf-8", "replace").strip())
        hint = "Name a folder, a manifest.json, or env:NAME."
        if "dubious ownership" in said:
            hint = f"The repository belongs to someone else: `git config --global --add safe.directory {root}`."
        return UsageError(f"{problem}git finds no repository here ({said})", hint=hint)
    is_shallow = inside.stdout.strip() == b"true"
    if not named.isascii() or set(named) & set("~^@{: "):
        missing = "This clone is shallow: `git fetch --unshallow` fetches what is missing."
        hint = missing if is_shallow else "`git log` lists the commits."
    else:
        fetch = _fetch(root, named, is_shallow=is_shallow)
        start = "This clone is shallow:" if is_shallow else "If it is a branch,"
        fetched = f"{start} `{fetch}` fetches it." if fetch else ""
        names = [*_lines(root, "for-each-ref", "--format=%(refname:short)"), *environments]
        similar = [] if is_shallow and fetch else get_close_matches(named, names, n=1, cutoff=0.7)
        meant = f"Did you mean {clean(similar[0])}?" if similar else ""
        hint = " ".join(filter(None, [meant, fetched])) or "`git branch --all` lists the branches."
    what = "there is no such git ref, folder, file or environment"
    return UsageError(problem + what, hint=hint)


def _lines(root: Path, *arguments: str) -> list[str]:
    """Return the lines that a command of git prints; [] when it fails."""
    done = _git(root, arguments)
    return [] if done.returncode else done.stdout.decode("utf-8", "replace").split()


def _fetch(root: Path, named: str, *, is_shallow: bool) -> str:
    """Return the command that fetches a branch, such as `main` or `origin/main`; '' without its remote."""
    remote, slash, branch = named.partition("/")
    depth = "--depth=1 " if is_shallow else ""
    if (remote if slash else "origin") not in _lines(root, "remote"):
        return ""
    if not slash:
        return f"git fetch {depth}origin {named}:{named}"
    return f"git fetch {depth}{remote} {branch}:refs/remotes/{remote}/{branch}"


def write_out(root: Path, commit: Commit, folder: Path) -> None:
    """Write the project in `root`, as it was at a commit, into an empty folder.

    Nothing but what the commit holds is written; links that lead out of it are left out. Raises
    UsageError if git cannot give them.
    """
    with (folder.parent / f"{folder.name}.tar").open("w+b") as out:
        done = _git(root, ("archive", "--format=tar", commit.id), out)
        if done.returncode:
            said = clean(done.stderr.decode("utf-8", "replace").strip())
            if "untracked" in said:
                said = f"{root.name}/ was not in it"
            raise UsageError(
                f"cannot read {commit}: {said or 'git archive failed'}",
                hint="A project that is new in this change has nothing to be compared with.",
            )
        out.seek(0)
        with tarfile.open(fileobj=out, errorlevel=0) as archive, suppress(EOFError):
            _extract(archive, folder)
    Path(out.name).unlink()


def _extract(archive: tarfile.TarFile, folder: Path) -> None:
    """Write what an archive of git holds; links that lead out of it are left out."""
    if hasattr(tarfile, "data_filter"):
        archive.extractall(folder, filter="data")
    else:  # Python before 3.11.4
        archive.extractall(folder, [member for member in archive if _stays_inside(member)])


def _stays_inside(member: tarfile.TarInfo) -> bool:
    """Return whether a file, folder or link of an archive of git leads nowhere out of it."""
    link = member.linkname
    if not member.issym():
        return member.isfile() or member.isdir()
    end = os.path.normpath(Path(member.name).parent / link)
    # A ".." after the name of another link would be taken from where that one leads.
    return os.path.normpath(link) == link.rstrip("/") and not end.startswith(("/", ".."))


def _git(
    root: Path, arguments: Sequence[str], out: IO[bytes] | int = subprocess.PIPE
) -> subprocess.CompletedProcess[bytes]:
    """Run git; FileNotFoundError when it is not installed, UsageError when it takes too long."""
    variables = {name: value for name, value in os.environ.items() if name not in _OF_A_HOOK}
    try:
        return subprocess.run(
            ["git", "-C", str(root), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.PIPE,
            env={**variables, **_NO_FETCHING, "LC_ALL": "C"},
            timeout=_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UsageError(f"git took longer than {_LIMIT:g} s: git {arguments[0]}") from None
