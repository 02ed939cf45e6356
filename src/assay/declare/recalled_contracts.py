"""What pandera's models demand, as earlier readings found it: to make a schema of a model takes long.

A model is recalled by all that its demands are made of: the digest of the code that it reaches, and
the values that its fields, its annotations and its settings have now. Models with checks of their
own are always read.
"""

import sys
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from assay.declare.pyvalues import is_plain
from assay.engines.types import storable
from assay.model import Column, Rule, Where
from assay.plan.digests import digest
from assay.rules.schema import Schema, is_built_in

_NOWHERE = Where("")
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


class KnownContract(Struct, frozen=True, kw_only=True):
    """What a model demands, as in Schema, and the digest of it; its rules have no place."""

    digest: str
    description: str
    names: tuple[str, ...]
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    sensitive: tuple[str, ...]
    cleared: tuple[str, ...]
    rules: tuple[Rule, ...]

    def schema(self, model: type, where: Where) -> Schema:
        """Return what a model demands of the product that is declared at a place."""
        return Schema(
            declared=model,
            description=self.description,
            names=self.names,
            columns=self.columns,
            key=self.key,
            sensitive=self.sensitive,
            cleared=self.cleared,
            rules=tuple(replace(rule, where=where) for rule in self.rules),
        )

    @property
    def is_sound(self) -> bool:
        """Whether a model can demand this: anyone with access may have edited the file.

        A built-in check becomes SQL only of values that are quoted; types are used as they are.
        """
        demands = [rule.demand for rule in self.rules]
        return all(storable(column.type) for column in self.columns) and all(
            demand and demand.kind not in {"condition", "custom", "accounted"} for demand in demands
        )


class RecalledContracts:
    """The contracts of models that earlier readings found, `known`, and those `used` by this one."""

    def __init__(self, known: Mapping[str, KnownContract]) -> None:
        self.known = known
        self.used: dict[str, KnownContract] = {}

    def find(self, key: str) -> KnownContract | None:
        """Return what is known of a model; None if nothing is."""
        known = self.known.get(key) if key else None
        if known is None or not known.is_sound:
            return None
        self.used[key] = known
        return known

    def keep(self, key: str, schema: Schema, digest: str) -> None:
        """Keep what was read of a model for the next reading, unless its key is ''."""
        if key:
            self.used[key] = KnownContract(
                digest=digest,
                description=schema.description,
                names=schema.names,
                columns=schema.columns,
                key=schema.key,
                sensitive=schema.sensitive,
                cleared=schema.cleared,
                rules=tuple(replace(rule, where=_NOWHERE) for rule in schema.rules),
            )


class _NotPlain(Exception):
    """A model of which not everything that its demands are made of can be written down."""


def key_of(model: type, parts: Mapping[str, str]) -> str:
    """Return what a model is recalled by; '' if it cannot be. `parts` is the code that it reaches."""
    try:
        return digest([parts, [list(_of_class(cls)) for cls in model.__mro__]])
    except _NotPlain:
        return ""


def _of_class(cls: type) -> Iterator[Any]:
    """Yield what a class adds to a model; raises _NotPlain for anything else than fields."""
    home = cls.__module__.partition(".")[0]
    if home in {"builtins", "typing"} or (home == "pandera" and not _is_of_the_user(cls)):
        yield f"{cls.__module__}.{cls.__qualname__}"
        return
    attributes = vars(cls)
    yield [cls.__qualname__, _written(attributes.get("__doc__"))]
    for name, annotation in attributes.get("__annotations__", {}).items():
        yield [name, _annotation(annotation, cls)]
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


def _annotation(annotation: Any, cls: type) -> str:
    """Return what identifies the type of a field."""
    if isinstance(annotation, str):
        try:
            space = vars(sys.modules[cls.__module__])
            annotation = eval(annotation, dict(space), dict(vars(cls)))
        except Exception:  # it is the user's text
            raise _NotPlain from None
    text = repr(annotation)
    if " at 0x" in text or isinstance(annotation, str):
        raise _NotPlain
    return text


def _written(value: Any) -> Any:
    """Return a value of a field so that another value is written differently."""
    if is_plain(value):
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
