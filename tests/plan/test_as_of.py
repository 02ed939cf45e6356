"""As of when readers see products, and how far sources reach: tables of cases, on plain values."""

from collections import Counter
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from assay.facts import Pointer, SourceFile, SourceState, Version
from assay.model import Column, Freshness, Input, Partition, Product, Source
from assay.plan.as_of import as_of
from assay.plan.digests import key_of
from assay.plan.graph import Graph
from assay.plan.observed import Observed
from assay.plan.reach import reach_of
from tests.plan.test_ladder import CODE, HERE, Recorded, product

NOW = datetime(2011, 12, 9, 7, tzinfo=UTC)  # a Friday
FRIDAY, SATURDAY, SUNDAY = (datetime(2011, 12, day) for day in (2, 3, 4))


def ns(moment: datetime) -> int:
    return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()) * 10**9


def file(part: str, written: datetime = NOW, digest: str = "") -> SourceFile:
    path = f"in/{part}.csv"
    return SourceFile(
        path=path,
        size=1,
        ctime_ns=1,
        digest=digest or path,
        part=part,
        modified_ns=ns(written),
    )


def source(
    name: str = "d.s", grain: str = "", names: tuple[str, ...] = (), **more: object
) -> Source:
    """A source with a placeholder for a period, for `names`, or with none."""
    split = names or ((grain,) if grain else ())
    return Source(
        name=name,
        where=HERE,
        pattern="in/*.csv",
        format="csv",
        columns=(),
        reading="r",
        partition=Partition(names=split, grain=grain) if split else None,
        path_regex="in/(.*)" if split else "",
        **more,
    )


def never(*_: object) -> None:
    raise AssertionError("only a source with event times has events")


def test_a_day_reaches_that_day() -> None:
    days = source(grain="day")
    files = [file("2011-12-07", written=NOW), file("2011-12-08", written=NOW - timedelta(days=9))]
    assert reach_of(days, files, NOW, never) == datetime(2011, 12, 8)
    assert reach_of(days, [], NOW, never) is None
    early = [*files, file("2011-12-10"), file("2011-12-11"), file("2099-01-01")]
    assert reach_of(days, early, NOW, never) == datetime(2011, 12, 10), "a day ahead, and no more"
    assert reach_of(days, [file("2099-01-01")], NOW, never) is None


@pytest.mark.parametrize(
    ("grain", "part", "written", "reached"),
    [
        ("month", "2011-11", datetime(2011, 12, 1, 0, 1), datetime(2011, 11, 30)),
        ("month", "2011-11", datetime(2011, 11, 30, 23, 59), datetime(2011, 11, 1)),
        ("month", "2011-12", datetime(2011, 12, 8), datetime(2011, 12, 1)),
        ("month", "2008-02", datetime(2008, 3, 1), datetime(2008, 2, 29)),
        ("year", "2010", datetime(2011, 1, 1), datetime(2010, 12, 31)),
        ("year", "2011", datetime(2011, 12, 8), datetime(2011, 1, 1)),
        ("month", "2011-11", datetime(1970, 1, 1), datetime(2011, 11, 1)),
    ],
)
def test_a_longer_period_reaches_its_end_only_if_written_after_it(
    grain: str, part: str, written: datetime, reached: datetime
) -> None:
    files = [file(part, written), file("2007-01" if grain == "month" else "2007", NOW)]
    assert reach_of(source(grain=grain), files, NOW, never) == reached


def test_a_day_among_several_placeholders_counts() -> None:
    shops = source(names=("shop", "day"), path_columns=(Column(name="day", type="DATE"),))
    files = [file("london/2011-12-07"), file("leeds/2011-12-05"), file("leeds/2099-01-01")]
    assert reach_of(shops, files, NOW, never) == datetime(2011, 12, 7)
    two = (Column(name="day", type="DATE"), Column(name="shop", type="DATE"))
    either = source(names=("shop", "day"), path_columns=two)
    written = [file("2011-12-07/2011-12-05", SUNDAY)]
    assert reach_of(either, written, NOW, never) == SUNDAY.replace(tzinfo=UTC), "which is not clear"


def test_without_a_period_the_newest_file_counts() -> None:
    plain = source()
    assert reach_of(plain, [file("a", FRIDAY), file("b", SUNDAY)], NOW, never) == SUNDAY.replace(
        tzinfo=UTC
    )
    assert reach_of(plain, [file("a", NOW + timedelta(hours=2))], NOW, never) == NOW, "never later"
    wrong = [file("a", FRIDAY), file("b", datetime(2099, 1, 1))]
    assert reach_of(plain, wrong, NOW, never) == FRIDAY.replace(tzinfo=UTC)
    unknown = SourceFile(path="a", size=1, ctime_ns=1, digest="d")
    assert reach_of(plain, [unknown], NOW, never) is None, "of a listing by an older Assay"


def test_event_times_go_before_placeholders() -> None:
    asked: list[object] = []

    def latest(inspected_as, digests, until):
        asked.append((inspected_as, digests, until))
        return FRIDAY

    dated = source(grain="day", event_time="at")
    assert reach_of(dated, [file("2011-12-08", digest="x")], NOW, latest) == FRIDAY
    assert asked == [("r at", {"x"}, NOW + timedelta(days=1))]
    in_path = source(grain="day", event_time="day", path_columns=(Column(name="day", type="DATE"),))
    assert reach_of(in_path, [file("2011-12-08")], NOW, never) == datetime(2011, 12, 8)


# ----------------------------------------------------------------------------------- products


class World:
    """Sources by content and time, and products that are published; inputs by name."""

    def __init__(self) -> None:
        self.facts, self.products = Recorded(), dict[str, Product]()
        self.sources: dict[str, tuple[Source, SourceState]] = {}

    def feed(self, name: str, digest: str, written: datetime | None) -> "World":
        files = (file(name, written, digest),) if written else ()
        missing = "" if written else f"{name}: no file"
        state = SourceState(name=name, digest=digest, files=files, missing=missing)
        self.sources[name] = source(name), state
        return self

    def promise(self, name: str) -> None:
        """Promise something of a source."""
        declared, state = self.sources[name]
        self.sources[name] = replace(declared, freshness=Freshness(within="1 day")), state

    def publish(
        self,
        name: str,
        reads: dict[str, str],
        digest: str,
        recorded: datetime | None = None,
        *,
        event_time: str = "",
        held: bool = False,
    ) -> "World":
        self.declare(name, *reads, event_time=event_time)
        key = key_of(CODE, reads, {"p": ""} if held else None)
        self.facts.versions[digest] = Version(
            id=digest,
            product=name,
            key=key,
            digest=digest,
            columns=(),
            rows=0,
            bytes=0,
            built_at=NOW,
            seconds=0.0,
            run="r",
            parts=(),
            data_as_of=recorded,
        )
        self.facts.pointers[name] = Pointer(
            product=name, version=digest, release=1, released_at=NOW
        )
        return self

    def declare(self, name: str, *reads: str, event_time: str = "") -> "World":
        made = product(name, "d.s")
        inputs = tuple(Input(alias=f"i{n}", name=read) for n, read in enumerate(reads))
        self.products[name] = Product(
            name=name,
            where=HERE,
            kind=made.kind,
            code=CODE,
            contract=made.contract,
            owner="o",
            inputs=inputs,
            event_time=event_time,
        )
        return self

    @property
    def as_of(self):
        graph = Graph(self.products, {name: source for name, (source, _) in self.sources.items()})
        states = {name: state for name, (_, state) in self.sources.items()}
        return as_of(graph, Observed(now=NOW, environment="prod", sources=states, facts=self.facts))


def utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC)


def test_what_has_event_times_reaches_the_newest_that_readers_see() -> None:
    world = World().feed("d.s", "s2", SUNDAY)
    world.publish("d.p", {"d.s": "s2"}, "p1", FRIDAY, event_time="at")
    assert world.as_of["d.p"] == FRIDAY
    assert world.as_of.slowest_input("d.p") == "d.s"
    world.publish("d.p", {"d.s": "s2"}, "p2", datetime(2099, 1, 1), event_time="at")
    assert world.as_of["d.p"] is None, "a far future is no time that data reaches"
    world.publish("d.p", {"d.s": "s2"}, "p3", None, event_time="at")
    assert world.as_of["d.p"] is None


def test_the_oldest_input_counts_and_is_named() -> None:
    """Rebuilt at 07:00 from the feed of Friday, it is as of Friday."""
    world = World().feed("d.fast", "f", SUNDAY).feed("d.slow", "s", FRIDAY)
    world.publish("d.a", {"d.fast": "f"}, "a1", utc(SUNDAY))
    world.publish("d.b", {"d.slow": "s"}, "b1", utc(FRIDAY))
    world.publish("d.p", {"d.a": "a1", "d.b": "b1"}, "p1", utc(FRIDAY))
    times = world.as_of
    assert (times["d.p"], times["d.a"]) == (utc(FRIDAY), utc(SUNDAY))
    assert times.slowest_input("d.p") == "d.b"
    assert times.slowest_path("d.p") == ("d.b", "d.slow")
    assert times.slowest_input("d.slow") is None
    assert times.slowest_path("d.slow") == ()


def test_what_is_delivered_again_moves_everything_on() -> None:
    world = World().feed("d.s", "s", SUNDAY)
    world.publish("d.a", {"d.s": "s"}, "a1", utc(FRIDAY))
    world.publish("d.p", {"d.a": "a1"}, "p1", utc(FRIDAY))
    assert world.as_of["d.p"] == utc(SUNDAY), "nothing was built again"


@pytest.mark.parametrize(
    ("change", "reached"),
    [
        (lambda w: w.feed("d.s", "other", SUNDAY), FRIDAY),  # the drop of Sunday is not in it yet
        (lambda w: w.feed("d.s", "s", None), FRIDAY),  # its files are gone
        (lambda w: w.declare("d.p", "d.s", "d.t"), FRIDAY),  # it was not built from d.t
        (lambda w: w.declare("d.p"), FRIDAY),
        (lambda w: w.publish("d.p", {"d.s": "s"}, "p2", utc(FRIDAY), held=True), FRIDAY),
        (lambda w: w, SUNDAY),
    ],
)
def test_what_was_recorded_counts_if_inputs_have_other_content(change, reached) -> None:
    world = World().feed("d.s", "s", SUNDAY).feed("d.t", "t", SUNDAY)
    world.publish("d.p", {"d.s": "s"}, "p1", utc(FRIDAY))
    assert change(world).as_of["d.p"] == utc(reached)


def test_a_fetcher_is_unknown_and_hides_nothing() -> None:
    world = World().feed("d.s", "s", FRIDAY).publish("d.rates", {}, "r1")
    world.publish("d.p", {"d.s": "s", "d.rates": "r1"}, "p1")
    world.publish("d.q", {"d.rates": "r1"}, "q1")
    assert world.as_of["d.rates"] is None, "never the moment of its build"
    assert world.as_of["d.p"] == utc(FRIDAY)
    assert world.as_of.slowest_input("d.p") == "d.s"
    assert (world.as_of["d.q"], world.as_of.slowest_input("d.q")) == (None, None)


def test_what_is_not_published_reaches_nothing() -> None:
    world = World().feed("d.s", "s", FRIDAY).feed("d.gone", "", None).declare("d.p", "d.s")
    assert dict(world.as_of) == {"d.s": utc(FRIDAY), "d.gone": None, "d.p": None}
    assert world.as_of.slowest_input("d.p") == "d.s"
    with pytest.raises(KeyError):
        world.as_of["d.none"]
    assert world.as_of.get("d.none") is None
    assert len(world.as_of) == 3


def test_times_with_and_without_a_zone_are_compared_in_utc() -> None:
    tokyo = timezone(timedelta(hours=9))
    world = World().publish("d.a", {}, "a1", FRIDAY, event_time="at")
    world.publish("d.b", {}, "b1", datetime(2011, 12, 2, 8, tzinfo=tokyo), event_time="at")
    world.publish("d.p", {"d.a": "a1", "d.b": "b1"}, "p1")
    assert world.as_of["d.p"] == datetime(2011, 12, 1, 23, tzinfo=UTC)
    assert world.as_of.slowest_input("d.p") == "d.b"


def test_each_of_very_many_products_in_a_row_is_looked_at_once() -> None:
    world = World().feed("d.s", "s", FRIDAY)
    before = {"d.s": "s"}
    for n in range(10_000):
        world.publish(f"d.p{n:05}", before, f"v{n}")
        before = {f"d.p{n:05}": f"v{n}"}
    looked, pointer = Counter[str](), world.facts.pointer
    world.facts.pointer = lambda name: looked.update([name]) or pointer(name)
    times = world.as_of
    assert times["d.p09999"] == utc(FRIDAY)
    assert {*dict(times).values()} == {utc(FRIDAY)}
    assert max(looked.values()) <= 3, "as the product itself, again, and as the input of another"


def test_a_list_that_changes_rarely_does_not_make_old_what_else_is_built_from_it() -> None:
    """Only the time of its file dates it, and nothing is promised of it; so for what is built of it alone."""
    world = World().feed("d.list", "l", FRIDAY)
    world.publish("d.names", {"d.list": "l"}, "n1")
    world.publish("d.lines", {}, "a1", SUNDAY, event_time="at")
    world.publish("d.p", {"d.lines": "a1", "d.names": "n1", "d.list": "l"}, "p1")
    assert world.as_of["d.names"] == utc(FRIDAY)
    assert world.as_of["d.p"] == SUNDAY
    assert world.as_of.slowest_input("d.p") == "d.lines"
    world.promise("d.list")
    assert world.as_of["d.p"] == utc(FRIDAY)


_times = st.one_of(
    st.none(),
    st.datetimes(datetime(2011, 11, 1), datetime(2011, 12, 12)),
    st.datetimes(datetime(2011, 11, 1), datetime(2011, 12, 12), timezones=st.just(UTC)),
)


@given(
    feeds=st.lists(_times, min_size=1, max_size=4),
    products=st.lists(
        st.tuples(st.sets(st.integers(0, 12), max_size=3), _times, st.booleans()), max_size=10
    ),
)
def test_no_product_without_event_times_reaches_further_than_its_inputs(feeds, products) -> None:
    """Whatever reads what: the answer is that of its sources and of event times below it."""
    world, names, digests = World(), list[str](), dict[str, str]()
    for n, written in enumerate(feeds):
        name = f"d.s{n}"
        world.feed(name, name, written and written.replace(tzinfo=UTC))
        world.promise(name)
        names.append(name)
        digests[name] = name if written else ""
    for n, (reads, recorded, dated) in enumerate(products):
        name = f"d.p{n}"
        inputs = {names[i % len(names)]: digests[names[i % len(names)]] for i in reads}
        world.publish(name, inputs, name, recorded, event_time="at" if dated else "")
        names.append(name)
        digests[name] = name
    times = world.as_of
    for name, declared in world.products.items():
        version = world.facts.versions[name]
        inputs = [times[i.name] for i in declared.inputs]
        known = [at.replace(tzinfo=at.tzinfo or UTC) for at in inputs if at]
        at = times[name] and times[name].replace(tzinfo=times[name].tzinfo or UTC)
        from_inputs = not declared.event_time and inputs and all(version.key.inputs.values())
        if from_inputs:
            assert at == min(known, default=None)
        else:
            recorded = version.data_as_of
            in_time = recorded and recorded.replace(tzinfo=UTC) <= NOW + timedelta(days=1)
            assert times[name] == (recorded if in_time else None)
