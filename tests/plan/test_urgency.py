"""What goes first: the earliest promise that can still be kept."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.model import Code, Contract, Input, Kind, Product, Where
from assay.plan.graph import Graph
from assay.plan.urgency import Rank, Urgency, order_of_work, urgencies

NOW = datetime(2011, 12, 9, 6, 0, tzinfo=UTC)


def graph(reads: Mapping[str, str]) -> Graph:
    """Return a graph of products that read others: names with spaces between them."""
    products = {
        name: Product(
            name=name,
            where=Where("p.py"),
            kind=Kind.SQL,
            code=Code(digest=name),
            contract=Contract(digest=""),
            owner="a@x.example",
            inputs=tuple(Input(alias=read, name=read) for read in names.split()),
        )
        for name, names in reads.items()
    }
    return Graph(products, {})


def minutes(**numbers: float) -> dict[str, datetime]:
    return {name: NOW + timedelta(minutes=number) for name, number in numbers.items()}


def first(found: Mapping[str, Urgency]) -> list[str]:
    return sorted(found, key=lambda name: found[name])


SHOP = graph({"a": "", "b": "", "board": "b", "extras": "a", "other": ""})
TOOK = dict.fromkeys(SHOP.products, 600.0)


def test_without_promises_all_are_equal() -> None:
    found = urgencies(SHOP, SHOP.order, {}, TOOK, NOW)
    assert set(found.values()) == {Urgency()} and list(found) == list(SHOP.order)


def test_what_the_earliest_promise_needs_goes_first() -> None:
    found = urgencies(SHOP, SHOP.order, minutes(extras=90, board=60), TOOK, NOW)
    assert first(found) == ["b", "board", "a", "extras", "other"]
    assert found["b"] == Urgency(Rank.KEPT, NOW + timedelta(minutes=60))
    assert found["other"].rank is Rank.NONE


def test_a_lost_promise_goes_behind_what_can_be_kept_and_says_when() -> None:
    order = order_of_work(SHOP, SHOP.order, minutes(extras=15, board=25), TOOK, NOW)
    assert first(order.urgencies) == ["b", "board", "a", "extras", "other"]
    assert [order.urgencies[name].rank for name in "ab"] == [Rank.LOST, Rank.KEPT]
    [lost] = order.lost
    assert (lost.product, lost.likely, lost.waits) == ("extras", NOW + timedelta(minutes=40), True)


def test_a_promise_is_lost_to_earlier_ones_that_leave_no_time() -> None:
    order = order_of_work(SHOP, SHOP.order, minutes(extras=30, board=25), TOOK, NOW)
    assert [lost.product for lost in order.lost] == ["extras"]
    two = order_of_work(SHOP, SHOP.order, minutes(extras=30, board=25), TOOK, NOW, jobs=2)
    assert not two.lost


def test_what_is_overdue_goes_first_if_there_is_time_for_both() -> None:
    order = order_of_work(SHOP, SHOP.order, minutes(extras=-30, board=600), TOOK, NOW)
    assert first(order.urgencies)[:2] == ["a", "extras"]
    assert [lost.waits for lost in order.lost] == [False]


def test_what_is_needed_by_both_is_counted_once() -> None:
    both = graph({"a": "", "x": "a", "y": "a"})
    order = order_of_work(both, both.order, minutes(x=21, y=31), dict.fromkeys("axy", 600.0), NOW)
    assert not order.lost
    assert first(order.urgencies) == ["a", "x", "y"]


def test_what_has_settled_takes_no_time() -> None:
    order = order_of_work(SHOP, ["board", "extras"], minutes(board=12, extras=22), TOOK, NOW)
    assert not order.lost


def test_a_promise_is_kept_when_its_whole_set_is_released() -> None:
    sets = [("a", "b", "board", "extras"), ("other",)]
    order = order_of_work(SHOP, SHOP.order, minutes(board=35, other=100), TOOK, NOW, sets=sets)
    assert [lost.product for lost in order.lost] == ["board"]
    order = order_of_work(SHOP, SHOP.order, minutes(board=45, other=100), TOOK, NOW, sets=sets)
    assert not order.lost
    assert {order.urgencies[name].due for name in sets[0]} == {NOW + timedelta(minutes=45)}


def test_sets_wait_for_the_sets_that_they_read_from() -> None:
    chain = graph({"a": "", "b": "", "c": "a", "d": "c"})
    sets = [("a", "b"), ("c",), ("d",)]
    took = dict.fromkeys("abcd", 600.0)
    order = order_of_work(chain, chain.order, minutes(d=39), took, NOW, sets=sets)
    assert [lost.product for lost in order.lost] == ["d"]  # b is released with a
    order = order_of_work(chain, chain.order, minutes(d=41), took, NOW, sets=sets)
    assert not order.lost and order.urgencies["b"].rank is Rank.KEPT


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.lists(st.integers(0, 30), max_size=3), min_size=1, max_size=30),
    st.dictionaries(st.integers(0, 30), st.integers(-10, 100), max_size=8),
    st.integers(1, 3),
)
def test_nothing_goes_after_what_needs_it(
    reads: list[list[int]], dues: dict[int, int], jobs: int
) -> None:
    random = graph(
        {
            f"p{i:02}": " ".join(sorted({f"p{j % i:02}" for j in js})) if i else ""
            for i, js in enumerate(reads)
        }
    )
    promised = {f"p{i:02}": NOW + timedelta(minutes=m) for i, m in dues.items()}
    durations = {name: 60.0 * (i % 7) for i, name in enumerate(random.order)}
    order = order_of_work(random, random.order, promised, durations, NOW, jobs=jobs)
    for name, product in random.products.items():
        assert all(order.urgencies[read] <= order.urgencies[name] for read in product.reads)
    lost = {p.product for p in order.lost}
    assert all(p.likely > p.due for p in order.lost)
    for name in (promised.keys() & random.products.keys()) - lost:
        assert order.urgencies[name] <= Urgency(Rank.KEPT, promised[name])
