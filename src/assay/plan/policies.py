"""Which policies of the project are not kept, by what is declared."""

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from datetime import date, datetime
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from assay.errors import UsageError
from assay.model import Kind, Product, Rule, Severity, Source, Where
from assay.plan.graph import Graph
from assay.plan.select import check_matches, select_declared
from assay.policies import Finding, Policies, PolicyTable

# Checks that each contract has, whatever it says of the values.
_OF_SHAPE = {"type", "null", "strict", "ordered", "accounted"}
_Level = Literal["error", "warning"]
_MOST_NAMED = 5  # columns in one finding


class Broken(Struct, frozen=True, kw_only=True):
    """A policy that is not kept, and the finding that says so.

    `where` is the place of what it is about; None for the product, or the rule that it names.
    """

    policy: str
    finding: Finding
    where: Where | None = None


def broken(graph: Graph, policies: Policies, now: datetime) -> Iterator[Broken]:
    """Yield what is not kept of the policies that need the declarations alone.

    `now` decides which reviews are due and which waivers are over. Raises UsageError for a selector that names nothing.
    """
    promised = _promised(graph)
    for name, table in in_force(graph, policies).items():
        declared = _declared(graph, name)
        for policy, severity in table.severities.items():
            if severity == "off":
                continue
            level: _Level = "error" if severity == "error" else "warning"
            if policy == "expired_waivers" and name in graph.products:
                yield from _waivers_over(graph.products[name], now, level)
            for what, of, needs in _findings(policy, declared, table, promised, now.date()):
                finding = Finding(name, what, level, of, needs)
                yield Broken(policy=policy, finding=finding)


def _waivers_over(product: Product, now: datetime, level: _Level) -> Iterator[Broken]:
    """Yield the declared waivers that are over; those that end soon are never more than a warning."""
    for waiver in product.waivers:
        if waiver.is_over(now):
            what = f"its waiver of this rule expired on {waiver.until} and lets nothing through"
            needs = "nothing: remove it, or a later until= after a review"
            finding = Finding(product.name, what, level, waiver.rule, needs)
        elif waiver.is_expiring(now):
            what = f"its waiver of this rule expires on {waiver.until}"
            needs = "data that meets the rule by then, or a later until= after a review"
            finding = Finding(product.name, what, "warning", waiver.rule, needs)
        else:
            continue
        yield Broken(policy="expired_waivers", finding=finding, where=waiver.where)


def in_force(graph: Graph, policies: Policies) -> Mapping[str, PolicyTable]:
    """Return the policies that apply to each product and source; none to quarantined rows.

    A source whose rows are stored is there once: its files are not there besides. Raises UsageError
    for a selector that names nothing.
    """
    chosen = [(_selected(graph, terms), table) for terms, table in policies.tables]
    tables = {}
    files = {product.files for product in graph.products.values()}
    for name in (*graph.order, *graph.sources):
        if name in graph.products and graph.products[name].kind is Kind.QUARANTINE:
            continue
        if name in files:
            continue
        own = [table for names, table in chosen if name in names]
        tables[name] = _merged([policies, *own])
    return tables


def _declared(graph: Graph, name: str) -> Product | Source:
    """Return a product or a source; as a source also one whose rows are stored."""
    product = graph.products.get(name)
    if product is None or not product.files:
        return product or graph.sources[name]
    return replace(graph.sources[product.files], name=name)


def _selected(graph: Graph, terms: str) -> set[str]:
    try:
        for word in terms.replace(",", " ").split():
            check_matches(graph, word)
        return select_declared(graph, terms)
    except UsageError as error:
        what = f'[tool.products.policy.for."{terms}"]: {error.what}'
        raise UsageError(what, hint=error.hint, where=Where("pyproject.toml")) from None


def _merged(tables: Iterable[PolicyTable]) -> PolicyTable:
    severities: dict[str, str] = {}
    pattern = ""
    for table in tables:
        severities |= table.severities
        pattern = table.pattern or pattern
    return PolicyTable(severities=severities, pattern=pattern)


# What is wrong, the column or rule that it is about, and what to write.
_Found = Iterator[tuple[str, str, str]]


def _findings(
    policy: str,
    declared: Product | Source,
    table: PolicyTable,
    promised: Container[str],
    today: date,
) -> _Found:
    match policy:
        case "owner" if not declared.owner:
            yield "nobody answers for it", "", 'owner="team@company.example"'
        case "purpose" if not declared.purpose:
            yield "nothing says what it is for", "", 'purpose="who decides what from it"'
        case "freshness" if declared.name not in promised:
            what = "neither it nor a product that reads it promises how fresh it is"
            yield what, "", 'freshness=Freshness(within="36h")'
        case "names" if table.pattern and not re.fullmatch(table.pattern, declared.name):
            yield f"its name does not match {table.pattern}", "", "another name"
        case "description":
            yield from _without_description(declared)
    if isinstance(declared, Product):
        yield from _of_product(policy, declared, today)


def _of_product(policy: str, product: Product, today: date) -> _Found:
    contract = product.contract
    match policy:
        case "key" if product.kind is not Kind.FILE and not contract.key:
            needs = 'pa.Field(unique=True), or unique = ["a", "b"] in class Config, in its contract'
            yield "it has no key: nothing says which columns identify a row", "", needs
        case "error_rule" if not any(map(_is_about_values, contract.rules)):
            needs = "rules=[rule.rows(at_least=1)], or a check in its contract"
            yield "no rule of severity error is about its values", "", needs
        case "review":
            for rule in contract.overdue(today):
                what = f"the review of this rule was due {rule.review_by}"
                yield what, rule.text, "review_by= with the day of the next review, once reviewed"


def _is_about_values(rule: Rule) -> bool:
    return rule.severity is Severity.ERROR and not (rule.demand and rule.demand.kind in _OF_SHAPE)


def _promised(graph: Graph) -> set[str]:
    """Return what has a promise of freshness, or is read, also through others, by what has one."""
    promised: set[str] = set()
    for name in (*reversed(graph.order), *graph.sources):
        if _declared(graph, name).freshness or not promised.isdisjoint(graph.below.get(name, ())):
            promised.add(name)
    return promised


def _without_description(declared: Product | Source) -> _Found:
    if isinstance(declared, Product):
        if declared.kind is Kind.FILE:
            return
        columns = declared.contract.columns
        if not columns:
            what = "no contract says what its columns mean"
            yield what, "", "contract=, with pa.Field(description=...) for each column"
            return
    else:
        columns = declared.columns
    missing = [column.name for column in columns if not column.description]
    if not missing:
        return
    needs = 'pa.Field(description="what it means")'
    if isinstance(declared, Source):
        needs = f'columns={{"{missing[0]}": (…, "what it means")}}'
    if len(missing) == 1:
        yield "nothing says what this column means", missing[0], needs
        return
    rest = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
    named = f"{', '.join(missing[:_MOST_NAMED])}{rest}"
    yield f"nothing says what these columns mean: {named}", "", needs
