"""Ctrl-C and SIGTERM: where they have to wait, and what ends the process where nothing hears them."""

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from threading import Thread, Timer, current_thread, enumerate, main_thread
from types import FrameType
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

T = TypeVar("T")

end_now = os._exit  # as it is before users' code meets another: see `exits`
_PATIENCE = 5.0  # seconds that a run has to end by itself after SIGTERM
_TWICE = 0.3  # seconds: two Ctrl-C closer than that are one, which a terminal and a program around us both sent
_STOPPED = 130

_running: list[Callable[[], Iterable[str]]] = []  # what says the names of all that is running


@contextmanager
def signals_deferred() -> Iterator[None]:
    """Let Ctrl-C wait until this is over: what is stopped half-way into it would be known to nobody."""
    if current_thread() is not main_thread():
        yield
        return
    asked: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda it, _: asked.append(it)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
    if asked:
        signal.raise_signal(asked[0])


@contextmanager
def hearing() -> Iterator[None]:
    """Let Ctrl-C be one: DuckDB takes it for itself, and raises an error of no kind of its own."""
    try:
        yield
    except RuntimeError as error:
        if str(error) == "Query interrupted":
            raise KeyboardInterrupt from None
        raise


class _Apart(Thread):
    """A thread that nobody has to wait for."""


def in_thread(work: Callable[[], T], name: str = "") -> "tuple[Future[T], Thread]":
    """Do this in a thread that nobody has to wait for: an engine may never come back from a query."""
    from concurrent.futures import Future  # it takes as long as a fifth of all that `--help` loads

    result: Future[T] = Future()

    def run() -> None:
        try:
            result.set_result(work())
        except BaseException as error:
            result.set_exception(error)

    thread = _Apart(target=run, daemon=True, name=name or None)
    thread.start()
    return result, thread


def is_left_behind() -> bool:
    """Say whether something still runs that nobody waits for: an engine that would be waited for at the exit."""
    return any(isinstance(thread, _Apart) for thread in enumerate())


def end_when_deaf() -> None:
    """End this process at the second Ctrl-C, and some seconds after SIGTERM, whatever its threads hang in.

    The first of them raises KeyboardInterrupt in the main thread, which may never return to Python from an engine. So
    another thread is told of signals too. Nothing is lost: what is half done the next run takes for that of a crash.
    """
    signals, ours = os.pipe()
    os.set_blocking(ours, False)
    signal.set_wakeup_fd(ours, warn_on_full_buffer=False)
    os.register_at_fork(
        after_in_child=lambda: signal.set_wakeup_fd(-1)
    )  # signals of a child are the child's
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _Once())
    with suppress(RuntimeError):  # no thread can be started: whatever needs memory will say so
        Thread(target=_listen, args=(signals,), daemon=True, name="signals").start()


def stop_at_sigterm() -> None:
    """Let SIGTERM stop what runs as Ctrl-C does, instead of ending the process on the spot."""
    handler = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGTERM, handler if callable(handler) else signal.default_int_handler)


@contextmanager
def saying_what_runs(running: Callable[[], Iterable[str]]) -> Iterator[None]:
    """Let the names of what is running be said if the process ends meanwhile."""
    _running.append(running)
    try:
        yield
    finally:
        _running.remove(running)


def names_of_what_runs() -> list[str]:
    """Return the names of what is running now."""
    return [name for running in _running for name in running()]


class _Once:
    """Raises KeyboardInterrupt at the first signal: what stops then is not stopped again half-way."""

    def __init__(self) -> None:
        self.done = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if not self.done:
            self.done = True
            raise KeyboardInterrupt


def _listen(signals: int) -> None:
    first = 0.0
    while True:
        [number] = os.read(signals, 1)
        if number == signal.SIGTERM:
            Timer(_PATIENCE, _leave).start()
        elif number == signal.SIGINT:
            first = first or time.monotonic()
            if time.monotonic() - first > _TWICE:
                _leave()


def _leave() -> None:
    names = ", ".join(names_of_what_runs())
    os.write(2, f"stopped at once{f', while {names} did not end' if names else ''}\n".encode())
    end_now(_STOPPED)
