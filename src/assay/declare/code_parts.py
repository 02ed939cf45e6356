"""The result of a code digest: a digest for each named piece of code and each value."""

from collections import Counter
from typing import Any

from msgspec import Struct, field

from assay.declare.pyvalues import home
from assay.plan.digests import digest


class CodeParts(Struct):
    """Digests by name, the names of code outside the project, and the names with another target.

    `names` lists each name with what it stands for, where the two differ: if two names exchange
    their targets, the digests must change.
    """

    digests: dict[str, str] = field(default_factory=dict)
    foreign: set[str] = field(default_factory=set)
    names: list[tuple[str, str]] = field(default_factory=list)
    _homes: Counter[str] = field(default_factory=Counter)

    def all(self) -> dict[str, str]:
        """Return all digests by name; code outside the project counts by its names alone."""
        names = [sorted(self.foreign), self.names]
        return {**self.digests, **({"names": digest(names)} if any(names) else {})}

    def add(self, name: str, content: Any) -> None:
        """Add a part by its content."""
        self.add_digest(name, digest(content))

    def add_digest(self, name: str, value: str) -> None:
        """Add a part by its digest; two parts of one name (two lambdas) are combined."""
        existing = self.digests.get(name)
        self.digests[name] = value if existing is None else digest([existing, value])

    def add_name(self, name: str, target: str) -> None:
        """Note what a name stands for, if that has another name."""
        if target != name and not target.endswith(f".{name}"):
            self.names.append((name, target))

    def unique_name(self, name: str, value: Any) -> str:
        """Return a name that tells a value from all others: where it is defined, else `name`."""
        place = home(value)
        if not place:
            return name
        self._homes[place] += 1
        count = self._homes[place]
        return place if count == 1 else f"{place} {count}"
