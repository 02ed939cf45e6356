"""Sources with rules, or kept, as they are declared."""

from tests.conftest import Place

RAW = """
from assay import rule, source, sql_product
raw = source.files("in/*.csv", columns={{"id": "bigint"}}, {about})
"""


def problems(place: Place, about: str, more: str = "") -> str:
    place.write("products/sales.py", RAW.format(about=about) + more)
    ran = place.run("ls")
    assert ran.code == 2, ran.out
    return ran.err


def test_a_source_without_rules_is_not_stored(place: Place) -> None:
    place.write("products/sales.py", RAW.format(about='owner="o"'))
    [listed] = place.run("ls", "--json").json
    assert (listed["product"], listed["kind"], listed["owner"]) == ("sales.raw", "source", "o")
    assert [*place.materialize()] == [""], "nothing is built"


def test_a_stored_source_has_an_owner(place: Place) -> None:
    said = problems(place, "keep=True")
    assert "sales.raw has no owner" in said
    assert "products/sales.py:3" in said


def test_its_arguments_have_types(place: Place) -> None:
    said = problems(place, 'owner="o", keep=1, rules=["id > 0"], contract=3')
    assert "this source: keep= should be True or False, and is 1" in said
    assert "this source: rules[0] should be rule.sql(...) or another rule" in said
    said = problems(place, 'owner="o", contract=3')
    assert "sales.raw: int is not a pandera.polars DataFrameModel" in said


def test_its_files_cannot_be_read_around_its_rules(place: Place) -> None:
    more = 'sql_product("p", "select * from raw__files", owner="o")'
    said = problems(place, 'owner="o", keep=True', more)
    assert "'raw__files' are files that have not been checked" in said
    assert "Read sales.raw, the rows that passed." in said


def test_the_name_of_its_files_is_taken(place: Place) -> None:
    more = 'sql_product("raw__files", "select 1 as x", owner="o")'
    assert "there are two sales.raw__files" in problems(place, 'owner="o", keep=True', more)
