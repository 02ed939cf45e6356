"""What may be promoted, decided on pointers and versions alone."""

from datetime import UTC, datetime

from msgspec.structs import replace

from assay.facts import Pointer, Version
from assay.plan.digests import code_of, key_of
from assay.plan.graph import Graph
from assay.plan.promotion import Sides, chosen, needed, obstacles, own_products
from tests.plan.test_graph import of

NOW = datetime(2024, 1, 5, tzinfo=UTC)
A, B, C = "d.a", "d.b", "d.c"  # c reads b, b reads a


def graph() -> Graph:
    return of(d__a="", d__b="d.a", d__c="d.b")


def version(id: str, product: str, **inputs: str) -> Version:
    key = key_of(
        code_of({"sql": id}), {f"d.{name}": f"rows of {of}" for name, of in inputs.items()}
    )
    return Version(
        id=id,
        product=product,
        key=key,
        digest=f"rows of {id}",
        columns=(),
        rows=1,
        bytes=1,
        built_at=NOW,
        seconds=0.0,
        run="",
        parts=(),
    )


VERSIONS = {
    each.id: each
    for each in (
        version("a1", A),
        version("a2", A),
        version("a3", A),
        version("b1", B, a="a1"),
        version("b2", B, a="a2"),
        version("c1", C, b="b1"),
        version("c2", C, b="b2"),
    )
}


def pointers(*ids: str, release: int = 1) -> dict[str, Pointer]:
    return {
        VERSIONS[id].product: Pointer(
            product=VERSIONS[id].product, version=id, release=release, released_at=NOW
        )
        for id in ids
    }


def sides(*here: str, there: tuple[str, ...] = ("a1", "b1", "c1")) -> Sides:
    return Sides(
        source="try",
        target="prod",
        here=pointers(*here, release=2),
        there=pointers(*there),
        bases={A: "a1", B: "b1", C: "c1"},
        versions=VERSIONS,
    )


def said(sides: Sides, *names: str) -> list[str]:
    return [f"{o.product} {o.what} > {o.do}" for o in obstacles(graph(), sides, names)]


def test_only_what_was_published_since_is_promoted() -> None:
    every = sides("a2", "b2", "c1")
    assert own_products(every.here, every.bases) == [A, B]
    assert chosen(every, None) == [A, B]
    assert chosen(every, {B}) == [B]
    assert chosen(sides("a2", "b2", "c1", there=("a2", "b1", "c1")), None) == [B], "a2 is there"
    assert needed(graph(), every, [B]) == {A, B, C}


def test_all_of_it_together_is_fine() -> None:
    assert said(sides("a2", "b2", "c2"), A, B, C) == []


def test_an_input_that_is_left_out() -> None:
    [one] = said(sides("a2", "b2", "c2"), B, C)
    assert one == "d.b was built from a2 of d.a, and prod has a1 of it > Promote both: `+d.b`."


def test_a_reader_that_is_left_out() -> None:
    [one] = said(sides("a2", "b2", "c2"), A, B)
    assert one.startswith("d.c was built from another version of d.b in prod, and is left out")
    assert one.endswith("> Promote both: `d.b+`.")
    assert said(sides("a2", "b2", "c1"), A, B) == [], "readers of try see the same of it"


def test_what_has_moved() -> None:
    [one] = said(sides("a2", "b1", "c1", there=("a3", "b1", "c1")), A)
    assert one.startswith("d.a has moved in prod meanwhile, from a1 to a3 (release 1, 2024-01-05")
    assert one.endswith(
        "> `products env create try --again`, then `products materialize --env try`"
    )
    [input] = said(sides("a1", "b1", "c1", there=("a3", "b1", "c1")), B)
    assert input.startswith("d.a has moved in prod")
    new = sides("a2", "b1", "c1", there=("b1", "c1"))
    assert said(new, A)[0].startswith("d.a has moved in prod meanwhile, from a1 to nothing")


def test_what_its_own_version_replaced_has_not_moved() -> None:
    """After a merge, prod has what try had built; then try builds another one."""
    merged = sides("a3", "b1", "c1", there=("a2", "b1", "c1"))
    assert merged.moved(A)
    here = {**merged.here, A: replace(merged.here[A], previous="a2")}
    assert not replace(merged, here=here).moved(A)


def test_pins_and_what_is_not_declared() -> None:
    every = sides("a2", "b1", "c1")
    pinned = replace(every, there={**every.there, A: replace(every.there[A], pinned=True)})
    assert "is pinned in prod > `products restore d.a --unpin --env prod`" in said(pinned, A)[0]
    own = replace(every, here={**every.here, A: replace(every.here[A], pinned=True)})
    assert "is pinned in try > `products restore d.a a2 --env prod`" in said(own, A)[0]
    [gone, *_] = obstacles(of(d__b="", d__c="d.b"), every, [A])
    assert (gone.what, gone.do) == (
        "is not declared here",
        "Check out the code that try was built with.",
    )
