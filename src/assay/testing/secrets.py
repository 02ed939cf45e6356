"""Columns of samples that hold values of sensitive columns under another name, found by their values."""

from collections.abc import Mapping
from pathlib import Path

from assay.build.inputs import Inputs
from assay.engines.duckdb import DuckDB
from assay.engines.tables import StoredTable
from assay.plan.graph import Graph
from assay.rules.likeness import Secrets, alike
from assay.sensitive import secret
from assay.testing.given import write
from assay.testing.sample import Sample


def hidden_in(
    samples: Mapping[str, Sample], graph: Graph, inputs: Inputs, folder: Path
) -> dict[str, frozenset[str]]:
    """Return patterns of the columns of each sample that have values of sensitive columns.

    They are compared with what is published of all products upstream and downstream. `folder` is
    for files of the samples.
    """
    related = {name: _related(graph, inputs, name) for name in samples}
    if not any(related.values()):
        return {name: frozenset() for name in samples}
    config = inputs.config
    engine = DuckDB([*inputs.folders, folder], config.spill_folder, config.limits)
    try:
        with engine.cursor() as cursor:
            return {
                name: alike(cursor, _stored(sample, folder / f"{name}.parquet"), related[name])
                for name, sample in samples.items()
            }
    finally:
        engine.close()


def _related(graph: Graph, inputs: Inputs, name: str) -> list[Secrets]:
    """Return the sensitive columns of published products upstream and downstream of a table."""
    found = []
    for other in sorted({*graph.upstream(name), *graph.downstream(name)} & graph.products.keys()):
        pointer = inputs.observed.facts.pointer(other)
        if pointer is None or not graph.sensitive(other):
            continue
        columns = [c.name for c in inputs.observed.facts.version(pointer.version).columns]
        if sensitive := secret(columns, graph.sensitive(other)):
            found.append(Secrets(inputs.published(other).table, tuple(sorted(sensitive))))
    return found


def _stored(sample: Sample, file: Path) -> StoredTable:
    import polars as pl

    frame = pl.DataFrame(
        [[_plain(value) for value in row] for row in sample.rows],
        schema=list(sample.columns),
        orient="row",
        infer_schema_length=None,
        strict=False,
    )
    write(frame, file)
    return StoredTable((file,))


def _plain(value: object) -> object:
    """Return a value as Polars and Parquet have it: what is nested as its text."""
    return str(value) if isinstance(value, list | dict | tuple) else value
