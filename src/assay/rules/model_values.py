"""The values that the demands of a pandera model are made of, without making a schema of it."""

import sys
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from inspect import get_annotations
from typing import Any

from assay.rules.schema import is_built_in

_PLAIN = {type(None), bool, int, float, str, bytes, Decimal, date, datetime, time, timedelta}
_SET_BY_PANDERA = {"__config__", "__extras__", "__parameters__", "__annotations__", "Config"}
_OF_A_CLASS = {"__module__", "__qualname__", "__doc__", "__orig_bases__", "__dict__", "__weakref__"}
_OF_A_CHECK = (
    "name",
    "error",
    "statistics",
    "_check_kwargs",
    "element_wise",
    "ignore_na",
    "raise_warning",
    "n_failure_cases",
    "title",
    "description",
    "groupby",
    "groups",
)


class _NotPlain(Exception):
    """A model of which not everything that its demands are made of can be written down."""


def values_of(model: type) -> list[Any] | None:
    """Return the values of the fields, annotations and settings of a model and its bases.

    None for anything else than a model, and for a model that has more, such as checks of its own.
    """
    try:
        return [list(_of_class(cls)) for cls in model.__mro__]
    except _NotPlain:
        return None


def _of_class(cls: type) -> Iterator[Any]:
    """Yield what a class adds to a model; raises _NotPlain for anything else than fields."""
    home = cls.__module__.partition(".")[0]
    if home in {"builtins", "typing"} or (home == "pandera" and not _is_of_the_user(cls)):
        yield f"{cls.__module__}.{cls.__qualname__}"
        return
    attributes = vars(cls)
    yield [cls.__qualname__, _written(attributes.get("__doc__"))]
    for name, annotation in _annotations(cls).items():
        yield [name, _annotation(annotation)]
    if "__config__" not in attributes or attributes.get("__extras__"):
        raise _NotPlain
    config = attributes["__config__"]
    yield [[name, _written(value)] for name, value in sorted(_settings(config).items())]
    for name, value in attributes.items():
        if name in _SET_BY_PANDERA or name in _OF_A_CLASS:
            continue
        if type(value) is not _field():
            raise _NotPlain
        yield [name, *(_written(getattr(value, slot, None)) for slot in _slots())]


def _is_of_the_user(cls: type) -> bool:
    file = str(getattr(sys.modules.get(cls.__module__), "__file__", None) or "")
    return "site-packages" not in file


def _settings(config: type) -> dict[str, Any]:
    """Return the settings of a model."""
    return {
        name: value
        for cls in reversed(config.__mro__)
        for name, value in vars(cls).items()
        if not (name.startswith("__") and name.endswith("__"))
    }


def _annotations(cls: type) -> dict[str, Any]:
    """Return the types of a class's own fields, those that are written as text as well."""
    try:
        return get_annotations(cls, eval_str=True)
    except Exception:  # it is the user's text
        raise _NotPlain from None


def _annotation(annotation: Any) -> str:
    """Return what identifies the type of a field."""
    text = repr(annotation)
    if " at 0x" in text or isinstance(annotation, str):
        raise _NotPlain
    return text


def _written(value: Any) -> Any:
    """Return a value of a field so that another value is written differently."""
    if type(value) in _PLAIN:
        return repr(value)
    if isinstance(value, list | tuple):
        return [type(value).__name__, *map(_written, value)]
    if isinstance(value, set | frozenset):
        return [type(value).__name__, *sorted(map(_written, value), key=repr)]
    if isinstance(value, dict):
        return [[_written(k), _written(v)] for k, v in value.items()]
    if type(value) is _check() and is_built_in(value):
        options = [_written(getattr(value, name)) for name in _OF_A_CHECK]
        return [value._check_fn.__name__, *options]
    raise _NotPlain


@cache
def _field() -> Any:
    from pandera.api.dataframe.model_components import FieldInfo

    return FieldInfo


@cache
def _slots() -> tuple[str, ...]:
    return tuple(name for cls in _field().__mro__ for name in getattr(cls, "__slots__", ()))


@cache
def _check() -> Any:
    from pandera.api.checks import Check

    return Check
