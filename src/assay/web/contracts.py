"""The contract of a product as a file: what `products describe --json` prints."""

from assay.catalog import Catalog
from assay.views.describe import described
from assay.views.json_text import to_json
from assay.web.look import Look


def contract_of(look: Look, catalog: Catalog, product: str) -> str:
    """Return the contract of a declared product, by its full name, as JSON text."""
    pointer = look.pointers.get(product)
    published = catalog.version(pointer.version) if pointer else None
    return to_json(described(look.graph, product, published), indent=2) + "\n"
