"""Rules that are checked while a small file is measured get the results that they get later."""

import random
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandera.polars as pa
import polars as pl
import pytest

from assay.catalog import open_catalog
from assay.engines.duckdb import DuckDB
from assay.engines.measure import measure
from assay.engines.polars import stage
from assay.facts import RuleResult, Status
from assay.model import Where
from assay.rules import with_duckdb
from assay.rules.early import EarlyChecks
from assay.rules.schema import read_schema
from tests.conftest import Place
from tests.judging import judged_file, product_of

NAN = float("nan")
VALUES: dict[str, list[Any]] = {
    "whole": [None, 0, 1, 2, -5, 7],
    "real": [None, 0.0, -0.0, NAN, 1.5, -2.0],
    "text": [None, "", "a", "b", "ab", "ç"],
    "day": [None, *(date(2024, 1, 1) + timedelta(days=n) for n in range(4))],
    "at": [None, *(datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(4))],
    "flag": [None, True, False],
}
TYPES = {
    "whole": pl.Int64,
    "real": pl.Float64,
    "text": pl.String,
    "day": pl.Date,
    "at": pl.Datetime("us", "UTC"),
    "flag": pl.Boolean,
}
CHECKS: dict[str, list[Any]] = {
    "whole": [pa.Check.ge(0), pa.Check.isin([0, 1, 2]), pa.Check.unique_values_eq([0, 1])],
    "real": [pa.Check.lt(1.6), pa.Check.ne(1.5)],
    "text": [pa.Check.str_length(0, 1), pa.Check.str_matches("a"), pa.Check.notin(["ab"])],
    "day": [pa.Check.gt(date(2024, 1, 1))],
    "at": [pa.Check(lambda data: data.lazyframe.select(pl.col(data.key).is_not_null()))],
    "flag": [],
}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made = DuckDB([Path("/")], tmp_path_factory.mktemp("spill"))
    yield made
    made.close()


@pytest.mark.parametrize("seed", range(12))
def test_early_answers_are_those_of_checking_later(
    tmp_path: Path, engine: DuckDB, seed: int
) -> None:
    chance = random.Random(seed)
    file = tmp_path / "staged.parquet"
    few = {name: chance.sample(values, chance.randint(1, 3)) for name, values in VALUES.items()}
    rows = chance.choice([0, 1, 2, 3, 6])
    frame = pl.DataFrame(
        {name: [chance.choice(few[name]) for _ in range(rows)] for name in VALUES}, schema=TYPES
    )
    types = stage(frame.lazy(), file, {})
    schema = read_schema(
        pa.DataFrameSchema(
            {
                name: pa.Column(
                    chance.choice([None, TYPES[name], pl.Int64]),
                    chance.sample(CHECKS[name], chance.randint(0, len(CHECKS[name]))),
                    nullable=chance.random() < 0.5,
                    unique=chance.random() < 0.5,
                    required=chance.random() < 0.5,
                )
                for name in [*VALUES][:: chance.choice([1, 1, 2])]
            },
            unique=chance.choice([None, ["whole", "text"]]),
            strict=chance.random() < 0.3,
        ),
        Where("x.py", 1),
    )
    early = EarlyChecks(product_of(schema))
    assert early.measure(engine, file, types=types) == measure(engine, file, types=types)
    later = judged_file(engine, schema, file, types)
    for text, answer in early.answers.items():
        result = later[text]
        assert (answer.how, answer.failing) == (result.how, result.failing)
        assert answer.message == result.message
    passed = {text for text, r in later.items() if r.how == "fused" and r.failing == 0}
    together = {
        text for text in passed if text == "whole, text is unique"
    }  # columns that are unique together
    decided = {text for text, r in later.items() if r.how == "schema"}
    assert early.answers.keys() == passed - together | decided
    assert early.pass_all is (
        early.answers.keys() == later.keys()
        and all(result.status in {Status.PASSED, Status.SKIPPED} for result in later.values())
    )


CONTRACT = """
    class Lines(pa.DataFrameModel):
        x: int = pa.Field(ge=0, unique=True)

    sql_product("lines", "select x from numbers", owner="o", contract=Lines,
                rules=[rule.sql("none is 7", "from this where x = 7")])
"""


def results_of(place: Place) -> dict[str, RuleResult]:
    """Return the results of the rules of the published lines, by text."""
    with closing(open_catalog(place.root / ".products/catalog.db", create=False)) as catalog:
        newest = max(catalog.versions("sales.lines"), key=lambda version: version.built_at)
        [verdict] = catalog.verdicts(newest.id)
    return {result.text: result for result in verdict.results}


def test_a_contract_that_holds_is_asked_in_the_query_that_measures(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    answer_rules = with_duckdb.answer_rules
    monkeypatch.setattr(with_duckdb, "answer_rules", lambda *a: asked.append(1) or answer_rules(*a))
    place.write("products/sales.py", CONTRACT, header=True)
    place.materialize("sales.lines")
    assert not asked
    found = {text: (r.status, r.how, r.failing, r.rows) for text, r in results_of(place).items()}
    assert found == {
        "x: type BIGINT": (Status.PASSED, "schema", None, None),
        "x is never missing": (Status.PASSED, "fused", 0, 3),
        "x is unique": (Status.PASSED, "fused", 0, 3),
        "x is at least 0": (Status.PASSED, "fused", 0, 3),
        "none is 7": (Status.PASSED, "sql", 0, 3),
    }
    place.numbers("a", 1, 1, -3)
    place.materialize("sales.lines")
    assert asked
    results = results_of(place)
    assert results["x is unique"].samples == ({"x": 1},)
    assert (results["x is at least 0"].failing, results["x is never missing"].failing) == (1, 0)
