"""Which parts of a failed version are held back, so that the others can be published."""

from collections.abc import Mapping, Sequence
from datetime import datetime, time

from assay.decisions import Blocked, WhyWhole
from assay.facts import Part, Version
from assay.model import Product
from assay.plan.parts import last_day
from assay.times import in_utc


def parts_to_hold(blocked: Blocked, published: Version | None) -> dict[str, str]:
    """Return the parts of a failed version to hold back, and the digests of parts in their place.

    In place of each part is that of the published version; the digest is '' when it has none.
    """
    published_parts = _part_digests(published)
    failed = {key: published_parts.get(key, "") for key in blocked.verdict.failed_parts}
    return {**blocked.version.key.held, **failed}


def why_whole(blocked: Blocked, published: Version | None) -> WhyWhole | None:
    """Return why a failed version is held back as a whole; None if only its failed parts are."""
    version = blocked.version
    failed = set(blocked.verdict.failed_parts) - version.key.held.keys()
    if not failed:
        return WhyWhole.UNNAMED
    if why := why_irreplaceable(version, published, failed):
        return why
    has_passing_parts = bool({part.key for part in version.parts} - failed)
    if has_passing_parts or _part_digests(published).keys() & failed:
        return None
    return WhyWhole.NOTHING_LEFT


def why_irreplaceable(
    version: Version, published: Version | None, failed: set[str]
) -> WhyWhole | None:
    """Return why published parts cannot take the place of failed ones; None if they can."""
    if published is None or not _part_digests(published).keys() & failed:
        return None
    split_before = published.key.code.reached.get("partition")
    if split_before != version.key.code.reached.get("partition"):
        return WhyWhole.SPLIT
    return WhyWhole.COLUMNS if published.columns != version.columns else None


def _part_digests(version: Version | None) -> Mapping[str, str]:
    """Return the digests of the parts of a version by key; {} when it is not in parts."""
    if version is None or not version.in_parts:
        return {}
    return {part.key: part.digest for part in version.parts}


def data_as_of(
    product: Product, parts: Sequence[Part], version_reaches: datetime | None
) -> datetime | None:
    """Return the business time that some parts of a version reach.

    The whole version reaches `version_reaches`. When parts do not have a time of their own, parts
    in time reach at most the last day of the newest.
    """
    times = [part.data_as_of for part in parts if part.data_as_of]
    if times and (product.event_time or len(times) == len(parts)):
        return max(times, key=in_utc)
    grain = product.partition.grain if product.partition else ""
    keys = [part.key for part in parts if part.key]
    if version_reaches is None or not grain or not keys:
        return version_reaches
    last = max(last_day(key, grain) for key in keys)
    return min(version_reaches, datetime.combine(last, time(), version_reaches.tzinfo))


def missing_and_earlier(version: Version) -> tuple[list[str], list[str]]:
    """Return the parts held back of a version: those that it lacks, and those with earlier rows."""
    held = version.key.held
    return [key for key in held if not held[key]], [key for key in held if held[key]]
