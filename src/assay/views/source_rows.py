"""Rows of sources as their files are now, for `products show` and `products query`."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from assay.build.failures import of_source
from assay.build.inputs import Inputs
from assay.build.workspace import Workspace
from assay.engines.duckdb import DuckDB, select
from assay.engines.formats.copies import read_paths
from assay.engines.formats.inspect import inspect
from assay.engines.quoting import identifier
from assay.engines.tables import InputFiles, StoredTable
from assay.errors import BuildError, SourceFault, UsageError
from assay.plan.graph import Graph
from assay.plan.observed import Observed
from assay.sensitive import HIDDEN, secret
from assay.views.query import FINER_THAN_PYTHON, Sources

if TYPE_CHECKING:
    import duckdb


def source_tables(workspace: Workspace, observed: Observed, names: Mapping[str, str]) -> Sources:
    """Return how a query reads these sources; text files are looked through before.

    `names` are full names by those that the query uses.
    Raises UsageError for a source that is missing or no table, BuildError for wrong files.
    """
    queries, paths = {}, list[Path]()
    with _reading(workspace, observed) as (inputs, engine):
        for name in sorted(set(names.values())):
            files = _files(inputs, name)
            _inspect(files, engine)
            queries[name] = select(files)
            paths += read_paths(files, files.paths) if _is_text(files) else files.paths
    return Sources(names, queries, tuple(paths))


def first_source_rows(
    workspace: Workspace, observed: Observed, name: str, count: int
) -> tuple[list[str], list[tuple[Any, ...]], bool]:
    """Return column names, the first rows without sensitive values, and whether there are more.

    Only files that have these rows are read. Raises as `source_tables`.
    """
    patterns = workspace.graph.sensitive_in_source(name)
    names, rows = list[str](), list[tuple[Any, ...]]()
    with _reading(workspace, observed) as (inputs, engine), engine.cursor() as cursor:
        for file in _one_by_one(_files(inputs, name)):
            _inspect(file, engine)
            names, found = _first(cursor, file, patterns, count + 1 - len(rows))
            rows += found
            if len(rows) > count:
                break
    return names, rows[:count], len(rows) > count


@contextmanager
def _reading(workspace: Workspace, observed: Observed) -> Iterator[tuple[Inputs, DuckDB]]:
    """Open an engine for the files of sources; faults of files become BuildError."""
    inputs = Inputs(workspace.graph, observed, workspace.storage, workspace.config, {})
    engine = inputs.engine()
    try:
        yield inputs, engine
    except SourceFault as fault:
        raise BuildError(of_source(fault, workspace.graph)) from None
    finally:
        engine.close()


def _files(inputs: Inputs, name: str) -> InputFiles:
    if missing := inputs.observed.sources[name].missing:
        raise UsageError(missing)
    if inputs.graph.sources[name].is_file:
        hint = f"`products show {name}` says where it is."
        raise UsageError(f"{name} is a file, not a table", hint=hint)
    return inputs.files_of(name, name)


def _one_by_one(files: InputFiles) -> Iterator[InputFiles]:
    for path, observed in zip(files.paths, files.observed, strict=True):
        yield replace(files, table=StoredTable((path,)), observed=(observed,))


def _inspect(files: InputFiles, engine: DuckDB) -> None:
    if _is_text(files):
        inspect(files, files.paths, engine)


def _is_text(files: InputFiles) -> bool:
    return files.source is not None and files.source.is_text


def _first(
    cursor: "duckdb.DuckDBPyConnection",
    files: InputFiles,
    patterns: Iterable[str],
    count: int,
) -> tuple[list[str], list[tuple[Any, ...]]]:
    query = select(files)
    types = {row[0]: row[1] for row in cursor.execute(f"describe ({query})").fetchall()}
    hidden, shown = secret(types, patterns), []
    for name, type in types.items():
        column = identifier(name)
        if name in hidden:
            shown.append(f"'{HIDDEN}' as {column}")
        else:
            shown.append(f"{column}::varchar as {column}" if type in FINER_THAN_PYTHON else column)
    answer = cursor.execute(f"select {', '.join(shown)} from ({query}) limit {count}")
    return [*types], answer.fetchall()


def sources_named(graph: Graph, names: Iterable[str]) -> dict[str, str]:
    """Return the full names of the sources among these names, by the names as they are given.

    The files of a source whose rows are stored are none: nobody has judged them.
    """
    stored = {product.files for product in graph.products.values()}
    found = {}
    for name in names:
        fulls = [f for f in graph.sources if name in {f, f.partition(".")[2]} and f not in stored]
        if len(fulls) == 1:
            found[name] = fulls[0]
    return found
