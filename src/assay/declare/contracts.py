"""Digests of contracts: what a schema demands, and the code of its own checks."""

from typing import Any

from assay.declare.pycode import CodeDigest
from assay.plan.digests import digest
from assay.rules.schema import Schema, dtype_of, is_built_in


def schema_digest(contract: Any, schema: Schema, reach: CodeDigest) -> str:
    """Return the digest of a schema: all it demands, and the code of its own checks with all that it reaches."""
    if isinstance(contract, type):
        reach.visit(contract.__qualname__, contract)
    told = []
    for rule in schema.rules:
        assert rule.demand is not None
        detail: list[Any] = [
            rule.demand.place,
            rule.text,
            rule.severity,
            dict(rule.demand.arguments),
        ]
        if rule.demand.kind == "type":
            column = schema.pandera.columns[rule.demand.column]
            detail += [str(dtype_of(schema.pandera, column)), column.required, column.regex]
        told.append(detail)
    for place, check in schema.checks.items():
        told.append(check_digest(check, place, reach))
    marks = [list(schema.sensitive), *([list(schema.cleared)] if schema.cleared else [])]
    return digest([told, dict(reach.parts), *(marks if schema.sensitive or schema.cleared else [])])


def check_digest(check: Any, place: str, reach: CodeDigest) -> list[Any]:
    """Return what tells a check from others; `reach` gathers the code of one that is the user's own."""
    reach.visit(f"{place}.statistics", dict(check.statistics or {}))
    if not is_built_in(check):
        reach.visit(place, check._check_fn)
        reach.visit(f"{place}.options", getattr(check, "_check_kwargs", {}))
    return [
        str(check.name),
        repr(
            (
                check.ignore_na,
                check.element_wise,
                check.groupby,
                check.groups,
                check.n_failure_cases,
            )
        ),
    ]
