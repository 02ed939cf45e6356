"""What a waiver lets through although a rule fails: which rows, how many, and until when; pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from assay.facts import RuleResult, Status, Verdict, worst_status
from assay.model import Waiver
from assay.plan.digests import digest


def with_waivers(verdict: Verdict, waivers: Iterable[Waiver], now: datetime) -> Verdict:
    """Return a verdict as it is with the waivers that count now; the same if they change nothing.

    A rule of which all that fails is waived becomes a warning; otherwise parts that are waived do
    not fail any more. `against` names the waivers, so that this verdict counts only with them.
    What only an expired or withdrawn waiver would let through still fails, and says so.
    """
    by_rule: dict[str, list[Waiver]] = {}
    for waiver in waivers:
        by_rule.setdefault(waiver.rule, []).append(waiver)
    if not by_rule or verdict.passed:
        return verdict
    results: list[RuleResult] = []
    used: dict[str, None] = {}
    parts: dict[str, frozenset[str]] = {}
    for result in verdict.results:
        given = by_rule.get(result.text, ()) if result.status is Status.FAILED else ()
        counting = [waiver for waiver in given if waiver.is_in_force(now)]
        allowed = _allowed(result, counting)
        if allowed.all or allowed.parts:
            used |= dict.fromkeys(waiver.id for waiver in allowed.by)
            parts[result.text] = allowed.parts
            results.append(_let_through(result, allowed))
        else:
            results.append(_with_expired(result, given, now))
    if not used:
        return (
            verdict
            if results == list(verdict.results)
            else replace(verdict, results=tuple(results))
        )
    return replace(
        verdict,
        status=worst_status(results),
        results=tuple(results),
        failed_parts=_still_failed(verdict, results, parts),
        against=digest([verdict.against, sorted(used)]),
    )


def waived_rules(verdict: Verdict) -> tuple[str, ...]:
    """Return what is waived of a verdict: each rule, until when, by whom and why."""
    return tuple(f"{r.text}: waived {r.waived}" for r in verdict.results if r.waived)


class _Allowed(Struct, frozen=True, kw_only=True):
    """What waivers let through of a result: all of it, or some parts."""

    all: bool = False
    parts: frozenset[str] = frozenset()
    by: tuple[Waiver, ...] = ()


def _allowed(result: RuleResult, waivers: Sequence[Waiver]) -> _Allowed:
    for waiver in waivers:
        if _is_within(result, waiver):
            return _Allowed(all=True, by=(waiver,))
    examined: Counter[tuple[str, str]] = Counter()
    exact = [waiver for waiver in waivers if waiver.rows]
    for waiver in exact:
        for part, rows in waiver.rows.items():
            examined |= Counter((part, row) for row in rows)
    failing = result.failing_rows
    if not exact or sum(map(len, failing.values())) != result.failing:
        return _Allowed()
    covered = frozenset(
        part
        for part, rows in failing.items()
        if not Counter((part, row) for row in rows) - examined
    )
    by = tuple(w for w in exact if any(part in covered for part in w.rows))
    return _Allowed(all=covered == failing.keys(), parts=covered - {""}, by=by if covered else ())


def _is_within(result: RuleResult, waiver: Waiver) -> bool:
    """Return whether all that fails is within the number or the value that a waiver tolerates."""
    if waiver.parts:
        counts = {c.part: c.failing for c in result.part_counts if c.failing}
        named = set(counts) or set(result.failing_rows)
        if not named <= set(waiver.parts) or (counts and sum(counts.values()) != result.failing):
            return False
        if not named:
            return False
    if waiver.most_rows is not None:
        return result.failing is not None and result.failing <= waiver.most_rows
    if waiver.most_measured is not None:  # a fall is measured with its sign
        measured = result.measured
        return isinstance(measured, int | float) and abs(measured) <= waiver.most_measured
    return False


def _let_through(result: RuleResult, allowed: _Allowed) -> RuleResult:
    text = "; ".join(
        dict.fromkeys(f"until {w.until} by {w.by} ({w.id}): {w.because}" for w in allowed.by)
    )
    result = replace(result, waived=text, waived_by=tuple(waiver.id for waiver in allowed.by))
    if allowed.all:
        return replace(result, status=Status.WARNING)
    return replace(result, waived=f"{', '.join(sorted(allowed.parts))} {text}")


def _with_expired(result: RuleResult, waivers: Sequence[Waiver], now: datetime) -> RuleResult:
    """Return a result that says which waiver would let it through, if it still counted."""
    past = [waiver for waiver in waivers if waiver.is_over(now)]
    allowed = _allowed(result, past)
    if not allowed.by:
        return result
    last = max(allowed.by, key=lambda waiver: waiver.until)
    what = (
        f"withdrawn on {last.withdrawn:%Y-%m-%d}" if last.withdrawn else f"expired on {last.until}"
    )
    text = f"the waiver {last.id} of {last.by} {what}"
    return replace(result, message=f"{result.message}; {text}" if result.message else text)


def _still_failed(
    verdict: Verdict, results: Sequence[RuleResult], parts: Mapping[str, frozenset[str]]
) -> tuple[str, ...]:
    """Return the parts that still fail; `parts` are those that are waived, by rule."""
    failing = [r for r in results if r.status in {Status.FAILED, Status.ERROR}]
    if not failing:
        return ()
    fails = {
        part
        for result in failing
        for part in result.failing_rows
        if part not in parts.get(result.text, ())
    }
    if all(result.failing_rows for result in failing):
        return tuple(part for part in verdict.failed_parts if part in fails)
    return verdict.failed_parts
