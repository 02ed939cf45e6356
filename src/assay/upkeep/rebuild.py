"""Builds lost files again: those without another copy, from inputs that are what they were then."""

from collections.abc import Iterable
from datetime import datetime

from msgspec.structs import replace

from assay.build.execute import execute
from assay.build.workspace import Workspace, open_workspace
from assay.config import Config
from assay.decisions import Build, BytesMissing, Publish
from assay.errors import AssayError
from assay.plan.ladder import Plan, plan
from assay.plan.request import Request, RunOptions
from assay.upkeep.findings import Finding, Report
from assay.upkeep.verify import verify

_DIFFERENT = (
    "It was built again of the very same, and other rows came out;"
    " they were judged, and are what readers see."
)


def rebuilt(report: Report, config: Config, *, now: datetime) -> Report:
    """Build again what is lost of published versions; return the report with what came of it."""
    built: set[str] = set()
    problems: list[str] = []
    for environment, products in sorted(_lost_products(report).items()):
        try:
            with open_workspace(environment, start=config.root, create=True) as workspace:
                built |= _build(workspace, products)
        except AssayError as error:  # the definitions cannot be read, for example
            problems.append(f"nothing was built again: {error}")
    report = replace(report, problems=tuple(problems))
    if not built:
        return report
    checked = verify(config, sorted(built), now=now, mend=True)
    after = {finding.file: finding for finding in checked.findings}
    damaged = report.damaged
    findings = [
        _after_build(finding, after.get(finding.file))
        if finding in damaged and finding.product in built
        else finding
        for finding in report.findings
    ]
    return replace(report, findings=tuple(findings))


def _lost_products(report: Report) -> dict[str, set[str]]:
    """Return the products of whose published version a file is lost, by environment."""
    products: dict[str, set[str]] = {}
    for finding in report.damaged:
        if finding.file and finding.kind.loses_bytes:
            for environment in finding.readers:
                products.setdefault(environment, set()).add(finding.product)
    return products


def _build(workspace: Workspace, products: Iterable[str]) -> set[str]:
    """Build these products again, inputs first; return those that were published.

    A product is built only while its published version lacks nothing but its bytes.
    """
    graph = workspace.graph
    remaining = set(products) & graph.products.keys()
    built: set[str] = set()
    options = RunOptions(jobs=workspace.config.jobs)
    while remaining:
        observed = workspace.observe()
        steps = plan(graph, observed, Request(products=frozenset(remaining)))
        ready = set()
        for name in remaining:
            pointer = observed.facts.pointer(name)
            if _without_bytes(steps, name) == (pointer.version if pointer else ""):
                ready.add(name)
        if not ready:
            break
        remaining -= ready
        request = Request(products=frozenset(ready), asked="verify --repair")
        outcome = execute(workspace, request, observed, options=options)
        built |= {name for name in ready if isinstance(outcome.results[name].end, Publish)}
    return built


def _without_bytes(steps: Plan, name: str) -> str | None:
    """Return the version of a product that lacks nothing but its bytes."""
    step = steps.steps.get(name)
    reasons = step.reasons if isinstance(step, Build) else ()
    return next((reason.version for reason in reasons if isinstance(reason, BytesMissing)), None)


def _after_build(before: Finding, after: Finding | None) -> Finding:
    """Return a finding as it is after its product was built again."""
    if after is None:
        return replace(before, repaired="built again")
    if after.repaired:
        return replace(before, repaired=f"built again of the very same; {after.repaired}")
    return replace(before, readers=after.readers, advice=_DIFFERENT)
