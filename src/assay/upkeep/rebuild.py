"""Builds again what `verify --repair` has no other copy of, where all that it was made of is as it was then."""

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

_NOT_LOST = {"linked", "contradiction"}  # findings about files whose bytes are there


def rebuilt(report: Report, config: Config, *, now: datetime) -> Report:
    """Return the report, with what could be built again of the very same and holds what readers saw before."""
    lost: dict[str, set[str]] = {}
    for finding in report.open:
        for environment in (
            finding.readers if finding.file and finding.found not in _NOT_LOST else ()
        ):
            lost.setdefault(environment, set()).add(finding.product)
    done: set[str] = set()
    problems: list[str] = []
    for environment, products in sorted(lost.items()):
        try:
            with open_workspace(environment, start=config.root, create=True) as workspace:
                done |= _built(workspace, products)
        except AssayError as error:  # the definitions cannot be read, for example
            problems.append(f"nothing was built again: {error}")
    report = replace(report, problems=tuple(problems))
    if not done:
        return report
    again = verify(config, sorted(done), now=now, mend=True, told=lambda *_: None)
    after = {finding.file: finding for finding in again.findings}
    findings = (
        _told(f, after.get(f.file)) if f in report.open and f.product in done else f
        for f in report.findings
    )
    return replace(report, findings=tuple(findings))


def _built(workspace: Workspace, products: Iterable[str]) -> set[str]:
    """Build these again, those first that others of them are made of; returns which were."""
    graph, left, done = (
        workspace.graph,
        set(products) & set(workspace.graph.products),
        set[str](),
    )
    options = RunOptions(jobs=workspace.config.jobs)
    while left:
        observed = workspace.observe()
        steps = plan(graph, observed, Request(products=frozenset(left)))
        seen = {name: pointer.version for name in left if (pointer := observed.facts.pointer(name))}
        same = frozenset(name for name in left if _lost(steps, name) == seen.get(name, ""))
        left -= same
        if not same:
            break
        outcome = execute(workspace, Request(products=same), observed, options=options)
        done |= {name for name in same if isinstance(outcome.results[name].end, Publish)}
    return done


def _lost(steps: Plan, name: str) -> str | None:
    """Return the version of which nothing is missing but the bytes."""
    step = steps.steps.get(name)
    reasons = step.reasons if isinstance(step, Build) else ()
    return next((reason.version for reason in reasons if isinstance(reason, BytesMissing)), None)


def _told(before: Finding, after: Finding | None) -> Finding:
    if after is None or after.repaired:
        return replace(
            before,
            repaired=f"built again of the very same; {after.repaired}" if after else "built again",
        )
    return replace(
        before,
        readers=after.readers,
        do="It was built again of the very same, and other rows came out; they were judged, and are what readers see.",
    )
