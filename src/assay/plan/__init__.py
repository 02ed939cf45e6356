"""What to do next, and why: lineage, digests, the ladder, parts, retention. Pure: no clock, no disk, no engine.

`assay.plan()` is what users call to see what a run would do. It has the name of this package, which
Python puts in its place once a module of the package is imported, so the package can be called.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _Package(ModuleType):
    def __call__(self, **options: Any) -> Any:
        return import_module("assay.views.notebook").plan(**options)


sys.modules[__name__].__class__ = _Package
