"""Products that read `previous`: appended, merged by key, histories; forced, held back, restored, lost."""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.conftest import ROOT, Place

DECLARED = """
from assay import history_of

today = source.files("today.csv", columns={"k": "bigint", "x": "bigint"})


class Rows(pa.DataFrameModel):
    k: int
    x: int

    class Config:
        unique = ["k"]


added = sql_product("added", "from previous union all by name from today where k not in (select k from previous)",
    owner="o", contract=Rows, rules=[rule.check("x is small", "x < 100")])
merged = sql_product("merged", "from Previous anti join today using (k) union all by name from today", owner="o",
    contract=Rows)


@product(owner="o", contract=Rows)
def by_function(today: pl.LazyFrame, previous: pl.LazyFrame) -> pl.LazyFrame:
    return pl.concat([previous.join(today, on="k", how="anti"), today], how="diagonal")


history = history_of("today", key="k", valid=("since", "until"), owner="o")
"""


def night(place: Place, *rows: tuple[int, int], arguments: Iterable[str] = ()) -> dict:
    put(place, *rows)
    return place.materialize(*arguments)


def put(place: Place, *rows: tuple[int, int]) -> None:
    place.write("today.csv", "k,x\n" + "".join(f"{k},{x}\n" for k, x in rows))


def rows(place: Place, name: str) -> list[tuple[int, int]]:
    return sorted((row["k"], row["x"]) for row in place.query(f"select k, x from {name}"))


def closed(place: Place) -> list[tuple[int, int, bool]]:
    query = "select k, x, until is not null as closed from history order by k, since"
    return [(row["k"], row["x"], row["closed"]) for row in place.query(query)]


@pytest.fixture
def shop(place: Place) -> Place:
    place.write("products/sales.py", DECLARED, header=True)
    assert night(place, (1, 10), (2, 20))[""]["exit_code"] == 0
    return place


def test_rows_are_added_merged_and_kept(shop: Place) -> None:
    for name in ("added", "merged", "by_function"):
        assert rows(shop, name) == [(1, 10), (2, 20)], name
    assert night(shop, (2, 21), (3, 30))[""]["exit_code"] == 0
    assert rows(shop, "added") == [(1, 10), (2, 20), (3, 30)]
    assert rows(shop, "merged") == rows(shop, "by_function") == [(1, 10), (2, 21), (3, 30)]
    assert closed(shop) == [(1, 10, True), (2, 20, True), (2, 21, False), (3, 30, False)]
    before = shop.query("from history order by all")
    done = shop.materialize()
    assert {done[f"sales.{name}"]["result"] for name in ("added", "merged")} == {"unchanged"}
    assert shop.materialize("--force")[""]["exit_code"] == 0
    assert rows(shop, "added") == [(1, 10), (2, 20), (3, 30)]
    assert shop.query("from history order by all") == before, "the same moments, too"


def test_a_row_that_comes_back_is_opened_again(shop: Place) -> None:
    night(shop, (1, 10))
    night(shop, (1, 10), (2, 20))
    assert closed(shop) == [(1, 10, False), (2, 20, True), (2, 20, False)]
    first, second = shop.query("from history where k = 2 order by since")
    assert first["until"] < second["since"], "and between the two it was not there"


def test_a_history_knows_nulls_and_new_columns(shop: Place) -> None:
    shop.edit("products/sales.py", '"x": "bigint"}', '"x": "bigint", "note": "varchar"}')
    shop.write("today.csv", "k,x,note\n1,10,\n2,,new\n")
    assert shop.materialize("history")[""]["exit_code"] == 0
    assert closed(shop) == [(1, 10, False), (2, 20, True), (2, None, False)]


def test_a_key_that_is_there_twice_is_held_back(shop: Place) -> None:
    done = night(shop, (1, 10), (1, 11))
    assert done["sales.history"]["result"] == "held back"
    [failed] = [r for r in done["sales.history"]["rules"] if r["status"] == "failed"]
    assert (failed["text"], failed["failing"]) == ("at most one open row for each k", 1)
    assert closed(shop) == [(1, 10, False), (2, 20, False)]


def test_what_is_held_back_is_not_built_on(shop: Place) -> None:
    assert night(shop, (3, 300))["sales.added"]["result"] == "held back"
    assert night(shop, (3, 30), (4, 40))["sales.added"]["result"] == "published"
    assert rows(shop, "added") == [(1, 10), (2, 20), (3, 30), (4, 40)]


def test_other_code_takes_the_last_step_again(shop: Place) -> None:
    night(shop, (3, 30))
    shop.edit(
        "products/sales.py",
        "union all by name from today where",
        "union all by name select k, x + 1 as x from today where",
    )
    assert shop.materialize("added")["sales.added"]["result"] == "published"
    assert rows(shop, "added") == [(1, 10), (2, 20), (3, 31)]
    [planned] = shop.run("plan", "-s", "added", "--from-start", "--json").json
    assert planned["reasons"] == ["from the start"]
    done = shop.materialize("added", "--from-start")
    assert done["sales.added"]["reasons"] == ["from the start"]
    assert rows(shop, "added") == [(3, 31)]
    night(shop, (4, 40))
    assert rows(shop, "added") == [(3, 31), (4, 41)]


def test_why_says_what_it_would_be_built_on(shop: Place) -> None:
    [first] = shop.run("history", "added", "--json").json
    put(shop, (3, 30))
    assert (
        f"`previous` is {first['version'][:7]}, which is published" in shop.run("why", "added").out
    )
    shop.materialize()
    shop.edit(
        "products/sales.py", "union all by name from today where", "union all from today where"
    )
    said = shop.run("why", "added").out
    assert f"`previous` is {first['version'][:7]}: the step" in said
    newest = shop.run("history", "added", "--json").json[0]
    assert (newest["built_on"], "built on" in shop.run("history", "added").out) == (
        first["version"],
        True,
    )
    assert "previous: its own published version" in shop.run("lineage", "added").out


def test_from_start_is_for_products_that_read_previous(shop: Place) -> None:
    assert "needs the name" in shop.run("materialize", "--from-start").err
    shop.edit(
        "products/sales.py", "history =", 'sql_product("plain", "from today", owner="o")\nhistory ='
    )
    ran = shop.run("materialize", "plain", "--from-start")
    assert (ran.code, "none of sales.plain reads `previous`" in ran.err) == (2, True)


def test_restored_it_goes_on_from_there(shop: Place) -> None:
    [first] = shop.run("history", "added", "--json").json
    night(shop, (3, 30))
    assert shop.run("restore", "added", first["version"]).code == 0
    night(shop, (4, 40))
    assert rows(shop, "added") == [(1, 10), (2, 20)], "it is pinned"
    assert shop.run("restore", "added", "--unpin").code == 0
    shop.materialize()
    assert rows(shop, "added") == [(1, 10), (2, 20), (4, 40)]


def test_an_environment_goes_on_from_its_parent(shop: Place) -> None:
    assert shop.run("env", "create", "try").code == 0
    night(shop, (3, 30), arguments=["--env", "try"])
    assert rows(shop, "added") == [(1, 10), (2, 20)]
    there = shop.run("query", "--env", "try", "--json", "select count(*) as n from added")
    assert there.json == [{"n": 3}]
    assert shop.run("promote", "--from", "try", "added").code == 0
    assert rows(shop, "added") == [(1, 10), (2, 20), (3, 30)]
    done = shop.materialize("added")
    assert done["sales.added"]["result"] == "unchanged", "the step was taken there"


def test_what_moved_meanwhile_is_not_replaced_by_what_was_built_on_less(shop: Place) -> None:
    assert shop.run("env", "create", "try").code == 0
    night(shop, (3, 30), arguments=["added", "--env", "try"])
    night(shop, (4, 40), arguments=["added"])
    ran = shop.run("promote", "--from", "try", "added")
    assert (ran.code, "has moved in prod meanwhile" in ran.out + ran.err) == (2, True), ran.out
    assert rows(shop, "added") == [(1, 10), (2, 20), (4, 40)]


def lose(shop: Place, name: str) -> None:
    for part in shop.parts(f"sales.{name}").values():
        file = shop.root / ".products/store" / part.path
        file.parent.chmod(0o755)
        file.unlink()


def test_lost_bytes_are_built_of_the_same_step_or_it_stops(shop: Place) -> None:
    night(shop, (3, 30))
    lose(shop, "added")
    assert shop.materialize("added")["sales.added"]["result"] == "published"
    assert rows(shop, "added") == [(1, 10), (2, 20), (3, 30)]
    lose(shop, "added")
    done = night(shop, (4, 40), arguments=["added"])
    assert done["sales.added"]["result"] == "failed"
    assert "files are lost or damaged" in done["sales.added"]["error"]
    assert "materialize sales.added --from-start` begins anew" in done["sales.added"]["error"]


def test_gc_keeps_what_the_published_version_was_built_on(shop: Place) -> None:
    night(shop, (3, 30))
    night(shop, (4, 40))
    on_top = "union all by name select k, x + {} as x from today where"
    old = "union all by name from today where"
    for number in (1, 2):  # so that it is neither published nor what was published before
        shop.edit("products/sales.py", old, new := on_top.format(number))
        assert shop.materialize("added")["sales.added"]["result"] == "published"
        old = new
    ran = shop.run("gc", "--keep", "1", "--days", "0", "--now", "2090-01-01", "--json")
    assert (ran.code, len(shop.run("history", "added", "--json").json)) == (0, 3), ran.err
    shop.edit("products/sales.py", old, on_top.format(3))
    assert shop.materialize("added")["sales.added"]["result"] == "published"
    assert rows(shop, "added") == [(1, 10), (2, 20), (3, 30), (4, 43)]


@pytest.mark.parametrize(
    ("handover", "isolate"),
    [
        ("pl.DataFrame", False),
        ("pl.LazyFrame", True),
        ("duckdb.DuckDBPyRelation", False),
        ("pa_.Table", False),
    ],
)
def test_it_is_handed_over_as_annotated(place: Place, handover: str, *, isolate: bool) -> None:
    place.write(
        "products/sales.py",
        f"""
import duckdb
import pyarrow as pa_

@product(owner="o", contract=pa.DataFrameSchema({{"x": pa.Column(pl.Int64)}}), isolate={isolate})
def all_of_it(numbers: pl.DataFrame, previous: {handover}):
    before = previous.pl() if hasattr(previous, "pl") else pl.DataFrame(previous.lazy().collect() if hasattr(previous, "lazy") else previous)
    return pl.concat([before, numbers])
""",
        header=True,
    )
    place.materialize()
    place.numbers("a", 4)
    assert place.materialize()[""]["exit_code"] == 0
    assert [row["x"] for row in place.query("from all_of_it order by x")] == [1, 2, 3, 4]


def test_it_is_checked_and_traced_without_data(shop: Place) -> None:
    ran = shop.run("check")
    assert (ran.code, "0 errors, 0 warnings" in ran.out) == (0, True), ran.out
    shop.edit("products/sales.py", 'unique = ["k"]', "strict = True")
    assert shop.run("check").out.count("its contract has no key (unique)") == 3
    flows = shop.run("lineage", "added.x").out
    assert "sales.today.x" in flows
    assert "before" not in flows
    assert "sales.today.x" in shop.run("lineage", "by_function.x").out
    shop.edit("products/sales.py", "select k from previous)", "select kk from previous)")
    assert "kk" in shop.run("check").out


MISTAKES = {
    "has no contract that names columns": 'sql_product("p", "from previous union all from numbers", owner="o")',
    "is a file, and cannot read": '@product(owner="o", file="a.txt")\ndef p(previous, numbers): ...',
    "is a history, and cannot follow": 'days = source.files("d/{day:date}.csv", columns={"x": "bigint"})\n'
    'history_of("days", key="x", valid=("a", "b"), name="p", owner="o", partition_by="day")',
    "key= should be a column, or a list of columns": 'history_of("numbers", key=[], valid=("a", "b"), name="p", owner="o")',
    "valid= should be the names of two columns": 'history_of("numbers", key="x", valid=("a", "A"), name="p", owner="o")',
    "Did you mean previous?": 'sql_product("p", "from numbers union all from previuos", owner="o")',
    "unknown input 'nothing'": 'history_of("nothing", key="x", valid=("a", "b"), name="p", owner="o")',
    "no keyword 'inputs'": 'history_of("numbers", key="x", valid=("a", "b"), name="p", inputs={}, owner="o")',
    "cannot be handed over as int": '@product(owner="o", contract=pa.DataFrameSchema({"x": pa.Column(int)}))\n'
    "def p(numbers, previous: int): ...",
    "sales.numbers has a column X": 'history_of("numbers", key="x", valid=("X", "b"), name="p", owner="o")',
    "sales.numbers has no column y": 'history_of("numbers", key="y", valid=("a", "b"), name="p", owner="o")',
}


@pytest.mark.parametrize("message", MISTAKES)
def test_mistakes_are_reported_with_their_place(place: Place, message: str) -> None:
    text = f"from assay import history_of\n{MISTAKES[message]}\n"
    file: Path = place.write("products/sales.py", text, header=True)
    ran = place.run("plan")
    assert (ran.code, message in ran.err) == (2, True), ran.err
    assert f"products/sales.py:{len(file.read_text().splitlines())}" in ran.err or "def p" in text


def test_rows_that_are_set_aside_are_not_read_as_previous(place: Place) -> None:
    place.write(
        "products/sales.py",
        """
sql_product("added", "from previous union all by name from numbers", owner="o",
    contract=pa.DataFrameSchema({"x": pa.Column(pl.Int64)}),
    rules=[rule.check("x is small", "x < 10", on_failure="quarantine", fail_above="90 %")])
""",
        header=True,
    )
    place.numbers("a", 1, 20)
    assert place.materialize()[""]["exit_code"] == 0
    place.numbers("a", 2, 30)
    assert place.materialize()[""]["exit_code"] == 0
    assert [row["x"] for row in place.query("from added order by x")] == [1, 2]
    assert [row["x"] for row in place.query("from added__quarantine")] == [30]
    shop_files = len(list((place.root / ".products/store/sales.added").rglob("*.parquet")))
    assert shop_files == 4, "two versions, each with what was set aside"


def test_parts_that_did_not_change_keep_their_files(place: Place) -> None:
    place.write(
        "products/sales.py",
        """
sql_product("added", "from previous union all by name select x, x % 100 as k from numbers", owner="o",
    partition_by="k", contract=pa.DataFrameSchema({"x": pa.Column(pl.Int64), "k": pa.Column(pl.Int64)}))
""",
        header=True,
    )
    place.materialize()
    before = place.parts("sales.added")
    place.numbers("a", 4, 103)
    assert place.materialize()["sales.added"]["result"] == "published"
    after = place.parts("sales.added")
    assert [key for key in after if before.get(key) == after[key]] == ["1", "2"]
    assert [row["x"] for row in place.query("from added order by x")] == [1, 2, 3, 4, 103]


# ------------------------------------------------------------------------------------------- parts

IN_PARTS = """
days = source.files("d/{day:date}.csv", columns={"k": "bigint", "x": "bigint"})
Rows = pa.DataFrameSchema({"k": pa.Column(int), "x": pa.Column(int), "day": pa.Column(pl.Date)})
query = "from previous anti join days using (k) union all by name select k, x + 0 as x, day from days"
sql_product("merged", query, owner="o", contract=Rows, partition_by="day", on_failed_part="hold_part",
    rules=[rule.check("x is small", "x < 100")])


@product(owner="o", contract=Rows, each="days")
def by_function(days: pl.LazyFrame, previous: pl.LazyFrame) -> pl.LazyFrame:
    return pl.concat([previous.join(days, on="k", how="anti"), days], how="diagonal")
"""


def a_day(place: Place, day: int, *rows: tuple[int, int]) -> None:
    text = "".join(f"{k},{x}\n" for k, x in rows)
    place.write(f"d/2024-01-0{day}.csv", f"k,x\n{text}")


def by_day(place: Place, name: str = "merged") -> list[tuple[int, int, int]]:
    found = place.query(f"select day(day) as d, k, x from {name} order by all")
    return [tuple(row.values()) for row in found]


@pytest.fixture
def days(place: Place) -> Place:
    place.write("products/sales.py", IN_PARTS, header=True)
    a_day(place, 1, (1, 10))
    a_day(place, 2, (2, 20))
    assert place.materialize()[""]["exit_code"] == 0
    return place


def test_a_part_is_built_on_the_part_of_its_name(days: Place) -> None:
    a_day(days, 1, (3, 30))
    assert days.materialize()["sales.merged"]["parts"]["built"] == 1
    wanted = [(1, 1, 10), (1, 3, 30), (2, 2, 20)]
    assert by_day(days) == by_day(days, "by_function") == wanted
    assert days.materialize("--force")[""]["exit_code"] == 0
    assert by_day(days) == by_day(days, "by_function") == wanted
    before = days.parts("sales.merged")
    a_day(days, 3, (4, 40))
    assert days.materialize()["sales.merged"]["parts"]["built"] == 1
    assert by_day(days) == [*wanted, (3, 4, 40)]
    assert {key: days.parts("sales.merged")[key] for key in before} == before


def test_other_code_takes_the_last_step_of_each_part_again(days: Place) -> None:
    for number in (3, 4):
        a_day(days, 1, (number, number * 10))
        days.materialize()
    a_day(days, 3, (5, 50))
    days.materialize()
    ran = days.run("gc", "--keep", "1", "--days", "0", "--now", "2090-01-01", "--json")
    assert ran.code == 0, ran.err
    assert days.run("verify").code == 0
    days.edit("products/sales.py", "x + 0 as x", "x + 1 as x")
    assert days.materialize("merged")["sales.merged"]["result"] == "published"
    assert by_day(days) == [(1, 1, 10), (1, 3, 30), (1, 4, 41), (2, 2, 21), (3, 5, 51)]
    days.materialize("merged", "--from-start")
    assert by_day(days) == [(1, 4, 41), (2, 2, 21), (3, 5, 51)]


def test_a_part_that_is_held_back_is_not_built_on(days: Place) -> None:
    a_day(days, 1, (3, 300))
    a_day(days, 2, (4, 40))
    days.materialize()
    assert by_day(days) == [(1, 1, 10), (2, 2, 20), (2, 4, 40)]
    a_day(days, 1, (3, 30))
    days.materialize()
    assert by_day(days) == [(1, 1, 10), (1, 3, 30), (2, 2, 20), (2, 4, 40)]


def test_what_has_no_parts_yet_is_not_left_behind(days: Place) -> None:
    days.edit("products/sales.py", 'partition_by="day", on_failed_part="hold_part",', "")
    days.materialize("merged")
    a_day(days, 1, (3, 30))
    days.materialize("merged")
    assert by_day(days) == [(1, 1, 10), (1, 3, 30), (2, 2, 20)]
    days.edit("products/sales.py", "query, owner", 'query, partition_by="day", owner')
    done = days.materialize("merged")
    assert "published as a whole, so its parts have no `previous`" in done["sales.merged"]["error"]
    assert days.materialize("merged", "--from-start")["sales.merged"]["result"] == "published"
    assert by_day(days) == [(1, 3, 30), (2, 2, 20)]


# -------------------------------------------------------------------------------------------- docs


def test_the_examples_of_the_docs(place: Place) -> None:
    text = (ROOT / "docs/incremental.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    more = (
        'customers = source.files("c.csv", columns={"customer_id": "bigint", "name": "varchar"})\n'
    )
    place.write("products/sales.py", "\n".join([blocks[0], blocks[1], more, blocks[2]]))
    for day, shop in (("2024-01-01", "a"), ("2024-01-02", "b")):
        place.write("drop/today.csv", f"day,shop,net\n{day},{shop},7\n")
        place.write("c.csv", f"customer_id,name\n1,{shop}\n")
        assert place.materialize()[""]["exit_code"] == 0
    for name in ("takings", "newest", "merged", "customer_history"):
        assert place.query(f"select count(*) as n from {name}") == [{"n": 2}], name
    [closed] = place.query("from customer_history where valid_to is not null")
    assert closed["name"] == "a"
    assert "0 errors, 0 warnings" in place.run("check").out
