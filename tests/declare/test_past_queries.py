"""What changed in a query since it built what is published: the earlier text is remembered."""

import json

from assay.config import find_config
from assay.declare import past_queries
from tests.conftest import Place

KEPT = ".products/past_queries.json"


def declare(place: Place, query: str, more: str = "") -> None:
    text = f"sql_product('p', {query!r}, owner='o'{more})\n"
    place.write("products/sales.py", text, header=True)


def changes(place: Place) -> list[str]:
    ran = place.run("why", "p", "--json")
    assert ran.code == 0, ran.err
    return ran.json["query_changes"]


def test_why_says_what_changed_in_a_query(place: Place) -> None:
    declare(place, "select x from numbers")
    assert changes(place) == [], "nothing was built"
    place.run("materialize")
    assert changes(place) == []
    declare(place, "select x from numbers where x > 1")
    place.run("plan")  # the manifest is of the new query
    declare(place, "select x + 1 as x from numbers where x > 1")
    assert changes(place) == ["filter added: x > 1", "x -> x + 1 as x"]
    text = place.run("why", "p").out
    assert (
        "What changed in its query\n  filter added: x > 1\n  x -> x + 1 as x\n\nWhat is next"
        in text
    )
    place.run("materialize")
    assert changes(place) == []
    assert "What changed in its query" not in place.run("why", "p").out


def test_a_query_in_another_style_has_not_changed(place: Place) -> None:
    declare(place, "select x from numbers")
    place.run("materialize")
    declare(place, "SELECT x -- all\nFROM numbers;")
    assert changes(place) == []


def test_a_query_that_reads_the_clock_is_compared_as_it_is_written(place: Place) -> None:
    turn = ", changes_with='day'"
    declare(place, "select x, current_date as d from numbers", turn)
    place.run("materialize", "--now", "2024-01-04T07:00")
    declare(place, "select x, current_date + 1 as d from numbers", turn)
    assert changes(place) == ["current_date -> current_date + 1 as d"]


def test_what_is_not_known_is_not_said(place: Place) -> None:
    declare(place, "select x from numbers")
    place.run("materialize")
    declare(place, "select x + 1 as x from numbers")
    place.run("plan")
    kept = place.root / KEPT
    header, _, body = kept.read_text().partition("\n")
    for damaged in ("", "[]", f"{header}\n{{}}", "\0"):
        kept.write_text(damaged)
        assert changes(place) == []
    texts = json.loads(body)
    assert set(texts.values()) == {"select x from numbers", "select x + 1 as x from numbers"}
    past_queries.write_kept(
        find_config(place.root),
        "past_queries.json",
        dict.fromkeys(texts, "select 3 as x from numbers"),
    )
    assert changes(place) == [], "it is not the query that was built"
    kept.unlink()
    assert changes(place) == []


def test_the_newest_queries_are_remembered(place: Place) -> None:
    long = "x" * 300_000
    for number in range(9):
        declare(place, f"select '{long}{number}' as t from numbers")
        assert place.run("plan").code == 0
    kept = past_queries.past_queries(find_config(place.root))
    assert [text.split("'")[1][-1] for text in kept.values()] == list("345678")
