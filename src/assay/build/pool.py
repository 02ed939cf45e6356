"""The threads that build and check products; the thread of the run collects their results."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Generic, TypeVar

from assay.signals import signals_deferred

_TICK = 0.2  # longest wait in seconds: an endless wait would not notice Ctrl-C
T = TypeVar("T")


class Pool(Generic[T]):
    """A pool of threads, and the products whose work is queued or running."""

    def __init__(self, threads: int) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="build")
        self._running: dict[Future[T], str] = {}
        self._done: SimpleQueue[Future[T]] = SimpleQueue()

    def __enter__(self) -> "Pool[T]":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._executor.shutdown()

    def __len__(self) -> int:
        return len(self._running)

    @property
    def products(self) -> tuple[str, ...]:
        """The products whose work is queued or running."""
        return tuple(self._running.values())

    def submit(self, product: str, work: Callable[[], T]) -> None:
        """Queue work on a product."""
        with signals_deferred():
            future = self._executor.submit(work)
            self._running[future] = product
        future.add_done_callback(self._done.put)

    def finished(self) -> Iterator[tuple[str, Future[T]]]:
        """Yield the finished futures, each with its product; wait a moment for the first."""
        # A queue, as concurrent.futures.wait() registers with every future on each call.
        futures = []
        with suppress(Empty):
            futures.append(self._done.get(timeout=_TICK))
            while True:
                futures.append(self._done.get_nowait())
        for future in futures:
            if future in self._running:
                yield self._running.pop(future), future

    def drop_queued(self) -> None:
        """Cancel queued work, and forget it: wait() never reports a cancelled future as done."""
        self._running = {f: product for f, product in self._running.items() if not f.cancel()}

    def stop(self) -> None:
        """Cancel queued work, and start no more."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        self.drop_queued()

    def finished_after_stop(self) -> Iterator[tuple[str, Future[T]]]:
        """Yield the finished futures, also those that an interrupt of `finished()` has skipped."""
        for future in wait(self._running, timeout=_TICK).done:
            yield self._running.pop(future), future
