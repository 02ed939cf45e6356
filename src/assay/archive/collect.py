"""Collects the evidence of a published version: from the catalog, the store and the sources."""

from collections.abc import Mapping
from contextlib import closing
from functools import cached_property
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from assay.archive.around import Period, incidents, lineage, promises
from assay.archive.form import (
    ColumnRecord,
    Evidence,
    FileRecord,
    FlowRecord,
    PartRecord,
    ReleaseRecord,
    SourceFileRecord,
    SourceRecord,
    TotalRecord,
    VersionRecord,
)
from assay.archive.past import Code, Past
from assay.archive.totals import ONE_THREAD, totals_of
from assay.build.evidence import never_shown
from assay.build.inputs import Inputs, inputs_as_of_now
from assay.build.workspace import Workspace
from assay.engines.duckdb import DuckDB, parquet, select
from assay.engines.tables import InputFiles, StoredTable
from assay.errors import AssayError, StoreError, UsageError
from assay.facts import Part, Release, Version, short
from assay.model import Product, Source
from assay.plan.previous import BESIDES
from assay.sensitive import masked, secret
from assay.store.files import file_digest
from assay.views.published import table_of


class Options(Struct, frozen=True, kw_only=True):
    """What goes into the archive.

    - `release`: the release that published the version; None for what is published.
    - `data`, `inputs`: the files of the version, and of the versions that it was built from.
    - `sensitive`: also files with sensitive columns.
    - `upstream`: how many steps upstream; None for all.
    """

    release: int | None = None
    data: bool = False
    inputs: bool = False
    sensitive: bool = False
    upstream: int | None = None


class Collected(Struct, frozen=True, kw_only=True):
    """Evidence, and what the entries of its archive hold: texts, and files of the store."""

    evidence: Evidence
    texts: Mapping[str, str]
    files: Mapping[str, Path]


class Collector:
    """Collects evidence in one environment; what is not there any more is noted in `missing`."""

    def __init__(self, workspace: Workspace, options: Options) -> None:
        self._workspace, self._options = workspace, options
        self._catalog, self._storage = workspace.catalog, workspace.storage
        self._past = Past(workspace)
        self.missing: list[str] = []
        self.texts: dict[str, str] = {}
        self.files: dict[str, Path] = {}
        self._closed: list[str] = []  # with sensitive columns, of which the files are asked for

    @cached_property
    def _inputs(self) -> Inputs:
        return inputs_as_of_now(self._workspace, self._workspace.observe())[0]

    def collect(self, name: str) -> Collected:
        """Return the evidence of a product as of a release.

        Raises UsageError for a product that was not published, a release that did not publish it,
        and files with sensitive columns that are not asked for as such.
        """
        release, until = self._release(name)
        version = self._catalog.version(dict(release.moves)[name])
        end = until.at if until else None
        period = Period(version.built_at, release.at, end)
        versions, sources = self._walk(version, release)
        if self._closed:
            raise UsageError(
                f"{', '.join(self._closed)}: the files have sensitive columns",
                hint="--sensitive puts them into the archive; leave out --data or --inputs.",
            )
        names = {record.product for record in versions} | {source.name for source in sources}
        flows, unknown = self._lineage(version)
        if unknown:
            self.missing.append(f"column lineage: {unknown}")
        evidence = Evidence(
            project=self._workspace.config.root.resolve().name,
            environment=self._workspace.environment,
            product=name,
            version=version.id,
            release=ReleaseRecord(
                id=release.id,
                at=release.at,
                why=masked(release.why),
                run=self._past.run(release.run),
                until=end,
            ),
            versions=versions,
            sources=sources,
            promises=promises(self._workspace, name, period),
            incidents=incidents(self._workspace, names, period),
            lineage=flows,
            missing=tuple(self.missing),
        )
        return Collected(evidence=evidence, texts=self.texts, files=self.files)

    def _release(self, name: str) -> tuple[Release, Release | None]:
        """Return the release that is asked for, and the next one that moved the product."""
        environment, wanted = self._workspace.environment, self._options.release
        releases = list(reversed(self._catalog.releases(name, environment)))
        published = [r for r in releases if dict(r.moves)[name]]
        if not published:
            raise UsageError(f"{name} was never published in {environment}")
        if wanted is None:
            if not dict(releases[-1].moves)[name]:
                last = published[-1].id
                raise UsageError(
                    f"{name} is not published in {environment} any more",
                    hint=f"--release {last} was the last that published it.",
                )
            return releases[-1], None
        if not self._catalog.has_release(environment, wanted):
            raise UsageError(
                f"there is no release {wanted} of {environment}",
                hint=f"`products history {name}` lists those of {name}.",
            )
        for number, release in enumerate(releases):
            if release.id == wanted and release in published:
                return release, releases[number + 1] if number + 1 < len(releases) else None
        before = [r.id for r in published if r.id < wanted]
        hint = f"Readers saw then what release {before[-1]} published." if before else ""
        raise UsageError(
            f"release {wanted} of {environment} did not publish {name}",
            hint=hint or f"`products history {name}` lists those that did.",
        )

    def _lineage(self, version: Version) -> tuple[tuple[FlowRecord, ...], str]:
        now = self._workspace.graph.products.get(version.product)
        if now is None or now.code.digest != version.key.code.digest:
            return (), "it is known of today's code only, and this version was built by another"
        return lineage(self._workspace, version.product)

    # ------------------------------------------------------------------------------- upstream

    def _walk(
        self, version: Version, release: Release
    ) -> tuple[tuple[VersionRecord, ...], tuple[SourceRecord, ...]]:
        """Return the version and all that it was built from, step by step; then the sources."""
        found: dict[str, VersionRecord] = {}
        sources: dict[tuple[str, str], SourceRecord] = {}
        waiting, steps = [version], 0
        with closing(self._engine):
            while waiting:
                above: dict[str, Version] = {}
                for each in waiting:
                    inputs = self._past.inputs(each, release.id)
                    code = self._past.code(each)
                    is_first = each.id == version.id
                    found[each.id] = self._version(each, inputs, code, release, is_first)
                    for name, digest in each.key.inputs.items():
                        if name in inputs:
                            if (read := inputs[name]) and read.id not in found:
                                above[read.id] = read
                            elif read is None:
                                self._gone(each, name)
                        elif name not in BESIDES and (name, digest) not in sources:
                            declared = code.sources.get(name)
                            source = declared or self._workspace.graph.sources.get(name)
                            sources[name, digest] = self._source(name, digest, source)
                steps += 1
                if self._options.upstream is not None and steps > self._options.upstream:
                    if above:
                        names = sorted({v.product for v in above.values()})
                        self.missing.append(f"not asked for: {', '.join(names)}, further upstream")
                    break
                waiting = [above[id] for id in sorted(above, key=lambda id: above[id].product)]
        first, *others = found.values()
        ordered = sorted(others, key=lambda record: (record.product, record.id))
        return (first, *ordered), tuple(sources[key] for key in sorted(sources))

    def _gone(self, below: Version, name: str) -> None:
        text = f"the version of {name} that {below.product} {short(below.id)} was built from"
        self.missing.append(f"{text}: it is not recorded any more (gc)")

    @cached_property
    def _engine(self) -> DuckDB:
        config = self._workspace.config
        folders = [self._storage.root, *self._source_folders()]
        return DuckDB(folders, config.spill_folder, {**config.limits, **ONE_THREAD})

    def _source_folders(self) -> list[Path]:
        root = self._workspace.config.root
        patterns = [s.pattern for s in self._workspace.graph.sources.values()]
        outside = {Path(p.partition("*")[0]).parent for p in patterns if p.startswith("/")}
        return [root, *sorted(outside)]

    # -------------------------------------------------------------------------------- versions

    def _version(
        self,
        version: Version,
        inputs: Mapping[str, Version | None],
        code: Code,
        release: Release,
        is_first: bool,
    ) -> VersionRecord:
        name = version.product
        product = code.product or self._workspace.graph.products.get(name)
        hidden = self._hidden(version, product)
        self.texts.update(code.texts)
        if not code.record.recorded:
            text = f"the code of {name} {short(version.id)}: it was built before code was recorded"
            self.missing.append(text)
        elif code.record.recorded == "now":
            text = f"the code of {name} {short(version.id)} as of then: shown is today's, which is the same"
            self.missing.append(text)
        verdicts = self._past.verdicts(version, code.product or product, hidden, release.at)
        secrets = secret([c.name for c in version.columns], hidden)
        is_wanted = self._options.data if is_first else self._options.inputs
        described = {c.name: c.description for c in product.contract.columns} if product else {}
        return VersionRecord(
            product=name,
            id=version.id,
            digest=version.digest,
            key=version.key.digest,
            owner=product.owner if product else "",
            purpose=product.purpose if product else "",
            built_at=version.built_at,
            data_as_of=version.data_as_of,
            run=self._past.run(version.run),
            rows=version.rows,
            bytes=sum({part.path: part.bytes for part in version.parts}.values()),
            columns=tuple(
                ColumnRecord(
                    name=column.name,
                    type=column.type,
                    logical=column.logical,
                    description=described.get(column.name, ""),
                    sensitive=column.name in secrets,
                )
                for column in version.columns
            ),
            files=self._stored(version, is_wanted, bool(secrets if version.columns else hidden)),
            parts=tuple(map(_part, version.parts)),
            in_parts=version.in_parts,
            inputs=self._past.input_records(version, inputs),
            code=code.record,
            totals=self._totals(version, product, secrets),
            verdicts=verdicts,
            waivers=self._past.waivers(version, verdicts, release.at),
            restatements=self._past.restatements(version),
            approvals=self._past.approvals(version, release.at),
            rows_in=version.rows_in,
            held=dict(version.key.held),
        )

    def _hidden(self, version: Version, product: Product | None) -> frozenset[str]:
        """Return the patterns of columns that are not shown: those of then, and those of now."""
        graph = self._workspace.graph
        if product is None:  # nobody says which are sensitive
            return frozenset({".*"})
        then = frozenset((*product.contract.sensitive, *product.renamed))
        now = graph.products.get(version.product)
        if now is None or not version.columns:
            return then | graph.sensitive(version.product)
        try:
            table = table_of(version, self._storage)
            return then | never_shown(self._inputs, now, table)
        except AssayError:  # its files are gone
            return then | graph.sensitive(version.product)

    def _stored(
        self, version: Version, is_wanted: bool, is_sensitive: bool
    ) -> tuple[FileRecord, ...]:
        """Return the files of a version; those that are asked for get an entry."""
        parts = {part.path: part for part in version.parts}
        gone = [p for p in parts.values() if self._storage.damage(p)]
        if gone:
            what = f"{len(gone)} of {len(parts)} files" if len(parts) > 1 else "the file"
            text = f"{what} of {version.product} {short(version.id)}: not in the store as written"
            self.missing.append(text)
        if is_wanted and is_sensitive and not self._options.sensitive:
            if version.product not in self._closed:
                self._closed.append(version.product)
            is_wanted = False
        return tuple(self._file(version, parts[path], is_wanted) for path in sorted(parts))

    def _file(self, version: Version, part: Part, is_wanted: bool) -> FileRecord:
        entry = ""
        if is_wanted:
            try:
                place = self._storage.locate(part)
                name = Path(part.path)
                entry = f"data/{version.product}/{part.checksum[:16]}/{name.name}"
                self.files[entry] = place
            except StoreError:
                pass  # it is among `missing`
        return FileRecord(path=part.path, bytes=part.bytes, sha256=part.checksum, entry=entry)

    def _totals(
        self, version: Version, product: Product | None, secrets: set[str]
    ) -> tuple[TotalRecord, ...]:
        if not version.columns:
            return ()
        promised = {r.measure for r in product.contract.rules} if product else set()
        try:
            query = parquet(table_of(version, self._storage))
            return totals_of(
                self._engine, query, version.columns, hidden=secrets, promised=promised
            )[1]
        except StoreError:
            return ()  # it is among `missing`

    # --------------------------------------------------------------------------------- sources

    def _source(self, name: str, digest: str, source: Source | None) -> SourceRecord:
        """Return a source as it was read."""
        listing = self._catalog.sources.listing(digest)
        if listing is None:
            self.missing.append(f"which files {name} had: it is not recorded any more")
        files = tuple(
            SourceFileRecord(path=f.path, bytes=f.size, sha256=f.digest, part=f.part)
            for f in listing or ()
        )
        record = SourceRecord(
            name=name,
            digest=digest,
            reading=source.reading if source else "",
            owner=source.owner if source else "",
            purpose=source.purpose if source else "",
            pattern=masked(source.pattern) if source else "",
            files=None if listing is None else files,
        )
        if source is None or listing is None or source.is_file:
            return record
        root = self._workspace.config.root
        changed = [f for f in listing if not _is_still(root / f.path, f.size, f.digest)]
        if changed:
            text = f"rows and totals of {name}: {len(changed)} of {len(listing)} files are not"
            self.missing.append(f"{text} what they were")
            return record
        table = StoredTable(tuple(root / f.path for f in listing))
        read = InputFiles(
            alias=name,
            name=name,
            table=table,
            source=source,
            root=str(root),
            observed=tuple(listing),
        )
        try:
            columns = (*source.columns, *source.path_columns)
            secrets = secret([c.name for c in columns], self._sensitive_of_source(name))
            query = f"from ({select(read)})"
            rows, totals = totals_of(self._engine, query, columns, hidden=secrets)
        except Exception as error:  # engines raise errors of their own
            self.missing.append(f"rows and totals of {name}: {type(error).__name__}")
            return record
        return replace(record, rows=rows, totals=totals)

    def _sensitive_of_source(self, name: str) -> frozenset[str]:
        """Return the patterns of sensitive columns of all products that read a source."""
        graph = self._workspace.graph
        patterns: set[str] = set()
        for product in graph.products.values():
            if any(i.name == name for i in product.inputs):
                patterns |= graph.sensitive(product.name)
        return frozenset(patterns)


def _is_still(file: Path, size: int, digest: str) -> bool:
    try:
        return file.stat().st_size == size and file_digest(file) == digest
    except OSError:
        return False


def _part(part: Part) -> PartRecord:
    return PartRecord(
        key=part.key,
        file=part.path,
        start=part.start,
        rows=part.rows,
        digest=part.digest,
        of=part.of,
        aside=part.aside.digest if part.aside else "",
    )


def collect(workspace: Workspace, name: str, options: Options) -> Collected:
    """Return the evidence of a product in the environment of a workspace."""
    return Collector(workspace, options).collect(workspace.resolve(name))
