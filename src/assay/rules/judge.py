"""Judges a table by the rules of a contract: each rule in the cheapest way that is exact.

Column names and types decide first. DuckDB, Polars and pandera then answer the demands, in this
order; rules that are queries come last. Nothing here changes data.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from assay.amounts import allowed
from assay.engines.duckdb import DuckDB
from assay.errors import BuildError, words_of
from assay.facts import RuleResult, Status
from assay.model import QUARANTINE, Product, Rule
from assay.rules import with_duckdb, with_pandera, with_polars
from assay.rules.answers import Answer, plain
from assay.rules.compile import DecidedByColumns
from assay.rules.evidence import Evidence
from assay.rules.hiding import HiddenValues
from assay.rules.outcome import status_in_parts, status_of, worst_parts
from assay.rules.quarantine import quarantine_answers
from assay.rules.query_rules import QueryRules
from assay.rules.samples import CompiledRule, compiled_rules, masked
from assay.rules.schema import Schema


def judge(
    product: Product,
    evidence: Evidence,
    engine: DuckDB,
    schema: Callable[[], Schema],
    *,
    answers: Mapping[str, Answer] | None = None,
) -> tuple[RuleResult, ...]:
    """Return the result of each rule of a product's contract, in the order of the contract.

    `answers` are those that are known already, by the rule's text. `schema` loads the checks of
    rules that only pandera can judge. An exception inside a rule becomes the result of that rule. Raises
    BuildError or an error of DuckDB when memory or disk is exhausted.
    """
    judge = RuleJudge(product, evidence, engine, schema)
    judge.answers |= answers or {}
    return judge.run()


class RuleJudge:
    """The answers to the rules of one product on one table, and the results made from them.

    A caller may put answers into `answers`: a rule with an answer is not judged again. `scope` says
    what tolerances refer to.
    """

    def __init__(
        self,
        product: Product,
        evidence: Evidence,
        engine: DuckDB,
        schema: Callable[[], Schema],
        *,
        scope: str = "",
    ) -> None:
        self.product, self.evidence, self.engine, self.schema = product, evidence, engine, schema
        self.scope = scope
        self.rules = {rule.text: rule for rule in product.contract.rules}
        self.answers: dict[str, Answer] = {}
        self.hiding = HiddenValues(evidence, engine)
        self.queries = QueryRules(product, evidence, engine, self.hiding)

    def run(self) -> tuple[RuleResult, ...]:
        """Answer every rule, and return the result of each."""
        self.answer()
        return self.results()

    def answer(self) -> None:
        """Answer every rule that has no answer yet."""
        if not (unanswered := self._unanswered()):
            return
        compiled = [
            rule
            for rule in compiled_rules(self.product, self.evidence.columns)
            if rule.text not in self.answers
        ]
        self.answers |= _decided_by_columns(compiled)
        self.answers |= quarantine_answers(self.product, unanswered, self.evidence, self.engine)
        try:
            self._answer_demands(compiled)
        except (MemoryError, OSError) as error:  # a failure of the machine says nothing of the data
            message = words_of(error) or type(error).__name__
            raise BuildError(f"the rules cannot be judged now: {message}") from error
        self.answers |= self.queries.answer_together(self._unanswered())
        self.answers |= self.queries.answer_each(self._unanswered())

    def results(self) -> tuple[RuleResult, ...]:
        """Return the result of each rule; all rules have to be answered."""
        return tuple(self._result(rule) for rule in self.rules.values())

    def samples(self, rule: Rule) -> tuple[dict[str, Any], ...]:
        """Return the samples of an answered rule as plain data, with sensitive values masked."""
        samples = self.answers[rule.text].samples
        if not samples or not rule.demand:  # samples of a query are masked already
            return masked(samples, ())
        return self.veiled(samples)

    def veiled(self, samples: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], ...]:
        """Return rows of the table as plain data, with sensitive values masked."""
        return masked(samples, self.hiding.in_this({name for row in samples for name in row}))

    def _answer_demands(self, compiled: list[CompiledRule]) -> None:
        table = self.evidence.this
        self.answers |= with_duckdb.answer_rules(compiled, self.evidence, self.engine)
        self.answers |= with_polars.answer_rules(compiled, table, self.schema)
        remaining = [rule for rule in compiled if rule.text not in self.answers]
        self.answers |= with_pandera.answer_rules(remaining, table, self.schema)

    def _unanswered(self) -> list[Rule]:
        return [rule for rule in self.rules.values() if rule.text not in self.answers]

    def _result(self, rule: Rule) -> RuleResult:
        answer = self.answers[rule.text]
        rows = self.evidence.rows
        if rule.quarantines:
            rows = self.evidence.rows_in or rows
        if answer.counts:
            status, scope = status_in_parts(rule, answer.counts), "of a part"
        else:
            status, scope = status_of(rule, answer, rows), self.scope if answer.failing else ""
        hides_measured = rule.sql and self.hiding.is_measured(rule)
        return RuleResult(
            text=rule.text,
            status=status,
            severity=rule.severity,
            dimension=rule.dimension,
            because=rule.because,
            owner=rule.owner,
            failing=answer.failing,
            rows=rows if answer.failing is not None and not rule.compares else None,
            measured=None if hides_measured else plain(answer.measured),
            threshold=rule.threshold or allowed(rule.warn_above, rule.fail_above, scope),
            how=answer.how,
            samples=self.samples(rule),
            message=self._message(rule, answer, status),
            part_counts=worst_parts(rule, answer.counts),
            digests=answer.digests,
        )

    def _message(self, rule: Rule, answer: Answer, status: Status) -> str:
        if rule.quarantines and answer.failing:
            if status is Status.FAILED:
                return "too many to set aside"
            return f"set aside in {self.product.name}__{QUARANTINE}"
        return self.hiding.veiled(rule, answer.error) if answer.error else answer.message


def _decided_by_columns(compiled: list[CompiledRule]) -> dict[str, Answer]:
    """Return the answers that follow from the names and types of the columns alone."""
    return {
        rule.text: Answer(how="schema", holds=rule.way.holds, message=rule.way.message)
        for rule in compiled
        if isinstance(rule.way, DecidedByColumns)
    }
