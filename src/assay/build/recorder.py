"""Records the facts of a run in groups, after the files that they name are flushed to disk."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from queue import SimpleQueue

from msgspec.structs import replace

from assay.build.pack import share
from assay.build.run_facts import RunFacts
from assay.build.workers import Workers
from assay.build.workspace import Workspace
from assay.catalog import Catalog
from assay.decisions import Restate
from assay.facts import Part, Status, UndeclaredColumn, Verdict, Version
from assay.plan.restatements import RestatedRows, Restatement
from assay.rules.news import with_news
from assay.rules.verdict import JudgedVersion
from assay.signals import signals_deferred

_WORTH_RECORDING = 0.2  # seconds of pending work after which facts are recorded at once


def with_last(judged: JudgedVersion, catalog: Catalog, environment: str) -> JudgedVersion:
    """Return a verdict that says what is new since the last one before its run."""
    verdict = judged.verdict
    if not judged.product or verdict.status in {Status.PASSED, Status.SKIPPED}:
        return judged
    last = catalog.last_verdict(judged.product, environment, before_run=verdict.run)
    return replace(judged, verdict=with_news(verdict, judged.found, last), found={})


_Place = tuple[str, str]  # path and key of a part as it was built


def paths_of(parts: Iterable[Part]) -> set[str]:
    """Return the files of parts, and of the rows that were set aside of them."""
    return {p.path for part in parts for p in (part, part.aside) if p}


class Recorder:
    """Collects the facts of one run, and records them in the catalog.

    `part_built` and `inspected` may be called from any thread; all else only from the thread that
    has the catalog open.
    """

    def __init__(self, workspace: Workspace, facts: RunFacts, workers: Workers) -> None:
        self.catalog, self.storage = workspace.catalog, workspace.storage
        self.environment = workspace.environment
        self.facts, self.workers = facts, workers
        self.shares_files: set[str] = set()  # products whose many small parts share files
        self._built: SimpleQueue[tuple[str, Part]] = SimpleQueue()
        self._inspected: SimpleQueue[tuple[str, str, datetime | None]] = SimpleQueue()
        self._undeclared: SimpleQueue[tuple[str, UndeclaredColumn]] = SimpleQueue()
        self._parts: dict[str, dict[_Place, Part]] = {}  # recorded, by product and place as built
        self._pending: list[Version | JudgedVersion] = []
        self._seconds = 0.0

    def part_built(self, product: str, part: Part) -> None:
        """Add a part that was built. Any thread may call this."""
        self._built.put((product, part))

    def inspected(
        self,
        inspected_as: str,
        events: Mapping[str, datetime | None],
        undeclared: Iterable[tuple[str, UndeclaredColumn]] = (),
    ) -> None:
        """Add source files that are as declared, by digest, each with its last event time.

        `undeclared` are columns of these files, each after the reading of its source. Any thread
        may call this.
        """
        for each in undeclared:
            self._undeclared.put(each)
        for digest, event in events.items():
            self._inspected.put((digest, inspected_as, event))

    def parts_of(self, product: str) -> Sequence[Part]:
        """Return the parts of a product that this run has built, as recorded."""
        return list(self._parts.get(product, {}).values())

    def record_parts(self) -> list[str]:
        """Record the parts built since the last call, and return their products.

        Small parts of products in `shares_files` are merged into one file first.
        """
        with signals_deferred():
            self._record_inspected()
            built: dict[str, list[Part]] = {}
            while not self._built.empty():
                product, part = self._built.get()
                built.setdefault(product, []).append(part)
            stored = {name: self._in_files(name, parts) for name, parts in built.items()}
            self.storage.flush(paths_of(p for parts in stored.values() for p in parts.values()))
            for name, parts in stored.items():
                self._record_parts_of(name, parts)
            left = paths_of(p for parts in built.values() for p in parts)
            for path in left - paths_of(p for parts in stored.values() for p in parts.values()):
                with suppress(OSError):
                    self.storage.remove(path)
            return list(built)

    def _in_files(self, product: str, parts: Sequence[Part]) -> dict[_Place, Part]:
        """Return where parts are stored, by the place that each was built at."""
        alone = [part for part in parts if part.of is None]  # the others share files already
        shared: Mapping[str, Part] = {}
        if product in self.shares_files:
            shared = share(alone, storage=self.storage, engine=lambda: self.workers.engine)
        stored = {(part.path, part.key): shared.get(part.path, part) for part in parts}
        asides = [part.aside for part in parts if part.aside and part.aside.of is None]
        if asides and product in self.shares_files:
            moved = share(asides, storage=self.storage, engine=lambda: self.workers.engine)
            for place, part in stored.items():
                if part.aside:
                    stored[place] = replace(part, aside=moved.get(part.aside.path, part.aside))
        return stored

    def _record_parts_of(self, product: str, parts: Mapping[_Place, Part]) -> None:
        recorded = self.catalog.record_parts(product, list(parts.values()))
        for (path, key), part in zip(parts, recorded, strict=True):
            self.facts.add_part(product, part)
            self._parts.setdefault(product, {})[path, key] = part

    def record_version(self, version: Version) -> Version:
        """Add a version that was built; return it as it is recorded.

        A version in parts is recorded at once, so that no recorded part is left without a version.
        """
        if version.in_parts:
            self.record_parts()
            recorded = self._parts.get(version.product, {})
            parts = [recorded.get((part.path, part.key), part) for part in version.parts]
            self.storage.flush(paths_of(part for part in parts if not part.id))
            size = sum({part.path: part.bytes for part in parts}.values())
            [version] = self.catalog.record([replace(version, parts=tuple(parts), bytes=size)])
            self.facts.add_version(version)
            return version
        self.facts.add_version(version)
        self._seconds += version.seconds
        self._add(version)
        return version

    def record_verdict(self, judged: JudgedVersion) -> None:
        """Add the verdict on a version, with what is new since the last one before this run."""
        judged = with_last(judged, self.catalog, self.environment)
        self.facts.add_verdict(judged.verdict)
        self._add(judged)

    def record_restated(
        self, product: str, step: Restate, restatement: Restatement, workspace: Workspace
    ) -> None:
        """Record which failing rows of a version may be published, and who decided that."""
        rows = [
            RestatedRows(
                environment=workspace.environment,
                product=product,
                version=step.version.id,
                rule=rule,
                row_digests=row_digests,
                because=restatement.because,
                who=restatement.who,
                approved_by=restatement.approved_by,
                at=workspace.clock(),
            )
            for rule, row_digests in step.rules.items()
        ]
        self.flush()  # the catalog has to know the version first
        self.catalog.restate(rows)
        self.facts.add_restated(rows)

    def record_waived(self, verdict: Verdict, run: str, at: datetime) -> None:
        """Record the verdict on a version as it is with the waivers that count now."""
        self.record_verdict(JudgedVersion(verdict=replace(verdict, run=run, judged_at=at)))

    def flush(self) -> None:
        """Record all pending facts."""
        self._record_inspected()
        if not self._pending:
            return
        versions = [fact for fact in self._pending if isinstance(fact, Version)]
        judged = [fact for fact in self._pending if isinstance(fact, JudgedVersion)]
        self.storage.flush({p.path for version in versions for p in version.parts if not p.id})
        findings = [finding for fact in judged for finding in fact.judged]
        self.catalog.record(versions, [fact.verdict for fact in judged], findings)
        self._pending, self._seconds = [], 0.0

    def _add(self, fact: Version | JudgedVersion) -> None:
        self._pending.append(fact)
        if self._seconds >= _WORTH_RECORDING:
            self.flush()

    def _record_inspected(self) -> None:
        inspected, undeclared = [], []
        while not self._inspected.empty():
            inspected.append(self._inspected.get())
        while not self._undeclared.empty():  # put before the files that have them
            undeclared.append(self._undeclared.get())
        if inspected or undeclared:
            self.catalog.sources.add_inspected(inspected, undeclared)
