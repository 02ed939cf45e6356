"""Records waivers, and lists them: what each lets through, until when, and whether it was used."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from assay.build.budgets import Approving, needs_approval
from assay.build.inputs import inputs_as_of_now
from assay.build.workspace import Workspace
from assay.catalog.reads import lineage
from assay.errors import UsageError
from assay.facts import RuleResult, Status, Verdict
from assay.model import Product, Rule, Waiver
from assay.plan.digests import digest
from assay.plan.names import rule_of
from assay.plan.verdicts import held_back_verdict
from assay.plan.waivers import LONGEST, given_waivers, rule_digest, with_waivers, wrong_parts
from assay.rules.identify import rows_by_digest
from assay.views.rules import failures
from assay.views.view import View

_OVER = {"expired", "withdrawn", "changed"}


class WaiverView(View, frozen=True, kw_only=True):
    """A waiver as it stands.

    - `state`: `open`, `expiring` (within 14 days), `expired`, `withdrawn`, or `changed`: its rule is
      gone, or was edited since.
    - `tolerates`: what it lets through, in words.
    - `used`: whether it ever let something through.
    """

    id: str
    product: str
    rule: str
    environment: str
    state: str
    until: str
    tolerates: str
    parts: tuple[str, ...]
    because: str
    author: str
    approved_by: str
    at: datetime | None
    used: bool
    where: str


class Wanted(Struct, frozen=True, kw_only=True):
    """A waiver that somebody asks for.

    `rows` and `measured` are bounds; without one, it is about the rows that fail now, of `parts`
    and with these values in `key`; where both are empty, about all of them.
    """

    rule: str
    until: date
    because: str
    author: str
    approved_by: str = ""
    parts: tuple[str, ...] = ()
    key: Mapping[str, str] = {}
    rows: int | None = None
    measured: float | None = None


def waive(workspace: Workspace, name: str, wanted: Wanted) -> tuple[WaiverView, str]:
    """Record a waiver; return it, and what happens with it now, in words.

    Raises UsageError for a rule that does not exist or cannot be waived, and for a waiver that
    would let nothing through.
    """
    product = workspace.graph.products[name]
    rule = rule_of(product, wanted.rule)
    now = workspace.clock()
    spent = _check(workspace, product, rule, wanted, now)
    observed = workspace.observe()
    inputs, steps = inputs_as_of_now(workspace, observed)
    verdict = held_back_verdict(product, steps[name], observed.facts)
    failing = _failing(verdict, rule)
    waiver = Waiver(
        id="",
        product=name,
        rule=rule.text,
        until=wanted.until,
        because=wanted.because,
        author=wanted.author,
        approved_by=wanted.approved_by,
        at=now,
        environment=workspace.environment,
        parts=wanted.parts,
        most_rows=wanted.rows,
        most_measured=wanted.measured,
        rule_digest=rule_digest(rule, product.contract),
    )
    if wanted.rows is None and wanted.measured is None:
        if verdict is None or failing is None:
            raise UsageError(
                f"{name}: nothing fails {rule.text!r} now, so there are no rows to waive",
                hint="--rows N or --measured X waive what may come, up to that.",
            )
        version = observed.facts.version(verdict.version)
        with failures(workspace.project, inputs, product, version, rule, masked=False) as (
            names,
            rows,
        ):
            by_part = rows_by_digest(names, rows, product.partition, wanted.key, wanted.parts)
        if not by_part:
            raise UsageError(
                f"{name}: no row that fails {rule.text!r} is {_chosen(wanted)}",
                hint=f"`products show {name} --held --failures {rule.text!r}` shows them.",
            )
        waiver = replace(waiver, rows=by_part)
    waiver = replace(waiver, id=f"w{digest([waiver, now.isoformat()])[:7]}")
    workspace.catalog.waive(waiver)
    others = given_waivers(product, observed.facts.waivers(name), observed.facts.lineage)
    after = verdict and with_waivers(verdict, [*others, waiver], now, workspace.environment)
    effect = _effect(waiver, after)
    return waiver_view(waiver, now), f"{effect} ({spent})" if spent else effect


def _chosen(wanted: Wanted) -> str:
    """Return which rows a waiver is about, such as "in part 2011-12-09 with day=2011-12-09"."""
    parts = f"in part {' or '.join(wanted.parts)}" if wanted.parts else ""
    values = " and ".join(f"{column}={value}" for column, value in wanted.key.items())
    return " ".join(filter(None, [parts, values and f"one with {values}"])) or "there"


def _check(
    workspace: Workspace, product: Product, rule: Rule, wanted: Wanted, now: datetime
) -> str:
    """Return that the budget of the product is spent, where the settings ask for a warning.

    Raises UsageError for a waiver that the rule or the settings do not allow.
    """
    config, problems = workspace.config, []
    if rule.closes:
        raise UsageError(
            f"{rule.text!r} is about settled rows, which are restated, not waived",
            hint=f"`products materialize --restate {product.name} --because TEXT` does that.",
        )
    if not wanted.because:
        problems.append("--because should say why")
    if len(wanted.because) > LONGEST or len(wanted.approved_by) > LONGEST:
        problems.append(f"--because and --approved-by have at most {LONGEST:,} characters")
    is_bound = wanted.rows is not None or wanted.measured is not None
    if is_bound and wanted.key:
        problems.append(
            "--key is about the rows that fail now: it goes with no --rows or --measured"
        )
    if is_bound and (wrong := wrong_parts(product, wanted.parts)):
        problems.append(f"--part: {wrong}")
    if wanted.until < now.astimezone(UTC).date():
        problems.append(f"--until {wanted.until} is in the past")
    longest = now.astimezone(UTC).date() + timedelta(days=config.waiver_days)
    if wanted.until > longest:
        problems.append(
            f"--until {wanted.until} is more than {config.waiver_days} days away: at most {longest}"
            " (waiver_days in [tool.products])"
        )
    severity, spent = needs_approval(workspace, product.name)
    if config.waiver_approvers or severity == "error":
        people = Approving(workspace.config, product, wanted.author)
        if problem := people.problem_with(wanted.approved_by):
            problems.append(f"{spent}, and {problem}" if severity == "error" else problem)
    if wanted.measured is not None and not rule.limits_measured:
        problems.append(
            f"--measured: {rule.text!r} has no limit that a value may exceed; --rows N bounds its rows"
        )
    elif wanted.measured is not None and not 0 <= wanted.measured < math.inf:
        problems.append("--measured should be a number, 0 or more")
    if problems:
        raise UsageError(
            "\n  ".join([f"{product.name} is not waived: {problems[0]}", *problems[1:]])
        )
    return spent if severity == "warning" else ""


def _failing(verdict: Verdict | None, rule: Rule) -> RuleResult | None:
    results = verdict.results if verdict else ()
    return next((r for r in results if r.text == rule.text and r.status is Status.FAILED), None)


def _effect(waiver: Waiver, after: Verdict | None) -> str:
    """Return what happens with a waiver now; `after` is the failed verdict with all that count."""
    if after is None:
        return "nothing is held back now"
    if after.passed:
        return "`products materialize` publishes what is held back"
    others = [r.text for r in after.results if r.status in {Status.FAILED, Status.ERROR}]
    if waiver.rule not in others:
        return f"still held back by {'; '.join(others)}"
    return "what fails now is more than it lets through: it stays held back"


def withdraw(workspace: Workspace, id: str) -> WaiverView:
    """Withdraw a recorded waiver; UsageError if there is none, or it was withdrawn."""
    found = [w for w in workspace.catalog.waivers() if id and w.id.startswith(id)]
    if len(found) != 1:
        problem = "is no waiver" if not found else f"could be {', '.join(w.id for w in found)}"
        raise UsageError(f"{id!r} {problem}", hint="`products waivers` lists them.")
    [waiver] = found
    if waiver.withdrawn:
        raise UsageError(f"{waiver.id} was withdrawn on {waiver.withdrawn:%Y-%m-%d}")
    now = workspace.clock()
    workspace.catalog.withdraw_waiver(waiver.id, now)
    return waiver_view(replace(waiver, withdrawn=now), now)


def waivers(workspace: Workspace, names: Sequence[str] | None = None) -> list[WaiverView]:
    """Return the waivers of products, those that count first, then by the day on which they end.

    Without names, of all products, and those recorded of products that are no longer declared.
    """
    products, environment = workspace.graph.products, workspace.environment
    now, used = workspace.clock(), workspace.catalog.waivers_used(environment)
    counting = lineage(workspace.catalog.database, environment)
    recorded: dict[str, list[Waiver]] = {}
    for waiver in workspace.catalog.waivers(environment):
        recorded.setdefault(waiver.product, []).append(waiver)
    found: list[Waiver] = []
    for name in products if names is None else names:
        found += given_waivers(products[name], recorded.get(name, ()), counting)
    if names is None:
        gone = recorded.keys() - products.keys()
        found += [replace(waiver, changed=True) for name in gone for waiver in recorded[name]]
    views = [waiver_view(waiver, now, used=waiver.id in used) for waiver in found]
    return sorted(views, key=lambda view: (view.state in _OVER, view.until, view.id))


def waiver_view(waiver: Waiver, now: datetime, *, used: bool = False) -> WaiverView:
    """Return the view of a waiver as it stands at a moment."""
    state = "open"
    if waiver.withdrawn:
        state = "withdrawn"
    elif now >= waiver.expires:
        state = "expired"
    elif waiver.changed:
        state = "changed"
    elif waiver.is_expiring(now):
        state = "expiring"
    return WaiverView(
        id=waiver.id,
        product=waiver.product,
        rule=waiver.rule,
        environment=waiver.environment,
        state=state,
        until=waiver.until.isoformat(),
        tolerates=waiver.tolerates,
        parts=waiver.parts,
        because=waiver.because,
        author=waiver.author,
        approved_by=waiver.approved_by,
        at=waiver.at,
        used=used,
        where=str(waiver.where or ""),
    )
