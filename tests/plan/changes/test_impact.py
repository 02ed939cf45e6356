"""Whom a change affects, by the lineage of columns."""

from assay.model import Code, Consumer, Contract, Freshness, Input, Kind, Product, Where
from assay.plan.changes.impact import affected, is_relied_on, users_of
from assay.plan.changes.values import Change, Role, Way
from assay.plan.flows import EVERY, ColumnFlows, Flow, How, Lineage, TableFlows
from assay.plan.graph import Graph


def product(name: str, *reads: str, code: str = "c", owner: str = "o", **fields: object) -> Product:
    return Product(
        name=name,
        where=Where("shop.py"),
        kind=Kind.SQL,
        code=Code(digest=code, reached={"query": code}),
        contract=Contract(digest=""),
        owner=owner,
        inputs=tuple(Input(alias=each, name=each) for each in reads),
        **fields,
    )


def graph(*products: Product) -> Graph:
    return Graph({each.name: each for each in products}, {})


def table(*flows: tuple[str, str, How], rows: tuple[Flow, ...] = ()) -> TableFlows:
    """Return a table with a column for each flow: its name, where it is from, and how."""
    return TableFlows(
        columns=tuple(
            ColumnFlows(name=name, flows=(Flow("s.a", source, (how,)),))
            for name, source, how in flows
        ),
        rows=rows,
    )


def change(aspect: str = "column", of: str = "x") -> Change:
    return Change(
        name="s.a",
        aspect=aspect,
        role=Role.PROMISE,
        way=Way.WEAKER,
        what="removed",
        where=Where("shop.py"),
        of=of,
    )


A, B, D = product("s.a"), product("s.b", "s.a"), product("s.d", "s.a")
ALL = graph(A, B, D)
LINEAGE = Lineage(
    {
        "s.a": TableFlows(columns=(ColumnFlows(name="x"), ColumnFlows(name="y"))),
        "s.b": table(("net", "x", How.AGGREGATED), ("other", "y", How.IDENTITY)),
        "s.d": table(rows=(Flow("s.a", "x", (How.FILTER,)),)),
    },
    {"s.b": ("s.a",), "s.d": ("s.a",)},
)


def test_only_what_depends_on_the_column_uses_it() -> None:
    of_x = users_of(change(), ALL, LINEAGE)
    assert [(user.name, user.columns, user.is_sure) for user in of_x] == [
        ("s.b", ("net",), True),
        ("s.d", (), True),
    ]
    assert [user.name for user in users_of(change(of="y"), ALL, LINEAGE)] == ["s.b"]
    assert users_of(change("freshness", of=""), ALL, LINEAGE) == []
    assert [user.name for user in users_of(change("key", of=""), ALL, LINEAGE)] == ["s.b", "s.d"]


def test_what_is_not_known_may_use_it() -> None:
    unknown = Lineage({**LINEAGE.tables, "s.d": TableFlows(unknown="a function")}, LINEAGE.inputs)
    users = users_of(change(of="y"), ALL, unknown)
    assert [(user.name, user.is_sure) for user in users] == [("s.b", True), ("s.d", False)]
    every = TableFlows(rows=(Flow("s.a", EVERY, (How.FILTER,)),))
    known = Lineage({**LINEAGE.tables, "s.d": every}, LINEAGE.inputs)
    assert [user.is_sure for user in users_of(change(of="y"), ALL, known)] == [True, True]


def test_who_relies_on_it() -> None:
    users = users_of(change(), ALL, LINEAGE)
    assert is_relied_on(change(), users, ALL, ALL), "b and d are as they were"
    now = graph(A, product("s.b", "s.a", code="new"), product("s.d", "s.a", code="new"))
    assert not is_relied_on(change(), users, ALL, now)
    assert not is_relied_on(change(), users, ALL, graph(A))
    other = graph(A, product("s.b", "s.a", owner="p"), D)
    assert is_relied_on(change(), users, other, now)
    read = graph(product("s.a", consumers=(Consumer(name="desk"),)), B, D)
    assert is_relied_on(change(), [], read, now)
    assert is_relied_on(change(), [], ALL, read), "who reads it since then, too"


def test_consumers_with_what_they_decide_and_when_that_is_due() -> None:
    def named(**fields: object) -> str:
        consumers = (Consumer(name="desk", decides="prices"), Consumer(name="board"))
        return ", ".join(
            map(str, affected(change(), [], graph(product("s.a", consumers=consumers, **fields))))
        )

    assert named() == "desk (prices), board"
    assert named(freshness=Freshness(by="07:00", on="GB-ENG")) == "desk (prices, due 07:00), board"
    monthly = Freshness(by="08:00", on="working day 3 of GB-ENG")
    assert named(freshness=monthly) == "desk (prices, due 08:00 on working day 3 of GB-ENG), board"
    assert named(freshness=Freshness(within="36h")) == "desk (prices, at most 36h old), board"
    assert (
        named(freshness=Freshness(every="0 7 * * 1")) == "desk (prices, due at '0 7 * * 1'), board"
    )
