"""One incident for each cause, opened, told and closed once, whatever happens in between."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from assay.decisions import Blocked, Build, Held, Keep
from assay.events import Failed, Result
from assay.facts import Key, RuleResult, Status, Verdict, Version
from assay.model import Contract, Input, Product, Source, Where
from assay.model import Kind as ProductKind
from assay.plan.causes import Cause, Kind, Present, causes
from assay.plan.digests import code_of
from assay.plan.graph import Graph
from assay.plan.incidents import Change, Ending, Incident, readers_of, steps
from assay.plan.overload import together
from tests.conftest import effort

NOW = datetime(2011, 12, 9, 8, tzinfo=UTC)
DUE = datetime(2011, 12, 9, 7, tzinfo=UTC)
CODE = code_of({"sql": "1"})


def product(name: str, *reads: str) -> Product:
    return Product(
        name=name,
        where=Where("sales.py", 1),
        kind=ProductKind.SQL,
        code=CODE,
        contract=Contract(digest="c"),
        owner="o",
        inputs=tuple(Input(alias=r.partition(".")[2], name=r) for r in reads),
    )


def graph_of(**reads: Iterable[str]) -> Graph:
    """Products of domain d, with what each reads; what is no product is a source."""
    products = {f"d.{n}": product(f"d.{n}", *(f"d.{r}" for r in rs)) for n, rs in reads.items()}
    names = {f"d.{r}" for rs in reads.values() for r in rs} - products.keys()
    sources = {
        n: Source(name=n, where=Where("s.py"), pattern="*", format="csv", columns=()) for n in names
    }
    return Graph(products=products, sources=sources)


CHAIN = graph_of(lines=["drops"], revenue=["lines"], close=["revenue"], rates=["feed"])


def version(name: str) -> Version:
    return Version(
        id=f"v-{name}",
        product=name,
        key=Key(digest="k", code=CODE, inputs={}),
        digest="x",
        columns=(),
        rows=1,
        bytes=1,
        built_at=NOW,
        seconds=0.1,
        run="r",
        parts=(),
    )


def blocked(name: str, *rules: str) -> Result:
    results = tuple(RuleResult(text=rule, status=Status.FAILED) for rule in rules)
    verdict = Verdict(
        version=f"v-{name}",
        contract="c",
        against="",
        status=Status.FAILED,
        results=(*results, RuleResult(text="is fine", status=Status.PASSED)),
        judged_at=NOW,
        run="r",
    )
    return Result(product=name, end=Blocked(version=version(name), verdict=verdict))


def failed(name: str, error: str = "KeyError: 'x'") -> Result:
    return Result(product=name, end=Failed(error=error))


def kept(name: str) -> Result:
    return Result(product=name, end=Keep(version=version(name)))


def held(name: str, *by: str) -> Result:
    return Result(product=name, end=Held(by=dict.fromkeys(by, "is held")))


class Because(Struct, frozen=True):
    name: str
    text: str = "waits"
    is_work: bool = False


class Due(Struct, frozen=True):
    due: datetime = DUE


class Window(Struct, frozen=True):
    """A window whose promises are all reached, or none."""

    all_reached: bool = False

    def reached(self, promise: object, as_of: datetime | None) -> bool:
        return self.all_reached


class Stands(Struct, frozen=True, kw_only=True):
    state: str
    window: Window = Window()
    as_of: datetime | None = None
    promise: Due | None = Due()
    causes: tuple[Because, ...] = ()
    inherited_from: str = ""


class Story:
    """What people are told while one state follows another."""

    def __init__(self, graph: Graph = CHAIN) -> None:
        self.graph, self.now = graph, NOW
        self.open: dict[int, Incident] = {}
        self.all: list[Incident] = []
        self.told: list[str] = []

    def turn(
        self,
        *results: Result,
        missing: Mapping[str, str] | None = None,
        under: Mapping[str, str] | None = None,
        **standings: Stands,
    ) -> list[str]:
        """Return what is told of this state, as 'opened held back d.lines'."""
        self.now += timedelta(minutes=5)
        present = Present(
            graph=self.graph,
            now=self.now,
            results={result.product: result for result in results},
            missing=missing or {},
            under=under or {},
            standings={f"d.{name}": standing for name, standing in standings.items()},
        )
        return self.see(present)

    def see(self, present: Present) -> list[str]:
        told = []
        noted = [incident.cause for incident in self.open.values()]
        self.causes = together(causes(present, noted), noted)
        for step in steps(self.open.values(), self.causes, self.graph, self.now):
            incident = step.incident
            if step.change is Change.OPENED:
                self.all.append(incident)
                incident = Incident(
                    id=len(self.all), cause=incident.cause, opened=self.now, told=incident.told
                )
            assert incident.id in self.open or step.change is Change.OPENED
            self.open[incident.id] = incident
            if step.change is Change.CLOSED:
                del self.open[incident.id]
                told.append(f"{incident.ending} {incident.cause.about}")
            elif step.change is not Change.NOTED:
                told.append(f"{step.change} {incident.cause.kind} {incident.cause.about}")
        self.told += told
        return told


ALL = [kept("d.lines"), kept("d.revenue"), kept("d.close"), kept("d.rates")]


def test_held_back_and_restored_over_five_runs_is_told_twice() -> None:
    story = Story()
    night = [
        kept("d.lines"),
        blocked("d.revenue", "adds up"),
        held("d.close", "d.revenue"),
        kept("d.rates"),
    ]
    assert story.turn(*ALL) == []
    assert story.turn(*night) == ["opened held back d.revenue"]
    [incident] = story.open.values()
    assert incident.cause.rules == ("adds up",)
    assert incident.cause.waiting == ("d.close",)
    assert incident.cause.since == NOW
    assert readers_of(incident, CHAIN) == ["d.revenue", "d.close"]
    assert story.turn(*night) == []
    assert story.turn(*night) == []
    assert story.turn(*ALL) == ["restored d.revenue"]
    assert story.turn(*ALL) == []


def test_at_risk_then_late_then_missed_then_restored_is_one_incident() -> None:
    story = Story()
    later = Due(NOW + timedelta(hours=1))
    assert story.turn(revenue=Stands(state="at risk", promise=later)) == [
        "opened at risk d.revenue"
    ]
    assert story.turn(revenue=Stands(state="due", promise=later)) == [], "the forecast wavers"
    assert story.turn(revenue=Stands(state="at risk", promise=later)) == []
    assert story.turn(revenue=Stands(state="late")) == ["changed late d.revenue"]
    assert story.turn(revenue=Stands(state="late")) == []
    assert story.turn(revenue=Stands(state="missed")) == ["changed missed d.revenue"]
    assert story.turn(revenue=Stands(state="late", promise=Due(NOW))) == [], "the next is late too"
    assert story.turn(revenue=Stands(state="kept")) == ["restored d.revenue"]
    assert len(story.all) == 1


def test_a_promise_at_risk_that_is_kept_in_time_is_restored() -> None:
    story = Story()
    later = Due(NOW + timedelta(hours=1))
    story.turn(revenue=Stands(state="at risk", promise=later))
    told = story.turn(revenue=Stands(state="kept", promise=later, window=Window(True)))
    assert told == ["restored d.revenue"]


def test_a_late_source_explains_its_late_products() -> None:
    story = Story()
    drops = (Because("d.drops", "the drop of 2011-12-09 was due 21:30"),)
    assert story.turn(drops=Stands(state="late")) == ["opened late d.drops"]
    late = {
        "drops": Stands(state="late", causes=(Because("d.drops"),)),
        "revenue": Stands(state="late", causes=drops),
        "close": Stands(state="at risk"),  # it names no cause: what is late upstream is it
    }
    assert story.turn(**late) == ["changed late d.drops"]
    [incident] = story.open.values()
    assert incident.cause.waiting == ("d.close", "d.revenue")
    assert incident.cause.reason == "waits"
    assert readers_of(incident, CHAIN) == ["d.revenue", "d.close"]
    assert story.turn(**late) == []
    assert story.turn(drops=Stands(state="kept")) == ["restored d.drops"]


def test_a_source_without_a_window_is_the_cause_as_well() -> None:
    story = Story()
    causes_of_both = (Because("d.drops", "no drop since 2011-12-07"),)
    late = Stands(state="late", causes=causes_of_both)
    assert story.turn(revenue=late, close=late) == ["opened late d.drops"]
    [incident] = story.open.values()
    assert incident.cause.reason == "no drop since 2011-12-07"
    assert incident.cause.since == DUE


def test_what_is_held_back_and_late_is_told_once() -> None:
    story = Story()
    night = [blocked("d.revenue", "adds up"), held("d.close", "d.revenue")]
    story.turn(*night)
    late = Stands(state="late", causes=(Because("d.revenue", "is held back"),))
    assert story.turn(*night, revenue=late, close=late) == []
    assert story.turn(*night, revenue=Stands(state="late"), close=Stands(state="missed")) == []
    [incident] = story.open.values()
    assert incident.cause.kind is Kind.HELD_BACK
    assert incident.cause.due == {"d.revenue": DUE, "d.close": DUE}
    assert incident.cause.since == NOW, "it was not held back before it was late"


def test_late_and_then_held_back_goes_on_as_one_incident() -> None:
    story = Story()
    assert story.turn(revenue=Stands(state="late")) == ["opened late d.revenue"]
    told = story.turn(blocked("d.revenue", "adds up"), revenue=Stands(state="late"))
    assert told == ["changed held back d.revenue"]
    assert story.turn(*ALL, revenue=Stands(state="kept")) == ["restored d.revenue"]


def test_another_rule_is_told_and_one_less_is_not() -> None:
    story = Story()
    story.turn(blocked("d.revenue", "adds up"))
    assert story.turn(blocked("d.revenue", "adds up", "none is null")) == [
        "changed held back d.revenue"
    ]
    assert story.turn(blocked("d.revenue", "none is null")) == []
    assert story.turn(blocked("d.revenue", "adds up")) == [], "it was told already"


def test_an_error_that_names_another_moment_each_time_is_told_once() -> None:
    story = Story()
    story.turn(failed("d.revenue", "OSError: no answer at 07:00"))
    assert story.turn(failed("d.revenue", "OSError: no answer at 07:05")) == []
    assert story.turn(failed("d.revenue", "KeyError: 'net'")) == ["changed failed d.revenue"]


def test_what_a_run_did_not_look_at_goes_on() -> None:
    story = Story()
    story.turn(blocked("d.revenue", "adds up"), held("d.close", "d.revenue"))
    assert story.turn(kept("d.rates")) == []
    waiting = Result(product="d.revenue", end=Build(reasons=()))
    assert story.turn(waiting) == [], "new data is there and not looked at yet"
    [incident] = story.open.values()
    assert incident.cause.waiting == ("d.close",)


def test_a_source_that_cannot_be_read_is_the_cause() -> None:
    story = Story()
    night = [held("d.lines", "d.drops"), held("d.revenue", "d.lines"), held("d.close", "d.revenue")]
    missing = {"d.drops": "no file matches drops/*.csv", "d.unused": "nobody reads it"}
    assert story.turn(*night, missing=missing) == ["opened failed d.drops"]
    assert story.causes["d.drops"].waiting == ("d.close", "d.lines", "d.revenue")
    assert story.turn(*ALL) == ["restored d.drops"]


def test_what_now_waits_for_another_is_merged_into_that() -> None:
    story = Story()
    story.turn(revenue=Stands(state="late"))
    told = story.turn(failed("d.lines"), held("d.revenue", "d.lines"), revenue=Stands(state="late"))
    assert told == ["merged d.revenue", "opened failed d.lines"]


def test_a_product_that_is_no_longer_declared() -> None:
    story = Story()
    story.turn(failed("d.rates"))
    story.graph = graph_of(lines=["drops"])
    assert story.turn(kept("d.lines")) == ["undeclared d.rates"]


def test_an_inherited_window_is_nobodys_promise() -> None:
    story = Story()
    late = Stands(state="late", inherited_from="d.close")
    assert story.turn(lines=late) == []
    told = story.turn(lines=late, close=Stands(state="late", causes=(Because("d.lines"),)))
    assert told == ["opened late d.lines"]


TWENTY = graph_of(**{f"p{index}": ["drops"] for index in range(20)})


def crowd(state: str, numbers: Iterable[int], due: Due | None = None) -> dict[str, Stands]:
    """Products that could be built, and are not."""
    return {
        f"p{n}": Stands(
            state=state, promise=due or Due(), causes=(Because(f"d.p{n}", is_work=True),)
        )
        for n in numbers
    }


def test_too_much_work_is_one_incident() -> None:
    story, later = Story(TWENTY), Due(NOW + timedelta(hours=1))
    assert story.turn(**crowd("at risk", range(20), later)) == ["opened at risk too much work"]
    [incident] = story.open.values()
    assert incident.cause.waiting == tuple(sorted(TWENTY.products))
    assert len(incident.cause.due) == 20
    assert readers_of(incident, TWENTY) == list(TWENTY.order)
    wavering = {n: Stands(state="kept", promise=later) for n in crowd("", range(20))}
    assert story.turn(**wavering) == [], "at risk is told once"
    assert story.turn(**crowd("late", range(20))) == ["changed late too much work"]
    assert story.turn(**crowd("late", range(7))) == [], "less of it is no news"
    assert story.turn(**crowd("late", [3])) == [], "the last of them belongs to it as well"
    assert story.turn() == ["restored too much work"]
    assert len(story.all) == 1


def test_one_product_that_is_not_built_is_about_that_product() -> None:
    story = Story(TWENTY)
    assert story.turn(**crowd("late", [3])) == ["opened late d.p3"]
    told = story.turn(**crowd("late", [3, 4]))
    assert sorted(told) == ["merged d.p3", "opened late too much work"]


def test_too_much_work_is_apart_from_other_causes() -> None:
    story = Story(graph_of(a=["s"], b=["s"], c=["s"], e=["t"], f=["e"]))
    late = {n: Stands(state="late", causes=(Because(f"d.{n}", is_work=True),)) for n in "abc"}
    drop = Stands(state="late", causes=(Because("d.t", "the drop was due"),))
    told = story.turn(**late, f=drop)
    assert sorted(told) == ["opened late d.t", "opened late too much work"]
    told = story.turn(failed("d.c"), **late, f=drop)
    assert told == ["opened failed d.c"], "what failed is another cause"
    assert story.causes["too much work"].due.keys() == {"d.a", "d.b"}
    told = story.turn(failed("d.a"), failed("d.b"), failed("d.c"), **late, f=drop)
    assert sorted(told) == ["merged too much work", "opened failed d.a", "opened failed d.b"]


def test_late_too_often_is_apart_from_being_late() -> None:
    story = Story()
    late = Stands(state="late")
    assert story.turn(revenue=late, under={"d.revenue": "1 of 9"}) == [
        "opened late d.revenue",
        "opened too often late d.revenue",
    ]
    assert story.turn(under={"d.revenue": "1 of 9"}) == ["restored d.revenue"]
    assert story.turn(under={"d.revenue": "2 of 10"}) == [], "it is told once"
    assert story.turn(revenue=late, under={"d.revenue": "2 of 11"}) == ["opened late d.revenue"]
    assert story.turn(revenue=late) == ["restored d.revenue"], "another quarter has begun"
    assert story.turn() == ["restored d.revenue"]


def test_a_long_chain_is_quick() -> None:
    names = [f"d.p{index}" for index in range(5_000)]
    reads = {f"p{i}": [f"p{i - 1}"] if i else ["s"] for i in range(5_000)}
    story = Story(graph_of(**reads))
    waiting = [held(name, names[index]) for index, name in enumerate(names[1:])]
    assert story.turn(failed(names[0]), *waiting) == ["opened failed d.p0"]
    assert len(story.causes["d.p0"].waiting) == 4_999


# ------------------------------------------------------------------------- any sequence of states

NAMES = ("a", "b", "c", "e")
DIAMOND = graph_of(a=["s"], b=["a", "t"], c=["a"], e=["b", "c"])
OWN = st.sampled_from(["kept", "kept", "held back", "failed", "unknown"])
TIME = st.sampled_from(["kept", "due", "at risk", "late", "missed", "unknown", ""])


@st.composite
def states(draw: st.DrawFn) -> Present:
    """A state as the ladder and the windows could find it."""
    results: dict[str, Result] = {}
    for name in NAMES:
        full, own = f"d.{name}", draw(OWN)
        above = [r for r in DIAMOND.products[full].reads if r in results]
        stuck = [r for r in above if isinstance(results[r].end, Blocked | Failed | Held)]
        if own == "unknown":
            continue
        if stuck:
            results[full] = held(full, *stuck)
        elif own == "kept":
            results[full] = kept(full)
        else:
            results[full] = failed(full) if own == "failed" else blocked(full, draw(RULES))
    standings = {}
    for name in (*NAMES, "s", "t"):
        if state := draw(TIME):
            named = draw(st.lists(st.sampled_from(_above(f"d.{name}")), max_size=2))
            standings[f"d.{name}"] = Stands(
                state=state,
                promise=Due(draw(st.sampled_from([DUE, NOW + timedelta(days=1)]))),
                window=Window(draw(st.booleans())),
                causes=tuple(Because(n, is_work=draw(st.booleans())) for n in named),
                inherited_from=draw(st.sampled_from(["", "", "d.e"])),
            )
    missing = {"d.t": "gone"} if draw(st.booleans()) else {}
    under = {"d.c": "1 of 9"} if draw(st.booleans()) else {}
    return Present(
        graph=DIAMOND,
        now=NOW,
        results=results,
        missing=missing,
        standings=standings,
        under=under,
    )


RULES = st.sampled_from(["adds up", "none is null"])


def _above(name: str) -> list[str]:
    return sorted({name, *DIAMOND.upstream(name)})


@settings(max_examples=effort(30, 200, 200), deadline=None)
@given(st.lists(states(), min_size=1, max_size=8))
def test_whatever_follows_whatever(sequence: list[Present]) -> None:
    story = Story(DIAMOND)
    for present in sequence:
        before = list(story.open.values())
        story.see(present)
        abouts = [incident.cause.key for incident in story.open.values()]
        assert len(set(abouts)) == len(abouts), "at most one open incident for each cause"
        assert set(abouts) == story.causes.keys()
        assert_explained(present, story.causes, [incident.cause for incident in before])
        assert story.see(present) == [], "the same state again tells nothing"
        for incident in story.open.values():
            assert len(set(incident.told)) == len(incident.told)
    fine = {f"d.{name}": kept(f"d.{name}") for name in NAMES}
    told = story.see(Present(graph=DIAMOND, now=NOW, results=fine))
    assert not story.open
    assert all(text.startswith(Ending.RESTORED) for text in told)
    opened = sum(text.startswith("opened") for text in story.told)
    ends = sum(text.startswith(tuple(Ending)) for text in story.told)
    assert opened == len(story.all) == ends, "each is opened once, and closed once"


def assert_explained(present: Present, now: Mapping[str, Cause], before: Iterable[Cause]) -> None:
    """What is wrong is in a cause; what waits for another cause is none itself."""
    for name, result in present.results.items():
        if isinstance(result.end, Blocked | Failed):
            assert now[name].kind.is_hard
        if isinstance(result.end, Held):
            assert name not in now
            assert any(name in cause.waiting for cause in now.values())
    for name, standing in present.standings.items():
        if standing.state in {"late", "missed"} and not standing.inherited_from:
            assert name in now or any(name in cause.waiting for cause in now.values())
    for cause in now.values():
        assert cause.about not in cause.waiting
