"""Whether all is as in a turn with nothing to do: looks at what a turn depends on, and reads none of it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from assay.build.observe import changed_just_now, observe_source, without_racy_times
from assay.build.standings import Stand
from assay.build.workspace import Workspace
from assay.declare.manifest import Manifest
from assay.facts import Part, SourceFile, SourceState
from assay.plan.observed import Observed
from assay.plan.promise_state import State

LONGEST = timedelta(hours=1)  # after which a turn reads all again, whatever has changed
_NEAR = {State.DUE, State.AT_RISK}  # what is likely then changes from minute to minute
_EVER = timedelta(days=3650)


class Basis(Struct, frozen=True):
    """What a turn reads: declarations, and the catalog as of a stamp. Made before it reads."""

    manifest: Manifest | None
    catalog: str

    def is_same(self, other: "Basis") -> bool:
        """Return whether both are known, and nothing was written between them."""
        is_known = self.manifest is not None and self.catalog != ""
        return is_known and self.manifest is other.manifest and self.catalog == other.catalog


def basis_of(workspace: Workspace) -> Basis:
    """Return what a turn that begins now reads."""
    return Basis(workspace.project.manifest, workspace.catalog.database.stamp())


class Calm(Struct, frozen=True, kw_only=True):
    """What was so in a turn in which nothing was to do.

    - `since`, `until`: when that turn was, and when time alone may change what it comes to.
    - `sources`: as they were; `listings` are their files by path.
    - `parts`: the files of published versions.
    """

    basis: Basis
    since: datetime
    until: datetime
    sources: Mapping[str, SourceState]
    listings: Mapping[str, SourceFile]
    parts: Sequence[Sequence[Part]]

    def lasts(self, workspace: Workspace, basis: Basis, recent: Mapping[str, SourceState]) -> bool:
        """Return whether a turn now would come to the same.

        Sources and published files are looked at as in a turn; the `recent` sources are not.
        """
        return (
            self.since <= workspace.clock() < self.until
            and self.basis.is_same(basis)
            and all(
                self._is_same(workspace, name, recent.get(name)) for name in workspace.graph.sources
            )
            and all(map(workspace.storage.holds, self.parts))
        )

    def _is_same(self, workspace: Workspace, name: str, recent: SourceState | None) -> bool:
        source, root = workspace.graph.sources[name], workspace.config.root
        state = recent or observe_source(root, source, self.listings)
        return state == self.sources[name]


def calm_of(
    workspace: Workspace,
    observed: Observed,
    stand: Stand,
    basis: Basis,
    moments: Iterable[datetime],
) -> Calm | None:
    """Return what a turn in which nothing was to do goes by; None if all is to be read again soon.

    That is so while a promise is near, a run is open, a message waits, or a file is new. `moments` are when
    something may be to do by time alone.
    """
    now, catalog = observed.now, workspace.catalog
    if not basis.is_same(basis) or catalog.runs.any_open():
        return None
    if any(changed_just_now(state, now) for state in observed.sources.values()):
        return None  # such a file would be read in each turn
    if any(standing.state in _NEAR for standing in stand.own.values()):
        return None
    if catalog.incidents.is_waiting(workspace.environment, now + _EVER):
        return None
    facts = observed.facts
    pointers = [p for name in workspace.graph.products if (p := facts.pointer(name))]
    return Calm(
        basis=basis,
        since=now,
        until=min([now + LONGEST, *moments]),
        sources=observed.sources,
        listings={
            file.path: file
            for state in observed.sources.values()
            for file in without_racy_times(state, now).files
        },
        parts=[facts.version(pointer.version).parts for pointer in pointers],
    )
