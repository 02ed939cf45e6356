"""What is recorded: immutable facts, and the pointers that readers follow."""

from assay.catalog.catalog import CLOCKS_DIFFER, Catalog
from assay.catalog.opening import no_catalog, open_catalog, shared_catalog
from assay.catalog.owner import OF_MARK

__all__ = ["CLOCKS_DIFFER", "OF_MARK", "Catalog", "no_catalog", "open_catalog", "shared_catalog"]
