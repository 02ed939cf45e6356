"""Inspects source files before they are read; a file that passed is not inspected again."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from threading import Lock

from assay.build.appeared import first_columns, raise_undeclared
from assay.build.recorder import Recorder
from assay.build.workers import Workers
from assay.catalog import Catalog
from assay.engines.formats.copies import copy_of, is_copied_by_need
from assay.engines.formats.faults import Faults
from assay.engines.formats.inspect import inspect
from assay.engines.formats.shapes import by_shape
from assay.engines.tables import InputFiles, Undeclared
from assay.plan.graph import Graph
from assay.times import AHEAD, in_utc

_COPIED = " copied"  # after how files are read: those of which engines read copies


class Inspector:
    """Inspects the files of sources that products read, if they are not recorded as inspected.

    Events that are later than a day from `now` do not count. `levels` say what follows from columns
    that a source does not declare (see `build.appeared`). Any thread may use it.
    """

    def __init__(
        self,
        catalog: Catalog,
        graph: Graph,
        products: Iterable[str],
        *,
        workers: Workers,
        recorder: Recorder,
        levels: Mapping[str, str],
        now: datetime,
    ) -> None:
        names = {name for product in products for name in graph.products[product].reads}
        readings = {graph.sources[name].inspected_as for name in names & graph.sources.keys()}
        self.inspected = {
            reading: catalog.sources.inspected(reading) for reading in sorted(readings)
        }
        # Of these, engines read copies, which each run makes anew.
        self.copied = {
            reading: {*catalog.sources.inspected(reading + _COPIED)} for reading in self.inspected
        }
        self.workers, self.recorder, self.until = workers, recorder, now + AHEAD
        self.graph, self.levels, self.now = graph, levels, now
        # One thread inspects the files of a source, the others wait for it.
        self._locks = {reading: Lock() for reading in readings}

    def inspect(self, inputs: Iterable[InputFiles]) -> None:
        """Inspect new files; raise SourceFault for the first that is not as its source declares."""
        for files in inputs:
            if files.source and not files.source.is_file:
                with self._locks[files.source.inspected_as]:
                    self._inspect(files, files.source.inspected_as)

    def latest_event(
        self, inspected_as: str, digests: Collection[str], until: datetime
    ) -> datetime | None:
        """Return the newest event, not after a moment, of inspected files with these digests."""
        events = self.inspected.get(inspected_as, {}).items()
        own = (at for content, at in events if at and content.partition(" ")[0] in digests)
        return max((at for at in own if in_utc(at) <= until), key=in_utc, default=None)

    def _inspect(self, files: InputFiles, inspected_as: str) -> None:
        faults = Faults()
        for alike in by_shape(files, files.paths):
            with faults.collecting():
                self._inspect_alike(alike, inspected_as)
        faults.raise_any()

    def _inspect_alike(self, files: InputFiles, inspected_as: str) -> None:
        inspected = self.inspected[inspected_as]
        # The same content may be as declared for one day alone.
        assert files.source is not None
        is_strict = self.levels.get(files.source.name) == "error"
        shape = f" {files.shape.key if files.shape else ''}{' strict' * is_strict}".rstrip()
        new = [file for file in files.observed if f"{file.digest}{shape}" not in inspected]
        for file in files.observed if self.copied[inspected_as] else ():
            if f"{file.digest}{shape}" in self.copied[inspected_as]:
                copy_of(files, Path(files.root, file.path))
        if new:
            paths = {Path(files.root, file.path): f"{file.digest}{shape}" for file in new}
            others: Undeclared = {}
            engine = self.workers.engine
            events = inspect(files, [*paths], engine, until=self.until, undeclared=others)
            if is_strict:
                raise_undeclared(files, others)
            of_content = {paths[path]: event for path, event in events.items()}
            needy = {paths[path] for path in events if is_copied_by_need(files, path)}
            undeclared = first_columns(files, others, self.now)
            reading = self.graph.sources[files.source.name].reading
            self.recorder.inspected(inspected_as + _COPIED, dict.fromkeys(needy))
            self.recorder.inspected(
                inspected_as, of_content, [(reading, each) for each in undeclared]
            )
            inspected |= of_content
            self.copied[inspected_as] |= needy
