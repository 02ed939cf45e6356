"""Makes a project of tiny products, its catalog and store filled with what a run that builds all would have recorded.

    python -m benchmarks.seed FOLDER --products 1000 [--versions 100] [--promises]

One product is built by a real run: what was recorded of that, version, verdict and file, is recorded of every other
under its own name and key. Files of old versions are not made. `benchmarks.noop` runs it as a process of its own: what
a process starts is told to have used as much memory as the process that started it had.
"""

import argparse
import shutil
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec.structs import replace

from assay.build.workspace import Workspace, storage_of
from assay.catalog import Catalog, shared_catalog
from assay.declare.project import Project, open_project
from assay.facts import Arrival, Move, Part, Verdict, Version
from assay.model import Product
from assay.plan.digests import digest, key_of
from benchmarks.measure import assay, run
from benchmarks.pipeline import put, write_assay
from benchmarks.tiny import NUMBERS, pipeline

ENVIRONMENT = "prod"
_DROPS = 30  # of each source, one a day, so that the next can be predicted


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--products", type=int, default=1000)
    parser.add_argument("--versions", type=int, default=1)
    parser.add_argument("--promises", action="store_true", help="each product has a promise")
    told = parser.parse_args()
    place = told.folder.absolute()
    lines = "".join(f"{n},{n % 7}\n" for n in range(10))
    put(place / NUMBERS.file, f"id,x\n{lines}")
    write_assay(place, pipeline(told.products, {}))
    if told.promises:
        promise(place)
    run(assay("", place, "materialize", "--select", "tiny.p0").command, place)
    fill(open_project(place), told.versions, drops=_DROPS if told.promises else 0)


def promise(place: Path) -> None:
    """Let each product promise the data of the day before by 07:00."""
    freshness = "freshness=Freshness(by='07:00', covers='previous day')"
    for file in (place / "products").glob("*.py"):
        text = file.read_text().replace("owner='bench'", f"owner='bench', {freshness}")
        file.write_text(text.replace("from assay import ", "from assay import Freshness, ", 1))


def fill(project: Project, versions: int, *, drops: int = 0) -> None:
    """Record so many runs of everything that is not built yet; the last one is what readers see.

    And so many drops of each source, one a day before now.
    """
    with closing(shared_catalog(project.config)) as catalog:
        now = datetime.now(UTC)
        days = [now - timedelta(days=back) for back in range(1, drops + 1)]
        for name in project.graph.sources:
            catalog.arrivals.record(
                [Arrival(source=name, part="", at=day, seen=day) for day in days]
            )
        workspace = Workspace(
            project=project,
            catalog=catalog,
            storage=storage_of(project.config),
            environment=ENVIRONMENT,
            clock=lambda: now,
        )
        observed = workspace.observe()
        sources = {name: state.digest for name, state in observed.sources.items()}
        built = {name: observed.facts.pointer(name) for name in project.graph.order}
        [model] = [observed.facts.version(pointer.version) for pointer in built.values() if pointer]
        [verdict] = catalog.verdicts(model.id)
        todo = [project.graph.products[name] for name, pointer in built.items() if pointer is None]
        published: dict[str, tuple[str, int]] = {}
        for back in reversed(range(versions)):
            run, at = f"seeded-{back}", now - timedelta(days=back)
            with catalog.runs.open(
                run, ENVIRONMENT, at, {}, workspace.storage.remove, recorded=catalog.recorded()
            ):
                made = list(_versions(todo, sources, model, back, run))
                catalog.record(
                    made, [_verdict(v, p, verdict) for v, p in zip(made, todo, strict=True)]
                )
                published = _release(catalog, made, published, run, at)
        for version in made:
            _write(model.parts, version.parts, workspace.storage.root)


def _versions(
    todo: list[Product], sources: dict[str, str], model: Version, back: int, run: str
) -> Iterator[Version]:
    """Yield the versions of one run, each with the key that its inputs of that run give."""
    contents = dict(sources) if not back else {name: digest([name, back]) for name in sources}
    contents[model.product] = model.digest if not back else digest([model.digest, back])
    for product in todo:
        contents[product.name] = digest([model.digest, product.name, back])
        inputs = {i.name: contents[i.name] for i in product.inputs}
        yield replace(
            model,
            id=f"v{digest([product.name, back])[:16]}",
            product=product.name,
            key=key_of(product.code, inputs),
            digest=contents[product.name],
            run=run,
            parts=tuple(
                replace(p, path=f"{product.name}/{run}/{p.path.rpartition('/')[2]}")
                for p in model.parts
            ),
        )


def _verdict(version: Version, product: Product, verdict: Verdict) -> Verdict:
    return replace(verdict, version=version.id, contract=product.contract.digest, run=version.run)


def _release(
    catalog: Catalog,
    made: list[Version],
    before: dict[str, tuple[str, int]],
    run: str,
    at: datetime,
) -> dict[str, tuple[str, int]]:
    """Publish the versions of one run; return what is published, with the release that did it."""
    moves = [
        Move(product=v.product, version=v.id, previous=before.get(v.product, ("", 0))[0])
        for v in made
    ]
    expects = {v.product: before.get(v.product, ("", 0))[1] for v in made}
    release = catalog.release(ENVIRONMENT, moves, expects, run=run, at=at, why="materialize")
    return {v.product: (v.id, release.id) for v in made}


def _write(model: tuple[Part, ...], parts: tuple[Part, ...], store: Path) -> None:
    for like, part in zip(model, parts, strict=True):
        file = store / part.path
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(store / like.path, file)  # with its time, which is recorded


if __name__ == "__main__":
    main()
