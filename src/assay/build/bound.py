"""Binds the products of a graph against empty tables, in order: their columns and their lineage."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import cached_property

from msgspec.structs import replace

from assay.build.bound_memo import Found, Memo
from assay.build.bound_rules import BoundRules
from assay.engines.binding import EmptyTables, Unbound
from assay.engines.history import columns_of_history
from assay.engines.sql.reader import place
from assay.engines.types import casts, readable, storable
from assay.errors import TypeRefused
from assay.model import PREVIOUS, Column, Input, Kind, Product, Source
from assay.plan.digests import digest
from assay.plan.flows import EVERY, ColumnFlows, Flow, How, Lineage, TableFlows
from assay.plan.graph import Graph
from assay.plan.misfits import Degree, Misfit, Problem, Traced, unchecked
from assay.rules.quarantine import BROKE
from assay.rules.without_data import against_contract

_TOGETHER = 100  # queries that are planned in one go

_NO_KEY = Problem(
    what="it reads `previous`, and its contract has no key (unique): nothing would notice rows that"
    " are added twice",
    degree=Degree.DOUBTFUL,
)

# What traces the function of a product, given the columns of its inputs by name.
Trace = Callable[[Product, Mapping[str, Sequence[Column]]], Traced]


class Bound:
    """Products and sources, bound one after another; `published` returns the columns of versions.

    `trace` says what flows into the columns that a function returns. `memo` has what was found
    before; with all of it, no engine is imported. `vouch` is called before any SQL is bound.
    `misfits` are what does not fit of the products that were asked for, in order.
    """

    def __init__(
        self,
        graph: Graph,
        published: Callable[[str], Sequence[Column]],
        trace: Trace,
        memo: Memo | None = None,
        vouch: Callable[[Iterable[str]], None] = lambda _: None,
    ) -> None:
        self.graph, self._published, self._trace = graph, published, trace
        self._memo, self._vouch = memo or Memo({}), vouch
        self.flows: dict[str, TableFlows] = {}
        self.misfits: list[Misfit] = []
        self._columns: dict[str, tuple[Column, ...]] = {}
        self._digests: dict[str, str] = {}  # of these columns
        self._wanted: set[str] = set()
        self._resources = ExitStack()

    def bind(self, names: Iterable[str], *, rules: bool = False) -> Lineage:
        """Return the lineage of these products and sources; with `rules`, bind their rules too.

        All that they are made of is bound too, for its columns; a function among that is traced
        only if it has no contract.
        """
        asked = set(names)
        of_rules = (self.graph.products[n].rule_inputs for n in asked & self.graph.products.keys())
        read = {name for each in of_rules for name in each} if rules else set()
        self._wanted = made_of(self.graph, asked | read)
        with self._resources:
            for name in sorted(self._wanted & self.graph.sources.keys()):
                self._keep(name, *_of_source(self.graph.sources[name]))
            order = [self.graph.products[name] for name in self.graph.order if name in self._wanted]
            for level in _levels(order):
                self._plan_ahead(level)
                for product in level:
                    self._bind(product, asked=product.name in asked)
            if rules:
                bound = BoundRules(self._memo, self._with, self._columns, self._published_columns)
                for product in order:
                    if product.name in asked:
                        self.misfits += bound.misfits(product)
        inputs = {
            name: _input_names(self.graph.products[name])
            for name in self.flows
            if name in self.graph.products
        }
        return Lineage(self.flows, inputs)

    @cached_property
    def _tables(self) -> EmptyTables:
        """A DuckDB instance, opened only if something has to be bound."""
        self._vouch(sorted(self._wanted & self.graph.products.keys()))
        return self._resources.enter_context(EmptyTables())

    def _with(self, names: Iterable[str]) -> EmptyTables:
        """Return tables among which are those of these names; Unbound for types of no use."""
        for name in names:
            columns = self._columns[name]
            self._tables.ensure(name, [(column.name, column.type) for column in columns])
        return self._tables

    def _bind(self, product: Product, *, asked: bool) -> None:
        code = self._code(product, traced=asked or not product.contract.columns)
        flows = _less_previous(product, code.flows) if product.incremental else code.flows
        if product.quarantines and not flows.unknown:
            flows = _less_quarantined(flows)
        columns = _stored(product, flows) or self._published_columns(product.name)
        if product.files:  # it is read in the types in which its files are declared
            exact = {column.name: column for column in self._columns[product.files]}
            columns = tuple(exact.get(column.name, column) for column in columns)
        if asked:
            self.misfits += (_misfit(product, problem) for problem in code.problems)
            if product.incremental and not product.contract.key:
                self.misfits.append(_misfit(product, _NO_KEY))
            if code.flows.columns:
                given = ((column.name, column.type) for column in code.flows.columns)
                self.misfits += against_contract(product, given)
        self._keep(product.name, columns, _as_stored(flows, columns))

    def _published_columns(self, name: str) -> tuple[Column, ...]:
        """Return the columns of the published version; none if the catalog has types of no use."""
        columns = tuple(self._published(name))
        return columns if all(storable(column.type) for column in columns) else ()

    def _code(self, product: Product, *, traced: bool) -> Traced:
        """Return what the code of a product gives."""
        if product.kind is Kind.FILE:
            return unchecked("a Python function writes it as a file")
        if unknown := next((i.name for i in product.inputs if i.name not in self._columns), ""):
            why = self.flows[unknown].unknown or "they are not declared"
            what = f"the columns of {unknown} are not known"
            problem = Problem(what=what, degree=Degree.UNCHECKED)
            return Traced(flows=TableFlows(unknown=f"{what}: {why}"), problems=(problem,))
        if product.kind is Kind.QUARANTINE:
            return Traced(flows=self._quarantined(product.inputs[0].name))
        if not product.is_query and not traced:
            return untraced(product, {})
        find = self._of_query if product.is_query else self._of_function
        found = self._memo.recall(self._key(product), lambda: Found(traced=find(product)))
        return found.traced or unchecked("it is not known")

    def _key(self, product: Product) -> str:
        """Return the digest of all that its code gives depends on."""
        inputs = [[i.alias, i.name, self._digests[i.name]] for i in product.inputs]
        if product.incremental:
            inputs.append([PREVIOUS, product.name, digest(list(self._previous(product)))])
        code = product.sql or product.code.digest
        return digest([product.kind, product.name, code, inputs])

    def _plan_ahead(self, products: Iterable[Product]) -> None:
        """Let DuckDB plan queries together that do not read each other, and were not planned before."""
        queries: dict[str, list[Product]] = {}
        for product in products:
            if self._can_be_planned(product) and not self._memo.has(self._key(product)):
                queries.setdefault(product.domain, []).append(product)
        for domain, each in queries.items():
            for chunk in (each[n : n + _TOGETHER] for n in range(0, len(each), _TOGETHER)):
                tables = self._with(i.name for product in chunk for i in product.inputs)
                tables.plan_ahead([product.sql for product in chunk], domain)
                for product in chunk:
                    self._code(product, traced=True)

    def _can_be_planned(self, product: Product) -> bool:
        """Return whether a query finds its inputs by itself, and their columns are known."""
        return (
            product.is_query
            and not product.incremental
            and all(
                i.name in self._columns
                and ("." in i.alias or i.name == f"{product.domain}.{i.alias}")
                for i in product.inputs
            )
        )

    def _of_function(self, product: Product) -> Traced:
        columns: dict[str, Sequence[Column]] = {
            i.name: self._columns[i.name] for i in product.inputs
        }
        if product.incremental:
            columns[product.name] = self._previous(product)
        return self._trace(product, columns)

    def _of_query(self, product: Product) -> Traced:
        try:
            tables, inputs = self._with(i.name for i in product.inputs), product.inputs
            if product.incremental:
                before = _name_of_previous(product)
                tables.ensure(before, [(c.name, c.type) for c in self._previous(product)])
                inputs = (*inputs, Input(alias=PREVIOUS, name=before))
            return tables.bind_query(product.sql, product.domain, inputs)
        except Unbound as error:
            at = ""
            if error.offset >= 0:
                line, column, _ = place(product.sql, error.offset)
                at = f", line {line} column {column}"
            problem = Problem(what=error.what, offset=error.offset)
            unknown = f"its query does not fit its inputs{at}: {error.what}"
            return Traced(flows=TableFlows(unknown=unknown), problems=(problem,))

    def _previous(self, product: Product) -> Sequence[Column]:
        """Return the columns that `previous` has before anything is published."""
        if product.history:
            [read] = product.inputs
            return columns_of_history(product.history, self._columns[read.name])
        return product.contract.columns

    def _quarantined(self, name: str) -> TableFlows:
        """Return the flows into the rows that the rules of a product set aside."""
        every = Flow(name, EVERY, (How.FILTER,))
        columns = [
            ColumnFlows(
                name=column.name,
                type=column.type,
                flows=(Flow(name, column.name, (How.IDENTITY,)),),
            )
            for column in self._columns[name]
        ]
        broke = ColumnFlows(name=BROKE, type="VARCHAR[]", flows=(every,))
        return TableFlows(columns=(*columns, broke), rows=(every,))

    def _keep(self, name: str, columns: Sequence[Column], flows: TableFlows) -> None:
        self.flows[name] = flows
        if columns and all(readable(column.type, column.logical) for column in columns):
            self._columns[name] = tuple(columns)
            self._digests[name] = digest(list(columns))


def _name_of_previous(product: Product) -> str:
    """Return the full name that `previous` of a product has, in place of its own."""
    return f"{product.name} before"


def _less_previous(product: Product, flows: TableFlows) -> TableFlows:
    """Return the flows without those from the product itself, which came of the same inputs."""
    own = {product.name, _name_of_previous(product)}
    columns = [
        replace(column, flows=tuple(flow for flow in column.flows if flow.of not in own))
        for column in flows.columns
    ]
    rows = tuple(flow for flow in flows.rows if flow.of not in own)
    return replace(flows, columns=tuple(columns), rows=rows)


def _levels(order: Iterable[Product]) -> list[list[Product]]:
    """Return products such that each reads only those of earlier lists."""
    depths: dict[str, int] = {}
    levels: list[list[Product]] = []
    for product in order:
        depth = max((depths[i.name] + 1 for i in product.inputs if i.name in depths), default=0)
        depths[product.name] = depth
        levels += [[]] if depth == len(levels) else []
        levels[depth].append(product)
    return levels


def made_of(graph: Graph, names: Iterable[str]) -> set[str]:
    """Return these products and sources, and all that their code reads, however far away."""
    result: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in result:
            result.add(name)
            waiting += _input_names(graph.products[name]) if name in graph.products else ()
    return result


def _input_names(product: Product) -> tuple[str, ...]:
    return tuple(dict.fromkeys(i.name for i in product.inputs))


def _of_source(source: Source) -> tuple[tuple[Column, ...], TableFlows]:
    columns = (*source.columns, *source.path_columns)
    if not all(readable(column.type, column.logical) for column in columns):
        return (), TableFlows(unknown="the manifest gives it a type that no source can have")
    return columns, TableFlows(columns=_plain(columns))


def _plain(columns: Iterable[Column]) -> tuple[ColumnFlows, ...]:
    return tuple(ColumnFlows(name=column.name, type=column.type) for column in columns)


def _misfit(product: Product, problem: Problem) -> Misfit:
    return Misfit(
        product=product.name,
        degree=problem.degree,
        what=problem.what,
        where=problem.where or product.where,
        sql=product.sql if problem.degree is not Degree.UNCHECKED else "",
        offset=problem.offset,
    )


def _stored(product: Product, flows: TableFlows) -> tuple[Column, ...]:
    """Return the columns as they will be stored: in the contract's types, where it has them."""
    declared = {column.name: column for column in product.contract.columns}
    have = {column.name: column.type for column in flows.columns}
    if not have:
        return product.contract.columns
    with suppress(TypeRefused):  # by a build; what is made of it can be bound all the same
        have |= casts(have, {name: column.type for name, column in declared.items()})
    return tuple(declared.get(name) or Column(name=name, type=type) for name, type in have.items())


def _as_stored(flows: TableFlows, columns: Sequence[Column]) -> TableFlows:
    """Return the flows with these columns: of which nothing but the names may be known."""
    of = {column.name: column.flows for column in flows.columns}
    stored = [
        ColumnFlows(name=column.name, type=column.type, flows=of.get(column.name, ()))
        for column in columns
    ]
    return replace(flows, columns=tuple(stored))


def _less_quarantined(flows: TableFlows) -> TableFlows:
    """Return the flows of a product whose rules set rows aside: any column may decide that."""
    rows = {(flow.of, flow.column): flow for flow in flows.rows}
    for flow in (flow for column in flows.columns for flow in column.flows):
        rows.setdefault((flow.of, flow.column), Flow(flow.of, flow.column, (How.UNKNOWN,)))
    return replace(flows, rows=tuple(rows[key] for key in sorted(rows)))


def untraced(product: Product, inputs: Mapping[str, Sequence[Column]]) -> Traced:
    """Return that nothing is known of a function."""
    return unchecked("it is a Python function")
