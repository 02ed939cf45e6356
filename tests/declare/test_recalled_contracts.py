"""Contracts of models are recalled from earlier readings, and are those that reading them anew gives."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandera.polars as pa
import polars as pl
import pytest

from assay.config import find_config
from assay.declare import contracts, manifest
from assay.declare.manifest import read_manifest
from assay.declare.recalled_contracts import key_of
from assay.model import Where
from assay.rules.schema import read_schema
from tests.conftest import Place

MODEL = """
from __future__ import annotations
import os
import pandera.polars as pa
import polars as pl
from assay import sql_product
from lib.limits import LIMITS

class Ids(pa.DataFrameModel):
    id: int = pa.Field(ge=LIMITS["low"], unique=True)

class Lines(Ids):
    '''Lines of orders.'''
    code: str = pa.Field(isin=["a", "b"], nullable=True, description="of the product")
    name: pl.String = pa.Field(str_matches="^[a-z]")
    class Config:
        strict = True

sql_product("lines", "select 1::bigint as id, 'a' as code, 'x' as name", owner="o",
            contract=Lines, event_time="")
"""
OWN = """
import pandera.polars as pa
import polars as pl
from assay import sql_product

class Own(pa.DataFrameModel):
    x: int
    @pa.check("x")
    def even(cls, data: pa.PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(pl.col(data.key) % 2 == 0)

sql_product("own", "select x from numbers", owner="o", contract=Own)
"""


@pytest.fixture
def models(place: Place, monkeypatch: pytest.MonkeyPatch) -> tuple[Place, list[str]]:
    """A project with models, and the names of those that pandera makes a schema of."""
    place.write("lib/__init__.py", "")
    place.write("lib/limits.py", 'import os\nLIMITS = {"low": int(os.environ.get("LOW", "0"))}\n')
    place.write("products/lines.py", MODEL)
    made: list[str] = []
    read = read_schema

    def counted(contract: Any, where: Where) -> Any:
        made.append(contract.__name__)
        return read(contract, where)

    monkeypatch.setattr(contracts, "read_schema", counted)
    return place, made


def anew(place: Place) -> object:
    """Return the declarations as read without what is recalled."""
    for name in (manifest.CONTRACTS, manifest.FILE):
        (place.root / ".products" / name).unlink()
    assert place.run("plan").code == 0
    return read_manifest(find_config(place.root))


def test_unchanged_models_are_not_read_again(models: tuple[Place, list[str]]) -> None:
    place, made = models
    place.write("products/own.py", OWN, header=True)
    place.materialize()
    assert made == ["Lines", "Own"]
    place.write("products/other.py", "# nothing")
    made.clear()
    assert place.run("plan").code == 0
    assert made == ["Own"], "a model with a check of its own is always read"
    recalled = read_manifest(find_config(place.root))
    assert recalled is not None
    assert recalled == anew(place)
    place.edit("products/lines.py", '["a", "b"]', '["b", "c"]')
    assert place.run("materialize", "lines.lines").code == 3, "the demand that changed is checked"


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("products/lines.py", "nullable=True", "nullable=False"),
        ("products/lines.py", "of the product", "of the article"),
        ("products/lines.py", "Lines of orders", "Lines"),
        ("products/lines.py", "strict = True", "strict = False"),
        ("products/lines.py", "pl.String", "pl.Int64"),
        ("products/lines.py", "unique=True", "unique=False"),
        ("products/lines.py", "(Ids)", "(pa.DataFrameModel)"),
        ("lib/limits.py", '"0"', '"-1"'),
    ],
)
def test_every_change_of_a_model_is_seen(
    models: tuple[Place, list[str]], file: str, old: str, new: str
) -> None:
    place, made = models
    assert place.run("plan").code == 0
    before = read_manifest(find_config(place.root))
    place.edit(file, old, new)
    assert place.run("plan").code == 0
    assert made == ["Lines", "Lines"]
    now = read_manifest(find_config(place.root))
    assert now == anew(place) != before


def test_values_that_a_module_computes_count(
    models: tuple[Place, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    place, _ = models
    place.write("pyproject.toml", '[tool.products]\nreads = ["$LOW"]\n')
    assert place.run("plan").code == 0
    monkeypatch.setenv("LOW", "5")
    assert place.run("plan").code == 0
    now = read_manifest(find_config(place.root))
    assert now is not None
    [product] = [p for p in now.products.values() if p.name == "lines.lines"]
    assert "id is at least 5" in {rule.text for rule in product.contract.rules}


def test_demands_that_need_pandera_are_judged_with_a_recalled_contract(
    models: tuple[Place, list[str]],
) -> None:
    place, made = models
    assert place.run("plan").code == 0
    place.edit("products/lines.py", "'x' as name", "'X' as name")
    ran = place.run("materialize", "lines.lines")
    assert made == ["Lines"]
    assert ran.code == 3
    assert "name matches ^[a-z]" in ran.out + ran.err


@pytest.mark.parametrize(
    "spoil",
    [
        lambda known: known["rules"][0]["demand"].update(kind="condition", arguments={"sql": "1"}),
        lambda known: known["columns"][0].update(type="bigint) from secret --"),
        lambda known: known.update(rules=7),
    ],
)
def test_an_edited_cache_is_not_believed(
    models: tuple[Place, list[str]], spoil: Callable[[dict], object]
) -> None:
    import hashlib

    place, made = models
    assert place.run("plan").code == 0
    before = read_manifest(find_config(place.root))
    file = place.root / ".products" / manifest.CONTRACTS
    head, body = map(json.loads, file.read_text().splitlines())
    for known in body.values():
        spoil(known)
    text = json.dumps(body)
    head[1] = hashlib.sha256(text.encode()).hexdigest()
    file.write_text(f"{json.dumps(head)}\n{text}")
    (place.root / ".products/manifest.json").unlink()
    assert place.run("plan").code == 0
    assert made == ["Lines", "Lines"]
    assert read_manifest(find_config(place.root)) == before


class Plain(pa.DataFrameModel):
    x: int = pa.Field(ge=0)


def test_models_of_one_shape_with_other_values_have_other_keys() -> None:
    def model(field: Any, kind: Any = int, base: type = pa.DataFrameModel) -> type:
        return type("M", (base,), {"__annotations__": {"y": kind}, "y": field, "__module__": "m"})

    models = [
        model(pa.Field()),
        model(pa.Field(ge=1)),
        model(pa.Field(ge=1.0)),
        model(pa.Field(ge=True)),
        model(pa.Field(gt=1)),
        model(pa.Field(isin=[1, 2])),
        model(pa.Field(isin=["1", "2"])),
        model(pa.Field(ge=1, raise_warning=True)),
        model(pa.Field(ge=1, ignore_na=False)),
        model(pa.Field(ge=1, title="t")),
        model(pa.Field(alias="z")),
        model(pa.Field(alias="z", regex=True)),
        model(pa.Field(metadata={"sensitive": True})),
        model(pa.Field(), pl.Int32),
        model(pa.Field(), pl.Datetime("us")),
        model(pa.Field(), pl.Datetime("ms")),
        model(pa.Field(), base=Plain),
    ]
    keys = [key_of(made, {}) for made in models]
    assert all(keys)
    assert len({*keys}) == len(keys)
    assert key_of(model(pa.Field(ge=1)), {}) == keys[1]
    assert key_of(model(pa.Field(ge=1)), {"m.M": "other"}) != keys[1]
    own = type("M", (Plain,), {"f": pa.check("x")(lambda cls, data: True), "__module__": "m"})
    assert key_of(own, {}) == ""
    assert key_of(Path, {}) == ""
