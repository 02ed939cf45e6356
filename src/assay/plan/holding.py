"""Which parts of a version that failed are held back alone, and why they cannot be; pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime, time

from assay.decisions import Blocked, WhyWhole
from assay.facts import Part, Version
from assay.model import Product
from assay.plan.parts import last_day


def parts_to_hold(blocked: Blocked, seen: Version | None) -> dict[str, str]:
    """Return the parts to hold back of a version that failed, each with the digest of what stands in for it, or ''.

    What readers have `seen` of a part stands in for it.
    """
    before = _parts(seen)
    return {
        **blocked.version.key.held,
        **{key: before.get(key, "") for key in blocked.verdict.failed_parts},
    }


def why_whole(blocked: Blocked, seen: Version | None) -> WhyWhole | None:
    """Return why the other parts of a version that failed cannot go out without those that did; None where they can."""
    version = blocked.version
    failed = set(blocked.verdict.failed_parts) - version.key.held.keys()
    if not failed:
        return WhyWhole.UNNAMED
    if why := why_irreplaceable(version, seen, failed):
        return why
    left = {part.key for part in version.parts} - failed
    return None if left or _parts(seen).keys() & failed else WhyWhole.NOTHING_LEFT


def why_irreplaceable(version: Version, seen: Version | None, failed: set[str]) -> WhyWhole | None:
    """Return why what readers have seen of the parts that failed cannot stand in for them; None where it can."""
    if seen is None or not _parts(seen).keys() & failed:
        return None
    if seen.key.code.reached.get("partition") != version.key.code.reached.get("partition"):
        return WhyWhole.SPLIT
    return WhyWhole.COLUMNS if seen.columns != version.columns else None


def _parts(seen: Version | None) -> Mapping[str, str]:
    """Return the parts that readers see, by digest."""
    return {part.key: part.digest for part in seen.parts} if seen and seen.in_parts else {}


def data_as_of(product: Product, parts: Sequence[Part], whole: datetime | None) -> datetime | None:
    """Return the business time that these parts of a version reach, which reaches so far as a `whole`.

    Where parts do not say how far they reach, those in time reach no further than the last day of the newest.
    """
    times = [part.data_as_of for part in parts if part.data_as_of]
    if times and (product.event_time or len(times) == len(parts)):
        return max(times)
    grain = product.partition.grain if product.partition else ""
    keys = [part.key for part in parts if part.key]
    if whole is None or not grain or not keys:
        return whole
    newest = datetime.combine(max(last_day(key, grain) for key in keys), time(), whole.tzinfo)
    return min(whole, newest)


def missing_and_earlier(version: Version) -> tuple[list[str], list[str]]:
    """Return the parts that are held back of a version: those that it lacks, and those that it has as they were."""
    held = version.key.held
    return [key for key in held if not held[key]], [key for key in held if held[key]]
