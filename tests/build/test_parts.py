"""Parts: made, judged and remembered one by one; what moves is what changed."""

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

import assay
from assay.engines.sql import reader
from assay.engines.sql import splitting as partwise_of
from assay.engines.sql.splitting import is_settled, partwise
from assay.facts import Part
from assay.store import leases
from tests.conftest import ROOT, Place, mostly_long, until

HEADER = """
import polars as pl
import pandera.polars as pa
from assay import parts, product, rule, source, sql_product
"""
SHOP = (
    HEADER
    + """
raw = source.files("data/{day:date}.csv", columns={"id": pl.Int64, "x": pl.Int64})

class Lines(pa.DataFrameModel):
    day: pl.Date
    id: int = pa.Field(unique=True)
    x: int = pa.Field(ge=0)

@product(owner="o", each="raw", contract=Lines)
def lines(raw: pl.LazyFrame) -> pl.LazyFrame:
    return raw.select("day", "id", "x").unique()

daily = sql_product(
    "daily", "select day, sum(x)::bigint as x, count(*) as n from lines group by 1", owner="o", partition_by="day")
weekly = sql_product(
    "weekly", "select day, sum(x) over (order by day range between interval 6 days preceding and current row)::bigint as x from daily", owner="o",
    partition_by="day", inputs={"daily": parts(back=6)})
monthly = sql_product(
    "monthly", "select strftime(day, '%Y-%m') as month, sum(x)::bigint as x from daily group by 1", owner="o",
    partition_by="month(day)")
"""
)
FIRST = date(2024, 1, 1)


def day(index: int) -> str:
    return (FIRST + timedelta(days=index)).isoformat()


def drop(place: Place, index: int, *xs: int) -> None:
    rows = [f"{index * 100 + n},{x}" for n, x in enumerate(xs)]
    place.write(f"data/{day(index)}.csv", "\n".join(["id,x", *rows]) + "\n")


def _shop(root: Path) -> Place:
    made = Place(root)
    made.write("pyproject.toml", "[tool.products]\n")
    made.write("products/shop.py", SHOP)
    for index in range(40):
        drop(made, index, index % 7, index % 5)
    return made


@pytest.fixture
def new_shop(tmp_path: Path) -> Place:
    """Forty days of a shop, of which nothing is built."""
    return _shop(tmp_path)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = _shop(tmp_path_factory.mktemp("shop"))
    assert made.materialize()[""]["exit_code"] == 0
    return made.root


@pytest.fixture
def shop(tmp_path: Path, built: Path) -> Place:
    """Forty days of a shop, all of them built."""
    return Place(shutil.copytree(built, tmp_path, dirs_exist_ok=True))


def moved(before: dict[str, Part], after: dict[str, Part]) -> tuple[set[str], set[str]]:
    """Return the parts that are others now, or new, and those that are gone."""
    other = {key for key in after if key not in before or before[key].id != after[key].id}
    return other, before.keys() - after.keys()


# ---------------------------------------------------------------------------------------------- what moves


def test_a_change_moves_its_part_and_what_is_made_of_it(new_shop: Place) -> None:
    told = new_shop.materialize()
    assert {n: t["parts"] for n, t in told.items() if n} == {
        "shop.lines": {"built": 40, "of": 40},
        "shop.daily": {"built": 40, "of": 40},
        "shop.weekly": {"built": 40, "of": 40},
        "shop.monthly": {"built": 2, "of": 2},
    }
    before = {name: new_shop.parts(name) for name in told if name}
    drop(new_shop, 20, 100, 1)
    planned = {t["product"]: t["parts"] for t in new_shop.run("plan", "--json").json}
    assert planned["shop.lines"]["to_build"] == [day(20)]
    assert planned["shop.weekly"]["to_build"] == [day(n) for n in range(20, 27)]
    assert planned["shop.monthly"] == {
        "to_build": ["2024-01"],
        "of": 2,
        **_about(planned["shop.monthly"]),
    }
    told = new_shop.materialize()
    assert {n: t["parts"]["built"] for n, t in told.items() if n} == {
        "shop.lines": 1,
        "shop.daily": 1,
        "shop.weekly": 7,
        "shop.monthly": 1,
    }
    after = {name: new_shop.parts(name) for name in before}
    assert moved(before["shop.daily"], after["shop.daily"]) == ({day(20)}, set())
    assert moved(before["shop.weekly"], after["shop.weekly"]) == (
        {day(n) for n in range(20, 27)},
        set(),
    )
    plain = new_shop.query(
        f"select sum(x) as x from lines where day between '{day(15)}' and '{day(21)}'"
    )
    assert new_shop.query(f"select x from weekly where day = '{day(21)}'") == plain


def _about(planned: dict) -> dict:
    return {"about_seconds": planned["about_seconds"]}


@pytest.mark.long
def test_rows_in_another_order_move_nothing_below(shop: Place) -> None:
    shop.write(f"data/{day(3)}.csv", "id,x\n301,3\n300,3\n")
    told = shop.materialize()
    assert told["shop.lines"]["result"] == "published"
    assert told["shop.lines"]["parts"]["built"] == 1
    assert {told[f"shop.{n}"]["result"] for n in ("daily", "weekly", "monthly")} == {"unchanged"}


@pytest.mark.long
def test_the_same_bytes_under_a_new_time_or_name_move_nothing(shop: Place) -> None:
    file = shop.root / f"data/{day(3)}.csv"
    os.utime(file, (time.time(), time.time()))
    assert {t["result"] for n, t in shop.materialize().items() if n} == {"unchanged"}
    shop.edit("products/shop.py", "data/{day:date}.csv", "data/**/{day:date}.csv")
    shop.materialize()
    before = shop.parts("shop.lines")
    (shop.root / "data/deep").mkdir()
    shutil.move(file, shop.root / "data/deep")
    told = shop.materialize()
    assert told["shop.lines"]["parts"] == {"built": 0, "of": 40}, (
        "what a file is called is not what is in it"
    )
    assert moved(before, shop.parts("shop.lines")) == (set(), set())


def test_a_day_removed_and_one_added(shop: Place) -> None:
    (shop.root / f"data/{day(39)}.csv").unlink()
    drop(shop, 40, 5)
    told = shop.materialize()
    assert told["shop.lines"]["parts"] == {"built": 1, "of": 40}
    assert set(shop.parts("shop.daily")) == {day(n) for n in range(41) if n != 39}
    assert told["shop.weekly"]["parts"] == {"built": 1, "of": 40}
    [seen] = shop.query(f"select x from weekly where day = '{day(40)}'")
    assert seen == shop.query(f"select sum(x) as x from daily where day > '{day(33)}'")[0]


def test_other_code_builds_every_part_again_and_old_code_none(shop: Place) -> None:
    shop.edit("products/shop.py", "count(*) as n", "count(*) + 1 as n")
    assert shop.materialize()["shop.daily"]["parts"] == {"built": 40, "of": 40}
    shop.edit("products/shop.py", "count(*) + 1 as n", "count(*) as n")
    told = shop.materialize()
    assert (told["shop.daily"]["result"], told["shop.daily"]["built"]) == ("published", False)


@pytest.mark.parametrize("nights", mostly_long([2, 10], 2))
def test_whatever_changes_it_is_as_if_built_anew(tmp_path: Path, nights: int) -> None:
    """Random nights: what is published is what a project that knows nothing would build from the same files."""
    chance = random.Random(4)
    shop = Place(tmp_path / "kept")
    shop.write("pyproject.toml", "[tool.products]\n")
    shop.write("products/shop.py", SHOP.replace("id: int = pa.Field(unique=True)", "id: int"))
    for index in range(8):
        drop(shop, index, index)
    for night in range(nights):
        for _ in range(chance.randint(1, 3)):
            index = chance.randint(0, 9)
            file = shop.root / f"data/{day(index)}.csv"
            if chance.random() < 0.25 and file.exists() and len(list(file.parent.iterdir())) > 2:
                file.unlink()
            else:
                drop(shop, index, *(chance.randint(0, 9) for _ in range(chance.randint(0, 3))))
        if chance.random() < 0.3:
            assert shop.run("gc").code == 0
        told = shop.materialize()
        assert told[""]["exit_code"] == 0, told
        fresh = Place(tmp_path / f"fresh{night}")
        shutil.copytree(
            shop.root, fresh.root, ignore=shutil.ignore_patterns(".products", "__pycache__")
        )
        fresh.materialize()
        for name in ("lines", "daily", "weekly", "monthly"):
            rows = f"from shop.{name} order by all"
            assert shop.query(rows) == fresh.query(rows), (night, name)


# ---------------------------------------------------------------------------------------------- how tables are split


def test_files_are_parts_of_their_own(place: Place) -> None:
    place.write(
        "products/shop.py",
        HEADER
        + """
raw = source.files("data/*.csv", columns={"x": pl.Int64})
@product(owner="o", each="raw")
def doubled(raw: pl.LazyFrame) -> pl.LazyFrame:
    return raw.select(pl.col("x") * 2)
""",
    )
    place.numbers("b", 4)
    place.materialize("-s", "doubled")
    assert set(place.parts("shop.doubled")) == {"data/a.csv", "data/b.csv"}
    place.numbers("b", 5)
    assert place.materialize("-s", "doubled")["shop.doubled"]["parts"] == {"built": 1, "of": 2}
    assert place.query("select sum(x) as x from doubled") == [{"x": 22}]


def test_folders_in_the_manner_of_hive(place: Place) -> None:
    place.write(
        "products/shop.py",
        HEADER
        + """
raw = source.files("in/shop={shop}/year={y:year}/*.parquet", columns={"x": pl.Int64})
@product(owner="o", each="raw")
def by_shop(raw: pl.LazyFrame) -> pl.LazyFrame:
    return raw
total = sql_product("total", "select shop, y, sum(x)::bigint as x from raw group by all", owner="o")
""",
    )
    for name, year, x in (("london", 2023, 1), ("london", 2024, 2), ("paris", 2024, 3)):
        folder = place.root / f"in/shop={name}/year={year}"
        folder.mkdir(parents=True)
        for n in range(2):
            pl.DataFrame({"x": [x]}).write_parquet(folder / f"{n}.parquet")
    place.materialize("-s", "domain:shop")
    assert set(place.parts("shop.by_shop")) == {"london/2023", "london/2024", "paris/2024"}
    rows = [
        {"shop": "london", "y": 2023, "x": 2},
        {"shop": "london", "y": 2024, "x": 4},
        {"shop": "paris", "y": 2024, "x": 6},
    ]
    assert place.query("from total order by all") == rows
    assert (
        place.query("select shop, y, sum(x)::bigint as x from by_shop group by all order by all")
        == rows
    )
    pl.DataFrame({"x": [9]}).write_parquet(place.root / "in/shop=paris/year=2024/0.parquet")
    assert place.materialize("-s", "by_shop")["shop.by_shop"]["parts"] == {"built": 1, "of": 3}


def test_a_file_that_is_no_part_is_told(new_shop: Place) -> None:
    new_shop.write("data/2024-02-31.csv", "id,x\n1,2\n")
    told = new_shop.materialize()
    assert told[""]["exit_code"] == 1
    assert "data/2024-02-31.csv does not say its day (such as 2011-12-09)" in json.dumps(
        told["shop.lines"]["waits_for"]
    )


def test_a_table_is_cut_and_only_what_differs_moves(place: Place) -> None:
    place.write(
        "products/shop.py",
        HEADER
        + """
raw = source.files("data/*.csv", columns={"x": pl.Int64})
by_rest = sql_product("by_rest", "select x % 3 as rest, x from raw", owner="o", partition_by="rest")
sums = sql_product("sums", "select rest, sum(x)::bigint as x from by_rest group by 1", owner="o", partition_by="rest")
""",
    )
    place.numbers("a", *range(9))
    place.materialize("-s", "domain:shop")
    before = place.parts("shop.by_rest"), place.parts("shop.sums")
    assert set(before[0]) == {"0", "1", "2"}
    assert len({part.path for part in before[0].values()}) == 1, (
        "what is cut at once is in one file"
    )
    place.numbers("b", 10)
    told = place.materialize("-s", "domain:shop")
    assert told["shop.by_rest"]["parts"] == told["shop.sums"]["parts"] == {"built": 1, "of": 3}
    assert moved(before[0], place.parts("shop.by_rest")) == ({"1"}, set())
    assert place.query("from sums order by rest") == [
        {"rest": 0, "x": 9},
        {"rest": 1, "x": 22},
        {"rest": 2, "x": 15},
    ]
    assert assay.read("shop.by_rest", project=place.root).collect().height == 10
    place.numbers("a")
    place.numbers("b")
    told = place.materialize("-s", "domain:shop")
    assert told[""]["exit_code"] == 0, "no rows are no parts, and still a table"
    assert place.query("select count(*) as n from by_rest") == [{"n": 0}]


@pytest.mark.long
def test_snapshots_of_the_price_of_oil(place: Place) -> None:
    """Six real snapshots of one file: days restated, removed, appended, and one night the very same bytes."""
    place.write(
        "products/oil.py",
        HEADER
        + """
brent_file = source.files("in/brent-daily.csv", columns={"Date": pl.Date, "Price": pl.Float64})
brent = sql_product("brent", 'select "Date" as day, "Price" as price from brent_file', owner="o", partition_by="day(day)",
                    event_time="day", rules=[rule.sql("one price a day", "select day from this group by 1 having count(*) > 1")])
marks = sql_product("marks", "select day, round(price * 42, 2) as per_tanker from brent", owner="o", partition_by="day")
months = sql_product("months", "select strftime(day, '%Y-%m') as month, avg(price) as price from brent group by 1",
                     owner="o", partition_by="month(day)")
""",
    )
    nights = ["2022-11-09", "2022-11-10", "2023-01-05", "2023-01-06", "2023-01-11", "2023-01-12"]
    (place.root / "in").mkdir()
    seen: dict[str, str] = {}
    before: dict[str, dict[str, Part]] = {"oil.brent": {}, "oil.marks": {}, "oil.months": {}}
    expected = {
        "2022-11-10": ({"2022-10-31"}, set()),
        "2023-01-06": (set(), {"2022-12-27"}),
        "2023-01-11": (set(), set()),
        "2023-01-12": (set(), {"2023-01-02"}),
    }
    for night in nights:
        text = (ROOT / f"fixtures/brent/brent-daily.{night}.csv").read_text()
        (place.root / "in/brent-daily.csv").write_text(text)
        rows = dict(line.split(",") for line in text.splitlines()[1:])
        told = place.materialize("-s", "domain:oil")
        assert told[""]["exit_code"] == 0, told
        after = {name: place.parts(name) for name in before}
        restated = {d for d in rows if d in seen and float(rows[d]) != float(seen[d])}
        new, gone = rows.keys() - seen.keys(), seen.keys() - rows.keys()
        assert night not in expected or expected[night] == (restated, gone)
        assert moved(before["oil.brent"], after["oil.brent"]) == (restated | new, gone), night
        assert moved(before["oil.marks"], after["oil.marks"]) == (restated | new, gone), night
        touched = {d[:7] for d in restated | new | gone}
        assert moved(before["oil.months"], after["oil.months"]) == (touched, set()), night
        if night == "2023-01-11":
            assert {t["result"] for n, t in told.items() if n} == {"unchanged"}
        found = place.query("select day, price from brent order by day")
        assert [(r["day"], r["price"]) for r in found] == [
            (d, float(p)) for d, p in sorted(rows.items())
        ]
        seen, before = rows, after


def test_rows_of_another_part_are_refused(new_shop: Place) -> None:
    new_shop.edit(
        "products/shop.py",
        "select day, sum(x)::bigint as x, count(*) as n from lines group by 1",
        "select day + 1 as day, 1 as x from lines",
    )
    told = new_shop.materialize()
    assert "belong elsewhere: they say so by day" in told["shop.daily"]["error"]
    assert not list((new_shop.root / ".products/store").glob("shop.daily/**/*.parquet"))


@pytest.mark.parametrize(
    ("sql", "by", "words"),
    [
        ("select nullif(x, 2) as k from raw", "k", "k is null in 1 rows"),
        ("select x from raw", "k", "partition_by names 'k', and the result has no such column"),
        ("select make_timestamp(x) as k from raw", "k", "which is TIMESTAMP"),
        ("select x::double as k from raw", "k", "which is DOUBLE"),
    ],
)
def test_what_cannot_be_cut_is_told(place: Place, sql: str, by: str, words: str) -> None:
    declared = f"raw = source.files('data/*.csv', columns={{'x': pl.Int64}})\nsql_product('p', '{sql}', owner='o', partition_by='{by}')"
    place.write("products/shop.py", HEADER + declared)
    told = place.materialize("-s", "shop.p")
    assert words in told["shop.p"]["error"]


def test_an_event_time_that_is_no_column_is_told_with_its_place(place: Place) -> None:
    declared = "sql_product('p', 'select current_date as day', owner='o', changes_with='day', event_time='dya')"
    place.write("products/shop.py", HEADER + declared)
    line = (HEADER + declared)[: (HEADER + declared).index(declared)].count("\n") + 1
    error = place.materialize("-s", "shop.p")["shop.p"]["error"]
    assert error.startswith(f"products/shop.py:{line}: event_time names 'dya'")
    assert "It has day. Did you mean day?" in error


def test_parts_that_are_not_alike_are_told(new_shop: Place) -> None:
    new_shop.edit(
        "products/shop.py",
        'return raw.select("day", "id", "x").unique()',
        'return raw.select("day", "id", pl.col("x").cast(pl.Int32 if raw.collect()["x"][0] > 3 else pl.Int64))',
    )
    new_shop.edit("products/shop.py", "contract=Lines", "purpose=''")
    told = new_shop.materialize("-s", "lines")
    assert "the parts of shop.lines are not alike" in told["shop.lines"]["error"]


MISTAKES = {
    "both": (
        "sql_product('p', 'from lines', owner='o', partition_by='day', each='lines')",
        "has each= and partition_by=",
    ),
    "no such input": (
        "sql_product('p', 'from lines', owner='o', each='nothing')",
        "each='nothing' is no name of an input",
    ),
    "none of its inputs": (
        "sql_product('p', 'from lines', owner='o', each='raw')",
        "each='raw' is none of its inputs",
    ),
    "not in parts": (
        "sql_product('q', 'select 1 as x', owner='o')\nsql_product('p', 'from q', owner='o', each='q')",
        "shop.q is not in parts",
    ),
    "a day that may be no date": (
        "sql_product('q', 'select 1 as k', owner='o', partition_by='k')\nsql_product('p', 'from q', owner='o', partition_by='month(k)')",
        "nothing says that k of shop.q is a date",
    ),
    "no grain": (
        "sql_product('p', 'from lines', owner='o', partition_by='decade(day)')",
        "partition_by='decade(day)' is neither",
    ),
    "finer": (
        "sql_product('p', 'from monthly', owner='o', partition_by='day', inputs={'monthly': parts()})",
        "is not made of whole parts of shop.monthly",
    ),
    "parts of a whole": (
        "sql_product('q', 'select 1 as x', owner='o')\nsql_product('p', 'from q', owner='o', partition_by='x', inputs={'q': parts()})",
        "parts() of shop.q, which is in no parts",
    ),
    "in no parts itself": (
        "sql_product('p', 'from lines', owner='o', inputs={'lines': parts()})",
        "is in no parts itself",
    ),
    "a window of names": (
        "sql_product('q', 'select 1 as x', owner='o', partition_by='x')\n"
        "sql_product('p', 'from q', owner='o', partition_by='x', inputs={'q': parts(back=2)})",
        "parts(back=2) is for parts in time",
    ),
    "a placeholder of no kind": (
        "odd = source.files('in/{day:hour}.csv', columns={'x': pl.Int64})",
        "{day:hour} is no placeholder",
    ),
    "held parts of a whole": (
        "sql_product('p', 'from lines', owner='o', on_failed_part='hold_part')",
        "is for a product in parts",
    ),
    "a word": (
        "sql_product('p', 'from lines', owner='o', on_failed_part='maybe')",
        "on_failed_part= should be",
    ),
    "a file": (
        "@product(owner='o', file='x.csv', each='lines')\ndef p(lines: pl.LazyFrame) -> str:\n    return ''",
        "a file is not in parts",
    ),
    "back of nothing": (
        "sql_product('p', 'from lines', owner='o', each='lines', inputs={'lines': parts(back=-1)})",
        "parts() back= should be",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_in_declarations(shop: Place, name: str) -> None:
    declared, words = MISTAKES[name]
    shop.write("products/shop.py", SHOP + declared + "\n")
    ran = shop.run("plan")
    assert ran.code == 2
    assert words in ran.err
    assert "products/shop.py:" in ran.err


# ---------------------------------------------------------------------------------------------- judging


def results(place: Place, product: str) -> dict[str, dict]:
    """Return how each rule came out on the newest version of a product, by its words."""
    database = sqlite3.connect(place.root / ".products/catalog.db")
    (found,) = database.execute(
        "select results from verdicts v join versions s on s.id = v.version where product = ? order by seq desc, judged_at desc",
        [product],
    ).fetchone()
    return {told["text"]: told for told in json.loads(found)}


def test_what_was_judged_of_a_part_is_remembered(shop: Place) -> None:
    database = sqlite3.connect(shop.root / ".products/catalog.db")
    count = "select count(*) from judged_parts j join parts p on p.id = j.part where product = 'shop.lines'"
    assert database.execute(count).fetchone() == (40,)
    drop(shop, 3, 1)
    shop.materialize()
    assert database.execute(count).fetchone() == (41,)
    (shop.root / f"data/{day(4)}.csv").unlink()
    shop.materialize()
    assert database.execute(count).fetchone() == (41,)
    assert results(shop, "shop.lines")["x is at least 0"]["how"] == "remembered"
    shop.edit("products/shop.py", "x: int = pa.Field(ge=0)", "x: int = pa.Field(ge=1)")
    told = shop.materialize("-s", "lines")
    assert told["shop.lines"]["result"] == "held back"
    failing = sum(n % 7 < 1 for n in range(40) if n not in {3, 4}) + sum(
        n % 5 < 1 for n in range(40) if n not in {3, 4}
    )
    [failed] = [r for r in told["shop.lines"]["rules"] if r["status"] == "failed"]
    assert failed["failing"] == failing


@pytest.mark.parametrize("overlap", [False, True])
def test_uniqueness_holds_across_parts(shop: Place, overlap: bool) -> None:
    shop.materialize()
    rows = ["id,x", f"{300},1", "305,2"] + (
        ["1000001,1"] if overlap else []
    )  # it goes beyond those of all later days
    shop.write(f"data/{day(3)}.csv", "\n".join(rows) + "\n")
    assert shop.materialize()["shop.lines"]["result"] == "published"
    shop.write(f"data/{day(5)}.csv", "id,x\n305,1\n")
    told = shop.materialize()["shop.lines"]
    assert told["result"] == "held back"
    [failed] = [r for r in told["rules"] if r["status"] == "failed"]
    assert (failed["text"], failed["failing"]) == ("id is unique", 2)


def test_uniqueness_within_a_part_and_by_its_column(shop: Place) -> None:
    shop.edit(
        "products/shop.py",
        "id: int = pa.Field(unique=True)",
        "id: int\n    class Config:\n        unique = ['day', 'id']",
    )
    shop.materialize()
    shop.write(f"data/{day(3)}.csv", "id,x\n7,1\n7,2\n")
    [failed] = [r for r in shop.materialize()["shop.lines"]["rules"] if r["status"] == "failed"]
    assert failed["failing"] == 2
    assert {s["id"] for s in failed["samples"]} == {7}


def test_a_failed_part_is_held_and_the_others_go_out(shop: Place) -> None:
    shop.edit("products/shop.py", "contract=Lines)", 'contract=Lines, on_failed_part="hold_part")')
    shop.materialize()
    drop(shop, 7, -1, 4)
    drop(shop, 8, 50)
    drop(shop, 40, -3)
    told = shop.materialize()
    assert told[""]["exit_code"] == 3
    lines = told["shop.lines"]
    assert lines["result"] == "published"
    assert lines["held_parts"] == [
        {"part": day(7), "readers_keep_before": True},
        {"part": day(40), "readers_keep_before": False},
    ]
    [rule] = lines["held_by"]
    assert (rule["text"], rule["failing"]) == ("x is at least 0", 2)
    assert shop.query(
        f"select day, sum(x)::bigint as x from lines where day in ('{day(7)}', '{day(8)}', '{day(40)}') group by 1 order by 1"
    ) == [
        {"day": day(7), "x": 2},
        {"day": day(8), "x": 50},
    ]
    assert told["shop.daily"]["parts"]["built"] == 1
    again = shop.materialize()
    assert again[""]["exit_code"] == 3
    assert again["shop.lines"]["result"] == "unchanged"
    assert not any(t["built"] or t["judged"] for n, t in again.items() if n)
    text = shop.run("materialize").out
    assert f"held back: 1 part ({day(7)}); readers keep what they had of it" in text
    [status] = [t for t in shop.run("status", "--json").json if t["product"] == "shop.lines"]
    assert status["state"] == "2 parts held back"
    assert day(7) in shop.run("plan").out
    assert "held back by a rule" in shop.run("why", "lines", "--part", day(7)).out
    assert shop.run("show", "lines", "--held", "-n", "100").out.count(day(7)) == 2, (
        "what is held can be looked at"
    )
    drop(shop, 7, 4)
    drop(shop, 40, 3)
    told = shop.materialize()
    assert (told[""]["exit_code"], "held_parts" in told["shop.lines"]) == (0, False)
    assert shop.query("select count(*) as n from daily") == [{"n": 41}]


def test_a_rule_of_the_whole_holds_the_parts_that_it_names(shop: Place) -> None:
    about = 'partition_by="day", on_failed_part="hold_part", rules=[rule.sql("no day is over a hundred", "select {} from this where x > (select 100)")])'
    old = 'group by 1", owner="o", partition_by="day")'
    shop.edit("products/shop.py", old, 'group by 1", owner="o", ' + about.format("day, x"))
    shop.materialize()
    drop(shop, 5, 1000)
    told = shop.materialize()
    assert told["shop.daily"]["held_parts"] == [{"part": day(5), "readers_keep_before": True}]
    shop.edit("products/shop.py", "select day, x from this", "select x from this")
    told = shop.materialize("-s", "daily")
    assert told["shop.daily"]["result"] == "held back", (
        "a rule that does not say of which day a row is holds all"
    )


def test_when_every_part_fails_the_product_is_held(new_shop: Place) -> None:
    new_shop.edit(
        "products/shop.py", "contract=Lines)", 'contract=Lines, on_failed_part="hold_part")'
    )
    for index in range(40):
        drop(new_shop, index, -1)
    told = new_shop.materialize()
    assert told["shop.lines"]["result"] == "held back"
    assert new_shop.run("query", "from lines").code == 2


# ---------------------------------------------------------------------------------------------- backfills


def test_a_range_is_built_and_the_rest_later(new_shop: Place) -> None:
    told = new_shop.materialize("lines", "--parts", f"{day(5)}..{day(9)}")
    assert told["shop.lines"] | {"seconds": 0} == {
        "product": "shop.lines",
        "result": "unfinished",
        "parts_there": 5,
        "of": 40,
        "readers": None,
        "release": None,
        "reasons": ["never built"],
        "parts": {"built": 5, "of": 40},
        "built": False,
        "judged": False,
        "seconds": 0,
    }
    assert told[""]["exit_code"] == 0
    assert new_shop.materialize("lines", "--parts", "2024-02")["shop.lines"]["parts_there"] == 14
    assert new_shop.materialize("lines", "--parts", "2024-01..2024-02")["shop.lines"]["parts"] == {
        "built": 26,
        "of": 40,
    }
    assert new_shop.query("select count(*) as n from lines") == [{"n": 80}]
    told = new_shop.materialize("lines", "--parts", f"{day(0)}..{day(1)}", "--force")
    assert told["shop.lines"]["parts"] == {"built": 2, "of": 40}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--parts", "2024-01"), "--parts needs the name of a product"),
        (("lines", "--parts", "x..y"), "'x' is no day"),
        (("split", "--parts", "1"), "is not made part by part"),
    ],
)
def test_a_range_that_is_none(shop: Place, arguments: tuple[str, ...], words: str) -> None:
    shop.edit(
        "products/shop.py",
        "daily = ",
        "split = sql_product('split', 'select 1 as k', owner='o', partition_by='k')\ndaily = ",
    )
    ran = shop.run("materialize", *arguments)
    assert ran.code == 2
    assert words in ran.err


def test_parts_that_are_done_survive_a_kill(new_shop: Place) -> None:
    body = f"import time\n    if str(raw.select('day').head(1).collect().item()) == '{day(20)}':\n        time.sleep(1000)\n    return raw"
    new_shop.edit("products/shop.py", "return raw.select", body + ".select")
    running = subprocess.Popen(
        [sys.executable, "-m", "assay", "materialize"], cwd=new_shop.root, stdout=subprocess.DEVNULL
    )
    until(lambda: new_shop.recorded_parts("shop.lines") == 20)
    running.kill()
    running.wait()
    drop(new_shop, 20, 1)
    new_shop.edit("products/shop.py", f"'{day(20)}'", "'never'")
    told = new_shop.materialize("-s", "lines")
    assert told["shop.lines"]["parts"] == {"built": 40, "of": 40}, "other code is another part"
    new_shop.edit("products/shop.py", "'never'", f"'{day(20)}'")
    (new_shop.root / f"data/{day(20)}.csv").unlink()
    told = new_shop.materialize("-s", "lines")
    assert told["shop.lines"]["parts"] == {"built": 19, "of": 39}, (
        "twenty were there, recorded before the kill"
    )
    named = {p.path for p in new_shop.parts("shop.lines").values()}
    assert all((new_shop.root / ".products/store" / path).is_file() for path in named)


def test_one_part_that_fails_keeps_the_others(new_shop: Place) -> None:
    new_shop.write(f"data/{day(30)}.csv", "id,x\n1,two\n")
    told = new_shop.materialize("-s", "lines")
    assert told["shop.lines"]["result"] == "failed"
    assert "two" in told["shop.lines"]["error"]
    drop(new_shop, 30, 2)
    assert new_shop.materialize("-s", "lines")["shop.lines"]["parts"] == {"built": 10, "of": 40}


def test_a_part_whose_bytes_are_gone_is_built_again(shop: Place) -> None:
    lost = shop.parts("shop.daily")[day(9)]
    file = shop.root / ".products/store" / lost.path
    file.parent.chmod(0o755)
    file.unlink()
    told = shop.materialize()
    assert told["shop.daily"]["parts"] == {"built": 1, "of": 40}
    assert "are missing" in told["shop.daily"]["reasons"][0]


def test_why_of_a_part(shop: Place) -> None:
    drop(shop, 20, 9)
    said = shop.run("why", "lines", "--part", day(20)).out
    assert "it will be built again" in said
    assert "because of raw" in said
    told = shop.run("why", "weekly", "--part", day(21), "--json").json
    assert told["result"] == "it depends on what becomes of its inputs"
    assert told["uses"] == {"daily": [day(n) for n in range(15, 22)]}
    ran = shop.run("why", "lines", "--part", "1999-01-01")
    assert (ran.code, "no part '1999-01-01'" in ran.err) == (2, True)


# ---------------------------------------------------------------------------------------------- reading, tidying up


def files_read(place: Place, sql: str) -> int:
    """Return how many files DuckDB opens for a query over what readers see."""
    connection = assay.connect(project=place.root)
    plan = connection.execute(f"explain analyze {sql}").fetchall()[0][1]
    return sum(
        int(line.split("Files Read:")[1].split()[0])
        for line in plan.splitlines()
        if "Files Read:" in line
    )


def test_readers_open_the_files_of_the_parts_they_ask_for(shop: Place) -> None:
    assert files_read(shop, f"select sum(x) from shop.daily where day = date '{day(9)}'") == 1
    assert files_read(shop, f"select sum(x) from shop.daily where day >= date '{day(38)}'") == 2
    assert files_read(shop, "select sum(x) from shop.daily") == 40
    garbled = shop.root / ".products/store" / shop.parts("shop.daily")[day(20)].path
    garbled.chmod(0o644)
    before = garbled.stat()
    garbled.write_bytes(b"x" * before.st_size)
    os.utime(
        garbled, ns=(before.st_atime_ns, before.st_mtime_ns)
    )  # so that only who opens it notices
    frame = assay.read("shop.daily", project=shop.root).filter(pl.col("day") == pl.date(2024, 1, 5))
    assert frame.collect().height == 1, "another part's file is not even opened"


@pytest.mark.long
def test_small_files_are_put_together_and_nothing_moves(shop: Place) -> None:
    rows = {name: shop.query(f"from {name} order by all") for name in ("lines", "daily", "weekly")}
    parts = {name: {k: p.digest for k, p in shop.parts(f"shop.{name}").items()} for name in rows}
    dry = shop.run("gc", "--dry-run", "--json").json
    store = shop.root / ".products/store"
    assert {item["product"]: (item["files"], item["into"]) for item in dry["compacted"]} == {
        f"shop.{name}": (33, 1) for name in rows
    }
    count = len(list(store.rglob("*.parquet")))
    assert shop.run("gc", "--json").json == dry
    assert len(list(store.rglob("*.parquet"))) == count + 3, (
        "whoever is reading the old files still can"
    )
    assert {n: {k: p.digest for k, p in shop.parts(f"shop.{n}").items()} for n in rows} == parts
    assert {t["result"] for n, t in shop.materialize().items() if n} == {"unchanged"}
    assert {name: shop.query(f"from {name} order by all") for name in rows} == rows
    frame = assay.read("shop.daily", project=shop.root)
    assert frame.filter(pl.col("day") == pl.date(2024, 1, 5)).collect().height == 1
    assert frame.sort("day").collect().rows() == [tuple(_plain(r).values()) for r in rows["daily"]]
    kept = shop.run("gc", "--json", "--now", "2100-01-01").json
    assert not kept["removed"], "this process reads them, for all that gc can know"
    assert [len(item["files"]) for item in kept["waiting"]] == [99]
    leases._lasting_lease.cache_clear()  # as if it ended
    assert len(shop.run("gc", "--json", "--now", "2100-01-01").json["removed"]) == 99
    assert len(list(store.rglob("*.parquet"))) == count + 3 - 99
    drop(shop, 3, 77)
    told = shop.materialize()
    assert {n: t["parts"]["built"] for n, t in told.items() if n} == {
        "shop.lines": 1,
        "shop.daily": 1,
        "shop.weekly": 7,
        "shop.monthly": 1,
    }
    assert shop.query(f"select x from daily where day = '{day(3)}'") == [{"x": 77}]
    assert shop.run("show", "daily", "-n", "100", "--to", str(shop.root / "out.parquet")).code == 0
    assert pl.read_parquet(shop.root / "out.parquet").height == 40


def _plain(row: dict) -> dict:
    return {**row, "day": date.fromisoformat(row["day"])}


def test_versions_share_what_did_not_change(shop: Place) -> None:
    for night in range(5):
        drop(shop, 40 + night, night)
        shop.materialize()
    database = sqlite3.connect(shop.root / ".products/catalog.db")
    assert database.execute(
        "select count(*) from parts where product = 'shop.lines'"
    ).fetchone() == (45,)
    ranges = database.execute(
        "select parts from versions where product = 'shop.lines' order by seq desc limit 1"
    ).fetchone()
    assert ranges[0].count(",") <= 5


def test_what_is_known_of_functions_is_what_duckdb_says() -> None:
    aggregates, moving = reader.functions()
    assert aggregates >= partwise_of._TOTALS
    assert not (aggregates | moving) & partwise_of._PLAIN
    assert not moving & partwise_of._TOTALS


PARTWISE = {
    "select day, n from this where n > 1000 order by n": (True, True),
    "from this t where t.x not between 1 and 2": (True, True),
    "select id, day from this group by all having count(*) > 1": (False, True),
    "select id, day, count(*) from this t group by 1, t.day having count(*) > 1": (False, True),
    "select count(*) as n from this group by day, id": (False, True),
    "select id from this group by id having count(*) > 1": (False, False),
    "select s.day from this group by s.day having count(*) > 1": (False, False),
    "select x as day from this group by all having count(*) > 1": (False, False),
    "select day from this group by rollup (day)": (False, False),
    "select max(x) from this": (False, False),
    "select day from this having max(x) > 3": (False, False),
    "select distinct day from this": (False, False),
    "select day from this limit 5": (False, False),
    "select day, sum(x) over () from this": (False, False),
    "select day from this where x > (select avg(x) from this)": (False, False),
    "select day from this qualify row_number() over () > 3": (False, False),
    "select t.day from this t join this u using (day)": (False, False),
    "with a as (from this) select day from a": (False, False),
    "select day from this tablesample 10%": (False, False),
    "select day from this union all select day from this": (False, False),
    "select day from shop.this": (False, False),
}


@pytest.mark.parametrize("sql", PARTWISE)
def test_which_queries_are_about_parts_on_their_own(sql: str) -> None:
    assert (partwise(sql, ""), partwise(sql, "day")) == PARTWISE[sql]


def test_a_query_about_rows_is_remembered_too(shop: Place) -> None:
    rules = 'partition_by="day", rules=[rule.sql("small", "select day, x from this where x > 100"), rule.sql("once", "select day from this group by day having count(*) > 1")])'
    shop.edit(
        "products/shop.py",
        'group by 1", owner="o", partition_by="day")',
        f'group by 1", owner="o", {rules}',
    )
    shop.materialize()
    (shop.root / f"data/{day(4)}.csv").unlink()
    shop.materialize()
    assert {r["how"] for r in results(shop, "shop.daily").values()} == {"remembered"}
    drop(shop, 5, 1000)
    [failed] = shop.materialize()["shop.daily"]["rules"]
    assert (failed["text"], failed["failing"], failed["samples"][0]["x"]) == ("small", 1, 1000)


FORCED = (
    HEADER
    + """
raw = source.files("data/{day:date}.csv", columns={"id": pl.Int64, "x": pl.Int64})

class Lines(pa.DataFrameModel):
    y: int = pa.Field(ge=0)

@product(owner="o", each="raw", contract=Lines, on_failed_part="hold_part")
def lines(raw: pl.LazyFrame) -> pl.LazyFrame:
    return raw.select("day", y=pl.col("x") * int(open("factor").read()))  # which nobody can know of
"""
)


def test_parts_that_were_forced_are_what_the_next_run_takes(shop: Place) -> None:
    """Those that readers see were made of the same, as far as can be told; the newest count."""
    shop.write("products/shop.py", FORCED)
    for number in range(7, 40):
        (shop.root / f"data/{day(number)}.csv").unlink()
    for number in range(7):
        drop(shop, number, 1)
    shop.write("factor", "1")
    assert shop.materialize()[""]["exit_code"] == 0
    shop.write("factor", "2")
    drop(shop, 7, 1)
    told = shop.materialize("lines", "--parts", f"{day(0)}..{day(4)}", "--force")
    assert told["shop.lines"]["result"] == "unfinished"
    assert shop.materialize()["shop.lines"]["parts"] == {"built": 3 - 2, "of": 8}
    assert [row["y"] for row in shop.query("select y from lines order by day")] == [2] * 5 + [
        1
    ] * 2 + [2]


def test_a_part_is_held_until_it_is_good(shop: Place) -> None:
    shop.write("products/shop.py", FORCED)
    shop.write("factor", "1")
    assert shop.materialize()[""]["exit_code"] == 0
    before = shop.query(f"select y from lines where day = '{day(3)}' order by y")
    shop.write("factor", "-1")
    assert shop.materialize("lines", "--parts", day(3), "--force")[""]["exit_code"] == 3
    shop.write("factor", "1")
    for number in (40, 41):
        drop(shop, number, 1)
        assert shop.materialize()[""]["exit_code"] == 3, "another day is no reason to forget it"
        assert shop.query(f"select y from lines where day = '{day(3)}' order by y") == before
        assert len(shop.query(f"from lines where day = '{day(number)}'")) == 1
    assert shop.materialize("lines", "--parts", day(3), "--force")[""]["exit_code"] == 0
    drop(shop, 42, 1)
    assert shop.materialize()[""]["exit_code"] == 0


WARNING = 'rules=[rule.sql("small", "select day, x from this where x > 100", severity="warning")]'


def test_of_parts_in_which_nothing_was_found_nothing_is_asked(shop: Place) -> None:
    """What readers see was judged: where that found nothing, its parts are known, whatever is remembered of each."""
    rules = f'partition_by="day", {WARNING})'
    shop.edit(
        "products/shop.py",
        'group by 1", owner="o", partition_by="day")',
        f'group by 1", owner="o", {rules}',
    )
    shop.materialize()
    database = sqlite3.connect(shop.root / ".products/catalog.db")
    daily = "select id from parts where product = 'shop.daily'"

    def known(change: str = "") -> int:
        """Change what is remembered of the parts there are, and return how many there are that anything is of."""
        with database:
            if change:
                database.execute(f"{change} where part in ({daily})")
            [(count,)] = database.execute(
                f"select count(*) from judged_parts where part in ({daily})"
            ).fetchall()
        return count

    def small() -> tuple[str, int]:
        told = results(shop, "shop.daily")["small"]
        return told["status"], told.get("failing", 0)

    assert known("delete from judged_parts") == 0
    drop(shop, 40, 1)
    shop.materialize()
    assert known() == 1, "one is new"
    assert small() == ("passed", 0)
    drop(shop, 41, 1000)
    shop.materialize()
    assert small() == ("warning", 1)
    drop(shop, 42, 2000)
    shop.materialize()
    assert small() == ("warning", 2), "then each part is asked for what is remembered of it"
    assert known() == 43
    drop(shop, 41, 1)
    drop(shop, 42, 1)
    shop.materialize()
    assert small() == ("passed", 0)
    assert known("delete from judged_parts") == 0
    shop.edit("products/shop.py", "x > 100", "x > 5")
    shop.materialize()
    [(wanted,)] = [
        tuple(row.values()) for row in shop.query("select count(*) as n from daily where x > 5")
    ]
    assert wanted > 5
    assert small() == ("warning", wanted), "other rules ask all of them"


TOTALS = """[
    rule.sql("there is enough", "select sum(x) as x, avg(x) as mean from this having sum(x) < 10"),
    rule.sql("no day is without", "select day, count(*) as n from this group by all having count(*) < 1"),
    rule.rows(at_least=3),
    rule.changes("x", within="60 %"),
    rule.changes("x", within=40, by=["day"]),
    rule.changes("count(*)", within="±80 %", against="same weekday, last 4"),
    rule.reconciles("x", "ledger", "x", within=5),
    rule.reconciles("x", "book", "x", by=["day"]),
    rule.fresh_event_time(within="9000 days"),
]"""
TWIN = f"""
lines = product(owner="o", each="raw", event_time="day", rules={TOTALS})(lines)
book = sql_product("book", "select day, sum(x)::bigint as x from raw group by 1", owner="o")
ledger = sql_product("ledger", "from book", owner="o", partition_by="day")
twin = sql_product("twin", "select day, id, x from raw", owner="o", event_time="day", rules={TOTALS})
"""


def told_alike(shop: Place) -> dict[str, dict]:
    """Return how the rules of the lines came out, which is how those of its twin did, that is in one part."""
    mine, other = results(shop, "shop.lines"), results(shop, "shop.twin")
    for text, told in other.items():
        apart = {
            "how",
            "failing_rows",
            *(["measured"] if text.endswith("old") else []),
        }  # one was judged a moment after the other, and the twin has no parts
        assert {**mine[text], **dict.fromkeys(apart)} == {**told, **dict.fromkeys(apart)}
    assert {told["how"] for told in other.values()} == {"sql"}
    return mine


@pytest.mark.long
def test_totals_are_put_together_from_those_of_the_parts(new_shop: Place) -> None:
    declared = SHOP.replace('@product(owner="o", each="raw", contract=Lines)\n', "")
    new_shop.write("products/shop.py", declared + TWIN)
    new_shop.materialize()
    told = told_alike(new_shop)
    assert {r["how"] for r in told.values() if r["status"] != "skipped"} == {"totals"}
    database = sqlite3.connect(new_shop.root / ".products/catalog.db")
    count = "select count(*) from judged_parts j join parts p on p.id = j.part where product = 'shop.lines'"
    judged = database.execute(count).fetchone()[0]
    drop(new_shop, 5, 3, 30)
    new_shop.materialize()
    told = told_alike(new_shop)
    assert {(r["status"], r["how"]) for r in told.values()} == {("passed", "totals")}
    assert database.execute(count).fetchone()[0] == judged + judged // 40
    drop(new_shop, 6, -3000, 30)
    new_shop.materialize()
    told = told_alike(new_shop)
    failed = {text: r["samples"] for text, r in told.items() if r["status"] == "failed"}
    assert len(failed) == 3
    assert failed["there is enough"][0]["x"] == sum(
        r["is_now"] for r in failed["x stays within 60 % of what is published"]
    )
    [why] = [
        t
        for t in new_shop.run("why", "lines", "--rules", "--json").json
        if t["rule"] == "there is enough"
    ]
    assert (why["how"], why["last"]["how"]) == ("totals", "totals")
    assert (
        "of each part of this: SELECT sum(x) AS __value0, count(x) AS __value1 FROM __part"
        in why["query"]
    )


@pytest.mark.parametrize(
    ("total", "how"), [("sum(x) < 0 or max(id) is null", "totals"), ("median(x) < 0", "")]
)
def test_what_totals_are_in_a_part_is_not_read_again(shop: Place, total: str, how: str) -> None:
    rules = (
        f"""each="raw", rules=[rule.sql("a total", "select count(*) from this having {total}")])"""
    )
    shop.edit("products/shop.py", 'each="raw", contract=Lines)', rules)
    shop.materialize("-s", "lines")
    for file in (shop.root / ".products/store").rglob("shop.lines/**/*.parquet"):
        file.chmod(0o644)
        written = file.stat()
        file.write_bytes(
            bytes(written.st_size)
        )  # nobody can read it any more, and its time does not tell
        os.utime(file, ns=(written.st_atime_ns, written.st_mtime_ns))
    drop(shop, 3, 1)
    told = shop.materialize("-s", "lines")["shop.lines"]
    assert told["result"] == ("published" if how else "failed")
    assert not how or results(shop, "shop.lines")["a total"]["how"] == how


def test_totals_of_what_is_sensitive_are_not_remembered(shop: Place) -> None:
    shop.edit(
        "products/shop.py",
        "x: int = pa.Field(ge=0)",
        'x: int = pa.Field(ge=0, metadata={"sensitive": True})',
    )
    rules = 'rules=[rule.sql("a total", "select max(x) from this having max(x) > 100"), rule.sql("ids", "select max(id) from this having max(id) < 0")]'
    shop.edit("products/shop.py", "contract=Lines)", f"contract=Lines, {rules})")
    shop.materialize()
    told = results(shop, "shop.lines")
    assert (told["a total"]["how"], told["ids"]["how"]) == ("sql", "totals")
    database = sqlite3.connect(shop.root / ".products/catalog.db")
    remembered = "".join(row[0] for row in database.execute("select results from judged_parts"))
    assert "max(id)" in remembered
    assert "max(x)" not in remembered


# ---------------------------------------------------------------------------------------------- what once went wrong


def test_parts_of_another_split_do_not_stand_in(place: Place) -> None:
    declared = (
        HEADER
        + """
raw = source.files("d.csv", columns={"a": pl.String, "b": pl.String, "x": pl.Int64})
c = sql_product("c", "select a, b, x from raw", owner="o", partition_by="a", on_failed_part="hold_part", rules=[rule.check("p", "x >= 0")])
"""
    )
    place.write("products/shop.py", declared)
    place.write("d.csv", "a,b,x\nu,v,1\nv,u,2\nu,u,3\n")
    place.materialize("-s", "c")
    place.edit("products/shop.py", 'partition_by="a"', 'partition_by="b"')
    place.write("d.csv", "a,b,x\nu,v,1\nv,u,-2\nu,u,3\n")
    assert place.materialize("-s", "c")["shop.c"]["result"] == "held back"
    assert place.query("select sum(x)::bigint as x, count(*) as n from c") == [{"x": 6, "n": 3}]


@pytest.mark.parametrize("pattern", ["./in//{shop}.csv", "in/**/{shop}.csv", "{top}/{shop}.csv"])
def test_paths_are_read_from_the_project_on(tmp_path: Path, pattern: str) -> None:
    place = Place(tmp_path / "shop=zzz" / "in")  # a folder above it tells nothing
    place.write("pyproject.toml", "[tool.products]\n")
    place.write(
        "products/shop.py",
        HEADER
        + f"""
raw = source.files("{pattern}", columns={{"x": pl.Int64}})
lines = sql_product("lines", "select shop, x from raw", owner="o", partition_by="shop", inputs={{"raw": parts()}})
frame = sql_product("frame", "select shop, x from raw", owner="o", each="raw")
""".replace(
            'partition_by="shop", inputs={"raw": parts()}',
            'each="raw"' if "top" in pattern else 'partition_by="shop"',
        ),
    )
    for name in ("a", "*", "[a]", "a?", "__HIVE_DEFAULT_PARTITION__", "NULL", "x=y", "ä b"):
        place.write(f"in/{name}.csv", "x\n1\n")
    place.materialize()
    names = sorted(["a", "*", "[a]", "a?", "__HIVE_DEFAULT_PARTITION__", "NULL", "x=y", "ä b"])
    readers = assay.connect(project=place.root)
    for table in ("lines", "frame"):
        assert sorted(r["shop"] for r in place.query(f"from {table}")) == names
        assert (
            sorted(assay.read(f"shop.{table}", project=place.root).collect()["shop"].to_list())
            == names
        )
        for name in names:
            found = readers.execute(
                f"select count(*) from shop.{table} where shop = ?", [name]
            ).fetchall()
            assert found == [(1,)], name
            kept = assay.read(f"shop.{table}", project=place.root).filter(pl.col("shop") == name)
            assert kept.collect().height == 1, name


def test_a_column_may_have_any_name(place: Place) -> None:
    place.write(
        "products/shop.py",
        HEADER
        + """
raw = source.files("data/{größe}.csv", columns={"x": pl.Int64})
a = sql_product("a", "select größe, x as __key from raw", owner="o", partition_by="größe")
b = sql_product("b", "select x as __key from raw", owner="o", partition_by="__key")
""",
    )
    place.materialize("-s", "domain:shop")
    assert place.query("select größe, sum(__key)::bigint as x from a group by 1") == [
        {"größe": "a", "x": 6}
    ]
    assert place.query("select count(*) as n from b") == [{"n": 3}]


def test_keys_of_months_years_and_numbers_are_what_columns_hold(place: Place) -> None:
    place.write(
        "products/shop.py",
        HEADER
        + """
raw = source.files("in/{m:month}/{n:int}.csv", columns={"x": pl.Int64})
years = source.files("years/{y:year}.csv", columns={"x": pl.Int64})
months = source.files("months/{m:month}.csv", columns={"x": pl.Int64})
each = sql_product("each", "select m, n, x from raw", owner="o", each="raw")
by_year = sql_product("by_year", "select y, x from years", owner="o", partition_by="y")
by_month = sql_product("by_month", "select m, x from months", owner="o", partition_by="m")
""",
    )
    for path in (
        "in/2024-01/007.csv",
        "in/2024-01/7.csv",
        "years/2024.csv",
        "months/2024-01.csv",
        "months/2024-02.csv",
    ):
        place.write(path, "x\n1\n")
    assert place.materialize("-s", "domain:shop")[""]["exit_code"] == 0
    assert set(place.parts("shop.each")) == {"2024-01/7"}
    assert place.query("select n, count(*) as c from each group by 1") == [{"n": 7, "c": 2}]
    assert place.query("select y from by_year") == [{"y": 2024}]
    assert set(place.parts("shop.by_month")) == {"2024-01", "2024-02"}


def test_a_text_that_is_no_day_as_written_is_refused(shop: Place) -> None:
    shop.edit(
        "products/shop.py",
        "select day, sum(x)::bigint as x, count(*) as n from lines group by 1",
        "select strftime(day, '%Y-%-m-%-d') as day, sum(x)::bigint as x from lines group by 1",
    )
    assert "belong elsewhere" in shop.materialize()["shop.daily"]["error"]


def test_a_placeholder_may_be_a_column_of_the_file(place: Place) -> None:
    place.write(
        "products/shop.py",
        HEADER
        + """
raw = source.files("in/{day:date}.csv", columns={"day": pl.Date, "x": pl.Int64})
lines = sql_product("lines", "select day, x from raw", owner="o", each="raw")
""",
    )
    place.write("in/2024-01-01.csv", "day,x\n2023-12-31,1\n")
    place.materialize("-s", "lines")
    assert set(place.parts("shop.lines")) == {"2024-01-01"}
    assert place.query("from lines") == [{"day": "2023-12-31", "x": 1}]


def test_a_window_drops_its_own_rows_and_no_others(shop: Place) -> None:
    window = "select day, sum(x) over (order by day range between interval 6 days preceding and current row)::bigint as x from daily"
    shop.edit("products/shop.py", window, f"{window} union all select day + 1, 1 from daily")
    assert "belong elsewhere" in shop.materialize()["shop.weekly"]["error"]
    shop.edit(
        "products/shop.py",
        f"{window} union all select day + 1, 1 from daily",
        "select x from daily",
    )
    assert "do not say of which part" in shop.materialize()["shop.weekly"]["error"]
    shop.edit(
        "products/shop.py", '"select x from daily"', '"select day as \\"Day\\", x from daily"'
    )
    shop.materialize()
    assert shop.query("select count(*) as n from weekly") == [{"n": 40}]
    shop.edit(
        "products/shop.py",
        'partition_by="day", inputs={"daily": parts(back=6)}',
        'each="daily", inputs={"daily": parts(back=6)}',
    )
    assert "needs rows that say of which part they are" in shop.run("ls").err


def test_what_a_clock_says_is_not_remembered(shop: Place) -> None:
    assert not is_settled("ts > now()")
    assert not is_settled("ts < current_timestamp and x > 0")
    assert is_settled("x > 0 and lower(y) = 'a'")
    assert not partwise("select day from this where day > current_date", "day")
    assert not is_settled("age(day) > interval 1 day")


def test_a_column_called_as_a_function_is_no_clock() -> None:
    """`day(timestamptz)` hangs on the time zone; a column `day`, and `+`, do not."""
    assert partwise("select id, day from this group by all having count(*) > 1", "day")
    assert is_settled("year + 1 > month(day)")


def test_links_are_not_gone_through_and_files_counted_once(place: Place) -> None:
    place.write(
        "products/shop.py",
        HEADER
        + """
raw = source.files("in/**/**/*.csv", columns={"x": pl.Int64})
lines = sql_product("lines", "from raw", owner="o", each="raw")
""",
    )
    place.write("in/a.csv", "x\n1\n")
    place.write("in/deep/b.csv", "x\n2\n")
    (place.root / "in/deep/loop").symlink_to(place.root / "in")
    (place.root / "in/other").symlink_to(place.root / "in")
    place.materialize("-s", "lines")
    assert place.query("select x from lines order by x") == [{"x": 1}, {"x": 2}]


@pytest.mark.long
def test_forced_parts_go_out_beside_held_ones(shop: Place) -> None:
    shop.edit("products/shop.py", "contract=Lines)", 'contract=Lines, on_failed_part="hold_part")')
    shop.edit(
        "products/shop.py",
        'return raw.select("day", "id", "x")',
        'return raw.select("day", "id", pl.col("x") + int(open("plus").read()))',
    )
    shop.write("plus", "0")
    shop.materialize()
    drop(shop, 7, -10, 4)
    shop.materialize()
    shop.write("plus", "1")
    told = shop.materialize("--force", "-s", "lines")
    assert [p["part"] for p in told["shop.lines"]["held_parts"]] == [day(7)]
    assert shop.query(f"select sum(x)::bigint as x from lines where day = '{day(8)}'") == [
        {"x": 1 + 3 + 2}
    ]


def test_a_day_without_rows_is_judged(shop: Place) -> None:
    shop.write(f"data/{day(40)}.csv", "id,x\n")
    assert shop.materialize()["shop.lines"]["result"] == "published"
    shop.write(f"data/{day(41)}.csv", "id,x\n")
    shop.write(f"data/{day(42)}.csv", "id,x\n4200,1\n4200,1\n4200,2\n")
    [failed] = shop.materialize()["shop.lines"]["rules"]
    assert failed["text"] == "id is unique"


def test_days_that_python_does_not_know_are_told(place: Place) -> None:
    far = (
        "select (d + to_years(10000))::date as d from raw where d > '2024-01-01' union all from raw"
    )
    declared = f"raw = source.files('d.csv', columns={{'d': pl.Date}})\nsql_product('p', \"{far}\", owner='o', partition_by='day(d)')"
    place.write("products/shop.py", HEADER + declared)
    place.write("d.csv", "d\n2024-01-01\n2024-01-02\n")
    assert "cannot be the name of a part" in place.materialize("-s", "p")["shop.p"]["error"]


def test_secrets_name_no_parts(shop: Place) -> None:
    shop.edit(
        "products/shop.py",
        "    x: int = pa.Field(ge=0)",
        '    x: int = pa.Field(ge=0, metadata={"sensitive": True})',
    )
    shop.materialize("-s", "lines")
    shop.edit(
        "products/shop.py",
        "daily = ",
        'by_x = sql_product("by_x", "select x from lines", owner="o", partition_by="x")\ndaily = ',
    )
    assert "is sensitive: its parts would be called by its values" in shop.run("ls").err


def test_odd_ranges_are_told(shop: Place) -> None:
    for asked in ("9999-12-31", "..9999", "1999"):
        ran = shop.run("materialize", "lines", "--force", "--parts", asked)
        assert "Traceback" not in ran.out + ran.err
    assert "has no part in 1999" in ran.out


def test_the_part_that_failed_is_named(shop: Place) -> None:
    shop.write(f"data/{day(30)}.csv", "id,x\n1,two\n")
    assert f"It was making part {day(30)}." in shop.materialize()["shop.lines"]["error"]


def test_a_query_that_looks_at_other_rows_says_which_parts_it_needs(shop: Place) -> None:
    shop.edit("products/shop.py", ', inputs={"daily": parts(back=6)}', "")
    ran = shop.run("ls")
    assert (
        "shop.weekly looks at other rows (over ...), and sees shop.daily part by part, by day"
        in ran.err
    )
    shop.edit(
        "products/shop.py",
        'partition_by="day")\nmonthly',
        'partition_by="day", inputs={"daily": parts()})\nmonthly',
    )
    assert shop.run("ls").code == 0


@pytest.mark.long
def test_held_parts_are_told_to_whom_they_concern(shop: Place) -> None:
    shop.edit("products/shop.py", "contract=Lines)", 'contract=Lines, on_failed_part="hold_part")')
    shop.edit("products/shop.py", "from assay import", "from assay import Consumer,")
    shop.edit(
        "products/shop.py",
        'by 1", owner="o",\n    partition_by="month(day)"',
        'by 1", owner="o", consumers=[Consumer(name=\'boss\', decides=\'a bonus\')],\n    partition_by="month(day)"',
    )
    shop.materialize()
    drop(shop, 7, -1)
    assert "affects: boss (a bonus)" in shop.run("materialize").out
    told = {t["product"]: t for t in shop.run("status", "--json").json}
    assert told["shop.monthly"]["because"] == "parts of shop.lines that it depends on are held back"
    shop.edit(
        "products/shop.py",
        'raw.select("day", "id", "x")',
        'raw.select("day", "id", "x", more=pl.lit(1))',
    )
    text = shop.run("materialize", "-s", "lines").out
    assert (
        f"held as a whole: what readers have of {day(7)} has other columns, so it cannot stand in"
        in text
    )


def test_ls_says_what_products_are_split_by(shop: Place) -> None:
    shop.edit(
        "products/shop.py",
        "daily = ",
        "split = sql_product('split', 'select 1 as k', owner='o', partition_by='k')\ndaily = ",
    )
    told = {t["product"]: t["parts"] for t in shop.run("ls", "--json").json if "reads" in t}
    assert told == {
        "shop.lines": "by day",
        "shop.daily": "by day",
        "shop.weekly": "by day",
        "shop.monthly": "by month(day)",
        "shop.split": "by k, cut",
    }


@pytest.mark.parametrize("asked", ["2024-01-05..2024-01-01", "2024-02..2024-01"])
def test_a_range_the_wrong_way_round(shop: Place, asked: str) -> None:
    ran = shop.run("materialize", "lines", "--parts", asked)
    assert (ran.code, "is after" in ran.err) == (2, True)


@pytest.mark.parametrize("pattern", ["data/{day:%Y}.csv", "data/{}.csv", "data/{day"])
def test_what_looks_like_a_placeholder(shop: Place, pattern: str) -> None:
    shop.edit("products/shop.py", "data/{day:date}.csv", pattern)
    assert "placeholder that is none" in shop.run("ls").err


@pytest.mark.parametrize(
    ("old", "new"), [("{day:date}", "{day:datum}"), ('each="raw"', 'each="row"')]
)
def test_what_follows_a_wrong_table_is_not_wrong_for_that(shop: Place, old: str, new: str) -> None:
    shop.edit("products/shop.py", old, new)
    shop.edit(
        "products/shop.py",
        "daily = ",
        'copy = sql_product("copy", "from lines", owner="o", each="lines")\ndaily = ',
    )
    ran = shop.run("plan")
    assert (ran.code, "shop.copy" in ran.err) == (2, False), ran.err


@pytest.mark.long
def test_a_row_of_the_future_in_one_of_many_parts(new_shop: Place) -> None:
    """What is remembered of each part is its last event: where that is ahead, rows are looked at."""
    rules = "rules=[rule.fresh_event_time(within='9000 days', text='fresh')]"
    declared = SHOP.replace('@product(owner="o", each="raw", contract=Lines)\n', "")
    new_shop.write(
        "products/shop.py",
        f'{declared}\nlines = product(owner="o", each="raw", event_time="day", {rules})(lines)\n',
    )
    new_shop.materialize("-s", "lines")
    assert (
        results(new_shop, "shop.lines")["fresh"]["status"],
        results(new_shop, "shop.lines")["fresh"]["how"],
    ) == (
        "passed",
        "totals",
    )
    new_shop.write("data/2999-01-01.csv", "id,x\n9999999,1\n")
    new_shop.materialize("-s", "lines")
    told = results(new_shop, "shop.lines")["fresh"]
    assert (told["status"], told["how"]) == ("warning", "sql")
    assert told["message"] == "1 row is in the future, up to 2999-01-01 00:00:00, and not counted"
    assert told["measured"] > 0
