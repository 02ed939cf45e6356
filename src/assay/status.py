"""What readers see of a product, whether it is what it should be, and what is overdue."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from assay.model import Product
from assay.rulings import overdue
from assay.story import Story


def status_of(product: Product, told: Mapping[str, Any], story: Story, now: datetime) -> dict[str, Any]:
    """Return the status of a product as plain data, from what was decided for it."""
    state = {"unchanged": "up to date", "build": "stale", "check": "stale", "maybe": "stale", "published": "stale"}
    readers = story.readers(product.name)
    because = list(told.get("reasons", ())) or list(told.get("waits_for", {}).values())
    because += [rule["text"] for rule in told.get("rules", ()) if told["result"] == "held back"]
    if told["result"] == "published":
        because = ["judged good, not released yet"]
    reviews = [
        f"review of {rule.text!r} was due {rule.review_by}{f' ({rule.owner})' if rule.owner else ''}"
        for rule in overdue(product, now.date())
    ]
    return {
        **told,
        "state": "pinned" if told.get("pinned") else state.get(told["result"], told["result"]),
        "readers": readers,
        "as_of": (readers or {}).get("data_as_of"),
        "freshness": str(product.freshness or ""),
        "reviews": reviews,
        "because": "; ".join([*because, *reviews]),
    }
