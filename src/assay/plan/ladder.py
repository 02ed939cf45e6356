"""What next for each product: the ladder, decided by one pure function.

`plan()` asks `decide()` once per product and calls the result a plan; running asks it again after
every effect until it says Publish, Keep, AwaitApproval, Blocked or Held. Explaining, dry runs, resuming after a
crash, early cutoff and reverting to old code are therefore not features: they are what the ladder
answers.
"""

from collections.abc import Callable, Mapping
from functools import partial

from msgspec import Struct, field
from msgspec.structs import replace

from assay.decisions import (
    AwaitApproval,
    Blocked,
    Build,
    Check,
    Decision,
    Forced,
    FromStart,
    Held,
    InputState,
    Keep,
    KnownInput,
    Maybe,
    PartsHeld,
    Publish,
    Restate,
    UnknownInput,
    UnusableInput,
    Waive,
)
from assay.facts import Key, Version
from assay.model import Product
from assay.plan.digests import key_digest, key_of
from assay.plan.graph import Graph
from assay.plan.holding import parts_to_hold, why_whole
from assay.plan.observed import Facts, Observed
from assay.plan.part_specs import part_steps
from assay.plan.previous import is_from_start, step_inputs
from assay.plan.reasons import differences, reasons_to_build
from assay.plan.releasing import withheld
from assay.plan.request import Request
from assay.plan.restatements import Restatement
from assay.plan.states import output_state, published_state, published_version, source_states
from assay.plan.verdicts import against
from assay.plan.waivers import given_waivers, waived_rules, with_waivers

Judged = Check | Restate | Waive | Blocked | AwaitApproval | Publish | Keep


class Plan(Struct, frozen=True, kw_only=True):
    """A decision for each selected product, in the order of dependence."""

    steps: Mapping[str, Decision] = field(default_factory=dict)

    @property
    def work(self) -> tuple[str, ...]:
        """Products for which something may be computed or published."""
        kinds = Build | Check | Restate | Waive | Maybe | Publish
        return tuple(name for name, step in self.steps.items() if isinstance(step, kinds))

    @property
    def builds(self) -> tuple[str, ...]:
        """Products that may be built: an upper bound of those that will be."""
        kinds = Build | Check | Restate | Waive | Maybe
        return tuple(name for name, step in self.steps.items() if isinstance(step, kinds))

    @property
    def key_digests(self) -> Mapping[str, str]:
        """The digest of the key that each of these would be built for, '' when not known yet."""
        return {name: _key_digest(self.steps[name]) for name in self.builds}


def _key_digest(decision: Decision) -> str:
    match decision:
        case Build(key=Key() as key):
            return key.digest
        case Check(version=version) | Restate(version=version) | Waive(version=version):
            return version.key.digest
    return ""


def plan(graph: Graph, observed: Observed, request: Request, *, in_parts: bool = True) -> Plan:
    """Return a decision for each selected product."""
    return planned(graph, observed, request, in_parts=in_parts)[0]


def planned(
    graph: Graph, observed: Observed, request: Request, *, in_parts: bool = True
) -> tuple[Plan, Mapping[str, InputState]]:
    """Return the plan, and the state of products and sources as inputs after it is carried out.

    Without `in_parts`, the parts to build are not listed, which is faster; decisions are the same.
    """
    states = source_states(observed)
    steps: dict[str, Decision] = {}
    for name in graph.order:
        product = graph.products[name]
        if name in request.products:
            forced = name in request.forced
            step = decide(
                product,
                states,
                observed,
                forced=forced,
                restates=request.restated.get(name),
                from_start=name in request.from_start,
            )
            steps[name] = (
                _in_parts(product, step, states, observed.facts, forced=forced)
                if in_parts
                else step
            )
            states[name] = output_state(name, steps[name])
        else:
            states[name] = published_state(name, observed.facts)
    return Plan(steps={**steps, **withheld(graph, steps, observed.facts)}), states


def _in_parts(
    product: Product,
    step: Decision,
    states: Mapping[str, InputState],
    facts: Facts,
    *,
    forced: bool,
) -> Decision:
    """Return a planned step with the digests of the product's parts, '' for those to be built."""
    if not product.follows or not isinstance(step, Build | Maybe):
        return step
    if isinstance(step, Build) and step.key is not None and step.key.held:
        return step
    from_start = is_from_start(product, step.key if isinstance(step, Build) else None)
    steps = part_steps(product, states, facts, forced=forced, from_start=from_start)
    return replace(step, part_digests=steps.digests)


def decide(
    product: Product,
    states: Mapping[str, InputState],
    observed: Observed,
    *,
    forced: bool = False,
    restates: Restatement | None = None,
    partial_version: Version | None = None,
    from_start: bool = False,
) -> Decision:
    """Return what is next for one product, given the state of everything that it reads.

    Rungs: 0 held, 1 maybe, 2 build, 3 check, 4 blocked, 5 approval, 6 publish, 7 keep. A pinned product is
    always kept.

    - `forced`: whether to build although nothing changed.
    - `restates`: failing rows that the user examined, so that they may be published (4 restate).
    - `partial_version`: the version that this run built without parts that could not be built.
    - `from_start`: whether a product that reads `previous` is built without one.
    """
    facts, pointer = observed.facts, observed.facts.pointer(product.name)
    if pointer and pointer.pinned:
        return Keep(version=facts.version(pointer.version), pinned=True)
    read = {name: states[name] for name in product.reads}
    if product.follows:
        read |= _not_in_parts(product, states)
    known = {name: state.digest for name, state in read.items() if isinstance(state, KnownInput)}
    if len(known) < len(read):
        return _unsettled(product, read, facts)
    inputs = {i.name: known[i.name] for i in product.inputs}
    if product.incremental:
        inputs = step_inputs(product, inputs, states, observed, from_start=from_start)
    version = partial_version or facts.find(product.name, key_digest(product.code, inputs))
    if version is None or forced:
        key = key_of(product.code, inputs)
        reasons = (Forced(),) if forced else reasons_to_build(product, key, observed)
        if from_start:
            reasons = (FromStart(),)
        return Build(reasons=reasons, key=key)
    judge = partial(judged, product, known=known, observed=observed, restates=restates)
    return _without_failed(product, inputs, version, facts, judge)


def _without_failed(
    product: Product,
    inputs: Mapping[str, str],
    version: Version,
    facts: Facts,
    judge: Callable[[Version], Judged],
) -> Build | Judged:
    """Return the rung of an existing version, or of one with its failed parts held back."""
    decision = first = judge(version)
    while isinstance(decision, Blocked) and product.holds_parts:
        before = published_version(product.name, facts)
        if why := why_whole(decision, before):
            without = decision if decision is not first else None
            return Blocked(version=version, verdict=first.verdict, why_whole=why, without=without)  # type: ignore[union-attr]
        held = parts_to_hold(decision, before)
        key = key_of(product.code, inputs, held, of=version.digest)
        patched = facts.find(product.name, key.digest)
        if patched is None:
            return Build(reasons=(PartsHeld(part_keys=tuple(held)),), key=key)
        decision = judge(patched)
    return decision


def _unsettled(
    product: Product, read: Mapping[str, InputState], facts: Facts
) -> Held | Build | Maybe:
    """Return the rung of a product with an unknown or unusable input: 0 held, 1 maybe, 2 build."""
    unusable = {name: state for name, state in read.items() if isinstance(state, UnusableInput)}
    if unusable:
        causes = {name: state.why for name, state in unusable.items()}
        return Held(by=causes, absent=any(state.absent for state in unusable.values()))
    unknown = tuple(name for name, state in read.items() if isinstance(state, UnknownInput))
    if not facts.has_code(product.name, product.code.digest):
        return Build(reasons=differences(product, {}, facts, unknown=unknown))
    return Maybe(inputs=unknown)


def judged(
    product: Product,
    version: Version,
    known: Mapping[str, str],
    observed: Observed,
    *,
    restates: Restatement | None,
) -> Judged:
    """Return the rung of an existing version: 3 check to 7 keep."""
    facts, pointer = observed.facts, observed.facts.pointer(product.name)
    is_published = pointer is not None and pointer.version == version.id
    contract, compared = product.contract.digest, against(product, version, known, observed)
    if is_published and facts.passed(version.id, contract, compared):
        return Keep(version=version)
    verdict = facts.verdict(version.id, contract, compared)
    if verdict is None:
        return Check(version=version)
    if not verdict.passed and restates and (rules := restates.lets_through(verdict.results)):
        return Restate(version=version, rules=rules)
    if not verdict.passed:
        given = given_waivers(product, facts.waivers(product.name), facts.lineage)
        verdict = with_waivers(verdict, given, observed.now, observed.environment)
        if facts.verdict(version.id, contract, verdict.against) is None:
            return Waive(version=version, verdict=verdict)
    if not verdict.passed:
        return Blocked(version=version, verdict=verdict)
    if is_published:
        return Keep(version=version, waived=waived_rules(verdict))
    if product.approvers:
        from assay.plan.approvals import decide_on_approval  # most products ask for none

        return decide_on_approval(product, version, verdict, facts, observed.environment)
    return Publish(version=version, verdict=verdict)


def _not_in_parts(product: Product, states: Mapping[str, InputState]) -> dict[str, InputState]:
    """Return the inputs that are read by part, but whose published version is not in parts yet."""
    unusable: dict[str, InputState] = {}
    for name in [i.name for i in product.inputs if i.grain is not None]:
        state = states[name]
        version = state.origin if isinstance(state, KnownInput) else None
        if isinstance(version, Version) and not version.in_parts:
            unusable[name] = UnusableInput(
                why=f"{name} is published as a whole, not in parts yet: it has to be built again"
            )
    return unusable
