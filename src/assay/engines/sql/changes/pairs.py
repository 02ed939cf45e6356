"""Finds which parts of a query are still there in another."""

from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def paired(
    before: Sequence[T], after: Sequence[T], *keys: Callable[[T], Hashable]
) -> Iterator[tuple[T, T]]:
    """Yield the parts with the same first key, of the others those with the same second, and so on.

    A key of None is that of no other part. No part is in two pairs.
    """
    olds, news = list(before), list(after)
    for key in keys:
        by_key: defaultdict[Hashable, deque[T]] = defaultdict(deque)
        for new in news:
            by_key[key(new)].append(new)
        keyed = [(old, by_key.get(found)) for old in olds if (found := key(old)) is not None]
        pairs = [(old, same.popleft()) for old, same in keyed if same]
        yield from pairs
        olds, news = unpaired(olds, pairs), unpaired(news, pairs)


def unpaired(parts: Sequence[T], pairs: Sequence[tuple[T, T]]) -> list[T]:
    """Return the parts that are in no pair."""
    taken = {id(part) for pair in pairs for part in pair}
    return [part for part in parts if id(part) not in taken]


def is_reordered(before: Sequence[T], after: Sequence[T], pairs: Sequence[tuple[T, T]]) -> bool:
    """Return whether the parts that are in pairs are in another order."""
    places = {id(part): place for place, part in enumerate(after)}
    follows = {id(old): places[id(new)] for old, new in pairs}
    order = [follows[id(old)] for old in before if id(old) in follows]
    return order != sorted(order)
