"""Which failing rows may be published because somebody examined them, and why; pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from msgspec import Struct, field
from msgspec.structs import replace

from assay.facts import RuleResult, Status
from assay.plan.parts import parts_in_range


class RestatedRows(Struct, frozen=True, kw_only=True):
    """Failing rows of one rule in one version that may be published, in one environment.

    - `row_digests`: digest of the examined rows of each part; the part '' has rows without a part.
    - `because`, `who`, `at`: why, and who decided it when.
    - `approved_by`: who answers for it; '' for `who`.
    """

    environment: str
    product: str
    version: str
    rule: str
    row_digests: Mapping[str, str]
    because: str
    who: str
    at: datetime
    approved_by: str = ""


class Restatement(Struct, frozen=True, kw_only=True):
    """Failing rows that a user wants published although they fail.

    - `approved_by`: who answers for it; '' for `who`.
    - `version`: the version in which they were examined; '' for none.
    - `rules`: digest of the examined rows, by rule and part.
    - `range`, `grain`: the parts that it is about (`A..B`; '' for all), and their grain.
    """

    because: str
    who: str
    approved_by: str = ""
    version: str = ""
    rules: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    range: str = ""
    grain: str = ""

    def failing(self, results: Iterable[RuleResult]) -> dict[str, dict[str, str]]:
        """Return the digests of the failing rows that it is about, by rule and part."""
        failing = {}
        for result in results:
            if result.status is Status.FAILED and result.digests:
                parts = self._of_range(result.digests)
                if parts:
                    failing[result.text] = parts
        return failing

    def _of_range(self, parts: Mapping[str, str]) -> dict[str, str]:
        names = parts_in_range(parts, self.range, self.grain) if self.range else list(parts)
        return {name: parts[name] for name in names}

    def lets_through(self, results: Iterable[RuleResult]) -> Mapping[str, Mapping[str, str]]:
        """Return the failing rows that may be published, by rule and part.

        These are all that it is about; none if any of them differs from what was examined.
        """
        failing = self.failing(results)
        failing = {text: parts for text, parts in failing.items() if text in self.rules}
        is_as_examined = all(self.rules[text] == parts for text, parts in failing.items())
        return failing if is_as_examined else {}

    def differing(self, results: Iterable[RuleResult]) -> list[str]:
        """Return the parts (else rules) whose failing rows differ from those examined."""
        differing: dict[str, None] = {}
        for text, parts in self.failing(results).items():
            before = self.rules.get(text, {})
            changed = {name for name in {*parts, *before} if parts.get(name) != before.get(name)}
            differing |= dict.fromkeys(name or text for name in sorted(changed))
        return list(differing)


def with_failing_rows(
    results: Iterable[RuleResult], *, version: str, rules: Iterable[str], restatement: Restatement
) -> Restatement:
    """Return a restatement with the rows that fail these rules in the results of a version."""
    failing = restatement.failing(results)
    return replace(
        restatement,
        version=version,
        rules={text: failing[text] for text in rules if text in failing},
    )


def with_restated(
    results: Sequence[RuleResult], failed_parts: Sequence[str], rows: Iterable[RestatedRows]
) -> tuple[tuple[RuleResult, ...], tuple[str, ...], str]:
    """Return results and failed parts with rows that may be published, and why those may.

    A rule of which all failing rows are restated becomes a warning; otherwise parts whose rows are
    not restated still fail.
    """
    given = {
        (each.rule, part, digest): each.because
        for each in rows
        for part, digest in each.row_digests.items()
    }
    reasons: dict[str, None] = {}
    judged = []
    for result in results:
        allowed = {
            p: given[k] for p, d in result.digests.items() if (k := (result.text, p, d)) in given
        }
        counts = result.status is Status.FAILED and allowed
        reasons |= dict.fromkeys(allowed.values() if counts else ())
        judged.append(_restated(result, allowed) if counts else result)
    return tuple(judged), _still_failed(judged, failed_parts), "; ".join(reasons)


def _restated(result: RuleResult, allowed: Mapping[str, str]) -> RuleResult:
    failing = {part: digest for part, digest in result.digests.items() if part not in allowed}
    because = "; ".join(dict.fromkeys(allowed.values()))
    if not failing:
        message = f"restated: {because}"
        return replace(result, status=Status.WARNING, digests=failing, message=message)
    message = f"{result.message}; {', '.join(allowed)} restated: {because}"
    return replace(result, digests=failing, message=message)


def _still_failed(results: Iterable[RuleResult], failed_parts: Sequence[str]) -> tuple[str, ...]:
    """Return the parts that still fail: all, when a failing rule cannot tell its parts."""
    failed = [result for result in results if result.status in {Status.FAILED, Status.ERROR}]
    if all(result.digests for result in failed):
        named = {part for result in failed for part in result.digests}
        return tuple(part for part in failed_parts if part in named)
    return tuple(failed_parts)
