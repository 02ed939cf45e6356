"""What readers see of a product, whether it is what it should be, and what is overdue."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from assay.model import Product, Version
from assay.plan.parts import some_parts
from assay.times import AHEAD, while_of
from assay.views.rules import overdue
from assay.views.words import Story, day, readers_see


def late(product: Product, now: datetime, readers: Mapping[str, Any] | None) -> list[str]:
    """Return which rules on the age of the latest event what readers see would not meet now."""
    reaches = (readers or {}).get("data_as_of")
    found = []
    for rule in product.contract.rules:
        if (
            reaches
            and rule.dated.lower() == product.event_time.lower()
            and rule.dated
            and not rule.closes
        ):
            latest = datetime.fromisoformat(reaches)
            latest = latest if latest.tzinfo else latest.replace(tzinfo=ZoneInfo(rule.tz))
            if latest > now + AHEAD:
                found.append(
                    f"{rule.text!r} cannot be told: the latest event, {day(reaches)}, is in the future"
                )
            elif now - latest > while_of(rule.threshold.removeprefix("at most ")):
                hours = (now - latest).total_seconds() / 3600
                found.append(f"{rule.text!r} is no longer so: it is {hours:,.0f} hours old")
    return found


def status_of_undeclared(version: Version) -> dict[str, Any]:
    """Return the status of a product that is no longer declared, and that readers still see."""
    readers = readers_see(version)
    return {
        "product": version.product,
        "result": "no longer declared",
        "state": "no longer declared",
        "readers": readers,
        "as_of": readers.get("data_as_of"),
        "freshness": "",
        "reviews": [],
        "because": f"`products retire {version.product}` takes it away from readers",
    }


def _state(word: str, held: Sequence[str]) -> str:
    """Return the state of a product, with how many of its parts are held back."""
    parts = f"{len(held)} part{'s' if len(held) > 1 else ''} held back" if held else ""
    return ", ".join(
        told for told in ("" if held and word == "up to date" else word, parts) if told
    )


def status_of(
    product: Product,
    told: Mapping[str, Any],
    story: Story,
    now: datetime,
    *,
    also: Sequence[str] = (),
    left: bool = False,
) -> dict[str, Any]:
    """Return the status of a product as plain data, from what was decided for it.

    `also` says what of what it is made of is held back, or does not match; `left` whether the last run began with it
    and did not finish.
    """
    state = {
        "unchanged": "up to date",
        "build": "stale",
        "check": "stale",
        "maybe": "stale",
        "published": "stale",
    }
    readers = story.readers(product.name)
    because = list(told.get("reasons", ())) or list(told.get("waits_for", {}).values())
    because += [
        r["text"]
        for r in told.get("rules", ())
        if told["result"] == "held back" and r["status"] != "warning"
    ]
    if told["result"] == "published":
        because = ["judged good, not released yet"]
    held = list((readers or {}).get("held_parts", ()))
    if told.get("held_parts"):
        because.append(
            f"held back: {some_parts(held)} ({'; '.join(r['text'] for r in told['held_by'])})"
        )
    because += also
    if left and state.get(told["result"]) == "stale":
        because.append("the last run did not finish it: `products retry` tries again, and says why")
    reviews = [
        f"review of {rule.text!r} was due {rule.review_by}{f' ({rule.owner})' if rule.owner else ''}"
        for rule in overdue(product, now.date())
    ]
    reviews += late(product, now, readers)
    return {
        **told,
        "state": "pinned"
        if told.get("pinned")
        else _state(state.get(told["result"], told["result"]), held),
        "readers": readers,
        "as_of": (readers or {}).get("data_as_of"),
        "freshness": str(product.freshness or ""),
        "reviews": reviews,
        "because": "; ".join([*because, *reviews]),
    }
