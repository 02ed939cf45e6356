"""What is recorded: immutable facts, and the pointers that readers follow."""

from assay.catalog.catalog import Catalog
from assay.catalog.copying import copy
from assay.catalog.opening import MARK, open_catalog, shared_catalog

__all__ = ["MARK", "Catalog", "copy", "open_catalog", "shared_catalog"]
