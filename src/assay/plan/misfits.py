"""What of a product does not fit its inputs or its contract, found without data, as plain values."""

from collections.abc import Iterable
from enum import StrEnum

from msgspec import Struct

from assay.model import Where
from assay.plan.flows import TableFlows
from assay.plan.names import close

_LISTED = 12  # columns that a message names


class Degree(StrEnum):
    """How sure it is that something does not fit.

    - `wrong`: a build would fail, or a rule would hold its result back.
    - `doubtful`: it works, but perhaps not as meant.
    - `unchecked`: it cannot be told without data.
    """

    WRONG = "wrong"
    DOUBTFUL = "doubtful"
    UNCHECKED = "unchecked"


class Problem(Struct, frozen=True, kw_only=True):
    """Something that does not fit, or cannot be told, of a query or function.

    - `offset`: the place in the text of the query, in bytes (UTF-8); -1 for none.
    - `where`: the place in a file, of code; None for none.
    """

    what: str
    degree: Degree = Degree.WRONG
    offset: int = -1
    where: Where | None = None


class Misfit(Struct, frozen=True, kw_only=True):
    """A problem of a product.

    - `of`: its column, or the name of its rule; '' for the product itself.
    - `where`: the declaration of the product or of the rule, or a place in its code.
    - `sql`: the query or condition that has the problem; '' for none. `offset` is the place in it,
      in bytes (UTF-8); -1 for none.
    """

    product: str
    degree: Degree
    what: str
    where: Where
    of: str = ""
    sql: str = ""
    offset: int = -1


def no_column(name: str, owner: str, columns: Iterable[str]) -> str:
    """Return that a table, or several, have no such column, and what they have instead."""
    has = list(columns)
    similar = close(name, has)
    more = ", …" if len(has) > _LISTED and not similar else ""
    shown = ", ".join(similar or has[:_LISTED]) + more
    return f"no column {name} in {owner}{f'; it has {shown}' if shown else ''}"


class Traced(Struct, frozen=True, kw_only=True):
    """What the code of a product gives without data: columns and lineage, and its problems.

    Without columns, nothing is known of what it gives. `fleeting`: another time it may be other.
    """

    flows: TableFlows
    problems: tuple[Problem, ...] = ()
    fleeting: bool = False


def unchecked(why: str, *, fleeting: bool = False) -> Traced:
    """Return that nothing is known of what some code gives, and why."""
    problem = Problem(what=why, degree=Degree.UNCHECKED)
    return Traced(flows=TableFlows(unknown=why), problems=(problem,), fleeting=fleeting)
