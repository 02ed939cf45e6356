"""Sets of the columns that take part in something, each with how: what walks of plans compute with."""

from collections.abc import Iterable, Mapping
from functools import cache

from assay.plan.flows import Flow, How

# A column of an input, or its ROWS: schema and name of the input, column.
Source = tuple[str, str, str]
# How each source takes part, as a set of bits: a query of a hundred columns unites thousands.
Uses = Mapping[Source, int]

NONE: Uses = {}
BIT = {how: 1 << number for number, how in enumerate(How)}
_IDENTITY, _COMPUTED, _AGGREGATED = (
    BIT[how] for how in (How.IDENTITY, How.COMPUTED, How.AGGREGATED)
)


class UnknownPlan(ValueError):
    """A part of a plan that is not known, so that nothing can be said of its columns."""


def united(uses: Iterable[Uses]) -> Uses:
    """Return all that takes part in any of these."""
    total: dict[Source, int] = {}
    for one in uses:
        for source, bits in one.items():
            total[source] = total.get(source, 0) | bits
    return total


def as_how(how: How, uses: Uses) -> Uses:
    """Return the same sources, all of which take part in this way alone."""
    return dict.fromkeys(uses, BIT[how])


def computed(uses: Uses) -> Uses:
    """Return the sources of an expression, of what takes part in its operands."""
    return {
        source: bits & ~_IDENTITY | _COMPUTED if bits & _IDENTITY else bits
        for source, bits in uses.items()
    }


def aggregated(uses: Uses) -> Uses:
    """Return the sources of an aggregate, of what takes part in its arguments."""
    direct = _IDENTITY | _COMPUTED
    return {
        source: bits & ~direct | _AGGREGATED if bits & direct else bits
        for source, bits in uses.items()
    }


def source(name: str, column: str) -> Source:
    """Return a column of an input by the full name of the input."""
    schema, _, table = name.rpartition(".")
    return schema, table, column


def flows_of(uses: Uses) -> tuple[Flow, ...]:
    """Return the flows of all that takes part, sorted by name."""
    flows = (
        Flow(f"{schema}.{table}" if schema else table, column, _hows(bits))
        for (schema, table, column), bits in uses.items()
    )
    return tuple(sorted(flows, key=lambda flow: (flow.of, flow.column)))


@cache
def _hows(bits: int) -> tuple[How, ...]:
    return tuple(how for how, bit in BIT.items() if bits & bit)
