"""What waivers let through of a verdict: these rows, so many, up to a value, in these parts, until a day."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from assay.facts import PartCount, RuleResult, Status, Verdict
from assay.model import Waiver
from assay.plan.waivers import waived_rules, with_waivers

NOW = datetime(2011, 12, 9, 7, tzinfo=UTC)
EXACT = Waiver(
    id="w1",
    product="p",
    rule="small",
    until=date(2011, 12, 31),
    because="known",
    author="ann",
    approved_by="cfo",
    rows={"d1": ("a", "b")},
)


def result(status: Status = Status.FAILED, **rows: tuple[str, ...]) -> RuleResult:
    return RuleResult(
        text="small",
        status=status,
        failing=sum(map(len, rows.values())),
        failing_rows=rows,
        part_counts=tuple(PartCount(part=p, failing=len(r), rows=9) for p, r in rows.items()),
    )


def verdict(*results: RuleResult) -> Verdict:
    failing = [r for r in results if r.status is Status.FAILED]
    return Verdict(
        version="v1",
        contract="c",
        against="x",
        status=Status.FAILED if failing else Status.PASSED,
        results=results,
        judged_at=NOW,
        run="r",
        failed_parts=tuple(sorted({part for r in failing for part in r.failing_rows if part})),
    )


def test_the_rows_that_were_examined_pass_with_a_warning() -> None:
    before = verdict(result(d1=("a", "b")))
    after = with_waivers(before, [EXACT], NOW)
    assert (after.status, after.failed_parts) == (Status.WARNING, ())
    assert after.results[0].waived == "until 2011-12-31 by cfo (w1): known"
    assert waived_rules(after) == ("small: waived until 2011-12-31 by cfo (w1): known",)
    assert after.against != before.against
    assert with_waivers(after, [EXACT], NOW) == after, "what passes is left alone"


@pytest.mark.parametrize(
    "rows",
    [{"d1": ("a", "c")}, {"d1": ("a", "b", "c")}, {"d1": ("a", "b", "b")}, {"d2": ("a", "b")}],
    ids=["other", "more", "one of them twice", "in another part"],
)
def test_other_rows_or_more_are_held_back(rows: dict[str, tuple[str, ...]]) -> None:
    before = verdict(result(**rows))
    assert with_waivers(before, [EXACT], NOW) == before


def test_fewer_rows_pass() -> None:
    assert with_waivers(verdict(result(d1=("b",))), [EXACT], NOW).passed


def test_a_waived_part_does_not_fail_any_more() -> None:
    after = with_waivers(verdict(result(d1=("a",), d2=("z",))), [EXACT], NOW)
    assert (after.status, after.failed_parts) == (Status.FAILED, ("d2",))
    assert after.results[0].waived.startswith("d1 until")


def test_two_waivers_cover_together() -> None:
    other = replace(EXACT, id="w2", rows={"d2": ("z",)})
    before = verdict(result(d1=("a",), d2=("z",)))
    assert with_waivers(before, [EXACT, other], NOW).passed


def test_another_rule_still_fails() -> None:
    other = RuleResult(text="other", status=Status.FAILED, failing=1)
    after = with_waivers(verdict(result(d1=("a",)), other), [EXACT], NOW)
    assert (after.status, after.failed_parts) == (Status.FAILED, ("d1",))
    error = RuleResult(text="small", status=Status.ERROR)
    assert with_waivers(verdict(error), [EXACT], NOW).results[0] == error, "errors are not waived"


def test_a_part_that_is_waived_of_one_rule_fails_another() -> None:
    other = replace(result(d1=("y",), d2=("z",)), text="other")
    after = with_waivers(verdict(result(d1=("a",)), other), [EXACT], NOW)
    assert (after.status, after.failed_parts) == (Status.FAILED, ("d1", "d2"))


def test_it_does_not_count_before_it_was_given() -> None:
    later = replace(EXACT, at=NOW + timedelta(hours=1))
    before = verdict(result(d1=("a",)))
    assert with_waivers(before, [later], NOW) == before, "nor did it expire"
    assert with_waivers(before, [later], NOW + timedelta(hours=1)).passed


@pytest.mark.parametrize(
    ("now", "passes"),
    [
        (datetime(2011, 12, 31, 23, 59, 59, tzinfo=UTC), True),
        (datetime(2012, 1, 1, tzinfo=UTC), False),
        (datetime(2011, 12, 31, 23, 30, tzinfo=UTC) + timedelta(hours=1), False),
    ],
)
def test_it_counts_through_its_last_day(now: datetime, passes: bool) -> None:
    after = with_waivers(verdict(result(d1=("a",))), [EXACT], now)
    assert after.passed is passes
    if not passes:
        assert after.against == "x"
        assert after.results[0].message == "the waiver w1 of cfo expired on 2011-12-31"


def test_a_withdrawn_one_does_not_count() -> None:
    withdrawn = replace(EXACT, withdrawn=NOW)
    after = with_waivers(verdict(result(d1=("a",))), [withdrawn], NOW)
    assert not after.passed
    assert after.results[0].message == "the waiver w1 of cfo withdrawn on 2011-12-09"


@pytest.mark.parametrize(
    ("most", "parts", "rows", "passes"),
    [
        (2, (), {"d1": ("a",), "d2": ("b",)}, True),
        (1, (), {"d1": ("a",), "d2": ("b",)}, False),
        (2, ("d1",), {"d1": ("a", "b")}, True),
        (2, ("d1",), {"d2": ("a",)}, False),
        (2, ("d1",), {"d1": ("a",), "d2": ("b",)}, False),
    ],
)
def test_a_number_of_rows(
    most: int, parts: tuple[str, ...], rows: dict[str, tuple[str, ...]], passes: bool
) -> None:
    waiver = replace(EXACT, rows={}, most_rows=most, parts=parts)
    assert with_waivers(verdict(result(**rows)), [waiver], NOW).passed is passes


@pytest.mark.parametrize(
    ("measured", "passes"),
    [(0.3, True), (0.31, False), (-0.3, True), (-0.9, False), (None, False), ("x", False)],
)
def test_a_measured_value(measured: float | str | None, passes: bool) -> None:
    waiver = replace(EXACT, rows={}, most_measured=0.3)
    measures = RuleResult(text="small", status=Status.FAILED, failing=1, measured=measured)
    assert with_waivers(verdict(measures), [waiver], NOW).passed is passes


ROWS = st.dictionaries(
    st.sampled_from(["", "d1", "d2"]), st.lists(st.sampled_from("abc"), max_size=4).map(tuple)
)


@given(ROWS, st.lists(ROWS, max_size=3))
def test_nothing_passes_that_nobody_examined(
    failing: dict[str, tuple[str, ...]], examined: list[dict[str, tuple[str, ...]]]
) -> None:
    failing = {part: rows for part, rows in failing.items() if rows}
    if not failing:
        return
    waivers = [replace(EXACT, id=f"w{n}", rows=rows) for n, rows in enumerate(examined)]
    after = with_waivers(verdict(result(**failing)), waivers, NOW)
    most: Counter[tuple[str, str]] = Counter()
    for rows in examined:
        most |= Counter((part, row) for part, inside in rows.items() for row in inside)
    now = Counter((part, row) for part, inside in failing.items() for row in inside)
    assert after.passed is (not now - most)
    for part in failing.keys() - {""}:
        covered = not Counter((part, row) for row in failing[part]) - most
        if "" not in failing or after.passed:
            assert (part in after.failed_parts) is not covered
