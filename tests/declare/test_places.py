"""Places in SQL that declarations give: in files, in literals, and nowhere to be found."""

import pytest

from assay.declare.places import FilePlace, SqlPlaces
from assay.model import Where
from tests.conftest import Place

MODULE = '''
QUERY = """
select a,
       b from t
"""

sql_product("file", "queries/net.sql", owner="o")
sql_product("short", "select a, b from t", owner="o")
sql_product(
    "long",
    """
    select a,
           b from t
    """,
    owner="o",
)
sql_product("named", QUERY, owner="o")
sql_product("joined", "select a, "
            "b from t", owner="o")
sql_product("raw", r"select 'ä', b from t", owner="o")
sql_product("made", f"select {'a'}, b from t", owner="o")
sql_product("ruled", "select 1 as x", owner="o", rules=[
    rule.sql("first", "select a, b from t"),
    rule.sql("second", "select a, b from t"),
])
'''
FILE = "\n-- b\nselect a,\n  b from t;\n"


def line_of(part: str, text: str = MODULE) -> int:
    return text[: text.index(part)].count("\n") + 1


@pytest.mark.parametrize(
    ("call", "sql", "wanted"),
    [
        ('"file"', "select a,\n  b from t", FilePlace("products/queries/net.sql", 4, 3)),
        ('"short"', "select a, b from t", FilePlace("products/p.py", line_of('"short"'), 33)),
        (
            "sql_product(\n",
            "select a,\n           b from t",
            FilePlace("products/p.py", line_of('    """,\n    owner') - 1, 12),
        ),
        ('"named"', "select a,\n       b from t", FilePlace("products/p.py", 4, 8)),
        ('"raw"', "select 'ä', b from t", FilePlace("products/p.py", line_of('"raw"'), 34)),
        (
            '"made"',
            "select a, b from t",
            FilePlace("products/p.py", line_of('"made"'), 0, line_of_text=1),
        ),
        (
            'rule.sql("first"',
            "select a, b from t",
            FilePlace("products/p.py", line_of('"first"'), 34),
        ),
        (
            'rule.sql("second"',
            "select a, b from t",
            FilePlace("products/p.py", line_of('"second"'), 35),
        ),
    ],
)
def test_a_place_is_where_the_text_is(call: str, sql: str, wanted: FilePlace, place: Place) -> None:
    place.write("products/p.py", MODULE)
    place.write("products/queries/net.sql", FILE)
    where = Where("products/p.py", line_of(call))
    offset = len(sql[: sql.index("b from")].encode())
    assert SqlPlaces(place.root).place_of(where, sql, offset) == wanted


def test_a_text_on_other_lines_than_its_literal_has_a_line_at_least(place: Place) -> None:
    place.write("products/p.py", MODULE)
    where = Where("products/p.py", line_of('"joined"'))
    found = SqlPlaces(place.root).place_of(where, "select a, b from t", 10)
    assert found == FilePlace("products/p.py", where.line, line_of_text=1)


def test_without_a_place_in_the_text_it_is_the_declaration_or_the_file(place: Place) -> None:
    place.write("products/p.py", MODULE)
    place.write("products/queries/net.sql", FILE)
    places = SqlPlaces(place.root)
    short, file = (Where("products/p.py", line_of(call)) for call in ('"short"', '"file"'))
    assert places.place_of(short, "select a, b from t", -1) == FilePlace(short.file, short.line)
    assert places.place_of(short, "", 3) == FilePlace(short.file, short.line)
    found = places.place_of(file, "select a,\n  b from t", -1)
    assert found == FilePlace("products/queries/net.sql")


@pytest.mark.parametrize("text", ["", "def (", "\0", "x = " + "(" * 500])
def test_a_module_that_cannot_be_parsed_has_its_line(text: str, place: Place) -> None:
    place.write("products/p.py", text)
    found = SqlPlaces(place.root).place_of(Where("products/p.py", 3), "select a", 7)
    assert found == FilePlace("products/p.py", 3, line_of_text=1)
    found = SqlPlaces(place.root).place_of(Where("gone.py", 3), "select a", 7)
    assert found == FilePlace("gone.py", 3, line_of_text=1)
