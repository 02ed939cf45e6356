"""The page of a product: what it is, whether it is right and on time now, and what was wrong before."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import PurePath

from assay.catalog import Catalog
from assay.catalog.reads import lineage as environments_of
from assay.facts import Status, Version
from assay.model import Product, Rule
from assay.plan.flows import Lineage
from assay.plan.promise_state import State
from assay.plan.waivers import given_waivers
from assay.views.about import about
from assay.views.describe import described
from assay.views.history import VerdictsOf, history_of, read_verdicts
from assay.views.now import HeldBack, NowView, Tone, now_of
from assay.views.parts import PartState, part_views
from assay.views.results import HeldBackView, PlanView, ResultKind, RuleView, UnchangedView
from assay.views.rules import RuleHistoryView, history_of_rules
from assay.views.view import View
from assay.views.waivers import waiver_view
from assay.views.words.numbers import count_of
from assay.web.days import Calendar, Mark, by_month
from assay.web.lineage import drawn
from assay.web.links import place
from assay.web.look import Look
from assay.web.pages.columns import column_values, flow_values
from assay.web.plots import Plot, plotted
from assay.web.rendering import Page

VERSIONS = 20  # that a page lists
PLOTTED = 30  # versions of a plot
_PROMISES = 130  # that a calendar shows
_PARTS = 400
_TELLING, _RULES = 20, 200  # rules that are shown with plot and rows, and in a list
_INCIDENTS = 20
_CAUSES = 3  # products that a product waits for
_TONES = {
    Status.PASSED: Tone.GOOD,
    Status.WARNING: Tone.WARNING,
    Status.FAILED: Tone.BAD,
    Status.ERROR: Tone.BAD,
}
_PART_KINDS = {
    PartState.KEPT: "good",
    PartState.LATE: "warning",
    PartState.HELD: "bad",
    PartState.MISSING: "missing",
}
_KINDS = {State.KEPT: "good", State.LATE: "warning", State.MISSED: "bad"}


class RuleRow(View, frozen=True, kw_only=True):
    """A declared rule, its last result, and what was measured before.

    `state` is that of the last version that it was checked on, or `failed` where it holds back.
    `telling`: there is more to see than that it passed.
    """

    text: str
    severity: str
    because: str
    state: str
    measured: str
    samples: tuple[Mapping[str, object], ...]
    waived: str
    plot: Plot | None
    tone: Tone
    telling: bool


def now_view(look: Look, catalog: Catalog, name: str) -> NowView:
    """Return what a product is now."""
    status, product = look.statuses[name], look.graph.products[name]
    held = None
    if isinstance(status.plan, PlanView) and isinstance(status.plan.decision, HeldBackView):
        version = catalog.version(status.plan.decision.version)
        verdicts = catalog.verdicts(version.id, look.environment)
        failed = [verdict for verdict in verdicts if not verdict.passed]
        held = HeldBack(version=version, verdict=failed[-1]) if failed else None
    return now_of(status, product, look.now, held)


def causes_of(look: Look, catalog: Catalog, name: str) -> list[NowView]:
    """Return what is wrong above a product whose newer figures wait for others: where it begins."""
    if look.statuses[name].plan.result != ResultKind.HELD:
        return []
    above = look.graph.upstream(name)
    bad = [each for each in look.graph.order if each in above and look.tones[each] is Tone.BAD]
    roots = [each for each in bad if look.statuses[each].plan.result != ResultKind.HELD]
    return [now_view(look, catalog, each) for each in roots[:_CAUSES]]


def product_page(look: Look, catalog: Catalog, name: str, lineage: Lineage | None = None) -> Page:
    """Return the page of a declared product, with the lineage of its columns, if that is known."""
    product = look.graph.products[name]
    verdicts_of = read_verdicts(catalog, look.environment)
    versions = history_of(
        catalog,
        name,
        product,
        look.environment,
        _reached(look),
        now=look.now,
        limit=VERSIONS,
        verdicts_of=verdicts_of,
    )
    pointer = look.pointers.get(name)
    published = catalog.version(pointer.version) if pointer else None
    counting = environments_of(catalog.database, look.environment)
    recorded = [w for w in catalog.waivers(look.environment) if w.product == name]
    waivers = [
        waiver_view(waiver, look.now) for waiver in given_waivers(product, recorded, counting)
    ]
    rows = rule_rows(look, catalog, product, verdicts_of)
    telling = [row for row in rows if row.telling][:_TELLING]
    return Page(
        path=place("product", name),
        title=name,
        template="product.html",
        values={
            "about": about(product, look.promises.get(name)),
            "now": now_view(look, catalog, name),
            "causes": causes_of(look, catalog, name),
            "status": look.statuses[name],
            "files": look.graph.sources.get(product.files),
            "file_count": len(look.sources[product.files].files) if product.files else 0,
            "published": published,
            "pointer": pointer,
            "versions": versions,
            "telling": telling,
            "others": [row for row in rows if row not in telling][:_RULES],
            "more_rules": max(0, len(rows) - len(telling) - _RULES),
            "failing": [rule.text for rule in rules_now(look, name) if rule.holds_back],
            "waivers": waivers,
            "incidents": [view for view in look.incidents if view.about == name][:_INCIDENTS],
            "promises": promise_days(look, catalog, name),
            "parts": part_days(look, catalog, name, published, verdicts_of),
            "drawing": drawn(look.graph, name),
            **flow_values(lineage, name),
            "ways": ways_to_get(product),
            **column_values(described(look.graph, name, published)),
        },
    )


def ways_to_get(product: Product) -> list[tuple[str, str]]:
    """Return how people get the data of a product: where they are, and what to write there."""
    name = product.name
    if product.file:
        return [("As a file", f"products show {name} --to {PurePath(product.file).name}")]
    return [
        ("On the command line", f'products query "from {name}"'),
        ("In Python", f'import assay\nassay.read("{name}")'),
        ("As a file", f"products show {name} --to {name}.parquet"),
    ]


def rule_rows(
    look: Look, catalog: Catalog, product: Product, verdicts_of: VerdictsOf | None = None
) -> list[RuleRow]:
    """Return the rules of a product: those that fail first, then those that warn."""
    history = history_of_rules(catalog, product, look.environment, PLOTTED, verdicts_of)
    shown = {rule.text: rule for rule in rules_now(look, product.name)}
    rows = [
        _row(rule, history.get(rule.text, []), shown.get(rule.text))
        for rule in product.contract.rules
    ]
    order = {"failed": 0, "error": 0, "warning": 1}
    return sorted(rows, key=lambda row: order.get(row.state, 2))


def rules_now(look: Look, name: str) -> Sequence[RuleView]:
    """Return the rules that hold a product back now, or parts of it, with failing samples."""
    plan = look.statuses[name].plan
    assert isinstance(plan, PlanView)
    held = plan.decision.rules if isinstance(plan.decision, HeldBackView) else ()
    return [*held, *(plan.held_by or ())]


def _row(rule: Rule, history: Sequence[RuleHistoryView], now: RuleView | None) -> RuleRow:
    last = history[-1] if history else None
    fails = (
        now is not None and now.holds_back
    )  # perhaps in parts, which the last version is without
    tone = _TONES.get(last.status, Tone.NOTHING) if last else Tone.NOTHING
    tone = Tone.BAD if fails else tone
    plot = plotted(rule, history)
    varies = len({result.value for result in history}) > 1
    return RuleRow(
        text=rule.text,
        severity=str(rule.severity),
        because=rule.because,
        state="failed" if fails else str(last.status) if last else "not checked yet",
        measured=_measured(now if now and fails else last),
        samples=now.samples if now else (),
        waived=now.waived if now else "",
        plot=plot if varies else None,
        tone=tone,
        telling=tone in {Tone.BAD, Tone.WARNING} or (plot is not None and varies),
    )


def _measured(last: RuleHistoryView | RuleView | None) -> str:
    if last and last.failing:
        of = f" of {last.rows:,}" if last.rows else ""
        return f"{last.failing:,}{of} rows fail."
    return ""


def promise_days(look: Look, catalog: Catalog, name: str) -> Calendar | None:
    """Return how the last promises of a product or source came out, as a calendar; None for none."""
    declared = look.declared(name)
    if declared is None or declared.freshness is None:
        return None
    outcomes = catalog.promises.of(look.environment, name, _PROMISES)
    marks = [
        Mark(
            key=f"{outcome.due.date()}",
            kind=_KINDS.get(outcome.state, "nothing"),
            label=f"{outcome.due:%Y-%m-%d %H:%M} UTC: {outcome.state}"
            + (f", {outcome.cause}" if outcome.cause else ""),
            state=str(outcome.state),
        )
        for outcome in outcomes
    ]
    kept = sum(outcome.state is State.KEPT for outcome in outcomes)
    return (
        by_month(marks, f"{kept} of {count_of(len(outcomes), 'promise')} kept") if marks else None
    )


def part_days(
    look: Look,
    catalog: Catalog,
    name: str,
    published: Version | None,
    verdicts_of: VerdictsOf,
) -> Calendar | None:
    """Return the parts of a product as a calendar; None for a product without parts."""
    product, plan = look.graph.products[name], look.statuses[name].plan
    assert isinstance(plan, PlanView)
    if product.partition is None:
        return None
    newest = catalog.versions(name, 1)
    verdicts = verdicts_of(newest[0].id) if newest else ()  # none of another environment
    waits = bool(verdicts) and not isinstance(plan.decision, UnchangedView)
    of = product.files or name  # what is promised of stored files is promised of their source
    parts = part_views(
        product,
        plan,
        published,
        newest=newest[0] if waits else None,
        failed=waits and not verdicts[0].passed,
        promise=look.promises.get(name),
        outcomes=catalog.promises.of(look.environment, of, _PROMISES),
    )
    marks = [
        Mark(
            key=view.part,
            kind=_PART_KINDS[view.state],
            label=f"{view.part}: {', '.join(filter(None, [_told(view.state), view.text]))}",
            state=view.state,
        )
        for view in parts[-_PARTS:]
    ]
    counts = Counter(view.state for view in parts)
    told = [f", {counts[state]:,} {state}" for state in PartState if _told(state) and counts[state]]
    return by_month(marks, count_of(len(parts), "part") + "".join(told)) if marks else None


def _told(state: PartState) -> str:
    """Return what is said of a part beside its rows; '' for one that is kept."""
    return "" if state is PartState.KEPT else str(state)


def _reached(look: Look) -> Callable[[Version], datetime | None]:
    """Return how far the data of a version reaches: of the published one, as readers see it now."""

    def reached(version: Version) -> datetime | None:
        pointer = look.pointers.get(version.product)
        if pointer and pointer.version == version.id:
            return look.reaches.get(version.product)
        return version.data_as_of

    return reached
