"""Declared rules of one product to rules: their names, their queries, and the tables they read."""

import difflib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from assay.declare import clocks
from assay.declare.names import Names
from assay.declare.project_code import ProjectCode
from assay.declare.pycode import CodeDigest
from assay.declare.queries import parse_query
from assay.declare.rule_arguments import NotARule
from assay.declare.rule_limits import read_limits
from assay.declare.rule_queries import RuleQuery, query_of
from assay.declare.words import ProductDeclaration, RuleDeclaration, SourceDeclaration
from assay.engines.sql.reader import columns as columns_of
from assay.model import DIMENSIONS, PREVIOUS, THIS, Demand, Input, Rule, Severity, Where
from assay.plan.names import nearest
from assay.rules.schema import Schema, demand_of, is_built_in, is_check
from assay.times import is_date


class Rulebook:
    """Reads the rules of one product.

    While reading, `digested` gathers what the contract's digest is made of, `quarantine_digested`
    the same of the rules that quarantine rows, without their limits; `checks` are the checks of
    pandera by their place.
    """

    def __init__(
        self,
        product: str,
        declared: ProductDeclaration,
        schema: Schema,
        names: Names,
        code: ProjectCode,
    ) -> None:
        self.product, self.declared, self.schema = product, declared, schema
        self.names, self.code = names, code
        self.digested: list[Any] = []
        self.quarantine_digested: list[Any] = []
        self.checks: dict[str, Any] = {}

    def read(self) -> list[Rule]:
        """Return the rules that have no problem; the problems are reported to `names`."""
        rules = []
        for index, declared in enumerate(self.declared.rules):
            where = self.names.relative(declared.where)
            label = _label(declared, self.product)
            try:
                query = query_of(declared, self.product, self.declared.event_time)
                rule = self._read_rule(declared, query, where, f"rules:{index}")
            except NotARule as error:
                self.names.report(f"{label}: {error}", where)
            except Exception as error:  # the arguments may be any object
                self.names.report(f"{label} cannot be read: {type(error).__name__}", where)
            else:
                rules += [rule] if rule else []
        self._report_equal_texts(rules)
        return rules

    def _report_equal_texts(self, rules: Sequence[Rule]) -> None:
        counts = Counter(rule.text for rule in rules)
        first = {rule.text: rule.where for rule in reversed(rules)}
        for text in [text for text, count in counts.items() if count > 1]:
            message = f"{self.product}: two rules say {text!r}"
            self.names.report(message, first[text], "Give each rule words of its own.")

    def _read_rule(
        self, declared: RuleDeclaration, query: RuleQuery, where: Where, place: str
    ) -> Rule | None:
        """Return a rule; None if it has a problem."""
        label = f"rule {query.text!r} of {self.product}"
        problems_before = len(self.names.problems)
        warn_above, fail_above = read_limits(declared, label, where, self.names)
        self._check_metadata(declared, label, where)
        rule = Rule(
            text=query.text,
            where=where,
            severity=Severity.ERROR if fail_above else Severity.WARNING,
            dimension=declared.dimension or query.dimension,
            because=declared.because,
            owner=declared.owner,
            review_by=declared.review_by,
            warn_above=warn_above,
            fail_above=fail_above,
            quarantines=declared.on_failure == "quarantine",
            compares=query.compares,
            threshold=query.threshold,
            least=query.least,
            most=query.most,
            closes=query.closes,
            grace=query.grace,
            holds_new=query.holds_new,
            dated=query.dated,
            within=query.within,
            tz=query.tz,
            measure=query.measure,
            by=query.by,
        )
        if declared.kind == "check" and not query.condition:
            complete = self._with_check(rule, declared, place, label)
        else:
            complete = self._with_query(rule, query, place, label)
        return complete if len(self.names.problems) == problems_before else None

    def _check_metadata(self, declared: RuleDeclaration, label: str, where: Where) -> None:
        if declared.severity not in set(Severity):
            message = f"{label}: severity {declared.severity!r}"
            self.names.report(message, where, "It is 'error' or 'warning'.")
        if declared.on_failure not in {"hold", "quarantine"}:
            message = f"{label}: on_failure {declared.on_failure!r}"
            self.names.report(message, where, "It is 'hold' or 'quarantine'.")
        if declared.dimension and declared.dimension not in DIMENSIONS:
            hint = nearest(declared.dimension, DIMENSIONS) or f"One of {', '.join(DIMENSIONS)}."
            self.names.report(f"{label}: dimension {declared.dimension!r}", where, hint)
        if declared.review_by and not _is_full_date(declared.review_by):
            message = f"{label}: review_by {declared.review_by!r} is no date"
            self.names.report(message, where, 'Write "2027-01-31".')

    # --------------------------------------------------------------------------- checks of pandera

    def _with_check(
        self, rule: Rule, declared: RuleDeclaration, place: str, label: str
    ) -> Rule | None:
        """Return a rule that is checked by a check of pandera."""
        check, column = declared.given["check"], declared.given["column"]
        if not is_check(check):
            message = f"{label}: its check is {type(check).__name__}"
            hint = "Give an SQL condition, or pandera.polars.Check."
            self.names.report(message, rule.where, hint)
            return None
        reach = self.code.start_digest(self.declared)
        digested = [rule.text, column, check_digest(check, "check", reach), dict(reach.parts)]
        self.digested.append([*digested, rule.warn_above, rule.fail_above])
        if rule.quarantines:
            self.quarantine_digested.append(digested)
        self.names.problems += clocks.in_code(self.declared, reach, label, self.names.local)
        if self.declared.file:
            message = f"{label}: a file has no columns that pandera could check"
            self.names.report(message, rule.where)
        elif column and not self._may_have(column):
            self.names.report(f"{label}: {column!r} is no column of its contract", rule.where)
        self.checks[place] = check
        demand = demand_of(check, place, column=column)
        return replace(rule, demand=demand, clocked=bool(reach.clocks))

    def _may_have(self, column: str) -> bool:
        """Return False for a column that is missing in a contract which lists all columns."""
        schema = self.schema.pandera
        if schema is None or not schema.columns or not schema.strict:
            return True
        return column in schema.columns

    # ----------------------------------------------------------------------------------------- SQL

    def _with_query(self, rule: Rule, query: RuleQuery, place: str, label: str) -> Rule | None:
        """Return a rule that is checked by a query, or by a condition on every row."""
        sql = query.sql or f"select (\n{query.condition}\n) from this"
        parsed = parse_query(sql, label, rule.where, self.names, condition=query.condition)
        if parsed is None:
            return None
        source = clocks.QuerySource(label, rule.where, condition=query.condition)
        self.names.problems += clocks.in_query(self.declared, parsed, source, needs_names=False)
        tables = [str(table) for table in parsed.tables]
        inputs = self._inputs(tables, label, rule.where)
        self._digest_query(rule, parsed.meaning, inputs)
        if rule.quarantines and any(i.name == PREVIOUS for i in inputs):
            message = f"{label} quarantines by what is published now"
            hint = "What is set aside is decided while building, before anything is compared."
            self.names.report(message, rule.where, hint)
        rule = replace(rule, clocked=bool(parsed.moving), inputs=tuple(inputs))
        if not query.condition:
            return replace(rule, sql=parsed.statement)
        columns = sorted(query.columns or columns_of(sql).names)
        arguments = {"sql": query.condition, "columns": columns}
        if THIS not in self._tables_of(query.condition, label, rule.where):
            rule = replace(rule, inputs=tuple(i for i in inputs if i.name != THIS))
        return replace(rule, demand=Demand(kind="condition", place=place, arguments=arguments))

    def _digest_query(self, rule: Rule, meaning: str, inputs: Sequence[Input]) -> None:
        """Add a rule with a query to the digests."""
        digested = [rule.text, meaning, sorted([i.alias, i.name] for i in inputs)]
        limits = [rule.warn_above, rule.fail_above, rule.quarantines]
        dates = [rule.closes, rule.grace, rule.holds_new, rule.dated, rule.tz]
        self.digested.append([*digested, limits, dates])
        if rule.quarantines:
            self.quarantine_digested.append(digested)

    def _tables_of(self, condition: str, label: str, where: Where) -> set[str]:
        """Return the tables that a condition reads in subqueries."""
        parsed = parse_query(f"select not (\n{condition}\n)", label, where, self.names)
        return {str(table) for table in parsed.tables} if parsed else set()

    def _inputs(self, tables: Iterable[str], label: str, where: Where) -> list[Input]:
        """Return the inputs behind tables of a rule's query; report tables that it may not read."""
        domain = self.product.partition(".")[0]
        inputs = []
        for table in tables:
            full = table if table in {THIS, PREVIOUS} else self.names.find(table, domain)
            if full is None:
                self._report_unknown(table, domain, label, where)
            elif self._may_read(full, label, where):
                inputs.append(Input(alias=table, name=full))
        return inputs

    def _report_unknown(self, table: str, domain: str, label: str, where: Where) -> None:
        close = difflib.get_close_matches(table, [THIS, PREVIOUS], n=1)
        if close:
            message = f"{label}: unknown table {table!r}"
            self.names.report(message, where, f"Did you mean {close[0]}?")
        else:
            self.names.report_unknown(table, domain, where, reader=label, sql=True)

    def _may_read(self, full: str, label: str, where: Where) -> bool:
        """Return True for `this`, `previous` or another product with rows; report the rest."""
        message = hint = ""
        if isinstance(self.names.declarations.get(full), SourceDeclaration):
            message = f"{label} reads the source {full}"
            hint = "Rules read products: make a product of it."
        elif full == self.product:
            message, hint = f"{label} names its own product", "Write `this`, or `previous`."
        elif self.names.is_file(full):
            message = f"{label}: {full} is a file; rules read tables"
        if message:
            self.names.report(message, where, hint)
        return not message


def check_digest(check: Any, place: str, reach: CodeDigest) -> list[Any]:
    """Return what identifies a check of pandera; `reach` gathers the code of a user's own check."""
    reach.visit(f"{place}.statistics", dict(check.statistics or {}))
    if not is_built_in(check):
        reach.visit(place, check._check_fn)
        reach.visit(f"{place}.options", getattr(check, "_check_kwargs", {}))
    options = (
        check.ignore_na,
        check.element_wise,
        check.groupby,
        check.groups,
        check.n_failure_cases,
    )
    return [str(check.name), repr(options)]


def with_unique_texts(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """Return the rules with a number added to each text that an earlier rule has."""
    by_text: dict[str, Rule] = {}
    numbers: dict[str, int] = {}  # the last that was added to a text
    for rule in rules:
        number, text = numbers.get(rule.text, 1), rule.text
        while text in by_text:
            number += 1
            text = f"{rule.text} ({number})"
        numbers[rule.text] = number
        by_text[text] = rule if text is rule.text else replace(rule, text=text)
    return tuple(by_text.values())


def _label(declared: RuleDeclaration, product: str) -> str:
    if declared.text:
        return f"rule {declared.text!r} of {product}"
    return f"rule.{declared.kind} of {product}"


def _is_full_date(text: str) -> bool:
    """Return True for a date written as 2027-01-31."""
    return is_date(text) and len(text) == 10
