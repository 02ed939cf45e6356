"""What is recorded: immutable facts, and the pointers that readers follow."""

from assay.catalog.catalog import Catalog
from assay.catalog.collecting import Collected, Waiting, collect, forget, removable, running, waiting
from assay.catalog.copying import copy
from assay.catalog.opening import MARK, open_catalog, shared_catalog

__all__ = [
    "MARK",
    "Catalog",
    "Collected",
    "Waiting",
    "collect",
    "copy",
    "forget",
    "open_catalog",
    "removable",
    "running",
    "shared_catalog",
    "waiting",
]
