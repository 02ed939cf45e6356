"""Calls a function for many parts, one after another, and writes what it returns to one file.

The function is given what it is given when a part is built alone. Only reading texts, computing
lazy results and writing happen for many parts together.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from assay.engines import polars as lazy
from assay.engines.batches import GROUP_ROWS, DomainInputs, stage_parts, together
from assay.engines.duckdb import DuckDB
from assay.engines.make import RELATION, Making, Recipe, is_arrow_table
from assay.engines.quoting import identifier
from assay.engines.sql.batching import PART, Batched
from assay.engines.tables import InputFiles
from assay.model import Product

if TYPE_CHECKING:
    import polars as pl

_MOST_READ = 16 << 20  # bytes of a stored file that is read as a whole
_MOST_HELD = 64 << 20  # bytes of results that are held in memory before they are written


class Called(Struct, frozen=True):
    """The parts that were written, by their number: their rows, and the types of their columns.

    - `count`: for how many parts, from the first, the function was called. Those of them without
      rows here have to be built alone.
    """

    rows: Mapping[int, int]
    types: dict[str, str]
    count: int


def may_be_called_together(recipe: Recipe) -> bool:
    """Return whether results of a function can be computed together: relations belong to DuckDB."""
    return RELATION not in recipe.handovers.values()


def call_parts(
    product: Product,
    recipe: Recipe,
    engine: DuckDB,
    parts: Sequence[Sequence[InputFiles]],
    target: Path,
    *,
    goes_on: Callable[[], bool],
) -> Called:
    """Call a function for each part with its inputs, and write the rows to one file, part by part.

    It stops before a part, but the first, when `goes_on` says so or results take much memory. Raises what
    computing the results raises, of any part.
    """
    import polars as pl

    frames: dict[int, pl.LazyFrame] = {}
    held, count = 0.0, 0
    read = _shared_files(parts)
    with ExitStack() as resources:
        scans = _scans(product, engine, parts, target, resources)
        for number, (inputs, own_scans) in enumerate(zip(parts, scans, strict=True)):
            if (not goes_on() or held > _MOST_HELD) and number:
                break
            count += 1
            making = Making(product, inputs, engine, target, scans=own_scans, read=read)
            resources.enter_context(making.resources)
            try:
                result = making.call(recipe)
            except (Exception, pl.exceptions.PanicException):
                continue  # the part is built alone, which raises the error again
            if is_arrow_table(result):
                result = pl.from_arrow(result)
            if isinstance(result, pl.DataFrame):
                held += result.estimated_size()
                result = result.lazy()
            if isinstance(result, pl.LazyFrame):
                frames[number] = result
        tables = dict(zip(frames, _collected([*frames.values()]), strict=True))
    alike = {n: t for n, t in tables.items() if t.schema == next(iter(tables.values())).schema}
    if not alike:
        return Called({}, {}, count)
    want = {column.name: column.type for column in product.contract.columns}
    rows = pl.concat([*alike.values()]).lazy()
    types = lazy.stage(rows, target, want, group_rows=GROUP_ROWS)
    return Called({number: table.height for number, table in alike.items()}, types, count)


def _collected(frames: "list[pl.LazyFrame]") -> "list[pl.DataFrame]":
    """Return the rows of each frame, computed as when they are written one by one."""
    import polars as pl

    try:
        return pl.collect_all(frames, engine="streaming")
    except pl.exceptions.PanicException as error:
        raise RuntimeError(str(error)) from None


def _shared_files(parts: Sequence[Sequence[InputFiles]]) -> "dict[Path, pl.LazyFrame]":
    """Return the rows of small stored files of which many parts read some rows each."""
    import polars as pl

    uses = Counter(file for inputs in parts for files in inputs for file in files.table.cuts)
    shared = [file for file, count in uses.items() if count > 1 and _is_small(file)]
    return {
        file: pl.read_parquet(file, glob=False, hive_partitioning=False).lazy() for file in shared
    }


def _is_small(file: Path) -> bool:
    return file.stat().st_size <= _MOST_READ


def _scans(
    product: Product,
    engine: DuckDB,
    parts: Sequence[Sequence[InputFiles]],
    target: Path,
    resources: ExitStack,
) -> Iterator[dict[str, "pl.LazyFrame"]]:
    """Yield for each part its inputs of text, by alias: DuckDB reads those of all parts at once."""
    copied: dict[str, list[pl.LazyFrame]] = {}
    for i, files in zip(product.inputs, parts[0], strict=True):
        source = files.source
        if i.grain is None or source is None or source.is_file or source.format == "parquet":
            continue
        own = [next(f for f in inputs if f.alias == files.alias) for inputs in parts]
        copy = target.with_name(f"aside-{files.alias}.parquet")
        resources.callback(copy.unlink, missing_ok=True)
        query = f"select * exclude ({PART}), {PART} from {identifier(files.alias)}"
        inputs: DomainInputs = ([together(own)], product.domain)
        _, counts = stage_parts(engine, Batched(query, has_totals=False), inputs, copy, {})
        rows = lazy.as_declared(copy, source).collect()
        lengths = [counts[number] for number in range(len(parts))]
        starts = accumulate(lengths, initial=0)
        copied[files.alias] = [
            rows.slice(start, length).lazy() for start, length in zip(starts, lengths, strict=False)
        ]
    for number in range(len(parts)):
        yield {alias: frames[number] for alias, frames in copied.items()}
