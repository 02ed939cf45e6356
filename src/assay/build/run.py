"""One pass over a plan: calls `decide()` after each effect, until all products have settled."""

import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from math import inf

from msgspec.structs import replace

from assay.build.admission import Admission
from assay.build.building import Built
from assay.build.compact import keep_few
from assay.build.memory import budget_of
from assay.build.pool import Pool
from assay.build.publish import Publisher
from assay.build.results import Results
from assay.build.retries import RetryQueue, first_worth_another, pause, worth_another
from assay.build.run_facts import RunFacts
from assay.build.schedule import Schedule, Settled
from assay.build.tasks import Done, Task, Tasks
from assay.build.turns import Turns
from assay.build.workers import turns as turns_at_once
from assay.build.workspace import Workspace
from assay.build.would_change import record_changes
from assay.catalog.durations import costs
from assay.decisions import Blocked, Build, Check, Publish, Restate, Waive
from assay.declare.code_texts import record_code
from assay.declare.exits import guard_again
from assay.engines.sql.timed import clocks_set
from assay.errors import AssayError, SourceReplaced
from assay.events import (
    Busy,
    End,
    Failed,
    Holder,
    Progress,
    Retrying,
    RunStarted,
    Stopping,
    Unfinished,
    Working,
)
from assay.events import Settled as SettledEvent
from assay.facts import BuildCost, Key, Release, RunSummary
from assay.plan.ladder import Plan, decide
from assay.plan.observed import Observed
from assay.plan.request import Request, RunOptions
from assay.rules.verdict import JudgedVersion
from assay.signals import saying_what_runs

_AHEAD = 2  # products queued for each thread: a check does not wait behind everything to be built
RECORD_EVERY = 0.2  # seconds between recordings of the parts that were built meanwhile


class Run:
    """One pass over a plan: products settle in order of lineage, and are released in sets.

    `results` are those of the products that have settled. `held_up` are products that other runs
    build, with the run that builds each. `forced` are products to build even if up to date.
    """

    def __init__(
        self,
        workspace: Workspace,
        request: Request,
        observed: Observed,
        plan: Plan,
        options: RunOptions,
    ) -> None:
        self.workspace, self.request, self.plan, self.options = workspace, request, plan, options
        self.id = f"{observed.now:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
        facts = RunFacts(observed.facts)
        self.observed = replace(observed, facts=facts)
        graph = clocks_set(workspace.graph)
        coherent = workspace.config.release == "coherent"
        self.schedule = Schedule(graph, plan, self.observed, coherent=coherent)
        self.tasks = Tasks(
            workspace,
            self.schedule,
            plan.steps,
            observed=self.observed,
            facts=facts,
            run=self.id,
        )
        self.results = Results(plan.steps, self.tasks.undeclared, self.tasks.appeared)
        self.publisher = Publisher(workspace, graph, self.observed.facts, self.id)
        self.retries = RetryQueue(time.monotonic)
        self.forced = set(request.forced)
        self.held_up: dict[str, Holder] = {}
        self.stopping = False
        self.recorded_at = -inf  # when parts were last recorded
        self.began = time.monotonic()

    # -------------------------------------------------------------------------------- the loop

    def go(self) -> bool:
        """Carry out the plan; return False if Ctrl-C stopped it.

        Raises Conflict if another run has published something that the plan depends on.
        """
        jobs = self.options.jobs or min(4, os.cpu_count() or 1)
        self.tasks.workers.jobs = jobs
        catalog = self.workspace.catalog
        self.tasks.costs = costs(catalog.name, catalog.database, self.plan.builds)
        self.turns = Turns(
            self.schedule,
            self.plan,
            self.observed,
            limits=Admission(budget_of(self.workspace.config.memory), turns_at_once()),
            costs=self.tasks.costs,
            jobs=jobs,
            timer=time.monotonic,
            report=self.workspace.reporter,
        )
        self.workspace.reporter(RunStarted(run=self.id, products=len(self.plan.work)))
        self._read_definitions()
        finished = True
        try:
            with Pool[Done](jobs) as pool, saying_what_runs(lambda: pool.products):
                # With promises, nothing is queued that something more urgent would wait for.
                ahead = 1 if self.turns.dues else _AHEAD
                self._claim_and_work(pool, ahead * jobs)
        except KeyboardInterrupt:
            finished = False
        finally:
            self.tasks.workers.close()
        if not self.needs_another_pass:
            self._settle_unreleased()
        return finished

    def _read_definitions(self) -> None:
        project, products = self.workspace.project, self.workspace.graph.products
        if any(products[name].runs_python for name in self.plan.builds):
            project.definitions()
        project.vouch(self.plan.builds)
        guard_again()

    def _claim_and_work(self, pool: Pool[Done], most: int) -> None:
        """Claim the products to build, so that no other run builds them, and work on them."""
        workspace, environment = self.workspace, self.workspace.environment
        with workspace.catalog.runs.open(
            self.id,
            environment,
            self.observed.now,
            self.plan.key_digests,
            workspace.storage.remove,
            recorded=self.observed.recorded,
            asked=self.request.asked,
            summary=self._summary,
        ) as claimed_by_others:
            workspace.catalog.keep_unfinished(environment, sorted(self.plan.work))
            record_code(workspace.project, workspace.catalog, self.id)
            try:
                self._work(pool, most, claimed_by_others)
            except BaseException:
                self._stop(pool)
                raise
            finally:
                self._record_parts()
                self.tasks.recorder.flush()
        self._compact()

    def _work(self, pool: Pool[Done], most: int, claimed_by_others: Mapping[str, Holder]) -> None:
        self._advance(pool, most, claimed_by_others)
        while len(pool) or self.retries:
            for product, future in pool.finished():
                self.turns.ended(product)
                self._finish(product, future)
            if time.monotonic() - self.recorded_at >= RECORD_EVERY or not len(pool):
                self._record_parts()
            self._advance(pool, most, claimed_by_others)
            if self.stopping:
                self.retries.clear()
                pool.drop_queued()

    def _advance(
        self, pool: Pool[Done], most: int, claimed_by_others: Mapping[str, Holder]
    ) -> None:
        """Decide on the products that are ready, until `most` products are queued or running."""
        ready, turns = self.schedule.ready, self.turns
        ready.extend(self.retries.due())
        turns.renew()
        while ready and not self.stopping and len(pool) < most and not turns.crowded:
            self._decide(ready.pop(), pool, claimed_by_others)

    def _decide(self, name: str, pool: Pool[Done], claimed_by_others: Mapping[str, Holder]) -> None:
        product, work = self.schedule.graph.products[name], self.results[name]
        restatement = self.request.restated.get(name)
        decision = decide(
            product,
            self.schedule.states,
            self.observed,
            forced=name in self.forced,
            restates=restatement,
            partial_version=work.partial_version,
            from_start=name in self.request.from_start,
        )
        match decision:
            case Build() | Check() if name in claimed_by_others:
                self.held_up[name] = claimed_by_others[name]
                self._settle(name, Busy(holder=claimed_by_others[name]))
            case Build() if not self.turns.may_start(name, large=self.tasks.is_large(product)):
                pass  # it is decided on again when something has ended
            case Build(key=Key() as key, reasons=reasons):
                work.reasons = reasons
                part_range, forced = self.request.part_range, name in self.forced
                prepare = partial(
                    self.tasks.build, product, key, work, part_range=part_range, forced=forced
                )
                self._begin(pool, name, "build", prepare)
            case Check() if work.verdict:
                judged, work.verdict = work.verdict, None
                self._record_and_decide(name, judged)
            case Check(version=version):
                thread = pool if self.tasks.takes_long(product, version) else None
                large = self.tasks.is_large(product, version)
                if thread and not self.turns.may_start(name, large=large):
                    return
                self._begin(thread, name, "judge", partial(self.tasks.judge, product, version))
            case Restate():
                assert restatement is not None
                self.tasks.recorder.record_restated(name, decision, restatement, self.workspace)
                self.schedule.ready.resume(name)
            case Waive(verdict=verdict):
                self.tasks.recorder.record_waived(verdict, self.id, self.workspace.clock())
                self.schedule.ready.resume(name)
            case _:
                self._settle(name, decision)

    def _begin(
        self, pool: Pool[Done] | None, name: str, activity: str, prepare: Callable[[], Task]
    ) -> None:
        """Prepare a task in this thread, which has the catalog open, and queue it.

        Without a pool, run it in this thread.
        """
        try:
            task = prepare()
            done = task() if pool is None else None
        except AssayError as error:
            self.turns.ended(name)
            self._settle(name, self.tasks.failures.of(name, error))
            return
        if done is not None:
            self._record_and_decide(name, done)
        elif pool is not None:
            self.workspace.reporter(Working(product=name, activity=activity))
            pool.submit(name, task)

    def _stop(self, pool: Pool[Done]) -> None:
        """Start no more tasks; record results that finish while the other tasks are interrupted."""
        self.stopping = True
        pool.stop()
        self.tasks.workers.stop()
        self.workspace.reporter(Stopping(products=pool.products))
        while len(pool):
            with suppress(AssayError):  # first, as the tasks that are still running may hang
                self.tasks.recorder.flush()
            for product, future in pool.finished_after_stop():
                done = None if future.exception() else future.result()
                if isinstance(done, Built | JudgedVersion):
                    self._record(product, done)

    @property
    def needs_another_pass(self) -> bool:
        """Whether another pass is needed, for the products that were put off."""
        waits = bool(self.options.wait) or not self.held_up
        return bool(self.schedule.put_off) and not self.stopping and waits

    # --------------------------------------------------------------------------- finished tasks

    def _finish(self, name: str, future: "Future[Done]") -> None:
        error = future.exception()
        if error is None:
            self._record_and_decide(name, future.result())
        else:  # even a KeyboardInterrupt of users' code: Ctrl-C reaches only the main thread
            self._fail(name, error)

    def _fail(self, name: str, error: BaseException) -> None:
        """Retry a failed product later if that may help; else settle it as failed."""
        work, retries = self.results[name], self.schedule.graph.products[name].retries
        work.tries += 1
        failed = replace(self.tasks.failures.of(name, error), tries=work.tries)
        retrying = Retrying(
            product=name, error=failed.error, seconds=0.0, number=work.tries, of=retries
        )
        if isinstance(error, SourceReplaced) and self.options.looks_again and not self.stopping:
            self.schedule.put_off.add(name)
            self.workspace.reporter(replace(retrying, number=1, of=1))
        elif work.tries <= retries and worth_another(error) and not self.stopping:
            seconds = pause(work.tries)
            self.recorded_at = -inf  # record the parts that it built before deciding on it again
            self.retries.add(name, seconds)
            self.workspace.reporter(replace(retrying, seconds=seconds))
            return
        self._settle(name, failed)

    def _record_and_decide(self, name: str, done: Done) -> None:
        """Record what was built or checked, and decide on the product again."""
        if isinstance(done, Unfinished):
            self._settle(name, done)
            return
        if isinstance(done, Built) and done.unbuilt and not self.stopping:
            retries = self.schedule.graph.products[name].retries - self.results[name].tries
            looks_again = self.options.looks_again
            error = first_worth_another(done.unbuilt.values(), retries, looks_again=looks_again)
            if error:
                self._fail(name, error)
                return
        self._record(name, done)
        self.schedule.ready.resume(name)

    def _record(self, name: str, done: Built | JudgedVersion) -> None:
        work, recorder = self.results[name], self.tasks.recorder
        if isinstance(done, JudgedVersion):
            recorder.record_verdict(done)
            work.judged = True
            return
        if done.unbuilt:
            work.unbuilt = self.tasks.failures.of_parts(name, done.unbuilt, tries=work.tries + 1)
            # An earlier run may have built exactly these parts, and recorded that version.
            work.partial_version = recorder.facts.find(name, done.version.key.digest)
            if work.partial_version:
                return
        version = recorder.record_version(done.version)
        self.turns.learned(name, BuildCost(seconds=version.seconds, peak=version.peak))
        if done.unbuilt:
            work.partial_version = version
        if version.in_parts and work.parts_built is None:
            new = sum(part.path.split("/")[1] == self.id for part in version.parts)
            work.parts_built = (new, len(version.parts))
        self.forced.discard(name)
        work.verdict = done.judged
        work.built = True
        work.seconds += version.seconds

    def _record_parts(self) -> None:
        """Record the parts that were built since the last call, and report progress."""
        self.recorded_at = time.monotonic()
        self.tasks.workers.note_spilled()
        for name in self.tasks.recorder.record_parts():
            parts, work = self.tasks.recorder.parts_of(name), self.results[name]
            if work.parts_built:
                seconds = sum(part.seconds for part in parts)
                progress = Progress(
                    product=name, done=len(parts), of=work.parts_built[0], seconds=seconds
                )
                self.workspace.reporter(progress)

    # -------------------------------------------------------------------------------- settling

    def _settle(self, name: str, end: Settled) -> None:
        """Note the end of a product, and release each set of products that is complete now."""
        for names in self.schedule.settle(name, end):
            self._release(names)
        failed = isinstance(end, Failed | Blocked) or self.results[name].unbuilt
        if self.options.fail_fast and failed and name not in self.schedule.put_off:
            self.stopping = True

    def _release(self, names: Sequence[str]) -> None:
        """Publish the versions of a set that passed, in one transaction; report all its results."""
        ends = self.schedule.ends_of(names, self.observed.facts)
        passed = [end for end in ends.values() if isinstance(end, Publish)]
        record_changes(self.workspace.catalog, self.tasks.inputs, self.observed.facts, ends)
        release: Release | None = None
        if passed:
            self.tasks.recorder.flush()
            release = self.publisher.publish(passed)
        self.workspace.reporter(SettledEvent(results=self.results.add(ends), release=release))

    def _settle_unreleased(self) -> None:
        """Report the results of products whose set was not released."""
        if ends := self._unreleased():
            self.workspace.reporter(SettledEvent(results=self.results.add(ends)))

    def _unreleased(self) -> dict[str, End]:
        return {
            name: self.schedule.end_without_release(name, self.held_up, stopping=self.stopping)
            for name in self.results.missing
        }

    def _summary(self) -> RunSummary:
        """Return how this pass ended; products that need another pass are not in it."""
        ends = {} if self.needs_another_pass else self._unreleased()
        return self.results.summary(
            ends, at=self.workspace.clock(), seconds=time.monotonic() - self.began
        )

    def _compact(self) -> None:
        """Merge small files of published parts, so that their number stays bounded."""
        results = self.results.results.values()
        ends = [result.end for result in results if result.parts_built]
        versions = [end.version for end in ends if isinstance(end, Publish)]
        keep_few(versions, self.workspace, self.tasks.workers)
