"""A small project whose source is one file a day: lines of each day, sums of each day, sums of a shop.

`benchmarks.growth` and `benchmarks.parts` measure it. Made in parts, a new or replaced file touches one part of two
products; made whole, every product is built again.
"""

import os
import time
from datetime import date, timedelta
from pathlib import Path

from benchmarks.pipeline import put

FIRST = date(2022, 1, 1)
HOUR_NS = 3_600_000_000_000
COLUMNS = {"id": "bigint", "booked": "date", "shop": "varchar", "amount": "decimal(12, 2)"}
PARTS = {
    "source": "{day:date}",
    "day": "day",
    "lines": ", partition_by='day'",
    "daily": ", partition_by='day'",
}
WHOLE = {"source": "*", "day": "booked as day", "lines": "", "daily": ""}


def project(source: str, day: str, lines: str, daily: str) -> str:
    """Return the definition module: how files are named, what the day is called, and how products are parted."""
    return f"""from assay import rule, source, sql_product

raw = source.files("data/{source}.csv", columns={COLUMNS})
sql_product("lines", "select id, {day}, shop, amount from raw", owner="bench"{lines}, rules=[
    rule.check("an amount is positive", "amount > 0"),
    rule.sql("a line is there once", "select id, day from this group by all having count(*) > 1"),
])
sql_product("daily", "select day, shop, sum(amount)::decimal(18, 2) as amount from lines group by all",
            owner="bench"{daily}, rules=[rule.check("every sum has a shop", "shop is not null")])
sql_product("shops", "select shop, sum(amount)::decimal(18, 2) as amount from daily group by all", owner="bench")
"""


def write_project(root: Path, *, whole: bool) -> None:
    """Write the project without data, its products made in parts of a day, or whole."""
    put(root / "pyproject.toml", "[tool.products]\n")
    put(root / "products/sales.py", project(**WHOLE if whole else PARTS))


def write_day(root: Path, number: int, rows: int, salt: int = 0) -> None:
    """Write the file of a day, an hour ago; with another salt it holds something else."""
    day = FIRST + timedelta(days=number)
    lines = [
        f"{n},{day},s{n % 20},{(n * 7919 + salt) % 100_000 / 100 + 1:.2f}" for n in range(rows)
    ]
    file = root / f"data/{day}.csv"
    put(file, "\n".join(["id,booked,shop,amount", *lines]) + "\n")
    before = time.time_ns() - HOUR_NS + salt
    os.utime(file, ns=(before, before))
