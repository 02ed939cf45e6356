"""What a change does to a promise: every field, in both directions."""

from collections.abc import Callable
from datetime import date
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from assay.model import (
    Access,
    Code,
    Column,
    Consumer,
    Contract,
    Demand,
    Dialect,
    Freshness,
    Input,
    Kind,
    Layout,
    Naming,
    Partition,
    Product,
    Rule,
    Severity,
    Source,
    Waiver,
    Where,
    WorkCalendar,
)
from assay.plan.changes.contracts import Known, Revision, contract_changes
from assay.plan.changes.fields import ASPECTS, COMPARED, NOT_COMPARED
from assay.plan.changes.values import Change, Effect, Way
from assay.plan.changes.waivers import waiver_changes
from assay.plan.graph import Graph

WHERE = Where("products/shop.py", 3)
CALENDAR = WorkCalendar(
    name="SHOP", closed=(date(2026, 12, 25),), first=date(2026, 1, 1), last=date(2026, 12, 31)
)
CHECK = Rule(text="small", where=WHERE, sql="select * from this where amount > 0.25")
PROMISE = Freshness(by="07:00", on="SHOP", covers="previous day", at_least="95 %")
PRODUCT = Product(
    name="shop.orders",
    where=WHERE,
    kind=Kind.SQL,
    code=Code(digest="c"),
    owner="o",
    contract=Contract(
        digest="d",
        columns=(
            Column(name="id", type="BIGINT"),
            Column(name="amount", type="DECIMAL(18,2)"),
            Column(name="email", type="VARCHAR"),
        ),
        key=("id",),
        rules=(CHECK,),
        sensitive=("email",),
    ),
    consumers=(Consumer(name="desk", decides="prices"),),
    event_time="at",
    freshness=PROMISE,
    release_group="night",
    partition=Partition(names=("day",), grain="day"),
)
RENAMED = Naming(column="id", names=(("", "number"), ("2021-01-15", "id")))
SOURCE = Source(
    name="shop.raw",
    where=WHERE,
    pattern="data/*.csv",
    format="csv",
    columns=(Column(name="id", type="BIGINT"),),
    dialect=Dialect(null_values=("NA",)),
    freshness=Freshness(by="21:30"),
)
B, L, C = Effect.BREAKING, Effect.LOOSENED, Effect.COMPATIBLE


WAIVER = Waiver(
    id="w1",
    product="shop.orders",
    rule="small",
    until=date(2012, 1, 31),
    because="known",
    author="p.py:3",
    most_rows=1,
    where=WHERE,
)


def graph(product: Product = PRODUCT, source: Source = SOURCE, *more: WorkCalendar) -> Graph:
    calendars = {each.name: each for each in more or (CALENDAR,)}
    return Graph({product.name: product}, {source.name: source}, calendars)


def changes(before: Graph, now: Graph) -> list[Change]:
    return contract_changes(Revision(graph=before), Revision(graph=now))


class Case(NamedTuple):
    """A change of one field, forth and back, and what each does."""

    of: type
    field: str
    change: Callable[[], Graph]
    forth: Effect
    back: Effect
    before: Callable[[], Graph] = graph


def product(**fields: Any) -> Callable[[], Graph]:
    return lambda: graph(structs.replace(PRODUCT, **fields))


def contract(**fields: Any) -> Callable[[], Graph]:
    return product(contract=structs.replace(PRODUCT.contract, **fields))


def rules(*replaced: Rule) -> Callable[[], Graph]:
    return contract(rules=replaced)


def rule(base: Rule = CHECK, **fields: Any) -> Callable[[], Graph]:
    return rules(structs.replace(base, **fields))


def promise(**fields: Any) -> Callable[[], Graph]:
    return product(freshness=structs.replace(PROMISE, **fields))


def source(**fields: Any) -> Callable[[], Graph]:
    return lambda: graph(PRODUCT, structs.replace(SOURCE, **fields))


def dialect(**fields: Any) -> Dialect:
    return structs.replace(SOURCE.dialect, **fields)


def calendar(**fields: Any) -> Callable[[], Graph]:
    return lambda: graph(PRODUCT, SOURCE, structs.replace(CALENDAR, **fields))


def columns(*pairs: tuple[str, str]) -> tuple[Column, ...]:
    return tuple(Column(name=name, type=type) for name, type in pairs)


def demand(kind: str, **arguments: Any) -> Rule:
    place = f"amount:{'check0' if arguments else kind}"
    checked = Demand(kind=kind, place=place, column="amount", arguments=arguments)
    return Rule(text=f"amount {kind} {arguments}", where=WHERE, demand=checked)


ID, AMOUNT, EMAIL = ("id", "BIGINT"), ("amount", "DECIMAL(18,2)"), ("email", "VARCHAR")
SETTLED = Rule(text="settled", where=WHERE, sql="select 1", closes="start of month", dated="at")
LATE = Rule(text="late", where=WHERE, sql="select 1", within=3600.0, threshold="within 1 hour")
LIMITED = Rule(text="sums", where=WHERE, sql="select 1", threshold="within ±5 %")
CONDITION = Rule(
    text="fine",
    where=WHERE,
    demand=Demand(kind="condition", place="r0", arguments={"sql": "amount < 10"}),
)

CASES = [
    Case(Product, "name", product(name="shop.sales", code=Code(digest="c")), B, B),
    Case(Product, "kind", product(kind=Kind.FILE, file="orders.csv"), B, B),
    Case(Product, "contract", contract(columns=()), B, C),
    Case(Product, "owner", product(owner="p"), C, C),
    Case(Product, "purpose", product(purpose="To decide."), C, C),
    Case(Product, "consumers", product(consumers=()), C, C),
    Case(Product, "event_time", product(event_time=""), B, C),
    Case(Product, "event_time", product(event_time="paid_at"), B, B),
    Case(Product, "freshness", product(freshness=None), B, C),
    Case(Product, "release_group", product(release_group=""), B, C),
    Case(
        Product,
        "file",
        product(kind=Kind.FILE, file="b.csv"),
        B,
        B,
        product(kind=Kind.FILE, file="a.csv"),
    ),
    Case(Product, "renamed", product(renamed=("id",)), B, L),
    Case(Product, "partition", product(partition=None), B, C),
    Case(Product, "partition", product(partition=Partition(names=("day",), grain="month")), B, B),
    Case(Product, "holds_parts", product(holds_parts=True), L, C),
    Case(Product, "access", product(access=Access.PRIVATE), B, C),
    Case(Product, "waivers", product(waivers=(WAIVER,)), L, C),
    Case(Product, "approvers", product(approvers=("cfo",)), C, L),
    Case(Product, "approvals", product(approvers=("cfo", "chair"), approvals=2), C, L),
    Case(Contract, "columns", contract(columns=columns(ID, EMAIL)), B, C),
    Case(
        Contract, "columns", contract(columns=columns(ID, ("net_amount", AMOUNT[1]), EMAIL)), B, B
    ),
    Case(
        Contract, "columns", contract(columns=columns(ID, ("amount", "DECIMAL(9,2)"), EMAIL)), B, C
    ),
    Case(Contract, "columns", contract(columns=columns(ID, ("amount", "VARCHAR"), EMAIL)), B, B),
    Case(Contract, "key", contract(key=()), B, C),
    Case(Contract, "key", contract(key=("id", "email")), B, C),
    Case(Contract, "rules", rules(), L, C),
    Case(Contract, "rules", rules(CHECK, demand("null")), C, B),
    Case(Contract, "rules", rules(CHECK, demand("unique")), C, B),
    Case(Contract, "sensitive", contract(sensitive=("email", "id")), B, L),
    Case(Contract, "cleared", contract(cleared=("email",)), L, B),
    Case(Contract, "version", contract(version="1.0.0"), C, B),
    Case(Contract, "version", contract(version="2.0.0"), C, B, contract(version="1.9.0")),
    Case(Contract, "deprecated", contract(deprecated={"amount": "2027-03-01"}), C, C),
    Case(
        Contract,
        "deprecated",
        contract(deprecated={"amount": "2027-03-01"}),
        B,
        C,
        contract(deprecated={"amount": "2027-06-01"}),
    ),
    Case(Column, "name", contract(columns=columns(("ident", "BIGINT"), AMOUNT, EMAIL)), B, B),
    Case(Column, "type", contract(columns=columns(("id", "INTEGER"), AMOUNT, EMAIL)), B, C),
    Case(
        Column,
        "logical",
        contract(columns=(Column(name="id", type="BIGINT", logical="x"), *columns(AMOUNT, EMAIL))),
        B,
        B,
    ),
    Case(Rule, "text", rule(text="not big"), C, C),
    Case(Rule, "severity", rule(severity=Severity.WARNING, fail_above=""), L, C),
    Case(Rule, "owner", rule(owner="p"), C, C),
    Case(Rule, "review_by", rule(review_by="2027-01-31"), C, C),
    Case(Rule, "warn_above", rule(warn_above="5 %"), C, L),
    Case(Rule, "fail_above", rule(fail_above="10"), L, C),
    Case(Rule, "fail_above", rule(fail_above="10 %"), L, L, rule(fail_above="10")),
    Case(Rule, "quarantines", rule(quarantines=True), L, C),
    Case(
        Rule,
        "demand",
        rules(demand("greater_than_or_equal_to", min_value=0)),
        C,
        L,
        rules(demand("greater_than_or_equal_to", min_value={"decimal": "-1"})),
    ),
    Case(
        Rule,
        "demand",
        rules(demand("isin", allowed_values={"many": ["a", "b"]})),
        L,
        C,
        rules(demand("isin", allowed_values={"many": ["a"]})),
    ),
    Case(
        Rule,
        "demand",
        rule(CONDITION, demand=structs.replace(CONDITION.demand, arguments={"sql": "amount < 20"})),
        L,
        C,
        rules(CONDITION),
    ),
    Case(Rule, "sql", rule(sql="select * from this where amount > 0.4"), L, C),
    Case(Rule, "sql", rule(sql="select * from this where amount < 0.25"), L, L),
    Case(Rule, "threshold", rule(LIMITED, threshold="within ±10 %"), L, C, rules(LIMITED)),
    Case(Rule, "closes", rule(SETTLED, closes="30 days ago"), L, L, rules(SETTLED)),
    Case(Rule, "grace", rule(SETTLED, grace="3 working days"), L, L, rules(SETTLED)),
    Case(Rule, "holds_new", rule(SETTLED, holds_new=True), C, L, rules(SETTLED)),
    Case(Rule, "dated", rule(SETTLED, dated="paid_at"), L, L, rules(SETTLED)),
    Case(
        Rule,
        "within",
        rule(LATE, within=7200.0, threshold="within 2 hours"),
        L,
        C,
        rules(LATE),
    ),
    Case(Rule, "tz", rule(SETTLED, tz="Europe/London"), L, L, rules(SETTLED)),
    Case(Rule, "inputs", rule(inputs=(Input(alias="other", name="shop.other"),)), L, L),
    Case(Freshness, "by", promise(by="08:00"), B, C),
    Case(Freshness, "every", promise(by="", every="0 7 * * *"), B, B),
    Case(
        Freshness,
        "within",
        product(freshness=Freshness(within="2 days")),
        B,
        C,
        product(freshness=Freshness(within="36h")),
    ),
    Case(Freshness, "tz", promise(tz="Europe/London"), B, B),
    Case(Freshness, "on", promise(on=""), C, B),
    Case(
        Freshness,
        "on",
        promise(on="working day 5 of SHOP"),
        B,
        C,
        promise(on="working day 3 of SHOP"),
    ),
    Case(Freshness, "covers", promise(covers="previous month"), B, C),
    Case(Freshness, "trading", promise(trading="SHOP"), B, C),
    Case(Freshness, "warn_before", promise(warn_before="45m"), C, C),
    Case(Freshness, "at_least", promise(at_least="90 %"), B, C),
    Case(Consumer, "name", product(consumers=(Consumer(name="board"),)), C, C),
    Case(Consumer, "decides", product(consumers=(Consumer(name="desk"),)), C, C),
    Case(WorkCalendar, "weekdays", calendar(weekdays=(0, 1, 2, 3)), B, C),
    Case(WorkCalendar, "closed", calendar(closed=(*CALENDAR.closed, date(2026, 12, 28))), B, C),
    Case(WorkCalendar, "opened", calendar(opened=(date(2026, 12, 26),)), C, B),
    Case(Source, "name", source(name="shop.raw_orders"), C, C),
    Case(Source, "pattern", source(pattern="data/*.csv.gz"), B, B),
    Case(Source, "format", source(format="parquet"), B, B),
    Case(Source, "columns", source(columns=columns(ID, ("discount", "DOUBLE"))), B, C),
    Case(Source, "columns", source(columns=columns(("id", "INTEGER"))), B, C),
    Case(Source, "dialect", source(dialect=Dialect(separator=";")), B, B),
    Case(Source, "namings", source(namings=(RENAMED,)), B, B),
    Case(Source, "optional", source(optional=("id",)), C, B),
    Case(Source, "sensitive", source(sensitive=("id",)), B, L),
    Case(Source, "layouts", source(layouts=(Layout(until="2020-12-31"),)), B, B),
    Case(Dialect, "null_values", source(dialect=Dialect()), B, C),
    Case(Dialect, "separator", source(dialect=dialect(separator=";")), B, B),
    Case(Dialect, "quote_char", source(dialect=dialect(quote_char="'")), B, B),
    Case(Dialect, "escape", source(dialect=dialect(escape="\\")), B, B),
    Case(Dialect, "header", source(dialect=dialect(header=False)), B, B),
    Case(Dialect, "names", source(dialect=dialect(names=("id",))), B, B),
    Case(Dialect, "skip_rows", source(dialect=dialect(skip_rows=2)), B, B),
    Case(Dialect, "comment_prefix", source(dialect=dialect(comment_prefix="#")), B, B),
    Case(Dialect, "quoted_nulls", source(dialect=dialect(quoted_nulls=False)), B, B),
    Case(Dialect, "decimal_separator", source(dialect=dialect(decimal_separator=",")), B, B),
    Case(Dialect, "thousands", source(dialect=dialect(thousands=".")), B, B),
    Case(Dialect, "formats", source(dialect=dialect(formats=(("id", "%Y"),))), B, B),
    Case(Dialect, "encoding", source(dialect=dialect(encoding="utf-16")), B, B),
    Case(Dialect, "member", source(dialect=dialect(member="*.csv")), B, B),
    Case(Source, "owner", source(owner="p"), C, C),
    Case(Source, "access", source(access=Access.PRIVATE), B, C),
    Case(Source, "purpose", source(purpose="All orders."), C, C),
    Case(Source, "partition", source(partition=Partition(names=("day",))), B, B),
    Case(Source, "event_time", source(event_time="at"), B, C),
    Case(Source, "freshness", source(freshness=Freshness(by="20:00")), B, C),
]


def effect(found: list[Change]) -> Effect | None:
    """Return the worst effect of these changes."""
    return next((e for e in Effect if any(change.effect is e for change in found)), None)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.of.__name__}.{case.field}")
def test_each_field_is_compared_in_both_directions(case: Case) -> None:
    forth, back = changes(case.before(), case.change()), changes(case.change(), case.before())
    assert (effect(forth), effect(back)) == (case.forth, case.back)
    assert {change.aspect for change in forth} <= ASPECTS.keys()
    assert all(change.what and change.where == WHERE for change in forth)


def test_every_field_of_a_declaration_is_compared_or_has_a_reason_why_not() -> None:
    assert COMPARED.keys() == NOT_COMPARED.keys()
    for kind, compared in COMPARED.items():
        fields = {field.name for field in structs.fields(kind)}
        assert fields == compared.keys() | NOT_COMPARED[kind].keys()
        assert not compared.keys() & NOT_COMPARED[kind].keys()
        assert set(compared.values()) <= ASPECTS.keys()
        assert {c.field for c in CASES if c.of is kind} == compared.keys(), f"a case of {kind}"


@given(st.sampled_from(CASES), st.sampled_from(CASES))
def test_only_what_differs_is_a_change(one: Case, other: Case) -> None:
    assert changes(one.change(), one.change()) == []
    there, back = changes(one.change(), other.change()), changes(other.change(), one.change())
    assert bool(there) == bool(back)
    if there == []:
        assert one.change() == other.change()


def test_a_product_that_is_gone_or_new() -> None:
    empty = Graph({}, {}, {})
    gone, new = changes(graph(), empty), changes(empty, graph())
    assert [(c.name, c.effect, c.removed) for c in gone] == [
        ("shop.orders", B, True),
        ("shop.raw", C, True),
    ]
    assert [(c.name, c.effect, c.what) for c in new] == [
        ("shop.orders", C, "added"),
        ("shop.raw", C, "added"),
    ]


def test_a_renamed_product_is_compared_with_what_it_was() -> None:
    narrowed = structs.replace(
        PRODUCT, name="shop.sales", contract=structs.replace(PRODUCT.contract, key=())
    )
    found = [(c.name, c.aspect, c.renamed_to) for c in changes(graph(), graph(narrowed))]
    assert found == [("shop.orders", "product", "shop.sales"), ("shop.orders", "key", "")]


def test_the_rules_of_a_removed_column_go_with_it() -> None:
    not_null = demand("null")
    before = contract(rules=(CHECK, not_null))()
    now = contract(columns=columns(ID, EMAIL))()
    assert [(c.aspect, c.of) for c in changes(before, now)] == [("column", "amount")]


def test_the_rules_of_a_renamed_column_stay() -> None:
    not_null = demand("null")
    of_new = structs.replace(
        not_null,
        text="net_amount null {}",
        demand=structs.replace(not_null.demand, column="net_amount", place="net_amount:null"),
    )
    now = contract(columns=columns(ID, ("net_amount", AMOUNT[1]), EMAIL), rules=(CHECK, of_new))()
    found = changes(contract(rules=(CHECK, not_null))(), now)
    assert [(c.of, c.renamed_to) for c in found] == [("amount", "net_amount")]


def test_a_column_of_the_same_origin_is_renamed_whatever_its_name_and_place() -> None:
    now = contract(columns=columns(("turnover", AMOUNT[1]), ID, EMAIL))()
    both = Revision(graph=graph()), Revision(graph=now)
    assert {c.what for c in contract_changes(*both)} == {"removed", "added: DECIMAL(18,2)"}
    known = Known(same_origin=lambda *names: names[1::2] == ("amount", "turnover"))
    assert [c.renamed_to for c in contract_changes(*both, known)] == ["turnover"]


def test_a_changed_number_in_a_query_says_which_way_only_behind_a_comparison() -> None:
    def way(before: str, now: str) -> tuple[Effect | None, str]:
        start = "select * from this where "
        found = changes(rule(sql=start + before)(), rule(sql=start + now)())
        return effect(found), found[0].what if found else ""

    assert way("amount < 10", "amount < 5") == (L, 'rule "small" 10 -> 5')
    assert way("amount < 5", "amount < 10") == (C, 'rule "small" 5 -> 10')
    assert way("not amount > 5", "not amount > 4") == (L, 'rule "small" 5 -> 4')
    assert way("amount + 5 > id", "amount + 4 > id") == (L, 'rule "small" 5 -> 4')
    assert way("amount  >  5", "amount > 5") == (None, "")


def test_an_old_side_that_knows_little_is_compared_in_that_only() -> None:
    before = Revision(graph=graph(), aspects={"column"})
    now = structs.replace(
        PRODUCT,
        owner="p",
        freshness=None,
        contract=structs.replace(PRODUCT.contract, columns=columns(ID, EMAIL)),
    )
    found = contract_changes(before, Revision(graph=graph(now)))
    assert [change.aspect for change in found] == ["column"]


def test_a_deprecated_column_may_go_from_its_day_on() -> None:
    before = contract(deprecated={"amount": "2027-03-01"})()
    now = contract(columns=columns(ID, EMAIL))()

    def found(today: date) -> list[tuple[Effect, str]]:
        known = Known(today=today)
        both = Revision(graph=before), Revision(graph=now)
        return [(c.effect, c.what) for c in contract_changes(*both, known)]

    assert found(date(2027, 3, 1)) == [(C, "removed: it was kept until 2027-03-01")]
    early = "removed before 2027-03-01, until which it was to be kept"
    assert found(date(2027, 2, 28)) == [(B, early)]


def test_a_deprecation_without_notice_breaks() -> None:
    both = graph(), contract(deprecated={"amount": "2027-03-01"})()
    revisions = [Revision(graph=each) for each in both]
    [noticed] = contract_changes(*revisions, Known(today=date(2027, 2, 28)))
    [late] = contract_changes(*revisions, Known(today=date(2027, 3, 1)))
    assert (noticed.effect, late.effect) == (C, B)
    [moved] = contract_changes(
        Revision(graph=contract(deprecated={"amount": "2027-06-01"})()), revisions[1]
    )
    assert (moved.of, moved.what) == ("amount", "kept until 2027-06-01 -> 2027-03-01")


def test_a_waiver_that_is_declared_lets_more_through() -> None:
    [new], [gone] = waiver_changes([], [WAIVER]), waiver_changes([WAIVER], [])
    assert new.what == "waived until 2012-01-31 (at most 1 failing row): known"
    assert (new.way, new.of, new.where) == (Way.WEAKER, "small", WHERE)
    assert (gone.way, gone.removed) == (Way.STRONGER, True)
    assert not list(waiver_changes([WAIVER], [WAIVER]))
