"""Parts held back alone: which ones, why, and what readers see of the product meanwhile."""

import warnings
from pathlib import Path

import pytest

import assay
from tests.conftest import Place, mostly_long

LINES = """
from assay import rule, source, sql_product
raw = source.files("in/{{day:date}}.csv", columns={{"id": "bigint", "customer": "varchar"}})
lines = sql_product("lines", "select * from raw", owner="o", {parts}, rules=[{rules}])
"""
KNOWN = 'rule.check("customer is known", "customer is not null", {})'
EACH, SPLIT = (
    'each="raw", on_failed_part="hold_part"',
    'partition_by="day", on_failed_part="hold_part"',
)


@pytest.fixture
def shop(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    place.write("pyproject.toml", "[tool.products]\n")
    return place


def declare(shop: Place, *rules: str, parts: str = EACH, more: str = "") -> None:
    shop.write("products/shop.py", LINES.format(parts=parts, rules=", ".join(rules)) + more)


def drop(shop: Place, day: int, *customers: str) -> None:
    rows = [f"{day * 1000 + number},{customer}" for number, customer in enumerate(customers)]
    shop.write(f"in/2024-01-{day:02}.csv", "\n".join(["id,customer", *rows]) + "\n")


def lines(shop: Place) -> dict[str, int]:
    rows = shop.query("select day, count(*) as n from lines group by 1 order by 1")
    return {row["day"][8:10]: row["n"] for row in rows}


def held(told: dict) -> list[str]:
    return [part["part"][8:10] for part in told.get("held_parts", ())]


# ---------------------------------------------------------------------------------------------- tolerances


@pytest.mark.parametrize("parts", [EACH, SPLIT])
def test_a_tolerance_is_of_each_part_where_parts_are_held_alone(shop: Place, parts: str) -> None:
    declare(shop, KNOWN.format('fail_above="10 %"'), parts=parts)
    for day in range(1, 11):
        drop(shop, day, *"cccccccccc", "" if day == 1 else "c")  # 1 of 11 is under 10 %
    assert shop.materialize()[""]["exit_code"] == 0
    drop(shop, 11, "", "", "c")
    told = shop.materialize()
    assert (told[""]["exit_code"], held(told["shop.lines"])) == (3, ["11"])
    [rule] = told["shop.lines"]["held_by"]
    assert rule["threshold"] == "fails above 10 % of a part"
    assert rule["parts"][0] == {"part": "2024-01-11", "failing": 2, "rows": 3}
    assert {str(sample["id"]) for sample in rule["samples"] if "id" in sample} <= {
        "11000",
        "11001",
        "1010",
    }
    assert (
        "2 rows in 2024-01-11, 66.67% of it (fails above 10 % of a part)"
        in shop.run("materialize").out
    )
    assert "11" not in lines(shop)


def test_a_tolerance_in_rows_is_of_each_part(shop: Place) -> None:
    declare(shop, KNOWN.format("fail_above=10"))
    for day in range(1, 13):
        drop(shop, day, "c", "")
    told = shop.materialize()
    assert told[""]["exit_code"] == 0
    assert sum(lines(shop).values()) == 24
    drop(shop, 13, *[""] * 11)
    assert held(shop.materialize()["shop.lines"]) == ["13"]


def test_a_part_warns_by_its_own_tolerance(shop: Place) -> None:
    declare(shop, KNOWN.format('warn_above="1 %", fail_above="50 %"'))
    for day in range(1, 5):
        drop(shop, day, "c", "c", "c")
    drop(shop, 5, "c", "c", "")
    [rule] = shop.materialize()["shop.lines"]["rules"]
    assert (rule["status"], rule["parts"][0]["part"]) == ("warning", "2024-01-05")
    assert rule["threshold"] == "warns above 1 %, fails above 50 % of a part"


def test_a_tolerance_is_of_the_whole_where_the_product_is_held_as_one(shop: Place) -> None:
    declare(shop, KNOWN.format("fail_above=10"), parts='each="raw"')
    for day in range(1, 12):
        drop(shop, day, "c", "")
    told = shop.materialize()["shop.lines"]
    assert (told["result"], told["rules"][0]["threshold"]) == (
        "held back",
        "fails above 10 rows of all parts",
    )
    assert "11 rows, 50.00% (fails above 10 rows of all parts)" in shop.run("materialize").out


def test_samples_are_of_the_parts_that_failed(shop: Place) -> None:
    query = 'rule.sql("known", "select day, id from this where customer is null {}", fail_above=5)'
    for more, count in (("", 6), ("and (select 1) = 1", 7)):  # part by part, and over all of them
        declare(shop, query.format(more))
        for day in range(1, 4):
            drop(shop, day, "", "c", "")
        drop(shop, 4, *[""] * count)
        told = shop.materialize()["shop.lines"]
        assert held(told) == ["04"]
        assert {sample["day"] for sample in told["held_by"][0]["samples"]} == {"2024-01-04"}


# ---------------------------------------------------------------------------------------------- other products

CUSTOMERS = """
ids = source.files("customers.csv", columns={"id": "varchar"})
customers = sql_product("customers", "from ids", owner="o")
"""
OTHER = """
counts = sql_product("counts", "select day, count(*) as n from raw group by 1", owner="o", partition_by="day")
"""


@pytest.mark.parametrize("parts", [EACH, SPLIT])
@pytest.mark.parametrize(
    ("limit", "expected"), [("", ["02", "03"]), (', fail_above="50 %"', ["03"])]
)
def test_references_hold_the_parts_whose_rows_refer_to_nothing(
    shop: Place, parts: str, limit: str, expected: list[str]
) -> None:
    shop.write("customers.csv", "id\nc\n")
    declare(
        shop, f'rule.references("customer", "customers.id"{limit})', parts=parts, more=CUSTOMERS
    )
    drop(shop, 1, "c", "c")
    drop(shop, 2, "c", "x")
    drop(shop, 3, "y", "y")
    told = shop.materialize()["shop.lines"]
    assert held(told) == expected
    assert {sample["customer"] for sample in told["held_by"][0]["samples"]} >= {"y"}
    shop.write("customers.csv", "id\nc\nx\ny\n")
    assert shop.materialize()[""]["exit_code"] == 0
    assert lines(shop) == {"01": 2, "02": 2, "03": 2}


DAILY = """
from assay import rule, source, sql_product
raw = source.files("in/{{day:date}}.csv", columns={{"x": "bigint"}})
lines = sql_product("lines", "select * from raw", owner="o", each="raw")
daily = sql_product("daily", "select day, sum(x)::bigint as x, min(x) as least from lines group by day", owner="o",
    partition_by="day"{more}, rules=[rule.check("nothing is negative", "least >= 0"), {rules}])
"""
HOLD = ', on_failed_part="hold_part"'


def declare_daily(shop: Place, *rules: str, more: str = HOLD) -> None:
    shop.write("products/shop.py", DAILY.format(more=more, rules=", ".join(rules)))


def days(shop: Place, **xs: tuple[int, ...]) -> None:
    for day, values in xs.items():
        shop.write(f"in/2024-01-{day[1:]}.csv", "\n".join(["x", *map(str, values)]) + "\n")


def daily(shop: Place) -> dict[str, int]:
    return {row["day"][8:10]: row["x"] for row in shop.query("select day, x from daily order by 1")}


def test_parts_are_held_alone_as_soon_as_that_is_declared(shop: Place) -> None:
    declare_daily(shop, more="")
    days(shop, d01=(1, 2), d02=(1, -5), d03=(3,))
    assert shop.materialize()["shop.daily"]["result"] == "held back"
    declare_daily(shop)
    told = shop.materialize()
    assert held(told["shop.daily"]) == ["02"]
    assert daily(shop) == {"01": 3, "03": 3}
    assert shop.materialize()["shop.daily"]["result"] == "unchanged"
    declare_daily(shop, more="")
    assert shop.materialize()["shop.daily"]["result"] == "held back"
    assert daily(shop) == {"01": 3, "03": 3}


def test_what_is_held_back_is_not_compared_with_other_products(shop: Place) -> None:
    rules = [
        'rule.reconciles("x", "lines", "x", by=["day"])',
        'rule.changes("x", within="±300 %", by=["day"])',
    ]
    declare_daily(shop, *rules)
    days(shop, d01=(1, 2), d02=(1, 5), d03=(3,))
    assert shop.materialize()[""]["exit_code"] == 0
    days(shop, d02=(1, -5), d03=(4,), d04=(7,), d05=(-1,))
    told = shop.materialize()["shop.daily"]
    assert held(told) == ["02", "05"]
    assert [rule["text"] for rule in told["held_by"]] == ["nothing is negative"]
    assert daily(shop) == {"01": 3, "02": 6, "03": 4, "04": 7}
    assert shop.materialize()["shop.daily"]["result"] == "unchanged"
    days(shop, d01=(900,))
    told = shop.materialize()["shop.daily"]
    assert held(told) == ["01", "02", "05"]
    assert {rule["text"]: rule["measured"] for rule in told["held_by"]}[
        "x by day stays within 300 % of what is published"
    ] == 299


def test_a_rule_of_the_whole_is_judged_again_without_the_parts_that_failed(shop: Place) -> None:
    declare_daily(
        shop,
        'rule.changes("x", within="±200 %")',
        'rule.sql("no more", "select 1 from this having sum(x) > 99")',
    )
    days(shop, d01=(1, 2), d02=(1, 5), d03=(3,))
    assert shop.materialize()[""]["exit_code"] == 0
    days(shop, d02=(-1, 5000), d04=(7,))
    assert held(shop.materialize()["shop.daily"]) == ["02"]
    assert daily(shop) == {"01": 3, "02": 6, "03": 3, "04": 7}


REASONS = {
    "a total": (
        'rule.reconciles("x", "lines", "x")',
        "without 2024-01-02, 'x is x of lines' fails and does not say for which parts",
        'by=["day"]',
    ),
    "a query": (
        'rule.sql("it is little", "select x from this where x > (select 5)")',
        "without 2024-01-02, 'it is little' fails and does not say for which parts",
        "when its query returns day",
    ),
    "what cannot be judged": (
        'rule.sql("odd", "select 1 from this where (select error(\'no\')) = 1")',
        "without 2024-01-02, 'odd' cannot be judged",
        "",
    ),
    "a part that is not there": (
        'rule.sql("known", "select date \'2020-01-01\' as day from this where (select count(*) from this) > 0")',
        "it fails for 2020-01-01, which is no part of shop.daily",
        "",
    ),
}


@pytest.mark.parametrize(("rule", "reason", "hint"), REASONS.values(), ids=REASONS)
def test_why_a_product_is_held_as_a_whole_is_said(
    shop: Place, rule: str, reason: str, hint: str
) -> None:
    declare_daily(shop, rule)
    days(shop, d01=(1, 9), d02=(1, -5), d03=(3,))
    told = shop.materialize()["shop.daily"]
    assert told["result"] == "held back"
    assert reason in told["whole_because"]
    assert hint in told["whole_hint"]
    text = shop.run("materialize").out
    assert f"held as a whole: {told['whole_because']}" in text


def test_when_nothing_is_left_that_is_the_reason(shop: Place) -> None:
    declare_daily(shop)
    days(shop, d01=(-1,), d02=(-2,))
    told = shop.materialize()["shop.daily"]
    assert told["whole_because"] == "every part failed, and readers have none of them yet"
    days(shop, d03=(3,))
    assert held(shop.materialize()["shop.daily"]) == ["01", "02"]


# ---------------------------------------------------------------------------------------------- parts that cannot be made

MADE = """
import os
from pathlib import Path
import polars as pl
from assay import product, rule, source, sql_product
raw = source.files("in/{{day:date}}.csv", columns={{"x": "bigint"}})

@product(owner="o", each="raw", {about}, rules=[rule.check("nothing is negative", "x >= 0")])
def lines(raw: pl.LazyFrame) -> pl.LazyFrame:
    frame = raw.collect()
    if frame["x"][0] in {bad}:
        {how}
    return frame.lazy()

total = sql_product("total", "select sum(x)::bigint as x from lines", owner="o")
"""


def declare_made(
    shop: Place,
    about: str = EACH[12:],
    how: str = 'raise ValueError("it is odd")',
    bad: str = "(7,)",
) -> None:
    shop.write("products/shop.py", MADE.format(about=about, how=how, bad=bad))


def xs(shop: Place) -> dict[str, int]:
    return {row["day"][8:10]: row["x"] for row in shop.query("select day, x from lines order by 1")}


def failed(told: dict) -> list[str]:
    return [part["part"][8:10] for part in told.get("failed_parts", ())]


@pytest.mark.parametrize(
    ("about", "how", "words"),
    [
        (EACH[12:], 'raise ValueError("it is odd")', "products/shop.py:12: ValueError: it is odd"),
        pytest.param(
            EACH[12:] + ", isolate=True",
            "os._exit(3)",
            "ended with exit code 3",
            marks=pytest.mark.long,
        ),
        pytest.param(
            EACH[12:] + ", retries=0, timeout=0.5",
            "__import__('time').sleep(60)",
            "timed out",
            marks=pytest.mark.long,
        ),
        (EACH[12:], "return frame.lazy().with_columns(more=1)", "are not alike: 2024-01-0"),
    ],
    ids=["raises", "crashes", "hangs", "other columns"],
)
def test_a_part_that_cannot_be_made_is_held_back_alone(
    shop: Place, about: str, how: str, words: str
) -> None:
    declare_made(shop, about, how)
    days(shop, d01=(1,), d02=(2,), d03=(3,))
    assert shop.materialize()[""]["exit_code"] == 0
    days(shop, d02=(7,), d03=(4,), d04=(7,), d05=(-5,), d06=(6,))
    for result in ("published", "unchanged"):
        told = shop.materialize()
        assert (told[""]["exit_code"], told["shop.lines"]["result"]) == (1, result)
        assert (failed(told["shop.lines"]), held(told["shop.lines"])) == (["02", "04"], ["05"])
        assert words in told["shop.lines"]["failed_parts"][0]["error"]
        assert [rule["text"] for rule in told["shop.lines"]["held_by"]] == ["nothing is negative"]
    assert xs(shop) == {"01": 1, "02": 2, "03": 4, "06": 6}
    assert shop.query("select x from total") == [{"x": 13}]
    text = shop.run("materialize").out
    assert "failed: 2024-01-02: " in text
    assert "held back: 1 part (2024-01-05); readers have nothing of it yet" in text
    [status] = [t for t in shop.run("status", "--json").json if t["product"] == "shop.lines"]
    assert status["state"] == "stale, 3 parts held back"
    days(shop, d02=(8,), d04=(9,))
    told = shop.materialize()
    assert (told[""]["exit_code"], failed(told["shop.lines"]), held(told["shop.lines"])) == (
        3,
        [],
        ["05"],
    )
    assert xs(shop) == {"01": 1, "02": 8, "03": 4, "04": 9, "06": 6}


def test_a_source_file_that_cannot_be_read_holds_its_part(shop: Place) -> None:
    declare_made(shop)
    days(shop, d01=(1,), d03=(3,))
    shop.write("in/2024-01-02.csv", "x\ntwo\n")
    told = shop.materialize()
    assert (told[""]["exit_code"], failed(told["shop.lines"]), xs(shop)) == (
        1,
        ["02"],
        {"01": 1, "03": 3},
    )
    assert "2024-01-02.csv" in told["shop.lines"]["failed_parts"][0]["error"]
    days(shop, d02=(2,))
    assert shop.run("retry").code == 0
    assert xs(shop) == {"01": 1, "02": 2, "03": 3}


def test_what_failed_is_tried_again_though_nothing_changed(shop: Place) -> None:
    declare_made(shop, how='if not Path("now").exists(): raise OSError("not yet")')
    days(shop, d01=(1,), d02=(7,))
    assert failed(shop.materialize()["shop.lines"]) == ["02"]
    shop.write("now", "")
    told = shop.materialize()
    assert (told[""]["exit_code"], told["shop.lines"]["parts"]) == (0, {"built": 1, "of": 2})
    assert xs(shop) == {"01": 1, "02": 7}


def test_a_part_is_tried_again_within_a_run(shop: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assay.build.run.pause", lambda _: 0.0)
    how = 'with open("tries", "a") as file: file.write("x")\n        if os.path.getsize("tries") < 3: raise OSError("not yet")'
    declare_made(shop, EACH[12:] + ", retries=2", how)
    days(shop, d01=(1,), d02=(7,))
    told = shop.materialize()
    assert (told[""]["exit_code"], told["shop.lines"]["result"], xs(shop)) == (
        0,
        "published",
        {"01": 1, "02": 7},
    )


@pytest.mark.parametrize(
    ("about", "bad"),
    [("tags=[]", "(7,)"), (EACH[12:], "(1, 3, 7)")],
    ids=["held whole", "every part"],
)
def test_a_product_fails_where_no_part_goes_out_alone(shop: Place, about: str, bad: str) -> None:
    declare_made(shop, about, bad=bad)
    days(shop, d01=(1,), d02=(7,), d03=(3,))
    told = shop.materialize()
    assert (told[""]["exit_code"], told["shop.lines"]["result"]) == (1, "failed")


def test_a_part_with_other_columns_does_not_stand_in_for_one_that_cannot_be_made(
    shop: Place,
) -> None:
    declare_made(shop, bad="()")
    days(shop, d01=(1,), d02=(7,), d03=(3,))
    assert shop.materialize()[""]["exit_code"] == 0
    declare_made(shop)
    shop.edit("products/shop.py", "return frame.lazy()", "return frame.lazy().with_columns(more=1)")
    told = shop.materialize()["shop.lines"]
    assert told["result"] == "failed"
    assert (
        "Nothing of shop.lines goes out without it: what readers have of the failed parts has other columns."
        in told["error"]
    )
    assert xs(shop) == {"01": 1, "02": 7, "03": 3}


# ---------------------------------------------------------------------------------------------- what readers are told

TIMED = """
from assay import rule, source, sql_product
raw = source.files("in/{{day:date}}.csv", columns={{"x": "bigint"}})
lines = sql_product("lines", "select * from raw", owner="o", each="raw", event_time="day")
daily = sql_product("daily", "select day, {group} sum(x)::bigint as x from lines group by all", owner="o",
    partition_by="{by}", {about} on_failed_part="hold_part", rules=[rule.check("little", "x < 100")])
total = sql_product("total", "select sum(x)::bigint as x from daily", owner="o")
"""


def as_of(shop: Place) -> dict[str, str]:
    told = [t for t in shop.run("status", "--json").json if "result" in t]
    return {t["product"]: (t["as_of"] or "")[:10] for t in told}


@pytest.mark.parametrize(
    ("group", "by", "about", "expected"),
    [
        ("", "day", "", "2024-01-03"),
        ("", "day", "inputs={'lines': parts(all=True)},", "2024-01-03"),
        ("day(day) % 2 as odd,", "odd", "", "2024-01-04"),
    ],
    ids=["followed", "cut", "not by time"],
)
def test_as_of_is_that_of_the_parts_that_readers_see(
    shop: Place, group: str, by: str, about: str, expected: str
) -> None:
    shop.write(
        "products/shop.py",
        TIMED.format(group=group, by=by, about=about).replace("import rule", "import parts, rule"),
    )
    days(shop, d01=(10,), d02=(10,), d03=(10,), d04=(999,))
    assert held(shop.materialize()["shop.daily"])
    assert as_of(shop) == {
        "shop.lines": "2024-01-04",
        "shop.daily": expected,
        "shop.total": expected,
    }
    days(shop, d04=(9,))
    shop.materialize()
    assert set(as_of(shop).values()) == {"2024-01-04"}
    days(shop, d02=(999,))
    shop.materialize()
    assert as_of(shop)["shop.daily"] == "2024-01-04"


def test_readers_are_told_which_parts_are_held_back(shop: Place) -> None:
    shop.write("products/shop.py", TIMED.format(group="", by="day", about=""))
    days(shop, d01=(10,), d02=(10,))
    shop.materialize()
    days(shop, d02=(999,), d03=(999,), d04=(10,))
    shop.materialize()
    told = (
        "shop.daily has parts that are held back: without 2024-01-03, 2024-01-02 as it was before;"
        " `products why shop.daily` says why"
    )
    assert shop.run("query", "select max(day) from daily").err == f"  {told}\n"
    assert shop.run("query", "select 1 from lines").err == ""
    assert told in shop.run("show", "daily").err
    with pytest.warns(assay.PartsHeldBack, match="without 2024-01-03") as warned:
        assert assay.read("daily", project=shop.root).collect().height == 3
    assert warned[0].filename == __file__
    with pytest.warns(assay.PartsHeldBack):
        assay.connect(project=shop.root).close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assay.read("lines", project=shop.root)
    [now, *_] = shop.run("history", "daily", "--json").json
    assert sorted(now["held_parts"]) == ["2024-01-02", "2024-01-03"]
    assert "held back: 2024-01-02, 2024-01-03" in shop.run("history", "daily").out
    assert "held back by a rule" in shop.run("why", "daily", "--part", "2024-01-03").out
    assert "little: 2 rows" in shop.run("why", "daily").out


WEEKDAY = """
from assay import rule, source, sql_product
raw = source.files("in/{day:date}.csv", columns={"x": "bigint", "shop": "varchar"})
lines = sql_product("lines", "select * from raw", owner="o", each="raw", on_failed_part="hold_part", event_time="day", rules=[
    rule.changes("x", within="±40 %", against="same weekday, last 4", by=BY)])
"""


@pytest.mark.parametrize("by", mostly_long([[], ["shop"]], []))
def test_a_day_that_is_far_from_its_weekday_stays_held_when_later_days_are_published(
    shop: Place, by: list
) -> None:
    def night(day: int, x: int) -> list[str]:
        shop.write(f"in/2024-01-{day:02}.csv", f"x,shop\n{x},a\n")
        told = shop.materialize()
        assert told[""]["exit_code"] == (3 if told["shop.lines"].get("held_parts") else 0)
        return held(told["shop.lines"])

    def seen() -> dict[str, int]:
        rows = shop.query("select day, x from lines where day > date '2024-01-14' order by 1")
        return {row["day"][8:10]: row["x"] for row in rows}

    shop.write("products/shop.py", WEEKDAY.replace("BY", repr(by)))
    for day in range(1, 14):
        shop.write(f"in/2024-01-{day:02}.csv", "x,shop\n100,a\n")
    assert night(14, 100) == []
    assert night(15, 1000) == ["15"]
    assert night(16, 100) == ["15"], "the day after is no reason to let it out"
    assert night(16, 900) == ["15", "16"], (
        "nor is one that readers saw right, and that is wrong now"
    )
    assert night(17, 100) == ["15", "16"]
    assert seen() == {"16": 100, "17": 100}
    assert night(15, 110) == ["16"]
    assert night(16, 101) == []
    assert seen() == {"15": 110, "16": 101, "17": 100}


def test_a_group_that_a_new_day_lacks_has_changed_beside_its_weekday(shop: Place) -> None:
    shop.write("products/shop.py", WEEKDAY.replace("BY", '["shop"]'))
    for day in range(1, 15):
        shop.write(f"in/2024-01-{day:02}.csv", "x,shop\n100,a\n10,b\n")
    assert shop.materialize()[""]["exit_code"] == 0
    shop.write("in/2024-01-15.csv", "x,shop\n110,a\n")
    told = shop.materialize()["shop.lines"]
    assert held(told) == ["15"]
    assert [(row["shop"], row["is_now"]) for row in told["held_by"][0]["samples"]] == [("b", 0.0)]
