"""Problems of code and queries that read the clock or a random source without `changes_with`."""

import ast
from collections.abc import Iterator

from msgspec import Struct

from assay.declare.imports import Local
from assay.declare.pycode import CodeDigest
from assay.declare.pysource import chain_of
from assay.declare.words import ProductDeclaration
from assay.engines.sql.clock import Moving
from assay.engines.sql.reader import Parsed, place
from assay.errors import Problem
from assay.model import Where
from assay.plan.moments import NEVER

_TURN = (
    'Say changes_with="day" (or "hour", "week", "month" …; in UTC):'
    " it is built again when another day begins."
    ' changes_with="never" keeps what was built.'
)
_CHANCE = (
    "Take what is the same every time, such as hash(key) or a sample with a seed. "
    'changes_with="never" keeps what was built.'
)
_LOADING = (
    "Ask when the function runs:"
    " a parameter `today: date` (or `now: datetime`) is given the moment."
)
_UNDECLARED = "asks what time it is, and the product does not say what it changes with"


class QuerySource(Struct, frozen=True):
    """Where a query was written.

    `label` names the query in messages. `file_text` is the text of its SQL file, or ''. For a query
    that was generated around a condition, positions in messages are positions in `condition`.
    """

    label: str
    where: Where
    file_text: str = ""
    condition: str = ""


def in_query(
    declared: ProductDeclaration, parsed: Parsed, source: QuerySource, *, needs_names: bool
) -> Iterator[Problem]:
    """Yield the problems of the clocks in a query.

    With `needs_names`, a column that is computed from the clock must have a name.
    """
    for clock in sorted(parsed.moving, key=lambda clock: clock.offset):
        text, offset = source.file_text or parsed.statement, max(clock.offset, 0)
        line, column, line_text = place(text, offset, inside=source.condition)
        where = Where(source.where.file, line) if source.file_text else source.where
        position = f", line {line} column {column}" if clock.offset >= 0 else ""
        label = f"{source.label}{position}"
        if not declared.changes_with:
            yield _undeclared(clock, label, where)
            return
        if clock.unnamed and needs_names and not clock.chance:
            message = f"{label}: a column made of {clock.name} has no name"
            hint = f"Write `as` and a name behind it: {line_text.strip()}"
            yield Problem(what=message, where=where, hint=hint)


def in_code(
    declared: ProductDeclaration, reach: CodeDigest, label: str, local: Local
) -> Iterator[Problem]:
    """Yield the problems of the clocks that code reads; `label` names the code in messages."""
    for (file, chain), (start, loading) in sorted(reach.clocks.items()):
        where = Where(local.inside(file), _line(local, file, chain, start))
        if loading and declared.changes_with != NEVER:
            message = f"{label} is made of {chain}, which is asked only when the module is imported"
            yield Problem(what=message, where=where, hint=_LOADING)
        elif not declared.changes_with:
            yield Problem(what=f"{label}: {chain} {_UNDECLARED}", where=where, hint=_TURN)


def _undeclared(clock: Moving, label: str, where: Where) -> Problem:
    if clock.chance:
        message = f"{label}: {clock.name} gives something else every time"
        return Problem(what=message, where=where, hint=_CHANCE)
    return Problem(what=f"{label}: {clock.name} {_UNDECLARED}", where=where, hint=_TURN)


def _line(local: Local, file: str, chain: str, start: int) -> int:
    """Return the first line from `start` on with a dotted name; `start` if there is none."""
    tree = local.tree_of(file)
    nodes = ast.walk(tree.module) if tree else ()
    names = [node for node in nodes if isinstance(node, ast.Attribute | ast.Name)]
    lines = [node.lineno for node in names if chain_of(node) == chain]
    return min((line for line in lines if line >= start), default=start)
