"""Declared waivers: what is let through although a rule fails, until a day."""

import math
from collections.abc import Mapping
from datetime import date
from typing import Any

from msgspec.structs import replace

from assay.declare.names import Names
from assay.declare.words import WaiverDeclaration
from assay.errors import UsageError
from assay.model import Product, Waiver, Where
from assay.plan.digests import digest
from assay.plan.names import nearest, rule_of
from assay.plan.waivers import LONGEST, wrong_parts

_HINT = 'waiver("finance.orders", rule="no large line", rows=1, until="2027-01-31", because="...")'


def with_waivers(products: Mapping[str, Product], names: Names) -> dict[str, Product]:
    """Return the products with the waivers that are declared of them; report wrong ones."""
    waivers: dict[str, list[Waiver]] = {}
    for declared in names.waivers:
        where = names.relative(declared.where)
        product = products.get(str(declared.product))
        if product is None:
            hint = nearest(str(declared.product), products) or _HINT
            names.report(f"a waiver of {declared.product!r}, which is no product", where, hint)
        elif waiver := _read(declared, product, where, names):
            waivers.setdefault(product.name, []).append(waiver)
    return {
        name: replace(product, waivers=tuple(waivers[name])) if name in waivers else product
        for name, product in products.items()
    }


def _read(
    declared: WaiverDeclaration, product: Product, where: Where, names: Names
) -> Waiver | None:
    before = len(names.problems)
    label = f"a waiver of {product.name}"

    def wrong(what: str, hint: str = _HINT) -> None:
        names.report(f"{label}: {what}", where, hint)

    try:
        rule = rule_of(product, str(declared.rule))
    except UsageError as error:
        wrong(error.what, error.hint)
        return None
    until = _day(declared.until)
    if until is None:
        wrong(f"until={declared.until!r} is no date", 'Write "2027-01-31".')
    if not (isinstance(declared.because, str) and declared.because.strip()):
        wrong("because= should say why")
    elif len(declared.because) > LONGEST:
        wrong(f"because= has at most {LONGEST:,} characters")
    if rule.closes:
        wrong(f"{rule.text!r} is about settled rows, which are restated, not waived")
    if (declared.rows is None) == (declared.measured is None):
        wrong("it needs rows= or measured=: how much it lets through")
    if declared.rows is not None and (type(declared.rows) is not int or declared.rows < 1):
        wrong(f"rows={declared.rows!r} should be a number of rows")
    if declared.measured is not None and not (
        type(declared.measured) in {int, float}
        and 0 <= declared.measured < math.inf
        and rule.limits_measured
    ):
        wrong(f"measured={declared.measured!r}: {rule.text!r} measures no such value")
    parts = declared.parts
    if not (isinstance(parts, list | tuple) and all(isinstance(part, str) for part in parts)):
        wrong(f"parts={parts!r} should be a list of texts")
    elif no_part := wrong_parts(product, parts):
        wrong(f"parts={list(parts)!r}: {no_part}")
    texts = {"approved_by": declared.approved_by, "environment": declared.environment}
    for name, value in texts.items():
        if not isinstance(value, str):
            wrong(f"{name}={value!r} should be a text")
    approvers = names.config.waiver_approvers
    if approvers and declared.approved_by not in approvers:
        wrong(f"approved_by={declared.approved_by!r}", f"One of {', '.join(approvers)}.")
    if len(names.problems) > before or until is None:
        return None
    waiver = Waiver(
        id="",
        product=product.name,
        rule=rule.text,
        until=until,
        because=declared.because.strip(),
        author=str(where),
        approved_by=declared.approved_by,
        environment=declared.environment,
        parts=tuple(parts),
        most_rows=declared.rows,
        most_measured=float(declared.measured) if declared.measured is not None else None,
        where=where,
    )
    return replace(waiver, id=f"w{digest(replace(waiver, where=None, author=''))[:7]}")


def _day(value: Any) -> date | None:
    if type(value) is date:
        return value
    try:
        return date.fromisoformat(value) if isinstance(value, str) and len(value) == 10 else None
    except ValueError:
        return None
