"""Builds again what `verify --repair` has no other copy of, where all that it was made of is as it was then."""

import sys
from collections.abc import Iterable
from contextlib import redirect_stdout
from datetime import datetime

import click
from msgspec.structs import replace

from assay.build.execute import execute
from assay.build.session import Session, open_session
from assay.config import Config
from assay.decisions import Build, BytesMissing, Publish
from assay.errors import AssayError
from assay.plan.ladder import Plan, Request, RunOptions, plan
from assay.text import clean
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
    for environment, products in sorted(lost.items()):
        try:
            with open_session(environment, create=True) as session, redirect_stdout(sys.stderr):
                done |= _built(session, products)
        except (
            AssayError
        ) as error:  # the definitions cannot be read, say: what is to be done is told already
            click.echo(clean(f"  nothing was built again: {error}", keep_lines=True), err=True)
    if not done:
        return report
    again = verify(config, sorted(done), now=now, mend=True, told=lambda *_: None)
    after = {finding.file: finding for finding in again.findings}
    findings = (
        _told(f, after.get(f.file)) if f in report.open and f.product in done else f
        for f in report.findings
    )
    return replace(report, findings=tuple(findings))


def _built(session: Session, products: Iterable[str]) -> set[str]:
    """Build these again, those first that others of them are made of; returns which were."""
    graph, left, done = (
        session.project.graph,
        set(products) & set(session.project.graph.products),
        set[str](),
    )
    manner = RunOptions(jobs=session.project.config.jobs)
    while left:
        observed = session.observe()
        steps = plan(graph, observed, Request(products=frozenset(left)))
        seen = {name: pointer.version for name in left if (pointer := observed.facts.pointer(name))}
        same = frozenset(name for name in left if _lost(steps, name) == seen.get(name, ""))
        left -= same
        if not same:
            break
        outcome = execute(
            session.project, Request(products=same), session.world(), observed, manner=manner
        )
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
