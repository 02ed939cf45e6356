"""Promises that are inherited: the tightest of what a product or source feeds."""

from datetime import UTC, date, datetime

from assay.model import Code, Contract, Freshness, Input, Kind, Product, Source, Where, WorkCalendar
from assay.plan import windows
from assay.plan.graph import Graph
from assay.plan.inheritance import inherited

NOW = datetime(2011, 12, 9, 6, 0, tzinfo=UTC)
ENDED = WorkCalendar(name="ENDED", last=date(2010, 12, 31))


def product(name: str, *reads: str, freshness: Freshness | None = None) -> Product:
    return Product(
        name=name,
        where=Where("p.py", 1),
        kind=Kind.SQL,
        code=Code(digest=name, reached={}),
        contract=Contract(digest=""),
        owner="o",
        inputs=tuple(Input(alias=read, name=read) for read in reads),
        freshness=freshness,
    )


def source(name: str, *, event_time: str = "at") -> Source:
    return Source(
        name=name,
        where=Where("p.py", 1),
        pattern="*.csv",
        format="csv",
        columns=(),
        owner="o",
        reading="",
        event_time=event_time,
    )


def graph(*products: Product, sources: tuple[Source, ...] = ()) -> Graph:
    return Graph(
        products={p.name: p for p in products},
        sources={s.name: s for s in sources},
        calendars={"ENDED": ENDED},
    )


def test_the_tightest_of_what_it_feeds() -> None:
    early, late = Freshness(by="07:00"), Freshness(by="09:00")
    given = graph(
        product("d.a", "d.raw"),
        product("d.b", "d.a"),
        product("d.late", "d.b", freshness=late),
        product("d.early", "d.b", freshness=early),
        product("d.last", "d.early"),
        product("d.alone"),
        sources=(source("d.raw"), source("d.other")),
    )
    expected = dict.fromkeys(["d.raw", "d.a", "d.b"], (early, "d.early"))
    assert inherited(given, NOW) == expected
    # At half past eight the promise of 07:00 is due tomorrow: that of 09:00 comes first.
    assert inherited(given, NOW.replace(hour=8))["d.raw"] == (late, "d.late")


def test_a_list_that_changes_rarely_inherits_nothing() -> None:
    """Only the time of its files dates it: it may be old."""
    promise = Freshness(by="07:00")
    given = graph(
        product("d.names", "d.list"),
        product("d.a", "d.raw", "d.names", freshness=promise),
        sources=(source("d.raw"), source("d.list", event_time="")),
    )
    assert inherited(given, NOW) == {"d.raw": (promise, "d.a")}


def test_a_promise_of_its_own_comes_before_and_is_handed_on_too() -> None:
    early, late = Freshness(by="07:00"), Freshness(by="09:00")
    given = graph(
        product("d.a", "d.raw", freshness=late),
        product("d.b", "d.a", freshness=early),
        sources=(source("d.raw"),),
    )
    assert inherited(given, NOW) == {"d.raw": (early, "d.b")}


def test_ages_and_calendars_that_end() -> None:
    age, unknown = Freshness(within="30m"), Freshness(by="07:00", on="ENDED")
    given = graph(
        product("d.a", "d.raw", freshness=unknown),
        product("d.b", "d.raw", freshness=age),
        product("d.c", "d.other", freshness=unknown),
        sources=(source("d.raw"), source("d.other")),
    )
    assert inherited(given, NOW) == {"d.raw": (age, "d.b"), "d.other": (unknown, "d.c")}
    assert inherited(graph(product("d.a")), NOW) == {}


def test_equal_windows_are_computed_once() -> None:
    windows._next.cache_clear()
    promise = Freshness(by="07:00", tz="Europe/London", on="Mon-Fri")
    products = [product("d.p0", "d.raw")]
    for n in range(1, 500):
        own = Freshness(by="07:00", tz="Europe/London", on="Mon-Fri") if n % 2 else None
        products.append(product(f"d.p{n}", f"d.p{n - 1}", freshness=own))
    found = inherited(graph(*products, sources=(source("d.raw"),)), NOW)
    assert len(found) == 251 and found["d.raw"][0] == promise
    assert windows._next.cache_info().misses == 1
