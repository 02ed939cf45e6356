"""Tasks for threads that build or check a product; they are prepared with the catalog open."""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial

from msgspec.structs import replace

from assay.build.appeared import Appeared, levels_of
from assay.build.building import BuildOrder, BuildTools, Built
from assay.build.by_part import build_parts
from assay.build.definitions import Definitions
from assay.build.evidence import is_judged_alone, judge_order, needs_files
from assay.build.failures import Failures
from assay.build.inputs import Inputs
from assay.build.inspector import Inspector
from assay.build.orders import Orders, bytes_of
from assay.build.pack import MANY
from assay.build.recorder import Recorder
from assay.build.results import ProductWork
from assay.build.run_facts import RunFacts
from assay.build.schedule import Schedule
from assay.build.substitutes import without_failed_parts
from assay.build.undeclared import Undeclared
from assay.build.whole import build_whole
from assay.build.workers import Workers, is_large
from assay.build.workspace import Workspace
from assay.declare.resolve import Definition
from assay.events import Unfinished
from assay.facts import BuildCost, Key, Version
from assay.model import Kind, Product
from assay.plan.observed import Observed
from assay.plan.states import published_version
from assay.rules.early import EarlyChecks
from assay.rules.schema import Schema
from assay.rules.verdict import JudgedVersion, JudgeOrder

_SMALL = 256 * 1024  # bytes of a version that is checked in the thread that built it

Done = Built | Unfinished | JudgedVersion
Task = Callable[[], Done]


class Tasks:
    """Prepares the tasks of one run."""

    def __init__(
        self,
        workspace: Workspace,
        schedule: Schedule,
        products: Iterable[str],
        *,
        observed: Observed,
        facts: RunFacts,
        run: str,
    ) -> None:
        graph = schedule.graph
        self.workspace, self.schedule, self.run = workspace, schedule, run
        self.definitions = Definitions(workspace.project)
        storage, config = workspace.storage, workspace.config
        self.inputs = Inputs(graph, observed, storage, config, schedule.decisions)
        self.failures = Failures(graph, self.inputs, self.definitions)
        self.undeclared = Undeclared(config, observed)
        self.workers = Workers(run=run, inputs=self.inputs, timer=time.monotonic)
        self.recorder = Recorder(workspace, facts, self.workers)
        levels = levels_of(graph, config.policy)
        self.appeared = Appeared(workspace.catalog, graph, levels, observed.now)
        inspector = Inspector(
            workspace.catalog,
            graph,
            products,
            workers=self.workers,
            recorder=self.recorder,
            levels=levels,
            now=observed.now,
        )
        self.costs: dict[str, BuildCost] = {}  # of what may be built, when it was last built
        self.tools = BuildTools(
            storage=storage,
            workers=self.workers,
            clock=workspace.clock,
            timer=time.monotonic,
            recorder=self.recorder,
            inspector=inspector,
        )
        self.orders = Orders(
            run, self.inputs, schedule.states, self.recorder.facts, inspector.latest_event
        )

    def build(
        self, product: Product, key: Key, work: ProductWork, *, part_range: str, forced: bool
    ) -> Task:
        """Return the task that builds the version for a key, or only its parts in `part_range`."""
        if key.held:
            return self._without_failed_parts(product, key, work)
        runs_code = not product.is_query or product.quarantines
        definition = self.definitions[product.name] if runs_code else Definition()
        if not product.follows:
            return self._whole(product, key, definition)
        order = self.orders.parts(product, key, definition, part_range=part_range, forced=forced)
        if product.kind is not Kind.QUARANTINE:  # its parts were built with those of its product
            work.parts_built = (order.steps.to_build, len(order.steps.specs))
        if order.steps.to_build >= MANY:
            self.recorder.shares_files.add(product.name)
        parts = partial(build_parts, self.tools, order)
        return self.undeclared.watched(product, self._measured(product, parts))

    def _without_failed_parts(self, product: Product, key: Key, work: ProductWork) -> Task:
        """Return the task for a version in which published parts replace failed parts."""
        order, version, published = self.orders.without_failed_parts(
            product, key, work.partial_version
        )
        now = self.workspace.clock()
        built = Built(version=without_failed_parts(order, version, published, now))
        return lambda: built

    def _whole(self, product: Product, key: Key, definition: Definition) -> Task:
        """Return the task that builds a version as a whole."""
        order = self.orders.whole(product, key, definition)
        build: Callable[[], Built] = partial(build_whole, self.tools, order)
        if is_judged_alone(self.schedule.graph, product):
            build = self._build_and_judge(replace(order, early=EarlyChecks(product)))
        return self.undeclared.watched(product, self._measured(product, build))

    def judge(self, product: Product, version: Version) -> Task:
        """Return the task that checks the rules of a version."""
        judge = partial(self._judge, product, self._order(product, version))
        expected = self._expected(product)

        def done() -> Done:
            with self.workers.gauge.measuring(expected):
                return judge()

        return self.undeclared.watched(product, done)

    def _order(
        self, product: Product, version: Version, early: EarlyChecks | None = None
    ) -> JudgeOrder:
        return judge_order(
            self.inputs,
            product,
            version,
            states=self.schedule.states,
            catalog=self.workspace.catalog,
            run=self.run,
            early=early,
        )

    def _judge(self, product: Product, order: JudgeOrder) -> JudgedVersion:
        def schema() -> Schema:
            return self.definitions[product.name].schema

        return order.judge_version(self.workers.engine, schema, self.workspace.clock)

    def _build_and_judge(self, order: BuildOrder) -> Callable[[], Built]:
        """Return a build that also checks the version, if it is small, in the same thread.

        If the check raises an error, the version is checked again in a task that reports the error.
        """
        product, early = order.product, order.early
        assert early is not None

        def done() -> Built:
            built = build_whole(self.tools, order)
            if built.version.bytes > _SMALL or self.workers.stopping.is_set():
                return built
            with suppress(Exception):
                judge = self._order(product, built.version, early)
                return replace(built, judged=self._judge(product, judge))
            return built

        return done

    def takes_long(self, product: Product, version: Version) -> bool:
        """Return whether checking a version reads files; if not, it needs no thread."""
        return needs_files(product, version)

    def is_large(self, product: Product, version: Version | None = None) -> bool:
        """Return whether building a product, or checking a version, is a large query."""
        if version:
            return is_large(version.bytes)
        if not product.is_query or product.follows:
            return False  # a function may be waiting for something else itself
        size = sum(bytes_of(self.schedule.states[i.name]) for i in product.inputs)
        published = published_version(product.name, self.recorder.facts)
        return is_large(size + (published.bytes if product.incremental and published else 0))

    def _expected(self, product: Product) -> int:
        return self.costs.get(product.name, BuildCost()).peak

    def _measured(self, product: Product, build: Callable[[], Built | Unfinished]) -> Task:
        """Return a task that notes in the version how much memory building it needed."""
        expected = self._expected(product)

        def done() -> Done:
            built, peak = self.workers.measured(product, expected, build)
            if isinstance(built, Unfinished):
                return built
            return replace(built, version=replace(built.version, peak=peak))

        return done
