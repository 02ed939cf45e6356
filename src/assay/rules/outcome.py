"""How a rule came out, by what was found and what it allows: in a version, or in each part of it."""

from collections.abc import Sequence

from assay.amounts import exceeds
from assay.model import PartCount, Rule, Status
from assay.rules.answers import Answer

_SHOWN = 5  # parts of which a result says how many rows fail


def status_of(rule: Rule, answer: Answer, rows: int) -> Status:
    """Return how a rule came out in a version of so many rows."""
    if answer.error:
        return Status.ERROR
    if answer.holds is None:
        return Status.SKIPPED
    if answer.failing is None or not answer.holds:
        return (
            Status.PASSED if answer.holds else Status.FAILED if rule.fail_above else Status.WARNING
        )
    status = _status(rule, answer.failing, rows)
    return Status.WARNING if status is Status.PASSED and answer.warns else status


def status_in_parts(rule: Rule, counts: Sequence[PartCount]) -> Status:
    """Return how a rule came out that is judged part by part: as it did in the worst of them."""
    found = {_status(rule, count.failing, count.rows) for count in counts}
    return next(
        (status for status in (Status.FAILED, Status.WARNING) if status in found), Status.PASSED
    )


def failed_parts(rule: Rule, counts: Sequence[PartCount]) -> set[str]:
    """Return the parts that fail a rule."""
    return {
        count.part for count in counts if _status(rule, count.failing, count.rows) is Status.FAILED
    }


def worst_parts(rule: Rule, counts: Sequence[PartCount]) -> tuple[PartCount, ...]:
    """Return the parts that a result shows: those that fail the rule, then those with the largest share of rows."""
    failed = failed_parts(rule, counts)
    ordered = sorted(
        counts, key=lambda c: (c.part not in failed, -c.failing / max(c.rows, 1), c.part)
    )
    return tuple(ordered[:_SHOWN])


def _status(rule: Rule, failing: int, rows: int) -> Status:
    if rule.compares:
        return (
            Status.PASSED if not failing else Status.FAILED if rule.fail_above else Status.WARNING
        )
    if exceeds(rule.fail_above, failing, rows):
        return Status.FAILED
    return Status.WARNING if exceeds(rule.warn_above, failing, rows) else Status.PASSED
