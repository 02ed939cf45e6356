"""Makes the world agree with the declarations: asks `decide()` after every effect, until nothing is left to do."""

import os
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from queue import SimpleQueue
from threading import Lock

from assay.building import Order, Workshop, without
from assay.catalog import Catalog
from assay.decision import Blocked, Build, Check, Decision, Held, InputState, Keep, Known, Publish, Reason, Unusable
from assay.engines.duckdb import DuckDB
from assay.engines.feed import Feed
from assay.errors import AssayError, BuildError, Conflict
from assay.events import (
    Began,
    Failed,
    Left,
    Outcome,
    Progress,
    Reporter,
    Result,
    Settled,
    Stopping,
    Unfinished,
    Working,
)
from assay.evidence import Shelf
from assay.failure import failure
from assay.fingerprint import key_of
from assay.judging import Hearing, Ruling, remembered_by
from assay.model import Key, Kind, Move, Part, Product, Release, SourceFile, Version
from assay.observe import changed_since, observe, settled
from assay.overlay import Overlay
from assay.partition import wanted, within
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
from assay.resolve import Definition
from assay.storage import Storage

_Done = Version | Unfinished | Ruling
_Work = Callable[[], _Done]
_ATTEMPTS = 5
_TICK = 0.2  # seconds between looks for Ctrl-C, which a wait without an end would not notice
_WORTH_KEEPING = 0.2  # seconds of work after which facts are recorded at once; less is recorded in groups


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


def execute(
    project: Project, request: Request, world: World, *, environment: str, jobs: int = 0, fail_fast: bool = False
) -> Outcome:
    """Build, judge and publish what is asked for and stale; returns how every product came out.

    What another run publishes meanwhile is observed and decided on again. Ctrl-C (KeyboardInterrupt) stops after what
    is running; what is done by then is kept for the next run.
    """
    world.catalog.recover(world.storage.remove)
    results: dict[str, Result] = {}
    for attempt in range(_ATTEMPTS):
        observed = look_around(project, world, environment)
        _remember(observed, world)
        steps = plan(project.graph, observed, request)
        run = _Run(project, request, world, observed=observed, steps=steps, fail_fast=fail_fast)
        try:
            run.go(jobs or min(4, os.cpu_count() or 1))
        except Conflict:
            if attempt == _ATTEMPTS - 1:
                raise
            continue
        finally:
            done = {n: r for n, r in run.results.items() if n not in results or not isinstance(r.end, Keep)}
            results.update(done)
        return Outcome(results={n: results[n] for n in steps.steps}, interrupted=run.interrupted)
    raise AssertionError("unreachable")


def _remember(observed: Observed, world: World) -> None:
    states = [s for s in observed.sources.values() if not s.missing]
    files = settled(states, world.catalog.seen(), observed.now) if states else []
    listings = {s.digest: {f.path: f.digest for f in s.files} for s in states if observed.facts.files(s.digest) is None}
    if files or listings:
        world.catalog.remember(files, listings)


class _Run:
    """One pass over a plan: products settle in the order of their lineage, and connected ones are released together."""

    def __init__(
        self, project: Project, request: Request, world: World, *, observed: Observed, steps: Plan, fail_fast: bool
    ) -> None:
        self.project, self.graph, self.world, self.plan = project, project.graph, world, steps
        self.forced, self.fail_fast = set(request.forced), fail_fast
        self.id = f"{observed.now:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
        self.facts = Overlay(observed.facts)
        self.observed = Observed(
            now=observed.now, environment=observed.environment, sources=observed.sources, facts=self.facts
        )
        self.states: dict[str, InputState] = source_states(observed)
        self.decisions: dict[str, Decision | Failed | Unfinished] = {}
        self.results: dict[str, Result] = {}
        self.released: dict[str, int] = {}
        self.held: dict[str, Held] = {}
        self.running: dict[Future[_Done], str] = {}
        self.pending: list[Version | Ruling] = []
        self.parts: SimpleQueue[tuple[str, Part]] = SimpleQueue()  # built, and not recorded yet
        self.pending_seconds = 0.0
        self.notes: dict[str, _Note] = {name: _Note() for name in steps.steps}
        self.shelf = Shelf(self.graph, self.observed, world.storage, project.config, self.decisions)
        self.restated, self.range = request.restated, request.parts
        self.workshop = Workshop(
            storage=world.storage,
            engine=lambda: self._engine,
            clock=world.clock,
            timer=time.monotonic,
            done=lambda *made: self.parts.put(made),
        )
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
        if not self.plan.work:
            self._advance(None)
            return
        paths = [self._folder(name) for name in self.plan.builds]
        self.world.reporter(Began(run=self.id, products=len(self.plan.work)))
        if any(self.graph.products[name].runs_python for name in self.plan.builds):
            self.project.definitions()
        self.project.vouch(self.plan.builds)
        try:
            with self.world.catalog.run(
                self.id, self.observed.environment, self.observed.now, paths, self.world.storage.remove
            ):
                self._work(jobs)
        except KeyboardInterrupt:
            self.interrupted = True
        finally:
            self._close()
        self._leave()

    def _work(self, jobs: int) -> None:
        with ThreadPoolExecutor(jobs, thread_name_prefix="build") as pool:
            try:
                self._advance(pool)
                while self.running:
                    for future in wait(self.running, timeout=_TICK, return_when=FIRST_COMPLETED).done:
                        self._finish(future)
                    self._record_parts()
                    self._advance(pool)
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
                self._flush()

    def _drop_queued(self) -> None:
        """Once stopping, forget what has not begun: a future that was cancelled never counts as done to wait()."""
        if self.stopping:
            self.running = {future: name for future, name in self.running.items() if not future.cancel()}

    def _advance(self, pool: ThreadPoolExecutor | None) -> None:
        """Decide on every product whose inputs are all settled."""
        while self.ready and not self.stopping:
            name = self.ready.popleft()
            product = self.graph.products[name]
            decision = decide(
                product, self.states, self.observed, forced=name in self.forced, restates=name in self.restated
            )
            match decision:
                case Build(key=Key() as key, reasons=reasons) if pool:
                    self.notes[name].reasons = reasons
                    self._submit(pool, name, "build", partial(self._building, product, key))
                case Check(version=version) if pool:
                    self._submit(pool, name, "judge", partial(self._judging, product, version))
                case _:
                    self._settle(name, decision)

    def _submit(self, pool: ThreadPoolExecutor, name: str, what: str, prepare: Callable[[], _Work]) -> None:
        """Hand work to the pool; what the catalog has to say for it is asked here, where the catalog is open."""
        try:
            work = prepare()
        except AssayError as error:
            self._settle(name, failure(error, self.project.config.root, self.graph, name))
            return
        self.world.reporter(Working(product=name, what=what))
        self.running[pool.submit(work)] = name

    def _finish(self, future: "Future[_Done]") -> None:
        name = self.running.pop(future)
        error = future.exception()
        if isinstance(error, KeyboardInterrupt):
            raise error
        if error is not None:
            self._settle(name, failure(error, self.project.config.root, self.graph, name))
            return
        done = future.result()
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

    def _settle(self, name: str, decision: Decision | Failed | Unfinished) -> None:
        self.decisions[name] = decision
        match decision:
            case Failed():
                self.states[name] = Unusable(why=f"{name} failed")
            case Unfinished(there=there, of=of):
                self.states[name] = Unusable(why=f"{name} has {there} of {of} parts")
            case _:
                self.states[name] = output(name, decision)
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
        ends = {
            n: d if isinstance(d := self.decisions.get(n), Failed | Unfinished | Blocked | Held | Keep) else Left()
            for n in left
        }
        self.results |= {name: self._result(name, end) for name, end in ends.items()}
        if told := [self.results[name] for name in left]:
            self.world.reporter(Settled(results=tuple(told)))

    # ------------------------------------------------------------------------------------------ effects

    def _building(self, product: Product, key: Key) -> _Work:
        needs = product.kind is not Kind.SQL or product.quarantines
        order = Order(
            product=product,
            key=key,
            run=self.id,
            definition=self._definition(product.name) if needs and not key.held else Definition(),
            feeds=self.shelf.feeds(product),
            check=self._check_sources,
            inherited=self._inherited(product),
        )
        if key.held:
            return self._without(order)
        if product.follows:
            order = self._in_parts(order)
        elif product.partition:
            order = replace(order, there={part.made_of: part for part in self._parts_before(product)})
        return partial(self.workshop.build, order)

    def _in_parts(self, order: Order) -> Order:
        """Return the order with the parts that it should have, those that are there, and those to build now."""
        product = order.product
        assert product.partition is not None
        parts = wanted(product, self.states) or []
        asked = within([part.key for part in parts], self.range, product.partition.grain) if self.range else None
        again = set(asked if asked is not None else [p.key for p in parts]) if product.name in self.forced else set()
        there = self.facts.parts(product.name, [part.made_of for part in parts if part.key not in again])
        todo = sum(p.made_of not in there and (asked is None or p.key in asked) for p in parts)
        self.notes[product.name].parts = (todo, len(parts))
        return replace(order, parts=parts, there=there, only=asked)

    def _parts_before(self, product: Product) -> tuple[Part, ...]:
        """Return the parts of what readers see, or of what was built last."""
        pointer = self.facts.pointer(product.name)
        before = self.facts.version(pointer.version) if pointer else self.facts.latest(product.name)
        return before.parts if before and before.in_parts and self.world.storage.holds(before.parts) else ()

    def _without(self, order: Order) -> _Work:
        """Return the work of leaving parts that are held as readers have them."""
        product, key = order.product, order.key
        version = self.facts.find(product.name, key_of(key.code, key.inputs).digest)
        pointer = self.facts.pointer(product.name)
        assert version is not None
        before = self.facts.version(pointer.version) if pointer else None
        return partial(without, order, version, before, self.world.clock())

    def _check_sources(self, feeds: Sequence[Feed]) -> None:
        """Refuse what was made of files that were replaced meanwhile."""
        for feed in feeds:
            if feed.source and (changed := changed_since(self._seen[feed.name], feed.files)):
                raise BuildError(f"{changed} was replaced while it was being read", hint="Run it again.")

    @cached_property
    def _seen(self) -> dict[str, dict[Path, SourceFile]]:
        root = self.project.config.root
        return {name: {root / f.path: f for f in state.files} for name, state in self.observed.sources.items()}

    def _inherited(self, product: Product) -> datetime | None:
        """Return the business time that the least advanced of the inputs reaches."""
        states = [self.states[i.name] for i in product.inputs]
        times = [s.data_as_of for s in states if isinstance(s, Known) and s.data_as_of]
        return min(times, key=lambda t: t.replace(tzinfo=None)) if times else None

    def _judging(self, product: Product, version: Version) -> _Work:
        known = {name: s.digest for name, s in self.states.items() if isinstance(s, Known)}
        compared = against(product, version, known, self.observed)
        restated = self.restated.get(product.name, "") if product.closes else ""
        if product.closes and not restated:
            restated = self.facts.restated(version.id, restating(compared))
        rules, remembered = remembered_by(product, version, self.world.catalog.judged)
        hearing = Hearing(
            product=product,
            version=version,
            evidence=self.shelf.evidence(product, version, restated),
            against=compared,
            run=self.id,
            parts=self.shelf.parts(version, remembered) if rules else (),
            rules=rules,
        )
        return lambda: hearing.rule(self._engine, lambda: self._definition(product.name).schema, self.world.clock)

    def _definition(self, name: str) -> Definition:
        with self._reading:
            return self.project.definitions()[name]

    def _folder(self, name: str) -> str:
        return f"{name}/{self.id}"

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
        """Record the parts that were built meanwhile, so that what comes to an end here need not be built again."""
        made: dict[str, list[Part]] = {}
        while not self.parts.empty():
            name, part = self.parts.get()
            made.setdefault(name, []).append(part)
        for name, parts in made.items():
            note = self.notes[name]
            for part in self.world.catalog.record_parts(name, parts):
                self.facts.add_part(name, part)
                note.recorded[part.path, part.start] = part
            if note.parts:
                spent = sum(part.seconds for part in note.recorded.values())
                self.world.reporter(Progress(product=name, done=len(note.recorded), of=note.parts[0], seconds=spent))

    def _numbered(self, version: Version) -> Version:
        """Return a version in parts with its parts as recorded."""
        self._record_parts()
        known = self.notes[version.product].recorded
        parts = [known.get((part.path, part.start), part) for part in version.parts]
        return replace(version, parts=tuple(self.world.catalog.record_parts(version.product, parts)))

    def _record(self, name: str, fact: Version | Ruling) -> None:
        note = self.notes[name]
        if isinstance(fact, Version):
            fact = self._numbered(fact) if fact.in_parts else fact
            if fact.in_parts and note.parts is None:
                note.parts = (sum(part.path.startswith(f"{name}/{self.id}/") for part in fact.parts), len(fact.parts))
            self.facts.add_version(fact)
            self.forced.discard(name)
            note.built = True
            note.seconds += fact.seconds
            self.pending_seconds += fact.seconds
        else:
            self.facts.add_verdict(fact.verdict)
            note.judged = True
        self.pending.append(fact)
        if self.pending_seconds >= _WORTH_KEEPING:
            self._flush()

    def _flush(self) -> None:
        if self.pending:
            versions = [fact for fact in self.pending if isinstance(fact, Version)]
            rulings = [fact for fact in self.pending if isinstance(fact, Ruling)]
            judged = [told for ruling in rulings for told in ruling.judged]
            self.world.catalog.record(versions, [ruling.verdict for ruling in rulings], judged)
            self.pending, self.pending_seconds = [], 0.0

    def _release_closed(self, index: int) -> None:
        """Release a set that has come out and whose inputs are released, and then those that waited for it."""
        ready = [index]
        while ready:
            index = ready.pop()
            if self.open[index] or self.waits[index]:
                continue
            self._release(self.units[index])
            for reader in self.readers[index]:
                self.waits[reader].discard(index)
                ready.append(reader)

    def _release(self, unit: tuple[str, ...]) -> None:
        """Publish all of a set that may be, in one transaction, and tell how each of it came out."""
        near = {*unit, *(read for name in unit for read in self.graph.products[name].reads)}
        steps: dict[str, Decision] = {}
        for name in near & self.decisions.keys():
            decision = self.decisions[name]
            steps[name] = Held(by={name: "it failed"}) if isinstance(decision, Failed | Unfinished) else decision
        self.held |= withheld(self.graph, steps, self.facts, self.held)
        ends = {name: self.held.get(name, self.decisions[name]) for name in unit}
        moves = [self._move(name, end) for name, end in ends.items() if isinstance(end, Publish)]
        release: Release | None = None
        if moves:
            self._flush()
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

    def _result(self, name: str, end: Decision | Failed | Left | Unfinished) -> Result:
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
    recorded: dict[tuple[str, int], Part] = field(default_factory=dict)
