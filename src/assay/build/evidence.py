"""What a version is judged by: its files, what its rules compare with, and what is recorded of its parts."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from msgspec.structs import replace

from assay.build.inputs import Inputs
from assay.catalog import Catalog
from assay.decisions import KnownInput
from assay.engines.tables import InputFiles, StoredTable, stored
from assay.errors import BuildError, StoreError
from assay.facts import Version, short
from assay.model import PREVIOUS, QUARANTINE, THIS, Kind, Product
from assay.plan.graph import Graph
from assay.plan.states import published_version
from assay.plan.verdicts import against, compared_with, judged_as_of, waivers_of
from assay.rules.evidence import Evidence, PartEvidence
from assay.rules.incremental.parts import VersionParts
from assay.rules.incremental.remembered import found_nothing, rules_digest
from assay.rules.incremental.total_queries import TotalsQuery
from assay.rules.incremental.totals import (
    PartTotals,
    TableTotals,
    asked_of,
    splits,
    totals_digest,
)
from assay.rules.likeness import Secrets, alike
from assay.rules.verdict import JudgeOrder
from assay.sensitive import secret

_NO_FILES = StoredTable(())


def needs_files(product: Product, version: Version) -> bool:
    """Return whether any file has to be read to judge a version."""
    return version.in_parts or product.quarantines or bool(product.contract.rules)


def is_judged_alone(graph: Graph, product: Product) -> bool:
    """Return whether the files of a version are all that judging it needs: no other table, and no catalog."""
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
) -> JudgeOrder:
    """Return everything that a version is judged by, so that judging it needs no catalog."""
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
        waivers=waivers_of(version, observed.facts) if product.contract.closes else (),
    )
    if not needs_files(product, version):
        return order
    return replace(
        order,
        evidence=evidence_of(inputs, product, version),
        parts=_parts(inputs, product, version, catalog) if version.in_parts else None,
    )


def evidence_of(inputs: Inputs, product: Product, version: Version) -> Evidence:
    """Return the files that a version is judged by, and what must not be shown of them."""
    aliases = {i.alias: i.name for rule in product.contract.rules for i in rule.inputs}
    products = inputs.graph.products
    others = [inputs.files_of(alias, n) for alias, n in aliases.items() if n in products]
    before = _before(inputs, product, version)
    if before:
        others.append(_previous(inputs, before))
    names = {THIS, PREVIOUS, *(files.name for files in others if files.name in products)}
    set_aside = version.part(QUARANTINE)
    return Evidence(
        this=inputs.files_of_version(THIS, THIS, version).table,
        columns=version.columns,
        rows=version.rows,
        aside=stored(version, inputs.storage, [set_aside]).files[0] if set_aside else None,
        rows_in=version.rows_in,
        others=tuple(others),
        before=before.columns if before else (),
        built=before.built_at if before else None,
        now=judged_as_of(version, inputs.observed),
        sensitive=_sensitive(inputs, product, names),
        secrets=_secrets(inputs, product),
    )


def _before(inputs: Inputs, product: Product, version: Version) -> Version | None:
    """Return the version that rules compare with.

    Lost files of it give way to those of the version to be judged that hold the very same rows: a published version
    that was lost is built again, and compared with what it was.
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
    """Return the version that rules compare with as a table; StoreError when its files are lost."""
    try:
        return inputs.files_of_version(PREVIOUS, PREVIOUS, before)
    except StoreError as error:
        name = before.product
        raise StoreError(
            f"rules of {name} compare with the published version {short(before.id)}, which is lost: {error.what}",
            hint=f"`products verify {name} --repair` looks for another copy. Without one, `products restore {name}"
            " VERSION` publishes an earlier version to compare with, and `products retire"
            f" {name}` lets the next run publish without comparing.",
        ) from None


# ---------------------------------------------------------------------------------------------- of parts


def _parts(inputs: Inputs, product: Product, version: Version, catalog: Catalog) -> VersionParts:
    """Return the parts of a version, with everything that is recorded of them."""
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
    """Return the parts of a version: with the recorded findings of each (by id), or else with its files."""
    return [
        PartEvidence(
            key=part.key,
            id=part.id,
            table=_NO_FILES if part.id in findings else stored(version, inputs.storage, [part]),
            rows=part.rows,
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
    """Return what these rules (a digest) found in the parts of a version, by part, as recorded.

    Parts of the published version need no look into the catalog when its verdict says that nothing was found.
    """
    passed: set[int] = set()
    if published and published.columns == version.columns and not published.key.held:
        results = [
            verdict.results
            for verdict in catalog.verdicts(published.id)
            if verdict.contract == product.contract.digest
        ]
        if any(found_nothing(product, published.columns, result) for result in results):
            passed = {part.id for part in published.parts}
    ids = [part.id for part in version.parts]
    nothing: Mapping[str, Any] = {}
    recorded = catalog.judged([id for id in ids if id not in passed], rules)
    return {**{id: nothing for id in ids if id in passed}, **recorded}


def totals_of(
    inputs: Inputs, product: Product, version: Version
) -> tuple[dict[str, TotalsQuery], dict[str, Version]]:
    """Return the rules whose totals are put together from those of parts, and all that rules read, by alias."""
    if not version.in_parts:
        return {}, {}
    tables = {THIS: version, PREVIOUS: _before(inputs, product, version) or version}
    names = {i.alias: i.name for rule in product.contract.rules for i in rule.inputs}
    for alias, name in names.items():
        if name in inputs.graph.products:
            with suppress(BuildError):  # it is not published yet
                tables[alias] = inputs.version(name)
    return splits(product, tables, _sensitive(inputs, product, set(names.values()))), tables


def _part_totals(
    inputs: Inputs, product: Product, version: Version, catalog: Catalog
) -> PartTotals:
    """Return what the totals of a version in parts are judged by, with what is recorded of its parts."""
    every, tables = totals_of(inputs, product, version)
    rules = every
    if product.uses_previous and not _before(inputs, product, version):
        compares = {
            rule.text
            for rule in product.contract.rules
            if any(i.name == PREVIOUS for i in rule.inputs)
        }
        rules = {text: query for text, query in every.items() if text not in compares}
    totals: dict[str, TableTotals] = {}
    for alias in sorted({block.table for query in rules.values() for block in query.blocks}):
        table = tables[alias]
        aliases = {THIS, PREVIOUS} if alias in {THIS, PREVIOUS} else {alias}
        # Also those of rules that cannot compare yet, so that what is recorded stays the same.
        queries = asked_of(every.values(), aliases)
        digest = totals_digest(queries, table.columns)
        recorded = catalog.judged([part.id for part in table.parts], digest)
        parts = _part_evidence(inputs, table, recorded)
        totals[alias] = TableTotals(rules=digest, queries=queries, parts=parts)
    return PartTotals(rules=rules, tables=totals)


# ---------------------------------------------------------------------------------------------- sensitive columns


def _sensitive(inputs: Inputs, product: Product, names: Iterable[str]) -> dict[str, frozenset[str]]:
    """Return the columns that must never be shown of everything that is read, by name."""
    own = {THIS, PREVIOUS}
    return {
        name: frozenset(inputs.graph.sensitive(product.name if name in own else name))
        for name in names
    }


def _secrets(inputs: Inputs, product: Product) -> tuple[Secrets, ...]:
    """Return the sensitive columns that a product, or what its rules read, may hold under other names.

    There are none where only queries stand between: a query tells what it calls a column.
    """
    graph = inputs.graph
    if not _may_hide(graph, product):
        return ()
    secrets = []
    for marked in _behind(graph, product):
        if not marked.contract.sensitive:
            continue
        with suppress(BuildError, StoreError):  # it is not published, or its files are lost
            version = inputs.version(marked.name)
            names_of = [column.name for column in version.columns]
            columns = secret(names_of, graph.sensitive(marked.name))
            table = inputs.files_of_version(THIS, marked.name, version).table
            secrets.append(Secrets(table, tuple(sorted(columns))))
    return tuple(secrets)


def _behind(graph: Graph, product: Product) -> list[Product]:
    """Return a product, what its rules read, and all products upstream of these."""
    names = {product.name, *product.rule_inputs}
    names |= {upstream for name in names for upstream in graph.upstream(name)}
    return [graph.products[name] for name in sorted(names) if name in graph.products]


def _may_hide(graph: Graph, product: Product) -> bool:
    """Return whether a function behind a product may give a sensitive column another name."""
    functions = [p for p in _behind(graph, product) if p.kind is Kind.FUNCTION]
    return any(graph.sensitive(i.name) for function in functions for i in function.inputs)


def never_shown(inputs: Inputs, product: Product, table: StoredTable) -> frozenset[str]:
    """Return patterns of the columns of a product that must not be shown, by name or by the values in `table`."""
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
