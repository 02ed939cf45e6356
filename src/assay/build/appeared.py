"""Columns that appear in the files of sources that do not declare them: found, told once, or refused.

What the first file of a source has counts as known: who declared some of its columns saw the others. A
column has appeared if the first file lacks it, or had it not when it was first inspected.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from pathlib import Path

from assay.catalog import Catalog
from assay.engines.formats.faults import Faults
from assay.engines.tables import InputFiles, Undeclared
from assay.errors import SourceFault
from assay.facts import UndeclaredColumn
from assay.model import Source
from assay.plan.graph import Graph
from assay.plan.policies import in_force
from assay.policies import Policies
from assay.text import clean

POLICY = "undeclared_columns"
_NAMES = 8  # columns that a message names


def levels_of(graph: Graph, policies: Policies) -> Mapping[str, str]:
    """Return what follows from undeclared columns of a source: "error", "warning" or "off".

    Sources that are not there have the default, "warning".
    """
    tables = (policies, *(table for _, table in policies.tables))
    if not any(POLICY in table.severities for table in tables):
        return {}
    stored = {product.name: product.files for product in graph.products.values() if product.files}
    return {
        stored.get(name, name): table.severities[POLICY]
        for name, table in in_force(graph, policies).items()
        if POLICY in table.severities
    }


def first_columns(
    files: InputFiles, undeclared: Undeclared, seen: datetime
) -> list[UndeclaredColumn]:
    """Return the undeclared columns of files, each with the first part and file that has it.

    The name '' stands for the first of all files.
    """
    assert files.source is not None
    of_path = {str(Path(files.root, file.path)): (file.part, file.path) for file in files.observed}
    first: dict[str, tuple[str, str]] = {}
    for names, paths in undeclared.items():
        place = min(of_path[str(path)] for path in paths)
        for name in ("", *names):
            first[name] = min(place, first.get(name, place))
    return [
        UndeclaredColumn(source=files.source.name, name=name, part=part, file=file, seen=seen)
        for name, (part, file) in first.items()
    ]


def raise_undeclared(files: InputFiles, undeclared: Undeclared) -> None:
    """Raise SourceFault for all files with columns that are not declared."""
    assert files.source is not None
    faults, hint = Faults(), f'Declare them; the policy {POLICY} is "error".'
    for names, paths in undeclared.items():
        for path in paths if names else ():
            told = ", ".join(names[:_NAMES]) + (", …" if len(names) > _NAMES else "")
            problem = f"{files.path_of(path)}: it has columns that are not declared: {clean(told)}"
            with faults.collecting():
                raise SourceFault(files.source.name, problem, hint=hint)
    faults.raise_any()


def appeared(
    catalog: Catalog, sources: Mapping[str, Source], names: Collection[str]
) -> list[UndeclaredColumn]:
    """Return the columns that appeared in the files of these sources, and are not declared."""
    found = catalog.undeclared.of({name: sources[name].reading for name in names})
    first = {column.source: column for column in found if not column.name}
    return [column for column in found if column.name and is_new(column, first.get(column.source))]


def is_new(column: UndeclaredColumn, first: UndeclaredColumn | None) -> bool:
    """Return whether a column was not there when the first file of its source was inspected."""
    if first is None:
        return False
    return column.seen > first.seen or (column.part, column.file) != (first.part, first.file)


class Appeared:
    """The columns that appear in a run, which are told with one product that reads the source."""

    def __init__(
        self, catalog: Catalog, graph: Graph, levels: Mapping[str, str], now: datetime
    ) -> None:
        self.catalog, self.graph, self.levels, self.now = catalog, graph, levels, now
        self._told: set[tuple[str, str]] = set()

    def take(self, reads: Iterable[str]) -> tuple[UndeclaredColumn, ...]:
        """Return what appeared in these sources and was not returned before."""
        names = [n for n in reads if n in self.graph.sources and self.levels.get(n) != "off"]
        if not names:
            return ()
        found = appeared(self.catalog, self.graph.sources, names)
        new = [c for c in found if c.seen == self.now and (c.source, c.name) not in self._told]
        self._told |= {(column.source, column.name) for column in new}
        return tuple(new)
