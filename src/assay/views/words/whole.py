"""Why a whole version is held back rather than its failing parts, and what to do."""

from assay.decisions import Blocked, WhyWhole
from assay.facts import RuleResult, Status, Verdict
from assay.model import Product
from assay.plan.parts import some_parts


def whole_because(blocked: Blocked) -> str | None:
    """Return why the whole version is held back; None if single parts are never held back."""
    last = blocked.without or blocked
    parts = some_parts(last.verdict.failed_parts)
    match blocked.why_whole:
        case None:
            return None
        case WhyWhole.UNNAMED:
            return _unnamed(last)
        case WhyWhole.NOTHING_LEFT:
            return "every part failed, and readers have none of them yet"
        case WhyWhole.SPLIT:
            return f"what readers have of {parts} is split by something else, so it cannot stand in"
        case WhyWhole.COLUMNS:
            return f"what readers have of {parts} has other columns, so it cannot stand in"


def whole_hint(product: Product, blocked: Blocked) -> str | None:
    """Return what to do; '' if there is no advice, None if no hint line is needed."""
    last = blocked.without or blocked
    match blocked.why_whole:
        case None | WhyWhole.NOTHING_LEFT:
            return None
        case WhyWhole.UNNAMED:
            return _how_to_name(product, last.verdict)
    return f"Mend {some_parts(last.verdict.failed_parts)}, or let the rule warn until they are."


def _how_to_name(product: Product, verdict: Verdict) -> str:
    """Return how the failed rules can name the parts that they fail for."""
    declared = {rule.text: rule for rule in product.contract.rules}
    texts = [result.text for result in _without_parts(verdict)]
    failed = [declared[text] for text in texts if text in declared]
    column = product.partition.names[0] if product.partition else ""
    if any(rule.compares and not rule.dated for rule in failed):
        return f'A rule that compares says so with by=["{column}"].'
    if any(rule.sql for rule in failed):
        return f"A rule.sql says so when its query returns {column}."
    return ""


def _unnamed(blocked: Blocked) -> str:
    """Return the rules that hold a version back and do not name parts."""
    results = _without_parts(blocked.verdict)
    failed = [result for result in results if result.status is Status.FAILED]
    errors = [result for result in results if result.status is Status.ERROR]
    clauses = []
    if failed:
        messages = "; ".join(result.message for result in failed if result.message)
        why = f" ({messages})" if messages else ""
        clauses.append(f"{_quoted(failed)} fails and does not say for which parts{why}")
    if errors:
        clauses.append(f"{_quoted(errors)} cannot be judged")
    held_parts = blocked.version.key.held
    without = f"without {some_parts(held_parts)}, " if held_parts else ""
    return without + ", and ".join(clauses)


def _quoted(results: list[RuleResult]) -> str:
    return ", ".join(repr(result.text) for result in results)


def _without_parts(verdict: Verdict) -> list[RuleResult]:
    """Return the results that hold a version back and do not name parts."""
    return [
        result
        for result in verdict.results
        if result.status in {Status.FAILED, Status.ERROR} and not result.part_counts
    ]
