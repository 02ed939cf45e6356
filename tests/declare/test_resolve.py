"""Every mistake in the declarations: told at once, with file and line and what to do, never with a traceback."""

import pytest

from tests.conftest import Place, mostly_long

MISTAKES = {
    "unknown input, nearest name": (
        "@product(owner='o')\ndef p(nombers): return nombers",
        ["products/sales.py:8: unknown input 'nombers'", "Did you mean sales.numbers?"],
    ),
    "unknown table": (
        "sql_product('p', 'select * from nombers', owner='o')",
        ["products/sales.py:8: unknown input 'nombers'", "Did you mean sales.numbers?"],
    ),
    "a file read on the side": (
        "sql_product('p', \"select * from 'data/a.csv'\", owner='o')",
        ["'data/a.csv' is not an input", "source.files()"],
    ),
    "a function that reads a file": (
        "sql_product('p', \"select * from read_csv('data/a.csv')\", owner='o')",
        ["read_csv() would read something that is no declared input"],
    ),
    "a cycle": (
        "sql_product('a', 'from b', owner='o')\nsql_product('b', 'from c', owner='o')\nsql_product('c', 'from a', owner='o')",
        ["depend on each other: sales.", " -> sales."],
    ),
    "a cycle through a rule": (
        "sql_product('a', 'from numbers', owner='o', rules=[rule.sql('r', 'select 1 from this, b')])\n"
        "sql_product('b', 'from a', owner='o')",
        ["depend on each other", "sales.a reads sales.b in its rule 'r'", "Declare the rule on"],
    ),
    "two of one name": (
        "sql_product('p', 'from numbers', owner='o')\nsql_product('p', 'from numbers', owner='o')",
        ["products/sales.py:9: there are two sales.p: the other is at products/sales.py:8"],
    ),
    "bad SQL, where in it": (
        "sql_product('p', '''select x\n  frm numbers\n  where (x = ''', owner='o')",
        ["products/sales.py:8: the SQL of sales.p, line 2 column", "^"],
    ),
    "SQL that writes": (
        "sql_product('p', 'drop table numbers', owner='o')",
        ["this is not a query"],
    ),
    "SQL that writes inside a query": (
        "sql_product('p', 'with a as (insert into t values (1) returning *) from a', owner='o')",
        ["this writes"],
    ),
    "two statements": ("sql_product('p', 'select 1; select 2', owner='o')", ["2 statements"]),
    "no owner": (
        "@product()\ndef p(numbers): return numbers",
        ["products/sales.py:8: sales.p has no owner", "owner="],
    ),
    "a contract that is no schema": (
        "@product(owner='o', contract=dict)\ndef p(numbers): return numbers",
        ["sales.p: dict is not a pandera.polars DataFrameModel or DataFrameSchema"],
    ),
    "a contract that changes data": (
        "@product(owner='o', contract=pa.DataFrameSchema({'x': pa.Column(int)}, drop_invalid_rows=True))\n"
        "def p(numbers): return numbers",
        ["this schema changes data (drop_invalid_rows)"],
    ),
    "an annotation that can't be served": (
        "import datetime\n@product(owner='o')\ndef p(numbers: datetime.date): return numbers",
        ["parameter 'numbers' cannot be handed over as date", "pl.LazyFrame"],
    ),
    "an annotation that names nothing": (
        "@product(owner='o')\ndef p(numbers: 'pl.Nope'): return numbers",
        ["products/sales.py:8: sales.p: cannot read its parameters"],
    ),
    "a name that escapes": (
        "sql_product('../x', 'from numbers', owner='o')",
        ["'../x' cannot be a name", "lower-case letters"],
    ),
    "a reserved name": (
        "sql_product('this', 'from numbers', owner='o')",
        ["'this' cannot be a name (it is reserved)"],
    ),
    "a hostile name": (
        "sql_product('a\\x1b[31m\\n\\u202e;', 'from numbers', owner='o')",
        ["cannot be a name"],
    ),
    "a source without a name": (
        "[source.files('x.csv', columns={'a': pl.Int64})]",
        ["products/sales.py:8: this source has no name"],
    ),
    "a source column of no type": (
        "s = source.files('x.csv', columns={'a': pl.Object})",
        ["column 'a' cannot be read as Object"],
    ),
    "a source column of no type of SQL": (
        "s = source.files('x.csv', columns={'a': 'bigintt'})",
        ["column 'a' cannot be read as 'bigintt'", "as in SQL, such as 'bigint'"],
    ),
    "a source column that cannot be stored": (
        "s = source.files('x.csv', columns={'a': pl.Int128})",
        ["column 'a' cannot be read as Int128"],
    ),
    "a source of no format": (
        "s = source.files('x.dat', columns={'a': pl.Int64})",
        ["no format follows from 'x.dat'"],
    ),
    "a rule of an unknown table": (
        "sql_product('p', 'from numbers', owner='o', rules=[rule.sql('r', 'from nope')])",
        ["unknown input 'nope'"],
    ),
    "a rule in bad SQL": (
        "sql_product('p', 'from numbers', owner='o', rules=[rule.sql('r', 'selec 1')])",
        ["rule 'r' of sales.p, line 1 column 1"],
    ),
    "a rule of unknown severity": (
        "sql_product('p', 'from numbers', owner='o', rules=[rule.sql('r', 'from this', severity='fatal')])",
        ["severity 'fatal'", "'error' or 'warning'"],
    ),
    "a rule of unknown dimension": (
        "sql_product('p', 'from numbers', owner='o', rules=[rule.sql('r', 'from this', dimension='beauty')])",
        ["dimension 'beauty'", "accuracy"],
    ),
    "two rules of one text": (
        "sql_product('p', 'from numbers', owner='o', rules=[rule.sql('r', 'from this'), rule.sql('r', 'from this')])",
        ["two rules say 'r'"],
    ),
    "rules that are no rules": (
        "sql_product('p', 'from numbers', owner='o', rules=['x > 1'])",
        ["rules[0] should be rule.sql(...) or another rule, and is 'x > 1'"],
    ),
    "a module that fails": (
        "x = 1\ny = x / 0",
        ["products/sales.py:9: cannot be imported: ZeroDivisionError", "y = x / 0"],
    ),
    "a module that does not parse": (
        "def f(:\n  pass",
        ["products/sales.py:8: cannot be imported"],
    ),
    "a rule that is none": (
        "rule.chek('a', 'x > 1')",
        ["products/sales.py:8: cannot be imported", "'chek': did you mean 'check'?"],
    ),
    "what is like nothing": (
        "rule.zzzzzz('a', 'x > 1')",
        ["products/sales.py:8: cannot be imported", "has no attribute 'zzzzzz'\n"],
    ),
    "a thing that does not say what it has": (
        "class Odd:\n  def __dir__(self): raise ValueError\nOdd().x",
        [
            "products/sales.py:10: cannot be imported: AttributeError: 'Odd' object has no attribute 'x'\n"
        ],
    ),
    "a module that leaves": (
        "import sys; sys.exit(3)",
        ["products/sales.py:8: cannot be imported: SystemExit"],
    ),
    "an unknown keyword": (
        "sql_product('p', 'from numbers', ownr='o')",
        ["products/sales.py:8: cannot be imported: TypeError", "ownr"],
    ),
    "a keyword, nearly": (
        "sql_product('p', 'from numbers', owner='o', purpos='x')",
        ["sql_product() has no keyword 'purpos': did you mean 'purpose'?"],
    ),
    "a decorator without its parentheses": (
        "@product\ndef p(numbers): return numbers",
        ['write @product(owner="...")'],
    ),
    "a zone that is none": (
        "sql_product('p', 'from numbers', owner='o', freshness=Freshness(by='07:00', tz='Europe/Londn'))",
        ["freshness tz 'Europe/Londn' is no time zone"],
    ),
    "this, nearly": (
        "sql_product('p', 'from numbers', owner='o', rules=[rule.sql('r', 'from thiss')])",
        ["rule 'r' of sales.p: unknown table 'thiss'", "Did you mean this?"],
    ),
    "a time that is none": (
        "sql_product('p', 'from numbers', owner='o', freshness=Freshness(by='7 am'))",
        ["freshness by '7 am' is no time of day"],
    ),
    "an event time that is no column": (
        "@product(owner='o', event_time='dya', contract=pa.DataFrameSchema({'day': pa.Column(int)}))\n"
        "def p(numbers): return numbers",
        ["event_time 'dya' is no column of its contract", "day"],
    ),
    "an input that is no parameter": (
        "@product(owner='o', inputs={'nope': 'numbers'})\ndef p(numbers): return numbers",
        ["inputs= names nope, which is no parameter"],
    ),
    "a starred parameter": (
        "@product(owner='o')\ndef p(*numbers): return numbers",
        ["*numbers cannot be an input"],
    ),
    "a file outside its folder": (
        "@product(owner='o', file='../x.csv')\ndef p(numbers): return b''",
        ["file='../x.csv' should be a plain file name"],
    ),
    "each= with a typo": (
        "sql_product('p', 'from numbers', owner='o', each='numers')",
        ["each='numers' is no name of an input", "Did you mean sales.numbers?"],
    ),
    "a file that would forge a line": (
        "@product(owner='o', file='a\\nb\\x1b[31m.txt')\ndef p(numbers): return b''",
        ["file='a\\nb\\x1b[31m.txt' should be a plain file name", "no control characters"],
    ),
    "a file whose name is too long": (
        "@product(owner='o', file='ü' * 150)\ndef p(numbers): return b''",
        ["should be a plain file name", "at most 255 bytes"],
    ),
    "SQL over a file": (
        "@product(owner='o', file='x.csv')\ndef f(numbers): return b''\nsql_product('p', 'from f', owner='o')",
        ["sales.f is a file; SQL can only read tables"],
    ),
    "a file handed over as a table": (
        "@product(owner='o', file='x.csv')\ndef f(numbers): return b''\n@product(owner='o')\ndef p(f: pl.LazyFrame): return f",
        ["parameter 'f' is a file: annotate it pathlib.Path"],
    ),
    "half a character in a contract": (
        "@product(owner='o', contract=pa.DataFrameSchema({'x': pa.Column(str, pa.Check.isin(['\\ud800', 'a']))}))\ndef p(numbers): return numbers",
        ["half a character is in it (x is one of \\ud800, a)"],
    ),
    "half a character in a tag": (
        "sql_product('p', 'from numbers', owner='o', tags=['\\ud800'])",
        ["tags[0] should be a text, and is '\\ud800'"],
    ),
    "a consumer of one's own kind": (
        "class Desk(Consumer): pass\nsql_product('p', 'from numbers', owner='o', consumers=[Desk(name='d')])",
        ["consumers[0] should be Consumer(name=...), and of no class of your own, and is Desk"],
    ),
    "a text for a consumer": (
        "sql_product('p', 'from numbers', owner='o', consumers=['CFO'])",
        ["consumers[0] should be Consumer(name=...)", "and is 'CFO'"],
    ),
    "a text among rules": (
        "sql_product('p', 'from numbers', owner='o', rules=[rule.sql('r', 'from this'), 'x > 1'])",
        ["rules[1] should be rule.sql(...) or another rule, and is 'x > 1'"],
    ),
    "tags that are one text": (
        "sql_product('p', 'from numbers', owner='o', tags='daily')",
        ["tags= should be a list of texts, and is 'daily'"],
    ),
    "a number with too many digits to be written": (
        "sql_product('p', 'from numbers', owner=10**9999)",
        ["owner= should be a text, and is int"],
    ),
    "a missing .sql file": ("sql_product('p', 'nope.sql', owner='o')", ["cannot read nope.sql"]),
    "a .sql file outside": (
        "sql_product('p', '../../../etc/x.sql', owner='o')",
        ["it is outside the project"],
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_told(place: Place, case: str) -> None:
    text, expected = MISTAKES[case]
    place.write("products/sales.py", text, header=True)
    ran = place.run("status")
    assert ran.code == 2
    for said in expected:
        assert said in ran.err, ran.err
    assert "Traceback" not in ran.err
    assert "1 mistake in the declarations" in ran.err
    assert "\x1b" not in ran.err


def test_all_mistakes_are_told_at_once_in_order(place: Place) -> None:
    place.write(
        "products/sales.py",
        "sql_product('p', 'from nope', owner='')\nsql_product('../q', '', owner='o')",
        header=True,
    )
    place.write("products/broken.py", "import nowhere_to_be_found")
    place.write(
        "products/finance/deep.py",
        "from assay import sql_product\nsql_product('p', 'from sales.nope', owner='o')",
    )
    ran = place.run("plan")
    assert ran.code == 2
    assert "5 mistakes" in ran.err
    places = [
        line.strip().partition(": ")[0]
        for line in ran.err.splitlines()
        if line.startswith("  products")
    ]
    assert places == [
        "products/broken.py:1",
        "products/finance/deep.py:2",
        "products/sales.py:8",
        "products/sales.py:8",
        "products/sales.py:9",
    ]


def test_a_module_named_so_that_it_cannot_be_imported(place: Place) -> None:
    place.write("products/my-sales.py", "")
    ran = place.run("ls")
    assert ran.code == 2
    assert "products/my-sales.py: 'my-sales' cannot be imported" in ran.err


def test_bad_sql_in_a_file_is_told_in_the_file(place: Place) -> None:
    place.write("products/p.sql", "select x\nfrom numbers\nwhere (x = \n")
    place.write("products/sales.py", "sql_product('p', 'p.sql', owner='o')", header=True)
    ran = place.run("ls")
    assert (
        "products/p.sql:4: the SQL of sales.p, line 4" in ran.err or "products/p.sql:3:" in ran.err
    )


def test_domains_and_inputs_across_them(place: Place) -> None:
    place.write("products/sales.py", "sql_product('lines', 'from numbers', owner='o')", header=True)
    place.write(
        "products/finance/month/close.py",
        """
        from assay import product, sql_product
        sql_product('by_name', 'select * from sales.lines', owner='o')
        sql_product('by_alias', 'select * from l', owner='o', inputs={'l': 'sales.lines'})
        @product(owner='o', inputs={'lines': 'sales.lines'})
        def by_function(lines): return lines
        sql_product('elsewhere', 'from finance.by_name', owner='o', domain='board')
        """,
    )
    ran = place.run("ls", "--json")
    assert {p["product"]: p["reads"] for p in ran.json if "reads" in p} == {
        "sales.lines": ["sales.numbers"],
        "finance.by_name": ["sales.lines"],
        "finance.by_alias": ["sales.lines"],
        "finance.by_function": ["sales.lines"],
        "board.elsewhere": ["finance.by_name"],
    }
    told = place.materialize()
    assert told[""]["exit_code"] == 0
    place.edit("products/finance/month/close.py", "inputs={'l': 'sales.lines'}", "inputs={}")
    assert "unknown input 'l'" in place.run("plan").err
    place.edit("products/finance/month/close.py", "inputs={'lines': 'sales.lines'}", "inputs={}")
    assert 'Across domains, write inputs={"lines": "sales.lines"}' in place.run("plan").err


def test_a_loop_may_declare(place: Place) -> None:
    place.write(
        "products/sales.py",
        """
        for n in (1, 2, 3):
            sql_product(f"p{n}", f"select x * {n} as x from numbers", owner="o")
        """,
        header=True,
    )
    assert [p["product"] for p in place.run("ls", "--json").json] == [
        "sales.p1",
        "sales.p2",
        "sales.p3",
        "sales.numbers",
    ]


def test_a_declared_function_can_still_be_called(place: Place) -> None:
    from assay import product

    @product(owner="o")
    def double(x):
        return x * 2

    assert double(21) == 42


def test_common_table_expressions_are_no_inputs(place: Place) -> None:
    place.write(
        "products/sales.py",
        """
        sql_product("p", '''
            with recursive up(n) as (select 1 union all select n + 1 from up where n < 3),
            numbers2 as (select x from numbers)
            select x, n from numbers2, up, (select unnest([1]) as one) z where exists (select 1 from range(3))
        ''', owner="o")
        """,
        header=True,
    )
    [told, _] = place.run("ls", "--json").json
    assert told["reads"] == ["sales.numbers"]
    assert place.materialize()["sales.p"]["rows"] == 9


ODD_VALUES = [
    "None",
    "3",
    "''",
    "'x'",
    "object()",
    "[1]",
    "[None]",
    "{'a': 1}",
    "{1: None}",
    "dict",
    "b'x'",
    "float('nan')",
]
HALVES = [ODD_VALUES[::2], ODD_VALUES[1::2]]
halves = pytest.mark.parametrize(
    "values", mostly_long(HALVES, HALVES[0]), ids=["one half", "the other"]
)
KEYWORDS = [
    "owner",
    "purpose",
    "domain",
    "inputs",
    "contract",
    "rules",
    "consumers",
    "tags",
    "event_time",
    "freshness",
    "release_group",
    "name",
    "file",
]


@halves
@pytest.mark.parametrize("keyword", KEYWORDS)
def test_no_value_of_a_keyword_ends_in_a_traceback(
    place: Place, keyword: str, values: list[str]
) -> None:
    for value in values:
        owner = "" if keyword == "owner" else ", owner='o'"
        text = f"@product({keyword}={value}{owner})\ndef p(numbers): return numbers\n"
        if keyword not in {"name", "file"}:
            text += f"sql_product('q', 'from numbers', {keyword}={value}{owner})\n"
        place.write("products/sales.py", text, header=True)
        assert place.run("status").code in {0, 2}, (keyword, value)


@halves
@pytest.mark.parametrize(
    "keyword",
    [
        "pattern",
        "columns",
        "name",
        "domain",
        "format",
        "null_values",
        "separator",
        "owner",
        "freshness",
        "event_time",
        "poll",
    ],
)
def test_no_value_of_a_source_ends_in_a_traceback(
    place: Place, keyword: str, values: list[str]
) -> None:
    given = {"pattern": "'data/*.csv'", "columns": "{'x': pl.Int64}"}
    for value in values:
        words = {**given, keyword: value}
        pattern = words.pop("pattern")
        text = ", ".join([pattern, *(f"{k}={v}" for k, v in words.items())])
        place.write("products/sales.py", f"s = source.files({text})\n", header=True)
        assert place.run("status").code in {0, 2}, (keyword, value)


@halves
@pytest.mark.parametrize("keyword", ["text", "sql", "severity", "because", "dimension", "owner"])
def test_no_value_of_a_rule_ends_in_a_traceback(
    place: Place, keyword: str, values: list[str]
) -> None:
    for value in values:
        words = {"text": "'t'", "sql": "'from this'", keyword: value}
        text = ", ".join(f"{k}={v}" for k, v in words.items())
        place.write(
            "products/sales.py",
            f"sql_product('p', 'from numbers', owner='o', rules=[rule.sql({text})])",
            header=True,
        )
        assert place.run("status").code in {0, 2}, (keyword, value)


@halves
@pytest.mark.parametrize(
    "what",
    [
        "Consumer(name={0})",
        "Consumer(name='c', decides={0})",
        "Freshness(by={0})",
        "Freshness(by='07:00', tz={0})",
        "Freshness(by='07:00', covers={0})",
        "Freshness(by='07:00', on={0})",
        "Freshness(by='07:00', on=calendar(closed={0}, name='C'))",
        "Freshness(within={0}, at_least={0}, warn_before={0})",
        "Freshness(every={0}, trading={0})",
    ],
)
def test_no_value_inside_a_value_ends_in_a_traceback(
    place: Place, what: str, values: list[str]
) -> None:
    keyword = "freshness={0}" if what.startswith("F") else "consumers=[{0}]"
    for value in values:
        given = keyword.format(what.format(value))
        place.write(
            "products/sales.py",
            f"sql_product('p', 'from numbers', owner='o', {given})",
            header=True,
        )
        assert place.run("status").code in {0, 2}, (what, value)


def test_a_lack_of_memory_is_no_mistake_in_the_declarations(place: Place) -> None:
    place.write("products/sales.py", "raise MemoryError\n")
    ran = place.run("plan")
    assert (ran.code, "mistake" in ran.err, "`ulimit -v`" in ran.err) == (1, False, True), ran


@pytest.mark.long
def test_texts_and_numbers_of_ones_own_kind_are_what_they_say(place: Place) -> None:
    place.write(
        "products/sales.py",
        """
        import enum
        import numpy as np
        class Text(str): pass
        class Number(float): pass
        class Shop(enum.StrEnum):
            HERE = "here"
        raw = source.files(Text("data/*.csv"), columns={Text("x"): "bigint"}, null_values=[Text("NA")])
        checks = [pa.Check.isin(list(np.array(["a", "b"])) + [Shop.HERE]), pa.Check.str_length(np.int64(1), Number(9))]
        schema = pa.DataFrameSchema({Text("a"): pa.Column(str, checks), "y": pa.Column(float, pa.Check.le(np.float64(3.5)))})
        @product(owner=Text("me"), purpose=Shop.HERE, tags=[Text("t")], isolate=True, contract=schema)
        def p(raw): return pl.DataFrame({"a": ["here"], "y": [3.5]})
        sql_product("q", Text("select x from raw"), owner="o", rules=[rule.sql(Text("none"), Text("from this where x > 9"))])
        """,
        header=True,
    )
    told = place.materialize()
    assert {name: (t["result"], t["verdict"]) for name, t in told.items() if name} == dict.fromkeys(
        ["sales.p", "sales.q"], ("published", "passed")
    )
    assert {t["result"] for name, t in place.materialize().items() if name} == {"unchanged"}
    place.numbers("b", 5)
    assert place.materialize()["sales.p"]["result"] == "published", "as the manifest has it"
