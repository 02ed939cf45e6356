"""Each mistake that people make first, typed: the answer says what is wrong, where, and what to do."""

import re
import shutil
from pathlib import Path

import pytest

from tests.conftest import Place

NUMBERS = "sql_product('p', 'from numbers', owner='o'{})"
RAW = "raw = source.files('raw/*.csv', columns={{'day': 'date', 'x': 'bigint'}}{})\n"
P_OF_RAW = (
    RAW.format("").replace("{", "{{").replace("}", "}}")
    + "sql_product('p', 'from raw', owner='o'{})"
)
PARTS = (
    "raw = source.files('days/{day:date}.csv', columns={'x': 'bigint'})\n"
    "sql_product('p', 'from raw', owner='o', each='raw')"
)
CUSTOMERS = (
    "class C(pa.DataFrameModel):\n    id: int\n    class Config:\n        strict = True\n"
    "sql_product('customers', 'select x as id from numbers', owner='o', contract=C)\n"
)
X = "class C(pa.DataFrameModel):\n    x: int{}\n"
BAD = "raw = source.files('bad/*.csv', columns={'day': 'date'})\nsql_product('p', 'from raw', owner='o')"
MIXED = "raw = source.files('mixed/*.csv', columns={'day': 'date'})\nsql_product('p', 'from raw', owner='o')"
CLOSED = P_OF_RAW.format(", event_time='day', rules=[rule.closed('day', before='7 days ago')]")
AT = r"products/sales\.py:\d+: "

# What is typed: (the module, the command, the exit code, patterns that are in the answer, in this order).
MISTAKES = {
    "a text among the rules": (
        NUMBERS.format(", rules=['x > 0'], retries=-1"),
        "materialize",
        2,
        [AT, r"rules\[0\] .* is 'x > 0'", AT, "retries"],
    ),
    "a consumer as text": (
        NUMBERS.format(", consumers=['CFO']"),
        "materialize",
        2,
        [AT, r"consumers\[0\] should be Consumer\(name=.*'CFO'"],
    ),
    "negative retries": (
        NUMBERS.format(", retries=-1"),
        "materialize",
        2,
        [AT, "retries= .* from 0 to 100, and is -1"],
    ),
    "half a condition": (
        NUMBERS.format(", rules=[rule.check('no sql', 'x >')]"),
        "materialize",
        2,
        [AT, "rule 'no sql' of sales.p, line 1 column 4: syntax error", r"x >\n", r"\^"],
    ),
    "a reference to a column that is not there": (
        CUSTOMERS + NUMBERS.format(", rules=[rule.references('x', 'customers.nosuch')]"),
        "materialize",
        2,
        [AT, "rule.references of sales.p: sales.customers has no column 'nosuch'", "It has id"],
    ),
    "a typo in partition_by": (
        P_OF_RAW.format(", partition_by='dag'"),
        "materialize",
        1,
        [AT, "partition_by names 'dag'", "no such column", "Did you mean day?"],
    ),
    "a typo in partition_by, with a contract": (
        X.format("") + NUMBERS.format(", contract=C, partition_by='xx'"),
        "materialize",
        2,
        [AT, "sales.p: partition_by 'xx' is no column of its contract", "Did you mean x?"],
    ),
    "a typo in event_time": (
        P_OF_RAW.format(", event_time='dya'"),
        "materialize",
        1,
        [AT, "event_time names 'dya'", "no such column", "Did you mean day?"],
    ),
    "a typo in event_time, before any build": (
        P_OF_RAW.format(", event_time='dya'"),
        "check",
        4,
        [AT, "event_time: no column dya", "it has day"],
    ),
    "a typo in event_time, with a contract": (
        X.format("") + NUMBERS.format(", contract=C, event_time='xx'"),
        "materialize",
        2,
        [AT, "event_time 'xx' is no column of its contract", "Did you mean x?"],
    ),
    "a typo in event_time of a source": (
        RAW.format(", event_time='dya'") + "sql_product('p', 'from raw', owner='o')",
        "materialize",
        2,
        [AT, "sales.raw: event_time 'dya'", "Did you mean day?"],
    ),
    "a date that is none": (
        BAD,
        "materialize",
        1,
        [
            r"bad/a\.csv, line 3: column 'day' should be DATE; it is '01.02.2024'",
            "date_format=",
            "null_values=",
        ],
    ),
    "lines that end in two ways": (MIXED, "materialize", 0, ["published  sales.p", "2 rows"]),
    "an input that is not there": (
        "@product(owner='o')\ndef p(numbrs):\n    return numbrs",
        "materialize",
        2,
        [AT, "unknown input 'numbrs' of sales.p", "Did you mean sales.numbers?"],
    ),
    "a typo in metadata": (
        X.format(" = pa.Field(metadata={'sensitiv': True})") + NUMBERS.format(", contract=C"),
        "materialize",
        2,
        [AT, "sales.p: metadata of x has 'sensitiv': did you mean 'sensitive'?"],
    ),
    "sensitive as text": (
        X.format(" = pa.Field(metadata={'sensitive': 'no'})") + NUMBERS.format(", contract=C"),
        "materialize",
        2,
        [AT, "metadata of x: 'sensitive' is 'no'; it is True or False"],
    ),
    "a source that is shown": (
        NUMBERS.format(""),
        "show numbers",
        0,
        ["sales.numbers: a source", r"data/\*\.csv"],
    ),
    "a name that is not there": (
        NUMBERS.format(""),
        "show qqq",
        2,
        ["no product or source 'qqq'", "products ls"],
    ),
    "an environment that is not there": (
        NUMBERS.format(""),
        "query --env prdo 'from p'",
        2,
        ["no environment prdo", "Did you mean prod?", "products env create prdo"],
    ),
    "to restore into an environment that is not there": (
        NUMBERS.format(""),
        "restore p v1 --env prdo",
        2,
        ["no environment prdo", "Did you mean prod?"],
    ),
    "CSV of a table": (
        NUMBERS.format(""),
        "show p --to x.csv",
        2,
        [r"\.parquet", r"products query 'from sales\.p' --format csv"],
    ),
    "parts that are not there": (
        PARTS,
        "materialize p --parts 2025-01",
        2,
        ["sales.p has no part in 2025-01", "It has 2, from 2024-01-01 to 2024-01-02"],
    ),
    "parts of a product without parts": (
        NUMBERS.format(""),
        "materialize p --parts 2024-01",
        2,
        ["sales.p is not made part by part", "each=, partition_by="],
    ),
    "build": ("", "build", 2, ["No such command 'build'", "products materialize"]),
    "compile": ("", "compile", 2, ["No such command 'compile'", "products plan"]),
    "test without tests": (
        NUMBERS.format(""),
        "test",
        2,
        ["no test files", "products test --generate NAME"],
    ),
    "materialise": ("", "materialise", 2, ["Did you mean 'materialize'?"]),
    "an input that was never built": (
        NUMBERS.format("") + "\nsql_product('q', 'from p', owner='o')",
        "fresh materialize q",
        1,
        [
            "held +sales.q",
            r"sales.p was never published and is not selected \(`-s \+NAME` selects inputs too\)",
        ],
    ),
    "a place that is not there": (
        NUMBERS.format(""),
        "show p --to nowhere/there/p.parquet",
        1,
        ["No such file or directory: .*nowhere/there", "Create the folder .*nowhere/there first"],
    ),
}


@pytest.fixture
def shop(place: Place) -> Place:
    place.write("raw/a.csv", "day,x\n2024-01-01,1\n2024-01-02,1\n")
    place.write("days/2024-01-01.csv", "x\n1\n")
    place.write("days/2024-01-02.csv", "x\n1\n")
    place.write("bad/a.csv", "day\n2024-01-01\n01.02.2024\n")
    file = place.write("mixed/a.csv", "")
    file.write_bytes(b"day\r\n2024-01-01\n2024-01-02\r\n")
    return place


def holds(answer: str, patterns: list[str]) -> None:
    """Assert that patterns are in an answer, one after the other."""
    place = 0
    for pattern in patterns:
        found = re.compile(pattern).search(answer, place)
        assert found, f"{pattern!r} is not in what is left of:\n{answer}"
        place = found.end()


@pytest.mark.parametrize("name", MISTAKES)
def test_the_answer_says_what_is_wrong_where_and_what_to_do(shop: Place, name: str) -> None:
    module, typed, code, patterns = MISTAKES[name]
    shop.write("products/sales.py", module, header=True)
    words = [word.strip("'") for word in re.findall(r"'[^']*'|\S+", typed)]
    if words[0] == "fresh":
        words = words[1:]
    elif words[0] != "materialize" or "--parts" in words:
        shop.run("materialize")
    ran = shop.run(*words)
    answer = ran.out + ran.err
    assert ran.code == code, answer
    assert "Traceback" not in answer
    holds(answer, patterns)


SETTINGS = {
    'definitions = "prodcts"': ["no folder 'prodcts'", "Did you mean products?"],
    'keep_versions = "x"\njobs = -3': [
        r"pyproject\.toml",
        r"keep_versions should be a whole number \(line 5\)",
        r"jobs .* 0 and 64 \(line 6\)",
    ],
    'definitons = "products"': [
        r"unknown setting 'definitons': did you mean 'definitions'\? \(line 5\)"
    ],
    "jobs = = 3": ["not valid TOML", "line 5"],
    '[tool.products.polcy]\nowner = "error"': [
        r"unknown setting 'polcy': did you mean 'policy'\? \(line 5\)"
    ],
    '[tool.products.policy.for."domain:sale"]\npurpose = "error"': [
        r"pyproject\.toml",
        'for."domain:sale"',
        "no product has the domain 'sale'",
        "Did you mean domain:sales?",
    ],
    '[tool.products.policy.for."+tag:cor"]\npurpose = "error"': [
        "no product has the tag 'cor'",
        "Did you mean tag:core?",
    ],
    '[tool.products.policy.for."owner:nobody,p"]\npurpose = "error"': [
        "no product has the owner 'nobody'"
    ],
    '[tool.products.policy.for."sales.q"]\npurpose = "error"': [
        "no product or source 'sales.q'",
        "Did you mean sales.p?",
    ],
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_settings_say_the_line(place: Place, setting: str) -> None:
    place.write("products/sales.py", NUMBERS.format(", tags=['core']"), header=True)
    place.write("pyproject.toml", f"[project]\nname = 'x'\n\n[tool.products]\n{setting}\n")
    ran = place.run("check")
    assert ran.code == 2, ran.out
    holds(ran.err, SETTINGS[setting])


def test_init_in_a_repository_adds_and_overwrites_nothing(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.write("pyproject.toml", "[project]\nname = 'shop'\n")
    assert place.run("init").code == 0
    text = (tmp_path / "pyproject.toml").read_text()
    assert text.startswith("[project]\nname = 'shop'\n") and "[tool.products]" in text


def test_a_failing_rule_about_settled_rows_names_what_lets_it_out(shop: Place) -> None:
    shop.write("products/sales.py", CLOSED, header=True)
    assert shop.run("materialize").code == 0
    shop.write("raw/a.csv", "day,x\n2024-01-01,1\n2024-01-02,9\n")
    ran = shop.run("materialize")
    assert ran.code == 3
    holds(
        ran.out,
        [
            "held back",
            "if that is meant: products materialize sales.p --restate sales.p --because TEXT",
        ],
    )


def test_a_copied_folder_without_its_catalog_is_not_sent_to_that_of_the_other(place: Place) -> None:
    place.write("products/sales.py", NUMBERS.format(""), header=True)
    assert place.run("materialize").code == 0
    other = place.root.parent / f"{place.root.name}-copy"
    shutil.copytree(place.root, other)
    (other / ".products/catalog.db").unlink()
    ran = Place(other).run("materialize")
    assert ran.code == 1
    holds(
        ran.err,
        [
            "versions of another project",
            str(place.root),
            "copy its catalog",
            "start anew: remove .*catalog-id",
        ],
    )
    assert "Set " not in ran.err
    (other / ".products/store/catalog-id").unlink()
    assert Place(other).run("materialize").code == 0, "as it was advised"


def test_who_may_not_read_a_file_is_told_which_right_is_missing() -> None:
    from assay.cli.main import _advice

    error = PermissionError(13, "Permission denied", "/srv/shop/a b.csv")
    assert "ls -ld '/srv/shop/a b.csv'" in _advice(error)


def test_the_limit_of_a_rule_without_tolerance_is_in_json(place: Place) -> None:
    module = X.format(" = pa.Field(unique=True)") + NUMBERS.format(", contract=C")
    place.write("products/sales.py", module, header=True)
    place.numbers("b", 1)
    [rule] = place.materialize()["sales.p"]["rules"]
    assert (rule["text"], rule["threshold"]) == ("x is unique", "fails above 0 rows")
    assert "above 0 rows" not in place.run("materialize").out
