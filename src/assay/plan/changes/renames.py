"""Which of the removed names are likely the added ones: what looks the same was renamed."""

from collections.abc import Callable, Mapping, Sequence
from difflib import SequenceMatcher

from assay.model import Column, Product, Source

SameOrigin = Callable[[str, str], bool]
_SIMILAR = 0.6  # of names in the same place


def renamed_columns(
    before: Sequence[Column], now: Sequence[Column], same_origin: SameOrigin
) -> dict[str, str]:
    """Return the new name of each renamed column, by its old name.

    A column that is gone was renamed when a new one has its type and either the same origin, by
    `same_origin(old, new)`, or a similar name and the same place in the table.
    """
    old_names, new_names = {c.name for c in before}, {c.name for c in now}
    gone = [c for c in before if c.name not in new_names]
    new = [c for c in now if c.name not in old_names]
    renamed: dict[str, str] = {}
    for origin in (True, False):
        for old in gone:
            if old.name in renamed:
                continue
            free = [c for c in new if c.name not in renamed.values() and _same_type(c, old)]
            if origin:
                candidates = [c.name for c in free if same_origin(old.name, c.name)]
            else:
                candidates = [c.name for c in free if _looks_like(old, c, before, now)]
            if candidates:
                renamed[old.name] = max(candidates, key=lambda name: _alike(old.name, name))
    return renamed


def _same_type(one: Column, other: Column) -> bool:
    return (one.type, one.logical) == (other.type, other.logical)


def _looks_like(old: Column, new: Column, before: Sequence[Column], now: Sequence[Column]) -> bool:
    same_place = _neighbours(old.name, before) & _neighbours(new.name, now)
    return bool(same_place) and _alike(old.name, new.name) >= _SIMILAR


def _neighbours(name: str, columns: Sequence[Column]) -> set[str]:
    """Return the columns beside one, and its number."""
    names = ["<", *(c.name for c in columns), ">"]
    place = names.index(name, 1)
    return {f"<{names[place - 1]}", f">{names[place + 1]}", f"={place}"}


def _alike(one: str, other: str) -> float:
    """Return how alike two names are, from 0 to 1; one that ends or begins with the other is 0.9."""
    words, others = one.lower().split("_"), other.lower().split("_")
    if set(words) <= set(others) or set(others) <= set(words):
        return 0.9
    return SequenceMatcher(None, one.lower(), other.lower()).ratio()


def renamed_products(before: Mapping[str, Product], now: Mapping[str, Product]) -> dict[str, str]:
    """Return the new name of each renamed product, by its old name.

    It has the same code, or the same columns from the same inputs.
    """
    renamed: dict[str, str] = {}
    for name, old in before.items():
        if name in now:
            continue
        alike = [
            new
            for new, product in now.items()
            if new not in before and new not in renamed.values() and _same_product(old, product)
        ]
        if alike:
            renamed[name] = max(alike, key=lambda new: _alike(name, new))
    return renamed


def _same_product(old: Product, new: Product) -> bool:
    if old.kind is not new.kind:
        return False
    if old.code.digest == new.code.digest:
        return True
    same_inputs = {i.name for i in old.inputs} == {i.name for i in new.inputs}
    columns = old.contract.columns
    return bool(columns) and columns == new.contract.columns and same_inputs


def renamed_sources(before: Mapping[str, Source], now: Mapping[str, Source]) -> dict[str, str]:
    """Return the new name of each renamed source, by its old name: it reads the same files."""
    renamed: dict[str, str] = {}
    for name, old in before.items():
        if name in now:
            continue
        for new, source in now.items():
            free = new not in before and new not in renamed.values()
            if free and (source.pattern, source.reading) == (old.pattern, old.reading):
                renamed[name] = new
                break
    return renamed
