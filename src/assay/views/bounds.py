"""Limits on the time and memory of a query, where DuckDB's own limit does not hold.

DuckDB does not count the memory of texts that a function returns (`repeat`, `printf`, `lpad`), and
cannot be interrupted while it computes one.
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
_TICK = 0.05  # seconds between checks
_SIZE = re.compile(r"([\d.]+) ?(?:([KMGT])(i?)B|%)", re.IGNORECASE)
_DEFAULT = "80%"  # of the machine's memory: DuckDB's own default
_OVERHEAD = 256 * 2**20  # bytes for libraries, threads and rows on their way


class Bounds:
    """The limits of one query.

    `timeout` is how many seconds to wait for it (0: any time), `memory` is as in the settings.
    """

    def __init__(
        self, timeout: float = 0.0, memory: str = "", timer: Callable[[], float] = time.monotonic
    ) -> None:
        self.timeout, self.timer, self.spent = timeout, timer, 0.0
        self.max_bytes = _resident() + round(1.25 * bytes_of(memory or _DEFAULT)) + _OVERHEAD

    def wait(self, future: "Future[T]") -> T:
        """Return the result of a future; QueryStopped if it takes too much time or memory."""
        while True:
            began = self.timer()
            try:
                return future.result(_TICK)
            except TimeoutError:
                if future.done():
                    raise  # the work itself raised it
            self.spent += self.timer() - began
            if self.timeout and self.spent >= self.timeout:
                raise QueryStopped(
                    f"the query was stopped after {shown_while(self.timeout)}", hint=_LONGER
                )
            if _resident() > self.max_bytes:
                raise QueryStopped(
                    f"the query took more memory than {self.max_bytes / 2**30:.1f} GB", hint=_MORE
                )


_LONGER = "Give it more time (`--timeout`), or ask for less."
_MORE = (
    "Give it more (`memory` in pyproject.toml), or ask for less: functions that make long texts are"
    " not spilled."
)


def bytes_of(size: str) -> int:
    """Return how many bytes "2GB", "512 MiB" or "80%" (of the machine's memory) are."""
    match = _SIZE.fullmatch(size)
    assert match is not None
    number, prefix, is_binary = float(match[1]), match[2], bool(match[3])
    if not prefix:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return round(number / 100 * total)
    unit: int = (1024 if is_binary else 1000) ** " KMGT".index(prefix.upper())
    return round(number * unit)


def _resident() -> int:
    """Return how many bytes of memory this process has; 0 if the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
