"""Builds a product from given inputs: by a run of a project that holds nothing else, in a folder."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from assay.declare.project import Project
from assay.errors import UsageError
from assay.model import PREVIOUS, THIS, Column, Kind, Product, Source
from assay.plan.graph import Graph
from assay.plan.moments import graph_at, is_fetcher
from assay.plan.names import nearest
from assay.testing.columns import columns_of
from assay.testing.files import suffixes
from assay.testing.place import Place, config_in
from assay.testing.rows import table_of
from assay.testing.tiny import Given, TinyProject, tested
from assay.testing.tried import Tried

_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
_EARLIER = timedelta(days=1)  # how long before the moment of a test `previous` was published


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
        before = _utc(self.previous_at) if self.previous_at else _day_before(now)
        if before > now:
            raise UsageError("previous_at should be before now")
        graph = graph_at(project.graph, now)
        product, tiny = graph.products[self.product], TinyProject(at / "given")
        if product.history:
            product = replace(product, moment=now)
        given = self._given(graph, product)
        for one in given:
            tiny.give(one)
        place = Place(config=config_in(project.config, at / "state"), graph=graph)
        if self.previous is not None:
            tiny.give(self._previous(graph, product))
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
        of = _as_declared(graph, name)
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


def _as_declared(graph: Graph, name: str) -> Product | Source:
    """Return what is given: a source also for one whose rows are stored."""
    product = graph.products.get(name)
    if product and product.files:
        return replace(graph.sources[product.files], name=name)
    return product or graph.sources[name]


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
    return bool(product.changes_with or product.history) or is_fetcher(product) or timed


def _utc(moment: datetime) -> datetime:
    """Return a moment in UTC; one without a zone is of UTC. UsageError outside of 1970 to 9998."""
    try:
        utc = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError:
        utc = _FIRST - _EARLIER
    if not _FIRST <= utc < _LAST:
        raise UsageError(f"{moment} is no moment that a run can have: say one from 1970 to 9998")
    return utc


def _day_before(moment: datetime) -> datetime:
    return max(moment - _EARLIER, _FIRST)


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
