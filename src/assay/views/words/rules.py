"""Text about rules that did not pass."""

from collections.abc import Iterable, Sequence

from assay.facts import Status
from assay.text import clean
from assay.views.results import NO_ROW, RuleView
from assay.views.words.numbers import count_of, number, row

_MARKS = {Status.WARNING: "warning: ", Status.ERROR: "could not be judged: "}


def rule_lines(product: str, rules: Iterable[RuleView]) -> list[str]:
    """Return the lines of rules that failed, warn or could not be checked on a product."""
    return [line for rule in rules for line in _lines(product, rule)]


def _lines(product: str, rule: RuleView) -> list[str]:
    message = f": {rule.message}" if rule.message else ""
    mark = _MARKS.get(rule.status, "")
    first = f"{'':13}{mark}{clean(rule.text)}{measure(rule)}{clean(message)}{_news(rule)}"
    if rule.is_repeated and not rule.waived:
        return [first]
    lines = [first]
    lines += [f"{'':15}{row(sample)}" for sample in rule.samples]
    if rule.closes and rule.status is Status.FAILED:
        command = f"products materialize {product} --restate {product} --because TEXT"
        lines.append(f"{'':15}if that is meant: {command}")
    if rule.waived:
        lines.append(f"{'':15}waived {clean(rule.waived)}")
    if rule.because:
        lines.append(f"{'':15}because: {clean(rule.because)}")
    if rule.owner:
        lines.append(f"{'':15}owner: {clean(rule.owner)}")
    if rule.status is Status.ERROR and rule.where:
        lines.append(f"{'':15}declared at {clean(rule.where)}")
    return lines


def _news(rule: RuleView) -> str:
    """Return how many failing rows are new, and since when the others are known; '' for all new."""
    if rule.known_since is None:
        return ""
    since = f"since {rule.known_since:%Y-%m-%d}"
    if not rule.known:
        return f", {since}"
    return f", {rule.new:,} new, {rule.known:,} known {since}" if rule.new else f", known {since}"


def measure(rule: RuleView) -> str:
    """Return the measured value, or the number of failing rows, with what the rule allows."""
    limit = "" if rule.threshold.endswith(NO_ROW) else rule.threshold
    allows = f" ({limit})" if limit else ""
    if isinstance(rule.measured, int | float):
        count = rule.failing or 0
        worst = f", the worst of {count:,}" if count > 1 else ""
        # The recorded result has no other sign of a share: `threshold` is the limit as text.
        value = number(rule.measured, percent=rule.threshold.endswith("%"))
        return f": {value}{worst}{allows}"
    if rule.failing is None:
        return ""
    if limit and rule.parts:
        part = rule.parts[0]
        share = f", {part.failing / part.rows:.2%} of it" if part.rows else ""
        return f": {count_of(part.failing, 'row')} in {part.part}{share}{allows}"
    share = f", {rule.failing / rule.rows:.2%}" if allows and rule.rows else ""
    return f": {count_of(rule.failing, 'row')}{share}{allows}"


def counted(failed: Sequence[RuleView], count: int) -> str:
    """Return how many of `count` rules failed, and how many could not be checked."""
    errors = sum(rule.status is Status.ERROR for rule in failed)
    if errors == len(failed):
        return f"{errors} of {count} rules could not be judged"
    unchecked = f", {errors} could not be judged" if errors else ""
    return f"{len(failed) - errors} of {count} rules failed{unchecked}"
