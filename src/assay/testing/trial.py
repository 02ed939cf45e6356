"""Builds a product from given inputs: by a run of a project that holds nothing else, in a folder."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from assay.build.execute import execute
from assay.build.inputs import inputs_as_of_now
from assay.build.workspace import Workspace, storage_of
from assay.catalog import shared_catalog
from assay.config import Config
from assay.decisions import Blocked, Held, Keep, Publish
from assay.declare.project import Project
from assay.declare.resolve import Resolved
from assay.engines import polars as lazy
from assay.engines.tables import stored
from assay.errors import UsageError
from assay.events import Failed, Result
from assay.facts import RuleResult, Status, Version
from assay.model import PREVIOUS, QUARANTINE, THIS, Column, Kind, Product, Source
from assay.plan.graph import Graph
from assay.plan.moments import graph_at, is_fetcher
from assay.plan.names import nearest
from assay.plan.request import Request, RunOptions
from assay.testing.columns import columns_of
from assay.testing.files import suffixes
from assay.testing.rows import table_of
from assay.testing.tiny import Given, TinyProject, tested
from assay.views.rules import failures

if TYPE_CHECKING:
    import polars as pl

_ENVIRONMENT = "test"
_EARLIER = timedelta(days=1)  # how long before the moment of a test `previous` was published


class Tried(Struct, kw_only=True):
    """What came of building a product from given inputs.

    - `frame`: the rows; None for a product that is a file.
    - `path`: the file, of a product that is one.
    - `aside`: the rows that rules set aside; None when no rule does.
    - `rules`: the results of its rules, in the order of the contract.
    - `found`: the rows that each rule found, by its text.
    - `skipped`: rules that were not judged, as a product that they read is not given, each with its
      name.
    - `error`, `detail`: why it could not be built.
    """

    product: Product
    frame: "pl.DataFrame | None" = None
    path: Path | None = None
    aside: "pl.DataFrame | None" = None
    parts: tuple[str, ...] = ()
    rules: Sequence[RuleResult] = ()
    found: "Mapping[str, pl.DataFrame]" = {}
    skipped: Mapping[str, str] = {}
    error: str = ""
    detail: str = ""

    @property
    def held_by(self) -> tuple[str, ...]:
        """The rules that keep it from being published: failed, or could not be judged."""
        holding = {Status.FAILED, Status.ERROR}
        return tuple(rule.text for rule in self.rules if rule.status in holding)

    def found_by(self, rule: str) -> "pl.DataFrame":
        """Return the rows that a rule (by its text) found, without columns if there are none."""
        return self.found.get(rule, _no_rows())


def _no_rows() -> "pl.DataFrame":
    import polars as pl

    return pl.DataFrame()


class Trial(Struct, frozen=True, kw_only=True):
    """A product, what it is built from, and the moment.

    `inputs` are values as `table_of` takes them, by the name of an input; `folder` is where paths
    among them start. `previous` are the rows that were published at `previous_at`.
    """

    product: str
    inputs: Mapping[str, Any] = {}
    previous: Any = None
    now: datetime | None = None
    previous_at: datetime | None = None
    folder: Path = Path()

    def build(self, project: Project, at: Path) -> Tried:
        """Build and judge the product in a folder that exists; nothing else is written or read.

        Raises UsageError for inputs that are unknown, missing or wrong.
        """
        definitions = project.definitions()
        _check(project.graph.products[self.product], self.now)
        now = _utc(self.now) if self.now else datetime.now(UTC)
        before = _utc(self.previous_at) if self.previous_at else now - _EARLIER
        if before > now:
            raise UsageError("previous_at should be before now")
        graph = graph_at(project.graph, now)
        product, tiny = graph.products[self.product], TinyProject(at / "given")
        given = self._given(graph, product)
        for one in given:
            tiny.give(one)
        if self.previous is not None:
            tiny.give(self._previous(graph, product))
        place = _Place(config=_config(project.config, at / "state"), graph=graph)
        place.publish(tiny, before)
        skipped = _not_judged(product, {one.of.name for one in given})
        tiny.add(tested(product, frozenset(skipped)), definitions[product.name])
        tried = place.try_out(tiny, product.name, now)
        tried.skipped = skipped
        return tried

    def _given(self, graph: Graph, product: Product) -> list[Given]:
        """Return what is given for each input; UsageError for unknown names and missing inputs."""
        names: dict[str, str] = {}
        for written in self.inputs:
            name = _input_named(str(written), product)
            if name in names:
                raise UsageError(f"{name} is given twice: as {names[name]!r} and {written!r}")
            names[name] = str(written)
        missing = [i.name for i in product.inputs if i.name not in names]
        if missing:
            raise UsageError(
                f"{product.name} reads {', '.join(dict.fromkeys(missing))}: not given",
                hint="Give each input of its code; an empty list stands for no rows.",
            )
        columns, followed = columns_of(graph, names), followed_by(product)
        given = {
            name: self._one(graph, name, self.inputs[written], columns[name])
            for name, written in names.items()
        }
        return [replace(one, followed=name in followed) for name, one in given.items()]

    def _one(self, graph: Graph, name: str, value: Any, columns: Sequence[Column]) -> Given:
        of = graph.sources.get(name) or graph.products[name]
        raw = suffixes(of if isinstance(of, Source) else None)
        if isinstance(of, Product) and of.kind is Kind.FILE:
            raw = ("",)
        try:
            table = table_of(value, self.folder, raw=raw)
        except UsageError as error:
            raise UsageError(f"{name}: {error.what}", hint=error.hint) from None
        return Given(of=of, table=table, columns=columns)

    def _previous(self, graph: Graph, product: Product) -> Given:
        columns = columns_of(graph, [product.name])[product.name]
        return replace(self._one(graph, product.name, self.previous, columns), followed=True)


class _Place(Struct, frozen=True, kw_only=True):
    """Where a test builds: a store and a catalog of its own."""

    config: Config
    graph: Graph

    def publish(self, tiny: TinyProject, now: datetime) -> None:
        """Publish the products that stand in for inputs; UsageError for rows that cannot be stored."""
        if not tiny.products:
            return
        with self._workspace(tiny, now) as workspace:
            results = _run(workspace, tiny.products)
        for name, result in results.items():
            if not isinstance(result.end, Publish):
                raise UsageError(f"what is given for {name} cannot be stored: {_why_not(result)}")

    def try_out(self, tiny: TinyProject, name: str, now: datetime) -> Tried:
        """Build and judge a product, and return what came of it."""
        with self._workspace(tiny, now) as workspace:
            pointer = workspace.catalog.pointers(_ENVIRONMENT).get(name)
            result = _run(workspace, [name])[name]
            product = workspace.graph.products[name]
            if not isinstance(result.end, Publish | Keep | Blocked):
                detail = result.end.detail if isinstance(result.end, Failed) else ""
                return Tried(product=product, error=_why_not(result), detail=detail)
            before = pointer.version if pointer else ""
            return _tried(workspace, product, result, result.end.version, before)

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


def _config(config: Config, state: Path) -> Config:
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


def _tried(
    workspace: Workspace, product: Product, result: Result, version: Version, before: str
) -> Tried:
    """Return a version as tried; `before` is the version that was published when it was built."""
    import polars as pl

    tried = Tried(product=product)
    if result.unbuilt:
        part, failed = next(iter(result.unbuilt.items()))
        tried.error, tried.detail = f"part {part}: {failed.error}", failed.detail
    storage = workspace.storage
    if product.kind is Kind.FILE:
        tried.path = stored(version, storage, version.parts).files[0]
        return tried
    inputs, _ = inputs_as_of_now(workspace, workspace.observe())
    tried.frame = lazy.parquet(inputs.files_of_version(THIS, THIS, version).table).collect()
    if version.in_parts:
        tried.parts = tuple(part.key for part in version.parts if part.key)
    if aside := version.part(QUARANTINE) if product.quarantines else None:
        tried.aside = lazy.parquet(stored(version, storage, [aside])).collect()
    judged = _as_built(workspace, version, before)
    verdicts = workspace.catalog.verdicts(judged.id)
    if verdicts:
        tried.rules = verdicts[-1].results
    found: dict[str, pl.DataFrame] = {}
    rules = {rule.text: rule for rule in product.contract.rules}
    for rule in tried.rules:
        if rule.failing:
            with failures(workspace.project, inputs, product, judged, rules[rule.text]) as answer:
                names, rows = answer
                found[rule.text] = pl.DataFrame(
                    [*rows], schema=names, orient="row", infer_schema_length=None
                )
    tried.found = found
    return tried


def _as_built(workspace: Workspace, version: Version, before: str) -> Version:
    """Return the version that was built, before published parts took the place of failed ones."""
    if not version.key.held:
        return version
    versions = workspace.catalog.versions(version.product)
    whole = [one for one in versions if not one.key.held and one.id != before]
    return whole[0] if whole else version


def _check(product: Product, now: datetime | None) -> None:
    """Raise UsageError for a product that is not tested, or whose result depends on the moment."""
    if product.kind is Kind.QUARANTINE:
        of = product.inputs[0].name
        raise UsageError(
            f"{product.name} has the rows that {of} sets aside", hint=f"Test {of} instead."
        )
    if now is None and needs_moment(product):
        raise UsageError(
            f"{product.name} depends on the current time: say which, as `now`",
            hint="Then the test gives the same result on every day.",
        )


def followed_by(product: Product) -> set[str]:
    """Return the inputs of which a product reads the parts one by one."""
    return {i.name for i in product.inputs if i.grain is not None}


def needs_moment(product: Product) -> bool:
    """Return whether what comes of a product, or of its rules, depends on the current time."""
    rules = product.contract.rules
    timed = any(rule.clocked or rule.closes or rule.within is not None for rule in rules)
    return bool(product.changes_with) or is_fetcher(product) or timed


def _utc(moment: datetime) -> datetime:
    """Return a moment in UTC; one without a zone is of UTC."""
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _input_named(written: str, product: Product) -> str:
    """Return the full name of the input that is meant; UsageError for a name of none."""
    known = {i.alias: i.name for i in product.inputs}
    for rule in product.contract.rules:
        known |= {i.alias: i.name for i in rule.inputs if i.name not in {THIS, PREVIOUS}}
    known = {alias: name for alias, name in known.items() if name != product.name}
    full = set(known.values())
    if written in full:
        return written
    if written in known:
        return known[written]
    matches = sorted(name for name in full if name.partition(".")[2] == written)
    if len(matches) == 1:
        return matches[0]
    if written in {THIS, PREVIOUS}:
        raise UsageError(f"{written!r} is no input: `previous` is given beside the inputs")
    hint = nearest(written, sorted(full)) or f"It reads: {', '.join(sorted(full)) or 'nothing'}."
    raise UsageError(f"{product.name} does not read {written!r}", hint=hint)


def _not_judged(product: Product, given: Collection[str]) -> dict[str, str]:
    """Return the rules that cannot be judged, each with a product that it reads and is not given."""
    own = {THIS, PREVIOUS, product.name, *given}
    return {
        rule.text: next(i.name for i in rule.inputs if i.name not in own)
        for rule in product.contract.rules
        if any(i.name not in own for i in rule.inputs)
    }
