"""Where a test builds: a store and a catalog of its own, in a folder."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from assay.build.execute import execute
from assay.build.workspace import Workspace, storage_of
from assay.catalog import shared_catalog
from assay.config import Config
from assay.decisions import Blocked, Held, Keep, Publish
from assay.declare.project import Project
from assay.declare.resolve import Resolved
from assay.errors import UsageError
from assay.events import Failed, Result
from assay.facts import Status
from assay.plan.graph import Graph
from assay.plan.request import Request, RunOptions
from assay.testing.tiny import TinyProject
from assay.testing.tried import Tried, tried_of

_ENVIRONMENT = "test"


class Place(Struct, frozen=True, kw_only=True):
    """A store and a catalog for one test; `graph` is that of the project."""

    config: Config
    graph: Graph

    def publish(self, tiny: TinyProject, now: datetime) -> None:
        """Publish products that stand in for others; UsageError for rows that cannot be stored."""
        with self._workspace(tiny, now) as workspace:
            _check_given(_run(workspace, tiny.products))

    def try_out(self, tiny: TinyProject, name: str, now: datetime) -> Tried:
        """Build and judge a product, and return what came of it; UsageError as of `publish`."""
        with self._workspace(tiny, now) as workspace:
            pointer = workspace.catalog.pointers(_ENVIRONMENT).get(name)
            results = dict(_run(workspace, tiny.products))
            result, product = results.pop(name), workspace.graph.products[name]
            _check_given(results)
            if not isinstance(result.end, Publish | Keep | Blocked):
                detail = result.end.detail if isinstance(result.end, Failed) else ""
                return Tried(product=product, error=_why_not(result), detail=detail)
            before = pointer.version if pointer else ""
            return tried_of(workspace, product, result, result.end.version, before)

    @contextmanager
    def _workspace(self, tiny: TinyProject, now: datetime) -> Iterator[Workspace]:
        graph = tiny.graph(self.graph.calendars)
        resolved = Resolved(graph=graph, definitions=dict(tiny.definitions))
        project = Project(config=self.config, graph=graph, resolved=resolved, now=now)
        with closing(shared_catalog(self.config, create=True)) as catalog:
            yield Workspace(
                project=project,
                catalog=catalog,
                storage=storage_of(self.config),
                environment=_ENVIRONMENT,
                clock=lambda: now,
            )


def config_in(config: Config, state: Path) -> Config:
    """Return the settings of a project, with a store and a catalog in a folder."""
    return replace(
        config,
        store=str(state),
        catalog="",
        environment=_ENVIRONMENT,
        release="as_ready",
        notify=(),
    )


def _run(workspace: Workspace, names: Collection[str]) -> Mapping[str, Result]:
    request = Request(products=frozenset(names))
    outcome = execute(workspace, request, workspace.observe(), options=RunOptions())
    if outcome.interrupted:
        raise KeyboardInterrupt
    return outcome.results


def _check_given(results: Mapping[str, Result]) -> None:
    """Raise UsageError if a product that stands in for another was not published."""
    for name, result in results.items():
        if not isinstance(result.end, Publish | Keep):
            raise UsageError(f"what is given for {name} cannot be stored: {_why_not(result)}")


def _why_not(result: Result) -> str:
    """Return why a product has no version."""
    match result.end:
        case Failed(error=error):
            return error
        case Held(by=causes):
            return "; ".join(f"{name}: {cause}" for name, cause in causes.items())
        case Blocked(verdict=verdict):
            failed = [rule.text for rule in verdict.results if rule.status is not Status.PASSED]
            return "; ".join(failed)
    return type(result.end).__name__
