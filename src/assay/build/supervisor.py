"""The process around one in which users' code runs: whatever that starts, and however, ends with it."""

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


def supervised(run: int, lifeline: int, *others: int) -> None:
    """Go on in a child of this process, which itself stays to end what the child leaves, and the child with the run.

    `run` is the process of the run, which has the other end of the `lifeline`; `others` are pipes of the child's.
    On Linux a process whose parent ends becomes ours, so one in a session of its own is found too; elsewhere what is
    still in our group is ended by the run.
    """
    if os.getppid() != run:
        os._exit(1)
    supervisor = os.getpid()
    if child := os.fork():
        for pipe in others:
            os.close(pipe)
        _supervise(child, lifeline)
    os.close(lifeline)
    if _IS_LINUX:
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != supervisor:
        os._exit(1)


def _supervise(child: int, lifeline: int) -> NoReturn:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(
            number, signal.SIG_IGN
        )  # they are the child's: what it leaves has to be ended by somebody
    if _IS_LINUX:
        ctypes.CDLL(None).prctl(_ADOPT_ORPHANS, 1)
    Thread(target=_end_with_run, args=(child, lifeline), daemon=True).start()
    _, status = os.waitpid(child, 0)
    if _IS_LINUX:
        _end_children()
    _end_like(os.waitstatus_to_exitcode(status))


def _end_with_run(child: int, lifeline: int) -> None:
    os.read(lifeline, 1)  # nobody writes to it: it is closed
    os.kill(child, signal.SIGKILL)
    if not _IS_LINUX:
        os.killpg(0, signal.SIGKILL)


def _end_children() -> None:
    """End what the child has left; what those have started becomes ours as each of them ends."""
    with suppress(ChildProcessError):
        while True:
            for pid in _children():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            os.waitpid(-1, 0)


def _children() -> Iterator[int]:
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, IndexError, ValueError):
            if int(stat.read_bytes().rpartition(b")")[2].split()[1]) == os.getpid():
                yield int(stat.parent.name)


def _end_like(code: int) -> NoReturn:
    """End as the child has ended, so that the run can tell how; whatever core there is, is the child's."""
    if code < 0:
        setrlimit(RLIMIT_CORE, (0, 0))
        with suppress(OSError):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)
