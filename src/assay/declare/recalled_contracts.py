"""What pandera's models demand, as earlier readings found it: to read a thousand takes half a second.

A model is recalled by all that its demands are made of: the digest of the code that it reaches, and
the values that its fields, its annotations and its settings have now. Models with checks of their
own are always read.
"""

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from assay.engines.types import storable
from assay.model import Column, Rule, Where
from assay.plan.digests import digest
from assay.rules.model_values import values_of
from assay.rules.schema import Schema

_NOWHERE = Where("")


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


def key_of(model: type, parts: Mapping[str, str]) -> str:
    """Return what a model is recalled by; '' if it cannot be. `parts` is the code that it reaches."""
    values = values_of(model)
    return "" if values is None else digest([parts, values])
