"""How much memory builds need: measured while they run, and how much a run may use."""

import os
import re
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from threading import Event, Lock, Thread

from msgspec import Struct

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICK = 0.05  # seconds between two looks at the memory of this process
_IDLE = 20  # looks without a build after which no more follow
_SHARE = 0.8  # of the machine's memory, as DuckDB has it
_SIZE = re.compile(r"([\d.]+) ?([KMGT]i?B|%)", re.IGNORECASE)
_POWERS = {"K": 1, "M": 2, "G": 3, "T": 4}
_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def budget_of(memory: str) -> int:
    """Return how many bytes the products of a run may need together; `memory` is the setting."""
    match = _SIZE.fullmatch(memory)
    if match is None:
        return int(_SHARE * _machine())
    number, unit = float(match[1]), match[2].upper()
    if unit == "%":
        return int(number / 100 * _machine())
    return int(number * (1024 if "I" in unit else 1000) ** _POWERS[unit[0]])


def _machine() -> int:
    """Return the memory of the machine, or of the container that this process is in, in bytes."""
    sizes = [_PAGE * os.sysconf("SC_PHYS_PAGES")]
    for limit in _CGROUP_LIMITS:
        with suppress(OSError, ValueError):
            sizes.append(int(Path(limit).read_text(encoding="ascii")))
    return min(sizes)


def resident() -> int:
    """Return the memory that this process has now, in bytes; the highest so far where not known."""
    with suppress(OSError, ValueError, IndexError):
        return int(os.pread(_statm(), 100, 0).split()[1]) * _PAGE
    return highest()


@cache
def _statm() -> int:
    """Return what reads the memory of this process, in pages; it is open from then on."""
    return os.open("/proc/self/statm", os.O_RDONLY)


def highest() -> int:
    """Return the most memory that this process has had, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


class _Build(Struct, eq=False):
    """A build that runs: what it is expected to need, and the memory of the process.

    `began` is what the process had at its start, `highest` the most that it had had until then,
    `most` the most since. `beside` are expected needs of all that ran at the same time.
    """

    expected: int
    began: int
    highest: int
    beside: list[int]
    most: int = 0


class Gauge:
    """Measures what builds in this process need, by looking at its memory while they run.

    Alone, a build is known to need at least what the process grows by, and at most all that it has
    more than at the start of the run: libraries keep memory that earlier builds have freed. Where
    several run at once, growth beyond what they were expected to need counts for each of them.
    """

    def __init__(
        self, resident: Callable[[], int] = resident, highest: Callable[[], int] = highest
    ) -> None:
        self._resident, self._highest = resident, highest
        self._base = resident()
        self._builds: list[_Build] = []
        self._lock = Lock()
        self._watcher: Thread | None = None
        self._ended = Event()

    @contextmanager
    def measuring(self, expected: int = 0) -> Iterator[Callable[[], int]]:
        """Measure what runs in this context; provides what returns the bytes, after its end.

        `expected` are the bytes that it needed before; 0 when not known.
        """
        began, highest = self._resident(), self._highest()
        with self._lock:
            beside = [other.expected for other in self._builds]
            build = _Build(expected=expected, began=began, highest=highest, beside=beside)
            for other in self._builds:
                other.beside.append(expected)
            self._builds.append(build)
            self._look()
            self._start_watching()
        try:
            yield lambda: self._needed(build)
        finally:
            with self._lock:
                self._look()
                self._builds.remove(build)

    @contextmanager
    def not_counted(self) -> Iterator[None]:
        """Leave out what is loaded in this context and stays: an engine, which all builds use."""
        before = self._resident()
        yield
        self._base += max(0, self._resident() - before)

    def end(self) -> None:
        """End the thread that looks at the memory: no build follows."""
        self._ended.set()
        if self._watcher is not None:
            self._watcher.join()

    def _start_watching(self) -> None:
        if self._watcher is None:
            watcher = Thread(target=self._watch, name="memory", daemon=True)
            with suppress(RuntimeError):  # there is no memory for a thread: looks are fewer then
                watcher.start()
                self._watcher = watcher

    def _needed(self, build: _Build) -> int:
        most = max(1, build.most - self._base)  # 0 would be: not known
        if not build.expected:
            return most
        surplus = build.most - build.began - build.expected - sum(build.beside)
        if surplus > 0 and all(build.beside):  # certain, and not due to what is not known
            return min(most, build.expected + surplus)
        return min(most, build.expected)

    def _watch(self) -> None:
        idle = 0
        while True:  # no build wakes it: that would cost a tiny one more than its measurement
            if self._ended.wait(_TICK):
                return
            with self._lock:
                self._look()
                idle = 0 if self._builds else idle + 1
                if idle == _IDLE:
                    self._watcher = None
                    return

    def _look(self) -> None:
        now, highest = self._resident(), self._highest()
        for build in self._builds:
            # The highest so far was in this build if it is a new one: this misses no short peak.
            build.most = max(build.most, now, highest if highest > build.highest else 0)
