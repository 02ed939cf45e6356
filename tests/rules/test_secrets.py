"""What is sensitive is shown nowhere: not under a new name, not in what an exception says, not in a suggestion."""

import pytest

from tests.conftest import Place

ADDRESS, OTHER = "wilma@q.example", "otto krause"
READS = """
people_file = source.files("people/*.csv", columns={"id": pl.Int64, "email": pl.String})

class People(pa.DataFrameModel):
    id: int
    email: str = pa.Field(metadata={"sensitive": True})

sql_product("people", "from people_file", owner="o", contract=People)
"""


def declare(place: Place, more: str, reads: str = READS) -> None:
    place.write("people/a.csv", f"id,email\n1,{ADDRESS}\n2,{OTHER}\n")
    place.write("products/sales.py", f"{reads}\n{more}", header=True)


def shown(place: Place, *verbs: list[str]) -> str:
    """Return all that these verbs print, and all that is in the catalog after them."""
    ran = [place.run(*verb) for verb in verbs]
    catalog = b"".join(file.read_bytes() for file in (place.root / ".products").glob("catalog.db*"))
    return "".join(r.out + r.err for r in ran) + catalog.decode("latin-1")


def assert_hidden(text: str) -> None:
    for part in ("wilma", "q.example", "otto", "krause"):
        assert part not in text.lower(), part


# ---------------------------------------------------------------------------------------------- exceptions

RAISES = {
    "NameError": "raise NameError(email)",
    "AttributeError": "raise AttributeError(f'no attribute {email}')",
    "ModuleNotFoundError": "raise ModuleNotFoundError(email)",
    "KeyError": "{}[email]",
    "ColumnNotFoundError": "return people.select(email)",
    "a getattr": "getattr(1, email)",
    "a note": "error = ValueError('bad'); error.add_note(email); raise error",
    "one of ours": "from assay.errors import StoreError; raise StoreError(email, hint=email)",
    "a class of that name": "raise type(email, (Exception,), {})('x')",
    "a group": "raise ExceptionGroup('many', [ValueError(email)])",
    "a cause": "raise ValueError('bad') from ValueError(email)",
    "a number": "raise ValueError(f'row {len(email) * 10**12 + 7}')",
    "a cast": "return people.select(pl.col('email').cast(pl.Int64))",
    "upper case": "raise ValueError(email.upper())",
}


@pytest.mark.parametrize(
    ("kind", "isolate"),
    [
        *((kind, False) for kind in RAISES),
        ("a note", True),
        pytest.param("NameError", True, marks=pytest.mark.long),
    ],
)
def test_what_an_exception_says_of_a_value_is_masked(
    place: Place, kind: str, isolate: bool
) -> None:
    code = f"""
@product(owner="o", isolate={isolate})
def p(people: pl.DataFrame):
    email = people["email"].sort()[0]
    {RAISES[kind]}
"""
    declare(place, code)
    text = shown(
        place, ["materialize"], ["materialize", "--json"], ["why", "p"], ["status", "--json"]
    )
    assert "products/sales.py:" in text
    assert "failed" in text
    assert_hidden(text)
    assert "11000000000007" not in text


def test_what_is_wrong_is_still_said(place: Place) -> None:
    code = """
@product(owner="o")
def p(people): return people.select(pl.col("emial"))

@product(owner="o")
def q(people): return peple

sql_product("r", "select\\n  emial from people", owner="o")

@product(owner="o")
def s(people: pl.DataFrame):
    raise ValueError(f"the register does not answer for {people['email'][0]}")
"""
    declare(place, code)
    told = {name: event.get("error", "") for name, event in place.materialize().items()}
    assert 'unable to find column "emial"; valid columns: ["id", "email"]' in told["sales.p"]
    assert "NameError: name 'peple' is not defined" in told["sales.q"]
    assert 'Referenced column "emial" not found' in told["sales.r"]
    assert "the register does not answer for …" in told["sales.s"]


# ---------------------------------------------------------------------------------------------- suggestions


def test_a_suggestion_holds_no_value_that_looks_personal(place: Place) -> None:
    rows = [
        f"{n},{n}@mail.example,+44 20 7946 0{n},Wilma Berg,GB29NWBK60161331926819,19{n}-01-01,{n}9999,x{n % 3}"
        for n in range(70, 99)
    ]
    place.write(
        "p/a.csv", "\n".join(["id,contact,reach,customerName,bank,dob,salary,kind", *rows]) + "\n"
    )
    columns = "{'id': pl.Int64, 'contact': pl.String, 'reach': pl.String, 'customerName': pl.String, 'bank': pl.String, 'dob': pl.Date, 'salary': pl.Int64, 'kind': pl.String}"
    place.write(
        "products/sales.py", f"file = source.files('p/*.csv', columns={columns})\n", header=True
    )
    text = place.run("suggest", "file").out + place.run("suggest", "file", "--json").out
    for value in ("mail.example", "7946", "Wilma", "GB29", "1970", "709999", r"\\+"):
        assert value not in text, value
    code = place.run("suggest", "file").out
    assert (
        'contact: str = pa.Field(metadata={"sensitive": True})  # in every row, may be personal'
        in code
    )
    assert "70 to 98" in code, "the control: others are profiled"
    assert "isin" not in code or '"x0", "x1", "x2"' in code


def test_a_suggestion_about_a_source_keeps_what_its_products_do(place: Place) -> None:
    declare(place, "", reads=READS.replace("email", "e").replace("pl.String", "pl.String", 1))
    place.write(
        "people/a.csv", "id,e\n" + "".join(f"{n},{'odd' if n % 2 else 'even'}\n" for n in range(40))
    )
    code = place.run("suggest", "people_file").out
    assert "odd" not in code
    assert 'e: str = pa.Field(metadata={"sensitive": True})  # in every row\n' in code


@pytest.mark.parametrize("verb", [["suggest", "people_file"], ["materialize"]])
def test_a_first_row_is_not_shown_as_names_of_columns(place: Place, verb: list[str]) -> None:
    declare(place, "", reads=READS.replace('metadata={"sensitive": True}', ""))
    place.write("people/a.csv", "1,wilma@q.example\n2,otto\n")
    ran = place.run(*verb)
    assert (
        "should have a column 'id'; it has 2 columns, and no names of columns in its first line"
        in ran.out + ran.err
    )
    place.write("people/a.csv", "id,e_mail,since\n2,otto\n")
    ran = place.run(*verb)
    assert "should have a column 'email'; it has id, e_mail, since" in ran.out + ran.err


# ---------------------------------------------------------------------------------------------- new names

NEVER = "rules=[rule.check('never', 'id < 0')]"
FUNCTION = "@product(owner='o')\ndef b(people): return people.select('id', contact='email')\n"
QUERY = "sql_product('b', 'select id, email as contact from people', owner='o')\n"


def renamed(sql: str) -> str:
    return f"sql_product('c', {sql!r}, owner='o', {NEVER})"


RENAMES = {
    "sql": renamed("select id, email as contact from people"),
    "sql, changed": renamed("select id, upper(email) as contact from people"),
    "a common table": renamed(
        "with t as (select id, email as e from people) select id, e as contact from t"
    ),
    "twice": QUERY + renamed("select id, contact as k from b"),
    "a union": renamed("select 0 as id, null as contact union all select id, email from people"),
    "without a name": renamed("select id, upper(email) from people"),
    "places": renamed("select id, contact from people t(id, contact)"),
    "whole rows": renamed("select id, t as contact from people t"),
    "unpivot": renamed("select id, v from people unpivot (v for n in (email))"),
    "a function": f"@product(owner='o', {NEVER})\ndef c(people): return people.select('id', contact='email')",
    "a function, changed": f"@product(owner='o', {NEVER})\n"
    "def c(people): return people.select('id', contact=pl.col('email').str.to_uppercase() + '!')",
    "a list": f"@product(owner='o', {NEVER})\ndef c(people): return people.select('id', contact=pl.concat_list('email'))",
    "read by a query": FUNCTION + renamed("select id, contact as k from b"),
    "references": FUNCTION + "sql_product('none', \"select 'x' as contact\", owner='o')\n"
    "sql_product('c', 'from b', owner='o', rules=[rule.references('contact', 'none.contact')])",
    "a rule's query": QUERY
    + "sql_product('c', 'select 1 as id', owner='o', rules=[rule.sql('never', 'select id, contact as k from b')])",
    "a rule's query of a function's": FUNCTION
    + "sql_product('c', 'select 1 as id', owner='o', rules=[rule.sql('never', 'select id, contact as k from b')])",
    "reconciles": QUERY
    + "sql_product('c', 'select 1 as id, 0 as n, null::varchar as contact', owner='o',"
    " rules=[rule.reconciles('sum(n)', 'b', 'count(*)', by=['contact'])])",
}


@pytest.mark.parametrize("kind", RENAMES)
def test_a_value_keeps_its_secret_under_another_name(place: Place, kind: str) -> None:
    declare(place, RENAMES[kind])
    verbs = [
        ["show", "c", "--held"],
        ["show", "c", "--held", "--json"],
        ["show", "c", "--held", "--failures", ""],
    ]
    more = [["show", "b"], ["suggest", "b"]] if kind in {"twice", "read by a query"} else []
    text = shown(
        place,
        ["materialize", "--json"],
        ["materialize"],
        ["why", "c"],
        *verbs,
        *more,
        ["history", "c", "--json"],
    )
    assert "held back" in text
    assert "(sensitive)" in text
    assert_hidden(text)


def test_what_is_counted_or_cleared_is_shown(place: Place) -> None:
    """The control: hiding everything would pass the test above."""
    query = (
        "select id, count(email) as n, email is null as none, row_number() over (order by email) as place, "
        "split_part(email, '@', 2) as domain from people group by id, email"
    )
    declare(
        place,
        f"""
class Cleared(pa.DataFrameModel):
    domain: str = pa.Field(metadata={{"sensitive": False}})

sql_product("c", {query!r}, owner="o", contract=Cleared, {NEVER})

@product(owner="o", {NEVER})
def d(people): return people.select("id", n=pl.col("email").str.len_chars(), kind=pl.lit("person"))
""",
    )
    place.materialize()
    rows = place.run("show", "c", "--held", "--json").json
    assert {"id": 1, "n": 1, "none": False, "place": 2, "domain": "q.example"} in rows
    assert place.run("show", "d", "--held", "--json").json == [
        {"id": 1, "n": len(ADDRESS), "kind": "person"},
        {"id": 2, "n": len(OTHER), "kind": "person"},
    ]


def test_a_mark_that_comes_later_hides_what_was_kept(place: Place) -> None:
    mark = ' = pa.Field(metadata={"sensitive": True})'
    rule = "sql_product('c', 'from people', owner='o', rules=[rule.check('r', 'email is null')])"
    declare(place, rule, READS.replace(mark, ""))
    place.materialize()
    assert ADDRESS in place.run("why", "c").out, "the control"
    place.edit("products/sales.py", "email: str", f"email: str{mark}")
    assert_hidden(place.run("why", "c").out)
