"""What is due: by windows of their own and of what they feed, and by what changed."""

from datetime import UTC, datetime

import pytest

from assay.decisions import (
    Build,
    CodeChanged,
    FirstBuild,
    Held,
    InputChanged,
    Keep,
    Maybe,
    TimePassed,
)
from assay.facts import SourceFile, SourceState
from assay.model import (
    Code,
    Contract,
    Freshness,
    Input,
    Kind,
    Partition,
    Product,
    Source,
    Where,
)
from assay.plan.due import corrected_days, due_products, is_corrected, is_open, moments, without
from assay.plan.graph import Graph
from assay.plan.windows import window_of

DAILY = Freshness(by="07:00")  # of the previous day, in UTC


def product(name: str, *reads: str, freshness: Freshness | None = None, group: str = "") -> Product:
    return Product(
        name=f"d.{name}",
        where=Where("f"),
        kind=Kind.SQL,
        code=Code(digest=name),
        contract=Contract(digest=name),
        owner="o",
        inputs=tuple(Input(alias=read, name=f"d.{read}") for read in reads),
        freshness=freshness,
        release_group=group,
    )


def graph(*products: Product) -> Graph:
    return Graph({product.name: product for product in products}, {})


#   raw ─┬─ daily (promised)      side ── nothing promised, reads clean
#        └ clean ─┘
SHOP = graph(
    product("clean", "raw"),
    product("other"),
    product("daily", "clean", "other", freshness=DAILY),
    product("below", "daily"),
    product("side", "clean"),
)
NEW_DATA = Build(reasons=(InputChanged(name="d.raw"),))


def due(open: bool, **steps: object) -> set[str]:
    names = due_products(SHOP, {f"d.{n}": step for n, step in steps.items()}, lambda name: open)
    return {name.partition(".")[2] for name in names}


def test_what_feeds_no_promise_is_always_due_with_its_inputs() -> None:
    closed = due(False, clean=NEW_DATA, daily=Maybe(inputs=("d.clean",)))
    assert closed == {"clean", "side", "below", "daily", "other"}


def test_a_closed_window_makes_new_data_wait() -> None:
    nothing_below = graph(product("clean"), product("daily", "clean", freshness=DAILY))
    steps = {"d.clean": NEW_DATA, "d.daily": Maybe(inputs=("d.clean",))}
    assert due_products(nothing_below, steps, lambda name: False) == set()
    assert due_products(nothing_below, steps, lambda name: True) == {"d.clean", "d.daily"}


@pytest.mark.parametrize(
    ("reason", "is_due"),
    [
        (FirstBuild(), True),
        (CodeChanged(changed=("sql",)), True),
        (InputChanged(name="d.raw"), False),
    ],
)
def test_only_new_data_waits(reason: object, is_due: bool) -> None:
    """Changed code is built at once, with all that is below it."""
    chain = graph(product("a"), product("b", "a", freshness=DAILY))
    steps = {"d.a": Build(reasons=(reason,)), "d.b": Maybe(inputs=("d.a",))}
    assert due_products(chain, steps, lambda name: False) == ({"d.a", "d.b"} if is_due else set())


def test_what_is_fetched_anew_is_new_data_to_those_below() -> None:
    chain = graph(product("a", freshness=DAILY), product("b", "a", freshness=DAILY))
    steps = {"d.a": Build(reasons=(TimePassed(now="hour"),)), "d.b": Maybe(inputs=("d.a",))}
    assert due_products(chain, steps, lambda name: False) == {"d.a"}


def test_release_groups_are_due_as_a_whole() -> None:
    both = graph(
        product("up"),
        product("a", "up", freshness=DAILY, group="g"),
        product("b", freshness=DAILY, group="g"),
    )
    names = due_products(both, {}, lambda name: name == "d.b")
    assert names == {"d.up", "d.a", "d.b"}


def test_what_is_left_out_takes_along_what_is_built_from_it() -> None:
    assert without(SHOP, SHOP.products, ["d.clean"]) == {"d.other"}
    assert without(SHOP, SHOP.products, ["d.side"]) == SHOP.products.keys() - {"d.side"}
    grouped = graph(product("a", group="g"), product("b", group="g"), product("c", "b"))
    assert without(grouped, grouped.products, ["d.a"]) == set()


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2024-03-{text}").replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "as_of", "available", "expected"),
    [
        ("05T06:00", "03T12:00", None, True),  # open since midnight
        ("05T08:00", "04T12:00", None, False),  # kept, and the next is of today, which is not over
        ("05T08:00", "04T12:00", "04T23:00", False),
        ("05T20:00", "04T12:00", "05T19:00", True),  # the drop of today is there already
        ("05T08:00", "03T12:00", None, True),  # late
        ("05T08:00", None, None, True),  # nothing was ever published
    ],
)
def test_when_a_window_is_open(
    now: str, as_of: str | None, available: str | None, expected: bool
) -> None:
    window = window_of(DAILY, {})
    times = [at(text) if text else None for text in (as_of, available)]
    assert is_open(window, at(now), *times) is expected


@pytest.mark.parametrize(
    ("part", "grain", "now", "expected"),
    [
        ("2024-03-04", "day", "05T08:00", True),  # promised by 07:00
        ("2024-03-05", "day", "05T08:00", False),  # the drop of today grows
        ("2024-03", "month", "05T08:00", False),  # as does the file of a month
        ("2024-02", "month", "05T08:00", True),
        ("north", "", "05T08:00", False),  # not dated
    ],
)
def test_a_drop_that_a_promise_was_about_is_corrected(
    part: str, grain: str, now: str, expected: bool
) -> None:
    partition = Partition(names=("p",), grain=grain)
    source = Source(
        name="d.drops",
        where=Where("f"),
        pattern="*",
        format="csv",
        columns=(),
        path_regex="(?P<p>.*)",
        partition=partition,
    )
    chain = Graph(
        {"d.a": product("a", "drops"), "d.b": product("b", "a", freshness=DAILY)},
        {"d.drops": source},
    )
    file = SourceFile(path="f.csv", digest="new", size=1, ctime_ns=1, part=part)
    states = {"d.drops": SourceState(name="d.drops", digest="new", files=(file,))}
    steps = {
        "d.a": Build(reasons=(InputChanged(name="d.drops", replaced=("f.csv",)),)),
        "d.b": Maybe(inputs=("d.a",)),
    }
    corrected = corrected_days(chain, steps, states).get("d.b")
    as_of = at("04T12:00")
    assert is_corrected(window_of(DAILY, {}), at(now), as_of, corrected) is expected


def test_moments_are_those_to_come() -> None:
    window = window_of(Freshness(by="07:00", warn_before="45m"), {})
    assert [*moments(window, at("05T08:00"), None)] == [
        at("06T00:00"),
        at("06T06:15"),
        at("06T07:00"),
    ]
    assert [*moments(window, at("06T06:30"), None)] == [at("06T07:00")]
    assert at("06T06:00") in moments(window_of(DAILY, {}), at("05T08:00"), None)
    assert [*moments(window_of(Freshness(within="36h"), {}), at("05T08:00"), None)] == []


def test_held_and_kept_products_are_not_wanted_for_themselves() -> None:
    alone = graph(product("a", freshness=DAILY), product("b", freshness=DAILY))
    steps = {"d.a": Held(by={"d.s": "missing"}), "d.b": Keep(version=None)}  # type: ignore[arg-type]
    assert due_products(alone, steps, lambda name: False) == set()
