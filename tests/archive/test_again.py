"""--rebuild: the same bytes come out of what the evidence names, or it says what differs."""

import sqlite3
from contextlib import closing

import pytest

from tests.archive import shop
from tests.conftest import Place, Ran

pytestmark = pytest.mark.long


def again(place: Place) -> Ran:
    return place.run("evidence", "--rebuild", "e.zip", "--json")


@pytest.mark.parametrize("name", ["lines", "total", "twice", "note", "paid"])
def test_the_same_comes_out(place: Place, name: str) -> None:
    shop.built(place)
    shop.write(place, name)
    before = sorted(p for p in (place.root / ".products").rglob("*") if ".readers" not in p.parts)
    ran = again(place)
    assert (ran.code, ran.json["outcome"]) == (0, "same bytes"), ran.out + ran.err
    after = sorted(p for p in (place.root / ".products").rglob("*") if ".readers" not in p.parts)
    assert after == before, "nothing of the project is changed"


def test_of_an_old_release_by_the_code_of_then(place: Place) -> None:
    shop.built(place)
    shop.write(place, "twice")
    place.edit("products/helpers.py", "BY = 2", "BY = 3")
    place.edit("products/sales.py", "sum(x)::bigint", "min(x)::bigint")
    assert place.run("materialize", "--now", "2024-01-03T06:00").code == 0
    place.numbers("later", 7)  # is no file of then
    ran = again(place)
    assert (ran.code, ran.json["outcome"]) == (0, "same bytes"), ran.out + ran.err


def test_what_differs_is_shown(place: Place) -> None:
    place.write("rates.txt", "2")
    shop.declare(place)
    code = '\n@product(owner="o")\ndef rated(numbers: pl.LazyFrame):\n    return numbers.with_columns(pl.col("x") * RATE)\n'
    place.write(
        "products/sales.py",
        f'{shop.PRODUCTS}\nimport os\nRATE = int(os.environ.get("RATE_OF_THE_DAY", "2"))\n{code}',
        header=True,
    )
    assert place.run("materialize", "--now", shop.NIGHT).code == 0
    shop.write(place, "rated")
    ran = place.spawn("evidence", "--rebuild", "e.zip", "--json", RATE_OF_THE_DAY="3")
    assert (ran.code, ran.json["outcome"]) == (1, "differs"), ran.out + ran.err
    assert (ran.json["diff"]["new"], ran.json["diff"]["gone"]) == (2, 2), "2 4 6 and 3 6 9"
    assert any("digest of its code" in note for note in ran.json["notes"])


def test_what_is_not_there_any_more_is_said(place: Place) -> None:
    shop.built(place)
    shop.write(place, "total", "--data", "--inputs")
    with closing(sqlite3.connect(place.root / ".products/catalog.db")) as db:
        [(path,)] = db.execute("select path from parts where product = 'sales.lines'")
    (place.root / ".products/store" / path).unlink()
    ran = again(place)
    assert (ran.code, ran.json["outcome"]) == (0, "same bytes"), "the archive has the input"
    shop.write(place, "total")
    ran = again(place)
    assert (ran.code, "neither in the store nor in the archive" in ran.err) == (2, True), ran.err
    shop.write(place, "twice")
    place.numbers("a", 1, 2, 4)
    ran = again(place)
    assert (ran.code, "sales.numbers is not what it was: data/a.csv" in ran.err) == (2, True)


def test_code_of_an_archive_is_never_run(place: Place) -> None:
    shop.built(place)
    shop.write(place, "twice")
    with closing(sqlite3.connect(place.root / ".products/catalog.db")) as db, db:
        db.execute("update runs set code = ''")
    assert again(place).json["outcome"] == "same bytes", "today's code is the same"
    place.edit("products/helpers.py", "BY = 2", "BY = 3")
    ran = again(place)
    assert (ran.code, "is not recorded here, and today's is another" in ran.err) == (2, True)


SET_ASIDE = """
sql_product("clean", "select x from numbers", owner="o",
    rules=[rule.check("positive", "x > 0", on_failure="quarantine", fail_above="90 %")])
sql_product("bad", "from clean__quarantine", owner="o")
sql_product("split", "select x, x % 2 as k from numbers", owner="o", partition_by="k",
    on_failed_part="hold_part", rules=[rule.sql("few", "from this where x > 1000")])
"""


def test_rows_set_aside_and_parts_held_back(place: Place) -> None:
    place.write("products/sales.py", SET_ASIDE, header=True)
    place.numbers("a", 1, 2, -4)
    assert place.run("materialize").code == 0
    place.numbers("b", 1, 2000)
    assert place.run("materialize").code == 3
    for name, outcome in (
        ("clean", "same bytes"),
        ("bad", "same bytes"),
        ("split", "same content"),
    ):
        shop.write(place, name, "--data", "--inputs")
        checked = shop.verify(place)
        assert checked.code == 0, checked.out
        assert len(checked.json["contents"]) == checked.json["versions"]
        ran = again(place)
        assert (ran.code, ran.json["outcome"]) == (0, outcome), ran.out
    assert ran.json["notes"] == ["not compared, as they were held back: 0"]
    shop.write(place, "clean__quarantine", "--data")
    assert shop.verify(place).code == 0
    ran = again(place)
    assert (ran.code, "has rows that sales.clean sets aside" in ran.err) == (2, True)


GOES_ON = """
from assay import history_of

Xs = pa.DataFrameSchema({"x": pa.Column(int)})
sql_product("added", "from previous union all by name from numbers where x not in (select x from previous)",
    owner="o", contract=Xs)
history = history_of("numbers", key="x", valid=("since", "until"), owner="o")
sql_product("lines", "from previous union all by name from numbers", owner="o", contract=Xs, each="numbers")
"""


def test_what_goes_on_from_a_published_version(place: Place) -> None:
    place.write("products/sales.py", GOES_ON, header=True)
    assert place.run("materialize").code == 0
    for number in (4, 5):
        place.numbers("a", 1, 2, number)
        place.numbers("b", 7)
        assert place.run("materialize").code == 0
    for name in ("added", "history", "lines"):
        evidence = shop.write(place, name, "--data", "--inputs")
        first = evidence["versions"][0]
        [before] = [
            v
            for v in evidence["versions"]
            if v["id"] == place.run("history", name, "--json").json[1]["version"]
        ]
        inputs = {input["name"]: input["version"] for input in first["inputs"]}
        assert inputs[f"sales.{name}"] == before["id"]
        assert {source["name"] for source in evidence["sources"]} == {"sales.numbers"}
        checked = shop.verify(place)
        assert checked.code == 0, checked.out
        ran = again(place)
        assert (ran.code, ran.json["outcome"][:4]) == (0, "same"), ran.out + ran.err
    with closing(sqlite3.connect(place.root / ".products/catalog.db")) as db:
        query = "select path from parts where product = 'sales.added' order by id"
        _, (path,), _ = db.execute(query).fetchall()
    (place.root / ".products/store" / path).unlink()
    shop.write(place, "added")
    ran = again(place)
    assert (ran.code, "neither in the store nor in the archive" in ran.err) == (2, True), ran.err
