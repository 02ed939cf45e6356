"""What next for each product: the ladder, decided by one pure function.

`plan()` asks `decide()` once per product and calls the result a plan; running asks it again after every effect until
it says Publish, Keep, Blocked or Held. Explaining, dry runs, resuming after a crash, early cutoff and reverting to old
code are therefore not features: they are what the ladder answers.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Protocol

from msgspec import Struct, field
from msgspec.structs import replace

from assay.decisions import (
    Blocked,
    Build,
    BytesMissing,
    Check,
    CodeChanged,
    Decision,
    FirstBuild,
    Forced,
    Held,
    InputChanged,
    InputsDiffer,
    InputState,
    Keep,
    KnownInput,
    Maybe,
    PartsHeld,
    PartsMissing,
    Publish,
    Reason,
    TimePassed,
    UnknownInput,
    UnusableInput,
    Waive,
)
from assay.model import (
    PREVIOUS,
    Key,
    Part,
    Pointer,
    Product,
    RuleResult,
    SourceFile,
    SourceState,
    Status,
    Verdict,
    Version,
)
from assay.plan.digests import against_of, digest, digest_of, key_of
from assay.plan.graph import Graph
from assay.plan.holding import parts_to_hold, why_whole
from assay.plan.moments import CLOCK, judged_at
from assay.plan.parts import wanted
from assay.plan.waivers import Restatement, Waiver
from assay.times import settled_before


class Facts(Protocol):
    """What is recorded, as one environment sees it; bytes that are missing make a version not found."""

    def pointer(self, product: str) -> Pointer | None:
        """Return what readers see of a product."""

    def version(self, id: str) -> Version:
        """Return a version by id."""

    def find(self, product: str, key: str) -> Version | None:
        """Return the newest version of this key whose bytes are all there."""

    def parts(self, product: str, made_of: Collection[str]) -> Mapping[str, Part]:
        """Return the newest part, of each of these keys, whose bytes are there, by what it was made of."""

    def lost(self, product: str, key: str) -> Version | None:
        """Return the newest version of this key whose bytes are not there."""

    def latest(self, product: str) -> Version | None:
        """Return the newest version, of any key."""

    def has_code(self, product: str, code: str) -> bool:
        """Say whether any version was made by this code."""

    def passed(self, version: str, contract: str, against: str) -> bool:
        """Say whether a version that readers see is known to have passed; False also where that takes more to tell."""

    def verdict(self, version: str, contract: str, against: str) -> Verdict | None:
        """Return how a version was judged."""

    def failed(self, version: str, contract: str) -> Verdict | None:
        """Return the newest verdict of a version under a contract that it did not pass."""

    def waivers(self, version: str) -> Sequence[Waiver]:
        """Return what may go out of a version, in this environment, although it fails a rule."""

    def files(self, source: str) -> Mapping[str, str] | None:
        """Return the files (path to digest) behind the content digest of a source, if they were recorded."""


class Observed(Struct, frozen=True, kw_only=True):
    """One read of catalog, sources and clock; versions that are `recorded` later are not in it.

    `seen` are the files of sources that were read before, as they were then.
    """

    now: datetime
    environment: str
    sources: Mapping[str, SourceState]
    facts: Facts
    recorded: int = 0
    seen: Mapping[str, SourceFile] = field(default_factory=dict)


class RunOptions(Struct, frozen=True, kw_only=True):
    """How a run goes about it: products at a time (0: as many as is good), how long it may `wait` for other runs (in
    seconds), and whether it looks again at a source of which a file was replaced while it was read.
    """

    jobs: int = 0
    fail_fast: bool = False
    wait: float = 0.0
    looks_again: bool = True


class Request(Struct, frozen=True, kw_only=True):
    """What the user asked for: which products, which of them to build whatever the ladder says, and of which failing
    rows may go out that were looked at. `part_range` are those to build now (`A..B`), '' for all.
    """

    products: frozenset[str]
    forced: frozenset[str] = frozenset()
    restated: Mapping[str, Restatement] = field(default_factory=dict)
    part_range: str = ""


class Plan(Struct, frozen=True, kw_only=True):
    """A decision for each product asked for, each after what it is made of."""

    steps: Mapping[str, Decision] = field(default_factory=dict)

    @property
    def work(self) -> tuple[str, ...]:
        """Products for which something may be computed or published."""
        return tuple(
            n
            for n, d in self.steps.items()
            if isinstance(d, Build | Check | Waive | Maybe | Publish)
        )

    @property
    def builds(self) -> tuple[str, ...]:
        """Products that may be built: an upper bound of what will be."""
        return tuple(
            n for n, d in self.steps.items() if isinstance(d, Build | Check | Waive | Maybe)
        )

    @property
    def wanted(self) -> Mapping[str, str]:
        """The digests of the keys that they would be built for, '' where that is not known yet."""
        return {name: _key_of(self.steps[name]) for name in self.builds}


def _key_of(decision: Decision) -> str:
    match decision:
        case Build(key=Key() as key):
            return key.digest
        case Check(version=version) | Waive(version=version):
            return version.key.digest
    return ""


def plan(graph: Graph, observed: Observed, request: Request, *, in_parts: bool = True) -> Plan:
    """Return what would be done; pure, so that planning twice says the same."""
    return planned(graph, observed, request, in_parts=in_parts)[0]


def planned(
    graph: Graph, observed: Observed, request: Request, *, in_parts: bool = True
) -> tuple[Plan, Mapping[str, InputState]]:
    """Return the plan, and what every table is to those made of it once that is done.

    What is decided does not hang on which parts there are: they need not be told where nobody reads of them.
    """
    states = source_states(observed)
    steps: dict[str, Decision] = {}
    for name in graph.order:
        product = graph.products[name]
        if name in request.products:
            forced = name in request.forced
            step = decide(
                product, states, observed, forced=forced, restates=request.restated.get(name)
            )
            steps[name] = (
                _in_parts(product, step, states, observed.facts, forced=forced)
                if in_parts
                else step
            )
            states[name] = output(name, steps[name])
        else:
            states[name] = published(name, observed.facts)
    return Plan(steps={**steps, **withheld(graph, steps, observed.facts)}), states


def _in_parts(
    product: Product,
    step: Decision,
    states: Mapping[str, InputState],
    facts: Facts,
    *,
    forced: bool,
) -> Decision:
    """Return what is planned with the parts that a product should have: the digests of those there, '' for others."""
    without = isinstance(step, Build) and step.key is not None and step.key.held
    if not product.follows or without or not isinstance(step, Build | Maybe):
        return step
    parts = wanted(product, states, current(product.name, facts)) or []
    there = {} if forced else facts.parts(product.name, [p.made_of for p in parts if p.made_of])
    return replace(
        step,
        part_digests={p.key: there[p.made_of].digest if p.made_of in there else "" for p in parts},
    )


def decide(
    product: Product,
    states: Mapping[str, InputState],
    observed: Observed,
    *,
    forced: bool = False,
    restates: Restatement | None = None,
    made: Version | None = None,
) -> Decision:
    """Return what is next for one product, given the state of all it reads.

    `made` is what this run has made of it, where some parts could not be made: the others go out without them.

    Rungs: 0 held, 1 maybe, 2 build, 3 check, 4 blocked, 5 publish, 6 keep. A pinned product is kept, whatever else.
    What would be blocked may go out as far as the user has looked at the rows that fail (`restates`).
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
    version = made or facts.find(product.name, digest_of(product.code, inputs))
    if version is None or forced:
        key = key_of(product.code, inputs)
        reasons = (Forced(),) if forced else _reasons(product, key, observed)
        return Build(reasons=reasons, key=key)
    judge = partial(_judged, product, known=known, observed=observed, restates=restates)
    return _without_failed(product, inputs, version, facts, judge)


def _without_failed(
    product: Product,
    inputs: Mapping[str, str],
    version: Version,
    facts: Facts,
    judge: Callable[[Version], Check | Waive | Blocked | Publish | Keep],
) -> Build | Check | Waive | Blocked | Publish | Keep:
    """Return the rung of a version that is there, or of it without the parts that fail, where others may go out."""
    first, seen = judge(version), current(product.name, facts)
    decision = first
    while isinstance(decision, Blocked) and product.holds_parts:
        if why := why_whole(decision, seen):
            without = decision if decision is not first else None
            return Blocked(version=version, verdict=first.verdict, why_whole=why, without=without)  # type: ignore[union-attr]
        held = parts_to_hold(decision, seen)
        key = key_of(product.code, inputs, held, of=version.digest)
        patched = facts.find(product.name, key.digest)
        if patched is None:
            return Build(reasons=(PartsHeld(part_keys=tuple(held)),), key=key)
        decision = judge(patched)
    return decision


def _unsettled(
    product: Product, read: Mapping[str, InputState], facts: Facts
) -> Held | Build | Maybe:
    """Return the rung of a product that reads something nobody knows, or can use: 0 held, 1 maybe (2 build)."""
    if bad := {name: state for name, state in read.items() if isinstance(state, UnusableInput)}:
        return Held(
            by={name: s.why for name, s in bad.items()}, absent=any(s.absent for s in bad.values())
        )
    unknown = tuple(name for name, state in read.items() if isinstance(state, UnknownInput))
    if not facts.has_code(product.name, product.code.digest):
        return Build(reasons=_unlike(product, {}, facts, unknown=unknown))
    return Maybe(inputs=unknown)


def _judged(
    product: Product,
    version: Version,
    known: Mapping[str, str],
    observed: Observed,
    *,
    restates: Restatement | None,
) -> Check | Waive | Blocked | Publish | Keep:
    """Return the rung of a version that is there: 3 check, 4 blocked, 5 publish, 6 keep."""
    facts, pointer = observed.facts, observed.facts.pointer(product.name)
    compared = against(product, version, known, observed)
    if (
        pointer
        and pointer.version == version.id
        and facts.passed(version.id, product.contract.digest, compared)
    ):
        return Keep(version=version)
    verdict = facts.verdict(version.id, product.contract.digest, compared)
    if verdict is None:
        return Check(version=version)
    if not verdict.passed and restates and (rules := restates.lets_through(verdict.results)):
        return Waive(version=version, rules=rules)
    if not verdict.passed:
        return Blocked(version=version, verdict=verdict)
    if pointer is None or version.id != pointer.version:
        return Publish(version=version, verdict=verdict)
    return Keep(version=version)


def _not_in_parts(product: Product, states: Mapping[str, InputState]) -> dict[str, InputState]:
    """Return the inputs that are followed part by part, and whose readers still see one that is not in parts."""
    followed = [i.name for i in product.inputs if i.grain is not None]
    return {
        name: UnusableInput(
            why=f"{name} is published as a whole, not in parts yet: it has to be built again"
        )
        for name in followed
        if isinstance(state := states[name], KnownInput)
        and isinstance(state.behind, Version)
        and not state.behind.in_parts
    }


def outcome(results: Iterable[RuleResult]) -> Status:
    """Return a verdict's status: the worst of its rules'; a rule that could not be judged is the worst of all."""
    said = {result.status for result in results}
    return next(
        (s for s in (Status.ERROR, Status.FAILED, Status.WARNING) if s in said), Status.PASSED
    )


def compared_with(product: Product, version: Version, facts: Facts) -> Version | None:
    """Return what `previous` means when this version is judged: what it replaces, or replaced when it went out."""
    pointer = facts.pointer(product.name)
    if pointer is None:
        return None
    id = pointer.previous if pointer.version == version.id else pointer.version
    return facts.version(id) if id else None


def against(
    product: Product, version: Version, known: Mapping[str, str], observed: Observed
) -> str:
    """Return the digest of what the product's rules read besides the version itself.

    Rows are settled as of when readers of this environment first saw the version, or as of now; new rows of a period
    count that was settled when what they replace was built.
    """
    read = [(name, known[name]) for name in product.rule_inputs]
    before = compared_with(product, version, observed.facts) if product.uses_previous else None
    if product.contract.closes:
        at = judged_as_of(version, observed)
        for r in product.contract.closes:
            ends = [at] if r.holds_new or before is None else [at, before.built_at]
            told = [str(settled_before(r.closes, end, r.tz, r.grace)) for end in ends]
            read.append((f"{r.closes} {r.grace} {r.tz}", " ".join(told)))
        read.append(("environment", observed.environment))
        read += [
            (f"waiver of {w.rule}", digest(w.row_digests))
            for w in waivers_of(version, observed.facts)
        ]
    if moment := judged_at(product):
        read.append((CLOCK, moment))
    if product.uses_previous:
        read.append((PREVIOUS, before.digest if before else ""))
    return against_of(read)


def judged_as_of(version: Version, observed: Observed) -> datetime:
    """Return the moment that decides what is settled in a version: its release, when readers see it, or now.

    A release that was made while a clock was ahead is of no later moment than now.
    """
    pointer = observed.facts.pointer(version.product)
    return (
        min(pointer.released_at, observed.now)
        if pointer and pointer.version == version.id
        else observed.now
    )


def waivers_of(version: Version, facts: Facts) -> Sequence[Waiver]:
    """Return what may go out of a version although it fails a rule; parts of it that are held back change nothing."""
    whole = _whole(version, facts)
    return [
        *facts.waivers(version.id),
        *(facts.waivers(whole.id) if whole and whole.id != version.id else ()),
    ]


def _whole(version: Version, facts: Facts) -> Version | None:
    """Return the version that a version without some parts stands in for."""
    if not version.key.held:
        return version
    return facts.find(version.product, digest_of(version.key.code, version.key.inputs))


def held_back(product: Product, step: Decision, facts: Facts) -> Verdict | None:
    """Return how the version of a product was judged that is held back as recorded, whatever there is to build now."""
    if isinstance(step, Blocked):
        return step.verdict
    newest = (
        step.version if isinstance(step, Keep | Publish | Check) else facts.latest(product.name)
    )
    newest = _whole(newest, facts) if newest else None
    pointer = facts.pointer(product.name)
    if newest is None or (isinstance(step, Keep) and pointer and pointer.version == newest.id):
        return None
    return facts.failed(newest.id, product.contract.digest)


def output(name: str, decision: Decision) -> InputState:
    """Return what a product is to those made of it, once this is decided."""
    match decision:
        case Keep(version=version) | Publish(version=version):
            return KnownInput(digest=version.digest, data_as_of=version.data_as_of, behind=version)
        case Blocked():
            return UnusableInput(why=f"{name} is held back")
        case Held(absent=absent):
            return UnusableInput(why=f"{name} is held", absent=absent)
        case Build(part_digests=parts) | Maybe(part_digests=parts):
            return UnknownInput(part_digests=parts or None)
        case Check(version=version) | Waive(version=version):
            return UnknownInput(
                part_digests={part.key: part.digest for part in version.parts}
                if version.in_parts
                else None
            )


def current(name: str, facts: Facts) -> Version | None:
    """Return the version of a product that readers see."""
    pointer = facts.pointer(name)
    return facts.version(pointer.version) if pointer else None


def published(name: str, facts: Facts) -> InputState:
    """Return what a product that was not asked for is to those made of it: what readers see."""
    version = current(name, facts)
    if version is None:
        return UnusableInput(why=f"{name} was never published and is not selected")
    return KnownInput(digest=version.digest, data_as_of=version.data_as_of, behind=version)


def source_states(observed: Observed) -> dict[str, InputState]:
    """Return the state of every source as an input."""
    return {
        name: UnusableInput(why=state.missing, absent=True)
        if state.missing
        else KnownInput(digest=state.digest, behind=state)
        for name, state in observed.sources.items()
    }


def withheld(
    graph: Graph,
    steps: Mapping[str, Decision],
    facts: Facts,
    already: Mapping[str, Held] | None = None,
) -> dict[str, Held]:
    """Return the products that passed and yet may not go out, with those that `already` may not.

    A release group publishes all or none, and nothing goes out before what it is made of: so when a member cannot be
    published (also because it is pinned), neither can the others, nor whatever was built from their new content.
    """
    groups: dict[str, list[str]] = {}
    for name in steps:
        if group := graph.products[name].release_group:
            groups.setdefault(group, []).append(name)
    held = dict(already or {})
    changed = bool(groups or held)
    while changed:
        changed = False
        for name, decision in steps.items():
            if name not in held and isinstance(decision, Publish):
                product = graph.products[name]
                mates = groups.get(product.release_group, [])
                stuck = {
                    n: f"release group {product.release_group} waits for {n}"
                    for n in mates
                    if _stays(n, steps, held)
                }
                stuck |= {
                    n: f"{n} is held by its release group"
                    for n in product.reads
                    if _is_new(n, steps, held, facts)
                }
                if stuck:
                    held[name] = Held(by=stuck)
                    changed = True
    return held


def _stays(name: str, steps: Mapping[str, Decision], held: Mapping[str, Held]) -> bool:
    """Say whether a product cannot go out, whatever passed."""
    match steps[name]:
        case Blocked() | Held() | Keep(pinned=True):
            return True
    return name in held


def _is_new(
    name: str, steps: Mapping[str, Decision], held: Mapping[str, Held], facts: Facts
) -> bool:
    """Say whether a product is held with content that readers do not see yet."""
    decision = steps.get(name)
    if name not in held or not isinstance(decision, Publish):
        return False
    pointer = facts.pointer(name)
    return pointer is None or facts.version(pointer.version).digest != decision.version.digest


def _reasons(product: Product, key: Key, observed: Observed) -> tuple[Reason, ...]:
    """Return the field-by-field difference between the wanted key and that of what is published (or newest)."""
    lost = observed.facts.lost(product.name, key.digest)
    if lost is not None:
        return (BytesMissing(version=lost.id),)
    return _unlike(product, key.inputs, observed.facts, observed.sources)


def _unlike(
    product: Product,
    inputs: Mapping[str, str],
    facts: Facts,
    sources: Mapping[str, SourceState] | None = None,
    unknown: tuple[str, ...] = (),
) -> tuple[Reason, ...]:
    before = _before(product, facts)
    if before is None:
        return (FirstBuild(),)
    reasons: list[Reason] = []
    if (
        before.key.held
        and before.key.code.digest == product.code.digest
        and before.key.inputs == inputs
    ):
        return (PartsMissing(part_keys=tuple(before.key.held)),)
    if before.key.code.digest != product.code.digest:
        old, new = before.key.code.reached, product.code.reached
        unlike = sorted(n for n in {*old, *new} if old.get(n) != new.get(n))
        if CLOCK in unlike and CLOCK in old and CLOCK in new:
            unlike.remove(CLOCK)
            reasons.append(TimePassed(now=new[CLOCK]))
        reasons += [CodeChanged(changed=tuple(unlike))] if unlike else []
    now, then = {*inputs, *unknown}, set(before.key.inputs)
    if not unknown and now != then:
        reasons.append(
            InputsDiffer(gained=tuple(sorted(now - then)), lost=tuple(sorted(then - now)))
        )
    moved = [
        name for name in sorted(inputs.keys() & then) if inputs[name] != before.key.inputs[name]
    ]
    reasons += [
        _changed(name, before.key.inputs[name], (sources or {}).get(name), facts) for name in moved
    ]
    return tuple(reasons)


def _before(product: Product, facts: Facts) -> Version | None:
    return current(product.name, facts) or facts.latest(product.name)


def _changed(name: str, before: str, source: SourceState | None, facts: Facts) -> InputChanged:
    then = facts.files(before) if source else None
    if source is None or then is None:
        return InputChanged(name=name)
    now = {file.path: file.digest for file in source.files}
    moved = {path for path, _ in now.items() - then.items()}
    return InputChanged(
        name=name,
        added=tuple(sorted(moved - then.keys())),
        replaced=tuple(sorted(moved & then.keys())),
        removed=tuple(sorted(then.keys() - now.keys())),
    )
