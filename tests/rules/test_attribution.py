"""Which parts the failing rows of a rule are in, where parts are held back one by one."""

from pathlib import Path

import pytest

from tests.conftest import Place

PROJECT = """
import pandera.polars as pa
from assay import rule, source, sql_product

class Lines(pa.DataFrameModel):
    id: int = pa.Field(unique=True)
    customer: str = pa.Field(nullable=True)
    class Config:
        {config}

raw = source.files("in/{{day:date}}.csv", columns={{"id": "bigint", "customer": "varchar"}})
lines = sql_product("lines", "select * from raw", owner="o", contract=Lines, {parts},
    on_failed_part="hold_part", rules=[rule.check("customer", "customer <> 'bad'", fail_above=0)])
"""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    place.write("pyproject.toml", "[tool.products]\n")
    return place


@pytest.mark.parametrize("parts", ['each="raw"', 'partition_by="day"'])
@pytest.mark.parametrize("config", ["pass", 'unique = ["id", "customer"]'])
def test_values_repeated_in_several_parts_are_in_no_single_one(
    place: Place, parts: str, config: str
) -> None:
    place.write("products/shop.py", PROJECT.format(config=config, parts=parts))
    for day, id in (("01", 1), ("02", 2), ("03", 2)):
        place.write(f"in/2024-01-{day}.csv", f"id,customer\n{id},c\n")
    result = place.materialize()["shop.lines"]
    assert result["result"] == "held back"
    assert "does not say for which parts" in result["whole_because"]
    unique = [rule for rule in result["rules"] if rule["text"].endswith("is unique")]
    assert len(unique) == config.count("unique") + 1
    for rule in unique:
        assert (rule["status"], rule["failing"], rule["parts"]) == ("failed", 2, [])
    place.write("in/2024-01-03.csv", "id,customer\n3,c\n")
    place.write("in/2024-01-04.csv", "id,customer\n4,bad\n")
    result = place.materialize()["shop.lines"]
    assert [part["part"] for part in result["held_parts"]] == ["2024-01-04"]
