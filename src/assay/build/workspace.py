"""The workspace of a verb or run: a project with its catalog and store open."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from assay.build.arrivals import arrivals
from assay.build.observe import has_new_listing, observe, without_racy_times
from assay.catalog import CLOCKS_DIFFER, Catalog, no_catalog, shared_catalog
from assay.catalog.known import check_environment
from assay.config import Config, bad_environment
from assay.declare.manifest import Manifest
from assay.declare.project import Project, open_project
from assay.errors import AssayError, UsageError
from assay.events import Event, Outcome, Reporter
from assay.facts import SourceState, Version
from assay.plan.graph import Graph
from assay.plan.names import full_name
from assay.plan.observed import Observed
from assay.store.files import LocalStorage, Storage
from assay.store.leases import reading
from assay.store.spill import forget_spills


def _ignore(event: Event, /) -> None:
    """Report nothing."""


class Workspace(Struct, frozen=True, kw_only=True):
    """A project with its catalog and store open, as one environment; every effect goes through it.

    `clock` returns the current moment; `reporter` receives the events of a run. `lacks_catalog` says
    why the catalog cannot be opened, where it is optional: then it reads as empty.
    """

    project: Project
    catalog: Catalog
    storage: Storage
    environment: str
    clock: Callable[[], datetime]
    reporter: Reporter = _ignore
    lacks_catalog: str = ""

    @property
    def graph(self) -> Graph:
        """The graph of the project, with the definitions as they were read last."""
        return self.project.graph

    @property
    def config(self) -> Config:
        """The settings of the project."""
        return self.project.config

    def observe(self, recent: Mapping[str, SourceState] | None = None) -> Observed:
        """Read catalog, sources and clock once; the `recent` sources are not looked at again."""
        return observe(
            self.config.root,
            self.graph.sources,
            self.catalog,
            self.storage,
            environment=self.environment,
            now=self.clock(),
            recent=recent,
        )

    def remember(self, observed: Observed) -> None:
        """Record which files the sources have, so that unchanged files are not read again.

        Also what arrived since they were recorded last. The first time, nothing did: how long files
        were there before is not known.
        """
        now = observed.now
        listings = [
            without_racy_times(source, now)
            for source in observed.sources.values()
            if not source.missing
            and (
                has_new_listing(source, observed.seen, now)
                or observed.facts.files(source.digest) is None
            )
        ]
        if listings:
            observed_at = self.catalog.sources.observed_at()
            arrived = [
                arrival
                for source in listings
                if source.name in observed_at
                for arrival in arrivals(
                    self.graph.sources[source.name], observed, observed_at[source.name]
                )
            ]
            self.catalog.sources.remember(listings, arrived, seen=now)

    def recover(self) -> None:
        """Remove what killed runs left: files in the store, spilled blocks, copies of sources."""
        forget_spills(self.config, self.catalog.runs.recover(self.storage.remove))

    def keep_unfinished(self, outcome: Outcome) -> Outcome:
        """Record what `products retry` has to build again; return the outcome."""
        names = sorted(outcome.unfinished)
        if self.catalog.unfinished(self.environment) != names:
            self.catalog.keep_unfinished(self.environment, names)
        return outcome

    def resolve(self, name: str) -> str:
        """Return the full name of a product; UsageError if it has no declaration and no version."""
        declared = full_name(name, self.graph.products)
        return declared or full_name(name, self.catalog.names()) or self.graph.resolve(name)

    def undeclared(self) -> dict[str, Version]:
        """Return the published versions of products that are no longer declared, sorted by name."""
        pointers = self.catalog.pointers(self.environment)
        names = sorted(pointers.keys() - self.graph.products.keys())
        return {name: self.catalog.version(pointers[name].version) for name in names}

    def check_now(self, now: datetime | None, *, releases: bool = True) -> None:
        """Check the moment that a user gave as now.

        Raises UsageError for a moment before the last release, which would change what readers get
        as of that moment. For a verb that `releases`, also for a moment in the future, except in a
        trial environment: readers who ask for today would not get such a release.
        """
        latest = utc_now() + CLOCKS_DIFFER
        last = self.catalog.last_release(self.environment, max(latest, now or latest))
        if releases and now and now > latest and self.environment == self.config.environment:
            raise UsageError(
                f"--now {now:%Y-%m-%d %H:%M:%S} UTC is in the future:"
                " what is released then would not be found as of today",
                hint="`products plan --now TIME` shows what a run would do then;"
                " `--env NAME` tries it elsewhere.",
            )
        if now and last and now < last.at:
            raise UsageError(
                "--now cannot be before the last release"
                f" (#{last.id}, {last.at:%Y-%m-%d %H:%M:%S} UTC)"
            )


def utc_now() -> datetime:
    """Return the moment that it is, in UTC."""
    return datetime.now(UTC)


def storage_of(config: Config) -> Storage:
    """Return the store of a project: where the files of versions are."""
    return LocalStorage(config.state / "store")


def environment_of(name: str | None) -> str | None:
    """Return the name of an environment; raise UsageError if it is not valid."""
    if name is not None and (problem := bad_environment(name)):
        raise UsageError(f"--env {problem}")
    return name


@contextmanager
def open_workspace(
    env: str | None = None,
    now: datetime | None = None,
    *,
    start: Path | None = None,
    create: bool = False,
    reads: bool = True,
    last_good: bool = False,
    needs_catalog: bool = True,
    before: Manifest | None = None,
) -> Iterator[Workspace]:
    """Open the project at or above `start`, by default the working directory.

    With `reads`, a lease prevents the removal of files that may be read. With `create`, a missing
    catalog is created. With `last_good`, declarations with mistakes are replaced by those that were
    last read without a mistake (see `project.outdated`). With `needs_catalog` false, a catalog that
    cannot be opened reads as empty (see `lacks_catalog`). `before` is a
    manifest that this process has read: it is not read again while it is valid.
    """
    project = open_project(start, last_good=last_good, before=before)
    storage, began = storage_of(project.config), now or utc_now()
    lease = reading(storage.root, began.isoformat()) if reads else nullcontext()
    catalog, lacks = _open_catalog(project.config, create=create, is_needed=needs_catalog)
    with lease, closing(catalog):
        environment = environment_of(env) or project.config.environment
        if not lacks:
            check_environment(catalog, project.config, environment)
        project.set_clock(began)
        yield Workspace(
            project=project,
            catalog=catalog,
            storage=storage,
            environment=environment,
            clock=(lambda: now) if now else utc_now,
            lacks_catalog=lacks,
        )


def _open_catalog(config: Config, *, create: bool, is_needed: bool) -> tuple[Catalog, str]:
    """Return the catalog, or an empty one and why it cannot be opened."""
    try:
        return shared_catalog(config, create=create), ""
    except AssayError as error:
        if is_needed:
            raise
        return no_catalog(str(config.catalog_place)), error.what
