"""Finding a version of a product by how its id begins."""

from assay.catalog.catalog import Catalog
from assay.errors import UsageError
from assay.facts import Version, short


def version_of(catalog: Catalog, product: str, id: str) -> Version:
    """Return the version of a product whose id begins so, with or without its v; UsageError for none, or several."""
    versions = catalog.versions(product)
    found = [v for v in versions if v.id.startswith((id, f"v{id}"))]
    if len(found) == 1:
        return found[0]
    some = ", ".join(v.id for v in found[:5]) + (
        f" and {len(found) - 5} more" if len(found) > 5 else ""
    )
    what = f"{id!r} could be {some}" if found else f"{product} has no version {id!r}"
    hint = (
        "" if found or not versions else f"It has {', '.join(short(v.id) for v in versions[:5])}. "
    )
    raise UsageError(what, hint=f"{hint}`products history {product}` lists them.")
