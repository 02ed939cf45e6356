"""Where products are made: here, here within a time, or in a process of their own that may hang or crash alone."""

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import wait
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Event, Lock, Semaphore
from typing import Protocol

from msgspec import Struct, field

from assay.build.failures import Elsewhere
from assay.build.inputs import Inputs
from assay.build.messages import Made, MakeRequest, Reply, Task, reply_from, request_to, task_to
from assay.declare.accesses import noted
from assay.declare.exits import guard_again
from assay.engines.duckdb import DuckDB
from assay.engines.make import Recipe, make
from assay.engines.measure import PartCheck, measure
from assay.engines.tables import InputFiles, Measured
from assay.errors import BuildError, Crashed, TimedOut
from assay.model import Product
from assay.signals import in_thread
from assay.store.spill import size_of, spill_of
from assay.times import shown_while

_MUCH = 16 * 2**20  # bytes of files that a query reads: of millions of rows, mostly
_TICK = 0.1  # seconds between looks for whether the run is being stopped
_GRACE = 3.0  # seconds for a process to end when it is asked to, before it is killed
_START = 60.0  # seconds that a process has at least to import what it needs
_LIMIT = re.compile(r"([\d.]+) ?(.+)")
_ALL = "80%"  # of the memory is what DuckDB takes unless it is told


class Make(Protocol):
    """Makes one file of a product, and returns what it holds."""

    def __call__(
        self,
        inputs: Sequence[InputFiles],
        target: Path,
        *,
        part_check: PartCheck | None = None,
    ) -> Measured: ...


class Workers(Struct, kw_only=True):
    """What makes the products of one run; `jobs` of them at a time share the memory. `timer` tells seconds."""

    run: str
    inputs: Inputs
    timer: Callable[[], float]
    jobs: int = 1
    stopping: Event = field(default_factory=Event)
    _spills: set[Path] = field(default_factory=set)
    _lock: Lock = field(default_factory=Lock)
    _turns: Semaphore = field(default_factory=lambda: Semaphore(max(1, (os.cpu_count() or 1) // 4)))
    most_spilled: int = 0
    _engine: DuckDB | None = None

    @property
    def engine(self) -> DuckDB:
        """The engine of this process; there is none before somebody asks."""
        with self._lock:
            if self._engine is None:
                self._engine = self.inputs.engine()
                guard_again()
            return self._engine

    @contextmanager
    def at(self, product: Product, recipe: Recipe | None) -> Iterator[Make]:
        """Give what makes this product, file by file, where it wants to be made."""
        if not (product.isolate or (product.timeout and recipe)):
            yield partial(self._here, product, recipe)
            return
        spill = spill_of(self.inputs.config, f"{self.run}-{uuid.uuid4().hex[:8]}")
        with self._lock:
            self._spills.add(spill)
        child = _Child(self._task(product, recipe, spill), self.timer, self.stopping)
        try:
            yield child.make
        finally:
            child.close()
            shutil.rmtree(spill, ignore_errors=True)
            with self._lock:
                self._spills.discard(spill)

    @contextmanager
    def turn(self, size: int) -> Iterator[None]:
        """Wait for the turn of a query over so many bytes: much takes several cores, and two such twice the memory."""
        if size < _MUCH:
            yield
            return
        while not self._turns.acquire(timeout=_TICK):
            if self.stopping.is_set():
                raise KeyboardInterrupt
        try:
            if self.stopping.is_set():  # what had the turn before was interrupted
                raise KeyboardInterrupt
            yield
        finally:
            self._turns.release()

    def stop(self) -> None:
        """Interrupt what is being made; every process is ended by the thread that waits for it."""
        self.stopping.set()
        if self._engine:
            self._engine.interrupt()

    def close(self) -> None:
        """Let go of the engine and its memory."""
        if self._engine:
            self._engine.close()

    def note_spilled(self) -> None:
        """Look how many bytes are spilled now, here and in processes, and remember the most."""
        with self._lock:
            folders = [self.inputs.config.spill_folder, *self._spills]
            self.most_spilled = max(self.most_spilled, sum(map(size_of, folders)))

    def _here(
        self,
        product: Product,
        recipe: Recipe | None,
        inputs: Sequence[InputFiles],
        target: Path,
        *,
        part_check: PartCheck | None = None,
    ) -> Measured:
        engine, told = self.engine, partial(measure, part_check=part_check)
        if not product.timeout:
            return make(product, recipe, inputs, target, engine, measure=told)
        work = partial(make, product, recipe, inputs, target, engine, measure=told)
        return _within(product, work, engine.interrupt)

    def _task(self, product: Product, recipe: Recipe | None, spill: Path) -> Task:
        given = self.inputs.config.limits
        limits = {**given, "memory_limit": _share(given["memory_limit"], self.jobs)}
        return Task(
            root=self.inputs.root,
            product=product,
            handovers=recipe.handovers if recipe else None,
            takes=recipe.target if recipe else "",
            folders=self.inputs.folders,
            spill=spill,
            limits=limits,
        )


def _share(limit: str, jobs: int) -> str:
    """Return the memory that each of so many may take, in DuckDB's words."""
    found = _LIMIT.fullmatch(limit or _ALL)
    assert found is not None
    return f"{float(found[1]) / max(jobs, 1):.3f}{found[2]}"


def _late(product: Product, *, deaf: bool = False) -> TimedOut:
    hint = "Give it more time (timeout=), or find out what it waits for."
    if deaf:
        hint += "\nDuckDB did not stop when it was told to. With isolate=True a process of its own runs it, and is ended."
    return TimedOut(
        f"{product.name} timed out after {shown_while(product.timeout)}",
        hint=hint,
        where=product.where,
    )


def _within(
    product: Product, work: Callable[[], Measured], interrupt: Callable[[int | None], None]
) -> Measured:
    """Do this within a product's time; interrupted when that is over, and left alone if it does not hear that."""
    done, thread = in_thread(work, f"{product.name}, within its time")
    if wait([done], product.timeout).done:
        return done.result()
    for _ in range(int(_GRACE / _TICK)):
        interrupt(thread.ident)
        if wait([done], _TICK).done:
            break
    else:
        raise _late(product, deaf=True)
    if error := done.exception():
        raise _late(product) from error
    return done.result()


class _Child:
    """A process that makes one product, file by file; it is started when the first is to be made."""

    def __init__(self, task: Task, timer: Callable[[], float], stopping: Event) -> None:
        self.task, self.product, self.timer, self.stopping = task, task.product, timer, stopping
        self.process: subprocess.Popen[bytes] | None = None
        self.requests = self.replies = self.lifeline = -1
        self.ended = False
        self.heard = b""

    def make(
        self,
        inputs: Sequence[InputFiles],
        target: Path,
        *,
        part_check: PartCheck | None = None,
    ) -> Measured:
        """Let it make a file; raises what was raised in there, TimedOut, or Crashed when it is gone."""
        limit = self.product.timeout
        if self.process is None:
            if self.stopping.is_set():
                raise BuildError("the run was stopped")
            self._start()
            self._send(task_to(self.task))
            self._heard(max(limit, _START) if limit else 0)
        self._send(request_to(MakeRequest(inputs=inputs, target=target, part_check=part_check)))
        made = self._heard(limit)
        if made is None:
            raise self._gone()
        noted(made.files, made.variables)
        return made.measured

    def _start(self) -> None:
        theirs, self.requests = os.pipe()
        self.replies, back = os.pipe()
        lifeline, self.lifeline = os.pipe()
        try:
            # What users' code prints goes where it would from here: beside what the run says. A group of its own, so
            # that Ctrl-C reaches it by us alone, and what it starts itself ends with it.
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "assay.build.worker",
                    *map(str, (theirs, back, lifeline, os.getpid())),
                ],
                stdin=subprocess.DEVNULL,
                stdout=2,
                stderr=2,
                pass_fds=(theirs, back, lifeline),
                process_group=0,
            )
        except BaseException:
            for end in (self.requests, self.replies, self.lifeline):
                os.close(end)
            raise
        finally:
            for end in (theirs, back, lifeline):
                os.close(end)

    def _send(self, message: bytes) -> None:
        try:
            while message:
                message = message[os.write(self.requests, message) :]
        except BrokenPipeError:
            raise self._gone() from None

    def _heard(self, limit: float) -> Made | None:
        """Return the next reply; TimedOut when there is none by then (seconds, 0: any time)."""
        until = self.timer() + limit if limit else None
        poll = select.poll()
        poll.register(self.replies, select.POLLIN)
        while not self.heard.endswith(b"\n"):
            if self.stopping.is_set():
                self._end(signal.SIGTERM)
                raise BuildError("the run was stopped")
            if until is not None and self.timer() >= until:
                self._end(signal.SIGTERM)
                raise _late(self.product)
            left = _TICK if until is None else min(_TICK, max(until - self.timer(), 0))
            if poll.poll(left * 1000):
                said = os.read(self.replies, 1 << 16)
                if not said:
                    raise self._gone()
                self.heard += said
        message, self.heard = self.heard, b""
        try:
            reply: Reply = reply_from(message)
        except ValueError:
            self._end(signal.SIGTERM)
            told = f"the process that made {self.product.name} said what nobody understands"
            raise Crashed(told, hint="Does its code write to files that it did not open?") from None
        if isinstance(reply, Elsewhere):
            raise reply
        return reply

    def _gone(self) -> Crashed:
        """Return what is said of a process that ended on its own."""
        process = self.process
        assert process is not None
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
        code = process.poll()
        self._end(signal.SIGTERM)
        return Crashed(
            f"the process that made {self.product.name} {_how(code)}", where=self.product.where
        )

    def _end(self, how: signal.Signals | None = None) -> None:
        """End it, and whatever it started: by telling it that nothing more comes, or by asking; then by force."""
        if self.process is None or self.ended:
            return
        self.ended = True
        if how is None:
            os.close(self.requests)
        else:
            self._signal(how)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_GRACE)
        os.close(self.lifeline)  # its supervisor kills all that is left
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_GRACE)
        self._signal(signal.SIGKILL)
        self.process.wait()
        for end in (self.replies, *([] if how is None else [self.requests])):
            os.close(end)

    def _signal(self, how: signal.Signals) -> None:
        assert self.process is not None
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, how)

    def close(self) -> None:
        """Let go of it: there is nothing left to be made."""
        self._end()


def _how(code: int | None) -> str:
    """Return how a process ended, in words."""
    if code is None:
        return "answers no more"
    if code >= 0:
        return f"ended with exit code {code} before it was done"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    if -code == signal.SIGKILL:
        return f"was killed ({name}): out of memory?"
    return (
        f"was ended ({name})"
        if -code in {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
        else f"crashed ({name})"
    )
