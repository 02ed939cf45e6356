"""One pass over a plan: asks `decide()` after every effect, until nothing is left to do."""

import gc
import os
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import partial
from math import inf
from queue import Empty, SimpleQueue
from threading import Lock

from msgspec.structs import replace

from assay.build.builder import Builder, Built, without
from assay.build.compact import keep_few
from assay.build.failures import Failures
from assay.build.inputs import Inputs
from assay.build.inspector import inspector
from assay.build.orders import Orders, bytes_of, todo
from assay.build.overlay import RunFacts
from assay.build.pack import MANY
from assay.build.recorder import ProductWork, Recorder
from assay.build.retries import RetryQueue, first_worth_another, pause, worth_another
from assay.build.schedule import ReleaseSets
from assay.build.undeclared import Undeclared
from assay.build.workers import Workers
from assay.build.world import World
from assay.decisions import (
    Blocked,
    Build,
    Check,
    Decision,
    Held,
    InputState,
    Keep,
    KnownInput,
    Publish,
    UnusableInput,
    Waive,
)
from assay.declare.project import Project
from assay.declare.resolve import Definition
from assay.engines.sql.timed import clocks_set
from assay.errors import AssayError, SourceReplaced
from assay.events import (
    Busy,
    End,
    Failed,
    Holder,
    Left,
    Progress,
    Result,
    Retrying,
    RunStarted,
    Settled,
    Stopping,
    Unfinished,
    Working,
)
from assay.model import Key, Kind, Move, Product, Release, Version
from assay.plan.ladder import (
    Observed,
    Plan,
    Request,
    RunOptions,
    against,
    current,
    decide,
    output,
    published,
    source_states,
    waivers_of,
    withheld,
)
from assay.rules.verdict import JudgedVersion, JudgeOrder, remembered_by
from assay.signals import saying_what_runs, signals_deferred

_Done = Built | Unfinished | JudgedVersion
_Settled = Decision | Failed | Unfinished | Busy
_Work = Callable[[], _Done]
_AHEAD = 2  # products handed to each worker before it asks: what is judged next does not queue behind all that is built
_TICK = 0.2  # seconds between looks for Ctrl-C, which a wait without an end would not notice
RECORD_EVERY = 0.2  # seconds between recordings of the parts that were built meanwhile


class Run:
    """One pass over a plan: products settle in the order of their lineage, and connected ones are released together."""

    def __init__(
        self,
        project: Project,
        request: Request,
        world: World,
        *,
        observed: Observed,
        steps: Plan,
        manner: RunOptions,
    ) -> None:
        self.project, self.graph, self.world, self.plan = (
            project,
            clocks_set(project.graph),
            world,
            steps,
        )
        self.forced, self.manner = set(request.forced), manner
        self.busy: Mapping[str, Holder] = {}  # what others may be building
        self.held_up: dict[str, Holder] = {}  # what they have kept this run from building
        self.id = f"{observed.now:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
        self.facts = RunFacts(observed.facts)
        self.observed = replace(observed, facts=self.facts)
        self.states: dict[str, InputState] = source_states(observed)
        self.decisions: dict[str, _Settled] = {}
        self.results: dict[str, Result] = {}
        self.released: dict[str, int] = {}
        self.held: dict[str, Held] = {}
        self.running: dict[Future[_Done], str] = {}
        self.done: SimpleQueue[Future[_Done]] = SimpleQueue()
        self.notes: dict[str, ProductWork] = {name: ProductWork() for name in steps.steps}
        self.shelf = Inputs(
            self.graph, self.observed, world.storage, project.config, self.decisions
        )
        self.failures = Failures(self.graph, self.shelf, lambda name: self._definition(name).recipe)
        self.restated, self.range = request.restated, request.part_range
        self.hands = Workers(run=self.id, shelf=self.shelf, timer=time.monotonic)
        self.records = Recorder(world.catalog, world.storage, self.facts, lambda: self.hands.engine)
        self.workshop = Builder(
            storage=world.storage,
            hands=self.hands,
            clock=world.clock,
            timer=time.monotonic,
            done=self.records.made,
            inspect=inspector(world.catalog, self.graph, self.plan.steps, self.hands, self.records),
        )
        self.orders = Orders(self.id, self.shelf, self.states, self.facts)
        self.good: dict[str, frozenset[str]] = {}  # rules known to find nothing, by version
        self.kept, self.spilled = (
            -inf,
            0,
        )  # when parts were last recorded, and the most that was spilled (bytes)
        self.stopping = self.interrupted = False
        self.later, self.undeclared = (
            RetryQueue(time.monotonic),
            Undeclared(project.config, observed),
        )
        self.put_off: set[str] = (
            set()
        )  # what others build, or a file of it was replaced; and what waits for that
        self._reading = Lock()
        self._prepare()

    def _prepare(self) -> None:
        names = set(self.plan.steps)
        for name in self.graph.order:
            if name not in names:
                self.states[name] = published(name, self.facts)
        self.waiting = {
            name: len(names.intersection(self.graph.products[name].reads))
            for name in self.plan.steps
        }
        self.ready = deque(name for name, count in self.waiting.items() if not count)
        coherent = self.project.config.release == "coherent"
        self.units = ReleaseSets(self.graph, self.plan.steps, coherent=coherent)

    # ------------------------------------------------------------------------------------------ the loop

    def go(self) -> None:
        """Do what is to be done; raises Conflict when the world is not as observed any more."""
        gc.freeze()  # what the definitions became stays to the end
        gc.enable()  # a command begins without
        gc.set_threshold(
            50_000, 20, 20
        )  # what is made here is mostly plain values: circles are few
        self.hands.jobs = jobs = self.manner.jobs or min(4, os.cpu_count() or 1)
        self.world.reporter(RunStarted(run=self.id, products=len(self.plan.work)))
        if any(self.graph.products[name].runs_python for name in self.plan.builds):
            self.project.definitions()
        self.project.vouch(self.plan.builds)
        try:
            with (
                saying_what_runs(self.at_work),
                self.world.catalog.run(
                    self.id,
                    self.observed.environment,
                    self.observed.now,
                    self.plan.wanted,
                    self.world.storage.remove,
                    recorded=self.observed.recorded,
                ) as self.busy,
            ):
                self.world.catalog.keep_unfinished(
                    self.observed.environment, sorted(self.plan.work)
                )
                self._work(jobs)
            self._keep_few()
        except KeyboardInterrupt:
            self.interrupted = True
        finally:
            self.hands.close()
        if not self.comes_back:
            self._leave()

    @property
    def comes_back(self) -> bool:
        """Whether what was put off has its turn in another pass: readers see no half of what is connected before."""
        return (
            bool(self.put_off) and not self.stopping and bool(self.manner.wait or not self.held_up)
        )

    def at_work(self) -> tuple[str, ...]:
        """Return the names of what is being built or judged."""
        return tuple(self.running.values())

    def _work(self, jobs: int) -> None:
        with ThreadPoolExecutor(jobs, thread_name_prefix="build") as pool:
            try:
                self._advance(pool, _AHEAD * jobs)
                while self.running or self.later:
                    for future in self._come_out():
                        self._finish(future)
                    self._record_parts()
                    self._advance(pool, _AHEAD * jobs)
                    self._drop_queued()
            except BaseException:
                self.stopping = True
                pool.shutdown(wait=False, cancel_futures=True)
                self.hands.stop()
                self._drop_queued()
                self.world.reporter(Stopping(products=self.at_work()))
                while self.running:
                    with suppress(
                        AssayError
                    ):  # what runs may hang: what is done is recorded before
                        self.records.flush()
                    for future in wait(self.running, timeout=_TICK).done:
                        self._keep(future)
                raise
            finally:
                self._record_parts()
                self.records.flush()

    def _keep_few(self) -> None:
        """Let files of few rows not become ever more."""
        ends = [result.end for result in self.results.values() if result.parts_built]
        versions = [end.version for end in ends if isinstance(end, Publish)]
        keep_few(
            versions, self.world, lambda: self.hands.engine, environment=self.observed.environment
        )

    def _drop_queued(self) -> None:
        """Once stopping, forget what has not begun: a future that was cancelled never counts as done to wait()."""
        if self.stopping:
            self.later.clear()
            self.running = {
                future: name for future, name in self.running.items() if not future.cancel()
            }

    def _advance(self, pool: ThreadPoolExecutor, most: int) -> None:
        """Decide on the products whose inputs are all settled, until `most` of them are being worked on."""
        self.ready.extend(self.later.due())
        while self.ready and not self.stopping and len(self.running) < most:
            name = self.ready.popleft()
            product = self.graph.products[name]
            decision = decide(
                product,
                self.states,
                self.observed,
                forced=name in self.forced,
                restates=self.restated.get(name),
                made=self.notes[name].whole,
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
                case Waive():
                    at, environment = self.world.clock(), self.observed.environment
                    self.records.waive(
                        name, decision, self.restated[name], environment=environment, at=at
                    )
                    self.ready.appendleft(name)
                case _:
                    self._settle(name, decision)

    def _submit(
        self, pool: ThreadPoolExecutor | None, name: str, what: str, prepare: Callable[[], _Work]
    ) -> None:
        """Hand work to the pool, or do it here; what the catalog has to say for it is asked here, where it is open."""
        try:
            work = self.undeclared.watched(self.graph.products[name], prepare())
            if pool is None:
                self._take(name, work())
                return
        except AssayError as error:
            self._settle(name, self.failures.of(name, error))
            return
        self.world.reporter(Working(product=name, what=what))
        with signals_deferred():
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
        if error is not None:  # also KeyboardInterrupt: of Ctrl-C this thread hears, and no other
            self._fail(name, error)
            return
        self._take(name, future.result())

    def _fail(self, name: str, error: BaseException) -> None:
        """Let what failed be tried again, where that may help and it may be; it is told, or else settled."""
        note, most = self.notes[name], self.graph.products[name].retries
        note.tries += 1
        failed = replace(self.failures.of(name, error), tries=note.tries)
        told = Retrying(product=name, error=failed.error, seconds=0.0, number=note.tries, of=most)
        if isinstance(error, SourceReplaced) and self.manner.looks_again and not self.stopping:
            self.put_off.add(name)
            self.world.reporter(replace(told, number=1, of=1))
        elif note.tries <= most and worth_another(error) and not self.stopping:
            seconds = pause(note.tries)
            self.kept = -inf  # the parts that it made are recorded before it is decided on again
            self.later.add(name, seconds)
            self.world.reporter(replace(told, seconds=seconds))
            return
        self._settle(name, failed)

    def _take(self, name: str, done: _Done) -> None:
        if isinstance(done, Unfinished):
            self._settle(name, done)
            return
        if isinstance(done, Built) and done.unmade and not self.stopping:
            tries = self.graph.products[name].retries - self.notes[name].tries
            if error := first_worth_another(
                done.unmade.values(), tries, looks_again=self.manner.looks_again
            ):
                self._fail(name, error)
                return
        self._record(name, done)
        self.ready.appendleft(name)

    def _keep(self, future: "Future[_Done]") -> None:
        """Record what was finished while the run was being stopped."""
        name = self.running.pop(future)
        if future.exception() is None and not isinstance(done := future.result(), Unfinished):
            self._record(name, done)

    def _settle(self, name: str, decision: _Settled) -> None:
        self.decisions[name] = decision
        match decision:
            case Failed():
                self.states[name] = UnusableInput(why=f"{name} failed")
            case Unfinished(parts_made=there, of=of):
                self.states[name] = UnusableInput(why=f"{name} has {there} of {of} parts")
            case Busy(holder=holder):
                self.states[name] = UnusableInput(why=f"another run builds {name}")
                self.held_up[name] = holder
                self.put_off.add(name)
            case _:
                self.states[name] = output(name, decision)
        if isinstance(decision, Held) and not self.put_off.isdisjoint(decision.by):
            self.put_off.add(name)
        for reader in self.graph.below.get(name, ()):
            if reader in self.waiting:
                self.waiting[reader] -= 1
                if not self.waiting[reader]:
                    self.ready.append(reader)
        for unit in self.units.settled(name, self.put_off):
            self._release(unit)
        if (
            self.manner.fail_fast
            and (isinstance(decision, Failed | Blocked) or self.notes[name].unmade)
            and name not in self.put_off
        ):
            self.stopping = True

    def _leave(self) -> None:
        """Say what became of the products whose set was not released."""
        left = [name for name in self.plan.steps if name not in self.results]
        self.results |= {name: self._result(name, self._unreleased(name)) for name in left}
        if left:
            self.world.reporter(Settled(results=tuple(self.results[name] for name in left)))

    def _unreleased(self, name: str) -> End:
        """Return how a product came out that was not released: for want of others, or because the run was stopped."""
        decision = self.decisions.get(name)
        if isinstance(decision, Failed | Unfinished | Busy | Blocked | Held | Keep):
            return decision
        missing = sorted(self.units.with_which(name) & self.put_off)
        why = {n: "another run builds" for n in missing if n in self.held_up}
        why = why or {n: "failed" for n in missing if isinstance(self.decisions[n], Failed)}
        if self.stopping or not why:
            return Left()
        return Held(
            by={n: f"it is published together with {n}, which {what}" for n, what in why.items()}
        )

    # ------------------------------------------------------------------------------------------ effects

    def _building(self, product: Product, key: Key) -> _Work:
        if key.held:
            order, version, before = self.orders.without(
                product, key, self.notes[product.name].whole
            )
            made = without(order, version, before, self.world.clock())
            return lambda: Built(version=made)
        needs = product.kind is not Kind.SQL or product.quarantines
        definition = self._definition(product.name) if needs else Definition()
        if not product.follows:
            build = partial(self.workshop.build, self.orders.whole(product, key, definition))
            size = sum(bytes_of(self.states[i.name]) for i in product.inputs)
            return self._in_turn(size, build) if product.kind is Kind.SQL else build
        forced = product.name in self.forced
        order = self.orders.parts(product, key, definition, range=self.range, forced=forced)
        self.notes[product.name].parts_built = (todo(order), len(order.parts))
        if todo(order) >= MANY:
            self.records.many.add(product.name)
        return partial(self.workshop.build, order)

    def _judging(self, product: Product, version: Version) -> _Work:
        read = {name: self.states.get(name) for name in product.rule_inputs}
        known = {
            name: state.digest for name, state in read.items() if isinstance(state, KnownInput)
        }
        compared = against(product, version, known, self.observed)
        hearing = JudgeOrder(
            product=product,
            version=version,
            evidence=self.shelf.settled(version, self.good.get(version.id, frozenset())),
            against=compared,
            run=self.id,
            waivers=waivers_of(version, self.facts) if product.contract.closes else (),
        )
        if self._is_open(product, version):
            seen, secret = current(product.name, self.facts), self.graph.sensitive(product.name)
            rules, remembered = remembered_by(product, version, secret, self.world.catalog, seen)
            hearing = replace(
                hearing,
                evidence=replace(self.shelf.evidence(product, version), good=hearing.evidence.good),
                parts=self.shelf.parts(version, remembered) if rules else (),
                rules=rules,
                table_of=self.shelf.table_of(version),
                tallies=self.shelf.tallies(product, version, self.world.catalog.judged),
            )
        schema = lambda: self._definition(product.name).schema  # noqa: E731
        return self._in_turn(
            version.bytes, lambda: hearing.rule(self.hands.engine, schema, self.world.clock)
        )

    def _in_turn(self, size: int, work: _Work) -> _Work:
        def done() -> _Done:
            with self.hands.turn(size):
                return work()

        return done

    def _is_open(self, product: Product, version: Version) -> bool:
        """Say whether anything has to be looked at to judge a version that is made of one part."""
        known = self.good.get(version.id, frozenset())
        return (
            version.in_parts
            or product.quarantines
            or any(r.text not in known for r in product.contract.rules)
        )

    def _definition(self, name: str) -> Definition:
        with self._reading:
            return self.project.definitions()[name]

    # ------------------------------------------------------------------------------------------ records

    def _record_parts(self) -> None:
        """Record the parts that were built meanwhile, now and then, and tell how far it is."""
        now = time.monotonic()
        if now - self.kept < RECORD_EVERY and self.running:
            return
        self.kept, self.spilled = now, max(self.spilled, self.hands.spilled())
        for name in self.records.parts():
            made, note = self.records.of(name), self.notes[name]
            if note.parts_built:
                spent = sum(part.seconds for part in made)
                self.world.reporter(
                    Progress(product=name, done=len(made), of=note.parts_built[0], seconds=spent)
                )

    def _record(self, name: str, fact: Built | JudgedVersion) -> None:
        note = self.notes[name]
        if isinstance(fact, JudgedVersion):
            self.records.ruling(fact)
            note.judged = True
            return
        if fact.unmade:
            note.unmade = self.failures.of_parts(name, fact.unmade, tries=note.tries + 1)
            note.whole = self.facts.find(
                name, fact.version.key.digest
            )  # as a run before this one made it
            if note.whole:
                return
        version = self.records.version(fact.version)
        note.whole = version if fact.unmade else note.whole
        self.good[version.id] = fact.good
        if version.in_parts and note.parts_built is None:
            new = sum(part.path.startswith(f"{name}/{self.id}/") for part in version.parts)
            note.parts_built = (new, len(version.parts))
        self.forced.discard(name)
        note.built = True
        note.seconds += version.seconds

    def _release(self, unit: Sequence[str]) -> None:
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
                self.observed.environment,
                moves,
                self._expected(moves),
                run=self.id,
                at=self.world.clock(),
                why="materialize",
            )
            self.released |= {move.product: release.id for move in moves}
        results = tuple(self._result(name, end) for name, end in ends.items())
        self.results |= {result.product: result for result in results}
        self.world.reporter(Settled(results=results, release=release))

    def _expected(self, moves: Sequence[Move]) -> dict[str, int]:
        """Return the release that the pointers of what is moved, and of what that reads, were observed at."""
        names = {
            name
            for move in moves
            for name in (move.product, *self.graph.products[move.product].reads)
        }
        found = {name: self.facts.pointer(name) for name in names if name in self.graph.products}
        return {
            n: self.released.get(n, pointer.release if pointer else 0)
            for n, pointer in found.items()
        }

    def _move(self, name: str, end: Publish) -> Move:
        pointer = self.facts.pointer(name)
        return Move(
            product=name, version=end.version.id, previous=pointer.version if pointer else ""
        )

    def _result(self, name: str, end: End) -> Result:
        note = self.notes[name]
        return Result(
            product=name,
            end=end,
            reasons=note.reasons,
            built=note.built,
            judged=note.judged,
            seconds=round(note.seconds, 3),
            parts_built=note.parts_built,
            undeclared=self.undeclared.of(name),
            unmade=note.unmade,
            whole=note.whole,
        )
