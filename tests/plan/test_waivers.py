"""What waivers let through of a verdict: these rows, so many, up to a value, in these parts, until a day."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from assay.facts import PartCount, RuleResult, Status, Verdict, WaiverOver
from assay.model import Code, Contract, Demand, Kind, Product, Rule, Waiver, Where
from assay.plan.waivers import given_waivers, rule_digest, waived_rules, with_waivers

HERE = Where("products/a.py", 1)
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


def waived(verdict: Verdict, waivers: Iterable[Waiver], now: datetime) -> Verdict:
    return with_waivers(verdict, waivers, now, "prod")


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
    after = waived(before, [EXACT], NOW)
    assert (after.status, after.failed_parts) == (Status.WARNING, ())
    assert after.results[0].waived == "until 2011-12-31 by cfo (w1): known"
    assert waived_rules(after) == ("small: waived until 2011-12-31 by cfo (w1): known",)
    assert after.against != before.against
    assert waived(after, [EXACT], NOW) == after, "what passes is left alone"


@pytest.mark.parametrize(
    "rows",
    [{"d1": ("a", "c")}, {"d1": ("a", "b", "c")}, {"d1": ("a", "b", "b")}, {"d2": ("a", "b")}],
    ids=["other", "more", "one of them twice", "in another part"],
)
def test_other_rows_or_more_are_held_back(rows: dict[str, tuple[str, ...]]) -> None:
    before = verdict(result(**rows))
    assert waived(before, [EXACT], NOW) == before


def test_fewer_rows_pass() -> None:
    assert waived(verdict(result(d1=("b",))), [EXACT], NOW).passed


def test_a_waived_part_does_not_fail_any_more() -> None:
    after = waived(verdict(result(d1=("a",), d2=("z",))), [EXACT], NOW)
    assert (after.status, after.failed_parts) == (Status.FAILED, ("d2",))
    assert after.results[0].waived.startswith("d1 until")


def test_two_waivers_cover_together() -> None:
    other = replace(EXACT, id="w2", rows={"d2": ("z",)})
    before = verdict(result(d1=("a",), d2=("z",)))
    assert waived(before, [EXACT, other], NOW).passed


def test_another_rule_still_fails() -> None:
    other = RuleResult(text="other", status=Status.FAILED, failing=1)
    after = waived(verdict(result(d1=("a",)), other), [EXACT], NOW)
    assert (after.status, after.failed_parts) == (Status.FAILED, ("d1",))
    error = RuleResult(text="small", status=Status.ERROR)
    assert waived(verdict(error), [EXACT], NOW).results[0] == error, "errors are not waived"


def test_a_part_that_is_waived_of_one_rule_fails_another() -> None:
    other = replace(result(d1=("y",), d2=("z",)), text="other")
    after = waived(verdict(result(d1=("a",)), other), [EXACT], NOW)
    assert (after.status, after.failed_parts) == (Status.FAILED, ("d1", "d2"))


def test_it_does_not_count_before_it_was_given() -> None:
    later = replace(EXACT, at=NOW + timedelta(hours=1))
    before = verdict(result(d1=("a",)))
    assert waived(before, [later], NOW) == before, "nor did it expire"
    assert waived(before, [later], NOW + timedelta(hours=1)).passed


@pytest.mark.parametrize(
    ("now", "passes"),
    [
        (datetime(2011, 12, 31, 23, 59, 59, tzinfo=UTC), True),
        (datetime(2012, 1, 1, tzinfo=UTC), False),
        (datetime(2011, 12, 31, 23, 30, tzinfo=UTC) + timedelta(hours=1), False),
    ],
)
def test_it_counts_through_its_last_day(now: datetime, passes: bool) -> None:
    after = waived(verdict(result(d1=("a",))), [EXACT], now)
    assert after.passed is passes
    if not passes:
        assert after.against == "x"
        assert after.results[0].message == "the waiver w1 of cfo expired on 2011-12-31"


def test_a_withdrawn_one_does_not_count() -> None:
    withdrawn = replace(EXACT, withdrawn=NOW)
    after = waived(verdict(result(d1=("a",))), [withdrawn], NOW)
    assert not after.passed
    assert after.results[0].message == "the waiver w1 of cfo was withdrawn on 2011-12-09"


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
    assert waived(verdict(result(**rows)), [waiver], NOW).passed is passes


@pytest.mark.parametrize(
    ("measured", "passes"),
    [(0.3, True), (0.31, False), (-0.3, True), (-0.9, False), (None, False), ("x", False)],
)
def test_a_measured_value(measured: float | str | None, passes: bool) -> None:
    waiver = replace(EXACT, rows={}, most_measured=0.3)
    measures = RuleResult(text="small", status=Status.FAILED, failing=1, measured=measured)
    assert waived(verdict(measures), [waiver], NOW).passed is passes


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
    after = waived(verdict(result(**failing)), waivers, NOW)
    most: Counter[tuple[str, str]] = Counter()
    for rows in examined:
        most |= Counter((part, row) for part, inside in rows.items() for row in inside)
    now = Counter((part, row) for part, inside in failing.items() for row in inside)
    assert after.passed is (not now - most)
    for part in failing.keys() - {""}:
        covered = not Counter((part, row) for row in failing[part]) - most
        if "" not in failing or after.passed:
            assert (part in after.failed_parts) is not covered


NUMBER = replace(EXACT, id="w2", rows={}, most_rows=1)


@pytest.mark.parametrize(
    ("waivers", "rows", "part"),
    [
        # Numbers of parts, which count for their parts only and together cover all.
        ([replace(NUMBER, parts=("d1",)), replace(NUMBER, id="w3", parts=("d2",))], "ac", "all"),
        ([replace(NUMBER, parts=("d1",))], "ac", "d1"),
        ([replace(NUMBER, parts=("d1", "d2"))], "ac", ""),
        # The rows that were examined, and a number of others.
        ([EXACT, NUMBER], "abc", "all"),
        ([EXACT, NUMBER], "abxc", ""),
        ([EXACT, replace(NUMBER, parts=("d1",))], "abx", "all"),
        # Numbers are not added up.
        ([NUMBER, replace(NUMBER, id="w3")], "xc", ""),
    ],
)
def test_waivers_of_one_rule_together(waivers: list[Waiver], rows: str, part: str) -> None:
    """Rows `c` are in d2, all others in d1."""
    by_part = {"d1": tuple(rows.replace("c", "")), "d2": tuple(row for row in rows if row == "c")}
    before = verdict(result(**{part: found for part, found in by_part.items() if found}))
    after = waived(before, waivers, NOW)
    assert after.passed is (part == "all")
    if part not in {"all", ""}:
        assert after.failed_parts == tuple({"d1", "d2"} - {part})
        assert after.results[0].waived.startswith(f"{part} until")
    if not part:
        assert after == before
    for waiver in waivers:
        assert waived(before, [*reversed(waivers)], NOW).status is after.status, waiver.id


def test_a_part_with_too_many_rows_to_examine_goes_out_by_a_number() -> None:
    counts = (PartCount(part="d1", failing=2000, rows=9), PartCount(part="d2", failing=3, rows=9))
    many = RuleResult(text="small", status=Status.FAILED, failing=2003, part_counts=counts)
    before = replace(verdict(many), failed_parts=("d1", "d2"))
    after = waived(before, [replace(NUMBER, most_rows=2000, parts=("d1",))], NOW)
    assert after.failed_parts == ("d2",)
    incomplete = replace(many, failing=2004)
    before = replace(verdict(incomplete), failed_parts=("d1", "d2"))
    assert waived(before, [replace(NUMBER, most_rows=2000, parts=("d1",))], NOW) == before


def contract(rule: Rule, digest: str = "c") -> Contract:
    return Contract(digest=digest, rules=(rule,))


def product(rule: Rule, digest: str = "c") -> Product:
    return Product(
        name="p",
        where=HERE,
        kind=Kind.SQL,
        code=Code(digest="c"),
        contract=contract(rule, digest),
        owner="o",
    )


RULE = Rule(text="small", where=HERE, sql="from this where x > 9")
CHECK = Rule(text="small", where=HERE, demand=Demand(kind="custom", place=":small"))


@pytest.mark.parametrize(
    ("edited", "counts"),
    [
        (replace(RULE, because="explained", owner="ann", review_by="2027-01-01"), True),
        (replace(RULE, where=Where("b.py", 9), dimension="accuracy"), True),
        (replace(RULE, sql="from this where x > 8"), False),
        (replace(RULE, fail_above="5 %"), False),
        (replace(RULE, text="tiny"), False),
    ],
    ids=["why", "where", "query", "limit", "name"],
)
def test_a_rule_that_was_edited_is_not_waived_any_more(edited: Rule, counts: bool) -> None:
    of_rule = replace(EXACT, rule_digest=rule_digest(RULE, contract(RULE)))
    given = given_waivers(product(edited), [of_rule], {"prod"})
    assert [waiver.changed for waiver in given] == [not counts]
    after = waived(verdict(result(d1=("a",))), given, NOW)
    assert after.passed is counts
    if not counts:
        expected = "the waiver w1 of cfo is of this rule as it was before it changed"
        assert after.results[0].message == expected
        assert after.results[0].over == WaiverOver(text=expected, at=None)


def test_a_check_in_python_is_known_by_its_contract() -> None:
    of_check = replace(EXACT, rule_digest=rule_digest(CHECK, contract(CHECK)))
    assert not given_waivers(product(CHECK), [of_check], {"prod"})[0].changed
    assert given_waivers(product(CHECK, "another"), [of_check], {"prod"})[0].changed


def test_a_declared_one_counts_in_its_environment() -> None:
    declared = replace(product(RULE), waivers=(EXACT, replace(EXACT, id="w2", environment="dev")))
    assert [w.id for w in given_waivers(declared, [], {"prod"})] == ["w1"]
    assert [w.id for w in given_waivers(declared, [], {"dev"})] == ["w1", "w2"]


def test_when_the_last_of_several_ended() -> None:
    gone = replace(EXACT, id="w0", withdrawn=NOW - timedelta(days=1))
    after = waived(verdict(result(d1=("a",))), [gone, EXACT], datetime(2012, 1, 9, tzinfo=UTC))
    assert after.results[0].over == WaiverOver(
        text="the waiver w1 of cfo expired on 2011-12-31", at=datetime(2012, 1, 1, tzinfo=UTC)
    )


def test_what_one_environment_waived_is_not_waived_in_another() -> None:
    before = verdict(result(d1=("a",)))
    prod, dev = (with_waivers(before, [EXACT], NOW, name) for name in ("prod", "dev"))
    assert len({before.against, prod.against, dev.against}) == 3
