"""Builds what depends on a version that is held back, in a throw-away place: nothing is published."""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, redirect_stdout, suppress
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from assay.build.execute import execute
from assay.build.workspace import Workspace, storage_of
from assay.catalog import shared_catalog
from assay.declare.project import Project
from assay.declare.resolve import Resolved
from assay.events import Result
from assay.facts import Move, Part, Status, Verdict, Version
from assay.model import Kind, Product
from assay.plan.graph import Graph
from assay.plan.moments import is_fetcher
from assay.plan.observed import Observed
from assay.plan.request import Request, RunOptions
from assay.store.files import Storage
from assay.store.permissions import make_folder

_PREFIX = "trial-"
_ABANDONED = 24 * 3600  # seconds after which the folder of a trial that was killed is removed


class ToTry(Struct, frozen=True, kw_only=True):
    """What depends on a version, in the order of dependence.

    - `names`: what can be tried.
    - `left_out`: what is not tried, each with why.
    - `seconds`: how long building what can be tried took when it was published.
    """

    names: tuple[str, ...]
    left_out: Mapping[str, str]
    seconds: float


class TriedBelow(Struct, frozen=True, kw_only=True):
    """What came of it: `workspace` is the throw-away place, which has the versions of both sides."""

    workspace: Workspace
    results: Mapping[str, Result]


def to_try(graph: Graph, observed: Observed, name: str, *, functions: bool) -> ToTry:
    """Return what is downstream of a product and can be tried; with `functions`, also users' code."""
    facts, below = observed.facts, graph.downstream(name)
    left_out: dict[str, str] = {}
    names: list[str] = []
    seconds = 0.0
    for each in graph.order:
        if each not in below:
            continue
        product, pointer = graph.products[each], facts.pointer(each)
        above = [read for read in product.reads if read in left_out]
        if not (product.is_query or product.kind is Kind.QUARANTINE) and not functions:
            left_out[each] = "it is a function, which --downstream runs"
        elif above:
            left_out[each] = f"it reads {above[0]}, which is not tried"
        elif is_fetcher(product):
            left_out[each] = "it fetches its data itself"
        else:
            names.append(each)
            seconds += facts.version(pointer.version).seconds if pointer else 0.0
    return ToTry(names=tuple(names), left_out=left_out, seconds=seconds)


@contextmanager
def tried_below(
    workspace: Workspace, observed: Observed, held: Version, names: Iterable[str]
) -> Iterator[TriedBelow]:
    """Build and judge products as if a version that is held back were published.

    Everything is written to a folder that is removed, with a catalog of its own; it has links to
    the files of the published versions that are read. Raises AssayError where that is not possible.
    """
    names = list(names)
    with _folder(workspace) as folder:
        config = replace(
            workspace.config,
            store=str(folder),
            catalog="",
            environment=workspace.environment,
            release="as_ready",
            notify=(),
        )
        project = Project(
            config=config,
            graph=_ungrouped(workspace.graph),
            resolved=Resolved(
                graph=workspace.graph, definitions=dict(workspace.project.definitions())
            ),
            now=observed.now,
        )
        with closing(shared_catalog(config, create=True)) as catalog:
            place = replace(
                workspace,
                project=project,
                catalog=catalog,
                storage=storage_of(config),
                clock=lambda: observed.now,
            )
            _publish(place, workspace, observed, _versions(workspace.graph, observed, held, names))
            facts = catalog.facts(place.environment, place.storage.holds)
            with redirect_stdout(sys.stderr):  # output of users' code is not part of ours
                outcome = execute(
                    place,
                    Request(products=frozenset(names)),
                    replace(observed, facts=facts, recorded=catalog.recorded(), seen={}),
                    options=RunOptions(jobs=workspace.config.jobs),
                )
            if outcome.interrupted:
                raise KeyboardInterrupt
            yield TriedBelow(workspace=place, results=outcome.results)


@contextmanager
def _folder(workspace: Workspace) -> Iterator[Path]:
    """Provide a folder on the file system of the store, so that its files can be linked."""
    above = workspace.config.spill_folder.parent
    make_folder(above)
    for left in above.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _ABANDONED:
                shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=above, ignore_cleanup_errors=True) as name:
        yield Path(name)


def _ungrouped(graph: Graph) -> Graph:
    """Return the graph without release groups: what is tried is not published with others."""
    products = {name: _alone(product) for name, product in graph.products.items()}
    return Graph(products, graph.sources, graph.calendars)


def _alone(product: Product) -> Product:
    return replace(product, release_group="") if product.release_group else product


def _versions(
    graph: Graph, observed: Observed, held: Version, names: Iterable[str]
) -> list[tuple[Version, bool]]:
    """Return the versions that are read or replaced, each with whether it is pinned."""
    facts = observed.facts
    needed = {name for each in names for name in (each, *graph.products[each].reads)}
    others = sorted(needed & graph.products.keys() - {held.product})
    pointers = [pointer for name in others if (pointer := facts.pointer(name))]
    return [(held, False), *((facts.version(p.version), p.pinned) for p in pointers)]


def _publish(
    place: Workspace,
    workspace: Workspace,
    observed: Observed,
    versions: Iterable[tuple[Version, bool]],
) -> None:
    """Record versions as judged good and published, with links to their files."""
    moves, catalog, now, known = [], place.catalog, observed.now, dict[_Place, Part]()
    for version, pinned in versions:
        _link([*version.parts, *version.asides], workspace.storage, place.storage)
        product = workspace.graph.products[version.product]
        verdict = Verdict(
            version=version.id,
            contract=product.contract.digest,
            against="",
            status=Status.PASSED,
            results=(),
            judged_at=now,
            run="",
        )
        parts = tuple(_unrecorded(part, known) for part in version.parts)
        [recorded] = catalog.record([replace(version, parts=parts)], [verdict])
        asides = [part.aside for part in recorded.parts if part.aside]
        known |= {_place(part): part for part in (*recorded.parts, *asides)}
        moves.append(Move(product=version.product, version=version.id, pinned=pinned))
        for waiver in observed.facts.waivers(version.product):
            catalog.waive(waiver)
    catalog.release(
        place.environment,
        moves,
        {move.product: 0 for move in moves},
        run="",
        at=now,
        why="on trial",
    )


_Place = tuple[str, int, str]  # path, first row and key of a part


def _place(part: Part) -> _Place:
    return part.path, part.start, part.key


def _unrecorded(part: Part, known: Mapping[_Place, Part]) -> Part:
    """Return a part as it is recorded in another catalog, or is to be recorded there.

    Rows that are set aside are of two products: of the one that set them aside, and of their own.
    """
    aside = _unrecorded(part.aside, known) if part.aside else None
    return known.get(_place(part)) or replace(part, id=0, aside=aside)


def _link(parts: Iterable[Part], store: Storage, there: Storage) -> None:
    """Put the files of parts into another store: linked, or where that is impossible copied."""
    for path, part in {part.path: part for part in parts}.items():
        source, target = store.locate(part), there.prepare(path)
        if target.exists():
            continue
        try:
            os.link(source, target)
        except OSError:
            shutil.copy2(source, target)
