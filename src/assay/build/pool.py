"""The threads that build and judge the products of a run; their results come back to the thread that asks."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Generic, TypeVar

from assay.signals import signals_deferred

_TICK = 0.2  # seconds between looks for Ctrl-C, which an endless wait would not notice
T = TypeVar("T")


class Pool(Generic[T]):
    """Some threads, and the work that is queued or running in them, by product."""

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
        """The products that are queued or worked on."""
        return tuple(self._running.values())

    def submit(self, product: str, work: Callable[[], T]) -> None:
        """Queue work on a product."""
        with signals_deferred():
            future = self._executor.submit(work)
            self._running[future] = product
        future.add_done_callback(self._done.put)

    def finished(self) -> Iterator[tuple[str, Future[T]]]:
        """Yield what is done by now, after a moment if nothing is: wait() would set itself up anew for each."""
        futures = []
        with suppress(Empty):
            futures.append(self._done.get(timeout=_TICK))
            while True:
                futures.append(self._done.get_nowait())
        for future in futures:
            if future in self._running:
                yield self._running.pop(future), future

    def drop_queued(self) -> None:
        """Cancel what no thread has begun: a cancelled future never counts as done to wait()."""
        self._running = {f: product for f, product in self._running.items() if not f.cancel()}

    def stop(self) -> None:
        """Begin nothing any more."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        self.drop_queued()

    def finished_after_stop(self) -> Iterator[tuple[str, Future[T]]]:
        """Yield what is done by now, also what an interrupt kept from being yielded before."""
        for future in wait(self._running, timeout=_TICK).done:
            yield self._running.pop(future), future
