"""What is recorded: immutable facts, and the pointers that readers follow."""

from assay.catalog.belonging import OF_MARK
from assay.catalog.catalog import Catalog
from assay.catalog.collecting import Collected, Waiting, collect, forget, removable, running, waiting
from assay.catalog.copying import copy
from assay.catalog.opening import open_catalog, shared_catalog

__all__ = [
    "OF_MARK",
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
