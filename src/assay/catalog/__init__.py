"""What is recorded: immutable facts, and the pointers that readers follow."""

from assay.catalog.belonging import OF_MARK
from assay.catalog.catalog import Catalog
from assay.catalog.opening import open_catalog, shared_catalog

__all__ = ["OF_MARK", "Catalog", "open_catalog", "shared_catalog"]
