"""The calendar of parts: kept, late, held back and missing."""

import re

from tests.conftest import Place
from tests.web.test_files import words

DAYS = """
from assay import Freshness, rule, source, sql_product

raw = source.files("raw/{day:date}.csv", columns={"x": "bigint"})
sql_product(
    "p", "from raw", owner="o", each="raw", event_time="day",
    freshness=Freshness(by="06:00", covers="previous day"),
    rules=[rule.check("no x is negative", "x >= 0")],
)
sql_product("q", "select x, count(*) as n from raw group by x", owner="o", partition_by="x",
            rules=[rule.check("no x is negative", "x >= 0")])
"""


def parts_of(page: str) -> str:
    section = re.search(r'<section aria-labelledby="parts">.*?</section>', page, re.DOTALL)
    return section[0] if section else ""


def test_parts_are_kept_late_held_back_or_missing(place: Place) -> None:
    place.write("products/shop.py", DAYS)

    def arrives(day: int, x: int) -> None:
        place.write(f"raw/2024-01-{day:02}.csv", f"x\n{x}\n")

    def runs(at: str) -> None:
        ran = place.run("materialize", "--now", f"2024-01-{at}")
        assert ran.code in {0, 3}, ran.err

    arrives(1, 1)
    runs("02T05:00:00")  # kept
    arrives(2, 2)
    runs("03T09:00:00")  # three hours late
    arrives(4, 4)
    runs("05T05:00:00")  # the third never came
    arrives(5, -5)
    runs("06T05:00:00")  # held back
    arrives(6, 6)  # nobody has built it
    assert place.run("docs", "--to", "site", "--now", "2024-01-08T05:00:00").code == 0
    section = parts_of((place.root / "site/product/shop.p.html").read_text())
    marks = {
        key: (kind, text)
        for kind, key, text in re.findall(
            r'rect class="(\w+)"[^>]*><title>([^:<]+): ([^<]*)</title>', section
        )
    }
    assert marks == {
        "2024-01-01": ("good", "1 row"),
        "2024-01-02": ("warning", "late, 1 row, promised by 2024-01-03 06:00"),
        "2024-01-03": ("missing", "missing, promised by 2024-01-04 06:00"),
        "2024-01-04": ("good", "1 row"),
        "2024-01-05": ("bad", "held back"),
        "2024-01-06": ("missing", "missing, promised by 2024-01-07 06:00"),
    }
    assert "6 parts, 1 late, 1 held back, 2 missing kept late missing held back" in words(section)
    chips = parts_of((place.root / "site/product/shop.q.html").read_text())
    assert re.findall(r'<li class="(\w+)" title="([^"]*)">([^<]*)</li>', chips) == [
        ("bad", "-5: held back", "-5: held back"),
        ("good", "1: 1 row", "1"),
        ("good", "2: 1 row", "2"),
        ("good", "4: 1 row", "4"),
    ]
