"""Binds the rules of products against empty tables: what does not fit, found without data."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

from msgspec import Struct

from assay.build.bound_memo import Found, Memo, RuleProblem
from assay.engines.binding import EmptyTables, Unbound
from assay.engines.quoting import identifier
from assay.model import PREVIOUS, THIS, Column, Kind, Product, Rule
from assay.plan.digests import digest
from assay.plan.misfits import Degree, Misfit, Problem
from assay.rules import with_queries

_FILE = "__file"  # the table that rules about a file read as `this`
_OF_FILE = (("file", "VARCHAR"), ("bytes", "BIGINT"))
_MOMENT = "2000-01-01 00:00:00"
_PUBLISHED = "__published"  # schema of the tables that rules read as `previous`


class BoundRules(Struct, frozen=True):
    """The rules of products whose columns are known, bound against tables without rows.

    `tables` holds the tables of these names; `published` returns the columns of a product's
    published version, () for none.
    """

    memo: Memo
    tables: Callable[[Iterable[str]], EmptyTables]
    columns: Mapping[str, Sequence[Column]]
    published: Callable[[str], Sequence[Column]]

    def misfits(self, product: Product) -> Iterator[Misfit]:
        """Yield what does not fit of the rules of a product that are queries or conditions."""
        rules = product.contract.rules
        asked = [number for number, rule in enumerate(rules) if rule.sql or _condition(rule)]
        if not asked:
            return
        previous = tuple(self.published(product.name)) if product.uses_previous else ()
        this = self.columns.get(product.name, ())
        read = [self.columns.get(name, ()) for name in product.rule_inputs]
        told = [
            [r.sql, _condition(r), r.dated, r.closes, r.tz, [[i.alias, i.name] for i in r.inputs]]
            for r in rules
        ]
        about = [product.name, product.kind, told, product.rule_inputs, this, previous, read]
        found = self.memo.recall(
            digest(["rules", about]), lambda: self._found(product, asked, previous)
        )
        for each in found.rules:
            rule, problem = rules[each.rule], each.problem
            yield Misfit(
                product=product.name,
                of=rule.text,
                degree=problem.degree,
                what=problem.what,
                where=rule.where,
                sql=_condition(rule) or rule.sql if problem.offset >= 0 else "",
                offset=problem.offset,
            )

    def _found(self, product: Product, asked: Iterable[int], previous: Sequence[Column]) -> Found:
        problems = []
        for number in asked:
            problem = self._problem(product, product.contract.rules[number], previous)
            if problem:
                problems.append(RuleProblem(rule=number, problem=problem))
        return Found(rules=tuple(problems))

    def _problem(self, product: Product, rule: Rule, previous: Sequence[Column]) -> Problem | None:
        this = _FILE if product.kind is Kind.FILE else product.name
        names = {i.alias: i.name for i in rule.inputs} | {THIS: this, PREVIOUS: this}
        reads = {i.name for i in rule.inputs} - {THIS, PREVIOUS} | {this}
        if unknown := sorted(reads - {_FILE} - self.columns.keys()):
            what = f"the columns of {' and '.join(unknown)} are not known"
            return Problem(what=what, degree=Degree.UNCHECKED)
        tables = self.tables(reads - {_FILE})
        if this == _FILE:
            tables.ensure(_FILE, _OF_FILE)
        if previous:
            with suppress(Unbound):  # of a type that DuckDB does not have, of another engine's
                name = f"{_PUBLISHED}.{product.name}"
                tables.ensure(name, [(column.name, column.type) for column in previous])
                names[PREVIOUS] = name
        query = _query(rule, self.columns.get(product.name, ()))
        other = {a: n for a, n in names.items() if not _is_bare(a, n, product)}
        try:
            tables.check(query, product.domain, other)
        except Unbound as problem:
            return Problem(what=problem.what, offset=_offset(rule, query, problem.offset))
        return None


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


def _offset(rule: Rule, query: str, offset: int) -> int:
    """Return the place in the query or condition that a rule has; -1 if it is not in there."""
    start = query.find(_condition(rule) or rule.sql)
    return max(offset - len(query[:start].encode()), -1) if min(start, offset) >= 0 else -1
