"""One look at a project, from which pages are made, so that no page asks for all of it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from assay.build.observe import observe_source, without_racy_times
from assay.build.workspace import Workspace, open_workspace
from assay.config import Config
from assay.decisions import Decision
from assay.declare.manifest import Manifest
from assay.facts import Pointer, SourceState
from assay.model import Consumer, Product, Source
from assay.plan.as_of import as_of
from assay.plan.graph import Graph
from assay.plan.ladder import plan
from assay.plan.observed import Observed
from assay.plan.request import Request
from assay.store.files import Storage
from assay.views.approvals import ApprovalsView, approvals_as_of
from assay.views.freshness import FreshnessView
from assay.views.incidents import IncidentView, incidents_of
from assay.views.now import Tone, tone_of
from assay.views.promises import promises_of
from assay.views.status import StatusView
from assay.views.statuses import statuses
from assay.web.links import slug

_CLOSED = 50  # closed incidents that a look has


class Look(Struct, frozen=True, kw_only=True):
    """A project as it was at one moment.

    - `statuses`, `promises`: by product (and source), as `products status` shows them.
    - `reaches`: how far the data of each product and source reaches, where that is known.
    - `approvals`: what awaits approval, and what was approved.
    - `incidents`: those that are open, and the last that were closed; newest first.
    - `tones`: how good the state of each product is.
    - `stamp`: says what was recorded in the catalog before the look was made; '' if that is unknown.
    - `outdated`: why the declarations are the last readable ones; '' if they are today's.
    """

    config: Config
    environment: str
    now: datetime
    graph: Graph
    manifest: Manifest | None
    storage: Storage
    stamp: str
    statuses: Mapping[str, StatusView]
    tones: Mapping[str, Tone]
    promises: Mapping[str, FreshnessView]
    pointers: Mapping[str, Pointer]
    sources: Mapping[str, SourceState]
    reaches: Mapping[str, datetime | None]
    approvals: ApprovalsView
    incidents: Sequence[IncidentView]
    outdated: str = ""

    @property
    def project(self) -> str:
        """The name of the project: that of its folder."""
        return self.config.root.name

    def declared(self, name: str) -> Product | Source | None:
        """Return the product or source of this full name; None if there is none."""
        return self.graph.products.get(name) or self.graph.sources.get(name)

    def all_declared(self) -> Iterator[Product | Source]:
        """Yield the products in the order of dependence, and then the sources."""
        yield from (self.graph.products[name] for name in self.graph.order)
        yield from self.graph.sources.values()

    def consumers(self) -> Mapping[str, Sequence[tuple[Product, Consumer]]]:
        """Return by name of a consumer the products that it uses, each with what it decides."""
        found: dict[str, list[tuple[Product, Consumer]]] = {}
        for name in self.graph.order:
            product = self.graph.products[name]
            for consumer in product.consumers:
                found.setdefault(consumer.name, []).append((product, consumer))
        return found


def product_at(look: Look, name: str) -> str | None:
    """Return the full name of the product that an address names; None if there is none."""
    return at(look.graph.products, name)


def at(names: Collection[str], address: str) -> str | None:
    """Return the name with this slug; None if there is none."""
    if address in names and slug(address) == address:
        return address  # nearly all names are their own slugs
    return next((name for name in names if slug(name) == address), None)


def workspace_of(look: Look) -> AbstractContextManager[Workspace]:
    """Open the project that a look is of; its declarations are not read again while they are valid."""
    return open_workspace(
        look.environment, start=look.config.root, last_good=True, before=look.manifest
    )


@contextmanager
def looking(
    env: str | None = None,
    now: datetime | None = None,
    *,
    start: Path | None = None,
    before: Look | None = None,
) -> Iterator[tuple[Look, Workspace]]:
    """Look at the project at or above `start`; give the look with the workspace that it is of.

    `before` is an earlier look: its manifest is not read again while it is valid.
    """
    manifest = before.manifest if before else None
    with open_workspace(env, now, start=start, last_good=True, before=manifest) as workspace:
        yield _look(workspace), workspace


def is_as_before(look: Look) -> bool:
    """Return whether nothing was declared, recorded or delivered since a look, but for time."""
    with open_workspace(
        look.environment, start=look.config.root, reads=False, last_good=True, before=look.manifest
    ) as workspace:
        if not look.stamp or workspace.catalog.database.stamp() != look.stamp:
            return False
        if look.manifest is None or workspace.project.manifest is not look.manifest:
            return False
        listings = {
            file.path: file
            for state in look.sources.values()
            for file in without_racy_times(state, look.now).files
        }
        root = look.config.root
        return all(
            observe_source(root, source, listings) == look.sources[name]
            for name, source in look.graph.sources.items()
        )


def _look(workspace: Workspace) -> Look:
    graph, environment = workspace.graph, workspace.environment
    stamp = workspace.catalog.database.stamp()
    observed = workspace.observe()
    request = Request(products=frozenset(graph.products))
    steps = plan(graph, observed, request).steps
    promises = promises_of(workspace, observed, steps) if graph.has_promises else {}
    outdated = workspace.project.outdated
    reaches = as_of(graph, observed)
    shown = {
        status.plan.product: status for status in statuses(workspace, observed, steps, promises)
    }
    return Look(
        config=workspace.config,
        environment=environment,
        now=observed.now,
        graph=graph,
        manifest=workspace.project.manifest,
        storage=workspace.storage,
        stamp=stamp,
        statuses=shown,
        tones={name: tone_of(status) for name, status in shown.items()},
        promises=promises,
        pointers=workspace.catalog.pointers(environment),
        sources=observed.sources,
        reaches={name: reaches[name] for name in (*graph.products, *graph.sources)},
        approvals=_approvals(workspace, observed, steps),
        incidents=incidents_of(workspace.catalog, graph, environment, closed=_CLOSED),
        outdated=str(outdated or ""),
    )


def _approvals(
    workspace: Workspace, observed: Observed, steps: Mapping[str, Decision]
) -> ApprovalsView:
    products = workspace.graph.products
    names = frozenset(name for name in products if products[name].approvers)
    if not names:
        return ApprovalsView(awaiting=(), approvals=())
    return approvals_as_of(workspace, names, observed, steps)
