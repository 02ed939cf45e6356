"""Builds a version again from what its evidence names, in a temporary place, and compares the two."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import Struct, field
from msgspec.structs import replace

from assay.archive.form import InputRecord, SourceRecord, VersionRecord
from assay.archive.read import Archive, opened
from assay.build.compared_columns import DiffOptions
from assay.build.execute import execute
from assay.build.workspace import Workspace, storage_of
from assay.catalog import Catalog, shared_catalog
from assay.config import FILE, Config, find_config
from assay.declare.code_texts import CODE
from assay.declare.dependencies import from_root, modules_now, reads_files
from assay.declare.files import definition_files
from assay.declare.manifest import valid_manifest
from assay.declare.project import Project
from assay.declare.reading import read_definitions
from assay.errors import AssayError, UsageError
from assay.events import Failed, Result
from assay.facts import Key, Move, Part, Status, Verdict, Version
from assay.model import Code, Column, Kind, Product
from assay.plan.graph import Graph
from assay.plan.previous import BESIDES, MOMENT
from assay.plan.request import Request, RunOptions
from assay.store.files import file_digest
from assay.store.leases import reading
from assay.testing.place import config_in
from assay.views.diff import Comparer
from assay.views.diff_sides import Side
from assay.views.diff_views import DiffView
from assay.views.view import View


class Rebuilt(View, frozen=True, kw_only=True):
    """What came of building a version again.

    - `outcome`: "same bytes"; "same content": the same rows in other bytes; "differs"; "failed".
    - `why`: why it could not be built.
    - `notes`: how this build was another one than that.
    - `diff`: what differs, where the rows of then are still there.
    """

    file: str
    product: str
    version: str
    outcome: str
    digest: str = ""
    why: str = ""
    notes: tuple[str, ...] = ()
    diff: DiffView | None = None

    @property
    def is_same(self) -> bool:
        """Whether the same came out."""
        return self.outcome in {"same bytes", "same content"}


class _Here(Struct, frozen=True, kw_only=True):
    """The project that a version is built again in: its settings, catalog, and the archive."""

    config: Config
    catalog: Catalog
    archive: Archive
    notes: list[str] = field(default_factory=list)


def rebuild(file: Path, start: Path) -> Rebuilt:
    """Build the version of an archive again, in the project at or above a folder.

    Nothing of the project is changed. Raises UsageError when something that it was built from is
    not there any more.
    """
    config = find_config(start)
    with (
        opened(file) as archive,
        closing(shared_catalog(config)) as catalog,
        reading(config.state / "store"),
        TemporaryDirectory(prefix="products-") as folder,
    ):
        evidence = archive.evidence()
        here = _Here(config=config, catalog=catalog, archive=archive)
        return _Again(here, evidence.versions, evidence.sources, Path(folder).resolve()).build(file)


class _Again:
    """One version, built again in a folder."""

    def __init__(
        self,
        here: _Here,
        versions: tuple[VersionRecord, ...],
        sources: tuple[SourceRecord, ...],
        folder: Path,
    ) -> None:
        self._here, self._folder = here, folder
        self._record, self._versions = versions[0], {v.id: v for v in versions}
        self._sources = {(s.name, s.digest): s for s in sources}
        self._root, self.notes = folder / "project", here.notes
        config = replace(here.config, root=self._root)
        self._config = config_in(config, folder / "state")

    def build(self, file: Path) -> Rebuilt:
        """Build it, and say how it compares."""
        record = self._record
        is_recorded = self._write_code()
        for input in record.inputs:
            if source := self._sources.get((input.name, input.digest)):
                self._copy_source(source)
        resolved = read_definitions(self._config, modules_now(self._config))
        product = resolved.graph.products.get(record.product)
        if product is None:
            raise UsageError(f"the recorded code does not declare {record.product}")
        if product.kind is Kind.QUARANTINE:
            [of] = product.inputs
            raise UsageError(f"{record.product} has rows that {of.name} sets aside: build that")
        resolved.graph = _with(resolved.graph, _bare(product))
        moment = record.run.started_at or record.built_at
        project = Project(config=self._config, graph=resolved.graph, resolved=resolved)
        project.set_clock(moment)
        for input in record.inputs:
            if input.name == MOMENT:  # of a history: the moment of its step
                timed = replace(project.graph.products[record.product], moment=_read_moment(input))
                project.graph = _with(project.graph, timed)
        built_by = project.graph.products[record.product].code.digest
        if built_by != record.code.digest and not is_recorded:
            raise UsageError(
                f"the code that {record.product} was built by is not recorded here, and today's is"
                " another",
                hint="Rebuild it where it was built, or at the revision that has its code.",
            )
        if built_by != record.code.digest:
            self.notes.append("the digest of its code is another here: what it reads has changed")
        if record.held:
            self.notes.append(f"not compared, as they were held back: {', '.join(record.held)}")
        if product.changes_with == "never":
            self.notes.append("the code is given the moment at which the run began")
        with self._workspace(project, moment) as workspace:
            self._seed_inputs(workspace, moment)
            result = self._run(workspace)
            return self._compared(workspace, result, file)

    # ----------------------------------------------------------------------------------- inputs

    def _write_code(self) -> bool:
        """Write the code of then, as the catalog has it, else that of today; return whether of then.

        The code in an archive is there to be read: anybody may have written it, and it is not run.
        """
        config, codes = self._here.config, self._here.catalog.codes
        self._root.mkdir()
        shutil.copyfile(config.root / FILE, self._root / FILE)
        recorded = codes.of_run(self._record.run.id)
        files: Mapping[str, str] = {}
        if recorded:
            texts = codes.texts(recorded.files.values())
            files = {p: texts[d] for p, d in recorded.files.items() if d in texts}
        for path, text in files.items():
            self._inside(path).write_text(text, encoding="utf-8", newline="")
        manifest = valid_manifest(config)
        others = [str(file) for file in definition_files(config)] if not recorded else []
        others += [f for name in config.reads for f in _reads(config, name)]
        paths = {from_root(config, f) for f in others} | set(manifest.files if manifest else ())
        for path in paths - files.keys():
            if path.startswith("..") or not (config.root / path).is_file():
                continue
            if not (recorded and path.endswith(CODE)):
                shutil.copyfile(config.root / path, self._inside(path))
        return recorded is not None

    def _inside(self, path: str) -> Path:
        """Return the place of a file below the root, with its folder; UsageError for any other."""
        place = self._root / path
        if not place.resolve().is_relative_to(self._root) or place.is_symlink():
            raise UsageError(f"{path!r} is no path below the project")
        place.parent.mkdir(parents=True, exist_ok=True)
        return place

    def _copy_source(self, source: SourceRecord) -> None:
        """Make the files of a source be there; UsageError where one is not what it was."""
        if source.files is None:
            raise UsageError(f"{source.name}: which files it had is not recorded")
        root, changed = self._here.config.root, []
        for file in source.files:
            place = there = root / file.path
            try:
                if not file.path.startswith("/"):
                    place = self._inside(file.path)
                    shutil.copyfile(there, place)
                is_same = file_digest(place) == file.sha256
            except OSError:
                is_same = False
            if not is_same:
                changed.append(file.path)
        if changed:
            more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
            raise UsageError(
                f"{source.name} is not what it was: {', '.join(changed[:3])}{more}",
                hint="Put back the files whose SHA-256 the evidence has; then it can be built again.",
            )

    def _seed_inputs(self, workspace: Workspace, moment: datetime) -> None:
        """Publish the versions that it was built from, in the temporary place."""
        moves = []
        for input in self._record.inputs:
            if input.name in BESIDES or (input.name, input.digest) in self._sources:
                continue
            known = self._versions.get(input.version)
            if known is None:
                raise UsageError(
                    f"{input.name} is not in the evidence as {self._record.product} was built from it"
                )
            self._seed(workspace, known, moment)
            moves.append(Move(product=known.product, version=known.id))
        if moves:
            expects = {move.product: 0 for move in moves}
            run = "built again"
            workspace.catalog.release(
                workspace.environment, moves, expects, run=run, at=moment, why=run
            )

    def _seed(self, workspace: Workspace, known: VersionRecord, moment: datetime) -> Version:
        """Record a version in the temporary place, with its files."""
        version = _version_of(known)
        try:
            recorded = self._here.catalog.version(known.id)
            parts = tuple(replace(part, id=0, aside=None) for part in recorded.parts)
            version = replace(version, parts=parts)
            store = storage_of(self._here.config)
            places = {part.path: store.locate(part) for part in parts}
            for path, place in places.items():
                _link(place, workspace.storage.prepare(path))
        except AssayError:
            version = _version_of(known)
            self._extract(workspace, known)
        verdict = Verdict(
            version=version.id,
            contract="",
            against="",
            status=Status.PASSED,
            results=(),
            judged_at=moment,
            run=version.run,
        )
        workspace.catalog.record([version], [verdict])
        return version

    def _extract(self, workspace: Workspace, known: VersionRecord) -> None:
        """Take the files of a version out of the archive; UsageError where it has not all."""
        if not all(file.entry for file in known.files):
            raise UsageError(
                f"the files of {known.product} {known.id} are neither in the store nor in the archive",
                hint="Evidence that is written with --data --inputs has them.",
            )
        for file in known.files:
            place = workspace.storage.prepare(file.path)
            place.unlink(missing_ok=True)
            if self._here.archive.sha256(file.entry, place) != file.sha256:
                raise UsageError(f"{file.entry} is not what the evidence says: --verify says more")

    # ------------------------------------------------------------------------------------ build

    @contextmanager
    def _workspace(self, project: Project, moment: datetime) -> Iterator[Workspace]:
        with closing(shared_catalog(self._config, create=True)) as catalog:
            yield Workspace(
                project=project,
                catalog=catalog,
                storage=storage_of(self._config),
                environment=self._config.environment,
                clock=lambda: moment,
            )

    def _run(self, workspace: Workspace) -> Result:
        names = frozenset({self._record.product})
        request = Request(products=names, forced=names)
        outcome = execute(workspace, request, workspace.observe(), options=RunOptions())
        if outcome.interrupted:
            raise KeyboardInterrupt
        return outcome.results[self._record.product]

    def _compared(self, workspace: Workspace, result: Result, file: Path) -> Rebuilt:
        record = self._record
        rebuilt = Rebuilt(
            file=str(file),
            product=record.product,
            version=record.id,
            outcome="failed",
            notes=tuple(self.notes),
        )
        found = workspace.catalog.versions(record.product, limit=1)
        if not found or isinstance(result.end, Failed):
            why = result.end.error if isinstance(result.end, Failed) else type(result.end).__name__
            return replace(rebuilt, why=why)
        [version] = found
        rebuilt = replace(rebuilt, digest=version.digest)
        if {part.checksum for part in version.parts} == {file.sha256 for file in record.files}:
            return replace(rebuilt, outcome="same bytes")
        if version.columns and (version.digest == record.digest or _same_parts(version, record)):
            return replace(rebuilt, outcome="same content")
        return replace(rebuilt, outcome="differs", diff=self._diff(workspace, version))

    def _diff(self, workspace: Workspace, version: Version) -> DiffView | None:
        moment = workspace.clock()
        try:
            before = self._seed(workspace, self._record, moment)
        except AssayError as error:
            self.notes.append(f"what differs is not known: {error.what}")
            return None
        sides = Side("the evidence", before), Side("built again", version)
        return Comparer(workspace).compare(self._record.product, *sides, DiffOptions())


def _same_parts(version: Version, record: VersionRecord) -> bool:
    """Return whether all parts but those that were held back then have the same content."""
    held = record.held.keys()
    then = [part.content for part in record.parts if part.key not in held]
    now = [part.content for part in version.parts if part.key not in held]
    return bool(held) and version.in_parts and now == then


def _link(file: Path, to: Path) -> None:
    """Make a file that never changes be there under another path, too."""
    to.unlink(missing_ok=True)
    try:
        to.hardlink_to(file)
    except OSError:  # on another disk
        shutil.copy2(file, to)


def _read_moment(input: InputRecord) -> datetime:
    try:
        return datetime.fromisoformat(input.digest)
    except ValueError:
        raise UsageError(
            f"the evidence has no moment for {input.name}: {input.digest[:40]!r}"
        ) from None


def _reads(config: Config, name: str) -> list[str]:
    return [] if name.startswith("$") else reads_files(config, name)


def _bare(product: Product) -> Product:
    """Return a product with the rules alone that decide which rows it has."""
    rules = tuple(rule for rule in product.contract.rules if rule.quarantines)
    return replace(product, contract=replace(product.contract, rules=rules), waivers=())


def _with(graph: Graph, product: Product) -> Graph:
    order = graph.order
    changed = replace(graph, products={**graph.products, product.name: product})
    changed.keep_order(order)
    return changed


def _version_of(record: VersionRecord) -> Version:
    """Return a version as its evidence says."""
    files = {file.path: file for file in record.files}
    inputs: Mapping[str, str] = {input.name: input.digest for input in record.inputs}
    code = Code(digest=record.code.digest, reached=dict(record.code.reached))
    columns = tuple(Column(name=c.name, type=c.type, logical=c.logical) for c in record.columns)
    return Version(
        id=record.id,
        product=record.product,
        key=Key(digest=record.key, code=code, inputs=inputs, held=dict(record.held)),
        digest=record.digest,
        columns=columns,
        rows=record.rows,
        bytes=record.bytes,
        built_at=record.built_at,
        seconds=0.0,
        run=record.run.id,
        parts=tuple(
            Part(
                key=part.key,
                path=part.file,
                rows=part.rows,
                bytes=files[part.file].bytes,
                checksum=files[part.file].sha256,
                start=part.start,
                of=part.of,
                built_from=f"evidence {part.digest}" if record.in_parts else "",
                digest=part.digest,
                columns=columns if record.in_parts else (),
            )
            for part in record.parts
        ),
        data_as_of=record.data_as_of,
        rows_in=record.rows_in,
    )
