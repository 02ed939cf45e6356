"""Turns the declarations of a project into its products and sources."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

from msgspec import Struct, field

from assay.config import Config
from assay.declare.approvals import with_approvals
from assay.declare.calendars import Calendars
from assay.declare.contracts import read_contract
from assay.declare.implementations import read_implementation
from assay.declare.imports import Loaded, Local
from assay.declare.landing import with_columns
from assay.declare.loopvars import Declared, shared_variables
from assay.declare.names import Names
from assay.declare.partitions import Partitions
from assay.declare.products import check_history, check_metadata, quarantine_of, read_product
from assay.declare.project_code import ProjectCode
from assay.declare.promises import with_trading
from assay.declare.queries import sql_texts
from assay.declare.recalled_contracts import RecalledContracts
from assay.declare.sources import read_source
from assay.declare.waivers import with_waivers
from assay.engines.make import Recipe
from assay.engines.sql import reader
from assay.engines.sql.tracing import traced
from assay.model import Access, Product, Where
from assay.plan.graph import Graph
from assay.plan.names import nearest
from assay.rules.schema import Schema


class Definition(Struct, frozen=True, kw_only=True):
    """What runs for a product: `recipe` (None: its SQL), and the checks behind its rules."""

    recipe: Recipe | None = None
    schema: Schema = field(default_factory=Schema)


class Resolved(Struct):
    """A project's graph, what runs for each product, and the files of SQL and of days that were read.

    `made_from` identifies what it was read from, `files_read` are the files besides modules; '' and
    none where files changed while they were read.
    """

    graph: Graph
    definitions: dict[str, Definition] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    made_from: str = ""
    files_read: list[str] = field(default_factory=list)


def resolve(
    config: Config, loaded: Loaded, local: Local, reads: str, recalled: RecalledContracts
) -> Resolved:
    """Return the declared products and sources; DeclarationError with every problem in them.

    `reads` is the digest of the files and variables that `reads` in pyproject.toml names.
    `recalled` are contracts of earlier readings.
    """
    names = Names(config, loaded, local)
    calendars = Calendars(names)
    code = ProjectCode(config, local, reads, recalled)
    declared = names.products
    _check_loop_variables(names)
    contracts, implementations = {}, {}
    with reader.read_ahead(text for product in declared.values() for text in sql_texts(product)):
        for name, product in declared.items():
            check_metadata(name, product, names)
            contracts[name] = read_contract(name, product, names, code)
            implementations[name] = read_implementation(name, product, names, code)
        partitions = Partitions(names, contracts, implementations)
        sources = {
            name: read_source(name, source, partitions.of(name), calendars)
            for name, source in names.sources.items()
        }
        products = {
            name: read_product(
                name,
                product,
                contracts[name],
                implementations[name],
                partitions,
                calendars=calendars,
            )
            for name, product in declared.items()
        }
    for each in products.values():
        check_history(each, sources, products, names)
    definitions = {
        name: Definition(recipe=implementations[name].recipe, schema=contracts[name].schema)
        for name in products
    }
    for quarantined in [product for product in products.values() if product.quarantines]:
        quarantine = quarantine_of(quarantined, names)
        products[quarantine.name] = quarantine
        definitions[quarantine.name] = Definition()
    for stored in [product for product in products.values() if product.files]:
        schema = contracts[stored.name].schema
        products[stored.name] = with_columns(stored, sources, schema)
    products = with_approvals(with_waivers(products, names), names)
    graph = Graph(products=products, sources=sources, calendars=calendars.by_name)
    _check_referenced(graph, names, definitions)
    _check_cycle(graph, names)
    _check_access(graph, names)
    graph = with_trading(graph, names)
    names.raise_problems()
    graph = traced(graph)
    partitions.check_sensitive(graph)
    names.raise_problems()
    files = [found.sql_file for found in implementations.values() if found.sql_file]
    files += [*calendars.files, *dict.fromkeys(names.files)]
    return Resolved(graph=graph, definitions=definitions, files=files)


def _check_loop_variables(names: Names) -> None:
    """Report functions of products and rules that all see the last value of a loop's variable."""
    functions: list[Declared] = []
    for name, product in names.products.items():
        functions.append(Declared(name, product.where, product.make, product.variables))
        functions += [
            Declared(f"a rule of {name}", rule.where, rule.function, rule.variables)
            for rule in product.rules
        ]
    for first, message, hint in shared_variables(functions):
        names.report(message, names.relative(first.where), hint)


def _check_referenced(graph: Graph, names: Names, definitions: Mapping[str, Definition]) -> None:
    """Report rules that refer to a column which the contract of the other product does not have.

    A contract that allows other columns is believed, unless it has one of almost that name.
    """
    for name, product in names.products.items():
        for rule in product.rules:
            table, _, column = str(rule.given.get("other", "")).rpartition(".")
            full = (names.find(table, name.partition(".")[0]) if table else None) or ""
            if rule.kind != "references" or full not in graph.products:
                continue
            known = [each.name for each in graph.products[full].contract.columns]
            if not known or column.lower() in {each.lower() for each in known}:
                continue
            close = nearest(column, known)
            contract = definitions[full].schema.pandera  # None: all columns of files are declared
            if close or contract is None or contract.strict:
                message = f"rule.references of {name}: {full} has no column {column!r}"
                hint = close or f"It has {', '.join(known)}."
                names.report(message, names.relative(rule.where), hint)


def _check_cycle(graph: Graph, names: Names) -> None:
    """Report products that depend on each other, if there is no other problem."""
    cycle = [] if names.problems else graph.cycle()
    if cycle:
        steps = list(pairwise(cycle))
        rules = [rule for product, read in steps if (rule := _only_in_rule(graph, product, read))]
        message = f"these products depend on each other: {' -> '.join(cycle)}"
        hint = "Break the circle: one of them has to read something else."
        if rules:
            message += f" ({'; '.join(rules)})"
            hint = (
                "Break the circle: a rule is checked before its product is published, so what it"
                " reads is needed first. Declare the rule on the product that it reads, or on a later one."
            )
        names.report(message, graph.products[cycle[0]].where, hint)


def _only_in_rule(graph: Graph, name: str, read: str) -> str:
    """Return which rule of a product reads another; '' if it also depends on its data."""
    product = graph.products[name]
    if not product.reads_in_rules_only(read):
        return ""
    return f"{name} reads {read} in its rule {product.rules_that_read(read)[0]!r}"


def _check_access(graph: Graph, names: Names) -> None:
    """Report products and rules that read what is private to another domain."""
    for product in graph.products.values():
        for read in product.reads:
            other = graph.products.get(read) or graph.sources.get(read)
            if other and other.access is Access.PRIVATE and other.domain != product.domain:
                message = f"{product.name} reads {read}, which is private to {other.domain}"
                hint = (
                    f"Read another product of {other.domain}, or declare {read} with"
                    f' access="protected" ({other.where}).'
                )
                names.report(message, _place_of_reading(product, read), hint)


def _place_of_reading(product: Product, read: str) -> Where:
    """Return where a product is declared, or the rule of it that alone reads something."""
    if any(i.name == read for i in product.inputs):
        return product.where
    rules = product.contract.rules
    reading = (rule.where for rule in rules if any(i.name == read for i in rule.inputs))
    return next(reading, product.where)
