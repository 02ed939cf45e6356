"""Sources with rules, or kept: judged file by file, stored, and read as they were declared."""

from datetime import date, timedelta

import pytest

from tests.conftest import Place

ORDERS = """
import polars as pl
import pandera.polars as pa
from assay import Column, Freshness, product, rule, source, sql_product

class Raw(pa.DataFrameModel):
    id: int = pa.Field(ge=0)
    email: str = pa.Field(metadata={{"sensitive": True}})

raw = source.files("in/{pattern}.csv", owner="shop@shop.example", purpose="One drop a day.", {about},
    columns={{"id": ("bigint", "number of the order"), "kind": pl.Enum(["b", "a"]), "email": "varchar",
        "at": pl.Datetime("us", "Europe/Berlin")}})
"""
READERS = """
@product(owner="o", each="raw")
def lines(raw: pl.LazyFrame) -> pl.LazyFrame:
    types = raw.collect_schema()
    assert types["kind"] == pl.Enum(["b", "a"]), types
    assert types["at"] == pl.Datetime("us", "Europe/Berlin"), types
    return raw.select("id", kind=pl.col("kind").cast(pl.String))

sql_product("total", "select count(*) as n, max(kind)::varchar as last from raw", owner="o")
"""
JUDGED = "contract=Raw, rules=[rule.rows(at_least=1)]"


def declare(place: Place, about: str, *, pattern: str = "{day:date}", more: str = READERS) -> None:
    place.write("products/sales.py", ORDERS.format(about=about, pattern=pattern) + more)


def drop(place: Place, name: str, *ids: int) -> None:
    rows = [f"{id},{'ab'[id % 2]},ann{id}@home.example,2024-01-01 10:00:00" for id in ids]
    place.write(f"in/{name}.csv", "\n".join(["id,kind,email,at", *rows]) + "\n")


@pytest.fixture
def shop(place: Place) -> Place:
    for day in (1, 2, 3):
        drop(place, f"2024-01-0{day}", day, day + 10)
    return place


def ids(place: Place, table: str) -> list[int]:
    return [row["id"] for row in place.query(f"select id from {table} order by id")]


def test_a_source_with_rules_is_read_as_it_is_declared(shop: Place) -> None:
    declare(shop, JUDGED)
    assert shop.materialize()[""]["exit_code"] == 0
    assert shop.query("select * from total") == [{"n": 6, "last": "a"}]  # b is before a
    [row] = shop.query('select kind, "at" as at_, day from raw where id = 2')
    assert (row["kind"], row["day"]) == ("a", "2024-01-02")
    assert row["at_"].startswith("2024-01-01 09:00:00")
    assert shop.materialize()[""]["exit_code"] == 0


def test_a_file_that_breaks_a_rule_is_held_alone(shop: Place) -> None:
    declare(shop, JUDGED)
    shop.materialize()
    drop(shop, "2024-01-02", 2, -12)  # delivered again, and wrong
    drop(shop, "2024-01-04", -4)
    drop(shop, "2024-01-05", 5)
    told = shop.materialize()
    assert told[""]["exit_code"] == 3
    assert [part["part"] for part in told["sales.raw"]["held_parts"]] == [
        "2024-01-02",
        "2024-01-04",
    ]
    expected = [1, 2, 3, 5, 11, 12, 13]  # the last good rows of the second, none of the fourth
    assert ids(shop, "raw") == ids(shop, "lines") == expected
    assert shop.query("select n from total") == [{"n": 7}]
    [status] = [s for s in shop.run("status", "--json").json if s["product"] == "sales.raw"]
    assert status["state"] == "2 parts held back"
    drop(shop, "2024-01-02", 2, 12)
    drop(shop, "2024-01-04", 4)
    assert shop.materialize()[""]["exit_code"] == 0
    assert ids(shop, "lines") == [1, 2, 3, 4, 5, 11, 12, 13]


def test_files_are_judged_once(shop: Place) -> None:
    declare(shop, JUDGED)
    drop(shop, "2024-01-02", 2, -12)
    assert shop.materialize()[""]["exit_code"] == 3
    again = shop.materialize()
    assert again["sales.raw"]["result"] == "unchanged"
    assert again["sales.raw"]["seconds"] == 0
    assert [part["part"] for part in again["sales.raw"]["held_parts"]] == ["2024-01-02"]


def test_a_file_that_cannot_be_read_is_held_alone(shop: Place) -> None:
    declare(shop, JUDGED)
    shop.write("in/2024-01-02.csv", "id,kind,email,at\nnone,a,x,2024-01-01 10:00:00\n")
    told = shop.materialize()
    assert told[""]["exit_code"] == 1
    assert ids(shop, "lines") == [1, 3, 11, 13]


def test_files_without_a_placeholder_are_judged_one_by_one(shop: Place) -> None:
    declare(shop, JUDGED, pattern="*")
    drop(shop, "2024-01-02", -2)
    told = shop.materialize()
    assert [part["part"] for part in told["sales.raw"]["held_parts"]] == ["in/2024-01-02.csv"]
    assert ids(shop, "lines") == [1, 3, 11, 13]


def test_rules_compare_with_what_was_read_before_and_are_waived(shop: Place) -> None:
    rules = """rules=[rule.sql("no order is lost",
        "select p.id, p.day from previous p anti join this t using (id, day)")]"""
    declare(shop, rules)
    shop.materialize()
    drop(shop, "2024-01-02", 2)
    told = shop.materialize()
    assert [part["part"] for part in told["sales.raw"]["held_parts"]] == ["2024-01-02"]
    until = date.today() + timedelta(days=30)
    waiver = f'\nfrom assay import waiver\nwaiver("sales.raw", rule="no order is lost", rows=1, until="{until}", because="known")'
    declare(shop, rules, more=READERS + waiver)
    assert shop.run("materialize").code == 0
    assert ids(shop, "raw") == [1, 2, 3, 11, 13]


def test_sensitive_values_of_a_source_are_not_shown(shop: Place) -> None:
    declare(shop, JUDGED)
    drop(shop, "2024-01-02", -2)
    for arguments in (["materialize"], ["show", "raw"], ["why", "raw"], ["show", "raw", "--held"]):
        assert "home.example" not in shop.run(*arguments).out
    assert "home.example" not in shop.recorded()


def test_what_is_declared_of_a_source_is_described(shop: Place) -> None:
    declare(shop, JUDGED + ', freshness=Freshness(within="36h")')
    view = shop.run("describe", "raw", "--json").json
    assert (view["kind"], view["files"]) == ("source", "in/*.csv")
    assert (view["freshness"], view["reads"]) == ("at most 36h old", [])
    columns = {column["name"]: column for column in view["columns"]}
    assert list(columns) == ["id", "kind", "email", "at", "day"]
    assert columns["id"]["description"] == "number of the order"
    assert columns["email"]["sensitive"]


def test_a_test_of_a_product_is_given_rows_as_the_source_declares_them(shop: Place) -> None:
    declare(shop, JUDGED)
    test = '''
        product = "sales.lines"
        ["a row"]
        inputs.raw = """
        id, kind, email, at,               day
        1,  a,    x,     2024-01-01 10:00, 2024-01-01
        """
        expect = """
        id, kind
        1,  a
        """
        '''
    shop.write("products/lines.test.toml", test)
    ran = shop.run("test")
    assert ran.code == 0, ran.out


def test_policies_ask_of_a_stored_source_what_they_ask_of_any(shop: Place) -> None:
    declare(shop, JUDGED, more="")
    shop.write(
        "pyproject.toml",
        '[tool.products.policy]\nkey = "error"\nfreshness = "error"\npurpose = "error"\n',
    )
    found = shop.run("check", "--json").json["findings"]
    said = "neither it nor a product that reads it promises how fresh it is"
    assert [(each["name"], each["what"]) for each in found] == [("sales.raw", said)]


# ------------------------------------------------------------------------------------------ keep=True


def kept(shop: Place) -> None:
    """Publish what was read, and overwrite and remove files elsewhere."""
    declare(shop, "keep=True")
    assert shop.materialize()[""]["exit_code"] == 0
    drop(shop, "2024-01-01", 21)
    (shop.root / "in/2024-01-03.csv").unlink()


def test_what_was_read_stays_when_files_are_overwritten(shop: Place) -> None:
    kept(shop)
    first = [1, 2, 3, 11, 12, 13]
    assert ids(shop, "raw") == first, "no run has read them anew"
    assert shop.materialize()[""]["exit_code"] == 0
    assert ids(shop, "raw") == ids(shop, "lines") == [2, 12, 21]
    ran = shop.run("query", "--json", "--as-of", "1", "select id from raw order by id")
    assert [row["id"] for row in ran.json] == first
    assert [view["rows"] for view in shop.run("history", "raw", "--json").json] == [3, 6]
    [diff] = shop.run("diff", "raw", "--json").json
    assert (diff["new"], diff["gone"], diff["downstream"]) == (1, 4, ["sales.lines", "sales.total"])
    old = shop.run("history", "raw", "--json").json[1]["version"]
    assert shop.run("restore", "raw", old).code == 0
    assert ids(shop, "raw") == first
    shop.materialize()
    assert ids(shop, "lines") == first, "products are built from what is restored"
    assert shop.run("verify").code == 0


def test_lost_bytes_are_built_again_from_what_is_kept(shop: Place) -> None:
    kept(shop)
    [part] = shop.parts("sales.total").values()
    (shop.root / ".products/store" / part.path).unlink()
    ran = shop.run("verify", "--repair")
    assert ran.code == 0, ran.out
    assert shop.query("select n from total") == [{"n": 6}]


def test_a_past_version_is_rebuilt_from_what_is_kept(shop: Place) -> None:
    kept(shop)
    assert shop.run("evidence", "total", "--to", "total.zip").code == 0
    shop.materialize()
    ran = shop.run("evidence", "--rebuild", "total.zip")
    assert ran.code == 0, ran.out + ran.err
    assert "same bytes" in ran.out


def test_gc_keeps_of_a_source_what_it_keeps_of_products(shop: Place) -> None:
    kept(shop)
    shop.materialize()
    drop(shop, "2024-01-01", 31)
    shop.materialize()
    then = (date.today() + timedelta(days=90)).isoformat()
    assert shop.run("gc", "--days", "30", "--keep", "1", "--now", f"{then}T00:00").code == 0
    left = shop.run("history", "raw", "--json").json  # what readers see, and the one before
    assert [view["rows"] for view in left] == [3, 3]
    assert ids(shop, "raw") == [2, 12, 31]
    assert shop.run("verify").code == 0


def test_a_source_that_is_kept_from_now_on_changes_nothing_downstream(shop: Place) -> None:
    declare(shop, 'poll="5m"')
    shop.materialize()
    before = shop.query("select * from lines order by id")
    declare(shop, "keep=True")
    assert shop.materialize()[""]["exit_code"] == 0
    assert shop.query("select * from lines order by id") == before
    assert shop.parts("sales.lines").keys() == shop.parts("sales.raw").keys()


def test_columns_that_change_and_lists_are_kept_as_they_are_read(shop: Place) -> None:
    source = """
import polars as pl
from assay import Column, product, source
raw = source.files("jl/{day:date}.jsonl", owner="o", keep=True, columns={
    "id": "bigint", "tags": "varchar[]", "of": "struct(a bigint, b varchar)",
    "cases": Column("bigint", since="2024-01-02", was="positives"), "note": Column("varchar", optional=True)})

@product(owner="o", each="raw")
def lines(raw: pl.LazyFrame) -> pl.LazyFrame:
    types = raw.collect_schema()
    assert types["of"] == pl.Struct({"a": pl.Int64, "b": pl.String}), types
    assert types["tags"] == pl.List(pl.String), types
    return raw
"""
    shop.write("products/sales.py", source)
    shop.write(
        "jl/2024-01-01.jsonl",
        '{"id": 1, "tags": ["x"], "of": {"a": 1, "b": "c"}, "positives": 7}\n',
    )
    shop.write(
        "jl/2024-01-02.jsonl",
        '{"id": 2, "tags": [], "of": {"a": 2, "b": null}, "cases": 8, "note": "n"}\n',
    )
    told = shop.materialize()
    assert told[""]["exit_code"] == 0, told
    expected = [
        {"id": 1, "tags": ["x"], "a": 1, "cases": 7, "note": None},
        {"id": 2, "tags": [], "a": 2, "cases": 8, "note": "n"},
    ]
    for table in ("raw", "lines"):
        sql = f"select id, tags, of.a as a, cases, note from {table} order by id"
        assert shop.query(sql.replace("of.a", '"of".a')) == expected


def test_rows_of_a_source_are_set_aside(shop: Place) -> None:
    rule = 'rule.check("not 2", "id <> 2", on_failure="quarantine", fail_above="90 %")'
    declare(shop, f"rules=[{rule}]")
    assert shop.materialize()[""]["exit_code"] == 0
    assert ids(shop, "raw") == ids(shop, "lines") == [1, 3, 11, 12, 13]
    assert ids(shop, "raw__quarantine") == [2]
    drop(shop, "2024-01-02", 4)
    assert shop.materialize()[""]["exit_code"] == 0
    assert (ids(shop, "raw"), ids(shop, "raw__quarantine")) == ([1, 3, 4, 11, 13], [])


def test_columns_that_appear_are_told_and_suggested(shop: Place) -> None:
    declare(shop, "keep=True")
    shop.materialize()
    shop.write("in/2024-01-04.csv", "id,kind,email,at,paid\n4,a,x,2024-01-01 10:00:00,7\n")
    ran = shop.run("materialize")
    assert "sales.raw has new columns that it does not declare: paid (since 2024-01-04)" in ran.out
    told = shop.run("suggest", "raw").out
    assert "that sales.raw does not declare" in told
    assert '\'paid\': Column("bigint", since="2024-01-04")' in told


@pytest.mark.parametrize("categories", ["['b', 'a']", "['a', 'b']"])
def test_a_contract_may_ask_for_the_enum_that_is_declared(shop: Place, categories: str) -> None:
    contract = f"pa.DataFrameSchema({{'kind': pa.Column(pl.Enum({categories}), pa.Check.isin(['a', 'b']))}})"
    declare(shop, f"contract={contract}")
    told = shop.materialize()
    expected = "published" if categories == "['b', 'a']" else "held back"
    assert told["sales.raw"]["result"] == expected
