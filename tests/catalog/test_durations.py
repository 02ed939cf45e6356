"""How long the last builds took is read in one query, however many products there are."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from assay.catalog import Catalog
from assay.catalog import durations as module
from assay.catalog.durations import durations
from tests.catalog.test_catalog import NOW, catalog, opened, place, verdict, version

__all__ = ["catalog", "opened", "place"]


class Counting:
    """A reader that counts its queries."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog, self.queries = catalog, 0

    def rows(self, sql: str, values: Sequence[Any] = (), /) -> list[Any]:
        self.queries += 1
        return self.catalog.database.rows(sql, values)


def build(catalog: Catalog, number: int, product: str, seconds: float) -> None:
    built = replace(version(f"v{product}{number}", product, str(number)), seconds=seconds)
    catalog.record([built], [])


@pytest.mark.parametrize("at_once", [500, 1])
def test_the_last_builds(catalog: Catalog, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", at_once)
    for number in range(6):
        build(catalog, number, "d.p", 1.0 + number)
        build(catalog, number, "d.q", 10.0 + number)
    build(catalog, 6, "d.other", 100.0)
    reader = Counting(catalog)
    assert durations("it", reader, ["d.p", "d.q", "d.new"], 4) == {
        "d.p": [3.0, 4.0, 5.0, 6.0],
        "d.q": [12.0, 13.0, 14.0, 15.0],
    }
    assert reader.queries == 1
    assert durations("it", reader, [], 4) == {}
    assert reader.queries == 1


def test_checking_is_part_of_it(catalog: Catalog) -> None:
    built = replace(version("v1"), seconds=2.0, built_at=NOW, run="r1")
    checked = replace(verdict("v1"), judged_at=NOW + timedelta(seconds=30), run="r1")
    later = replace(verdict("v1"), judged_at=NOW + timedelta(days=1), run="r2", contract="c2")
    catalog.record([built], [checked, later])
    assert durations("it", catalog.database, ["d.p"], 4) == {"d.p": [32.0]}
