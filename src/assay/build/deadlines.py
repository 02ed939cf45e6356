"""The time limit of a product (`timeout=`): interrupts work in this process that takes longer."""

from collections.abc import Callable
from concurrent.futures import wait
from typing import TypeVar

from assay.errors import TimedOut
from assay.model import Product
from assay.signals import in_thread
from assay.times import shown_while

TICK = 0.1  # seconds between two checks whether something has ended
GRACE = 3.0  # seconds that something has to end once it is told to
T = TypeVar("T")


def within_limit(
    product: Product, work: Callable[[], T], interrupt: Callable[[int | None], None]
) -> T:
    """Do work within a product's time limit; `interrupt` takes the id of the thread at work.

    Raises TimedOut afterwards. Work that ignores the interrupt goes on in its thread, and nobody
    waits for it.
    """
    future, thread = in_thread(work, f"{product.name}, within its time")
    if wait([future], product.timeout).done:
        return future.result()
    for _ in range(int(GRACE / TICK)):
        interrupt(thread.ident)
        if wait([future], TICK).done:
            break
    else:
        raise timed_out(product, ignores_interrupts=True)
    if error := future.exception():
        raise timed_out(product) from error
    return future.result()


def timed_out(product: Product, *, ignores_interrupts: bool = False) -> TimedOut:
    """Return the error of a product that took longer than its limit."""
    hint = "Give it more time (timeout=), or find out what it waits for."
    if ignores_interrupts:
        hint += (
            "\nDuckDB did not stop when it was told to."
            " With isolate=True a process of its own runs it, and is ended."
        )
    message = f"{product.name} timed out after {shown_while(product.timeout)}"
    return TimedOut(message, hint=hint, where=product.where)
