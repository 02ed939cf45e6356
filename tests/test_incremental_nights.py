"""Nights of products that read `previous`: forced, recoded, held back, killed, restored, from the start; plain Python says what is published."""

import os
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import Place
from tests.forge import Forge

LARGE = os.environ.get("ASSAY_FAULTS") == "large"
LIMIT = 8  # larger values hold `added` back
DECLARED = """
import pandera.polars as pa
import polars as pl
from assay import history_of, product, rule, source, sql_product

today = source.files("today.csv", columns={{"k": "bigint", "x": "bigint"}})
Rows = pa.DataFrameSchema({{"k": pa.Column(int), "x": pa.Column(int)}})
added = sql_product("added", "from previous union all by name select k, x + {more} as x from today", owner="o",
    contract=Rows, rules=[rule.check("x is small", "x < {limit}")])

@product(owner="o", contract=Rows)
def merged(today: pl.LazyFrame, previous: pl.LazyFrame) -> pl.LazyFrame:
    today = today.with_columns(pl.col("x") + {more})
    return pl.concat([previous.join(today, on="k", how="anti"), today], how="diagonal")

history = history_of("today", key="k", valid=("since", "until"), owner="o")

files = source.files("in/{{k:int}}.csv", columns={{"k": "bigint", "x": "bigint"}})
in_parts = sql_product("in_parts", "from previous union all by name select k, x + {more} as x from files", owner="o",
    contract=Rows, partition_by="k")
"""
PRODUCTS = ("added", "merged", "history", "in_parts")
Table = tuple[tuple[Any, ...], ...]
Drop = Mapping[int, int]


@dataclass(frozen=True)
class Step:
    """A version, as plain Python has it: what it was built from, and its rows."""

    drop: tuple[tuple[int, int], ...]
    more: int
    on: "Step | None"
    moment: int
    table: Table
    parts: Mapping[int, "Part"] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Part:
    """A part: the value of its file, the rows that it was built on, and its rows."""

    x: int
    on: Table
    rows: Table


def parts_taken(
    was: Mapping[int, Part], drop: Drop, more: int, *, from_start: bool
) -> dict[int, Part]:
    """Return the parts after a step, of which each is built on the part of its name."""
    parts = {}
    for k, x in drop.items():
        part, on = was.get(k), ()
        if part and not from_start:
            on = part.on if part.x == x else part.rows
        parts[k] = Part(x, on, (*on, (k, x + more)))
    return parts


def taken(name: str, on: Table, drop: Drop, more: int, moment: int) -> Table:
    """Return the rows after a step; `since` and `until` of a history are numbers."""
    if name == "added":
        return (*on, *((k, x + more) for k, x in drop.items()))
    if name == "merged":
        return tuple(sorted({**dict(on), **{k: x + more for k, x in drop.items()}}.items()))
    rows, still = [], set()
    for k, x, since, until in on:
        stays = until is not None or drop.get(k) == x
        rows.append((k, x, since, until if stays else moment))
        still |= {k} if stays and until is None else set()
    return (*rows, *((k, x, moment, None) for k, x in drop.items() if k not in still))


def by_order(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return rows with moments as numbers, in their order: 0 is the first."""
    moments = sorted({m for row in rows for m in row[2:] if m is not None})
    number = {None: -1} | {moment: n for n, moment in enumerate(moments)}
    return sorted((*row[:2], *(number[m] for m in row[2:])) for row in rows)


@dataclass
class Shop:
    place: Place
    forge: Forge
    drop: Drop = field(default_factory=dict)
    drops: int = 0
    more: int = 0
    published: dict[str, Step] = field(default_factory=dict)
    ids: dict[str, dict[str, Step]] = field(default_factory=dict)  # what readers ever saw
    pinned: set[str] = field(default_factory=set)

    def declare(self, more: int) -> None:
        self.more = more
        self.place.write("products/shop.py", DECLARED.format(more=more, limit=LIMIT))

    def put(self, drop: Drop) -> None:
        self.drop, self.drops = drop, self.drops + 1
        self.place.write("today.csv", "k,x\n" + "".join(f"{k},{x}\n" for k, x in drop.items()))
        for k in range(1, 5):
            self.place.write(f"in/{k}.csv", f"k,x\n{k},{drop.get(k)}\n")
            if k not in drop:
                (self.place.root / f"in/{k}.csv").unlink()

    def next(self, name: str, *, from_start: bool) -> Step:
        """Return the version that a run should publish, or hold back."""
        was, drop = self.published.get(name), tuple(self.drop.items())
        same = was is not None and was.drop == drop
        on = None if was is None or from_start else was.on if same else was
        moment = max(self.drops * 1000, was.moment + 1 if was else 0)
        moment = was.moment if was and same else moment
        more = 0 if name == "history" else self.more
        if name == "in_parts":
            parts = parts_taken(was.parts if was else {}, self.drop, more, from_start=from_start)
            rows = tuple(row for part in parts.values() for row in part.rows)
            return Step(drop, more, on, moment, rows, parts)
        table = taken(name, on.table if on else (), self.drop, more, moment)
        return Step(drop, more, on, moment, table)

    def run(self, *arguments: str, kill_at: int = 0) -> None:
        """Materialize, or begin to, and see that everything is as it was, or as it should be."""
        names = [name for name in arguments if name in PRODUCTS] or PRODUCTS
        after = dict(self.published)
        for name in set(names) - self.pinned:
            step = self.next(name, from_start="--from-start" in arguments)
            if name != "added" or all(x < LIMIT for _, x in step.table):
                after[name] = step
        if kill_at:
            self.forge.run(self.place.root, "materialize", *arguments, at=kill_at)
        else:
            ran = self.place.run("materialize", *arguments)
            assert ran.code in {0, 3}, ran.out + ran.err
        for name in PRODUCTS:
            found, allowed = self.found(name), [after.get(name)]
            if kill_at:
                allowed.append(self.published.get(name))
            seen = [step for step in allowed if found == (step and by_order(list(step.table)))]
            assert seen, (name, found, allowed)
            if seen[0] is not None:
                self.published[name] = seen[0]
                self.ids.setdefault(name, {})[self.pointers()[name]] = seen[0]

    def restore(self, name: str, number: int) -> None:
        if known := self.ids.get(name):
            id = sorted(known)[number % len(known)]
            ran = self.place.run("restore", name, id)
            assert ran.code == 0, ran.err
            self.published[name] = known[id]
            self.pinned.add(name)

    def unpin(self) -> None:
        if self.pinned:
            assert self.place.run("restore", "--unpin").code == 0
            self.pinned.clear()

    def pointers(self) -> dict[str, str]:
        file = self.place.root / ".products/catalog.db"
        if not file.exists():
            return {}
        with closing(sqlite3.connect(file)) as db:
            try:
                rows = db.execute("select product, version from pointers").fetchall()
            except sqlite3.OperationalError:  # killed before the tables were made
                return {}
        return {product.removeprefix("shop."): version for product, version in rows}

    def found(self, name: str) -> list[tuple[Any, ...]] | None:
        if name not in self.pointers():
            return None
        return by_order([tuple(row.values()) for row in self.place.query(f"from {name}")])


@contextmanager
def shops(forge: Forge) -> Iterator[Shop]:
    with tempfile.TemporaryDirectory() as folder:
        shop = Shop(Place(Path(folder)), forge)
        shop.place.write("pyproject.toml", "[tool.products]\n")
        shop.declare(0)
        shop.put({1: 1, 2: 2})
        yield shop


drops = st.dictionaries(st.integers(1, 4), st.integers(0, 4), min_size=1, max_size=3)
nights = st.one_of(
    st.tuples(st.just("drop"), drops),
    st.tuples(st.just("drop"), drops),
    st.tuples(
        st.just("run"),
        st.sampled_from(
            [(), (), ("--force",), ("added", "--from-start"), ("in_parts", "--from-start")]
        ),
    ),
    st.tuples(st.just("killed"), st.integers(1, 260), st.sampled_from([(), ("--force",)])),
    st.tuples(st.just("more"), st.sampled_from([0, 3, LIMIT])),
    st.tuples(st.just("restore"), st.sampled_from(PRODUCTS), st.integers(0, 9)),
    st.tuples(st.just("unpin")),
)


def live(shop: Shop, lived: list[tuple]) -> None:
    for what, *told in lived:
        match what:
            case "drop":
                shop.put(*told)
                shop.run()
            case "run":
                shop.run(*told[0])
            case "killed":
                shop.run(*told[1], kill_at=told[0])
            case "more":
                shop.declare(*told)
                shop.run()
            case "restore":
                shop.restore(*told)
            case "unpin":
                shop.unpin()
    shop.unpin()
    shop.run()


def test_of_a_week_nothing_is_there_twice(forge: Forge) -> None:
    with shops(forge) as shop:
        live(
            shop,
            [
                ("run", ()),
                ("killed", 200, ("--force",)),
                ("drop", {2: 3, 3: 1}),
                ("more", LIMIT),
                ("run", ("--force",)),
                ("restore", "merged", 0),
                ("more", 0),
                ("drop", {1: 1, 2: 2}),
            ],
        )
        assert len(shop.published["added"].table) == 6


@pytest.mark.long
@settings(
    max_examples=150 if LARGE else 6,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
@given(st.lists(nights, min_size=2, max_size=12))
def test_after_any_nights_it_is_what_plain_python_says(forge: Forge, lived: list[tuple]) -> None:
    with shops(forge) as shop:
        live(shop, lived)
