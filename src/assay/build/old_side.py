"""What a project is compared with: a git ref, a folder, a copy of a manifest, an environment."""

from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from assay.build.revisions import graph_at, graph_of
from assay.build.workspace import Workspace
from assay.catalog.known import check_environment, known_environments
from assay.config import FILE
from assay.declare.manifest import graph_in
from assay.declare.project import Project
from assay.declare.revision import commit_of, why_unknown
from assay.errors import UsageError
from assay.facts import Verdict, Version
from assay.model import Contract, Kind, Product, Rule, Severity, Where
from assay.plan.changes.contracts import Revision
from assay.plan.graph import Graph

_ENVIRONMENT = "env:"
_NOWHERE = Where("")
# What is recorded of a published version: not more can be compared with an environment.
RECORDED = frozenset({"product", "column", "type", "rule"})


class OldSide(Struct, frozen=True, kw_only=True):
    """What a project is compared with, and what to call it; `environment` is '' for no environment.

    `projected` returns as much of the project as it is now as is known of the old side.
    """

    named: str
    revision: Revision
    environment: str = ""
    projected: Callable[[Graph], Graph] = lambda graph: graph


def old_side(workspace: Workspace, text: str) -> OldSide:
    """Return what the text after --against names; raise UsageError when it cannot be read.

    `env:NAME` is an environment, a text that begins with `.` or `/` a folder or file. Any other is a
    git ref, a folder or file, or an environment; if it is more than one of them, that is an error.
    """
    root = workspace.config.root
    if not text.strip():
        raise UsageError("--against names nothing to compare with", hint="Write origin/main.")
    if text.startswith(_ENVIRONMENT):
        return _of_environment(workspace, text.removeprefix(_ENVIRONMENT))
    path = Path(text).expanduser()
    is_path = text.startswith((".", "/", "~"))
    if is_path and not path.exists():
        raise UsageError(f"cannot compare with {text!r}: there is no such folder or file")
    commit = None if is_path else commit_of(root, text)
    readings = {
        f"refs/heads/{text}": commit,
        f"./{text}": path.exists() and not is_path,
        f"env:{text}": not is_path and workspace.catalog.last_release(text),
    }
    spelled = [spelling for spelling, there in readings.items() if there]
    if len(spelled) > 1:
        kinds = ("a git ref", "a folder or file", "an environment")
        which = [kind for kind, there in zip(kinds, readings.values(), strict=True) if there]
        raise UsageError(
            f"{text!r} is {' and '.join(which)}", hint=f"Write {' or '.join(spelled)}."
        )
    if commit:
        graph = graph_at(root, commit, workspace.config.reads)
        return _declared(workspace, graph, str(commit))
    if path.exists():
        return _declared(workspace, _of_path(workspace, path.resolve()), text)
    if spelled:
        return _of_environment(workspace, text)
    raise why_unknown(root, text, known_environments(workspace.catalog, workspace.config))


def _declared(workspace: Workspace, graph: Graph, named: str) -> OldSide:
    """Return a graph as an old side; raise UsageError if its SQL does more than read its inputs."""
    try:
        Project(config=workspace.config, graph=graph).vouch(sorted(graph.products))
    except UsageError as error:
        raise UsageError(
            f"the old declarations, of {named}, cannot be read: {error.what}"
        ) from None
    return OldSide(named=named, revision=Revision(graph=graph))


def _of_path(workspace: Workspace, path: Path) -> Graph:
    config = workspace.config
    if path.is_dir():
        if not (path / FILE).is_file():
            raise UsageError(f"cannot compare with {path}: it has no {FILE}")
        return graph_of(path, str(path), config.root, config.reads)
    graph = graph_in(path)
    if graph is None:
        raise UsageError(
            f"cannot compare with {path}: it is no manifest of this version of Assay",
            hint=f"`products check` writes one to {config.store}/manifest.json: copy it.",
        )
    return graph


# -------------------------------------------------------------------------------- an environment


def _of_environment(workspace: Workspace, name: str) -> OldSide:
    """Return what an environment publishes: the columns of each product, and its rules."""
    catalog = workspace.catalog
    if not workspace.lacks_catalog:
        check_environment(catalog, workspace.config, name)
    pointers = catalog.pointers(name)
    if not pointers:
        raise UsageError(
            f"cannot compare with env:{name}: {workspace.lacks_catalog or 'nothing is published in it'}",
            hint="`products materialize` publishes; a catalog of the team is named in [tool.products].",
        )
    products: dict[str, Product] = {}
    for product, pointer in sorted(pointers.items()):
        version = catalog.published_version(pointer)
        passed = [v for v in catalog.verdicts(version.id, name) if v.passed]
        declared = workspace.graph.products.get(product)
        products[product] = _published(version, passed[-1] if passed else None, declared)
    return OldSide(
        named=f"what {name} publishes",
        revision=Revision(graph=Graph(products, {}), aspects=RECORDED),
        environment=name,
        projected=_recorded,
    )


def _published(version: Version, verdict: Verdict | None, declared: Product | None) -> Product:
    """Return a product as far as it is recorded with its published version."""
    rules = [_rule(result.text, result.severity) for result in verdict.results] if verdict else []
    return Product(
        name=version.product,
        where=declared.where if declared else _NOWHERE,
        kind=declared.kind if declared else Kind.FUNCTION,
        code=version.key.code,
        contract=Contract(digest="", columns=version.columns, rules=tuple(rules)),
        owner=declared.owner if declared else "",
    )


def _recorded(graph: Graph) -> Graph:
    """Return a graph with as much of each product as would be recorded of it."""
    products: Mapping[str, Product] = {
        name: replace(product, contract=_recorded_contract(product.contract))
        for name, product in graph.products.items()
    }
    return Graph(products, {})


def _recorded_contract(contract: Contract) -> Contract:
    rules = [_rule(rule.text, rule.severity, rule.where) for rule in contract.rules]
    return Contract(digest="", columns=contract.columns, rules=tuple(rules))


def _rule(text: str, severity: Severity, where: Where = _NOWHERE) -> Rule:
    fails = "0" if severity is Severity.ERROR else ""
    return Rule(text=text, where=where, severity=severity, fail_above=fails)
