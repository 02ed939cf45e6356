"""Nights lived through: a project in parts after any drops, edits and tidying up is what plain Python says it is."""

import json
import sqlite3
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.build import compact as compaction
from assay.build import pack as packing
from assay.build import tasks
from tests.conftest import Place, effort

DAYS = [date(2024, 1, 28) + timedelta(days=n) for n in range(7)]  # of two months
SHOPS = ("a", "b")
DECLARED = """
from assay import parts, rule, source, sql_product

raw = source.files("data/*/{{day:date}}.csv", columns={{"x": "bigint"}})
rates = source.files("rates.csv", columns={{"rate": "bigint"}})
lines = sql_product("lines", "select day, x + {more} as x from raw", owner="o", partition_by="day")
daily = sql_product("daily", "select day, sum(x)::bigint as x from lines group by 1", owner="o", partition_by="day",
                    rules=[rule.check("it is little", "x < {limit}", severity="warning"),
                           rule.sql("a day is there once", "select day from this group by all having count(*) > 1")])
near = sql_product("near", "select day, sum(x) over (order by day range between interval 2 days preceding and"
                     " current row)::bigint as x from daily", owner="o", partition_by="day",
                     inputs={{"daily": parts(back=2)}})
months = sql_product("months", "select strftime(day, '%Y-%m') as month, sum(x)::bigint as x from daily group by 1",
                     owner="o", partition_by="month(day)")
priced = sql_product("priced", "select day, x * rate as x from daily, rates", owner="o", partition_by="day")
twofold = sql_product("twofold", "select day, count(*) + max(d.x) as x from lines join daily d using (day) group by 1",
                   owner="o", partition_by="day")
total = sql_product("total", "select sum(x)::bigint as x from priced", owner="o")
"""
TABLES = ("lines", "daily", "near", "months", "priced", "twofold", "total")
EVERY = " union all ".join(
    f"select '{name}' as name, {'month' if name == 'months' else 'null' if name == 'total' else 'day'}::varchar as part, x"
    f" from {name}"
    for name in TABLES
)


@dataclass
class Shop:
    """The project, and what should be in it."""

    place: Place
    files: dict[tuple[str, date], tuple[int, ...]] = field(default_factory=dict)
    more: int = 0
    limit: int = 20
    rate: int = 3

    def declare(self) -> None:
        self.place.write("products/shop.py", DECLARED.format(more=self.more, limit=self.limit))
        self.place.write("rates.csv", f"rate\n{self.rate}\n")

    def drop(self, shop: str, day: date, xs: tuple[int, ...]) -> None:
        self.files[shop, day] = xs
        self.place.write(f"data/{shop}/{day}.csv", "\n".join(["x", *map(str, xs)]) + "\n")

    def remove(self, shop: str, day: date) -> None:
        if len(self.files) > 1 and self.files.pop((shop, day), None) is not None:
            (self.place.root / f"data/{shop}/{day}.csv").unlink()

    def swap(self, one: tuple[str, date], other: tuple[str, date]) -> None:
        """Let two files change places, with their times."""
        if one in self.files and other in self.files and one != other:
            first, second = (
                self.place.root / f"data/{shop}/{day}.csv" for shop, day in (one, other)
            )
            first.rename(self.place.root / "aside")
            second.rename(first)
            (self.place.root / "aside").rename(second)
            self.files[one], self.files[other] = self.files[other], self.files[one]

    def wanted(self) -> dict[str, list[tuple[str | None, int]]]:
        lines = [(day, x + self.more) for (_, day), xs in self.files.items() for x in xs]
        daily: dict[date, int] = defaultdict(int)
        for day, x in lines:
            daily[day] += x
        months: dict[str, int] = defaultdict(int)
        for day, x in daily.items():
            months[f"{day:%Y-%m}"] += x
        count = {day: sum(d == day for d, _ in lines) for day in daily}
        return {
            "lines": [(str(day), x) for day, x in lines],
            "daily": [(str(day), x) for day, x in daily.items()],
            "near": [
                (str(d), sum(daily.get(d - timedelta(days=n), 0) for n in range(3))) for d in daily
            ],
            "months": list(months.items()),
            "priced": [(str(day), x * self.rate) for day, x in daily.items()],
            "twofold": [(str(day), x + count[day]) for day, x in daily.items()],
            "total": [(None, sum(x * self.rate for x in daily.values()))],
        }

    def check(self) -> None:
        """Materialize, twice: it is as it should be, and then nothing is to be done."""
        assert self.place.materialize()[""]["exit_code"] == 0
        found: dict[str, list[tuple[str | None, int]]] = {name: [] for name in TABLES}
        for row in self.place.query(EVERY):
            found[row["name"]].append((row["part"], row["x"]))
        wanted = self.wanted()
        for name in TABLES:
            assert sorted(found[name], key=str) == sorted(wanted[name], key=str), name
        database = sqlite3.connect(self.place.root / ".products/catalog.db")
        judged = "select results from verdicts v join pointers p using (version) where product = 'shop.daily' order by judged_at"
        told = {
            rule["text"]: rule.get("failing")
            for rule in json.loads(database.execute(judged).fetchall()[-1][0])
        }
        assert told["it is little"] == sum(x >= self.limit for _, x in wanted["daily"])
        results = {name: told["result"] for name, told in self.place.materialize().items() if name}
        assert results == dict.fromkeys((f"shop.{name}" for name in TABLES), "unchanged")


@contextmanager
def shops() -> Iterator[Shop]:
    with tempfile.TemporaryDirectory() as folder:
        shop = Shop(Place(Path(folder)))
        shop.place.write("pyproject.toml", "[tool.products]\n")
        shop.declare()
        yield shop


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let few parts be put together, as many are otherwise."""
    for module, name, number in (
        (compaction, "TOLERATED", 2),
        (compaction, "FEWEST", 2),
        (compaction, "YOUNGEST", 2),
        (packing, "FEWEST", 2),
        (tasks, "MANY", 4),
    ):
        monkeypatch.setattr(module, name, number)


xs = st.lists(st.integers(1, 12), min_size=1, max_size=3).map(tuple)
places = st.tuples(st.sampled_from(SHOPS), st.sampled_from(DAYS))
changes = st.one_of(
    st.tuples(st.just("drop"), places, xs),
    st.tuples(st.just("drop"), places, xs),
    st.tuples(st.just("remove"), places),
    st.tuples(st.just("swap"), places, places),
    st.tuples(st.sampled_from(["more", "limit", "rate"]), st.integers(0, 2)),
    st.tuples(
        st.just("run"),
        st.sampled_from(
            [
                ("gc",),
                ("materialize", "--force", "-s", "daily"),
                ("verify",),
                ("materialize", "lines", "--parts", "2024-02"),
            ]
        ),
    ),
)


@pytest.mark.usefixtures("few")
@settings(
    max_examples=effort(3, 3, 60),
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
@given(
    st.lists(st.tuples(places, xs), min_size=1, max_size=8),
    st.lists(st.lists(changes, min_size=1, max_size=3), max_size=8),
)
def test_after_any_nights_it_is_what_it_should_be(start: list, nights: list[list[tuple]]) -> None:
    with shops() as shop:
        for (name, day), some in start:
            shop.drop(name, day, some)
        shop.check()
        for night in nights:
            for what, *told in night:
                match what:
                    case "drop":
                        shop.drop(*told[0], told[1])
                    case "remove":
                        shop.remove(*told[0])
                    case "swap":
                        shop.swap(*told)
                    case "run":
                        ran = shop.place.run(*told[0])
                        assert ran.code == 0 or "has no part" in ran.err, ran.err
                    case "more" | "limit" | "rate":
                        setattr(
                            shop,
                            what,
                            {"more": (0, 5, 9), "limit": (20, 15, 9), "rate": (3, 1, 2)}[what][
                                told[0]
                            ],
                        )
                        shop.declare()
            shop.check()
