"""Order, neighbours, connected sets and selection."""

import pytest

from assay.errors import UsageError
from assay.model import Source, Where
from assay.plan.graph import Graph
from assay.plan.select import select_products
from tests.plan.test_ladder import product


def of(**reads: str) -> Graph:
    from msgspec.structs import replace

    products = {}
    for name, above in reads.items():
        full = name.replace("__", ".")
        made = product(full, *(a.replace("__", ".") for a in above.split()))
        products[full] = replace(
            made,
            tags=(f"t{full[-1]}",),
            owner=f"{full[0]}@x",
            where=Where(f"products/{full[0]}/m.py", 1),
        )
    source = Source(name="s.raw", where=Where("x", 1), pattern="*", format="csv", columns=())
    return Graph(products=products, sources={"s.raw": source})


# raw -> a -> b -> c, a -> d ; e alone
GRAPH = of(m__a="s.raw", m__b="m.a", n__c="m.b", n__d="m.a", n__e="s.other")

SELECTIONS = {
    "m.b": "b",
    "b": "b",
    "+b": "ab",
    "b+": "bc",
    "+b+": "abc",
    "1+c": "bc",
    "2+c": "abc",
    "a+1": "abd",
    "a b": "ab",
    "+c,+d": "a",
    "+c d": "abcd",
    "m.*": "ab",
    "*.c": "c",
    "[ab]": "ab",
    "tag:tc": "c",
    "tag:t*": "abcde",
    "owner:m@x": "ab",
    "domain:n": "cde",
    "domain:n,+c": "c",
    "path:products/m": "ab",
    "path:products/n/*.py": "cde",
    "raw+": "abcd",
    "s.raw+1": "a",
    "stale:": "a",
    "stale:+": "abcd",
    "+blocked:": "ad",
    "path:./products/m": "ab",
    "blocked:": "d",
    "state:modified": "e",
}


@pytest.mark.parametrize("selector", SELECTIONS)
def test_selectors(selector: str) -> None:
    states = {"stale": {"m.a"}, "blocked": {"n.d"}, "state": {"n.e"}}
    chosen = select_products(GRAPH, [selector], (), states)
    assert "".join(sorted(name[-1] for name in chosen)) == SELECTIONS[selector]


def test_exclusion_and_repetition() -> None:
    assert select_products(GRAPH, [], []) == set(GRAPH.products)
    assert select_products(GRAPH, ["a+"], ["c d"]) == {"m.a", "m.b"}
    assert select_products(GRAPH, ["a", "e"]) == {"m.a", "n.e"}


@pytest.mark.parametrize(
    "selector",
    ["nope", "m.nope", "x*", "colour:red", "+", "state:new", "stale:yes", "++a", "", " "],
)
def test_selectors_that_cannot_be_read(selector: str) -> None:
    with pytest.raises(UsageError):
        select_products(GRAPH, [selector])


def test_nearest_names_are_offered() -> None:
    with pytest.raises(UsageError, match=r"Did you mean orders\.lines"):
        select_products(of(orders__lines="s.raw"), ["lins"])


def test_order_and_cycles() -> None:
    assert GRAPH.order.index("m.a") < GRAPH.order.index("m.b") < GRAPH.order.index("n.c")
    assert GRAPH.cycle() == ()
    assert set(of(m__a="m.c", m__b="m.a", m__c="m.b").cycle()) == {"m.a", "m.b", "m.c"}


def test_connected_sets_share_lineage_through_sources_too() -> None:
    sets = {frozenset(s) for s in GRAPH.connected(GRAPH.products)}
    assert sets == {frozenset({"m.a", "m.b", "n.c", "n.d"}), frozenset({"n.e"})}
    assert {frozenset(s) for s in GRAPH.connected(["n.c", "n.d"])} == {
        frozenset({"n.c"}),
        frozenset({"n.d"}),
    }


def test_units_are_ordered_and_tied_groups_go_together() -> None:
    from msgspec.structs import replace

    products = dict(of(m__a="s.raw", m__b="m.a", m__c="m.b", m__d="m.c").products)
    for name in ("m.a", "m.c"):
        products[name] = replace(products[name], release_group="g")
    graph = Graph(products=products, sources=GRAPH.sources)
    assert graph.units(products, coherent=False) == [("m.a", "m.b", "m.c"), ("m.d",)]
    assert GRAPH.units(["m.a", "m.b"], coherent=False) == [("m.a",), ("m.b",)]
