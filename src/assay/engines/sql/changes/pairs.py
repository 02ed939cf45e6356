"""Finds which parts of a query are still there in another."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def paired(
    before: Sequence[T], after: Sequence[T], *tests: Callable[[T, T], bool]
) -> Iterator[tuple[T, T]]:
    """Yield the parts that are the same by the first test, of the others by the second, and so on.

    No part is in two pairs.
    """
    olds, news = list(before), list(after)
    for is_same in tests:
        for old in list(olds):
            place = next((i for i, new in enumerate(news) if is_same(old, new)), None)
            if place is not None:
                yield old, news.pop(place)
                olds = [other for other in olds if other is not old]


def unpaired(parts: Sequence[T], pairs: Sequence[tuple[T, T]]) -> list[T]:
    """Return the parts that are in no pair."""
    taken = {id(part) for pair in pairs for part in pair}
    return [part for part in parts if id(part) not in taken]
