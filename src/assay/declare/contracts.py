"""Declared contracts to contracts: the schema, the rules, and the digest of both."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from assay.declare import clocks
from assay.declare.contract_versions import read_deprecated, read_version
from assay.declare.names import Names
from assay.declare.project_code import ProjectCode
from assay.declare.pycode import CodeDigest
from assay.declare.recalled_contracts import RecalledContracts, key_of
from assay.declare.rules import Rulebook, check_digest, with_unique_texts
from assay.declare.words import HistoryDeclaration, ProductDeclaration
from assay.model import Contract, Demand, Rule, Where
from assay.plan.digests import digest
from assay.plan.names import nearest
from assay.rules.schema import NotASchema, Schema, dtype_of, read_schema


class DeclaredContract(Struct, frozen=True):
    """The contract of a product, and `schema` with the checks behind its rules.

    `quarantine_digest` is that of the rules that quarantine rows, without their limits: those rules
    run in the build.
    """

    contract: Contract
    schema: Schema
    quarantine_digest: str


def read_contract(
    name: str, declared: ProductDeclaration, names: Names, code: ProjectCode
) -> DeclaredContract:
    """Return the contract of a declared product; its problems are reported to `names`."""
    schema, digested = _read_schema(name, declared, names, code)
    _check_event_time(name, declared, schema, names)
    _check_partition(name, declared, schema, names)
    rulebook = Rulebook(name, declared, schema, names, code)
    rules = list(with_unique_texts([*schema.rules, *rulebook.read()]))
    if any(rule.quarantines for rule in rules):
        rules.append(_accounting_rule(declared, names))
    if any(rule.demand and rule.demand.kind == "custom" for rule in rules):
        # The function of a check may read files and call packages when it runs.
        digested += [code.reads] if code.reads else []
        digested += [code.packages] if code.packages else []
    digested += rulebook.digested
    if declared.on_failed_part == "hold_part":
        digested.append(declared.on_failed_part)
    contract = Contract(
        digest=digest(digested),
        description=schema.description,
        columns=schema.columns,
        key=schema.key or _key_of_history(declared),
        rules=tuple(rules),
        sensitive=schema.sensitive,
        cleared=schema.cleared,
        version=read_version(name, declared, names),
        deprecated=read_deprecated(name, declared, schema.columns, names),
    )
    return DeclaredContract(
        contract=contract,
        schema=_with_checks(schema, rulebook.checks),
        quarantine_digest=digest(rulebook.quarantine_digested),
    )


def _read_schema(
    name: str, declared: ProductDeclaration, names: Names, code: ProjectCode
) -> tuple[Schema, list[Any]]:
    """Return the schema of a product and a list of its digest; empty without a contract."""
    schema = Schema()
    if declared.contract is None:
        return schema, []
    where = names.relative(declared.where)
    reach = code.start_digest(declared)
    try:
        schema, digested = _read_or_recalled(declared.contract, where, reach, code.contracts)
        names.problems += clocks.in_code(declared, reach, f"the contract of {name}", names.local)
        return schema, [digested]
    except NotASchema as error:
        hint = "Give a pandera.polars DataFrameModel or DataFrameSchema."
        names.report(f"{name}: {error}", where, hint)
    except Exception as error:  # pandera reads a model only now, and raises anything for a bad one
        message = f"{name}: its contract cannot be read: {type(error).__name__}: {error}"
        names.report(message, where)
    return schema, []


def _key_of_history(declared: ProductDeclaration) -> tuple[str, ...]:
    """Return what identifies a row of a history: the key of its input, and since when it is open."""
    history = declared.history if isinstance(declared, HistoryDeclaration) else None
    return (*history.key, history.since) if history else ()


def _read_or_recalled(
    contract: Any, where: Where, reach: CodeDigest, recalled: RecalledContracts
) -> tuple[Schema, str]:
    """Return a schema and its digest, of this reading or of an earlier one of the same contract."""
    key = ""
    if isinstance(contract, type):
        reach.descriptions = False
        reach.visit(contract.__qualname__, contract)
        key = key_of(contract, reach.parts)
        if known := recalled.find(key):
            return known.schema(contract, where), known.digest
    schema = read_schema(contract, where)
    digested = schema_digest(schema, reach)
    recalled.keep(key, schema, digested)
    return schema, digested


def _with_checks(schema: Schema, checks: Mapping[str, Any]) -> Schema:
    return replace(schema, own_checks=checks) if checks else schema


def _check_partition(name: str, declared: ProductDeclaration, schema: Schema, names: Names) -> None:
    """Report a column in partition_by= that a contract which lists all columns does not have."""
    column = declared.partition_by
    if schema.declared is None or not column.isidentifier() or column in schema.names:
        return
    close = nearest(column, schema.names)
    if close or schema.pandera.strict:
        message = f"{name}: partition_by {column!r} is no column of its contract"
        names.report(message, names.relative(declared.where), close)


def _check_event_time(
    name: str, declared: ProductDeclaration, schema: Schema, names: Names
) -> None:
    column = declared.event_time
    if schema.declared is None or not column or column in schema.names:
        return
    message = f"{name}: event_time {column!r} is no column of its contract"
    names.report(message, names.relative(declared.where), nearest(column, schema.names))


def _accounting_rule(declared: ProductDeclaration, names: Names) -> Rule:
    """Return the rule that no row is lost when rows are quarantined."""
    return Rule(
        text="every row is published or set aside",
        where=names.relative(declared.where),
        dimension="completeness",
        demand=Demand(kind="accounted", place=":accounted"),
    )


# ----------------------------------------------------------------------------------------- digests


def schema_digest(schema: Schema, reach: CodeDigest) -> str:
    """Return the digest of a schema: what it demands, and the code that its own checks reach.

    `reach` has visited the model that was declared, if it is one.
    """
    demands = [_demand_digest(rule, schema) for rule in schema.rules]
    demands += [check_digest(check, place, reach) for place, check in schema.checks.items()]
    digested: list[Any] = [demands, dict(reach.parts)]
    if schema.sensitive or schema.cleared:
        digested.append(list(schema.sensitive))
    if schema.cleared:
        digested.append(list(schema.cleared))
    return digest(digested)


def _demand_digest(rule: Rule, schema: Schema) -> Sequence[Any]:
    """Return what tells a rule of a schema from others."""
    demand = rule.demand
    assert demand is not None
    digested = [demand.place, rule.text, rule.severity, dict(demand.arguments)]
    if demand.kind == "type":
        column = schema.pandera.columns[demand.column]
        digested += [str(dtype_of(schema.pandera, column)), column.required, column.regex]
    return digested
