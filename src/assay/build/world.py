"""Everything that a run sees and goes through: the world, read once, and what is remembered of having read it."""

from collections.abc import Callable
from datetime import datetime

from msgspec import Struct

from assay.build.observe import has_new_listing, observe, settled
from assay.catalog import Catalog
from assay.declare.project import Project
from assay.events import Outcome, Reporter
from assay.plan.ladder import Observed
from assay.store.files import Storage


class World(Struct, frozen=True, kw_only=True):
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


def remember(observed: Observed, world: World) -> None:
    """Keep what was read of sources, so that it need not be read again."""
    states = [s for s in observed.sources.values() if not s.missing]
    listings = [
        s
        for s in states
        if has_new_listing(s, observed.seen, observed.now) or observed.facts.files(s.digest) is None
    ]
    if listings:
        world.catalog.remember([settled(state, observed.now) for state in listings])


def kept(outcome: Outcome, world: World, environment: str) -> Outcome:
    """Keep what `products retry` is to build again, and return the outcome that says so."""
    names = sorted(outcome.unfinished)
    if world.catalog.unfinished(environment) != names:
        world.catalog.keep_unfinished(environment, names)
    return outcome
