"""Builds the products of a run: in this process, or in child processes that may hang or crash."""

import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event, Lock
from typing import Protocol, TypeVar

from msgspec import Struct, field

from assay.build.child import Child
from assay.build.deadlines import within_limit
from assay.build.inputs import Inputs
from assay.build.memory import Gauge
from assay.build.messages import Task
from assay.declare.exits import guard_again
from assay.engines.duckdb import DuckDB
from assay.engines.make import Recipe, make
from assay.engines.measure import PartCheck, measure
from assay.engines.tables import InputFiles, Measured
from assay.model import Kind, Product
from assay.store.spill import drop_copies, size_of, spill_of

_LARGE = 16 * 2**20  # bytes of files that a large query reads: mostly millions of rows
_CORES_PER_LARGE = 4  # DuckDB uses several cores for each query
_LIMIT = re.compile(r"([\d.]+) ?(.+)")  # number and unit of DuckDB's `memory_limit`
_DEFAULT_LIMIT = "80%"  # of the machine's memory
R = TypeVar("R")


class Make(Protocol):
    """Builds one file of a product, and returns what it measures there."""

    def __call__(
        self,
        inputs: Sequence[InputFiles],
        target: Path,
        *,
        part_check: PartCheck | None = None,
        measuring: Callable[..., Measured] | None = None,
    ) -> Measured: ...


def turns() -> int:
    """Return how many large queries run at a time."""
    return max(1, (os.cpu_count() or 1) // _CORES_PER_LARGE)


def is_large(size: int) -> bool:
    """Return whether a query over so many bytes of files is large."""
    return size >= _LARGE


def in_own_process(product: Product) -> bool:
    """Return whether a product is built in a process of its own, which can be killed."""
    return product.isolate or bool(product.timeout and product.kind in {Kind.FUNCTION, Kind.FILE})


class Workers(Struct, kw_only=True):
    """The engine and the child processes of one run; `jobs` products at a time share the memory.

    `timer` returns seconds, `most_spilled` is in bytes.
    """

    run: str
    inputs: Inputs
    timer: Callable[[], float]
    jobs: int = 1
    stopping: Event = field(default_factory=Event)
    most_spilled: int = 0
    _spills: set[Path] = field(default_factory=set)  # spill folders of child processes
    _lock: Lock = field(default_factory=Lock)
    gauge: Gauge = field(default_factory=Gauge)
    peaks: dict[str, int] = field(default_factory=dict)  # bytes that child processes had at most
    _engine: DuckDB | None = None

    @property
    def engine(self) -> DuckDB:
        """The engine of this process, which the first access starts."""
        with self._lock:
            if self._engine is None:
                with self.gauge.not_counted():
                    self._engine = self.inputs.engine()
                guard_again()
            return self._engine

    @contextmanager
    def at(self, product: Product, recipe: Recipe | None) -> Iterator[Make]:
        """Provide what builds the files of a product, in the process that it asks for."""
        if not in_own_process(product):
            yield partial(self._make_here, product, recipe)
            return
        spill = spill_of(self.inputs.config, f"{self.run}-{uuid.uuid4().hex[:8]}")
        with self._lock:
            self._spills.add(spill)
        child = Child(self._task(product, recipe, spill), self.timer, self.stopping)
        try:
            yield child.make
        finally:
            child.close()
            self.peaks[product.name] = max(child.peak, self.peaks.get(product.name, 0))
            shutil.rmtree(spill, ignore_errors=True)
            with self._lock:
                self._spills.discard(spill)

    def measured(self, product: Product, expected: int, build: Callable[[], R]) -> tuple[R, int]:
        """Return the result of building a product, and the most memory in bytes that it needed.

        `expected` are the bytes that it needed before; 0 when not known.
        """
        if in_own_process(product):
            result = build()
            return result, self.peaks.pop(product.name, 0)
        with self.gauge.measuring(expected) as needed:
            result = build()
        return result, needed()

    def stop(self) -> None:
        """Interrupt all builds; each child process is ended by the thread that waits for it."""
        self.stopping.set()
        if self._engine:
            self._engine.interrupt()

    def close(self) -> None:
        """Close the engine, free its memory, and end the thread that measures memory."""
        self.gauge.end()
        if self._engine:
            self._engine.close()
            drop_copies(self.inputs.config.spill_folder, own=True)

    def note_spilled(self) -> None:
        """Measure what is spilled now, here and by child processes, and record the maximum."""
        with self._lock:
            folders = [self.inputs.config.spill_folder, *self._spills]
            self.most_spilled = max(self.most_spilled, sum(map(size_of, folders)))

    def _make_here(
        self,
        product: Product,
        recipe: Recipe | None,
        inputs: Sequence[InputFiles],
        target: Path,
        *,
        part_check: PartCheck | None = None,
        measuring: Callable[..., Measured] | None = None,
    ) -> Measured:
        engine = self.engine
        measuring = measuring or partial(measure, part_check=part_check)
        build = partial(make, product, recipe, inputs, target, engine, measure=measuring)
        return within_limit(product, build, engine.interrupt) if product.timeout else build()

    def _task(self, product: Product, recipe: Recipe | None, spill: Path) -> Task:
        limits = self.inputs.config.limits
        memory = _share(limits["memory_limit"], self.jobs)
        return Task(
            root=self.inputs.root,
            product=product,
            handovers=recipe.handovers if recipe else None,
            target=recipe.target if recipe else "",
            folders=self.inputs.folders,
            spill=spill,
            until=self.inputs.until,
            limits={**limits, "memory_limit": memory},
        )


def _share(limit: str, jobs: int) -> str:
    """Return the memory limit of each of so many jobs, as DuckDB writes it."""
    match = _LIMIT.fullmatch(limit or _DEFAULT_LIMIT)
    assert match is not None
    return f"{float(match[1]) / max(jobs, 1):.3f}{match[2]}"
