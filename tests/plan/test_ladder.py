"""The ladder as a table, and what follows from it, on plain values."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest

from assay.decisions import (
    Blocked,
    Build,
    BytesMissing,
    Check,
    CodeChanged,
    FirstBuild,
    Forced,
    Held,
    InputChanged,
    InputsDiffer,
    Keep,
    KnownInput,
    Maybe,
    Publish,
    UnknownInput,
    UnusableInput,
)
from assay.facts import (
    Pointer,
    RuleResult,
    SourceFile,
    SourceState,
    Status,
    Verdict,
    Version,
    worst_status,
)
from assay.model import Column, Contract, Input, Kind, Product, Rule, Where
from assay.plan.digests import against_of, code_of, key_of
from assay.plan.graph import Graph
from assay.plan.ladder import decide, plan
from assay.plan.observed import Observed
from assay.plan.request import Request

NOW = datetime(2011, 12, 9, 7, tzinfo=UTC)
CODE = code_of({"sql": "1"})
HERE = Where("sales.py", 1)


def product(
    name: str = "d.p", *reads: str, code=CODE, contract="c1", group="", rules=()
) -> Product:
    return Product(
        name=name,
        where=HERE,
        kind=Kind.SQL,
        code=code,
        contract=Contract(digest=contract, rules=tuple(rules)),
        owner="o",
        inputs=tuple(Input(alias=r.partition(".")[2], name=r) for r in reads or ("d.s",)),
        release_group=group,
    )


@dataclass
class Recorded:
    """Facts in plain dictionaries."""

    versions: dict[str, Version] = field(default_factory=dict)
    verdicts: dict[tuple[str, str, str], Verdict] = field(default_factory=dict)
    pointers: dict[str, Pointer] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    listings: dict[str, dict[str, str]] = field(default_factory=dict)

    lineage = ("prod",)

    def difference(self, before, after):
        return None

    def waivers(self, product):
        return ()

    def pointer(self, product):
        return self.pointers.get(product)

    def version(self, id):
        return self.versions[id]

    def _keyed(self, product, key):
        return [
            v
            for v in reversed(self.versions.values())
            if v.product == product and v.key.digest == key
        ]

    def find(self, product, key):
        return next((v for v in self._keyed(product, key) if v.id not in self.gone), None)

    def lost(self, product, key):
        return next((v for v in self._keyed(product, key) if v.id in self.gone), None)

    def latest(self, product):
        return next((v for v in reversed(self.versions.values()) if v.product == product), None)

    def parts(self, product, built_from):
        return {}

    def has_code(self, product, code):
        return any(
            v.product == product and v.key.code.digest == code for v in self.versions.values()
        )

    def passed(self, version, contract, against):
        found = self.verdict(version, contract, against)
        return bool(found and found.passed)

    def verdict(self, version, contract, against):
        return self.verdicts.get((version, contract, against))

    def files(self, source):
        return self.listings.get(source)

    def latest_event(self, inspected_as, digests, until):
        return None

    # ---- writing

    def built(
        self, id: str, product: str = "d.p", code=CODE, digest: str = "", **inputs: str
    ) -> "Recorded":
        key = key_of(code, {name.replace("_", ".", 1): d for name, d in inputs.items()})
        self.versions[id] = Version(
            id=id,
            product=product,
            key=key,
            digest=digest or f"content of {id}",
            columns=(Column(name="x", type="BIGINT"),),
            rows=1,
            bytes=1,
            built_at=NOW,
            seconds=0.1,
            run="r",
            parts=(),
        )
        return self

    def judged(
        self, id: str, status: Status = Status.PASSED, contract: str = "c1", against: str = ""
    ) -> "Recorded":
        self.verdicts[id, contract, against] = Verdict(
            version=id,
            contract=contract,
            against=against,
            status=status,
            results=(),
            judged_at=NOW,
            run="r",
        )
        return self

    def published(self, id: str, product: str = "d.p", **more) -> "Recorded":
        self.pointers[product] = Pointer(
            product=product, version=id, release=1, released_at=NOW, **more
        )
        return self


def observed(facts: Recorded, **sources: str) -> Observed:
    states = {f"d.{n}": SourceState(name=f"d.{n}", digest=d) for n, d in sources.items()}
    return Observed(now=NOW, environment="prod", sources=states, facts=facts)


S1, S2 = {"d.s": KnownInput(digest="s1")}, {"d.s": KnownInput(digest="s2")}
GOOD = Recorded().built("v1", d_s="s1").judged("v1").published("v1")

LADDER = {
    "an input is held": (product(), {"d.s": UnusableInput(why="late")}, Recorded(), Held),
    "held comes before everything else": (
        product(),
        {"d.s": UnusableInput(why="late")},
        GOOD,
        Held,
    ),
    "an input is not known, code was built before": (
        product(),
        {"d.s": UnknownInput()},
        GOOD,
        Maybe,
    ),
    "an input is not known, code never built": (
        product(),
        {"d.s": UnknownInput()},
        Recorded(),
        Build,
    ),
    "never built": (product(), S1, Recorded(), Build),
    "input changed": (product(), S2, GOOD, Build),
    "code changed": (product(code=code_of({"sql": "2"})), S1, GOOD, Build),
    "its bytes are gone": (product(), S1, replace(GOOD, gone={"v1"}), Build),
    "built, not judged": (product(), S1, Recorded().built("v1", d_s="s1"), Check),
    "judged under another contract": (product(contract="c2"), S1, GOOD, Check),
    "judged, failed": (
        product(),
        S1,
        Recorded().built("v1", d_s="s1").judged("v1", Status.FAILED),
        Blocked,
    ),
    "judged, could not be": (
        product(),
        S1,
        Recorded().built("v1", d_s="s1").judged("v1", Status.ERROR),
        Blocked,
    ),
    "failed after it was published": (
        product(contract="c2"),
        S1,
        Recorded()
        .built("v1", d_s="s1")
        .judged("v1")
        .judged("v1", Status.FAILED, "c2")
        .published("v1"),
        Blocked,
    ),
    "passed, not published": (
        product(),
        S1,
        Recorded().built("v1", d_s="s1").judged("v1"),
        Publish,
    ),
    "passed with a warning": (
        product(),
        S1,
        Recorded().built("v1", d_s="s1").judged("v1", Status.WARNING),
        Publish,
    ),
    "an older version is wanted again": (
        product(),
        S1,
        Recorded()
        .built("v1", d_s="s1")
        .judged("v1")
        .built("v2", d_s="s2")
        .judged("v2")
        .published("v2"),
        Publish,
    ),
    "published": (product(), S1, GOOD, Keep),
    "pinned, whatever the input": (
        product(),
        S2,
        Recorded().built("v1", d_s="s1").judged("v1").published("v1", pinned=True),
        Keep,
    ),
    "pinned, even when held": (
        product(),
        {"d.s": UnusableInput(why="late")},
        Recorded().built("v1", d_s="s1").judged("v1").published("v1", pinned=True),
        Keep,
    ),
}


@pytest.mark.parametrize("case", LADDER)
def test_ladder(case: str) -> None:
    wanted, states, facts, expected = LADDER[case]
    assert type(decide(wanted, states, observed(facts))) is expected


def reasons(wanted: Product, states, facts: Recorded, **sources: str):
    decision = decide(wanted, states, observed(facts, **sources))
    assert isinstance(decision, Build)
    return decision.reasons


def test_reasons_are_the_difference_of_keys() -> None:
    assert reasons(product(), S1, Recorded()) == (FirstBuild(),)
    assert reasons(product(), S2, GOOD) == (InputChanged(name="d.s"),)
    assert reasons(product(code=code_of({"sql": "2"})), S1, GOOD) == (
        CodeChanged(changed=("sql",)),
    )
    assert reasons(product(), S1, replace(GOOD, gone={"v1"})) == (BytesMissing(version="v1"),)
    more = {**S1, "d.t": KnownInput(digest="t1")}
    assert reasons(product("d.p", "d.s", "d.t"), more, GOOD) == (
        InputsDiffer(gained=("d.t",), lost=()),
    )
    both = reasons(product(code=code_of({"sql": "1", "helper": "9"})), S2, GOOD)
    assert both == (CodeChanged(changed=("helper",)), InputChanged(name="d.s"))


def test_a_changed_source_says_which_files() -> None:
    facts = Recorded().built("v1", d_s="s1").judged("v1").published("v1")
    facts.listings["s1"] = {"a": "1", "b": "2", "c": "3"}
    files = tuple(
        SourceFile(path=p, size=1, ctime_ns=1, digest=d)
        for p, d in (("a", "1"), ("b", "9"), ("e", "5"))
    )
    seen = Observed(
        now=NOW,
        environment="prod",
        facts=facts,
        sources={"d.s": SourceState(name="d.s", digest="s2", files=files)},
    )
    decision = decide(product(), S2, seen)
    assert isinstance(decision, Build)
    assert decision.reasons == (
        InputChanged(name="d.s", added=("e",), replaced=("b",), removed=("c",)),
    )
    assert (
        str(decision.reasons[0])
        == "input d.s changed (1 file added, 1 file replaced, 1 file removed)"
    )


def test_forced_builds_what_is_there() -> None:
    decision = decide(product(), S1, observed(GOOD), forced=True)
    assert isinstance(decision, Build)
    assert decision.reasons == (Forced(),)


def test_a_forced_pin_stays() -> None:
    facts = Recorded().built("v1", d_s="s1").judged("v1").published("v1", pinned=True)
    assert isinstance(decide(product(), S1, observed(facts), forced=True), Keep)


def rule(*names: str) -> Rule:
    return Rule(text="t", where=HERE, sql="q", inputs=tuple(Input(alias=n, name=n) for n in names))


def test_what_rules_read_is_part_of_the_verdict() -> None:
    wanted = product(rules=[rule("this", "d.other")])
    facts = (
        Recorded()
        .built("v1", d_s="s1")
        .judged("v1", against=against_of([("d.other", "o1")]))
        .published("v1")
    )
    assert isinstance(
        decide(wanted, {**S1, "d.other": KnownInput(digest="o1")}, observed(facts)), Keep
    )
    assert isinstance(
        decide(wanted, {**S1, "d.other": KnownInput(digest="o2")}, observed(facts)), Check
    )
    assert isinstance(
        decide(wanted, {**S1, "d.other": UnusableInput(why="held")}, observed(facts)), Held
    )
    assert isinstance(decide(wanted, {**S1, "d.other": UnknownInput()}, observed(facts)), Maybe)


def test_previous_is_what_the_version_replaces_or_replaced() -> None:
    wanted = product(rules=[rule("this", "previous")])
    facts = Recorded().built("v1", d_s="s1").built("v2", d_s="s2")
    nothing, after_v1 = against_of([("previous", "")]), against_of([("previous", "content of v1")])
    assert isinstance(decide(wanted, S1, observed(facts.judged("v1", against=nothing))), Publish)
    facts.published("v1")
    assert isinstance(decide(wanted, S1, observed(facts)), Keep), (
        "judged against nothing, and still is"
    )
    assert isinstance(decide(wanted, S2, observed(facts)), Check)
    facts.judged("v2", against=after_v1)
    assert isinstance(decide(wanted, S2, observed(facts)), Publish)
    facts.published("v2", previous="v1")
    assert isinstance(decide(wanted, S2, observed(facts)), Keep), (
        "judged against v1, which it replaced"
    )


def graph(*products: Product) -> Graph:
    return Graph(products={p.name: p for p in products}, sources={"d.s": None})  # type: ignore[dict-item]


def everything(g: Graph) -> Request:
    return Request(products=frozenset(g.products))


def test_plan_carries_what_is_known_down_the_graph() -> None:
    g = graph(product("d.p"), product("d.q", "d.p"), product("d.r", "d.q"))
    facts = GOOD
    facts = Recorded(dict(GOOD.versions), dict(GOOD.verdicts), dict(GOOD.pointers))
    facts.built("q1", "d.q", d_p="content of v1").judged("q1").published("q1", "d.q")
    steps = plan(g, observed(facts, s="s1"), everything(g)).steps
    assert [type(d) for d in steps.values()] == [Keep, Keep, Build]
    steps = plan(g, observed(facts, s="s2"), everything(g)).steps
    assert [type(d) for d in steps.values()] == [Build, Maybe, Build]
    assert isinstance(steps["d.q"], Maybe)
    assert steps["d.q"].inputs == ("d.p",)


def test_planning_twice_says_the_same() -> None:
    g = graph(product("d.p"), product("d.q", "d.p"))
    seen = observed(GOOD, s="s2")
    assert plan(g, seen, everything(g)) == plan(g, seen, everything(g))


def test_what_was_not_asked_for_counts_as_readers_see_it() -> None:
    g = graph(product("d.p"), product("d.q", "d.p"))
    only = Request(products=frozenset({"d.q"}))
    steps = plan(g, observed(GOOD, s="s2"), only).steps
    assert [type(d) for d in steps.values()] == [Build], (
        "made of what is published of d.p, however stale"
    )
    steps = plan(g, observed(Recorded(), s="s1"), only).steps
    assert isinstance(steps["d.q"], Held)
    assert "never published" in steps["d.q"].by["d.p"]


def test_a_release_group_goes_out_whole_or_not_at_all() -> None:
    g = graph(
        product("d.p", group="g"),
        product("d.q", group="g"),
        product("d.r", "d.p"),
        product("d.t"),
        product("d.u", "d.r"),
    )
    facts = Recorded()
    for id, name, reads in (
        ("p1", "d.p", {"d_s": "s1"}),
        ("q1", "d.q", {"d_s": "s1"}),
        ("t1", "d.t", {"d_s": "s1"}),
        ("r1", "d.r", {"d_p": "content of p1"}),
        ("u1", "d.u", {"d_r": "content of r1"}),
    ):
        facts.built(id, name, **reads).judged(id)
    facts.judged("q1", Status.FAILED)
    steps = plan(g, observed(facts, s="s1"), everything(g)).steps
    assert {n: type(d) for n, d in steps.items()} == {
        "d.p": Held,
        "d.q": Blocked,
        "d.r": Held,
        "d.t": Publish,
        "d.u": Held,
    }
    facts.judged("q1")
    steps = plan(g, observed(facts, s="s1"), everything(g)).steps
    assert {type(d) for d in steps.values()} == {Publish}


def test_a_verdict_is_the_worst_of_its_rules() -> None:
    def results(*statuses: Status):
        return [RuleResult(text="t", status=s) for s in statuses]

    assert worst_status([]) is Status.PASSED
    assert worst_status(results(Status.PASSED, Status.SKIPPED)) is Status.PASSED
    assert worst_status(results(Status.PASSED, Status.WARNING)) is Status.WARNING
    assert worst_status(results(Status.FAILED, Status.WARNING)) is Status.FAILED
    assert worst_status(results(Status.FAILED, Status.ERROR)) is Status.ERROR
