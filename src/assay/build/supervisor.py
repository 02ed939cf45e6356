"""The process around a child that runs users' code: it ends all that the child has started."""

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from resource import RLIMIT_CORE, setrlimit
from threading import Thread
from typing import NoReturn

_DIE_WITH_PARENT, _ADOPT_ORPHANS = 1, 36  # PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER
_IS_LINUX = sys.platform == "linux"


def supervised(run: int, lifeline: int, *pipes: int) -> None:
    """Fork: return in the child, while this process ends what the child leaves.

    It also kills the child when the run ends. `run` is the process id of the run, which holds the
    other end of the `lifeline`; `pipes` are those of the child. On Linux orphans become children of
    this process, also those in a session of their own; elsewhere the run ends what is left in this
    process group.
    """
    if os.getppid() != run:
        os._exit(1)
    supervisor = os.getpid()
    if child := os.fork():
        for pipe in pipes:
            os.close(pipe)
        _supervise(child, lifeline)
    os.close(lifeline)
    if _IS_LINUX:
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != supervisor:
        os._exit(1)


def _supervise(child: int, lifeline: int) -> NoReturn:
    # Signals are for the child: this process has to survive them, and end what the child leaves.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if _IS_LINUX:
        ctypes.CDLL(None).prctl(_ADOPT_ORPHANS, 1)
    Thread(target=_end_with_run, args=(child, lifeline), daemon=True).start()
    _, status = os.waitpid(child, 0)
    if _IS_LINUX:
        _end_children()
    _end_like(os.waitstatus_to_exitcode(status))


def _end_with_run(child: int, lifeline: int) -> None:
    """Wait until the run closes the lifeline, by ending or on purpose; then kill the child."""
    os.read(lifeline, 1)
    os.kill(child, signal.SIGKILL)
    if not _IS_LINUX:
        os.killpg(0, signal.SIGKILL)


def _end_children() -> None:
    """Kill what the child has left; the children of a killed process become ours in turn."""
    with suppress(ChildProcessError):
        while True:
            for pid in _children():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            os.waitpid(-1, 0)


def _children() -> Iterator[int]:
    """Yield the ids of our child processes."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, IndexError, ValueError):
            if int(stat.read_bytes().rpartition(b")")[2].split()[1]) == os.getpid():
                yield int(stat.parent.name)


def _end_like(code: int) -> NoReturn:
    """End with the child's exit code or signal; only the child writes a core file."""
    if code < 0:
        setrlimit(RLIMIT_CORE, (0, 0))
        with suppress(OSError):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)
