"""What a run has found out and not recorded yet: small work is recorded in groups, after its bytes are flushed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from queue import SimpleQueue

from msgspec import Struct, field
from msgspec.structs import replace

from assay.build.overlay import RunFacts
from assay.build.pack import share
from assay.catalog import Catalog
from assay.decisions import Reason, Waive
from assay.engines.duckdb import DuckDB
from assay.events import Failed
from assay.model import Part, Version
from assay.plan.waivers import Restatement, Waiver
from assay.rules.verdict import JudgedVersion
from assay.signals import signals_deferred
from assay.store.files import Storage

_WORTH_KEEPING = (
    0.2  # seconds of work after which facts are recorded at once; less is recorded in groups
)


class ProductWork(Struct):
    """What was done for one product in this run: see `Result`."""

    reasons: tuple[Reason, ...] = ()
    built: bool = False
    judged: bool = False
    seconds: float = 0.0
    parts_built: tuple[int, int] | None = None
    tries: int = 0
    unmade: Mapping[str, Failed] = field(default_factory=dict)
    whole: Version | None = None


class Recorder:
    """The facts of one run on their way into the catalog, for the thread that has it open.

    `made` and `inspected` are for any thread.
    """

    def __init__(
        self, catalog: Catalog, storage: Storage, facts: RunFacts, engine: Callable[[], DuckDB]
    ) -> None:
        self.catalog, self.storage, self.facts, self.engine = catalog, storage, facts, engine
        self.many: set[str] = (
            set()
        )  # products of which so many parts are made that they share files
        self._made: SimpleQueue[tuple[str, Part]] = SimpleQueue()
        self._inspected: SimpleQueue[tuple[str, str]] = SimpleQueue()
        self._parts: dict[str, dict[str, Part]] = {}  # as recorded, by where each was written
        self._pending: list[Version | JudgedVersion] = []
        self._seconds = 0.0

    def made(self, product: str, part: Part) -> None:
        """Take a part that was built; any thread may call it."""
        self._made.put((product, part))

    def inspected(self, reading: str, digests: Iterable[str]) -> None:
        """Take files of sources, by their digests, that were found to be as declared; any thread may call it."""
        for digest in digests:
            self._inspected.put((digest, reading))

    def _keep_inspected(self) -> None:
        inspected = []
        while not self._inspected.empty():
            inspected.append(self._inspected.get())
        if inspected:
            self.catalog.keep_inspected(inspected)

    def of(self, product: str) -> Sequence[Part]:
        """Return the parts of a product that were built in this run, as recorded."""
        return list(self._parts.get(product, {}).values())

    def parts(self) -> list[str]:
        """Record the parts that were built meanwhile, so that they need not be built again; return whose they are.

        Where there are very many, those of few rows share files from then on.
        """
        with signals_deferred():
            return self._parts_made()

    def _parts_made(self) -> list[str]:
        self._keep_inspected()
        made: dict[str, list[Part]] = {}
        while not self._made.empty():
            name, part = self._made.get()
            made.setdefault(name, []).append(part)
        now = {name: self._shared(name, parts) for name, parts in made.items()}
        self.storage.flush({part.path for parts in now.values() for part in parts.values()})
        for name, parts in now.items():
            recorded = self.catalog.record_parts(name, list(parts.values()))
            for path, part in zip(parts, recorded, strict=True):
                self.facts.add_part(name, part)
                self._parts.setdefault(name, {})[path] = part
                if part.path != path:
                    with suppress(OSError):
                        self.storage.remove(path)
        return list(made)

    def _shared(self, product: str, parts: Sequence[Part]) -> dict[str, Part]:
        if product in self.many:
            return share(parts, storage=self.storage, engine=self.engine)
        return {part.path: part for part in parts}

    def version(self, version: Version) -> Version:
        """Take a version that was built, and return it as it will be recorded."""
        if version.in_parts:
            self.parts()
            known = self._parts.get(version.product, {})
            parts = [known.get(part.path, part) for part in version.parts]
            self.storage.flush({part.path for part in parts if not part.id})
            # With its parts, so that none of them is ever left without a version.
            size = sum({part.path: part.bytes for part in parts}.values())
            [version] = self.catalog.record([replace(version, parts=tuple(parts), bytes=size)])
            self.facts.add_version(version)
            return version
        self.facts.add_version(version)
        self._seconds += version.seconds
        self._keep(version)
        return version

    def ruling(self, ruling: JudgedVersion) -> None:
        """Take how a version was judged."""
        self.facts.add_verdict(ruling.verdict)
        self._keep(ruling)

    def waive(
        self, product: str, step: Waive, restatement: Restatement, *, environment: str, at: datetime
    ) -> None:
        """Record which failing rows of a version may go out, as the user says who has looked at them."""
        waivers = [
            Waiver(
                environment=environment,
                product=product,
                version=step.version.id,
                rule=rule,
                row_digests=parts,
                because=restatement.because,
                who=restatement.who,
                at=at,
            )
            for rule, parts in step.rules.items()
        ]
        self.flush()  # what they are about comes before them
        self.catalog.waive(waivers)
        self.facts.add_waivers(waivers)

    def _keep(self, fact: Version | JudgedVersion) -> None:
        self._pending.append(fact)
        if self._seconds >= _WORTH_KEEPING:
            self.flush()

    def flush(self) -> None:
        """Record all there is."""
        self._keep_inspected()
        if not self._pending:
            return
        versions = [fact for fact in self._pending if isinstance(fact, Version)]
        rulings = [fact for fact in self._pending if isinstance(fact, JudgedVersion)]
        self.storage.flush(
            {part.path for version in versions for part in version.parts if not part.id}
        )
        judged = [told for ruling in rulings for told in ruling.judged]
        self.catalog.record(versions, [ruling.verdict for ruling in rulings], judged)
        self._pending, self._seconds = [], 0.0
