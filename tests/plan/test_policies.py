"""Policies over declarations: who keeps them, whom they are for, and what a finding says."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from assay.errors import UsageError
from assay.model import (
    Code,
    Column,
    Contract,
    Demand,
    Freshness,
    Input,
    Kind,
    Product,
    Rule,
    Severity,
    Source,
    Waiver,
    Where,
)
from assay.plan.graph import Graph
from assay.plan.policies import broken, in_force
from assay.policies import POLICIES, Policies, policies_of

NOW = datetime(2026, 12, 8, tzinfo=UTC)
HERE = Where("products/a.py", 1)
X = Column(name="x", type="BIGINT", description="a number")


def product(name: str, *reads: str, kind: Kind = Kind.SQL, **about: Any) -> Product:
    contract = {k: about.pop(k) for k in ("columns", "key", "rules") if k in about}
    return Product(
        **{
            "name": name,
            "where": HERE,
            "kind": kind,
            "code": Code(digest="c"),
            "contract": Contract(digest="d", **contract),
            "owner": "o",
            "inputs": tuple(Input(alias=read.partition(".")[2], name=read) for read in reads),
            **about,
        }
    )


def source(name: str, **about: Any) -> Source:
    return Source(
        **{
            "name": name,
            "where": HERE,
            "pattern": "*.csv",
            "format": "csv",
            "columns": (X,),
            **about,
        }
    )


def graph_of(*declared: Product | Source) -> Graph:
    products = {each.name: each for each in declared if isinstance(each, Product)}
    return Graph(products, {each.name: each for each in declared if isinstance(each, Source)})


def policies(**table: Any) -> Policies:
    found, mistakes = policies_of(table)
    assert not mistakes
    return found


def found(graph: Graph, **table: Any) -> list[tuple[str, str, str]]:
    """Return the names that break a policy, with the severity and what it is about."""
    broken_ones = broken(graph, policies(**table), NOW)
    return [(each.finding.name, each.finding.severity, each.finding.of) for each in broken_ones]


def rule(text: str, **about: Any) -> Rule:
    return Rule(text=text, where=HERE, **about)


def check(kind: str, **about: Any) -> Rule:
    return rule(f"it is {kind}", demand=Demand(kind=kind, place="x"), **about)


def test_without_policies_nothing_is_found() -> None:
    assert found(graph_of(product("a.b"), source("a.s"))) == []


def test_owner_and_purpose() -> None:
    graph = graph_of(product("a.b", owner="", purpose="p"), source("a.s", owner="o"), source("a.t"))
    assert found(graph, owner="error") == [("a.b", "error", ""), ("a.t", "error", "")]
    assert found(graph, purpose="warning") == [("a.s", "warning", ""), ("a.t", "warning", "")]


def test_what_is_off_is_off() -> None:
    assert found(graph_of(source("a.s")), owner="off") == []


def test_a_key_is_for_tables() -> None:
    graph = graph_of(
        product("a.b"),
        product("a.keyed", key=("x",)),
        product("a.file", kind=Kind.FILE),
        product("a.b__quarantine", "a.b", kind=Kind.QUARANTINE),
        source("a.s"),
    )
    assert found(graph, key="error") == [("a.b", "error", "")]


def test_freshness_may_be_that_of_what_reads_it() -> None:
    promise = Freshness(within="1d")
    graph = graph_of(
        source("a.s"),
        source("a.alone"),
        product("a.b", "a.s"),
        product("a.c", "a.b", freshness=promise),
        product("a.d", "a.c"),
        source("a.own", freshness=promise),
    )
    assert found(graph, freshness="warning") == [
        ("a.d", "warning", ""),
        ("a.alone", "warning", ""),
    ]


@pytest.mark.parametrize("kind", ["type", "null", "strict", "ordered", "accounted"])
def test_what_each_contract_has_is_no_rule_about_values(kind: str) -> None:
    assert found(graph_of(product("a.b", rules=(check(kind),))), error_rule="error")


@pytest.mark.parametrize(
    "one", [rule("s", sql="from this"), check("unique"), check("in_range"), check("custom")]
)
def test_a_rule_of_severity_error(one: Rule) -> None:
    assert found(graph_of(product("a.b", rules=(one,))), error_rule="error") == []


def test_a_rule_that_warns_is_not_enough() -> None:
    warns = rule("s", sql="from this", severity=Severity.WARNING)
    assert found(graph_of(product("a.b", rules=(warns,))), error_rule="error")


def test_columns_without_a_description_are_named() -> None:
    bare = [Column(name=f"c{n}", type="BIGINT") for n in range(8)]
    graph = graph_of(
        product("a.full", columns=(X,)),
        product("a.one", columns=(X, bare[0])),
        product("a.many", columns=(X, *bare)),
        product("a.none"),
        product("a.file", kind=Kind.FILE),
        source("a.s"),
        source("a.t", columns=tuple(bare[:2])),
    )
    findings = [each.finding for each in broken(graph, policies(description="error"), NOW)]
    whats = {(f.name, f.of): f.what for f in findings}
    assert whats.keys() == {("a.one", "c0"), ("a.many", ""), ("a.none", ""), ("a.t", "")}
    assert whats["a.many", ""].endswith(": c0, c1, c2, c3, c4 and 3 more")
    assert whats["a.t", ""].endswith(": c0, c1")
    assert "no contract" in whats["a.none", ""]


def test_names_match_as_a_whole() -> None:
    graph = graph_of(product("a.b"), product("a.b2"), source("a.s"))
    assert found(graph, names={"pattern": r"a\.[a-z]"}) == [("a.b2", "error", "")]
    assert found(graph, names={"pattern": "b", "severity": "off"}) == []


def test_a_review_is_due_from_the_day_after() -> None:
    rules = [rule(day, sql="from this", review_by=day) for day in ("2026-12-07", "2026-12-08")]
    graph = graph_of(product("a.b", rules=tuple(rules)))
    assert found(graph, review="warning") == [("a.b", "warning", "2026-12-07")]


def test_some_products_have_policies_of_their_own() -> None:
    graph = graph_of(
        product("a.b"),
        product("a.c", tags=("core",)),
        product("f.d", tags=("core",)),
        source("f.s"),
    )
    table = {
        "purpose": "warning",
        "for": {"tag:core": {"purpose": "error"}, "domain:f s": {"purpose": "off"}},
    }
    assert found(graph, **table) == [("a.b", "warning", ""), ("a.c", "error", "")]
    for_names = {"names": {"pattern": "a.*"}, "for": {"f.*": {"names": {"pattern": "f.*"}}}}
    assert found(graph, **for_names) == []


def test_the_policies_of_a_product_are_known_to_others() -> None:
    graph = graph_of(product("a.b"), product("f.d"))
    table = {"logic_drift": "warning", "for": {"f.d": {"logic_drift": "error"}}}
    forced = in_force(graph, policies(**table))
    assert {name: t.severities["logic_drift"] for name, t in forced.items()} == {
        "a.b": "warning",
        "f.d": "error",
    }


def test_a_selector_that_names_nothing_is_a_mistake() -> None:
    with pytest.raises(UsageError, match="no product"):
        found(graph_of(product("a.b")), **{"for": {"a.x*": {"purpose": "error"}}})


@pytest.mark.parametrize(
    "policy",
    [
        p
        for p in POLICIES
        if p not in {"logic_drift", "review", "names", "budget", "undeclared_columns"}
    ],
)
def test_each_finding_says_what_to_write(policy: str) -> None:
    waiver = Waiver(id="w", product="a.b", rule="r", until=date.min, because="x", author="o")
    graph = graph_of(
        product("a.b", owner="", waivers=(waiver,)),
        source("a.s", columns=(Column(name="y", type="DATE"),)),
    )
    findings = [each.finding for each in broken(graph, policies(**{policy: "error"}), NOW)]
    assert findings
    assert all(finding.needs and finding.what for finding in findings)


@pytest.mark.parametrize(
    ("until", "severity"),
    [
        (date(2026, 12, 7), "error"),
        (date(2026, 12, 8), "warning"),
        (date(2026, 12, 21), "warning"),
        (date(2026, 12, 22), ""),
    ],
    ids=["over", "its last day", "14 days left", "15 days left"],
)
def test_declared_waivers_that_are_over(until: date, severity: str) -> None:
    there = Where("products/waivers.py", 7)
    waiver = Waiver(
        id="w1", product="a.b", rule="r", until=until, because="x", author="o", where=there
    )
    graph = graph_of(product("a.b", rules=(rule("r"),), waivers=(waiver,)))
    expected = [("a.b", severity, "r")] if severity else []
    assert found(graph, expired_waivers="error") == expected
    assert found(graph, expired_waivers="off") == []
    [*of_policy] = broken(graph, policies(expired_waivers="warning"), NOW)
    assert [each.where for each in of_policy] == [there] * bool(severity)
    assert found(graph, expired_waivers="warning") == [("a.b", "warning", "r")] * bool(severity)
    just_over = broken(graph, policies(expired_waivers="error"), NOW - timedelta(seconds=1))
    assert {each.finding.severity for each in just_over} <= {"warning"}, "UTC days"
