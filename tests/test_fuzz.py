"""What somebody might write, by the thousand: no traceback, no file outside the store, no version lost.

Small by default; `ASSAY_FUZZ=large` runs 10,000 cases.
"""

import gzip
import hashlib
import os
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.cli.main import VERBS, verb_of
from assay.engines.sql import reader
from assay.engines.sql.tables import Unreadable
from tests.conftest import HEADER, Place

pytestmark = pytest.mark.long

LARGE = os.environ.get("ASSAY_FUZZ") == "large"
SHARES = {
    "declarations": 1500,
    "names": 1500,
    "settings": 2000,
    "csv": 1500,
    "sql": 2000,
    "commands": 1500,
}
assert sum(SHARES.values()) == 10_000
NAUGHTY = [
    "",
    " ",
    "\n",
    "'",
    '"',
    "\\",
    ";",
    "--",
    "..",
    "../../x",
    "/",
    "\0",
    "\x1b[31m",
    "\x1b]52;c;eA==\x07",
    "\u202e",
    "😀",
    "é",
    "a" * 300,
    "NaN",
    "-1",
    "=1+1",
    "{x}",
    "{x:date}",
    "*",
    "**/*",
    "%s",
    "${x}",
    "\ud800",
    "ﬁ",
    "this",
    "previous",
    "main",
    "x; drop table y",
    "'; copy (select 1) to 'evil.csv'; --",
    "[a-",
    "(",
    "a.b",
    "a.b.c",
    "sales.good",
    "good",
    "numbers",
    "data.csv",
]
TEXTS = st.one_of(st.sampled_from(NAUGHTY), st.text(max_size=12))
ANYTHING = st.one_of(
    TEXTS,
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.lists(TEXTS, max_size=2),
    st.dictionaries(TEXTS, TEXTS, max_size=2),
)


def cases(kind: str, small: int) -> Callable[[Any], Any]:
    health = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(
        max_examples=SHARES[kind] if LARGE else small,
        deadline=None,
        suppress_health_check=health,
        derandomize=not LARGE,
        database=None,
    )


@pytest.fixture
def shop(tmp_path: Path) -> Place:
    place = Place(tmp_path / "around/project")
    place.write("pyproject.toml", "[tool.products]\n")
    place.write(
        "products/sales.py",
        "good = sql_product('good', 'select x from numbers', owner='o')\n",
        header=True,
    )
    place.numbers("a", 1, 2, 3)
    assert place.run("materialize").code == 0
    return place


def outside(place: Place) -> dict[str, str]:
    """Every file that no command may write."""
    files = (
        f
        for f in place.root.parent.rglob("*")
        if f.is_file() and not {".products", "__pycache__"} & set(f.parts)
    )
    return {str(f): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def is_told(place: Place, *arguments: str) -> Any:
    """Run a command: it says what is wrong, if anything is, and nothing of it reaches a terminal as it is."""
    ran = place.run(*arguments)  # an exception of ours that is not told would come through here
    assert ran.code in {0, 1, 2, 3}, (arguments, ran)
    assert ran.code in {0, 3} or ran.err.strip() or ran.out.strip(), arguments
    said = ran.err if {"csv", "json", "--json"} & set(arguments) else ran.out + ran.err
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", said), (
        arguments,
        said,
    )
    return ran


def check_kept(place: Place, values: list[int] | None = None) -> None:
    assert [row["x"] for row in place.query("select x from sales.good order by x")] == (
        values or [1, 2, 3]
    )


# ---------------------------------------------------------------------------------------------- declarations

ABOUT = [
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
    "each",
    "partition_by",
    "on_failed_part",
    "name",
    "file",
    "nonsense",
]
VALUES = st.one_of(
    ANYTHING.map(repr).filter(lambda told: "nan" not in told and "inf" not in told),
    st.sampled_from(
        [
            "good",
            "numbers",
            "pl.Int64",
            "[rule.rows(at_least=1)]",
            "Freshness(by='07:00')",
            "Freshness(within='36h', on='GB-ENG')",
            "Freshness(every='0 7 * * *', on='working day 3 of US-CA', covers='previous month')",
            "calendar(holidays='XNYS', name='C')",
            "calendar(closed=['2011-12-24'], name='D').last_working_day()",
            "[Consumer('x')]",
            "lambda x: x",
            "object()",
            "parts(back=1)",
            "{'x': 'good'}",
            "pa.DataFrameModel",
            "rule",
            "...",
            "b'x'",
            "'o'",
            "'select x from numbers'",
            "10**50",
            "float('nan')",
        ]
    ),
)
KEYWORDS = st.dictionaries(st.sampled_from(ABOUT), VALUES, max_size=4)
RULE_KINDS = [
    "check",
    "sql",
    "rows",
    "references",
    "reconciles",
    "changes",
    "fresh_event_time",
    "closed",
]
RULE_WORDS = [
    "text",
    "check",
    "sql",
    "column",
    "other",
    "measure",
    "other_measure",
    "within",
    "by",
    "against",
    "at_least",
    "at_most",
    "before",
    "tz",
    "severity",
    "because",
    "dimension",
    "owner",
    "review_by",
    "warn_above",
    "fail_above",
    "on_failure",
]
FILE_WORDS = [
    *("columns", "name", "domain", "format", "null_values", "separator", "owner", "purpose"),
    *("freshness", "event_time", "poll"),
]
PROMISE_WORDS = [
    *("by", "every", "within", "tz", "on", "covers", "trading", "warn_before", "at_least"),
]


def call(function: str, first: list[str], keywords: dict[str, str]) -> str:
    return f"{function}({', '.join([*first, *(f'{k}={v}' for k, v in keywords.items())])})"


RULE = st.builds(
    lambda kind, first, words: call(f"rule.{kind}", first, words),
    st.sampled_from(RULE_KINDS),
    st.lists(VALUES, max_size=3),
    st.dictionaries(st.sampled_from(RULE_WORDS), VALUES, max_size=4),
)
PROMISE = st.dictionaries(st.sampled_from(PROMISE_WORDS), VALUES, max_size=4)
CALENDAR = st.dictionaries(
    st.sampled_from(["holidays", "weekmask", "closed", "open", "name"]), VALUES, max_size=4
)
DECLARATION = st.one_of(
    st.builds(
        lambda k: (
            f"sql_product('f', 'select x from numbers', owner='o', freshness={call('Freshness', [], k)})"
        ),
        PROMISE,
    ),
    st.builds(lambda k: "C = " + call("calendar", [], k), CALENDAR),
    st.builds(
        lambda first, k: call("sql_product", first, k),
        st.lists(VALUES, min_size=1, max_size=2),
        KEYWORDS,
    ),
    st.builds(lambda k: f"@{call('product', [], k)}\ndef made(good): return good", KEYWORDS),
    st.builds(
        lambda rules: (
            f"sql_product('r', 'select x from numbers', owner='o', rules=[{', '.join(rules)}])"
        ),
        st.lists(RULE, min_size=1, max_size=3),
    ),
    st.builds(
        lambda p, k: "s = " + call("source.files", [p], {"columns": "{'x': pl.Int64}", **k}),
        VALUES,
        st.dictionaries(st.sampled_from(FILE_WORDS), VALUES, max_size=3),
    ),
)


def rewrite(place: Place, text: str) -> None:
    """Declare something in a module of its own, so that what was good stays so."""
    head = HEADER.partition("numbers =")[0].replace("product, rule", "parts, product, rule")
    reuse = "from products.sales import good, numbers\n"
    place.write(
        "products/evil.py",
        f"# -*- coding: utf-8 -*-\n{head}{reuse}{text}\n".encode("utf-8", "replace").decode(),
    )


@cases("declarations", 25)
@given(
    texts=st.lists(DECLARATION, min_size=1, max_size=3),
    verb=st.sampled_from([["ls"], ["plan"], ["status"], ["materialize"]]),
)
def test_declarations(shop: Place, texts: list[str], verb: list[str]) -> None:
    rewrite(shop, "\n".join(texts))
    before = outside(shop)
    ran = is_told(shop, *verb)
    if ran.code == 2:
        assert "products/evil.py" in ran.err or "manifest" in ran.err, ran.err
        (shop.root / "products/evil.py").unlink()
        before.pop(str(shop.root / "products/evil.py"))
    check_kept(shop)
    assert outside(shop) == before


@cases("names", 20)
@given(data=st.data())
def test_names(shop: Place, data: st.DataObject) -> None:
    told = [repr(data.draw(TEXTS)) for _ in range(8)]
    name, domain, column, tag, owner, text, other, part = told
    plain = data.draw(st.sampled_from(["'p'", name]))
    columns = column if data.draw(st.booleans()) and "\\x00" not in column else "'x'"
    rewrite(
        shop,
        f"n = source.files('data/*.csv', columns={{{columns}: pl.Int64}}, name={name if plain != name else 'None'}, owner={owner})\n"
        f"sql_product({plain}, 'select x as \"' + {column}.replace('\"', '\"\"') + '\", 1 as y from numbers', owner={owner}, tags=[{tag}], "
        f"domain={domain if plain == name else 'None'}, consumers=[Consumer({other}, decides={part})], release_group={other},\n"
        f" rules=[rule.check({text}, 'y < 5', because={part}, owner={owner}), rule.sql({part} + 'q', 'select * from this where y > 1')])",
    )
    before = outside(shop)
    for verb in (
        ["materialize"],
        data.draw(
            st.sampled_from(
                [
                    ["ls"],
                    ["status"],
                    ["plan"],
                    ["why", "p"],
                    ["history", "p"],
                    ["show", "p"],
                    ["lineage", "p"],
                    ["lineage", "p", "--format", "mermaid"],
                    ["suggest", "p"],
                    ["why", "p", "--rules"],
                    ["query", "from p"],
                ]
            )
        ),
    ):
        is_told(shop, *verb)
    (shop.root / "products/evil.py").unlink()
    before.pop(str(shop.root / "products/evil.py"))
    check_kept(shop)
    assert outside(shop) == before


# ---------------------------------------------------------------------------------------------- settings

SETTINGS = [
    "definitions",
    "store",
    "catalog",
    "environment",
    "release",
    "jobs",
    "memory",
    "spill",
    "reads",
    "stroe",
]


def toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, str):
        return (
            '"'
            + "".join(f"\\u{ord(c):04x}" if ord(c) < 0x10000 else f"\\U{ord(c):08x}" for c in value)
            + '"'
        )
    return "{}" if isinstance(value, dict) else "1979-05-27" if value is None else str(value)


SETTING = st.one_of(
    ANYTHING, st.sampled_from(["products", ".products", "prod", "1GB", "50%", "coherent", "1e9TB"])
)
SECRETS = st.sampled_from(
    [
        "postgres://x:SECRET@",
        "a:SECRET@b",
        "host=x password=SECRET",
        "mysql://x:SECRET@h",
        "postgresql://x@:0/?password=SECRET",
    ]
)


@cases("settings", 40)
@given(
    told=st.dictionaries(st.sampled_from(SETTINGS), SETTING, max_size=3),
    catalog=st.one_of(st.none(), SECRETS),
    junk=st.one_of(st.just(""), TEXTS),
)
def test_settings(shop: Place, told: dict[str, Any], catalog: str | None, junk: str) -> None:
    told |= {"catalog": catalog} if catalog else {}
    lines = "\n".join(f"{name} = {toml(value)}" for name, value in told.items())
    file = shop.root / "pyproject.toml"
    file.write_bytes(f"[tool.products]\n{lines}\n{junk}".encode("utf-8", "replace"))
    before = outside(shop)
    for verb in (["status"], ["ls", "--json"], ["query", "select 1"]):
        ran = is_told(shop, *verb)
        assert "SECRET" not in ran.out + ran.err
    after = outside(shop)
    assert {name: after[name] for name in before} == before
    for new in {Path(name) for name in after.keys() - before.keys()}:
        assert new.is_relative_to(shop.root / str(told["store"])), (
            new
        )  # the store is where it was set to be
        new.unlink()
    file.write_text("[tool.products]\n")
    check_kept(shop)


# ---------------------------------------------------------------------------------------------- bytes

LINES = [
    b"x\n1\n2\n",
    b"x\r\n1\r\n",
    b'x\n"1"\n"2',
    b"x,y\n1,a\n2,b\n",
    b"\xef\xbb\xbfx\n1\n",
    b"x\n=1+1\n",
    b"x\n\x1b[31m9\n",
    "x\n٣\n".encode(),
    b"x;y\n1;2\n",
    b"x\n1,2,3\n",
]


CSV = f"""{HEADER.partition("numbers =")[0]}
numbers = source.files("data/*.csv*", format="csv", columns={{"x": pl.Int64}})
good = sql_product("good", "select x from numbers", owner="o")
"""


@cases("csv", 25)
@given(data=st.data())
def test_csv(shop: Place, data: st.DataObject) -> None:
    shop.write("products/sales.py", CSV)
    for left in (shop.root / "data").glob("b.csv*"):  # by a case that failed
        left.unlink()
    content = data.draw(
        st.one_of(
            st.sampled_from(LINES),
            st.binary(max_size=60),
            st.text(max_size=40).map(lambda t: t.encode("utf-16")),
        )
    )
    chance = data.draw(st.randoms(use_true_random=False))
    content = _mutated(content, chance)
    zipped = data.draw(st.booleans())
    if zipped:
        content = data.draw(
            st.sampled_from(
                [
                    content,
                    gzip.compress(content),
                    gzip.compress(content)[:-4],
                    b"\x1f\x8b" + content,
                ]
            )
        )
    file = shop.root / ("data/b.csv.gz" if zipped else "data/b.csv")
    file.write_bytes(content)
    before = outside(shop)
    ran = is_told(shop, "materialize")
    assert outside(shop) == before
    found = [row["x"] for row in shop.query("select x from sales.good order by x nulls first")]
    assert all(value is None or isinstance(value, int) for value in found)
    if ran.code:  # it failed, so readers see what they saw
        assert "b.csv" in ran.out + ran.err or "numbers" in ran.out + ran.err
    file.unlink()
    assert shop.run("materialize").code == 0
    check_kept(shop)


def _mutated(content: bytes, chance: random.Random) -> bytes:
    found = bytearray(content)
    for _ in range(chance.randrange(4)):
        place = chance.randrange(len(found) + 1)
        match chance.randrange(3):
            case 0:
                found[place:place] = chance.choice(
                    [b'"', b"\0", b"\n", b"\r", b",", b"\xff", b"\xc3", b"\x1b", b'""', b"9" * 30]
                )
            case 1:
                del found[place : place + chance.randrange(4)]
            case 2 if found:
                found[place % len(found)] = chance.randrange(256)
    return bytes(found)


# ---------------------------------------------------------------------------------------------- SQL

QUERIES = [
    "select x from sales.good",
    "with a as (from good) select sum(x)::int from a",
    "select x, row_number() over (order by x) from good g where x in (1, 2)",
    "from good union all select 1",
    "select * from (values (1), (2)) t(x) join good using (x)",
    "select list(x).list_transform(lambda v: v + 1) from good",
    "select x from good group by all having count(*) > 0 order by 1 limit 1",
    "with recursive r as (select 1 as i union all select i + 1 from r where i < 3) from r",
]
BITS = [
    "select",
    "from",
    "(",
    ")",
    ",",
    ";",
    "'",
    '"',
    "--",
    "/*",
    "*/",
    "copy",
    "to 'evil.csv'",
    "attach 'e.db'",
    "read_text('/etc/passwd')",
    "'/etc/passwd'",
    "$1",
    "?",
    "\0",
    "\u00a0",
    "\u202e",
    "x",
    "good",
    "insert into good values (1)",
    "set memory_limit='1GB'",
    "pragma version",
    "union all",
    "1e400",
    "::int[]",
    "[]",
    "{}",
    "@",
    "lambda",
    "with",
    "as",
    "\ud800",
    "E'\\x'",
]


@cases("sql", 60)
@given(
    query=st.sampled_from(QUERIES),
    bits=st.lists(st.tuples(st.integers(0, 30), st.sampled_from(BITS), st.booleans()), max_size=4),
)
def test_sql(shop: Place, query: str, bits: list[tuple[int, str, bool]]) -> None:
    words = query.split(" ")
    for at, bit, instead in bits:
        place = at % (len(words) + 1)
        words[place : place + instead] = [bit]
    text = " ".join(words)
    before = outside(shop)
    ran = is_told(shop, "query", "--", text)
    assert "root:" not in ran.out
    try:
        parsed = reader.parse(text)
        assert reader.parse(parsed.statement).meaning == parsed.meaning
        reader.columns(text)
        reader.is_expression(text)
    except Unreadable:
        assert ran.code == 2
    assert outside(shop) == before
    check_kept(shop)


# ---------------------------------------------------------------------------------------------- command lines

WORDS = [
    "good",
    "sales.good",
    "+good",
    "good+",
    "99999+good",
    "tag:x",
    "stale:",
    "state:modified",
    "owner:*",
    "path:..",
    "*",
    "[",
    "2011..2012",
    "--json",
    "--force",
    "--dry-run",
    "--held",
    "--rules",
    "1",
    "0",
    "-1",
    "2011-12-09",
    "9999-12-31T23:59:59+23:59",
    "0001-01-01T00:00-23:00",
    "prod",
    "dev",
    "90s",
    "0s",
    "csv",
    "mermaid",
    "1e999m",
]
UNSAFE = {"--to", "--wait", "--now", "--turns", "--host"}
ELSEWHERE = {
    "init",
    "catalog",
    "docs",
    "serve",
    "watch",
    "evidence",
}  # they write files, or have no end
FIRST = {"run": ["--turns=1"]}  # it would go on for ever


@cases("commands", 40)
@given(verb=st.sampled_from(sorted(VERBS.keys() - ELSEWHERE)), data=st.data())
def test_command_lines(shop: Place, verb: str, data: st.DataObject) -> None:
    options = [
        o for p in verb_of(verb).params for o in p.opts if o.startswith("-") and o not in UNSAFE
    ]
    word = st.one_of(st.sampled_from(WORDS), st.sampled_from(options or ["--json"]), TEXTS)
    before = outside(shop)
    is_told(shop, verb, *FIRST.get(verb, ()), *data.draw(st.lists(word, max_size=5)))
    assert outside(shop) == before
    shop.run("restore", "good", "--unpin")
    check_kept(shop)
