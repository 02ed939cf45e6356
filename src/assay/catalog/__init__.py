"""What is recorded: immutable facts, and the pointers that readers follow."""

from assay.catalog.belonging import OF_MARK
from assay.catalog.catalog import CLOCKS_DIFFER, Catalog
from assay.catalog.opening import open_catalog, shared_catalog

__all__ = ["CLOCKS_DIFFER", "OF_MARK", "Catalog", "open_catalog", "shared_catalog"]
