"""What building a version needs (an order and tools), and its result."""

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime

from msgspec import Struct, field

from assay.build.inspector import Inspector
from assay.build.recorder import Recorder
from assay.build.workers import Workers
from assay.declare.resolve import Definition
from assay.engines.tables import InputFiles, Measured
from assay.errors import SourceReplaced
from assay.facts import Key, Part, Version
from assay.model import Column, Product
from assay.plan.digests import digest
from assay.plan.part_specs import PartSpec, PartSteps
from assay.rules.early import EarlyChecks
from assay.rules.verdict import JudgedVersion
from assay.store.files import Storage
from assay.times import in_utc


class BuildOrder(Struct, frozen=True, kw_only=True):
    """What to build.

    `inputs` returns the inputs of the product, or of one part; `check` raises if they changed.
    `steps` are the parts of a product that follows its inputs, or the stored parts of a product
    that is cut into parts. `holds`: a part that cannot be built is held back, and the part of the
    version `before` is published in its place. `inherited` returns the business time that the
    inputs reach, once they were inspected, and `data_as_of` that of the inputs of one part. `early` checks rules while a
    version is measured.
    """

    product: Product
    key: Key
    run: str
    definition: Definition
    inputs: Callable[[PartSpec | None], Sequence[InputFiles]]
    check: Callable[[Sequence[InputFiles]], None]
    steps: PartSteps = PartSteps()
    inherited: Callable[[], datetime | None] = lambda: None
    data_as_of: Callable[[PartSpec], datetime | None] = lambda _: None
    holds: bool = False
    before: Version | None = None
    early: EarlyChecks | None = None

    @property
    def folder(self) -> str:
        """The folder of the store below which all files of this order are written."""
        return f"{self.product.name}/{self.run}"

    @contextmanager
    def as_observed(self, inputs: Sequence[InputFiles]) -> Iterator[None]:
        """On a failure, raise SourceReplaced if a source file has changed: it may be the cause."""
        try:
            yield
        except Exception as error:
            try:
                with suppress(OSError):  # cannot be checked: raise the failure itself
                    self.check(inputs)
            except SourceReplaced as replaced:
                raise replaced from error
            raise


class Built(Struct, frozen=True, kw_only=True):
    """A version that was built; `unbuilt` are the parts that are held back, each with its error.

    `judged` is the verdict on a small version that was checked in the thread that built it.
    """

    version: Version
    unbuilt: Mapping[str, Exception] = field(default_factory=dict)
    judged: JudgedVersion | None = None


class BuildTools(Struct, frozen=True, kw_only=True):
    """The store, clocks and workers that builders use. `timer` returns seconds."""

    storage: Storage
    workers: Workers
    clock: Callable[[], datetime]
    timer: Callable[[], float]
    recorder: Recorder
    inspector: Inspector

    def remove(self, folder: str) -> None:
        """Remove a folder of the store; errors of the operating system are ignored."""
        with suppress(OSError):
            self.storage.remove(folder)

    def sealed(self, path: str, measured: Measured, *, key: str = "") -> Part:
        """Make a written file read-only, and return it as a part."""
        size, checksum, modified = self.storage.seal(path)
        return Part(
            key=key,
            path=path,
            rows=measured.rows,
            bytes=size,
            checksum=checksum,
            modified=modified,
            digest=measured.digest,
        )

    def version(
        self, order: BuildOrder, started: float, parts: Sequence[Part], measured: Measured
    ) -> Version:
        """Return the version with these parts; `started` is when its build began, by the timer."""
        own_time = measured.data_as_of if order.product.event_time else None
        return Version(
            id=new_id(),
            product=order.product.name,
            key=order.key,
            digest=measured.digest,
            columns=measured.columns,
            rows=measured.rows,
            bytes=bytes_of(parts),
            built_at=self.clock(),
            seconds=round(self.timer() - started, 3),
            run=order.run,
            parts=tuple(parts),
            data_as_of=own_time or order.inherited(),
            rows_in=rows_in_of(parts),
        )


def new_id() -> str:
    """Return the id of a new version."""
    return f"v{uuid.uuid4().hex[:16]}"


def bytes_of(parts: Sequence[Part]) -> int:
    """Return the size of the files of parts in bytes; parts may share files."""
    return sum({part.path: part.bytes for part in parts}.values())


def rows_in_of(parts: Sequence[Part]) -> int | None:
    """Return the number of rows of parts before some were set aside; None if none could be."""
    counts = [part.rows_in for part in parts if part.rows_in is not None]
    return sum(counts) if counts and len(counts) == len(parts) else None


def combined(parts: Sequence[Part], columns: Sequence[Column]) -> Measured:
    """Return the rows, columns, digest and business time of parts together."""
    times = [part.data_as_of for part in parts if part.data_as_of]
    return Measured(
        rows=sum(part.rows for part in parts),
        columns=tuple(columns),
        digest=digest([part.content for part in parts]),
        data_as_of=max(times, key=in_utc, default=None),
    )
