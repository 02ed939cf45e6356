"""Logic that changed while nothing that describes it did, as findings of `products check`."""

import re
from collections.abc import Iterator, Mapping, Sequence

from assay.build.workspace import Workspace
from assay.engines.sql import reader
from assay.engines.sql.changes.queries import query_changes
from assay.engines.sql.tables import Unreadable
from assay.model import Product
from assay.plan.changes.contracts import Revision, renamed_of
from assay.plan.changes.logic import Drift, drift_of
from assay.plan.changes.values import Change
from assay.plan.policies import in_force
from assay.views.check import FindingKind, FindingView, Level

_POLICY, _OFF = "logic_drift", "off"
_SHOWN = 4  # differences of a query, or names, that are listed
_NOTHING = "no rule, purpose, review date or version changed with it"


def logic_findings(
    workspace: Workspace, before: Revision, changes: Sequence[Change]
) -> Iterator[FindingView]:
    """Yield a finding for each product whose logic and description drift apart.

    `changes` are those since `before`: a query with new names of renamed columns is the same logic.
    The policy `logic_drift` decides how much that matters.
    """
    graph = workspace.graph
    now = Revision(graph=graph)
    renamed = renamed_of(before, now)
    tables = in_force(graph, workspace.config.policy)
    for name, old in before.graph.products.items():
        new = graph.products.get(renamed.get(name, name))
        severity = (
            tables[new.name].severities.get(_POLICY, "") if new and new.name in tables else ""
        )
        if new is None or severity == _OFF:
            continue
        drift = drift_of(old, new, same_logic=_same_logic(old, new, changes))
        if drift:
            yield _finding(drift, old, new, severity)


def _same_logic(old: Product, new: Product, changes: Sequence[Change]) -> bool:
    """Return whether two queries are the same, but for the new names of columns of their inputs."""
    if not (old.sql and new.sql) or old.sql == new.sql:
        return False
    inputs = {i.name for i in old.inputs}
    columns = {
        change.of: change.renamed_to
        for change in changes
        if change.renamed_to and change.of and change.name in inputs | {old.name}
    }
    return bool(columns) and same_query(_with_names(old.sql, columns), new.sql)


def _with_names(sql: str, names: Mapping[str, str]) -> str:
    words = "|".join(map(re.escape, names))
    return re.sub(rf"(?<![\w']){'(' + words + ')'}(?![\w'])", lambda word: names[word[1]], sql)


def same_query(one: str, other: str) -> bool:
    """Return whether two texts of SQL mean the same, whatever their layout."""
    if one.split() == other.split():
        return True
    try:
        return reader.parse(one).meaning == reader.parse(other).meaning
    except Unreadable:
        return False


def _finding(drift: Drift, old: Product, new: Product, severity: str) -> FindingView:
    if drift.described:
        level = Level.NOTE
        what = f"its {' and '.join(drift.described)} changed, and its logic did not"
    else:
        level = Level.ERROR if severity == "error" else Level.WARNING
        what = f"{_words(drift, old, new)}; {_NOTHING}"
    return FindingView(
        kind=FindingKind.LOGIC,
        level=level,
        name=drift.name,
        what=what,
        file=drift.where.file,
        line=drift.where.line,
    )


def _words(drift: Drift, old: Product, new: Product) -> str:
    """Return what changed of the logic."""
    if old.sql and new.sql and old.sql != new.sql:
        return f"its query changed ({_listed(query_changes(old.sql, new.sql))})"
    return f"its code changed ({_listed([name.rpartition('.')[2] for name in drift.reached])})"


def _listed(texts: Sequence[str]) -> str:
    more = f"; and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return "; ".join(texts[:_SHOWN]) + more
