"""What is wrong with definitions that ask what time it is, or for chance, and do not say how often that is to count."""

import ast
from collections.abc import Iterator

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
    'Say changes_with="day" (or "hour", "week", "month" …; in UTC): it is built again when another day begins. '
    'changes_with="never" keeps what was built.'
)
_CHANCE = (
    "Take what is the same every time, such as hash(key) or a sample with a seed. "
    'changes_with="never" keeps what was built.'
)
_LOADING = "Ask when the function runs: a parameter `today: date` (or `now: datetime`) is given the moment."
_UNSAID = "asks what time it is, and the product does not say what it changes with"


def in_query(
    declared: ProductDeclaration,
    parsed: Parsed,
    what: str,
    where: Where,
    *,
    file: str = "",
    columns: bool = True,
) -> Iterator[Problem]:
    """Yield what is wrong with the clocks of a query.

    `file` is the text of the file that it is, if it is one; `columns` says whether the names of its columns count.
    """
    for spot in sorted(parsed.moving, key=lambda spot: spot.offset):
        line, column, shown = place(file or parsed.statement, max(spot.offset, 0))
        here = Where(where.file, line) if file else where
        label = f"{what}, line {line} column {column}" if spot.offset >= 0 else what
        if not declared.changes_with:
            yield _unsaid(spot, label, here)
            return
        if spot.unnamed and columns and not spot.chance:
            told = f"{label}: a column made of {spot.name} has no name"
            yield Problem(
                what=told, where=here, hint=f"Write `as` and a name behind it: {shown.strip()}"
            )


def _unsaid(spot: Moving, label: str, where: Where) -> Problem:
    if spot.chance:
        return Problem(
            what=f"{label}: {spot.name} gives something else every time", where=where, hint=_CHANCE
        )
    return Problem(what=f"{label}: {spot.name} {_UNSAID}", where=where, hint=_TURN)


def in_code(
    declared: ProductDeclaration, reach: CodeDigest, what: str, local: Local
) -> Iterator[Problem]:
    """Yield what is wrong with the clocks that code reads."""
    for (file, chain), (start, loading) in sorted(reach.clocks.items()):
        where = Where(local.inside(file), _line(local, file, chain, start))
        if loading and declared.changes_with != NEVER:
            told = f"{what} is made of {chain}, which is asked only when the module is imported"
            yield Problem(what=told, where=where, hint=_LOADING)
        elif not declared.changes_with:
            yield Problem(what=f"{what}: {chain} {_UNSAID}", where=where, hint=_TURN)


def _line(local: Local, file: str, chain: str, start: int) -> int:
    """Return the line on which a dotted name stands, at or after one."""
    tree = local.tree_of(file)
    nodes = ast.walk(tree.module) if tree else ()
    lines = [
        n.lineno for n in nodes if isinstance(n, ast.Attribute | ast.Name) and chain_of(n) == chain
    ]
    return min((line for line in lines if line >= start), default=start)
