"""The difference of two queries in words: what is said, and that what is said for certain is true."""

import os
import random
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

from assay.engines.sql.changes.expressions import identity
from assay.engines.sql.changes.queries import FORMATTING_ONLY, query_changes
from tests.conftest import effort
from tests.engines import tpch

sqlglot = pytest.importorskip("sqlglot")

SEED = int(os.environ.get("ASSAY_SEED", "20"))
QUERIES = tuple(re.sub("--[^\n]*", "", query).strip() for query in tpch.QUERIES)
ROUNDS = effort(8, 8, 40)  # of the 22 queries of TPC-H

JOINED = (
    "select o.day, sum(l.net) as revenue, count(*) as n from lines l"
    " join orders o on o.id = l.order_id"
    " where l.amount > 0 and o.status = 'paid' group by o.day"
)
RANKED = (
    "with c as (select customer, rank() over (partition by country order by net desc) as r"
    " from lines where net is not null) select * exclude (r) from c where r <= 10"
)
UNION = "select a, b from t union select a, b from u order by a"
NESTED = "select a from t where b in (select b from u where c > 1) and d = (select max(d) from u)"
SPACED = "select a,\n  b\nfrom t\nwhere c > 1"

# The query, what is replaced in it by what, and the words.
SAID = [
    (JOINED, "l.amount > 0 and ", "", ["filter removed: l.amount > 0"]),
    (JOINED, "'paid'", "'paid' and l.net < 9", ["filter added: l.net < 9"]),
    (JOINED, "> 0", ">= 0", ["filter changed: l.amount > 0 -> l.amount >= 0"]),
    (JOINED, "= 'paid'", "in ('paid', 'sent')", ["filter changed: o.status = 'paid' -> o.status in ('paid', 'sent')"]),
    (JOINED, "= 'paid'", "is not null", ["filter changed: o.status = 'paid' -> o.status is not null"]),
    (JOINED, "= 'paid'", "not like 'P%'", ["filter changed: o.status = 'paid' -> o.status not like 'P%'"]),
    (JOINED, "l.amount > 0 and o.status = 'paid'", "o.status = 'paid' and l.amount > 0", ["conditions in another order"]),
    (JOINED, "> 0 and", "> 0 or", ["filter removed: l.amount > 0", "filter removed: o.status = 'paid'", "filter added: l.amount > 0 or o.status = 'paid'"]),
    (JOINED, "sum(l.net)", "sum(l.gross)", ["sum(l.net) -> sum(l.gross) as revenue"]),
    (JOINED, "sum(l.net)", "max(l.net)", ["sum(l.net) -> max(l.net) as revenue"]),
    (JOINED, "sum(l.net)", "sum(distinct l.net)", ["sum(l.net) -> sum(distinct l.net) as revenue"]),
    (JOINED, "sum(l.net)", "sum(l.net) filter (l.ok)", ["sum(l.net) -> sum(l.net) filter(where l.ok) as revenue"]),
    (JOINED, "revenue", "turnover", ["column renamed: revenue -> turnover"]),
    (JOINED, "revenue", "Revenue", ["column renamed: revenue -> Revenue"]),
    (JOINED, "sum(l.net) as revenue", "sum(l.gross) as turnover", ["column removed: revenue", "column added: sum(l.gross) as turnover"]),
    (JOINED, "as n", "as n, max(l.net) as top", ["column added: max(l.net) as top"]),
    (JOINED, ", count(*) as n", "", ["column removed: n"]),
    (JOINED, "sum(l.net) as revenue, count(*) as n", "count(*) as n, sum(l.net) as revenue", ["columns in another order: day, n, revenue"]),
    (JOINED, "join orders", "left join orders", ["join inner -> left on orders"]),
    (JOINED, "join orders", "left outer join orders", ["join inner -> left on orders"]),
    (JOINED, "join orders", "asof join orders", ["join inner -> asof on orders"]),
    (JOINED, "join orders", "inner join orders", [FORMATTING_ONLY]),
    (JOINED, " join orders o on o.id = l.order_id", ", orders o", ["join inner -> cross on orders", "join condition of orders removed: o.id = l.order_id"]),
    (JOINED, " where", " left join days d using (day) where", ["join added: left join days as d using (day)"]),
    (JOINED, "o.id = l.order_id", "o.id = l.id", ["join condition of orders changed: o.id = l.order_id -> o.id = l.id"]),
    (JOINED, "on o.id = l.order_id", "using (id)", ["join condition of orders removed: o.id = l.order_id", "join condition of orders added: using (id)"]),
    (JOINED, "l.order_id", "l.order_id and l.ok", ["join condition of orders added: l.ok"]),
    (JOINED, "l.order_id where l.amount > 0 and", "l.order_id and l.amount > 0 where", ["condition moved: l.amount > 0 (filter -> join condition of orders)"]),
    (JOINED, "from lines l join orders o", "from orders o join lines l", ["joins in another order: lines inner join orders -> orders inner join lines", "condition moved: o.id = l.order_id (join condition of orders -> join condition of lines)"]),
    (JOINED, "lines l", "order_lines l", ["reads other table: lines -> order_lines"]),
    (JOINED, "lines l", "sales.lines l", ["reads other table: lines -> sales.lines"]),
    (JOINED, "lines l", "(select * from lines) l", ["reads other table: lines -> (select * from lines)"]),
    (JOINED, "lines l", "lines L", [FORMATTING_ONLY]),
    (JOINED, "group by o.day", "group by all", ["group by day -> all"]),
    (JOINED, "group by o.day", "group by rollup (o.day)", ["group by removed: day", "group by added: rollup (o.day)"]),
    (JOINED, "group by o.day", "group by o.day, o.country", ["group by added: o.country"]),
    (JOINED, " group by o.day", "", ["group by removed: day"]),
    (JOINED, "group by o.day", "group by o.day having count(*) > 1", ["having added: count(*) > 1"]),
    (JOINED, "group by o.day", "group by o.day order by 2 desc", ["order only: order by added: revenue desc"]),
    (JOINED, "group by o.day", "group by o.day limit 10", ["limit added: 10"]),
    (JOINED, "group by o.day", "group by o.day order by o.day limit 10", ["order by added: day", "limit added: 10"]),
    (JOINED, "group by o.day", "group by o.day qualify row_number() over () = 1", ["qualify added: row_number() over () = 1"]),
    (JOINED, "select", "select distinct", ["distinct added"]),
    (JOINED, "select", "select distinct on (o.day)", ["distinct on (o.day) added"]),
    (RANKED, "country", "country, region", ["in c: window of r changed: partition by country -> partition by country, region"]),
    (RANKED, "net desc", "net", ["in c: window of r changed: order by net desc -> order by net"]),
    (RANKED, "net desc)", "net desc rows 3 preceding)", ["in c: window of r changed: nothing -> rows between 3 preceding and current row"]),
    (RANKED, "rank()", "dense_rank()", ["in c: rank() -> dense_rank() in r"]),
    (RANKED, "net is not null", "net > 3", ["in c: filter changed: net is not null -> net > 3"]),
    (RANKED, "from lines", "from old_lines", ["in c: reads other table: lines -> old_lines"]),
    (RANKED, "customer,", "customer, country,", ["in c: column added: country"]),
    (RANKED, "(r)", "(r, country)", ["columns of * changed: * exclude (r) -> * exclude (r, country)"]),
    (RANKED, "<= 10", "<= 5", ["filter changed: r <= 10 -> r <= 5"]),
    (RANKED, "as (select", "as materialized (select", ["common table c is declared differently"]),
    (RANKED, "with c", "with d as (select 1), c", ["common table added: d"]),
    (RANKED, "with", "with recursive", [FORMATTING_ONLY]),
    (UNION, "union", "union all", ["set operation union -> union all"]),
    (UNION, "union", "union by name", ["set operation union -> union by name"]),
    (UNION, "union", "except", ["set operation union -> except"]),
    (UNION, "from u", "from v", ["in query 2 of the union: reads other table: u -> v"]),
    (UNION, " union select a, b from u", "", ["query removed (union): select a, b from u"]),
    (UNION, "from u", "from u union select a, b from v", ["query added (union): select a, b from v"]),
    (UNION, "order by a", "order by a desc", ["order only: order by a -> a desc"]),
    (SPACED, "where c > 1", "where c > 1 order by count(*)", ["order by added: count(*)"]),
    (UNION, "order by a", "order by a desc limit 3", ["order by a -> a desc", "limit added: 3"]),
    (NESTED, "c > 1", "c > 2", ["in a subquery of the filter: filter changed: c > 1 -> c > 2"]),
    (NESTED, "max(d)", "min(d)", ["in a subquery of the filter: max(d) -> min(d)"]),
    (NESTED, "b in (", "b not in (", ["filter changed: b in (select b from u where c > 1) -> b not in (select b from u where c > 1)"]),
    (SPACED, "\n", " /* all of it */ ", [FORMATTING_ONLY]),
    (SPACED, "select", "SELECT", [FORMATTING_ONLY]),
    (SPACED, "where c > 1", "where ((c) > 1);", [FORMATTING_ONLY]),
    (SPACED, "a,", "a as A,", ["column renamed: a -> A"]),
    (SPACED, "a,", "t.a,", ["the query is written differently; what that changes is not recognised", "line 1: select a, -> select t.a,"]),
    (SPACED, "from t", "from t using sample 3", ["sample added: tablesample reservoir (3 rows)"]),
    (SPACED, "from t", "from t at (version => 3)", ["t is read differently: t -> t at (version => 3)"]),
    (SPACED, "where c > 1", "offset 2", ["filter removed: c > 1", "offset added: 2"]),
]  # fmt: skip


@pytest.mark.parametrize(("query", "old", "new", "said"), SAID)
def test_what_is_said(query: str, old: str, new: str, said: list[str]) -> None:
    assert old in query
    assert list(query_changes(query, query.replace(old, new))) == said


def test_a_renamed_alias_is_one_change() -> None:
    after = JOINED.replace("o.", "ord.").replace("orders o", "orders ord")
    assert query_changes(JOINED, after) == ("table alias renamed: o -> ord",)


def test_a_renamed_common_table_is_one_change() -> None:
    after = RANKED.replace("with c", "with best").replace("from c", "from best")
    assert query_changes(RANKED, after) == ("common table renamed: c -> best",)


def test_a_renamed_column_is_grouped_and_sorted_by_as_before() -> None:
    before = "select a + 1 as x, count(*) as n from t group by x order by x"
    assert query_changes(before, before.replace("x", "y")) == ("column renamed: x -> y",)


def test_a_table_that_is_read_twice_is_shown_with_its_alias() -> None:
    before = "select * from t a join t b on a.x = b.y"
    said = query_changes(before, before.replace("join", "left join"))
    assert said == ("join inner -> left on t as b",)


def test_aliases_that_change_places_are_two_changes() -> None:
    before = "select a.x, b.y from t a join u b on a.k = b.k"
    after = "select b.x, a.y from t b join u a on b.k = a.k"
    said = query_changes(before, after)
    assert said == ("table alias renamed: a -> b", "table alias renamed: b -> a")


def test_an_alias_inside_of_another_query_is_another() -> None:
    before = "select o.x from t o where exists (select 1 from u o where o.x = 1) and o.y in (select y from v where v.k = o.k)"
    after = (
        before.replace("select o.x from t o", "select p.x from t p")
        .replace("and o.y", "and p.y")
        .replace("= o.k", "= p.k")
    )
    assert query_changes(before, after) == ("table alias renamed: o -> p",)


def test_of_a_long_expression_the_part_is_shown_that_changed() -> None:
    before = (
        "select case when country in ('DE', 'AT', 'CH') and amount > 100 then net * 1.19 "
        "when country = 'GB' then net * 1.2 else gross end as price from lines"
    )
    assert query_changes(before, before.replace("1.2 ", "1.25 ")) == (
        "net * 1.2 -> net * 1.25 in price",
    )


def test_of_a_case_the_branch_is_shown_that_changed() -> None:
    before = "select case when amount > 100 then 'many' when amount > 10 then 'some' else 'few' end as size from lines"
    assert query_changes(before, before.replace("'some'", "'a few'")) == (
        "'some' -> 'a few' in size",
    )


def test_equal_texts_have_no_difference() -> None:
    assert query_changes(JOINED, JOINED) == ()


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("select a from t", "select a frm t", "the new one at line 1 column 14"),
        ("select from where", "select a from t", "the old one"),
        ("select a from t", "install spatial", "the new one as something else than a query"),
        ("select a from t", "select a from t where x = '" + "y" * 100_000 + "'", "the new one is longer"),
        ("select a from t", "select " + "(" * 5000 + "a" + ")" * 5000 + " from t", ""),
        ("select a from t", "select " + " + ".join(["a"] * 8000) + " from t", ""),
        ("select a from t", "\x00\ud800", "the new one"),
        ("select a from t", "", "the new one"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_compared_line_by_line(before: str, after: str, said: str) -> None:
    first, *lines = query_changes(before, after)
    assert first.startswith("the query changed (") and said in first
    assert lines and all(len(line) <= 200 for line in lines)


def test_without_the_library_lines_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sqlglot", None)
    first, line = query_changes(SPACED, SPACED.replace("c > 1", "c > 2"))
    assert "pip install 'assay[sql]'" in first
    assert line == "line 4: where c > 1 -> where c > 2"
    assert query_changes(SPACED, SPACED.upper().replace("FROM T", "from t")) != (FORMATTING_ONLY,)
    assert query_changes(SPACED, SPACED.replace("\n", "\n\n")) == (FORMATTING_ONLY,)


def test_words_are_few_short_and_on_one_line() -> None:
    many = ", ".join(f"f(a, 'x\ny\x1b[31m') as c{n}" for n in range(500))
    said = query_changes("select a from t", f"select {many} from t")
    assert len(said) == 21 and said[-1] == "and 481 more changes"
    long = query_changes(
        "select a from t", f"select a from t where a in ({', '.join(map(str, range(3000)))})"
    )
    for text in (*said, *long):
        assert len(text) <= 200 and text.isprintable()


@pytest.mark.parametrize(
    ("before", "after", "count"),
    [
        (" ".join(["select 1 from t0", *(f"join t{n} a{n} on a{n}.x = t0.x" for n in range(900))]), "b", 21),
        ("with " + ", ".join(f"a{n} as (select {n})" for n in range(900)) + " select * from a1", "b", 21),
        ("select " + ", ".join(f"a{n} as c{n}" for n in range(2000)) + " from t", "b", 21),
        ("select 1 from t where x in (" + ", ".join(f"a{n}" for n in range(5000)) + ")", "b", 1),
    ],
)  # fmt: skip
@pytest.mark.long
def test_large_queries_are_compared(before: str, after: str, count: int) -> None:
    assert len(query_changes(before, before.replace("a", after).replace("bs ", "as "))) == count


def test_many_changes_of_a_large_query_are_listed_up_to_a_limit() -> None:
    conditions = " and ".join(f"c{n} > {n}" for n in range(400))
    columns = ", ".join(f"sum(c{n}) as c{n}" for n in range(400))
    query = f"select {columns} from t where {conditions}"
    assert len(query_changes(query, query.replace("> ", "< "))) == 21


# ------------------------------------------------------------------- what is said for certain is true

_TOKEN = re.compile(r"'[^']*'|\"[^\"]*\"|--[^\n]*|[A-Za-z_]\w*|\d+(?:\.\d+)?|<>|<=|>=|\S")
_NUMBERS = ("0", "1", "2", "3", "10")
_SWAPS = {
    "<": "<=", "<=": "<", ">": ">=", ">=": ">", "=": "<>", "<>": "=", "+": "-", "-": "+", "*": "+", "and": "or", "or": "and",
    "sum": "max", "max": "min", "min": "max", "avg": "sum", "count": "max", "desc": "asc", "asc": "desc", "exists": "not exists", "not": "",
    "distinct": "", "left": "inner", "union": "union all", "select": "select distinct", "limit": "offset", "between": "not between",
}  # fmt: skip


def _restyled(rng: random.Random, query: str) -> str:
    """Return a query with other space, comments, case of words that name no column, and parentheses."""
    tokens = _TOKEN.findall(query)

    written = []
    for token in tokens:
        word = token
        if token in _KEYWORDS or token in tpch.TABLES.keys() - {"nation"}:
            word = rng.choice([token, token.upper(), token.title()])
        if (
            token.isdigit()
            and rng.random() < 0.2
            and written[-1].lower() not in {"interval", "limit"}
        ):
            word = f"({token})"
        written.append(word)
        if rng.random() < 0.1:
            written.append(rng.choice(["\n", "/* a comment */", "-- another\n", "\t "]))
    return re.sub(r" ?\. ?", ".", " ".join(written)) + rng.choice(["", ";", " ;\n"])


_KEYWORDS = {
    "select", "from", "where", "group", "by", "order", "and", "or", "as", "in", "like", "between", "exists", "not", "case", "when",
    "then", "else", "end", "with", "having", "distinct", "interval", "on", "join", "left", "outer", "desc", "sum", "avg", "count", "min", "max",
}  # fmt: skip


def with_changed_tokens(rng: random.Random, query: str) -> str:
    """Return a query with one to three tokens replaced, dropped, doubled or exchanged."""
    tokens = _TOKEN.findall(query)
    for _ in range(rng.choice([1, 1, 2, 3])):
        at, other = rng.randrange(len(tokens)), rng.randrange(len(tokens))
        if rng.random() < 0.3:
            at = rng.choice([n for n, token in enumerate(tokens) if token in _SWAPS] or [at])
        token = tokens[at]
        kind = rng.random()
        if token.lower() in _SWAPS and kind < 0.6:
            tokens[at] = _SWAPS[token.lower()]
        elif token[0].isdigit() and kind < 0.8:
            tokens[at] = rng.choice(_NUMBERS)
        elif token[0] == "'" and kind < 0.7:
            tokens[at] = rng.choice([t for t in tokens if t[0] == "'"])
        elif token[0].isalpha() and kind < 0.4:
            tokens[at] = rng.choice([t for t in tokens if t[0].isalpha()])
        elif kind < 0.5:
            tokens[at] = token.upper() if token[0] != "'" else token
        elif kind < 0.7:
            tokens[at], tokens[other] = tokens[other], token
        elif kind < 0.85:
            tokens[at] = ""
        else:
            tokens[at] = f"{token} {token}"
        tokens = [token for token in tokens if token] or ["select"]
    return re.sub(r" ?\. ?", ".", " ".join(tokens))


@pytest.fixture(scope="module")
def filled() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        tpch.create(connection, rows=True)
        connection.execute("set threads = 1")
        yield connection


def _answer(connection: duckdb.DuckDBPyConnection, query: str) -> Any:
    """Return the columns and rows of a query, or that it has none."""
    try:
        relation = connection.execute(query)
        return [(name, str(kind)) for name, kind, *_ in relation.description], relation.fetchall()
    except duckdb.Error:
        return None


def _is_the_same(
    connection: duckdb.DuckDBPyConnection, before: str, after: str, *, ordered: bool
) -> bool:
    first, second = _answer(connection, before), _answer(connection, after)
    if first is None or second is None:
        return first is second
    if ordered:
        return first == second
    return first[0] == second[0] and Counter(map(str, first[1])) == Counter(map(str, second[1]))


def test_another_style_is_formatting_only() -> None:
    rng = random.Random(SEED)
    for query in QUERIES:
        for _ in range(4):
            styled = _restyled(rng, query)
            assert query_changes(query, styled) in {(), (FORMATTING_ONLY,)}, styled


def test_formatting_only_and_order_only_are_never_said_of_other_results(
    filled: duckdb.DuckDBPyConnection,
) -> None:
    """Against DuckDB: queries of which tokens were changed at random."""
    rng = random.Random(SEED)
    said: Counter[str] = Counter()
    for number, query in enumerate(QUERIES * ROUNDS):
        mutated = with_changed_tokens(rng, _restyled(rng, query) if number % 2 else query)
        words = query_changes(query, mutated)
        assert words or mutated == query
        if words == (FORMATTING_ONLY,):
            said["same"] += 1
            assert _is_the_same(filled, query, mutated, ordered=True), mutated
        elif words and words[0].startswith("order only"):
            said["sorted"] += 1
            runs = _answer(filled, mutated) is not None  # it may sort by a column that is not there
            assert not runs or _is_the_same(filled, query, mutated, ordered=False), mutated
        else:
            said["by line" if words and words[0].startswith("the query") else "words"] += 1
    assert min(said[kind] for kind in ("same", "by line", "words")) > 0, said
    assert said["words"] > said["by line"] / 4, said


def test_order_only_is_said_of_the_same_rows(filled: duckdb.DuckDBPyConnection) -> None:
    said = 0
    for query in QUERIES:
        head, order, keys = " ".join(query.split()).rpartition(" order by ")
        after = head + order + ", ".join(reversed(keys.split(", "))) if order else query
        words = query_changes(query, after)
        if words and words[0].startswith("order only"):
            said += 1
            assert _is_the_same(filled, query, after, ordered=False), after
        elif order and words and " limit " not in keys:
            assert words == (FORMATTING_ONLY,), after
    assert said == 5


def test_no_change_of_the_syntax_that_is_read_goes_without_words() -> None:
    """Whatever sqlglot reads differently is named: of a query that DuckDB reads, no difference is overlooked."""
    rng = random.Random(SEED)
    named = overlooked = 0
    for query in QUERIES * ROUNDS:
        mutated = with_changed_tokens(rng, query)
        try:
            before, after = (sqlglot.parse_one(text, dialect="duckdb") for text in (query, mutated))
        except Exception:
            continue
        if identity(before) == identity(after) or after.key not in {"select", "union"}:
            continue
        words = query_changes(query, mutated)
        named += not words[0].startswith("the query is written differently")
        overlooked += words[0].startswith("the query is written differently")
    assert overlooked <= named / 10, (named, overlooked)
    assert named > 20
