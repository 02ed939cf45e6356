"""A pytest plugin for pandera's own tests: whatever a schema there validates is judged by us as well, and compared."""

import json
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
from pandera.api.polars.container import DataFrameSchema
from pandera.config import ValidationDepth, config_context

from assay.declare.rules import with_unique_texts
from assay.engines.duckdb import DuckDB
from assay.engines.polars import stage
from assay.errors import AssayError
from assay.facts import Status
from assay.model import Where
from assay.rules.schema import NotASchema, read_schema

FOLDER = Path(tempfile.mkdtemp())
ENGINE = DuckDB([FOLDER], FOLDER / "spill")
ORIGINAL = DataFrameSchema.validate
TOLD: dict[str, list[str]] = {"same": [], "left out": [], "differs": []}
BUSY: list[bool] = []  # what we ask of pandera ourselves is not one of its tests


@contextmanager
def busy() -> Any:
    BUSY.append(True)
    try:
        yield
    finally:
        BUSY.pop()


def validate(self: Any, check_obj: Any, *args: Any, **options: Any) -> Any:
    if not BUSY and isinstance(check_obj, pl.DataFrame | pl.LazyFrame):
        with busy():
            kind, words = compare(self, check_obj.lazy())
        TOLD[kind].append(f"{os.environ.get('PYTEST_CURRENT_TEST', '')}: {words}")
    return ORIGINAL(self, check_obj, *args, **options)


def compare(schema: Any, frame: pl.LazyFrame) -> tuple[str, str]:
    if schema.coerce or any(column.coerce for column in schema.columns.values()):
        return "left out", "it coerces"
    file = FOLDER / "data.parquet"
    try:
        read = read_schema(schema, Where("x.py", 1))
        data = frame.collect()
        file.unlink(missing_ok=True)
        types = stage(data.lazy(), file, {})
        stored = pl.read_parquet(file)
        if stored.schema != data.schema:
            return "left out", "it is not stored as it is"
    except (NotASchema, AssayError) as error:
        return "left out", str(error)
    except pl.exceptions.PolarsError as error:
        return "left out", f"no data: {type(error).__name__}"
    theirs = passes(schema, stored)
    results = judged(read, file, types)
    ours = not any(r.status in {Status.FAILED, Status.ERROR} for r in results.values())
    words = f"pandera {theirs}, ours {ours}: {[(t, str(r.status), r.how, r.message) for t, r in results.items()]}"
    return ("same" if ours == theirs else "differs"), words


def passes(schema: Any, frame: pl.DataFrame) -> bool:
    with config_context(validation_enabled=True, validation_depth=ValidationDepth.SCHEMA_AND_DATA):
        try:
            ORIGINAL(schema, frame, lazy=True)
        except (Exception, pl.exceptions.PanicException):
            return False
    return True


def judged(read: Any, file: Path, types: Any) -> Any:
    from judging import judged_file  # beside this file: pandera has a `tests` of its own
    from msgspec.structs import replace

    with config_context(validation_enabled=True, validation_depth=ValidationDepth.SCHEMA_AND_DATA):
        return judged_file(ENGINE, replace(read, rules=with_unique_texts(read.rules)), file, types)


def pytest_configure() -> None:
    DataFrameSchema.validate = validate


def pytest_unconfigure() -> None:
    Path(os.environ["ASSAY_COMPARED"]).write_text(json.dumps(TOLD))
