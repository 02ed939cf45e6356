"""What may go out although it fails a rule: the very failing rows that somebody looked at, and why; pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from msgspec import Struct, field
from msgspec.structs import replace

from assay.facts import RuleResult, Status
from assay.plan.parts import parts_in_range


class Waiver(Struct, frozen=True, kw_only=True):
    """Leave for failing rows of one rule in one version, in one environment; `who` gave it, `at` some time.

    `row_digests` are digests of the failing rows that were looked at, by the part that they are in ('': rows do not say).
    """

    environment: str
    product: str
    version: str
    rule: str
    row_digests: Mapping[str, str]
    because: str
    who: str
    at: datetime


class Restatement(Struct, frozen=True, kw_only=True):
    """The failing rows that a user lets through, as they were held back in `version` ('' when none was).

    `rules` maps each rule to digests of its failing rows, by part. `range` says which parts (`A..B`; '': all), whose
    `grain` is that of the product.
    """

    because: str
    who: str
    version: str = ""
    rules: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    range: str = ""
    grain: str = ""

    def failing(self, results: Iterable[RuleResult]) -> dict[str, dict[str, str]]:
        """Return digests of the failing rows that this is about, by rule and part, as these results have them."""
        found = {
            r.text: self._of_range(r.digests)
            for r in results
            if r.status is Status.FAILED and r.digests
        }
        return {text: parts for text, parts in found.items() if parts}

    def _of_range(self, parts: Mapping[str, str]) -> dict[str, str]:
        names = parts_in_range(parts, self.range, self.grain) if self.range else list(parts)
        return {name: parts[name] for name in names}

    def lets_through(self, results: Iterable[RuleResult]) -> Mapping[str, Mapping[str, str]]:
        """Return the failing rows that go out, by rule and part: all that it is about, or none if any of it differs."""
        failing = {
            text: parts for text, parts in self.failing(results).items() if text in self.rules
        }
        return failing if all(self.rules[text] == parts for text, parts in failing.items()) else {}

    def differing(self, results: Iterable[RuleResult]) -> list[str]:
        """Return what fails otherwise than it did when it was looked at: parts, or rules where rows say no part."""
        found: dict[str, None] = {}
        for text, parts in self.failing(results).items():
            before = self.rules.get(text, {})
            changed = {name for name in {*parts, *before} if parts.get(name) != before.get(name)}
            found |= dict.fromkeys(name or text for name in sorted(changed))
        return list(found)


def with_failing_rows(
    results: Iterable[RuleResult], *, version: str, rules: Iterable[str], restatement: Restatement
) -> Restatement:
    """Return a restatement that is about the rows that fail these rules in a version, as its verdict has them."""
    failing = restatement.failing(results)
    return replace(
        restatement,
        version=version,
        rules={text: failing[text] for text in rules if text in failing},
    )


def apply_waivers(
    results: Sequence[RuleResult], failed_parts: Sequence[str], waivers: Iterable[Waiver]
) -> tuple[tuple[RuleResult, ...], tuple[str, ...], str]:
    """Return results and the parts that failed as they are with waivers, and why those were given ('' for unused).

    A rule of which all failing rows are waived is a warning; of others, the parts that are not waived still fail.
    """
    given = {
        (w.rule, part, digest): w.because for w in waivers for part, digest in w.row_digests.items()
    }
    reasons: dict[str, None] = {}
    judged = []
    for result in results:
        waived = {
            p: given[k] for p, d in result.digests.items() if (k := (result.text, p, d)) in given
        }
        counts = result.status is Status.FAILED and waived
        reasons |= dict.fromkeys(waived.values() if counts else ())
        judged.append(_restated(result, waived) if counts else result)
    return tuple(judged), _still_failed(judged, failed_parts), "; ".join(reasons)


def _restated(result: RuleResult, waived: Mapping[str, str]) -> RuleResult:
    left = {part: digest for part, digest in result.digests.items() if part not in waived}
    because = "; ".join(dict.fromkeys(waived.values()))
    if not left:
        return replace(result, status=Status.WARNING, digests=left, message=f"restated: {because}")
    return replace(
        result, digests=left, message=f"{result.message}; {', '.join(waived)} restated: {because}"
    )


def _still_failed(results: Iterable[RuleResult], failed_parts: Sequence[str]) -> tuple[str, ...]:
    """Return the parts that fail still; those of a rule that does not say which ones fail are kept."""
    failed = [result for result in results if result.status in {Status.FAILED, Status.ERROR}]
    if all(result.digests for result in failed):
        named = {part for result in failed for part in result.digests}
        return tuple(part for part in failed_parts if part in named)
    return tuple(failed_parts)
