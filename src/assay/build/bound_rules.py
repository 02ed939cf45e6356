"""Binds the rules of products against empty tables: what does not fit, found without data."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec import Struct

from assay.engines.binding import EmptyTables, Unbound
from assay.engines.quoting import identifier
from assay.model import PREVIOUS, THIS, Column, Kind, Product, Rule, Severity
from assay.plan.misfits import Degree, Misfit
from assay.rules import with_queries
from assay.rules.without_data import unmet

_FILE = "__file"  # the table that rules about a file read as `this`
_OF_FILE = (("file", "VARCHAR"), ("bytes", "BIGINT"))
_MOMENT = "2000-01-01 00:00:00"
_PUBLISHED = "__published"  # schema of the tables that rules read as `previous`


class BoundRules(Struct, frozen=True):
    """The rules of products whose columns are known, on `tables` that have no rows.

    `published` returns the columns of a product's published version; () for none.
    """

    tables: EmptyTables
    columns: Mapping[str, Sequence[Column]]
    published: Callable[[str], Sequence[Column]]

    def misfits(self, product: Product) -> Iterator[Misfit]:
        """Yield what does not fit of the rules of a product that are queries or conditions."""
        rules = [rule for rule in product.contract.rules if rule.sql or _condition(rule)]
        if not rules:
            return
        this = self._this(product)
        for rule in rules:
            if not this:
                what = f"the columns of {product.name} are not known"
                yield _misfit(product, rule, what, Degree.UNCHECKED)
            else:
                yield from self._misfits_of(product, rule, this)

    def _misfits_of(self, product: Product, rule: Rule, this: str) -> Iterator[Misfit]:
        tables = {i.alias: i.name for i in rule.inputs} | {THIS: this}
        if PREVIOUS in tables:
            tables[PREVIOUS] = self._previous(product, this)
        known = {this, tables.get(PREVIOUS), *self.columns}
        if unknown := sorted({*tables.values()} - known):
            what = f"the columns of {' and '.join(unknown)} are not known"
            yield _misfit(product, rule, what, Degree.UNCHECKED)
            return
        tables = {a: n for a, n in tables.items() if not _is_bare(a, n, product)}
        query = _query(rule, self.columns.get(product.name, ()))
        try:
            self.tables.check(query, product.domain, tables)
        except Unbound as problem:
            yield _of_query(product, rule, query, problem)

    def _this(self, product: Product) -> str:
        """Return the table that rules read as `this`; '' if its columns are not known."""
        if product.kind is not Kind.FILE:
            return product.name if product.name in self.columns else ""
        self.tables.ensure(_FILE, _OF_FILE)
        return _FILE

    def _previous(self, product: Product, this: str) -> str:
        """Return the table that rules read as `previous`: without one, it is as `this`."""
        columns = [(column.name, column.type) for column in self.published(product.name)]
        if not columns:
            return this
        try:
            self.tables.ensure(f"{_PUBLISHED}.{product.name}", columns)
        except Unbound:
            return this  # of a type that DuckDB does not have: a version of another engine's
        return f"{_PUBLISHED}.{product.name}"


def unmet_demands(product: Product, columns: Sequence[Column]) -> Iterator[Misfit]:
    """Yield which demands of its contract a product of these columns cannot meet."""
    for rule in product.contract.rules:
        if (rule.demand and rule.demand.kind != "condition") and (what := unmet(rule, columns)):
            is_error = rule.severity is Severity.ERROR
            degree = Degree.WRONG if is_error else Degree.DOUBTFUL
            of = rule.demand.column or rule.text
            yield Misfit(product=product.name, of=of, degree=degree, what=what, where=rule.where)


def _condition(rule: Rule) -> str:
    is_condition = rule.demand is not None and rule.demand.kind == "condition"
    return str(rule.demand.arguments["sql"]) if rule.demand and is_condition else ""


def _is_bare(alias: str, name: str, product: Product) -> bool:
    """Return whether a query finds this table by itself: by its full name, or in its own domain."""
    return name in {alias, f"{product.domain}.{alias}"}


def _query(rule: Rule, columns: Sequence[Column]) -> str:
    """Return a query that fits if and only if the rule does; a moment stands for each parameter."""
    if rule.closes:
        return f"select * from this where {identifier(rule.dated)} < timestamp '{_MOMENT}'"
    types = {column.name.lower(): column.type for column in columns}
    query = with_queries.query_of(rule, types)
    return query.replace("$now", f"timestamptz '{_MOMENT}+00'") if rule.dated else query


def _of_query(product: Product, rule: Rule, query: str, problem: Unbound) -> Misfit:
    text, offset = _condition(rule) or rule.sql, problem.offset
    start = query.find(text)
    if offset < 0 or start < 0:
        return _misfit(product, rule, problem.what, Degree.WRONG)
    offset -= len(query[:start].encode())
    return Misfit(
        product=product.name,
        of=rule.text,
        degree=Degree.WRONG,
        what=problem.what,
        where=rule.where,
        sql=text,
        offset=max(offset, -1),
    )


def _misfit(product: Product, rule: Rule, what: str, degree: Degree) -> Misfit:
    return Misfit(product=product.name, of=rule.text, degree=degree, what=what, where=rule.where)
