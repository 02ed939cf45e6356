"""Formatted queries are the queries that they were."""

import re
import sys

import pytest

from assay.engines.sql.changes.exact import is_same
from assay.engines.sql.formatting import formatted
from tests.engines import tpch

pytest.importorskip("sqlglot")
QUERIES = [re.sub("--[^\n]*", "", query).strip() for query in tpch.QUERIES]


@pytest.mark.parametrize("query", QUERIES, ids=range(1, len(QUERIES) + 1))
def test_a_query_on_one_line_is_on_many(query: str) -> None:
    line = " ".join(query.split())
    text = formatted(line)
    assert text.count("\n") > 5
    assert is_same(text, line)


def test_comments_stay() -> None:
    assert (
        formatted("select a, -- the first\nb from t") == "SELECT\n  a, /* the first */\n  b\nFROM t"
    )


@pytest.mark.parametrize(
    "query",
    [
        "select a from t where interval '3' day > b and c = interval 3 days",  # written alike
        "from t select a",
        "select a frm t x",
        "nonsense",
        "select " + "(" * 3000 + "a" + ")" * 3000 + " from t",
    ],
)
def test_what_would_be_another_query_stays_as_it_is(query: str) -> None:
    text = formatted(query)
    assert text == query or is_same(text, query)


def test_without_the_library_it_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sqlglot", None)
    assert formatted("select a from t") == "select a from t"
