"""Assay: data products that are checked before they are published."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assay.declare.columns import Column
    from assay.declare.words import (
        approval,
        calendar,
        parts,
        product,
        rule,
        source,
        sql_product,
        waiver,
    )
    from assay.model import Consumer, Freshness
    from assay.policies import Finding
    from assay.views.notebook import plan, status
    from assay.views.notes import notes
    from assay.views.read import PartsHeldBack, connect, path, read
    from assay.web.notebook import diff, page, record

__version__ = "0.1.0"
__all__ = [
    "Column",
    "Consumer",
    "Finding",
    "Freshness",
    "PartsHeldBack",
    "approval",
    "calendar",
    "connect",
    "diff",
    "history_of",
    "notes",
    "page",
    "parts",
    "path",
    "plan",
    "product",
    "read",
    "record",
    "rule",
    "source",
    "sql_product",
    "status",
    "waiver",
]
_FROM = {
    "Column": "declare.columns",
    "Consumer": "model",
    "Finding": "policies",
    "Freshness": "model",
    "PartsHeldBack": "views.read",
    "connect": "views.read",
    "diff": "web.notebook",
    "notes": "views.notes",
    "path": "views.read",
    "read": "views.read",
    "page": "web.notebook",
    "plan": "views.notebook",
    "record": "web.notebook",
    "status": "views.notebook",
}


def __getattr__(name: str) -> Any:
    """Load what is asked for when it is: whoever declares products reads none, and the command may need neither."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(
        import_module(f"assay.{_FROM.get(name, 'declare.words')}"), name
    )
    return value
