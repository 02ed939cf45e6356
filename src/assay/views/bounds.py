"""How long a query may take, and how much memory, where DuckDB's own limit does not hold.

DuckDB does not count the texts that a function makes (`repeat`, `printf`, `lpad`), nor look up from making one.
"""

import os
import re
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

from assay.errors import QueryStopped
from assay.times import shown_while

T = TypeVar("T")
_TICK = 0.05  # seconds between looks
_SIZE = re.compile(r"([\d.]+) ?(?:([KMGT])(i?)B|%)", re.IGNORECASE)
_DEFAULT = "80%"  # of the machine's memory is what DuckDB takes unless it is told
_BESIDE = 256 * 2**20  # bytes that a process takes besides: libraries, threads, rows on their way


class Bounds:
    """The bounds of one query: `timeout` seconds of waiting for it (0: any time), `memory` as in the settings."""

    def __init__(
        self, timeout: float = 0.0, memory: str = "", timer: Callable[[], float] = time.monotonic
    ) -> None:
        self.timeout, self.timer, self.spent = timeout, timer, 0.0
        self.most = _resident() + round(1.25 * bytes_of(memory or _DEFAULT)) + _BESIDE

    def wait(self, done: "Future[T]") -> T:
        """Return what comes of some work; QueryStopped when it takes longer or more memory than it may."""
        while True:
            began = self.timer()
            try:
                return done.result(_TICK)
            except TimeoutError:
                if done.done():
                    raise  # it is the work's own
            self.spent += self.timer() - began
            if self.timeout and self.spent >= self.timeout:
                raise QueryStopped(
                    f"the query was stopped after {shown_while(self.timeout)}", hint=_LONGER
                )
            if _resident() > self.most:
                raise QueryStopped(
                    f"the query took more memory than {self.most / 2**30:.1f} GB", hint=_MORE
                )


_LONGER = "Give it more time (`--timeout`), or ask for less."
_MORE = "Give it more (`memory` in pyproject.toml), or ask for less: functions that make long texts are not spilled."


def bytes_of(size: str) -> int:
    """Return how many bytes "2GB", "512 MiB" or "80%" (of the machine's memory) are."""
    found = _SIZE.fullmatch(size)
    assert found is not None
    if not found[2]:
        return round(
            float(found[1]) / 100 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        )
    unit: int = (1024 if found[3] else 1000) ** " KMGT".index(found[2].upper())
    return round(float(found[1]) * unit)


def _resident() -> int:
    """Return how many bytes of memory this process has now; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
