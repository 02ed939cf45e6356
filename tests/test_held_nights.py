"""Nights with bad parts: what is published is, part by part, the new part if it passed, else what readers had of it."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import Place, effort

DAYS = [str(date(2024, 1, 1) + timedelta(days=n)) for n in range(5)]
BROKEN = "two"
TOLERANCES = ("0", "1", '"50 %"')
DECLARED = """
from assay import rule, source, sql_product

raw = source.files("in/{{day:date}}.csv", columns={{"x": "bigint"}})
ref = source.files("ref/{{day:date}}.csv", columns={{"x": "bigint"}})
other = sql_product("other", "select day, x from ref", owner="o", each="ref")
lines = sql_product("lines", "select day, x from raw", owner="o", {parts}{hold}, rules=[
    rule.check("not negative", "x >= 0", fail_above={tolerance}),
    rule.sql("a day is little", "select day from this group by day having sum(x) > {most}"),
    {more}
])
total = sql_product("total", "select sum(x)::bigint as x from lines", owner="o")
"""
MORE = {
    "reconciles": 'rule.reconciles("x", "other", "x", by=["day"]),',
    "changes": 'rule.changes("x", within="±300 %", by=["day"]),',
}
HOLD = ', on_failed_part="hold_part"'
Rows = tuple[int, ...]


@dataclass
class Shop:
    """The project, what is in its files, and what readers should see."""

    place: Place
    parts: str
    raw: dict[str, Rows | str] = field(default_factory=dict)
    ref: dict[str, int] = field(default_factory=dict)
    seen: dict[str, Rows] = field(default_factory=dict)
    hold: bool = True
    tolerance: str = "0"
    most: int = 40
    rules: frozenset[str] = frozenset()

    def declare(self) -> None:
        more = " ".join(MORE[name] for name in sorted(self.rules))
        hold = HOLD if self.hold else ""
        text = DECLARED.format(
            parts=self.parts, hold=hold, tolerance=self.tolerance, most=self.most, more=more
        )
        self.place.write("products/shop.py", text)

    def drop(self, day: str, rows: Rows | str, *, alike: bool) -> None:
        self.raw[day] = rows
        values = [rows] if isinstance(rows, str) else rows
        self.place.write(f"in/{day}.csv", "\n".join(["x", *map(str, values)]) + "\n")
        if alike and not isinstance(rows, str):
            self.ref[day] = sum(rows)
            self.place.write(f"ref/{day}.csv", f"x\n{sum(rows)}\n")

    def remove(self, day: str) -> None:
        if day in self.raw and len(self.raw) > 1:
            del self.raw[day]
            (self.place.root / f"in/{day}.csv").unlink()

    # -------------------------------------------------------------------------------------- what should be so

    def too_many(self, rows: Rows) -> bool:
        bad = sum(x < 0 for x in rows)
        return bad * 2 > len(rows) if "%" in self.tolerance else bad > int(self.tolerance)

    def differs(self, day: str) -> bool:
        """Say whether what two tables, or two versions, say of a day is too different."""
        x = sum(self.raw.get(day, ()))
        if "reconciles" in self.rules and x != self.ref.get(day, 0):
            return True
        if "changes" in self.rules and day in self.seen:
            was = sum(self.seen[day])
            return abs(x - was) > 3 * abs(was)
        return False

    def night(self) -> int:
        """Say what readers should see from now on, and return the exit code."""
        broken = {day for day, rows in self.raw.items() if isinstance(rows, str)}
        made = {day: rows for day, rows in self.raw.items() if not isinstance(rows, str)}
        if not made or (broken and not self.hold):
            return 1
        absent = {*self.ref, *self.seen} - self.raw.keys()
        strange = any(self.differs(day) for day in absent)
        failed = {day for day, rows in made.items() if sum(rows) > self.most or self.differs(day)}
        if not self.hold:
            if strange or failed or self.too_many(tuple(x for rows in made.values() for x in rows)):
                return 3
            self.seen = made
            return 0
        failed |= {day for day, rows in made.items() if self.too_many(rows)}
        code = 1 if broken else 3 if failed or strange else 0
        kept = {day: self.seen[day] for day in broken | failed if day in self.seen}
        found = {day: rows for day, rows in made.items() if day not in failed} | kept
        if found and not strange:
            self.seen = found
        return code

    def check(self) -> None:
        """Materialize, twice: readers see what they should, and then nothing more is to be done."""
        code = self.night()
        for _ in range(2):
            told = self.place.materialize()
            assert told[""]["exit_code"] == code, (told, self)
            found: dict[str, list[int]] = {}
            if self.seen:
                for row in self.place.query("select day, x from lines"):
                    found.setdefault(row["day"], []).append(row["x"])
            assert {day: sorted(xs) for day, xs in found.items()} == {
                d: sorted(xs) for d, xs in self.seen.items()
            }
        assert told["shop.lines"]["result"] != "published", told
        if self.seen:
            assert self.place.query("select x from total") == [
                {"x": sum(map(sum, self.seen.values()))}
            ]


@contextmanager
def shops(parts: str) -> Iterator[Shop]:
    with tempfile.TemporaryDirectory() as folder:
        shop = Shop(Place(Path(folder)), parts)
        shop.place.write("pyproject.toml", "[tool.products]\n")
        yield shop


rows = st.lists(st.integers(-2, 30), min_size=1, max_size=4).map(tuple)
drops = st.tuples(
    st.just("drop"),
    st.sampled_from(DAYS),
    st.one_of(rows, rows, rows, st.just(BROKEN)),
    st.booleans(),
)
changes = st.one_of(
    drops,
    drops,
    st.tuples(st.just("remove"), st.sampled_from(DAYS)),
    st.tuples(st.just("hold"), st.booleans()),
    st.tuples(st.just("tolerance"), st.sampled_from(TOLERANCES)),
    st.tuples(st.just("most"), st.sampled_from([20, 40, 1000])),
    st.tuples(st.just("rules"), st.frozensets(st.sampled_from(sorted(MORE)))),
    st.tuples(st.just("run"), st.sampled_from(["gc", "verify"])),
)


@pytest.mark.long
@settings(
    max_examples=effort(6, 6, 150),
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
@given(
    st.sampled_from(['each="raw"', 'partition_by="day"']),
    st.lists(st.tuples(st.sampled_from(DAYS), rows), min_size=2, max_size=5),
    st.lists(st.lists(changes, min_size=1, max_size=3), max_size=6),
)
def test_what_is_published_is_the_new_part_or_what_readers_had(
    parts: str, start: list, nights: list[list[tuple]]
) -> None:
    with shops(parts) as shop:
        for day, some in start:
            shop.drop(day, some, alike=True)
        shop.declare()
        shop.check()
        for night in nights:
            for what, *told in night:
                match what:
                    case "drop":
                        shop.drop(told[0], told[1], alike=told[2])
                    case "remove":
                        shop.remove(told[0])
                    case "run":
                        assert shop.place.run(told[0]).code == 0
                    case _:
                        setattr(shop, what, told[0])
                        shop.declare()
            shop.check()
