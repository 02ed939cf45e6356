"""Products in another dialect: translated when they are declared, and only then; or refused."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Place

sqlglot = pytest.importorskip("sqlglot")

DAILY = """
    sql_product("daily", '''
        select iff(x > 1, 'many', 'one') as size, count(*) as n, zeroifnull(max(x)) as most
        from numbers group by 1
        qualify row_number() over (order by n desc) = 1
    ''', owner="o", dialect="snowflake")
"""


def declare(place: Place, text: str) -> None:
    place.write("products/sales.py", text, header=True)


def loaded(place: Place, *arguments: str) -> bool:
    """Return whether a command loads sqlglot."""
    code = (
        "import sys\nfrom assay.cli.main import main\n"
        f"try: main({list(arguments)!r})\nexcept SystemExit: pass\n"
        "print('sqlglot' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=place.root, capture_output=True, text=True, check=True
    )
    return done.stderr.splitlines()[-1] == "True"


def test_a_query_of_another_dialect_is_built_checked_and_published(place: Place) -> None:
    declare(place, DAILY)
    assert place.run("materialize").code == 0
    [row] = place.run("query", "from sales.daily", "--json").json
    assert row == {"size": "many", "n": 2, "most": 3}


@pytest.mark.long
def test_the_library_is_loaded_only_to_declare(place: Place) -> None:
    declare(place, DAILY)
    assert loaded(place, "materialize")
    assert not loaded(place, "materialize")
    assert not loaded(place, "status")
    place.numbers("b", 4)
    assert not loaded(place, "materialize"), "the manifest has the translation, which is built"
    [row] = place.run("query", "from sales.daily", "--json").json
    assert row["n"] == 3
    declare(
        place, DAILY.replace("iff(x > 1, 'many', 'one')", "x").replace(', dialect="snowflake"', "")
    )
    assert not loaded(place, "plan"), "and not for DuckDB's own dialect"


def test_what_is_the_same_in_duckdb_is_not_built_again(place: Place) -> None:
    declare(place, DAILY)
    place.run("materialize")
    declare(place, DAILY.replace("iff(", "IFF( /* snowflake */ "))
    assert "sales.daily" not in place.run("plan").out
    in_duckdb = DAILY.replace(
        "iff(x > 1, 'many', 'one')", "case when x > 1 then 'many' else 'one' end"
    )
    in_duckdb = in_duckdb.replace(
        "zeroifnull(max(x))", "case when max(x) is null then 0 else max(x) end"
    )
    in_duckdb = in_duckdb.replace("n desc", "n desc nulls first").replace("snowflake", "duckdb")
    declare(place, in_duckdb)
    assert "sales.daily" not in place.run("plan").out
    declare(place, in_duckdb.replace("then 0", "then 1"))
    assert "sales.daily" in place.run("plan").out


@pytest.mark.long
def test_another_version_of_the_library_that_writes_other_sql_builds_again(
    place: Place, tmp_path_factory: pytest.TempPathFactory
) -> None:
    declare(place, DAILY)
    assert place.spawn("materialize").code == 0
    assert "sales.daily" not in place.spawn("plan").out
    library = tmp_path_factory.mktemp("library")
    shutil.copytree(Path(sqlglot.__file__).parent, library / "sqlglot")
    paths = f"{library}:{':'.join(path for path in sys.path if path)}"
    assert "sales.daily" not in place.spawn("plan", PYTHONPATH=paths).out, "it writes the same"
    changed = (
        "\nfrom sqlglot.dialects.duckdb import DuckDB as _DuckDB\n"
        "_DuckDB.Generator.TRANSFORMS = {\n"
        "    **_DuckDB.Generator.TRANSFORMS, exp.Max: lambda self, e: self.func('min', e.this)}\n"
    )
    with (library / "sqlglot/__init__.py").open("a") as file:
        file.write(changed)
    ran = place.spawn("materialize", PYTHONPATH=paths)
    assert ran.code == 0 and "code changed (sql)" in ran.out, ran.out + ran.err
    [row] = place.run("query", "from sales.daily", "--json").json
    assert row["most"] == 2


MISTAKES = [
    (
        "sql_product('p', 'select a\\nfrm t x', owner='o', dialect='snowflake')",
        ["products/sales.py:8: the SQL of sales.p (snowflake), line 2 column 5: syntax error", "\n      frm t x\n          ^"],
    ),
    (
        "sql_product('p', 'select approx_top_k(x, 2), my_udf(x) from nombers', owner='o', dialect='snowflake')",
        ["line 1 column 8: APPROX_TOP_K cannot be", "line 1 column 28: DuckDB has no function my_udf"],
    ),
    (
        "sql_product('p', 'select x from nombers', owner='o', dialect='snowflake')",
        ["unknown input 'nombers'", "Did you mean sales.numbers?"],
    ),
    (
        "sql_product('p', 'select x from numbers', owner='o', dialect='Snowflak')",
        ["sales.py:8: the SQL of sales.p: there is no dialect 'Snowflak'", "Did you mean snowflake?", "There are athena, bigquery, "],
    ),
    ("sql_product('p', 'select x from numbers', owner='o', dialect=3)", ["dialect= should be a text, and is 3"]),
    ("sql_product('p', 'select x from numbers', owner='o', dialekt='x')", ["did you mean 'dialect'?"]),
    (
        "sql_product('p', 'select x, getdate() as t from numbers', owner='o', dialect='tsql')",
        ["the SQL of sales.p, translated from tsql, line 3 column 3", "changes_with"],
    ),
    (
        "sql_product('p', 'select a from t match_recognize (partition by b measures c as d pattern (x+) define x as y > 1)', owner='o', dialect='snowflake')",
        ["the SQL of sales.p, translated from snowflake, line 5 column 13", "syntax error"],
    ),
    (
        "sql_product('p', \"select * from table('data/a.csv')\", owner='o', dialect='spark')",
        ["products/sales.py:8: "],
    ),
    ("sql_product('p', 'drop table numbers', owner='o', dialect='mysql')", ["this is not a query"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "told"), MISTAKES)
def test_what_cannot_be_translated_is_a_mistake(place: Place, text: str, told: list[str]) -> None:
    declare(place, text)
    ran = place.run("plan")
    assert ran.code == 2 and "Traceback" not in ran.err
    for words in told:
        assert words in ran.err, ran.err


def test_mistakes_of_a_file_have_its_lines(place: Place) -> None:
    place.write("products/daily.sql", "select x,\n  my_udf(x),\n  other_udf(x)\nfrom numbers\n")
    declare(place, "sql_product('p', 'daily.sql', owner='o', dialect='bigquery')")
    ran = place.run("plan")
    assert "products/daily.sql:2: the SQL of sales.p (bigquery), line 2 column 3" in ran.err
    assert "products/daily.sql:3: the SQL of sales.p (bigquery), line 3 column 3" in ran.err


def test_without_the_library_the_mistake_says_what_to_install(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(place, DAILY)
    monkeypatch.setitem(sys.modules, "sqlglot", None)
    ran = place.run("plan")
    assert ran.code == 2
    assert "the SQL of sales.daily: dialect='snowflake' needs the package sqlglot" in ran.err
    assert "pip install 'assay[sql]'" in ran.err


def test_a_build_error_says_that_its_lines_are_those_of_the_translation(place: Place) -> None:
    declare(
        place,
        "sql_product('p', 'select x,\\n  iff(y > 1, 1, 2) as z\\nfrom numbers', owner='o', dialect='snowflake')",
    )
    ran = place.run("materialize")
    assert ran.code == 1
    assert "translated from snowflake: products show sales.p --sql" in ran.out + ran.err


def test_the_check_finds_places_in_what_was_translated(place: Place) -> None:
    place.write("products/p.sql", "select x,\n  iff(missing > 1, 1, 2) as z\nfrom numbers\n")
    declare(
        place,
        """
        sql_product('p', 'p.sql', owner='o', dialect='snowflake')
        sql_product('q', '''select x,
            dateadd(day, 1, missing) as z
            from numbers''', owner='o', dialect='snowflake')
        """,
    )
    ran = place.run("check")
    assert "products/p.sql:2:7: sales.p: " in ran.out, ran.out
    assert "products/sales.py:11:21: sales.q: " in ran.out, ran.out
