"""Sensitive values: which columns and messages must not be shown as they are."""

from collections.abc import Collection, Iterable, Sequence

from msgspec import Struct, field

from assay.engines.duckdb import DuckDB
from assay.masking import VEILED, of_sql, veiled
from assay.model import THIS, Rule
from assay.rules.evidence import Evidence
from assay.rules.likeness import alike
from assay.rules.with_queries import hidden, names_secret
from assay.sensitive import secret


class HiddenValues(Struct):
    """The sensitive columns of the evidence.

    Columns are compared by value only when rows of them are about to be shown.
    """

    evidence: Evidence
    engine: DuckDB
    by_value: dict[str, frozenset[str]] = field(default_factory=dict)  # patterns by table

    def in_this(self, names: Iterable[str]) -> set[str]:
        """Return the columns of `this`, among these names, that must not be shown."""
        return secret(names, self._patterns({THIS}))

    def in_rows(self, rule: Rule, query: str, names: Sequence[str]) -> set[str]:
        """Return the columns of the result of a rule's query that must not be shown."""
        if rule.demand is not None:  # rows of `this`: each column has its own name
            return self.in_this(names)
        return hidden(query, names, self.patterns(rule))

    def patterns(self, rule: Rule) -> frozenset[str]:
        """Return patterns of the sensitive columns of all tables that a rule reads."""
        return self._patterns(_read(rule))

    def is_measured(self, rule: Rule) -> bool:
        """Return whether the value that a rule measures may be a sensitive one."""
        if not rule.compares:
            return False
        sensitive = self._by_name(rule)
        return bool(sensitive) and names_secret(rule.sql, sensitive)

    def veiled(self, rule: Rule, message: str) -> str:
        """Return an error message, in which words that may be sensitive values are masked."""
        if not self._by_name(rule):
            return message
        columns = [*self.evidence.columns, *self.evidence.before]
        harmless = {
            *(column.name for column in columns),
            *(table.alias for table in self.evidence.other_tables),
            *of_sql(rule.sql),
        }
        masked = veiled(message, harmless, counted=bool(rule.sql))
        return message if masked == message else f"{masked} {VEILED}"

    def _by_name(self, rule: Rule) -> frozenset[str]:
        return frozenset(
            pattern for name in _read(rule) for pattern in self.evidence.sensitive.get(name, ())
        )

    def _patterns(self, names: Collection[str]) -> frozenset[str]:
        by_name = (self.evidence.sensitive.get(name, ()) for name in names)
        return frozenset[str]().union(*by_name, *map(self._patterns_by_value, names))

    def _patterns_by_value(self, name: str) -> frozenset[str]:
        tables = {
            THIS: self.evidence.this,
            **{
                table.name: table.table
                for table in self.evidence.other_tables
                if table.source is None
            },
        }
        if not self.evidence.secrets or name not in tables:
            return frozenset()
        if name not in self.by_value:
            with self.engine.cursor() as cursor:
                self.by_value[name] = alike(cursor, tables[name], self.evidence.secrets)
        return self.by_value[name]


def _read(rule: Rule) -> set[str]:
    """Return the names of the tables that a rule reads."""
    return {i.name for i in rule.inputs} | ({THIS} if rule.demand else set())
