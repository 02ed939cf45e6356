"""The rules whose findings in a part are recorded, because the rows of a part never change."""

from collections.abc import Collection, Iterable, Sequence

from assay.engines.quoting import identifier
from assay.engines.sql.splitting import is_settled
from assay.engines.types import INTEGERS
from assay.facts import RuleResult
from assay.model import Column, Product, Rule
from assay.plan.digests import digest, non_defaults
from assay.rules.compile import Rows, Text, Unique, Way, ways_of
from assay.rules.with_queries import in_each_part, split_of
from assay.sensitive import secret

# The types whose ranges are recorded, and the SQL of a value that JSON and SQL order alike.
_RANGE_TYPES = {
    **dict.fromkeys(INTEGERS, "{}"),
    "DATE": "epoch({})::bigint",
    "TIMESTAMP": "epoch_us({})",
    "VARCHAR": "{}",
}


def rules_digest(product: Product, columns: Sequence[Column], sensitive: Collection[str]) -> str:
    """Return the digest under which findings in parts with these columns are recorded."""
    remembered = RememberedRules(product, columns, sensitive)
    definitions = [
        [rule.text, non_defaults(rule.demand) if rule.demand else rule.sql]
        for rule in (*remembered.row_rules, *remembered.range_rules)
    ]
    return digest([definitions, sorted(product.contract.key), sorted(sensitive)])


def has_no_findings(
    product: Product, columns: Sequence[Column], results: Iterable[RuleResult]
) -> bool:
    """Return whether these results mean that there are no findings in any part."""
    remembered = RememberedRules(product, columns, ())
    failing = {result.text: result.failing for result in results}
    passed = all(failing.get(rule.text) == 0 for rule in remembered.row_rules)
    return passed and not remembered.range_rules


class RememberedRules:
    """The rules of a product whose findings in a part are recorded.

    `row_rules` are about single rows, or about rows that are always in one part: the number of
    failing rows is recorded. `range_rules` ask for unique values: the lowest and highest value are
    recorded.
    """

    def __init__(
        self, product: Product, columns: Sequence[Column], sensitive: Collection[str]
    ) -> None:
        self.ways = ways_of(product, columns)
        self._types = {column.name: column.type for column in columns}
        split, rules = split_of(product, columns), product.contract.rules
        self.row_rules = [
            rule for rule in rules if _is_about_rows(rule, self.ways.get(rule.text), split)
        ]
        self.range_rules = [
            rule
            for rule in rules
            if rule not in self.row_rules and self._is_about_range(rule, sensitive)
        ]

    def unique_column(self, rule: Rule) -> Unique:
        """Return the demand of a rule about a range, which has one column."""
        way = self.ways[rule.text]
        assert isinstance(way, Unique)
        return way

    def range_value(self, rule: Rule) -> str:
        """Return the SQL of the values whose range is recorded."""
        [name] = self.unique_column(rule).columns
        return _RANGE_TYPES[self._types[name]].format(identifier(name))

    def _is_about_range(self, rule: Rule, sensitive: Collection[str]) -> bool:
        """Return whether a rule asks for unique values whose lowest and highest may be recorded."""
        way = self.ways.get(rule.text)
        if not isinstance(way, Unique) or len(way.columns) != 1:
            return False
        return not secret(way.columns, sensitive) and self._types[way.columns[0]] in _RANGE_TYPES


def _is_about_rows(rule: Rule, way: Way | None, split: str) -> bool:
    """Return whether a rule finds the same rows in all parts together as in each part."""
    if rule.quarantines:
        return True  # the rows that it set aside of a part stay as they are
    if rule.sql:
        return in_each_part(rule, split)
    if isinstance(way, Rows) and rule.demand and rule.demand.kind == "condition":
        return is_settled(rule.demand.arguments["sql"])
    return isinstance(way, Rows | Text) or (isinstance(way, Unique) and split in way.columns)
