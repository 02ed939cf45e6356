"""The status of a rule, from its answer and what the rule allows: whole, or in the worst part."""

from collections.abc import Sequence

from assay.amounts import exceeds
from assay.facts import PartCount, Status
from assay.model import Rule
from assay.rules.answers import Answer

_SHOWN = 5  # parts in a result


def status_of(rule: Rule, answer: Answer, rows: int) -> Status:
    """Return the status of a rule in a version with this number of rows."""
    if answer.error:
        return Status.ERROR
    if answer.holds is None:
        return Status.SKIPPED
    if answer.failing is None or not answer.holds:
        return Status.PASSED if answer.holds else _if_broken(rule)
    status = _status(rule, answer.failing, rows)
    return Status.WARNING if status is Status.PASSED and answer.warns else status


def status_in_parts(rule: Rule, counts: Sequence[PartCount]) -> Status:
    """Return the status of a rule in the part with the worst one."""
    statuses = {_status(rule, count.failing, count.rows) for count in counts}
    for status in (Status.FAILED, Status.WARNING):
        if status in statuses:
            return status
    return Status.PASSED


def failed_parts(rule: Rule, counts: Sequence[PartCount]) -> set[str]:
    """Return the parts that fail a rule."""
    return {
        count.part for count in counts if _status(rule, count.failing, count.rows) is Status.FAILED
    }


def worst_parts(rule: Rule, counts: Sequence[PartCount]) -> tuple[PartCount, ...]:
    """Return the parts that a result shows: those that fail, then those with most failing rows.

    Parts are ordered by the share of their rows that fail.
    """
    failed = failed_parts(rule, counts)
    ordered = sorted(
        counts, key=lambda c: (c.part not in failed, -c.failing / max(c.rows, 1), c.part)
    )
    return tuple(ordered[:_SHOWN])


def _status(rule: Rule, failing: int, rows: int) -> Status:
    if rule.compares:
        return _if_broken(rule) if failing else Status.PASSED
    if exceeds(rule.fail_above, failing, rows):
        return Status.FAILED
    return Status.WARNING if exceeds(rule.warn_above, failing, rows) else Status.PASSED


def _if_broken(rule: Rule) -> Status:
    """Return the status of a rule without tolerance that does not hold."""
    return Status.FAILED if rule.fail_above else Status.WARNING
