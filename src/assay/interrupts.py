"""Ctrl-C and SIGTERM, where they have to wait."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread


@contextmanager
def unstopped() -> Iterator[None]:
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
