"""What must not be shown of what is judged: by the names of columns, by what they hold, in what went wrong."""

from collections.abc import Collection, Iterable, Sequence

from msgspec import Struct, field

from assay.engines.duckdb import DuckDB
from assay.masking import VEILED, of_sql, veiled
from assay.model import THIS, Rule
from assay.rules import with_queries
from assay.rules.evidence import Evidence
from assay.rules.likeness import alike
from assay.sensitive import secret


class HiddenValues(Struct):
    """What must not be shown of the evidence; columns are compared by value once something is about to be shown."""

    evidence: Evidence
    engine: DuckDB
    found: dict[str, frozenset[str]] = field(
        default_factory=dict
    )  # patterns of columns alike by value, by table

    def in_this(self, names: Iterable[str]) -> set[str]:
        """Return which of these columns of `this` must not be shown."""
        return secret(names, self._patterns({THIS}))

    def in_rows(self, rule: Rule, query: str, names: Sequence[str]) -> set[str]:
        """Return which columns of the result of a rule's query must not be shown."""
        if rule.demand is not None:  # whole rows of `this`, each column under its own name
            return self.in_this(names)
        return with_queries.hidden(query, names, self.patterns(rule))

    def patterns(self, rule: Rule) -> frozenset[str]:
        """Return patterns of the columns never to be shown of all that a rule reads."""
        return self._patterns(_read(rule))

    def is_measured(self, rule: Rule) -> bool:
        """Say whether what a rule measures may be a sensitive value."""
        sensitive = self._by_name(rule)
        return rule.compares and bool(sensitive) and with_queries.names_secret(rule.sql, sensitive)

    def veiled(self, rule: Rule, words: str) -> str:
        """Return what went wrong, with what may be a value masked where one might be quoted that must not be shown."""
        if not self._by_name(rule):
            return words
        columns = [*self.evidence.columns, *self.evidence.before]
        known = {
            *(c.name for c in columns),
            *(feed.alias for feed in self.evidence.others),
            *of_sql(rule.sql),
        }
        shown = veiled(words, known, counted=bool(rule.sql))
        return words if shown == words else f"{shown} {VEILED}"

    def _by_name(self, rule: Rule) -> frozenset[str]:
        return frozenset(
            pattern for name in _read(rule) for pattern in self.evidence.sensitive.get(name, ())
        )

    def _patterns(self, names: Collection[str]) -> frozenset[str]:
        by_name = (self.evidence.sensitive.get(name, ()) for name in names)
        return frozenset[str]().union(*by_name, *map(self._alike, names))

    def _alike(self, name: str) -> frozenset[str]:
        tables = {
            THIS: self.evidence.this,
            **{f.name: f.table for f in self.evidence.others if f.source is None},
        }
        if not self.evidence.secrets or name not in tables:
            return frozenset()
        if name not in self.found:
            with self.engine.cursor() as cursor:
                self.found[name] = alike(cursor, tables[name], self.evidence.secrets)
        return self.found[name]


def _read(rule: Rule) -> set[str]:
    """Return the names of the tables that a rule reads."""
    return {i.name for i in rule.inputs} | ({THIS} if rule.demand else set())
