"""Sources as `ls`, `status`, `show`, `query` and `history` show them."""

import gzip

import pytest

from tests.conftest import Place

PRODUCTS = """
visits = source.files("in/{day:date}.csv", columns={"id": ("bigint", "number of the visit"), "email": "varchar"},
    owner="desk@shop.example", purpose="One drop a day.", freshness=Freshness(within="36h"))
sql_product("lines", "select * from visits", owner="o", contract=Lines)
note = source.file("note.txt")
"""
LINES = """
class Lines(pa.DataFrameModel):
    email: str = pa.Field(metadata={"sensitive": True})
"""


def drop(place: Place, day: int, *ids: int) -> None:
    rows = [f"{id},ann{id}@home.example" for id in ids]
    place.write(f"in/2024-01-0{day}.csv", "\n".join(["id,email", *rows]) + "\n")


@pytest.fixture
def desk(place: Place) -> Place:
    place.write("products/sales.py", LINES + PRODUCTS, header=True)
    place.write("note.txt", "a note")
    drop(place, 1, 1, 2)
    drop(place, 2, 3)
    return place


def status(place: Place, name: str) -> dict:
    told = {each["product"]: each for each in place.run("status", "--json").json}
    return told[name]


def test_status_says_whether_a_source_was_read_as_it_is(desk: Place) -> None:
    assert status(desk, "sales.visits")["state"].startswith("not read yet")
    desk.materialize()
    told = status(desk, "sales.visits")
    assert (told["kind"], told["files"], told["because"]) == ("source", 2, "")
    assert told["state"] == "read, missed"
    assert told["as_of"].startswith("2024-01-02")
    assert status(desk, "sales.note")["state"] == "read"
    drop(desk, 2, 4)
    drop(desk, 3, 5)
    (desk.root / "in/2024-01-01.csv").unlink()
    told = status(desk, "sales.visits")
    assert told["state"] == "changed, missed"
    assert told["because"] == "1 file added, 1 file replaced, 1 file removed since the last run"
    for file in (desk.root / "in").iterdir():
        file.unlink()
    told = status(desk, "sales.visits")
    assert told["state"].startswith("missing")
    assert told["because"] == "sales.visits: no file matches in/*.csv"
    row = next(line for line in desk.run("status").out.splitlines() if "sales.numbers" in line)
    assert row.split()[:4] == ["sales.numbers", "read", "1", "file"]


def test_two_sources_of_the_same_files_were_both_read(desk: Place) -> None:
    twin = 'twin = source.files("data/*.csv", columns={"x": pl.Int64})\n'
    desk.edit("products/sales.py", "note = ", f"{twin}note = ")
    desk.materialize()
    assert status(desk, "sales.twin")["state"] == status(desk, "sales.numbers")["state"] == "read"


def test_ls_lists_sources_after_products(desk: Place) -> None:
    listed = desk.run("ls", "--json").json
    assert [each["product"] for each in listed] == [
        "sales.lines",
        "sales.note",
        "sales.numbers",
        "sales.visits",
    ]
    visits = listed[-1]
    assert [each["parts"] for each in listed[-2:]] == ["by file", "by day"]
    assert (visits["kind"], visits["owner"]) == ("source", "desk@shop.example")
    assert visits["freshness"] == "at most 36h old"
    assert [c["name"] for c in visits["columns"]] == ["id", "email"]
    assert [each["product"] for each in desk.run("ls", "--json", "-s", "+lines").json] == [
        "sales.lines",
        "sales.visits",
    ]


def test_show_prints_the_first_rows_without_what_is_sensitive_downstream(desk: Place) -> None:
    ran = desk.run("show", "visits", "-n", "2")
    assert "home.example" not in ran.out
    assert ran.out.splitlines()[:3] == [
        "id  email        day",
        "1   (sensitive)  2024-01-01",
        "2   (sensitive)  2024-01-01",
    ]
    assert "sales.visits: a source, 2 files matching in/*.csv" in ran.out
    assert "no run has read it" in ran.out
    assert "the first 2 rows" in ran.err
    view = desk.run("show", "visits", "--json").json
    assert [row["id"] for row in view["rows"]] == [1, 2, 3]
    assert desk.run("show", "note", "--json").json.get("rows") is None


def test_show_says_which_file_is_not_as_declared(desk: Place) -> None:
    desk.write("in/2024-01-01.csv", "id,email\nnone,x\n")
    ran = desk.run("show", "visits")
    assert ran.code == 1
    assert "in/2024-01-01.csv, line 2: column 'id' should be BIGINT" in ran.err


def test_only_the_files_of_the_first_rows_are_read(desk: Place) -> None:
    desk.write("in/2024-01-02.csv", "no, columns\n")
    assert desk.run("show", "visits", "-n", "1").code == 0


def test_query_reads_sources_as_they_are_now(desk: Place) -> None:
    sql = "select sum(id)::bigint as n from visits where day > '2024-01-01'"
    assert desk.query(sql) == [{"n": 3}]
    desk.materialize()
    drop(desk, 2, 4)
    ran = desk.run(
        "query", "--json", f"select n, x from ({sql}), (select max(x) as x from numbers)"
    )
    assert ran.json == [{"n": 4, "x": 3}]
    assert "sales.visits: 1 file replaced since the last run" in ran.err
    [row] = desk.query("select count(*) as n from lines join sales.visits using (id)")
    assert row == {"n": 2}


def test_query_reads_text_that_engines_read_by_a_copy(desk: Place) -> None:
    old = 'source.files("in/{day:date}.csv"'
    desk.edit("products/sales.py", old, f'{old}, encoding="utf-16"')
    for day in (1, 2):
        file = desk.root / f"in/2024-01-0{day}.csv"
        file.write_text(file.read_text(), encoding="utf-16")
    assert desk.query("select count(*) as n from visits") == [{"n": 3}]
    assert [row["id"] for row in desk.run("show", "visits", "--json").json["rows"]] == [1, 2, 3]


def test_query_refuses_what_is_no_table_or_not_kept(desk: Place) -> None:
    desk.materialize()
    ran = desk.run("query", "from note")
    assert (ran.code, "sales.note is a file, not a table" in ran.err) == (2, True)
    ran = desk.run("query", "from visits", "--as-of", "1")
    assert ran.code == 2
    assert "sales.visits is a source that is not kept" in ran.err
    assert "keep=True" in ran.err
    ran = desk.run("query", "from visit")
    assert (ran.code, "no published table 'visit'" in ran.err) == (2, True)
    for sql in ("from '../x.csv'", "select * from read_csv('note.txt')"):
        assert desk.run("query", f"select * from ({sql}), visits").code == 2


def test_packed_files_are_queried(desk: Place) -> None:
    desk.edit("products/sales.py", "in/{day:date}.csv", "in/{day:date}.csv.gz")
    for file in [*(desk.root / "in").iterdir()]:
        file.with_suffix(".csv.gz").write_bytes(gzip.compress(file.read_bytes()))
    assert desk.query("select count(*) as n from visits") == [{"n": 3}]


def test_history_lists_what_runs_read(desk: Place) -> None:
    assert desk.run("history", "visits", "--json").json == []
    desk.materialize()
    drop(desk, 1, 9)
    drop(desk, 3, 5)
    desk.materialize()
    last, first = desk.run("history", "visits", "--json").json
    assert (last["files"], last["replaced"], last["added"]) == (
        3,
        ["in/2024-01-01.csv"],
        ["in/2024-01-03.csv"],
    )
    assert first["changed"] == "2 files added"
    assert "1 file added, 1 file replaced" in desk.run("history", "visits").out


MARKED = """
from assay import Column
people = source.files("in/{day:date}.csv", columns={"id": "bigint", "email": Column("varchar", sensitive=True)},
    owner="desk@shop.example"%s)
sql_product("renamed", "select id, upper(email) as contact, day from people", owner="o",
    rules=[rule.check("no 3", "id <> 3")])
"""


@pytest.mark.parametrize("about", ["", ", rules=[rule.check('no 2', 'id <> 2')]"])
def test_what_a_source_marks_as_sensitive_is_shown_by_nothing(desk: Place, about: str) -> None:
    desk.write("products/sales.py", MARKED % about, header=True)
    told = desk.run("materialize")
    assert told.code == 3
    said = [told.out, told.err, desk.recorded()]
    for arguments in (
        ["show", "people"],
        ["show", "people", "--held"],
        ["show", "renamed", "--held"],
        ["why", "renamed"],
        ["suggest", "people"],
        ["show", "renamed", "--held", "--failures", "no 3"],
        ["materialize", "--json"],
    ):
        ran = desk.run(*arguments)
        said += [ran.out, ran.err]
    assert "home.example" not in "".join(said).lower()
    columns = {c["name"]: c for c in desk.run("describe", "people", "--json").json["columns"]}
    assert (columns["email"]["sensitive"], columns["id"]["sensitive"]) == (True, False)


def test_a_value_that_is_not_as_declared_is_not_quoted_if_sensitive(desk: Place) -> None:
    text = MARKED.replace('Column("varchar", s', 'Column("bigint", s').replace(
        "upper(email)", "email"
    )
    desk.write("products/sales.py", text % "", header=True)
    ran = desk.run("materialize")
    assert ran.code == 1
    assert "column 'email' should be BIGINT" in ran.out
    assert "home.example" not in ran.out + ran.err


def test_the_promise_of_a_stored_source_is_that_of_its_files(desk: Place) -> None:
    desk.edit("products/sales.py", 'purpose="One drop a day."', "keep=True")
    desk.materialize()
    [told] = desk.run("freshness", "visits", "--json").json
    assert (told["name"], told["state"]) == ("sales.visits__files", "missed")
    view = status(desk, "sales.visits")
    assert (view["state"], view["promise"]["name"]) == (
        "up to date, missed",
        "sales.visits__files",
    )
    [listed] = desk.run("ls", "--json", "-s", "visits").json
    assert (listed["kind"], listed["promise"]["state"]) == ("source", "missed")
