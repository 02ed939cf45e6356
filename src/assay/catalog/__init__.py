"""What is recorded: immutable facts, and the pointers that readers follow."""

from assay.catalog.protocol import Catalog
from assay.catalog.sqlite import SqliteCatalog

__all__ = ["Catalog", "SqliteCatalog"]
