"""Makes the world agree with the declarations: asks `decide()` after every effect, until nothing is left to do."""

import gc
import os
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property, partial
from queue import Empty, SimpleQueue
from threading import Lock

from assay.building import Built, Workshop, without
from assay.catalog import Catalog
from assay.decision import Blocked, Build, Check, Decision, Held, InputState, Keep, Known, Publish, Reason, Unusable
from assay.engines.duckdb import DuckDB
from assay.errors import AssayError, Conflict
from assay.events import (
    Began,
    Busy,
    End,
    Failed,
    Holder,
    Left,
    Outcome,
    Progress,
    Reporter,
    Result,
    Settled,
    Stopping,
    Unfinished,
    Waiting,
    Working,
)
from assay.evidence import Shelf
from assay.failure import failure
from assay.judging import Hearing, Ruling, remembered_by
from assay.model import Key, Kind, Move, Product, Release, Version
from assay.observe import observe, settled
from assay.orders import Orders, todo
from assay.overlay import Overlay
from assay.plan import (
    Observed,
    Plan,
    Request,
    against,
    decide,
    output,
    plan,
    published,
    restating,
    source_states,
    withheld,
)
from assay.project import Project
from assay.records import Records
from assay.resolve import Definition
from assay.storage import Storage, drop_spilled, size_of

_Done = Built | Unfinished | Ruling
_Work = Callable[[], _Done]
_ATTEMPTS = 10
_AHEAD = 2  # products handed to each worker before it asks: what is judged next does not queue behind all that is built
_LOOK = 0.5  # seconds between looks for whether other runs are done
_TICK = 0.2  # seconds between looks for Ctrl-C, which a wait without an end would not notice


@dataclass(frozen=True, kw_only=True)
class World:
    """Everything that effects go through."""

    catalog: Catalog
    storage: Storage
    reporter: Reporter
    clock: Callable[[], datetime]


def look_around(project: Project, world: World, environment: str) -> Observed:
    """Read catalog, sources and clock once."""
    return observe(
        project.config.root,
        project.graph.sources,
        world.catalog,
        world.storage,
        environment=environment,
        now=world.clock(),
    )


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How a run goes about it: products at a time (0: as many as is good), and how long to `wait` for other runs."""

    jobs: int = 0
    fail_fast: bool = False
    wait: float = 0.0  # seconds


def execute(
    project: Project,
    request: Request,
    world: World,
    *,
    environment: str,
    manner: Manner = Manner(),
) -> Outcome:
    """Build, judge and publish what is asked for and stale; returns how every product came out.

    What another run publishes meanwhile is observed and decided on again. What another run builds is left to it, or
    waited for and decided on then. Ctrl-C (KeyboardInterrupt) stops after what is running; what is done by then is kept
    for the next run.
    """
    world.catalog.recover(world.storage.remove)
    drop_spilled(project.config.spill_folder)
    results: dict[str, Result] = {}
    until, attempt = time.monotonic() + manner.wait, 0
    asked = [name for name in project.graph.order if name in request.products]
    while True:
        observed = look_around(project, world, environment)
        _remember(observed, world)
        steps = plan(project.graph, observed, request)
        if not steps.work:
            results.update(_as_it_is(steps, results, world.reporter))
            return Outcome(results={n: results[n] for n in asked})
        left = max(0.0, until - time.monotonic())
        run = _Run(project, request, world, observed=observed, steps=steps, manner=replace(manner, wait=left))
        try:
            run.go(manner.jobs or min(4, os.cpu_count() or 1))
        except Conflict:
            attempt += 1
            if attempt == _ATTEMPTS:
                raise
            continue
        finally:
            done = {n: r for n, r in run.results.items() if n not in results or not isinstance(r.end, Keep)}
            results.update(done)
        request = replace(request, forced=frozenset(run.forced))
        if left and run.held_up and not run.interrupted:
            request = replace(request, products=request.products - results.keys())
            if _wait(world, run.held_up, until):
                continue
            stopped = {name: Result(product=name, end=Left()) for name in request.products}
            world.reporter(Settled(results=tuple(stopped.values())))
            return Outcome(results=results | stopped, interrupted=True, spilled=run.spilled)
        told = {n: results[n] for n in asked}
        return Outcome(results=told, interrupted=run.interrupted, spilled=run.spilled)


def _wait(world: World, holders: Mapping[str, Holder], until: float) -> bool:
    """Wait until no other run builds any of these products, at most until then; False when told to stop."""
    world.reporter(Waiting(holders=holders))
    try:
        while world.catalog.holders(holders) and time.monotonic() < until:
            time.sleep(_LOOK)
            world.catalog.recover(world.storage.remove)
    except KeyboardInterrupt:
        return False
    return True


def _as_it_is(steps: Plan, before: Mapping[str, Result], reporter: Reporter) -> dict[str, Result]:
    """Tell of products for which nothing is to be done; what came of one in an attempt `before` is told by that."""
    results = {name: Result(product=name, end=decision) for name, decision in steps.steps.items()}
    if results:
        reporter(Settled(results=tuple(results.values())))
    return {n: r for n, r in results.items() if n not in before or not isinstance(r.end, Keep)}


def _remember(observed: Observed, world: World) -> None:
    states = [s for s in observed.sources.values() if not s.missing]
    files = settled(states, world.catalog.seen(), observed.now) if states else []
    listings = [state for state in states if observed.facts.files(state.digest) is None]
    if files or listings:
        world.catalog.remember(files, listings)


class _Run:
    """One pass over a plan: products settle in the order of their lineage, and connected ones are released together."""

    def __init__(
        self, project: Project, request: Request, world: World, *, observed: Observed, steps: Plan, manner: Manner
    ) -> None:
        self.project, self.graph, self.world, self.plan = project, project.graph, world, steps
        self.forced, self.fail_fast, self.patient = set(request.forced), manner.fail_fast, manner.wait > 0
        self.busy: Mapping[str, Holder] = {}  # what others may be building
        self.held_up: dict[str, Holder] = {}  # what they have kept this run from building
        self.put_off: set[str] = set()  # that, and what waits for it
        self.id = f"{observed.now:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
        self.facts = Overlay(observed.facts)
        self.observed = replace(observed, facts=self.facts)
        self.states: dict[str, InputState] = source_states(observed)
        self.decisions: dict[str, Decision | Failed | Unfinished | Busy] = {}
        self.results: dict[str, Result] = {}
        self.released: dict[str, int] = {}
        self.held: dict[str, Held] = {}
        self.running: dict[Future[_Done], str] = {}
        self.done: SimpleQueue[Future[_Done]] = SimpleQueue()
        self.notes: dict[str, _Note] = {name: _Note() for name in steps.steps}
        self.records = Records(world.catalog, world.storage, self.facts)
        self.shelf = Shelf(self.graph, self.observed, world.storage, project.config, self.decisions)
        self.restated, self.range = request.restated, request.parts
        self.workshop = Workshop(
            storage=world.storage,
            engine=lambda: self._engine,
            clock=world.clock,
            timer=time.monotonic,
            done=self.records.made,
        )
        self.orders = Orders(self.id, self.shelf, self.states, self.facts)
        self.good: dict[str, frozenset[str]] = {}  # rules known to find nothing, by version
        self.kept, self.spilled = 0.0, 0  # when parts were last recorded, and the most that was spilled (bytes)
        self.stopping = self.interrupted = False
        self._lock, self._reading = Lock(), Lock()
        self._prepare()

    def _prepare(self) -> None:
        names = set(self.plan.steps)
        for name in self.graph.order:
            if name not in names:
                self.states[name] = published(name, self.facts)
        self.waiting = {name: len(names.intersection(self.graph.products[name].reads)) for name in self.plan.steps}
        self.ready = deque(name for name, count in self.waiting.items() if not count)
        coherent = self.project.config.release == "coherent"
        self.units = self.graph.units(self.plan.steps, coherent=coherent)
        self.unit_of = {name: index for index, unit in enumerate(self.units) for name in unit}
        self.open = [len(unit) for unit in self.units]
        self.waits: list[set[int]] = [self._above(index) for index in range(len(self.units))]
        self.readers: list[list[int]] = [[] for _ in self.units]
        for index, above in enumerate(self.waits):
            for other in above:
                self.readers[other].append(index)

    def _above(self, index: int) -> set[int]:
        """Return the sets that a set reads from."""
        reads = {read for name in self.units[index] for read in self.graph.products[name].reads}
        return {self.unit_of[read] for read in reads if read in self.unit_of} - {index}

    # ------------------------------------------------------------------------------------------ the loop

    def go(self, jobs: int) -> None:
        gc.enable()  # a command begins without
        self.world.reporter(Began(run=self.id, products=len(self.plan.work)))
        if any(self.graph.products[name].runs_python for name in self.plan.builds):
            self.project.definitions()
        self.project.vouch(self.plan.builds)
        try:
            with self.world.catalog.run(
                self.id,
                self.observed.environment,
                self.observed.now,
                self.plan.wanted,
                self.world.storage.remove,
                recorded=self.observed.recorded,
            ) as self.busy:
                self._work(jobs)
        except KeyboardInterrupt:
            self.interrupted = True
        finally:
            self._close()
        self._leave()

    def _work(self, jobs: int) -> None:
        with ThreadPoolExecutor(jobs, thread_name_prefix="build") as pool:
            try:
                self._advance(pool, _AHEAD * jobs)
                while self.running:
                    for future in self._come_out():
                        self._finish(future)
                    self._record_parts()
                    self._advance(pool, _AHEAD * jobs)
                    self._drop_queued()
            except BaseException:
                self.stopping = True
                pool.shutdown(wait=False, cancel_futures=True)
                self._interrupt()
                self._drop_queued()
                self.world.reporter(Stopping(products=tuple(self.running.values())))
                while self.running:
                    for future in wait(self.running, timeout=_TICK).done:
                        self._keep(future)
                raise
            finally:
                self._record_parts()
                self.records.flush()

    def _drop_queued(self) -> None:
        """Once stopping, forget what has not begun: a future that was cancelled never counts as done to wait()."""
        if self.stopping:
            self.running = {future: name for future, name in self.running.items() if not future.cancel()}

    def _advance(self, pool: ThreadPoolExecutor, most: int) -> None:
        """Decide on the products whose inputs are all settled, until `most` of them are being worked on."""
        while self.ready and not self.stopping and len(self.running) < most:
            name = self.ready.popleft()
            product = self.graph.products[name]
            decision = decide(
                product, self.states, self.observed, forced=name in self.forced, restates=name in self.restated
            )
            match decision:
                case Build() | Check() if name in self.busy:
                    self._settle(name, Busy(holder=self.busy[name]))
                case Build(key=Key() as key, reasons=reasons):
                    self.notes[name].reasons = reasons
                    self._submit(pool, name, "build", partial(self._building, product, key))
                case Check(version=version):
                    here = pool if self._is_open(product, version) else None
                    self._submit(here, name, "judge", partial(self._judging, product, version))
                case _:
                    self._settle(name, decision)

    def _submit(self, pool: ThreadPoolExecutor | None, name: str, what: str, prepare: Callable[[], _Work]) -> None:
        """Hand work to the pool, or do it here; what the catalog has to say for it is asked here, where it is open."""
        try:
            work = prepare()
            if pool is None:
                self._take(name, work())
                return
        except AssayError as error:
            self._settle(name, failure(error, self.project.config.root, self.graph, name))
            return
        self.world.reporter(Working(product=name, what=what))
        future = pool.submit(work)
        self.running[future] = name
        future.add_done_callback(self.done.put)

    def _come_out(self) -> list["Future[_Done]"]:
        """Return what is done by now, after a moment if nothing is: wait() would set itself up anew for each."""
        found = []
        with suppress(Empty):
            found.append(self.done.get(timeout=_TICK))
            while True:
                found.append(self.done.get_nowait())
        return [future for future in found if future in self.running]

    def _finish(self, future: "Future[_Done]") -> None:
        name = self.running.pop(future)
        error = future.exception()
        if isinstance(error, KeyboardInterrupt):
            raise error
        if error is not None:
            self._settle(name, failure(error, self.project.config.root, self.graph, name))
            return
        self._take(name, future.result())

    def _take(self, name: str, done: _Done) -> None:
        if isinstance(done, Unfinished):
            self._settle(name, done)
            return
        self._record(name, done)
        self.ready.appendleft(name)

    def _keep(self, future: "Future[_Done]") -> None:
        """Record what was finished while the run was being stopped."""
        name = self.running.pop(future)
        if future.exception() is None and not isinstance(done := future.result(), Unfinished):
            self._record(name, done)

    def _settle(self, name: str, decision: Decision | Failed | Unfinished | Busy) -> None:
        self.decisions[name] = decision
        match decision:
            case Failed():
                self.states[name] = Unusable(why=f"{name} failed")
            case Busy(holder=holder):
                self.held_up[name] = holder
                self.put_off.add(name)
                self.states[name] = Unusable(why=f"another run builds {name}")
            case Unfinished(there=there, of=of):
                self.states[name] = Unusable(why=f"{name} has {there} of {of} parts")
            case _:
                self.states[name] = output(name, decision)
        if isinstance(decision, Held) and not self.put_off.isdisjoint(decision.by):
            self.put_off.add(name)
        for reader in self.graph.below.get(name, ()):
            if reader in self.waiting:
                self.waiting[reader] -= 1
                if not self.waiting[reader]:
                    self.ready.append(reader)
        unit = self.unit_of[name]
        self.open[unit] -= 1
        if not self.open[unit]:
            self._release_closed(unit)
        if self.fail_fast and isinstance(decision, Failed | Blocked):
            self.stopping = True

    def _leave(self) -> None:
        """Say what became of the products whose set was not released before the run was stopped."""
        left = [name for name in self.plan.steps if name not in self.results]
        if self.held_up and self.patient and not self.interrupted:
            return  # their turn comes
        ends = {
            n: d
            if isinstance(d := self.decisions.get(n), Failed | Unfinished | Busy | Blocked | Held | Keep)
            else Left()
            for n in left
        }
        self.results |= {name: self._result(name, end) for name, end in ends.items()}
        if told := [self.results[name] for name in left]:
            self.world.reporter(Settled(results=tuple(told)))

    # ------------------------------------------------------------------------------------------ effects

    def _building(self, product: Product, key: Key) -> _Work:
        if key.held:
            order, version, before = self.orders.without(product, key)
            made = without(order, version, before, self.world.clock())
            return lambda: Built(version=made)
        needs = product.kind is not Kind.SQL or product.quarantines
        definition = self._definition(product.name) if needs else Definition()
        if not product.follows:
            return partial(self.workshop.build, self.orders.whole(product, key, definition))
        forced = product.name in self.forced
        order = self.orders.parts(product, key, definition, range=self.range, forced=forced)
        self.notes[product.name].parts = (todo(order), len(order.parts))
        return partial(self.workshop.build, order)

    def _judging(self, product: Product, version: Version) -> _Work:
        read = {name: self.states.get(name) for name in product.rule_inputs}
        known = {name: state.digest for name, state in read.items() if isinstance(state, Known)}
        compared = against(product, version, known, self.observed)
        restated = self.restated.get(product.name, "") if product.contract.closes else ""
        if product.contract.closes and not restated:
            restated = self.facts.restated(version.id, restating(compared))
        rules, remembered = remembered_by(
            product, version, self.graph.sensitive(product.name), self.world.catalog.judged
        )
        hearing = Hearing(
            product=product,
            version=version,
            evidence=replace(
                self.shelf.evidence(product, version, restated), good=self.good.get(version.id, frozenset())
            ),
            against=compared,
            run=self.id,
            parts=self.shelf.parts(version, remembered) if rules else (),
            rules=rules,
            tallies=self.shelf.tallies(product, version, self.world.catalog.judged),
        )
        return lambda: hearing.rule(self._engine, lambda: self._definition(product.name).schema, self.world.clock)

    def _is_open(self, product: Product, version: Version) -> bool:
        """Say whether anything has to be looked at to judge a version that is made of one part."""
        known = self.good.get(version.id, frozenset())
        return version.in_parts or any(rule.text not in known for rule in product.contract.rules)

    def _definition(self, name: str) -> Definition:
        with self._reading:
            return self.project.definitions()[name]

    @cached_property
    def _duckdb(self) -> DuckDB:
        return self.shelf.engine()

    @property
    def _engine(self) -> DuckDB:
        with self._lock:
            return self._duckdb

    def _interrupt(self) -> None:
        if "_duckdb" in self.__dict__:
            self._duckdb.interrupt()

    def _close(self) -> None:
        if "_duckdb" in self.__dict__:
            self._duckdb.close()

    # ------------------------------------------------------------------------------------------ records

    def _record_parts(self) -> None:
        """Record the parts that were built meanwhile, now and then, and tell how far it is."""
        now = time.monotonic()
        if now - self.kept < _TICK and self.running:
            return
        self.kept, self.spilled = now, max(self.spilled, size_of(self.project.config.spill_folder))
        for name in self.records.parts():
            made, note = self.records.of(name), self.notes[name]
            if note.parts:
                spent = sum(part.seconds for part in made)
                self.world.reporter(Progress(product=name, done=len(made), of=note.parts[0], seconds=spent))

    def _record(self, name: str, fact: Built | Ruling) -> None:
        note = self.notes[name]
        if isinstance(fact, Ruling):
            self.records.ruling(fact)
            note.judged = True
            return
        version = self.records.version(fact.version)
        self.good[version.id] = fact.good
        if version.in_parts and note.parts is None:
            new = sum(part.path.startswith(f"{name}/{self.id}/") for part in version.parts)
            note.parts = (new, len(version.parts))
        self.forced.discard(name)
        note.built = True
        note.seconds += version.seconds

    def _release_closed(self, index: int) -> None:
        """Release a set that has come out and whose inputs are released, and then those that waited for it."""
        ready = [index]
        while ready:
            index = ready.pop()
            if self.open[index] or self.waits[index] or self._is_put_off(self.units[index]):
                continue
            self._release(self.units[index])
            for reader in self.readers[index]:
                self.waits[reader].discard(index)
                ready.append(reader)

    def _is_put_off(self, unit: tuple[str, ...]) -> bool:
        """Say whether a set is released later, when those that others build can be: readers see no half of it."""
        return self.patient and not self.put_off.isdisjoint(unit)

    def _release(self, unit: tuple[str, ...]) -> None:
        """Publish all of a set that may be, in one transaction, and tell how each of it came out."""
        near = {*unit, *(read for name in unit for read in self.graph.products[name].reads)}
        steps: dict[str, Decision] = {}
        for name in near & self.decisions.keys():
            decision = self.decisions[name]
            out = isinstance(decision, Failed | Unfinished | Busy)
            steps[name] = Held(by={name: "it failed"}) if out else decision  # type: ignore[assignment]
        self.held |= withheld(self.graph, steps, self.facts, self.held)
        ends = {name: self.held.get(name, self.decisions[name]) for name in unit}
        moves = [self._move(name, end) for name, end in ends.items() if isinstance(end, Publish)]
        release: Release | None = None
        if moves:
            self.records.flush()
            release = self.world.catalog.release(
                self.observed.environment, moves, self._expected(moves),
                run=self.id, at=self.world.clock(), why="materialize",
            )  # fmt: skip
            self.released |= {move.product: release.id for move in moves}
        results = tuple(self._result(name, end) for name, end in ends.items())
        self.results |= {result.product: result for result in results}
        self.world.reporter(Settled(results=results, release=release))

    def _expected(self, moves: Sequence[Move]) -> dict[str, int]:
        """Return the release that the pointers of what is moved, and of what that reads, were observed at."""
        names = {name for move in moves for name in (move.product, *self.graph.products[move.product].reads)}
        found = {name: self.facts.pointer(name) for name in names if name in self.graph.products}
        return {n: self.released.get(n, pointer.release if pointer else 0) for n, pointer in found.items()}

    def _move(self, name: str, end: Publish) -> Move:
        pointer = self.facts.pointer(name)
        return Move(product=name, version=end.version.id, previous=pointer.version if pointer else "")

    def _result(self, name: str, end: End) -> Result:
        note = self.notes[name]
        return Result(
            product=name,
            end=end,
            reasons=note.reasons,
            built=note.built,
            judged=note.judged,
            seconds=round(note.seconds, 3),
            parts=note.parts,
        )


@dataclass
class _Note:
    """What was done for one product in this run."""

    reasons: tuple[Reason, ...] = ()
    built: bool = False
    judged: bool = False
    seconds: float = 0.0
    parts: tuple[int, int] | None = None
