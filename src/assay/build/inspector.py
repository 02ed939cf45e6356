"""Inspects source files before they are read; a file that passed is not inspected again."""

from collections.abc import Iterable
from pathlib import Path
from threading import Lock

from assay.build.recorder import Recorder
from assay.build.workers import Workers
from assay.catalog import Catalog
from assay.engines.formats.inspect import inspect
from assay.engines.tables import InputFiles
from assay.plan.graph import Graph


class Inspector:
    """Inspects the files of sources that products read, if they are not recorded as inspected.

    Any thread may use it.
    """

    def __init__(
        self,
        catalog: Catalog,
        graph: Graph,
        products: Iterable[str],
        workers: Workers,
        recorder: Recorder,
    ) -> None:
        names = {name for product in products for name in graph.products[product].reads}
        readings = {graph.sources[name].reading for name in names & graph.sources.keys()}
        self.inspected = {
            reading: catalog.sources.inspected(reading) for reading in sorted(readings)
        }
        self.workers, self.recorder = workers, recorder
        # One thread inspects the files of a source, the others wait for it.
        self._locks = {reading: Lock() for reading in readings}

    def inspect(self, inputs: Iterable[InputFiles]) -> None:
        """Inspect new files; raise SourceFault for the first that is not as its source declares."""
        for files in inputs:
            if files.source and not files.source.is_file:
                with self._locks[files.source.reading]:
                    self._inspect(files, files.source.reading)

    def _inspect(self, files: InputFiles, reading: str) -> None:
        inspected = self.inspected[reading]
        new = [file for file in files.observed if file.digest not in inspected]
        if new:
            paths = [Path(files.root, file.path) for file in new]
            inspect(files, paths, self.workers.engine)
            digests = {file.digest for file in new}
            self.recorder.inspected(reading, digests)
            inspected |= digests
