"""What is recorded: immutable facts, and the pointers that readers follow."""

from assay.catalog.catalog import Catalog
from assay.catalog.copying import copy
from assay.catalog.opening import open_catalog, shared_catalog

__all__ = ["Catalog", "copy", "open_catalog", "shared_catalog"]
