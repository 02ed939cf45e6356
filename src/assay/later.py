"""Frozen values of which a part is known, and the whole is read when more is asked for; imports nothing of ours."""

from collections.abc import Callable
from dataclasses import fields
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")
_new, _put = object.__new__, object.__setattr__  # of a large project there are hundreds of thousands


def later(kind: type[T], whole: Callable[[], T], known: dict[str, Any]) -> T:
    """Return a value of a frozen class with slots; `known` fields are there, `whole` is called for any other.

    It equals, and is taken for, what `whole` returns; that has to agree with what is known.
    """
    value = _new(_kind(kind))  # type: ignore[arg-type]
    for name, told in known.items():
        _put(value, name, told)
    _put(value, "_whole", whole)
    return value  # type: ignore[no-any-return]


@cache
def _kind(kind: type) -> Any:
    """Return the class of values that are not whole yet."""
    names = frozenset(f.name for f in fields(kind))

    def ask(self: Any, name: str) -> Any:
        """Answer for a slot in which nothing is yet."""
        if name not in names:
            raise AttributeError(name)
        whole = self._whole()
        for field in names:
            _put(self, field, getattr(whole, field))
        return getattr(whole, name)

    # Dataclasses compare, copy and print by what a value says that its class is.
    return type(kind.__name__, (kind,), {"__slots__": ("_whole",), "__class__": kind, "__getattr__": ask})
