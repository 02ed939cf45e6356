"""Which files of sources were found to be what is declared: each is inspected once, and then known."""

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from threading import Lock

from assay.build.recorder import Recorder
from assay.build.workers import Workers
from assay.catalog import Catalog
from assay.engines.duckdb import DuckDB
from assay.engines.formats.inspect import inspect
from assay.engines.tables import InputFiles
from assay.plan.graph import Graph


def inspector(
    catalog: Catalog, graph: Graph, names: Iterable[str], hands: Workers, records: Recorder
) -> "Inspector":
    """Return who inspects what these products read; the catalog says what was inspected before."""
    read = {name for product in names for name in graph.products[product].reads}
    readings = {graph.sources[name].reading for name in read.intersection(graph.sources)}
    known = {reading: catalog.inspected(reading) for reading in sorted(readings)}
    return Inspector(known, lambda: hands.engine, records.inspected)


class Inspector:
    """Inspects files of sources before they are read, but for those that are known to be as declared.

    `known` are their digests, by how they are read; `found` takes those known from now on. Any thread may use it.
    """

    def __init__(
        self,
        known: Mapping[str, set[str]],
        engine: Callable[[], DuckDB],
        found: Callable[[str, Collection[str]], None],
    ) -> None:
        self.known, self.engine, self.found = known, engine, found
        self._locks = {
            reading: Lock() for reading in known
        }  # who reads a source waits for who inspects it

    def __call__(self, feeds: Iterable[InputFiles]) -> None:
        """Inspect what is read; raises SourceFault for the first file that is not what its source declares."""
        for feed in feeds:
            if feed.source and not feed.source.is_file:
                with self._locks[feed.source.reading]:
                    self._inspect(feed, feed.source.reading)

    def _inspect(self, feed: InputFiles, reading: str) -> None:
        known = self.known[reading]
        new = [file for file in feed.observed if file.digest not in known]
        if new:
            inspect(feed, [Path(feed.root, file.path) for file in new], self.engine())
            digests = {file.digest for file in new}
            self.found(reading, digests)
            known |= digests
