"""Readers read what they ask for, and see what was released since."""

from collections import Counter

import pytest

import assay
from assay.catalog import look
from assay.catalog.sqlite import Sqlite
from assay.errors import UsageError
from tests.conftest import Place

MANY = 20


@pytest.fixture
def many(place: Place) -> Place:
    place.write(
        "products/sales.py",
        f"for n in range({MANY}):\n    sql_product(f'p{{n}}', 'from numbers', owner='o')\n",
        header=True,
    )
    assert place.materialize()[""]["exit_code"] == 0
    return place


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Counter:
    """Count the rows that are read of each table, and the versions that are made of them."""
    counts: Counter = Counter()
    rows, version_of = Sqlite.rows, look.version_of

    def counted(self: Sqlite, sql: str, values: object = ()) -> list:
        found = rows(self, sql, values)
        counts[sql.partition(" from ")[2].split()[0]] += len(found)
        return found

    def decoded(*given: object) -> object:
        counts["decoded"] += 1
        return version_of(*given)

    monkeypatch.setattr(Sqlite, "rows", counted)
    monkeypatch.setattr(look, "version_of", decoded)
    return counts


@pytest.mark.parametrize("as_of", [None, 1])
def test_one_name_costs_one_version(many: Place, read: Counter, as_of: int | None) -> None:
    assert assay.read("p7", project=many.root, as_of=as_of).collect().height == 3
    assert (read["versions"], read["parts"], read["decoded"]) == (1, 1, 1)


def test_a_query_costs_what_it_names(many: Place, read: Counter) -> None:
    assert many.query("select count(*) as n from p1 join sales.p2 using (x)") == [{"n": 3}]
    assert (read["versions"], read["parts"], read["decoded"]) == (2, 2, 2)
    assert many.run("query", "select 1").code == 0
    assert read["decoded"] == 2


def test_a_connection_makes_values_of_what_it_is_asked_for(many: Place, read: Counter) -> None:
    connection = assay.connect(project=many.root)
    assert (read["versions"], read["decoded"]) == (MANY, 0)
    connection.execute("from p3")
    assert (read["versions"], read["decoded"]) == (MANY, 1)


def test_names_are_read_again_only_after_a_release(many: Place, read: Counter) -> None:
    for number in range(5):
        assay.read(f"p{number}", project=many.root)
    assert read["pointers"] == MANY + 5  # the names once, and each pointer
    many.numbers("b", 4)
    assert many.spawn("materialize").code == 0  # another process
    assert assay.read("p7", project=many.root).collect().height == 4
    many.edit("products/sales.py", "f'p{n}'", "f'q{n}'")
    assert many.spawn("materialize").code == 0
    assert assay.read("q7", project=many.root).collect().height == 4


def test_access_is_read_again_after_it_was_declared_anew(many: Place) -> None:
    assert assay.read("p1", project=many.root).collect().height == 3
    many.edit("products/sales.py", "owner='o'", "owner='o', access='private'")
    assert many.spawn("materialize").code == 0
    with pytest.raises(UsageError, match=r"sales\.p1 is private"):
        assay.read("p1", project=many.root)


def test_a_wrong_name_is_told_with_all_names(many: Place) -> None:
    with pytest.raises(UsageError, match=r"Did you mean sales\.p1"):
        assay.read("sales.p1x", project=many.root)
    ran = many.run("query", "from p1x")
    assert "Did you mean" in ran.err
