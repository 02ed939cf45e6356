"""Reads the declarations of another revision, in a process of their own and within a time."""

import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import MsgspecError
from msgspec.json import decode

from assay.build.revision_runner import Reply
from assay.config import PACKAGE
from assay.declare.manifest import decoded_graph
from assay.declare.revision import Commit, write_out
from assay.errors import UsageError
from assay.plan.graph import Graph
from assay.text import clean

LIMIT = 60.0  # seconds that reading the declarations may take
_MOST = 100 << 20  # bytes of a reply
_CHUNK = 1 << 16
_ENDS = 2.0  # seconds that a child has to end by itself
# Variables that the code of another revision sees, besides those that `reads` names.
_SEEN = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "VIRTUAL_ENV")


def graph_at(root: Path, commit: Commit, reads: Sequence[str], *, limit: float = LIMIT) -> Graph:
    """Return the declarations of the project in `root` as they were at a commit of git.

    `reads` are the names in `[tool.products]`: the variables among them are given to the code.
    Raises UsageError when they cannot be read, with the reason.
    """
    with TemporaryDirectory(prefix="products-") as place:
        folder = Path(place).resolve() / root.name
        folder.mkdir()
        write_out(root, commit, folder)
        return graph_of(folder, str(commit), root, reads, limit=limit)


def graph_of(
    folder: Path, named: str, now: Path, reads: Sequence[str], *, limit: float = LIMIT
) -> Graph:
    """Return the declarations in a folder, which messages call `named`.

    `now` is the folder of the project that they are compared with: nothing is imported from it.
    Raises UsageError when they cannot be read, with the reason.
    """
    try:
        reply = decode(_ask(folder, now, _variables(reads), limit), type=Reply)
    except TimeoutError:
        raise _unreadable(named, f"reading it took longer than {limit:g} s") from None
    except (EOFError, OSError):
        raise _unreadable(named, "its code ended the process that read it") from None
    except MsgspecError:
        raise _unreadable(named, "its code wrote into the reply") from None
    if reply.mistakes:
        lines = []
        for mistake in reply.mistakes:
            place = f"{mistake.file}:{mistake.line}: " if mistake.file else ""
            lines.append(f"{place}{mistake.what}".replace(f"{folder}/", ""))
        raise _unreadable(named, "; ".join(lines))
    graph = decoded_graph(bytes(reply.graph))
    if graph is None:
        raise _unreadable(named, "its declarations are no graph")
    return graph


def _unreadable(named: str, why: str) -> UsageError:
    return UsageError(
        clean(f"the old declarations, of {named}, cannot be read: {why}"),
        hint="What cannot be read is not compared. Name another revision after --against.",
    )


def _variables(reads: Sequence[str]) -> dict[str, str]:
    """Return the environment of the child: no secret is in it unless `reads` names it."""
    named = [*_SEEN, *(name[1:] for name in reads if name.startswith("$"))]
    variables = {name: os.environ[name] for name in named if name in os.environ}
    locale = {name: value for name, value in os.environ.items() if name.startswith("LC_")}
    return {**variables, **locale, "PYTHONPATH": str(Path(PACKAGE).parent)}


def _ask(folder: Path, now: Path, variables: dict[str, str], limit: float) -> bytes:
    """Return the reply of a child process; TimeoutError, or EOFError when it says nothing."""
    replies, child_replies = os.pipe()
    child_lifeline, lifeline = os.pipe()
    ends = (child_replies, child_lifeline)
    arguments = [*map(str, ends), str(os.getpid()), str(now)]
    process = None
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "assay.build.revision_runner", *arguments],
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=ends,
            process_group=0,
        )
        for end in ends:
            os.close(end)
        return _receive(replies, limit)
    finally:
        os.close(lifeline)  # its supervisor ends the child, and all that it started
        os.close(replies)
        if process:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_ENDS)
            process.kill()
            process.wait()


def _receive(replies: int, limit: float) -> bytes:
    until, received = time.monotonic() + limit, bytearray()
    while True:
        seconds = until - time.monotonic()
        if seconds <= 0 or not select.select([replies], [], [], seconds)[0]:
            raise TimeoutError
        chunk = os.read(replies, _CHUNK)
        if not chunk:
            break
        received += chunk
        if len(received) > _MOST:
            raise EOFError
    if not received:
        raise EOFError
    return bytes(received)
