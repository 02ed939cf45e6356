"""Declared products to products: metadata, inputs, partition, and the digest of the code."""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from assay.declare.approvals import wrong_approvers
from assay.declare.argument_types import FILE_NAME_HINT, is_file_name
from assay.declare.calendars import Calendars
from assay.declare.contracts import DeclaredContract
from assay.declare.following import followed_inputs
from assay.declare.implementations import Implementation
from assay.declare.names import Names
from assay.declare.partitions import Partitions
from assay.declare.promises import read_budget, read_freshness
from assay.declare.queries import is_foreign
from assay.declare.words import HistoryDeclaration, ProductDeclaration
from assay.model import QUARANTINE, THIS, Access, Contract, Input, Kind, Product, Rule, Source
from assay.plan.digests import code_of, digest
from assay.plan.names import nearest
from assay.plan.quarantines import quarantine_code, quarantine_name
from assay.times import seconds_of


def check_metadata(name: str, declared: ProductDeclaration, names: Names) -> None:
    """Report what is wrong with the owner and the file of a declared product."""
    where = names.relative(declared.where)
    if not declared.owner:
        hint = 'Say who answers for it: owner="team@company.example".'
        names.report(f"{name} has no owner", where, hint)
    if declared.file and not is_file_name(declared.file):
        message = f"{name}: file={declared.file[:80]!r} should be a plain file name"
        names.report(message, where, FILE_NAME_HINT)
    if declared.file and declared.contract is not None:
        hint = "Put the contract on the product it is made of."
        names.report(f"{name}: a file has no contract", where, hint)
    for mistake, hint in wrong_approvers(declared.approval, declared.approvals):
        names.report(f"{name}: {mistake}", where, hint)


def read_product(
    name: str,
    declared: ProductDeclaration,
    contract: DeclaredContract,
    implementation: Implementation,
    partitions: Partitions,
    *,
    calendars: Calendars,
) -> Product:
    """Return a declared product; problems with its partition and its freshness are reported."""
    names, config = partitions.names, partitions.names.config
    where = names.relative(declared.where)
    retries = config.retries if declared.retries is None else declared.retries
    timeout = config.timeout if declared.timeout is None else declared.timeout
    rules = [rule for rule in contract.contract.rules if rule.quarantines]
    group_with_quarantine = f"{name} and its quarantine" if rules else ""
    inputs = _all_inputs(implementation, rules)
    digests = {**implementation.digests, **_digests(contract, inputs)}
    partition = partitions.of(name)
    inputs = followed_inputs(name, declared, implementation, inputs, partitions)
    if partition:
        _check_parts(name, declared, names)
        follows = [[i.alias, i.grain, i.back] for i in inputs]
        digests["partition"] = digest([partition, follows, declared.event_time])
    if declared.file:
        digests["file"] = digest(declared.file)
    history = declared.history if isinstance(declared, HistoryDeclaration) else None
    if implementation.reads_previous:
        followed = [i.name for i in inputs if i.grain is not None]
        has_columns = history is not None or bool(contract.contract.columns)
        _check_previous(name, declared, names, followed=followed, has_columns=has_columns)
    return Product(
        name=name,
        where=where,
        kind=_kind(declared),
        code=code_of(digests),
        contract=contract.contract,
        owner=declared.owner,
        purpose=declared.purpose,
        inputs=inputs,
        consumers=tuple(declared.consumers),
        tags=tuple(declared.tags),
        event_time=declared.event_time,
        freshness=read_freshness(name, declared.freshness, where, calendars, names),
        budget=read_budget(name, declared, where, names),
        release_group=declared.release_group or group_with_quarantine,
        file=declared.file,
        sql=implementation.sql,
        dialect=declared.dialect if is_foreign(declared.dialect) else "",
        incremental=implementation.reads_previous,
        history=history,
        partition=partition,
        holds_parts=declared.on_failed_part == "hold_part",
        retries=retries,
        timeout=seconds_of(timeout),
        isolate=declared.isolate,
        changes_with=declared.changes_with,
        access=Access(declared.access),
        approvers=tuple(name.strip() for name in declared.approval),
        approvals=declared.approvals,
        clocked=implementation.clocked or any(rule.clocked for rule in rules),
    )


def quarantine_of(product: Product, names: Names) -> Product:
    """Return the product that holds the rows which the rules of another quarantine."""
    name = quarantine_name(product.name)
    if name in names.declarations:
        message = f"{name} is where the rows go that {product.name} sets aside"
        names.report(message, product.where, "Rename yours.")
    purpose = (
        f"The rows of {product.name} that broke a rule and were set aside,"
        " with the rules each broke."
    )
    contract, partition = product.contract, product.partition
    grain = partition.grain if partition else None
    return Product(
        name=name,
        where=product.where,
        kind=Kind.QUARANTINE,
        code=quarantine_code(product.name),
        contract=Contract(digest=digest([]), key=contract.key, sensitive=contract.sensitive),
        owner=product.owner,
        purpose=purpose,
        inputs=(Input(alias=product.bare, name=product.name, grain=grain),),
        partition=replace(partition, in_rows=False) if partition else None,
        tags=product.tags,
        release_group=product.release_group,
        access=product.access,
    )


def _kind(declared: ProductDeclaration) -> Kind:
    if declared.lands:
        return Kind.SOURCE
    if isinstance(declared.make, str):
        return Kind.SQL
    return Kind.FILE if declared.file else Kind.FUNCTION


def _all_inputs(implementation: Implementation, quarantining: list[Rule]) -> tuple[Input, ...]:
    """Return the inputs of the code and of the rules that quarantine, which run in the build."""
    if not quarantining:
        return implementation.inputs
    of_rules = [i for rule in quarantining for i in rule.inputs if i.name != THIS]
    return tuple(dict.fromkeys([*implementation.inputs, *of_rules]))


def _digests(contract: DeclaredContract, inputs: tuple[Input, ...]) -> dict[str, str]:
    """Return the digests of what counts as code besides the implementation."""
    columns = [[column.name, column.type] for column in contract.contract.columns]
    digests = {"types": digest(columns)}
    if any(rule.quarantines for rule in contract.contract.rules):
        digests[QUARANTINE] = contract.quarantine_digest
    digests["inputs"] = digest([[i.alias, i.name] for i in inputs])
    return digests


def _check_previous(
    name: str,
    declared: ProductDeclaration,
    names: Names,
    *,
    followed: Sequence[str],
    has_columns: bool,
) -> None:
    """Report what keeps a product from reading `previous`."""
    where = names.relative(declared.where)
    if declared.file:
        hint = "Keep what it needs in a product that is a table, and read that."
        names.report(f"{name} is a file, and cannot read `previous`", where, hint)
    elif followed and isinstance(declared, HistoryDeclaration):
        hint = "Split it by another column, or leave partition_by= out."
        names.report(
            f"{name} is a history, and cannot follow the parts of {followed[0]}", where, hint
        )
    elif not has_columns:
        hint = (
            "On the first build `previous` has no rows, and the columns of the contract: give it"
            " contract=, a pandera.polars model with its columns and their types."
        )
        names.report(
            f"{name} reads `previous`, and has no contract that names columns", where, hint
        )


def check_history(
    product: Product, sources: Mapping[str, Source], products: Mapping[str, Product], names: Names
) -> None:
    """Report a history whose key its source does not have, or whose moments have the name of a column."""
    history = product.history
    if history is None or not product.inputs:
        return
    [read] = product.inputs
    source, read_product = sources.get(read.name), products.get(read.name)
    columns = (*source.columns, *source.path_columns) if source else ()
    if read_product:
        columns = read_product.contract.columns
    known = {column.name.lower() for column in columns}
    for name in (history.since, history.until):
        if name.lower() in known:
            hint = "Choose other names for when a row was like that: valid=(..., ...)."
            names.report(f"{product.name}: {read.name} has a column {name}", product.where, hint)
    for name in history.key:
        if source and name.lower() not in known:
            hint = nearest(name, [column.name for column in columns])
            names.report(f"{product.name}: {read.name} has no column {name}", product.where, hint)


def _check_parts(name: str, declared: ProductDeclaration, names: Names) -> None:
    """Report what a product in parts cannot be."""
    where = names.relative(declared.where)
    if declared.file:
        names.report(f"{name}: a file is not in parts", where, "Take each= and partition_by= away.")
