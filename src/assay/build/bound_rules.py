"""Binds the rules of products against empty tables: what does not fit, found without data."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from assay.build.bound_memo import Found, Memo, RuleProblem
from assay.engines.binding import EmptyTable, EmptyTables
from assay.engines.quoting import identifier
from assay.model import PREVIOUS, THIS, Column, Kind, Product, Rule
from assay.plan.digests import digest
from assay.plan.misfits import Degree, Misfit, Problem
from assay.rules import with_queries

_MOMENT = "2000-01-01 00:00:00"
# What rules about a file read as `this`.
_FILE = EmptyTable("this", (("file", "VARCHAR"), ("bytes", "BIGINT")))


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
        rules = {number: product.contract.rules[number] for number in asked}
        unknown = {number: self._unknown(product, rule) for number, rule in rules.items()}
        known = {number: rule for number, rule in rules.items() if not unknown[number]}
        alone = {n: r for n, r in known.items() if {i.name for i in r.inputs} <= {THIS, PREVIOUS}}
        problems = self._problems(product, alone, previous)
        for number in known.keys() - alone.keys():
            problems += self._problems(product, {number: known[number]}, previous)
        for number, names in unknown.items():
            if names:
                what = f"the columns of {names} are not known"
                problem = Problem(what=what, degree=Degree.UNCHECKED)
                problems.append(RuleProblem(rule=number, problem=problem))
        return Found(rules=tuple(sorted(problems, key=lambda each: each.rule)))

    def _unknown(self, product: Product, rule: Rule) -> str:
        """Return the names of what a rule reads and of which no columns are known."""
        reads = {i.name for i in rule.inputs} - {THIS, PREVIOUS}
        reads |= {product.name} if product.kind is not Kind.FILE else set()
        return " and ".join(sorted(reads - self.columns.keys()))

    def _problems(
        self, product: Product, rules: Mapping[int, Rule], previous: Sequence[Column]
    ) -> list[RuleProblem]:
        """Return why rules that read the same tables do not fit."""
        if not rules:
            return []
        inputs = {i.alias: i.name for rule in rules.values() for i in rule.inputs}
        for name in (THIS, PREVIOUS):
            inputs.pop(name, None)
        tables = self.tables(name for alias, name in inputs.items() if "." in alias)
        named = {a: self._table(n) for a, n in inputs.items() if "." not in a}
        this = _FILE if product.kind is Kind.FILE else self._table(product.name)
        before = EmptyTable(f"{product.name} as published", _pairs(previous)) if previous else this
        named |= {THIS: this, PREVIOUS: before}
        columns = self.columns.get(product.name, ())
        queries = [_query(rule, columns) for rule in rules.values()]
        problems = tables.check(queries, product.domain, named)
        return [
            RuleProblem(
                rule=number,
                problem=replace(problem, offset=_offset(rules[number], query, problem.offset)),
            )
            for number, query, each in zip(rules, queries, problems, strict=True)
            for problem in each
        ]

    def _table(self, name: str) -> EmptyTable:
        return EmptyTable(name, _pairs(self.columns[name]))


def _pairs(columns: Iterable[Column]) -> tuple[tuple[str, str], ...]:
    return tuple((column.name, column.type) for column in columns)


def _condition(rule: Rule) -> str:
    is_condition = rule.demand is not None and rule.demand.kind == "condition"
    return str(rule.demand.arguments["sql"]) if rule.demand and is_condition else ""


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
