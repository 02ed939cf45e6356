"""Which failures may go better another time, and when that time is."""

import random
from collections.abc import Callable, Iterable
from heapq import heappop, heappush

from assay.build.failures import Elsewhere
from assay.errors import AssayError, Crashed, SourceReplaced, TimedOut

_FIRST, _MOST = 0.5, 300.0  # seconds to wait at least after the first try, and at most after any
_WRONG_CODE = (NameError, SyntaxError, ImportError)  # is no better the second time
# Of DuckDB's errors, those that are about the world; all others are about the query, or the data.
_PASSING = {
    "IOException",
    "HTTPException",
    "OutOfMemoryException",
    "ConnectionException",
    "TransactionException",
}


def worth_another(error: BaseException) -> bool:
    """Say whether this is a failure of machinery that another try may not meet."""
    if isinstance(error, Elsewhere):
        return error.again
    if isinstance(error, AssayError):
        return isinstance(error, TimedOut | Crashed) or isinstance(error.__cause__, OSError)
    if type(error).__module__.strip("_").startswith("duckdb"):
        return type(error).__name__ in _PASSING
    return isinstance(error, Exception) and not isinstance(error, _WRONG_CODE)


def first_worth_another(
    errors: Iterable[Exception], tries: int, *, looks_again: bool
) -> Exception | None:
    """Return the first of these that another try may not meet; `tries` are left, or one look at replaced files."""
    again = (
        e
        for e in errors
        if (looks_again if isinstance(e, SourceReplaced) else tries > 0 and worth_another(e))
    )
    return next(again, None)


def pause(tries: int) -> float:
    """Return how long to wait (seconds) after so many tries: twice as long each time, and a bit by chance."""
    grows = min(_MOST, _FIRST * 2.0 ** min(tries - 1, 20))
    return grows + random.uniform(0, _FIRST)


class RetryQueue:
    """Products that wait to be tried again; nobody who could work waits with them."""

    def __init__(self, timer: Callable[[], float]) -> None:
        self.timer = timer
        self._waiting: list[tuple[float, str]] = []

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, name: str, seconds: float) -> None:
        """Let a product wait."""
        heappush(self._waiting, (self.timer() + seconds, name))

    def due(self) -> list[str]:
        """Return those that have waited long enough, which then wait no more."""
        now, found = self.timer(), []
        while self._waiting and self._waiting[0][0] <= now:
            found.append(heappop(self._waiting)[1])
        return found

    def clear(self) -> None:
        """Let none wait any more."""
        self._waiting.clear()
