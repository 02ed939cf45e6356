"""The evidence to check a version: its files, those its rules read, and recorded findings."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from msgspec.structs import replace

from assay.build.inputs import Inputs
from assay.catalog import Catalog
from assay.decisions import KnownInput
from assay.engines.tables import InputFiles, StoredTable, stored, stored_singly
from assay.errors import BuildError, StoreError
from assay.facts import Version, short
from assay.model import PREVIOUS, THIS, Kind, Product
from assay.plan.graph import Graph
from assay.plan.states import published_version
from assay.plan.verdicts import against, compared_with, judged_as_of, restated_rows_of
from assay.rules.early import EarlyChecks
from assay.rules.evidence import Evidence, PartEvidence
from assay.rules.incremental.parts import VersionParts
from assay.rules.incremental.remembered import has_no_findings, rules_digest
from assay.rules.incremental.total_queries import TotalsQuery
from assay.rules.incremental.totals import (
    PartTotals,
    TableTotals,
    splits,
    total_queries_of,
    totals_digest,
)
from assay.rules.likeness import Secrets, alike
from assay.rules.verdict import JudgeOrder
from assay.sensitive import secret

_NO_FILES = StoredTable(())


def needs_files(product: Product, version: Version) -> bool:
    """Return whether files must be read to check a version."""
    return version.in_parts or product.quarantines or bool(product.contract.rules)


def is_judged_alone(graph: Graph, product: Product) -> bool:
    """Return whether a version is checked by its own files: no other table, and no catalog."""
    contract = product.contract
    reads_others = not set(contract.reads) <= {THIS} or contract.closes
    in_parts = product.partition is not None or product.quarantines
    return bool(contract.rules) and not (reads_others or in_parts or _may_hide(graph, product))


def judge_order(
    inputs: Inputs,
    product: Product,
    version: Version,
    *,
    states: Mapping[str, object],
    catalog: Catalog,
    run: str,
    early: EarlyChecks | None = None,
) -> JudgeOrder:
    """Return the order to check a version; carrying it out needs no catalog.

    It has no files where `early` says that all rules pass.
    """
    observed = inputs.observed
    read = {name: states.get(name) for name in product.rule_inputs}
    digests = {name: s.digest for name, s in read.items() if isinstance(s, KnownInput)}
    order = JudgeOrder(
        product=product,
        version=version,
        evidence=Evidence(
            this=_NO_FILES, columns=version.columns, rows=version.rows, now=observed.now
        ),
        against=against(product, version, digests, observed),
        run=run,
        restated=restated_rows_of(version, observed.facts) if product.contract.closes else (),
        answers=early.answers if early else {},
    )
    if not needs_files(product, version) or (early and early.pass_all):
        return order
    return replace(
        order,
        evidence=evidence_of(inputs, product, version),
        parts=_parts(inputs, product, version, catalog) if version.in_parts else None,
    )


def evidence_of(inputs: Inputs, product: Product, version: Version) -> Evidence:
    """Return the files that the rules of a version read, and their sensitive columns."""
    aliases = {i.alias: i.name for rule in product.contract.rules for i in rule.inputs}
    products = inputs.graph.products
    tables = [inputs.files_of(alias, n) for alias, n in aliases.items() if n in products]
    before = _before(inputs, product, version)
    if before:
        tables.append(_previous(inputs, before))
    names = {THIS, PREVIOUS, *(files.name for files in tables if files.name in products)}
    asides = version.asides
    return Evidence(
        this=inputs.files_of_version(THIS, THIS, version).table,
        columns=version.columns,
        rows=version.rows,
        quarantined=stored(version, inputs.storage, asides) if asides else None,
        rows_in=version.rows_in,
        other_tables=tuple(tables),
        before=before.columns if before else (),
        built=before.built_at if before else None,
        now=judged_as_of(version, inputs.observed),
        sensitive=_sensitive(inputs, product, names),
        secrets=_secrets(inputs, product),
    )


def _before(inputs: Inputs, product: Product, version: Version) -> Version | None:
    """Return the version that rules compare with.

    If its files are lost, files of the version to check with identical rows replace them: a lost
    published version is built again, and compared with what it was.
    """
    facts, storage = inputs.observed.facts, inputs.storage
    before = compared_with(product, version, facts) if product.uses_previous else None
    if before is None or storage.holds(before.parts):
        return before
    same = {(part.key, part.digest): part for part in version.parts}
    parts = [
        part if storage.holds([part]) else same.get((part.key, part.digest), part)
        for part in before.parts
    ]
    return replace(before, parts=tuple(parts))


def _previous(inputs: Inputs, before: Version) -> InputFiles:
    """Return the version that rules compare with as a table; StoreError if its files are lost."""
    try:
        return inputs.files_of_version(PREVIOUS, PREVIOUS, before)
    except StoreError as error:
        name = before.product
        raise StoreError(
            f"rules of {name} compare with the published version {short(before.id)},"
            f" which is lost: {error.what}",
            hint=f"`products verify {name} --repair` looks for another copy. Without one,"
            f" `products restore {name} VERSION` publishes an earlier version to compare with,"
            f" and `products retire {name}` lets the next run publish without comparing.",
        ) from None


# --------------------------------------------------------------------------------------- parts


def _parts(inputs: Inputs, product: Product, version: Version, catalog: Catalog) -> VersionParts:
    """Return the parts of a version, with their recorded findings and totals."""
    rules = rules_digest(product, version.columns, inputs.graph.sensitive(product.name))
    published = published_version(product.name, inputs.observed.facts)
    findings = _recorded_findings(product, version, rules, catalog, published)
    return VersionParts(
        parts=_part_evidence(inputs, version, findings),
        rules=rules,
        totals=_part_totals(inputs, product, version, catalog),
        table_of=_table_of(inputs, version),
        held=version.key.held,
    )


def _part_evidence(
    inputs: Inputs, version: Version, findings: Mapping[int, Mapping[str, Any]]
) -> list[PartEvidence]:
    """Return the parts of a version; a part without recorded findings (by id) has its files."""
    table_of = stored_singly(version, inputs.storage)
    return [
        PartEvidence(
            key=part.key,
            id=part.id,
            table=_NO_FILES if part.id in findings else table_of([part]),
            rows=part.rows,
            aside=table_of([part.aside]) if part.aside and part.id not in findings else None,
            rows_in=part.rows_in,
            lost=(part.rows_in or 0) - part.rows - part.aside.rows if part.aside else 0,
            remembered=findings.get(part.id),
        )
        for part in version.parts
    ]


def _table_of(inputs: Inputs, version: Version) -> Callable[[str], StoredTable]:
    """Return a function that gives the files of one part of a version."""
    parts = {part.key: part for part in version.parts}
    return lambda key: stored(version, inputs.storage, [parts[key]])


def _recorded_findings(
    product: Product, version: Version, rules: str, catalog: Catalog, published: Version | None
) -> Mapping[int, Mapping[str, Any]]:
    """Return the recorded findings of rules in the parts of a version, by the part's id.

    `rules` is the digest of the rules. The catalog is not read for the parts of the published
    version if its verdict says that no row failed.
    """
    passed: set[int] = set()
    if published and published.columns == version.columns and not published.key.held:
        results = [
            verdict.results
            for verdict in catalog.verdicts(published.id)
            if verdict.contract == product.contract.digest
        ]
        if any(has_no_findings(product, published.columns, result) for result in results):
            passed = {part.id for part in published.parts}
    ids = [part.id for part in version.parts]
    nothing: Mapping[str, Any] = {}
    recorded = catalog.judged([id for id in ids if id not in passed], rules)
    return {**{id: nothing for id in ids if id in passed}, **recorded}


def totals_of(
    inputs: Inputs, product: Product, version: Version
) -> tuple[dict[str, TotalsQuery], dict[str, Version]]:
    """Return the rules whose totals are sums of parts' totals, and the tables of rules by alias."""
    if not version.in_parts:
        return {}, {}
    tables = {THIS: version, PREVIOUS: _before(inputs, product, version) or version}
    names = {i.alias: i.name for rule in product.contract.rules for i in rule.inputs}
    for alias, name in names.items():
        if name in inputs.graph.products:
            with suppress(BuildError):  # not published yet
                tables[alias] = inputs.version(name)
    return splits(product, tables, _sensitive(inputs, product, set(names.values()))), tables


def _part_totals(
    inputs: Inputs, product: Product, version: Version, catalog: Catalog
) -> PartTotals:
    """Return the rules on totals of a version in parts, with the recorded totals of its parts."""
    all_rules, tables = totals_of(inputs, product, version)
    rules = all_rules
    if product.uses_previous and not _before(inputs, product, version):
        compares = {
            rule.text
            for rule in product.contract.rules
            if any(i.name == PREVIOUS for i in rule.inputs)
        }
        rules = {text: query for text, query in all_rules.items() if text not in compares}
    totals: dict[str, TableTotals] = {}
    for alias in sorted({block.table for query in rules.values() for block in query.blocks}):
        table = tables[alias]
        aliases = {THIS, PREVIOUS} if alias in {THIS, PREVIOUS} else {alias}
        # Also queries of rules that cannot compare yet, so that the digest stays the same.
        queries = total_queries_of(all_rules.values(), aliases)
        digest = totals_digest(queries, table.columns)
        recorded = catalog.judged([part.id for part in table.parts], digest)
        parts = _part_evidence(inputs, table, recorded)
        totals[alias] = TableTotals(rules=digest, queries=queries, parts=parts)
    return PartTotals(rules=rules, tables=totals)


# --------------------------------------------------------------------------- sensitive columns


def _sensitive(inputs: Inputs, product: Product, names: Iterable[str]) -> dict[str, frozenset[str]]:
    """Return the patterns of sensitive columns of these tables, by name."""
    own = {THIS, PREVIOUS}
    return {
        name: frozenset(inputs.graph.sensitive(product.name if name in own else name))
        for name in names
    }


def _secrets(inputs: Inputs, product: Product) -> tuple[Secrets, ...]:
    """Return the sensitive columns that upstream functions may have renamed.

    There are none without functions: the columns of a query can be traced to its inputs.
    """
    graph = inputs.graph
    if not _may_hide(graph, product):
        return ()
    secrets = []
    for marked in _with_upstream(graph, product):
        if not (marked.contract.sensitive or graph.sensitive(marked.files)):
            continue
        with suppress(BuildError, StoreError):  # not published, or its files are lost
            version = inputs.version(marked.name)
            names_of = [column.name for column in version.columns]
            columns = secret(names_of, graph.sensitive(marked.name))
            table = inputs.files_of_version(THIS, marked.name, version).table
            secrets.append(Secrets(table, tuple(sorted(columns))))
    return tuple(secrets)


def _with_upstream(graph: Graph, product: Product) -> list[Product]:
    """Return a product, what its rules read, and all products upstream of these."""
    names = {product.name, *product.rule_inputs}
    names |= {upstream for name in names for upstream in graph.upstream(name)}
    return [graph.products[name] for name in sorted(names) if name in graph.products]


def _may_hide(graph: Graph, product: Product) -> bool:
    """Return whether an upstream function may give a sensitive column another name."""
    functions = [p for p in _with_upstream(graph, product) if p.kind is Kind.FUNCTION]
    return any(graph.sensitive(i.name) for function in functions for i in function.inputs)


def never_shown(inputs: Inputs, product: Product, table: StoredTable) -> frozenset[str]:
    """Return the patterns of columns to hide, by name or by their values in `table`."""
    patterns = inputs.graph.sensitive(product.name)
    secrets = _secrets(inputs, product) if patterns else ()
    if not secrets:
        return patterns
    engine = inputs.engine()
    try:
        with engine.cursor() as cursor:
            return patterns | alike(cursor, table, secrets)
    finally:
        engine.close()
