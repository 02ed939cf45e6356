"""Which parts of a version that failed are held back alone, and why they cannot be; pure."""

from collections.abc import Mapping

from assay.decision import Blocked, WhyWhole
from assay.model import Version


def parts_to_hold(blocked: Blocked, seen: Version | None) -> dict[str, str]:
    """Return the parts to hold back of a version that failed, each with the digest of what stands in for it, or ''.

    What readers have `seen` of a part stands in for it.
    """
    before = _parts(seen)
    return {**blocked.version.key.held, **{key: before.get(key, "") for key in blocked.verdict.failed_parts}}


def why_whole(blocked: Blocked, seen: Version | None) -> WhyWhole | None:
    """Return why the other parts of a version that failed cannot go out without those that did; None where they can."""
    version = blocked.version
    failed = set(blocked.verdict.failed_parts) - version.key.held.keys()
    if not failed:
        return WhyWhole.UNNAMED
    if why := unlike(version, seen, failed):
        return why
    left = {part.key for part in version.parts} - failed
    return None if left or _parts(seen).keys() & failed else WhyWhole.NOTHING_LEFT


def unlike(version: Version, seen: Version | None, failed: set[str]) -> WhyWhole | None:
    """Return why what readers have seen of the parts that failed cannot stand in for them; None where it can."""
    if seen is None or not _parts(seen).keys() & failed:
        return None
    if seen.key.code.parts.get("partition") != version.key.code.parts.get("partition"):
        return WhyWhole.SPLIT
    return WhyWhole.COLUMNS if seen.columns != version.columns else None


def _parts(seen: Version | None) -> Mapping[str, str]:
    """Return the parts that readers see, by digest."""
    return {part.key: part.digest for part in seen.parts} if seen and seen.in_parts else {}
