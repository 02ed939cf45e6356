"""Which failures are worth another try, and when that is."""

import random
from collections.abc import Callable, Iterable
from heapq import heappop, heappush

from assay.build.error_text import RemoteError, library_of
from assay.errors import AssayError, Crashed, SourceReplaced, TimedOut

_FIRST, _LONGEST = (
    0.5,
    300.0,
)  # seconds to wait after the first try, and after any later one at most
_WRONG_CODE = (NameError, SyntaxError, ImportError)  # fail again in the same way
# DuckDB's errors about the machine or the network; all others are about the query or the data.
_PASSING = {
    "IOException",
    "HTTPException",
    "OutOfMemoryException",
    "ConnectionException",
    "TransactionException",
}


def worth_another(error: BaseException) -> bool:
    """Return whether another try may succeed, because the failure is one of the machine."""
    if isinstance(error, RemoteError):
        return error.retryable
    if isinstance(error, AssayError):
        return isinstance(error, TimedOut | Crashed) or isinstance(error.__cause__, OSError)
    if library_of(error) == "duckdb":
        return type(error).__name__ in _PASSING
    return isinstance(error, Exception) and not isinstance(error, _WRONG_CODE)


def first_worth_another(
    errors: Iterable[Exception], tries: int, *, looks_again: bool
) -> Exception | None:
    """Return the first error that is worth another try, or None.

    `tries` are left for failures of the machine. With `looks_again`, replaced source files may be
    read once more.
    """
    for error in errors:
        if isinstance(error, SourceReplaced):
            if looks_again:
                return error
        elif tries > 0 and worth_another(error):
            return error
    return None


def pause(tries: int) -> float:
    """Return how many seconds to wait after so many tries: twice as long each time, and jitter."""
    seconds = min(_LONGEST, _FIRST * 2.0 ** min(tries - 1, 20))
    return seconds + random.uniform(0, _FIRST)


class RetryQueue:
    """Products that wait for their next try, without blocking a thread."""

    def __init__(self, timer: Callable[[], float]) -> None:
        self.timer = timer
        self._waiting: list[tuple[float, str]] = []

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, name: str, seconds: float) -> None:
        """Let a product wait for so many seconds."""
        heappush(self._waiting, (self.timer() + seconds, name))

    def due(self) -> list[str]:
        """Remove and return the products that have waited long enough."""
        now, names = self.timer(), []
        while self._waiting and self._waiting[0][0] <= now:
            names.append(heappop(self._waiting)[1])
        return names

    def clear(self) -> None:
        """Remove all products."""
        self._waiting.clear()
