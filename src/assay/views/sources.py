"""Sources as `products ls`, `status` and `history` show them: declared, as they are, as they were read."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

from assay.build.workspace import Workspace
from assay.decisions import InputChanged
from assay.facts import Listing, SourceFile, SourceState
from assay.model import Access, Source
from assay.plan.as_of import as_of
from assay.plan.graph import Graph
from assay.plan.observed import Observed
from assay.plan.reasons import changed_files
from assay.views.columns import DeclaredColumn, declared_columns
from assay.views.freshness import FreshnessView
from assay.views.view import View
from assay.views.words.products import source_parts

READ, CHANGED, NEW, MISSING = "read", "changed", "not read yet", "missing"


class SourceAboutView(View, frozen=True, kw_only=True):
    """A source as it is declared."""

    product: str
    kind: str
    owner: str
    purpose: str
    freshness: str
    promise: FreshnessView | None
    event_time: str
    parts: str
    files: str
    access: Access
    columns: tuple[DeclaredColumn, ...]
    where: str


class SourceStatusView(View, frozen=True, kw_only=True):
    """A source as it is now.

    `state`: `read` (the last run read it as it is), `changed`, `not read yet`, or `missing`;
    with the state of its promise, if that is broken. `files` are how many there are.
    """

    product: str
    kind: str
    state: str
    files: int
    bytes: int
    as_of: datetime | None
    freshness: str
    promise: FreshnessView | None
    because: str


class ListingView(View, frozen=True, kw_only=True):
    """The files of a source as runs read them from `seen` on; `changed` says how they differed."""

    seen: datetime | None
    files: int
    bytes: int
    added: tuple[str, ...]
    replaced: tuple[str, ...]
    removed: tuple[str, ...]
    changed: str


def listed_sources(graph: Graph, chosen: Collection[str] | None = None) -> list[Source]:
    """Return the sources, of these names, that are shown beside products.

    The files of a source whose rows are stored are not: it is shown itself, as a product.
    """
    stored = {product.files for product in graph.products.values()}
    return [
        source
        for name, source in sorted(graph.sources.items())
        if name not in stored and (chosen is None or name in chosen)
    ]


def about_source(source: Source, promise: FreshnessView | None) -> SourceAboutView:
    """Return a source as it is declared, and how its promise stands."""
    return SourceAboutView(
        product=source.name,
        kind="source",
        owner=source.owner,
        purpose=source.purpose,
        freshness=str(source.freshness or ""),
        promise=promise,
        event_time=source.event_time,
        parts=source_parts(source),
        files=source.pattern,
        access=source.access,
        columns=declared_columns(source.columns),
        where=str(source.where),
    )


def source_statuses(
    workspace: Workspace,
    observed: Observed,
    sources: Iterable[Source],
    promises: Mapping[str, FreshnessView],
) -> list[SourceStatusView]:
    """Return the status of sources: whether a run has read them as they are now."""
    reaches = as_of(workspace.graph, observed)
    last_read = workspace.catalog.sources.last_read()
    views = []
    for source in sources:
        state, promise = observed.sources[source.name], promises.get(source.name)
        word, because = _state(workspace, state, last_read.get(source.name))
        late = f", {promise.state}" if promise and promise.is_broken else ""
        views.append(
            SourceStatusView(
                product=source.name,
                kind="source",
                state=f"{word}{late}",
                files=len(state.files),
                bytes=sum(file.size for file in state.files),
                as_of=reaches[source.name],
                freshness=str(source.freshness or ""),
                promise=promise,
                because=because,
            )
        )
    return views


def _state(workspace: Workspace, state: SourceState, last_read: str | None) -> tuple[str, str]:
    """Return the state of a source, and why; `last_read` is the digest of what was read last."""
    sources = workspace.catalog.sources
    if state.missing:
        return MISSING, state.missing
    if state.digest == last_read or (last_read is None and sources.listing(state.digest)):
        return READ, ""
    if last_read is None:
        return NEW, "no run has read it"
    changed = _differences(state.name, sources.listing(last_read) or (), state.files)
    return CHANGED, f"{changed.counts or 'it is read in another way'} since the last run"


def history_of_source(listings: Sequence[Listing]) -> list[ListingView]:
    """Return the recorded listings of a source, the last one first, with what was new in each."""
    views = []
    for number, listing in enumerate(listings, 1):
        before = listings[number].files if number < len(listings) else ()
        changed = _differences("", before, listing.files)
        views.append(
            ListingView(
                seen=listing.seen,
                files=len(listing.files),
                bytes=sum(file.size for file in listing.files),
                added=changed.added,
                replaced=changed.replaced,
                removed=changed.removed,
                changed=changed.counts,
            )
        )
    return views


def _differences(
    name: str, before: Sequence[SourceFile], now: Sequence[SourceFile]
) -> InputChanged:
    files_before = {file.path: file.digest for file in before}
    return changed_files(name, files_before, {file.path: file.digest for file in now})
