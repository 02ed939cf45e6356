"""Finds a version of a product by the beginning of its id."""

from assay.catalog.catalog import Catalog
from assay.errors import UsageError
from assay.facts import Version, short

_SHOWN = 5  # ids in a message


def find_version(catalog: Catalog, product: str, id: str) -> Version:
    """Return the version whose id begins like this, with or without its `v`.

    Raises UsageError when no version of the product matches, or several do.
    """
    versions = catalog.versions(product)
    matching = [v for v in versions if v.id.startswith((id, f"v{id}"))]
    if len(matching) == 1:
        return matching[0]
    problem, hint = f"{product} has no version {id!r}", ""
    if matching:
        ids = ", ".join(v.id for v in matching[:_SHOWN])
        rest = f" and {len(matching) - _SHOWN} more" if len(matching) > _SHOWN else ""
        problem = f"{id!r} could be {ids}{rest}"
    elif versions:
        hint = f"It has {', '.join(short(v.id) for v in versions[:_SHOWN])}. "
    raise UsageError(problem, hint=f"{hint}`products history {product}` lists them.")
