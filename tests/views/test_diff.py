"""`products diff`, through the command."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

import assay
from assay.engines.difference import comparing
from assay.engines.tables import StoredTable
from assay.errors import UsageError
from assay.views.words.diff import _cell
from benchmarks.differences import unchanged
from tests.conftest import Place

DECLARED = """
class Days(pa.DataFrameModel):
    day: int
    net: float = pa.Field(nullable=True)
    email: str = pa.Field(metadata={"sensitive": True})

    class Config:
        unique = ["day"]

@product(owner="o", contract=Days, rules=[rule.sql("no large day", "from this where net > 50")],
    consumers=[Consumer(name="cfo", decides="the dividend")])
def days(numbers):
    return numbers.select(day=pl.col("x") // 100, net=pl.col("x").cast(float) % 100, email=pl.lit("ann@shop"))

sql_product("total", "select sum(net)::decimal(18,2) as net from days", owner="o",
    consumers=[Consumer(name="board", decides="the bonus")])

@product(owner="o", file="note.txt")
def note(days):
    return str(days.collect())
"""


@pytest.fixture
def shop(place: Place) -> Place:
    place.write("products/sales.py", DECLARED, header=True)
    place.numbers("a", 101, 202, 303)
    assert place.run("materialize").code == 0
    place.numbers("a", 101, 209, 404)
    assert place.run("materialize").code == 0
    return place


def test_what_was_published_before_and_now(shop: Place) -> None:
    [view] = shop.run("diff", "days", "--json").json
    assert (view["new"], view["changed"], view["gone"], view["key"]) == (1, 1, 1, ["day"])
    assert [(row["change"], row["key"]) for row in view["rows"]] == [
        ("changed", {"day": 2}),
        ("new", {"day": 4}),
        ("gone", {"day": 3}),
    ]
    assert view["rows"][0]["before"] == {"net": 2.0}
    assert view["rows"][0]["after"] == {"net": 9.0}
    assert view["totals"] == [
        {"column": "net", "before": 6.0, "after": 14.0, "by": 8.0, "group": {}}
    ]
    assert view["affects"] == ["cfo (the dividend)", "board (the bonus)"]
    assert sorted(view["downstream"]) == ["sales.note", "sales.total"]
    text = shop.run("diff", "days").out
    assert "rows  3 -> 3: 1 new, 1 changed, 1 gone" in text
    assert "sum of net  6 -> 14  (+8, +133.3%)" in text
    assert "ann@shop" not in text


def test_held_back_and_published(shop: Place) -> None:
    shop.numbers("a", 101, 209, 499)
    assert shop.run("materialize").code == 3
    text = shop.run("diff", "days", "--held").out
    assert "published" in text.splitlines()[0]
    assert "held back" in text.splitlines()[0]
    assert "~ changed  day 4  net 4 -> 99" in text
    assert "rule  no large day  passed -> failed (1 row)" in text
    none = shop.run("diff", "total", "--held")
    assert none.code == 2
    assert "no version of sales.total is held back" in none.err
    assert "It waits for what is held back: `products show sales.days --held`" in none.err


def test_nothing_is_held_back(shop: Place) -> None:
    none = shop.run("show", "days", "--held")
    assert none.code == 2
    assert "Readers see its newest version: `products show sales.days`." in none.err
    shop.numbers("a", 101, 505)
    assert "has to be built first: `products materialize sales.days`" in (
        shop.run("show", "days", "--held").err
    )


def test_versions_releases_moments_and_environments(shop: Place) -> None:
    first = shop.run("history", "days", "--json").json[-1]["version"]
    by_version = shop.run("diff", "days", "--before", first, "--json").json
    by_release = shop.run("diff", "days", "--before", "1", "--json").json
    assert by_version[0]["rows"] == by_release[0]["rows"] != []
    assert shop.run("env", "create", "dev").code == 0
    same = shop.run("diff", "days", "--before", "dev")
    assert same.out.splitlines()[1] == "  the same rows"
    wrong = shop.run("diff", "days", "--before", "devv")
    assert wrong.code == 2
    assert "'devv' is no version, release, moment or environment" in wrong.err
    assert "Did you mean dev?" in wrong.err
    early = shop.run("diff", "days", "--before", "2001-01-01")
    assert early.code == 2
    assert "sales.days was not published in prod at 2001-01-01" in early.err


@pytest.mark.parametrize(
    ("word", "told"),
    [
        (
            "prdo",
            "there is no product or source 'prdo'\n  Did you mean --before prod (an environment)?",
        ),
        ("prod", "An environment is compared with --before prod or --after prod."),
        ("2", "A release is compared with --before 2 or --after 2."),
        ("v19e3b42", "A version is compared with --before v19e3b42 or --after v19e3b42."),
        ("2024-01-05T07:00", "A moment is compared with --before 2024-01-05T07:00"),
        ("held", "--held compares what is held back."),
        ("previuos", "Did you mean --before previous?"),
        ("totl", "Did you mean sales.total?"),
        ("nosuchthing", "a version, release, moment or environment is given with --before"),
    ],
)
def test_a_second_word_that_is_no_product(shop: Place, word: str, told: str) -> None:
    done = shop.run("diff", "days", word)
    assert done.code == 2
    assert told in done.err


def test_all_words_that_are_no_products_at_once(shop: Place) -> None:
    told = shop.run("diff", "dyas", "prdo", "b").err
    assert "'dyas'; there is no product or source 'prdo'; there is no product or source 'b'" in told
    assert "Did you mean sales.days? Did you mean --before prod (an environment)?" in told
    assert "cannot read the selector 'foo:bar'" in shop.run("diff", "foo:bar").err


def test_every_product_at_once(shop: Place) -> None:
    found = shop.run("diff")
    assert found.code == 0
    headings = [line for line in found.out.splitlines() if "->" in line and line[0] != " "]
    assert [line.split()[0] for line in headings] == ["sales.days", "sales.total"]
    assert found.out.endswith("1 product with the same rows\n")
    assert shop.run("env", "create", "dev").code == 0
    assert shop.run("diff", "--before", "dev").out == "3 products with the same rows\n"


def test_a_key_that_repeats(shop: Place) -> None:
    shop.numbers("a", 101, 102, 209)
    assert shop.run("materialize").code == 3, "a day is there twice"
    held = shop.run("diff", "days", "--held")
    assert held.code == 0
    assert "2 rows have the key 1 after: rows are compared as wholes" in held.out
    asked = shop.run("diff", "days", "--held", "--key", "day")
    assert asked.code == 2
    assert "sales.days: 2 rows have the key 1 after" in asked.err
    assert "Add columns to --key" in asked.err


def test_without_an_engine_where_nothing_changed(tmp_path: Path) -> None:
    assert unchanged(tmp_path, 3, 1).seconds > 0, "the benchmark fails if an engine is imported"


def test_columns_that_changed(shop: Place) -> None:
    text = DECLARED.replace("sum(net)::decimal(18,2) as net", "sum(net)::bigint as net, 1 as n")
    shop.write("products/sales.py", text, header=True)
    assert shop.run("materialize").code == 0
    out = shop.run("diff", "total").out
    assert "column added    n" in out
    assert "column retyped  net DECIMAL(18,2) -> BIGINT" in out
    assert "0 new, 0 gone" in out, "14.00 and 14 are the same"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--key", "dya"], "--key dya: not a column of both versions\n  Did you mean day?"),
        (["--measure", "email"], "--measure email: it is VARCHAR, not a number"),
        (["--by", "nosuch"], "--by nosuch: not a column of both versions"),
        (["--held", "--after", "1"], "give --held or --after, not both"),
        (["--to", "rows.txt"], "rows.txt is named as neither CSV nor Parquet"),
        (["--before", "v00000000"], "sales.days has no version 'v00000000'"),
        (["--before", "77"], "there is no release 77"),
    ],
)
def test_mistakes(shop: Place, options: list[str], told: str) -> None:
    done = shop.run("diff", "days", *options)
    assert done.code == 2
    assert told in done.err
    assert not (shop.root / "rows.txt").exists()


def test_all_rows_go_to_a_file(shop: Place) -> None:
    assert shop.run("diff", "days", "--to", str(shop.root / "rows.csv")).code == 0
    lines = (shop.root / "rows.csv").read_text().splitlines()
    assert lines[0] == "change,day,net before,net after,email"
    assert sorted(lines[1:]) == [
        "changed,2,2.0,9.0,(sensitive)",
        "gone,3,3.0,,(sensitive)",
        "new,4,,4.0,(sensitive)",
    ]
    assert "--to writes the rows of one product" in shop.run("diff", "--to", "x.csv").err


def test_markdown_shows_texts_as_they_are(shop: Place) -> None:
    out = shop.run("diff", "days", "--format", "markdown").out
    assert "| changed | day 2 | net 2 | net 9 |" in out
    hostile = "<b>|`x`[a](http://b) @ann #1 *b*\n|---|"
    assert not set("<|`[@#*") & set(_cell(hostile).replace("&#", ""))
    assert "://" not in _cell(hostile)


def test_parts_that_are_equal_are_not_read(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write(
        "products/sales.py",
        """
visits = source.files("visits/{day:date}.csv", columns={"n": "bigint"})
sql_product("parts", "select n, n * 2 as double from visits", owner="o", each="visits")
""",
        header=True,
    )
    for day in (1, 2, 3):
        place.write(f"visits/2024-01-0{day}.csv", f"n\n{day}\n")
    assert place.run("materialize").code == 0
    place.write("visits/2024-01-02.csv", "n\n2\n9\n")
    assert place.run("materialize").code == 0
    seen: dict[str, StoredTable] = {}

    def spying(tables: dict[str, StoredTable], *rest: Any) -> Any:
        seen.update(tables)
        return comparing(tables, *rest)

    monkeypatch.setattr("assay.build.differences.comparing", spying)
    [view] = place.run("diff", "parts", "--json").json
    assert (view["new"], view["gone"]) == (1, 0)
    assert [len(seen[name].files) for name in ("before", "before_moved")] == [3, 1]
    assert [len(seen[name].files) for name in ("after", "after_moved")] == [3, 1]


def test_from_python(shop: Place) -> None:
    view = assay.diff("days", project=shop.root)
    assert (view.new, view.changed, view.gone) == (1, 1, 1)
    assert assay.diff("total", before="1", project=shop.root).totals[0].by == Decimal("8.00")
    assert json.loads(json.dumps(view.as_json(), default=str))["product"] == "sales.days"
    with pytest.raises(UsageError, match="no version, release, moment or environment"):
        assay.diff("days", before="nosuch", project=shop.root)


def moved(place: Place, before: str, after: str) -> None:
    """Publish a query, then another."""
    for query in (before, after):
        declared = f"sql_product('t', {query!r}, owner='o')\n"
        place.write("products/sales.py", declared, header=True)
        done = place.run("materialize")
        assert done.code == 0, done.out + done.err


ODD = """
select 1 as change, {0} as copies, {0}.5::double as b0, {0} as "a ""q"" z", {0} as "A b", {0} as g0,
7 as "change before", 'x' as grp, {0} as "COPIES before"
"""


def test_odd_names_of_columns(place: Place) -> None:
    moved(place, ODD.format(2), ODD.format(3))
    for key in (["--key", "change"], []):
        by = ["--by", "grp", "--measure", "b0"]
        [view] = place.run("diff", "t", *key, *by, "--json").json
        assert view["groups"][0]["group"] == {"grp": "x"}
        assert (view["groups"][0]["before"], view["groups"][0]["after"]) == (2.5, 3.5)
        for suffix in ("csv", "parquet"):
            file = place.root / f"rows.{suffix}"
            done = place.run("diff", "t", *key, "--to", str(file))
            assert done.code == 0, done.err
            with duckdb.connect() as connection:
                found = connection.execute(f"select * from '{file}'").description
            names = [column[0] for column in found or ()]
            assert len({name.lower() for name in names}) == len(names) >= 16
    assert place.run("diff", "t", "--by", "g0", "--measure", "copies", "--json").code == 0


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("'abc'", "5"),
        ("{'a': 1}", "5"),
        ("date '2020-01-01'", "5.5::double"),
        ("[1.5::decimal(9,2)]", "[2.5::decimal(9,2)]"),
        ("[1]", "{'a': [1]}"),
        ("true", "'yes'"),
    ],
)
def test_types_with_nothing_in_common(place: Place, before: str, after: str) -> None:
    moved(place, f"select 1 as k, {before} as v", f"select 1 as k, {after} as v")
    [view] = place.run("diff", "t", "--key", "k", "--json").json
    assert (view["changed"], view["changed_values"]) == (1, {"v": 1})
    [view] = place.run("diff", "t", "--json").json
    assert (view["new"], view["gone"]) == (1, 1)
    moved(place, f"select {before} as k, 1 as v", f"select {after} as k, 1 as v")
    [view] = place.run("diff", "t", "--key", "k", "--json").json
    assert (view["new"], view["gone"]) == (1, 1)


def test_only_what_differs_is_shown_of_a_row(place: Place) -> None:
    moved(
        place,
        "select 1 as k, 1.0::decimal(10,1) as v, 0.0::double as z, 1.0::double as near, 2 as w",
        "select 1 as k, 1.00::decimal(10,2) as v, -0.0::double as z, 1.001::double as near, 3 as w",
    )
    [view] = place.run("diff", "t", "--key", "k", "--tolerance", "0.01", "--json").json
    assert view["rows"][0]["after"] == {"w": 3}


def test_values_that_cannot_be_added_up_and_files_that_cannot_be_written(place: Place) -> None:
    large = "select range as k, repeat('9', 38)::decimal(38,0) as v from range(13)"
    moved(place, large, "select range as k, 1::decimal(38,0) as v from range(13)")
    told = place.run("diff", "t")
    assert told.code == 2
    assert "values cannot be compared or added up" in told.err
    moved(place, "select 1 as k", "select 2 as k")
    told = place.run("diff", "t", "--to", str(place.root / "nosuch" / "rows.csv"))
    assert told.code == 2
    assert "rows.csv cannot be written to" in told.err


LEAK = """
class People(pa.DataFrameModel):
    email: str = pa.Field(metadata={"sensitive": True})

@product(owner="o", contract=People)
def people(numbers):
    return numbers.select(email=pl.lit("ann@shop.example"))

@product(owner="o")
def calls(people):
    return pl.DataFrame({"k": [1, 1], "note": NOTE}).lazy()
"""


def test_what_was_sensitive_before_is_not_shown(place: Place) -> None:
    place.numbers("a", 1, 2)
    for note in ("people.collect()['email'][[0, 0]]", "['x', 'y']"):
        place.write("products/sales.py", LEAK.replace("NOTE", note), header=True)
        done = place.run("materialize")
        assert done.code == 0, done.out + done.err
    file = place.root / "rows.csv"
    for options in (
        ["--json"],
        ["--format", "markdown"],
        ["--to", str(file)],
        ["--by", "note"],
        ["--before", "published", "--after", "previous"],
        ["--key", "note"],
    ):
        done = place.run("diff", "calls", *options)
        assert "(sensitive)" in done.out + done.err
        assert "@shop.example" not in done.out + done.err
    assert "@shop.example" not in file.read_text()
    assert "2 rows have the key (sensitive) before" in done.err
