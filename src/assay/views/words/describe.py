"""A product or source in words: what it is, what its columns mean, what it promises, who uses it."""

from collections.abc import Iterator

from assay.text import clean
from assay.views.about import ConsumerView
from assay.views.describe import DescribedColumn, DescribedRule, DescriptionView


def description_lines(view: DescriptionView) -> Iterator[str]:
    """Yield the lines of a description."""
    for line in _lines(view):
        yield clean(line).rstrip()


def _lines(view: DescriptionView) -> Iterator[str]:
    how = ", ".join(filter(None, [view.kind, view.parts, view.files]))
    yield f"{view.name}  ({how})"
    if view.purpose:
        yield f"  {view.purpose}"
    if view.description:
        yield f"  {view.description}"
    facts = {
        "owner": view.owner,
        "promised": view.freshness,
        "version": view.version,
        "access": "" if view.access == "public" else view.access,
        "reads": ", ".join(view.reads),
        "used by": ", ".join([*view.used_by, *map(_consumer, view.consumers)]),
        "declared": view.where,
    }
    for name, text in facts.items():
        if text:
            yield f"  {name:8}  {text}"
    if view.columns:
        yield "  columns"
    names = max((len(column.name) for column in view.columns), default=0)
    types = max((len(column.type) for column in view.columns), default=0)
    for column in view.columns:
        told = ", ".join(filter(None, [column.description, *column_marks(column)]))
        yield f"    {column.name:{names}}  {column.type:{types}}  {told}"
    if view.rules:
        yield "  rules"
    for rule in view.rules:
        yield from _rule(rule)


def column_marks(column: DescribedColumn) -> list[str]:
    """Return what there is to know of a column beside its type: "key", "since 2021-01-15"."""
    before = f" (before that: {column.was})" if column.was else ""
    return [
        *["key"] * column.is_key,
        *["sensitive"] * column.sensitive,
        *[f"since {column.since}{before}"] * bool(column.since),
        *[f"until {column.until}"] * bool(column.until),
        *["optional"] * column.optional,
    ]


def _rule(rule: DescribedRule) -> Iterator[str]:
    marks = [rule.severity] * (rule.severity != "error") + ([rule.owner] if rule.owner else [])
    yield f"    {rule.text}" + (f"  ({', '.join(marks)})" if marks else "")
    if rule.because:
        yield f"      because: {rule.because}"


def _consumer(consumer: ConsumerView) -> str:
    return f"{consumer.name} ({consumer.decides})" if consumer.decides else consumer.name
