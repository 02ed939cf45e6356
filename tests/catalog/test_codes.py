"""The code that runs built by, as text: recorded once, exactly as it was read, and let go with its runs."""

import json
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from assay.catalog import Catalog, shared_catalog
from assay.catalog.codes import RecordedCode, text_digest
from assay.config import find_config
from assay.declare import code_texts
from tests.conftest import Place

FIRST = datetime(2026, 1, 1, 6, tzinfo=UTC)
PRODUCTS = """
from .helpers import doubled

total = sql_product("total", "select sum(x)::bigint as x from numbers", owner="o")

@product(owner="o")
def twice(numbers: pl.LazyFrame):
    return doubled(numbers)
"""
HELPERS = """import polars as pl

def doubled(frame):
    return frame.with_columns(pl.col("x") * 2)  # as agreed
"""


@pytest.fixture(params=["sqlite", "postgres"])
def shop(place: Place, request: pytest.FixtureRequest) -> Place:
    if request.param == "postgres":
        settings = f'[tool.products]\ncatalog = "{request.getfixturevalue("address")}"\n'
        place.write("pyproject.toml", settings)
    place.write("products/helpers.py", HELPERS)
    place.write("products/sales.py", PRODUCTS, header=True)
    place.write("notes.env", "password = 'x'")
    return place


def catalog_of(shop: Place) -> "closing[Catalog]":
    return closing(shared_catalog(find_config(shop.root)))


def code_of(shop: Place, product: str) -> tuple[RecordedCode | None, dict[str, str]]:
    """Return the code of the newest version of a product, and its files."""
    with catalog_of(shop) as catalog:
        code = catalog.codes.of_run(catalog.versions(product)[0].run)
        texts = catalog.codes.texts(code.files.values()) if code else {}
        return code, {path: texts[digest] for path, digest in code.files.items()} if code else {}


def counts(shop: Place) -> tuple[int, int]:
    with catalog_of(shop) as catalog:
        rows = catalog.database.rows(
            "select (select count(*) from codes), (select count(*) from texts)"
        )
        return tuple(map(int, rows[0]))


def night(shop: Place, number: int, *more: int) -> None:
    shop.numbers("a", 1, *more)
    ran = shop.run("materialize", "--now", (FIRST + timedelta(days=number)).isoformat())
    assert ran.code == 0, ran.err


def test_what_a_run_built_by_is_recorded_once(shop: Place) -> None:
    night(shop, 0)
    code, files = code_of(shop, "sales.twice")
    assert code is not None
    assert files["products/helpers.py"] == HELPERS
    assert files["products/sales.py"].endswith(PRODUCTS)
    assert set(files) == {"products/helpers.py", "products/sales.py"}, "nothing but code"
    assert all(text_digest(files[path]) == digest for path, digest in code.files.items())
    assert {"python", "duckdb", "polars", "pandera", "assay"} <= code.tools.keys()
    with catalog_of(shop) as catalog:
        [text] = catalog.codes.texts([code.declared["sales.total"]]).values()
    assert json.loads(text)["sql"] == "select sum(x)::bigint as x from numbers"
    once = counts(shop)
    night(shop, 1, 5)
    assert (code_of(shop, "sales.twice"), counts(shop)) == ((code, files), once)
    shop.edit("products/helpers.py", "* 2", "* 3")
    night(shop, 2, 5)
    assert counts(shop) == (once[0] + 1, once[1] + 2), "one file, and the declaration of `twice`"
    assert code_of(shop, "sales.twice")[1]["products/helpers.py"] == HELPERS.replace("* 2", "* 3")
    with catalog_of(shop) as catalog:
        before = catalog.codes.of_run(catalog.versions("sales.twice")[1].run)
    assert before == code, "the version before has the code of then"


def test_a_run_with_nothing_to_do_records_nothing(shop: Place) -> None:
    night(shop, 0)
    once = counts(shop)
    shop.edit("products/helpers.py", "# as agreed", "# as was agreed")
    night(shop, 0)
    assert counts(shop) == once


def test_code_that_changes_while_it_is_read_is_not_recorded(
    shop: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = code_texts._files

    def edited(*given: object) -> dict[str, str]:
        shop.edit("products/helpers.py", "* 2", "* 3")
        return read(*given)

    monkeypatch.setattr(code_texts, "_files", edited)
    night(shop, 0)
    assert (code_of(shop, "sales.total"), counts(shop)) == ((None, {}), (0, 0))


def test_gc_lets_code_go_with_the_last_version_of_it(shop: Place) -> None:
    night(shop, 0)
    once = counts(shop)
    shop.edit("products/helpers.py", "* 2", "* 3")
    for number in range(1, 4):
        night(shop, number, number)
    both = counts(shop)
    assert both > once
    now = (FIRST + timedelta(days=9)).isoformat()
    assert shop.run("gc", "--keep", "4", "--days", "1", "--now", now).code == 0
    assert counts(shop) == both, "a version of it is kept"
    with catalog_of(shop) as catalog:  # a list of runs keeps the last hundred
        catalog.write(lambda writer: writer.execute("update runs set asked = ''"))
    for _ in range(2):  # runs go with the gc after that of their versions
        assert shop.run("gc", "--keep", "1", "--days", "1", "--now", now).code == 0
    assert counts(shop) == once
    assert code_of(shop, "sales.twice")[1]["products/helpers.py"] == HELPERS.replace("* 2", "* 3")
