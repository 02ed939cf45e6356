"""What is new since the last verdict: counted, shown first, and a repeated warning is one line."""

import pytest

from tests.conftest import Place

BOOKS = """
raw = source.files("data/*.csv", columns={"id": "bigint", "day": "date", "net": "double", "who": "varchar"})
class Keyed(pa.DataFrameModel):
    id: int = pa.Field(unique=True)
class Secret(Keyed):
    net: float = pa.Field(metadata={"sensitive": True})
sql_product("books", "select * from raw", owner="o", contract=Keyed, rules=[%s])
"""
FAILS = 'rule.check("net is positive", "net > 0"%s)'
WARNS = FAILS % ', severity="warning", because="It always was."'


def declare(place: Place, rules: str, books: str = BOOKS) -> None:
    place.write("products/sales.py", books % rules, header=True)


def rows(place: Place, *ids: int, net: int = -1, file: str = "a") -> None:
    lines = "".join(f"{id},2024-01-0{id % 9 + 1},{net},ann\n" for id in ids)
    place.write(f"data/{file}.csv", f"id,day,net,who\n{lines}")


def result(place: Place, *arguments: str) -> dict:
    view = place.materialize(*arguments)["sales.books"]
    [rule] = [rule for rule in view["rules"] if rule["text"] in {"net is positive", "few"}]
    return rule


def news(rule: dict) -> tuple:
    since = rule.get("known_since", "")[:10]
    return rule.get("new"), rule.get("known"), since, [s["id"] for s in rule["samples"]]


@pytest.fixture
def books(place: Place) -> Place:
    place.write("data/ok.csv", "id,day,net,who\n100,2024-01-01,5,bob\n")
    (place.root / "data/a.csv").unlink()
    declare(place, WARNS)
    return place


def test_new_rows_come_first_and_the_others_are_counted_with_their_first_day(books: Place) -> None:
    assert place_news(books, "2024-02-01", 5, 7, 6) == (None, None, "", [5, 6, 7])
    assert place_news(books, "2024-02-02", 5, 7, 9) == (1, 2, "2024-02-01", [9, 5, 7])
    assert place_news(books, "2024-02-03", 9, 4) == (1, 1, "2024-02-02", [4, 9])
    assert place_news(books, "2024-02-04", 3, 2) == (2, 0, "", [2, 3])


def place_news(place: Place, day: str, *ids: int) -> tuple:
    rows(place, *ids)
    return news(result(place, "--now", f"{day}T07:00"))


def test_a_verdict_that_passed_makes_all_rows_new(books: Place) -> None:
    declare(books, FAILS % "")
    assert books.run("materialize", "--now", "2024-02-01T07:00").code == 0
    assert place_news(books, "2024-02-02", 1, 2) == (2, 0, "", [1, 2])
    assert "net is positive: 2 rows\n" in books.run("why", "books").out


def test_what_is_held_back_says_how_much_of_it_is_new(books: Place) -> None:
    declare(books, FAILS % "")
    rows(books, *range(1, 13))
    assert books.run("materialize", "--now", "2011-11-02T07:00").code == 3
    rows(books, *range(1, 16))
    out = books.run("materialize", "--now", "2011-11-03T07:00").out
    assert "net is positive: 15 rows, 3 new, 12 known since 2011-11-02\n" in out
    first = out.split("2011-11-02\n")[1].lstrip()
    assert first.startswith("id 13  net -1")
    rows(books, *range(1, 16), 100)
    out = books.run("materialize", "--now", "2011-11-04T07:00").out
    assert "net is positive: 16 rows, 1 new, 15 known since 2011-11-02\n" in out


def test_a_warning_of_yesterday_is_one_line(books: Place) -> None:
    rows(books, 1, 2)
    out = books.run("materialize", "--now", "2024-02-01T07:00").out
    assert "because: It always was." in out and "id 1" in out
    rows(books, 3, net=5, file="b")
    out = books.run("materialize", "--now", "2024-02-02T07:00").out
    assert "warning: net is positive: 2 rows, known since 2024-02-01\n" in out
    assert "because" not in out and "id 1" not in out
    rows(books, 1, 2, 4)
    out = books.run("materialize", "--now", "2024-02-03T07:00").out
    assert "3 rows, 1 new, 2 known since 2024-02-01\n" in out and "because" in out


def test_many_rows_are_one_line_while_they_are_no_more(books: Place) -> None:
    rows(books, *range(1, 1300))
    assert news(result(books, "--now", "2024-02-01T07:00"))[:3] == (None, None, "")
    rows(books, *range(2, 1300))
    out = books.run("materialize", "--now", "2024-02-02T07:00").out
    assert "net is positive: 1,298 rows, since 2024-02-01\n" in out and "because" not in out
    rows(books, *range(1, 1400))
    out = books.run("materialize", "--now", "2024-02-03T07:00").out
    assert "net is positive: 1,399 rows\n" in out and "because" in out


def test_an_environment_does_not_know_what_another_found(books: Place) -> None:
    declare(books, WARNS)
    assert books.run("materialize").code == 0
    assert books.run("env", "create", "try").code == 0
    rows(books, 1)
    assert news(result(books, "--env", "try"))[0] == 1
    rows(books, 1, 2)
    assert news(result(books)) == (2, 0, "", [1, 2]), "in prod both are new"


@pytest.mark.parametrize(
    ("product", "shown"),
    [
        ('contract=Keyed, partition_by="day"', ["id", "day", "net"]),
        ('partition_by="day"', ["day", "net"]),
        ('event_time="day"', ["day", "net"]),
        ("", ["id", "day", "net", "who"]),
    ],
)
def test_samples_say_where_a_row_is(books: Place, product: str, shown: list[str]) -> None:
    books_of = BOOKS.replace("contract=Keyed", product).replace(", , ", ", ")
    declare(books, WARNS, books_of)
    rows(books, 1)
    assert list(result(books)["samples"][0]) == shown


def test_samples_are_distinct_and_those_of_the_same_part_are_together(books: Place) -> None:
    declare(books, WARNS, BOOKS.replace("contract=Keyed", 'partition_by="day"'))
    rows(books, 1, 1, 10, 3, 2)
    rule = result(books)
    assert rule["failing"] == 5
    assert [sample["day"] for sample in rule["samples"]] == [
        "2024-01-02",
        "2024-01-03",
        "2024-01-04",
    ]


@pytest.mark.parametrize(("order", "shown"), [("order by id desc", [3, 2, 1]), ("", [1, 2, 3])])
def test_a_query_keeps_its_order(books: Place, order: str, shown: list[int]) -> None:
    query = f'rule.sql("few", "select id, net from this where net < 0 {order}", severity="warning")'
    declare(books, query)
    rows(books, 1, 3, 2)
    assert news(result(books))[3] == shown


def test_only_parts_with_such_rows_are_read_again(
    books: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    from assay.rules import identify

    read: list[int] = []
    failing_rows = identify.failing_rows

    def counted(product, rule, evidence, *arguments, **named):  # type: ignore[no-untyped-def]
        read.append(len(evidence.this.files))
        return failing_rows(product, rule, evidence, *arguments, **named)

    monkeypatch.setattr(identify, "failing_rows", counted)
    declare(books, WARNS, BOOKS.replace("contract=Keyed", 'each="raw"'))
    for id in range(1, 6):
        rows(books, id, net=5, file=f"ok{id}")
    rows(books, 9)
    assert books.run("materialize").code == 0
    assert read == [1]


def test_what_comes_out_the_same_says_so(books: Place) -> None:
    assert "came out the same" not in books.run("materialize").out
    rows(books)  # a file without rows
    out = books.run("materialize").out
    assert "published" in out and "came out the same" in out
    assert books.materialize("--force")["sales.books"].get("same") in {True, None}
    rows(books, 5, net=3)
    assert "came out the same" not in books.run("materialize").out


def test_sensitive_values_are_masked_in_samples_of_news(books: Place) -> None:
    secret = BOOKS.replace("contract=Keyed", "contract=Secret")
    declare(books, WARNS, secret)
    rows(books, 1, 2)
    rule = result(books)
    assert [sample["net"] for sample in rule["samples"]] == ["(sensitive)"] * 2
