"""The rules whose findings in a part are recorded, because the rows of a part never change."""

from collections.abc import Collection, Iterable, Sequence

from assay.engines.sql.splitting import is_settled
from assay.engines.types import INTEGERS
from assay.model import Column, Product, Rule, RuleResult
from assay.plan.digests import changed, digest
from assay.rules import with_queries
from assay.rules.compile import Rows, Text, Unique, Way, ways_of
from assay.sensitive import secret

_COUNTED = {
    **dict.fromkeys(INTEGERS, "{}"),
    "DATE": "epoch({})::bigint",
    "TIMESTAMP": "epoch_us({})",
    "VARCHAR": "{}",
}


def rules_digest(product: Product, columns: Sequence[Column], sensitive: Collection[str]) -> str:
    """Return the digest of the rules whose answers are remembered of parts with these columns."""
    chosen = _Chosen(product, columns, sensitive)
    told = [
        [r.text, changed(r.demand) if r.demand else r.sql] for r in (*chosen.rows, *chosen.ranged)
    ]
    return digest([told, sorted(product.contract.key), sorted(sensitive)])


def found_nothing(
    product: Product, columns: Sequence[Column], results: Iterable[RuleResult]
) -> bool:
    """Say whether these results of a version say of each part that there is nothing to be remembered of it."""
    chosen, failing = (
        _Chosen(product, columns, ()),
        {result.text: result.failing for result in results},
    )
    return not chosen.ranged and all(failing.get(rule.text) == 0 for rule in chosen.rows)


class _Chosen:
    """Which rules are about single rows (or about rows that are in one part anyway), and which about ranges."""

    def __init__(
        self, product: Product, columns: Sequence[Column], sensitive: Collection[str]
    ) -> None:
        ways = ways_of(product, columns)
        self.types = {column.name: column.type for column in columns}
        split = with_queries.split_of(product, columns)
        rules = product.contract.rules
        self.rows = [rule for rule in rules if _is_about_rows(rule, ways.get(rule.text), split)]
        self.ranged = [
            r for r in rules if r not in self.rows and self._is_ranged(ways.get(r.text), sensitive)
        ]
        self.ways = ways

    def _is_ranged(self, way: Way | None, sensitive: Collection[str]) -> bool:
        """Say whether the values of a column go from one to another that may be remembered."""
        alone = (
            isinstance(way, Unique) and len(way.columns) == 1 and not secret(way.columns, sensitive)
        )
        return isinstance(way, Unique) and alone and self.types[way.columns[0]] in _COUNTED


def _is_about_rows(rule: Rule, way: Way | None, split: str) -> bool:
    """Say whether what a rule finds is what it finds in each part, put together."""
    if rule.sql:
        return with_queries.in_each_part(rule, split)
    if isinstance(way, Rows) and rule.demand and rule.demand.kind == "condition":
        return is_settled(rule.demand.arguments["sql"])
    return isinstance(way, Rows | Text) or (isinstance(way, Unique) and split in way.columns)
