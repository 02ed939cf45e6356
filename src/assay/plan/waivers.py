"""What a waiver lets through although a rule fails: which rows, how many, and until when; pure."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from assay.facts import RuleResult, Status, Verdict, WaiverOver, worst_status
from assay.model import Contract, Product, Rule, Waiver
from assay.plan.digests import digest, non_defaults
from assay.plan.parts import is_key

LONGEST = 1000  # characters of a reason
_ONLY_SHOWN = {"text", "where", "dimension", "because", "owner", "review_by"}


def rule_digest(rule: Rule, contract: Contract) -> str:
    """Return what identifies a rule as it judges: its query, demand, limits and moments.

    A check that is written in Python is identified by the whole contract.
    """
    judging = {k: v for k, v in non_defaults(rule).items() if k not in _ONLY_SHOWN}
    is_code = rule.demand is not None and rule.demand.kind == "custom"
    return digest([judging, contract.digest if is_code else ""])


def given_waivers(
    product: Product, recorded: Iterable[Waiver], environments: Collection[str]
) -> list[Waiver]:
    """Return the waivers of a product, declared and recorded, whether they still count or not.

    `environments` are the one that it is judged in, and those that it was created from. A waiver
    whose rule is gone, or was edited since, is marked as changed.
    """
    declared = [w for w in product.waivers if w.environment in {"", *environments}]
    return [*declared, *(_marked(waiver, product) for waiver in recorded)]


def _marked(waiver: Waiver, product: Product) -> Waiver:
    contract = product.contract
    rule = next((rule for rule in contract.rules if rule.text == waiver.rule), None)
    is_same = rule and waiver.rule_digest in {"", rule_digest(rule, contract)}
    return waiver if is_same else replace(waiver, changed=True)


def wrong_parts(product: Product, parts: Iterable[str]) -> str:
    """Return which of these can be no part of a product, in words; '' if all can be."""
    parts = list(parts)
    if parts and product.partition is None:
        return f"{product.name} is not in parts"
    grain = product.partition.grain if product.partition else ""
    wrong = [part for part in parts if not part or (grain and not is_key(part, grain))]
    return f"{wrong[0]!r} is no {grain or 'part'}" if wrong else ""


def with_waivers(
    verdict: Verdict, waivers: Iterable[Waiver], now: datetime, environment: str
) -> Verdict:
    """Return a verdict as it is with the waivers that count now; the same if they change nothing.

    A rule of which all that fails is waived becomes a warning; otherwise parts that are waived do
    not fail any more. `against` names the waivers and the environment, so that this verdict counts
    only with them, and there.
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
        through = _let_through(result, allowed)
        if not allowed.all:
            past = [waiver for waiver in given if waiver.is_over(now)]
            through = _with_over(through, _allowed(result, [*counting, *past]).by, now)
        results.append(through)
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
        against=digest([verdict.against, sorted(used), environment]),
    )


def waived_rules(verdict: Verdict, over: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return what is waived of a verdict: each rule, until when, by whom and why.

    `over` says of waivers that are over, by id, how they ended.
    """
    return tuple(
        "; ".join([f"{r.text}: waived {r.waived}", *_ended(r, over or {})])
        for r in verdict.results
        if r.waived
    )


def _ended(result: RuleResult, over: Mapping[str, str]) -> Iterable[str]:
    return (f"{id} {over[id]}" for id in result.waived_by if id in over)


def waivers_of(verdict: Verdict) -> tuple[str, ...]:
    """Return the ids of the waivers that let a version through."""
    return tuple(dict.fromkeys(id for result in verdict.results for id in result.waived_by))


class _Allowed(Struct, frozen=True, kw_only=True):
    """What waivers let through of a result: all of it, or some parts."""

    all: bool = False
    parts: frozenset[str] = frozenset()
    by: tuple[Waiver, ...] = ()


def _allowed(result: RuleResult, waivers: Sequence[Waiver]) -> _Allowed:
    """Return what waivers let through together.

    First the rows that were examined; of what is left, each number of rows counts for its parts,
    and one without parts for all. Numbers are not added up.
    """
    for waiver in waivers:
        if _is_within(result, waiver):
            return _Allowed(all=True, by=(waiver,))
    failing = _failing_by_part(result)
    if not failing:
        return _Allowed()
    left, by = _not_examined(result, failing, [waiver for waiver in waivers if waiver.rows])
    numbers = [waiver for waiver in waivers if waiver.most_rows is not None]
    for waiver in sorted(numbers, key=lambda waiver: not waiver.parts):
        covers = [part for part in left if part in waiver.parts or not waiver.parts]
        rows = sum(left[part] for part in covers)
        if 0 < rows <= (waiver.most_rows or 0):
            left |= dict.fromkeys(covers, 0)
            by.append(waiver)
    covered = frozenset(part for part, rows in left.items() if not rows)
    if not covered:
        return _Allowed()
    used = [w for w in by if not w.rows or not covered.isdisjoint(w.rows)]
    return _Allowed(all=covered == failing.keys(), parts=covered - {""}, by=tuple(used))


def _failing_by_part(result: RuleResult) -> Mapping[str, int]:
    """Return how many rows fail in each part ('' without parts); {} where that is not known."""
    counts = {count.part: count.failing for count in result.part_counts if count.failing}
    rows = {part: len(digests) for part, digests in result.failing_rows.items()}
    return next((c for c in (rows, counts) if c and sum(c.values()) == result.failing), {})


def _not_examined(
    result: RuleResult, failing: Mapping[str, int], exact: Sequence[Waiver]
) -> tuple[dict[str, int], list[Waiver]]:
    """Return how many failing rows of each part nobody examined, and the waivers of the others."""
    if sum(map(len, result.failing_rows.values())) != result.failing:
        return dict(failing), []
    examined: Counter[tuple[str, str]] = Counter()
    for waiver in exact:
        for part, rows in waiver.rows.items():
            examined |= Counter((part, row) for row in rows)
    left = {
        part: (Counter((part, row) for row in rows) - examined).total()
        for part, rows in result.failing_rows.items()
    }
    return left, [w for w in exact if any(left[p] < failing[p] for p in w.rows.keys() & left)]


def _is_within(result: RuleResult, waiver: Waiver) -> bool:
    """Return whether all that fails is within the number or the value that a waiver tolerates."""
    if waiver.parts and not set(_failing_by_part(result)) <= set(waiver.parts):
        return False
    if waiver.parts and not _failing_by_part(result):
        return False
    if waiver.most_rows is not None:
        return result.failing is not None and result.failing <= waiver.most_rows
    if waiver.most_measured is not None:  # a fall is measured with its sign
        measured = result.measured
        return isinstance(measured, int | float) and abs(measured) <= waiver.most_measured
    return False


def _let_through(result: RuleResult, allowed: _Allowed) -> RuleResult:
    if not (allowed.all or allowed.parts):
        return result
    text = "; ".join(
        dict.fromkeys(f"until {w.until} by {w.by} ({w.id}): {w.because}" for w in allowed.by)
    )
    result = replace(result, waived=text, waived_by=tuple(waiver.id for waiver in allowed.by))
    if allowed.all:
        return replace(result, status=Status.WARNING)
    return replace(result, waived=f"{', '.join(sorted(allowed.parts))} {text}")


def _with_over(result: RuleResult, waivers: Iterable[Waiver], now: datetime) -> RuleResult:
    """Return a result that says which waiver would let it through, if it still counted."""
    past = [waiver for waiver in waivers if waiver.is_over(now)]
    if not past:
        return result
    last = max(past, key=lambda waiver: (waiver.ended is None, waiver.ended or now))
    text = f"the waiver {last.id} of {last.by} {last.how_it_ended}"
    message = f"{result.message}; {text}" if result.message else text
    return replace(result, message=message, over=WaiverOver(text=text, at=last.ended))


def _still_failed(
    verdict: Verdict, results: Sequence[RuleResult], parts: Mapping[str, frozenset[str]]
) -> tuple[str, ...]:
    """Return the parts that still fail; `parts` are those that are waived, by rule."""
    failing = [r for r in results if r.status in {Status.FAILED, Status.ERROR}]
    if not failing:
        return ()
    by_result = {result.text: _failing_by_part(result) for result in failing}
    fails = {
        part
        for text, counts in by_result.items()
        for part in counts
        if part not in parts.get(text, ())
    }
    if all(by_result.values()):
        return tuple(part for part in verdict.failed_parts if part in fails)
    return verdict.failed_parts
