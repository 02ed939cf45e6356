"""Promotes what an environment publishes to its parent: moves pointers to versions that are there.

Nothing is built or copied. What prevents it is found first, all of it; only rules that compare with
what the parent publishes, or with the clock, may have to be judged again, in the parent.
"""

import uuid
from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from assay.build.evidence import judge_order
from assay.build.inputs import Inputs
from assay.build.recorder import with_last
from assay.build.release import repeated
from assay.build.workspace import Workspace
from assay.catalog.environments import Promotion
from assay.catalog.known import check_environment
from assay.decisions import (
    AwaitApproval,
    Blocked,
    Check,
    Decision,
    InputState,
    Keep,
    KnownInput,
    Publish,
    Waive,
)
from assay.engines.sql.timed import clocks_set
from assay.errors import UsageError
from assay.facts import Move, Pointer, Release, RuleResult, Status, Version, short
from assay.model import Product
from assay.plan.ladder import judged
from assay.plan.observed import Observed
from assay.plan.promotion import Obstacle, Sides, chosen, needed, obstacles
from assay.plan.states import source_states
from assay.plan.waivers import waivers_of
from assay.rules.schema import Schema

_BAD = {Status.FAILED, Status.ERROR}


class Promoted(Struct, frozen=True, kw_only=True):
    """What was promoted, or would be.

    - `release`: 0 when nothing was, and for a dry run.
    - `versions`: what is published now, by product, in order of lineage.
    - `before`: what was published before, of products that were.
    - `judged`: products whose rules were judged again, or would be.
    """

    source: str
    target: str
    release: int = 0
    versions: Mapping[str, Version] = field(default_factory=dict)
    before: Mapping[str, Version] = field(default_factory=dict)
    judged: tuple[str, ...] = ()


class Refused(UsageError):
    """Nothing was promoted; says all that prevents it."""

    def __init__(self, source: str, target: str, found: Sequence[Obstacle]) -> None:
        lines = [f"{source} is not promoted to {target}; nothing has moved:"]
        for each in found:
            lines.append(f"  {each.product} {each.what}")
            lines += [f"    {each.do}"] * bool(each.do)
        super().__init__("\n".join(lines))


def parent_of(workspace: Workspace, source: str, target: str | None) -> str:
    """Return the environment to promote to: the parent; UsageError for another, or none."""
    check_environment(workspace.catalog, workspace.config, source)
    if target is not None:
        check_environment(workspace.catalog, workspace.config, target)
    parents = {each.name: each.parent for each in workspace.catalog.environments.all()}
    parent = parents.get(source, "")
    again = f"`products env create {source} --from {target or 'PARENT'} --again`"
    if source == workspace.config.environment:
        raise UsageError(
            f"{source} is the environment of the settings: nothing is promoted from it"
        )
    if not parent:
        raise UsageError(
            f"{source} was not created from another environment: there is nothing to compare with",
            hint=f"{again} gives it a parent.",
        )
    if target not in {None, parent}:
        raise UsageError(
            f"{source} was created from {parent}: it is promoted to that, and not to {target}",
            hint=f"Promote it to {parent}, or compare it with {target} first: {again}.",
        )
    return parent


def promote(
    workspace: Workspace,
    source: str,
    names: Collection[str] | None,
    *,
    because: str = "",
    dry: bool = False,
) -> Promoted:
    """Publish in this environment what `source` publishes: of these products, or all, at once.

    Raises Refused, saying everything that prevents it, or when a rule fails here.
    """
    why = f"promote {source}" + (f": {because}" if because else "")

    def attempt() -> Promoted:
        sides = _sides(workspace, source)
        chosen_names = set(chosen(sides, names))
        order = [name for name in workspace.graph.order if name in chosen_names]
        moving = [*order, *sorted(chosen_names - set(order))]
        if not moving:
            return Promoted(source=source, target=sides.target)
        found = obstacles(workspace.graph, sides, moving) + _damaged(workspace, sides, moving)
        if found:
            raise Refused(source, sides.target, found)
        return _Judging(workspace, sides, moving).go(why, dry=dry)

    return repeated(attempt)


def _sides(workspace: Workspace, source: str) -> Sides:
    catalog, target = workspace.catalog, workspace.environment
    here, there = catalog.pointers(source), catalog.pointers(target)
    bases = catalog.environments.bases(source)
    ids = {pointer.version for pointer in (*here.values(), *there.values())}
    versions = {id: catalog.version(id) for id in sorted(ids)}
    return Sides(
        source=source, target=target, here=here, there=there, bases=bases, versions=versions
    )


def _damaged(workspace: Workspace, sides: Sides, names: Sequence[str]) -> list[Obstacle]:
    found = []
    for name in names:
        version = sides.published_here(name)
        if version and not workspace.storage.holds(version.parts):
            what = f"has files that are missing or damaged ({short(version.id)})"
            do = f"`products verify {name} --repair` looks for another copy, or builds them again."
            found.append(Obstacle(product=name, what=what, do=do))
    return found


class _Judging:
    """One attempt: judges what the target needs judged, and moves the pointers."""

    def __init__(self, workspace: Workspace, sides: Sides, names: Sequence[str]) -> None:
        self.workspace, self.sides, self.names = workspace, sides, names
        self.graph = clocks_set(workspace.graph)
        self.observed: Observed = workspace.observe()
        self.states: dict[str, InputState] = source_states(self.observed)
        for name in {*sides.here, *sides.there}:
            version = sides.published_here(name) if name in names else sides.published_there(name)
            if version:
                self.states[name] = KnownInput(
                    digest=version.digest, data_as_of=version.data_as_of, origin=version
                )

    def go(self, why: str, *, dry: bool) -> Promoted:
        workspace, sides = self.workspace, self.sides
        decisions = {name: self._decide(name) for name in self.names}
        again = [name for name, step in decisions.items() if isinstance(step, Check)]
        self._refuse(decisions)
        if not dry and any(isinstance(step, Check | Waive) for step in decisions.values()):
            self._record(decisions)
            self.observed = workspace.observe(self.observed.sources)
            decisions = {name: self._decide(name) for name in self.names}
            self._refuse(decisions, final=True)
        done = Promoted(
            source=sides.source,
            target=sides.target,
            versions={name: self._version(name) for name in self.names},
            before={n: v for n in self.names if (v := sides.published_there(n))},
            judged=tuple(again),
        )
        if dry:
            return done
        return replace(done, release=self._release(decisions, why).id)

    def _version(self, name: str) -> Version:
        version = self.sides.published_here(name)
        assert version is not None  # otherwise there was an obstacle
        return version

    def _decide(self, name: str) -> Decision:
        """Return what the target says of a version: it is as good, or not, or has to be judged."""
        product = self.graph.products[name]
        known = {
            read: state.digest
            for read in product.rule_inputs
            if isinstance(state := self.states.get(read), KnownInput)
        }
        if missing := sorted(set(product.rule_inputs) - known.keys()):
            what = f"is judged beside {missing[0]}, which cannot be read"
            raise Refused(self.sides.source, self.sides.target, [Obstacle(product=name, what=what)])
        return judged(product, self._version(name), known, self.observed, restates=None)

    def _refuse(self, decisions: Mapping[str, Decision], *, final: bool = False) -> None:
        found = []
        for name, step in decisions.items():
            match step:
                case Publish() | Keep():
                    continue
                case Waive(verdict=verdict) if verdict.passed and not final:
                    continue
                case Check() if not final and self._passed_here(name):
                    continue
                case Check():
                    found.append(self._not_judged(name))
                case AwaitApproval():
                    found.append(self._awaiting(name, step))
                case Blocked(verdict=verdict) | Waive(verdict=verdict):
                    found.append(self._failed(name, verdict.results))
                case _:
                    found.append(Obstacle(product=name, what=f"is {type(step).__name__} here"))
        if found:
            raise Refused(self.sides.source, self.sides.target, found)

    def _passed_here(self, name: str) -> bool:
        """Return whether the source has judged the version good by the rules declared here."""
        contract = self.graph.products[name].contract.digest
        verdicts = self.workspace.catalog.verdicts(self._version(name).id, self.sides.source)
        return any(verdict.passed and verdict.contract == contract for verdict in verdicts)

    def _not_judged(self, name: str) -> Obstacle:
        source = self.sides.source
        return Obstacle(
            product=name,
            what=f"was not judged good in {source} by the rules that are declared here",
            do=f"Check out the code that {source} was built with, or run"
            f" `products materialize --env {source}` with this one.",
        )

    def _awaiting(self, name: str, step: AwaitApproval) -> Obstacle:
        target = self.sides.target
        return Obstacle(
            product=name,
            what="; ".join([f"needs {step.waits_for} in {target}", *step.void]),
            do=f"`products approve {name} {short(step.version.id)} --env {target} --as WHO"
            " --because TEXT`",
        )

    def _failed(self, name: str, results: Sequence[RuleResult]) -> Obstacle:
        """Return why a version is not good in the target: what fails, and what excused it before."""
        source, target = self.sides.source, self.sides.target
        failing = [result.text for result in results if result.status in _BAD]
        what = f"fails in {target}: {'; '.join(failing)}"
        verdicts = self.workspace.catalog.verdicts(self._version(name).id, source)
        passed = next((verdict for verdict in verdicts if verdict.passed), None)
        if passed and waivers_of(passed):
            ids = ", ".join(waivers_of(passed))
            what += f"; it passed in {source} by a waiver that does not count in {target} ({ids})"
            return Obstacle(
                product=name,
                what=what,
                do=f"`products waive {name} --env {target} …` waives it there, or publish a version"
                " that passes.",
            )
        if passed and passed.restated:
            what += f"; it was restated in {source} only: {passed.restated}"
            do = f"`products materialize --restate {name} --because … --env {target}`"
            return Obstacle(product=name, what=what, do=do)
        return Obstacle(product=name, what=what)

    def _record(self, decisions: Mapping[str, Decision]) -> None:
        """Judge what has to be, and record it, in a run of the target that builds nothing."""
        catalog, workspace = self.workspace.catalog, self.workspace
        run = f"{self.observed.now:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
        with catalog.runs.open(
            run,
            self.sides.target,
            self.observed.now,
            {},
            workspace.storage.remove,
            recorded=self.observed.recorded,
        ):
            for name, step in decisions.items():
                if isinstance(step, Waive):
                    verdict = replace(step.verdict, run=run, judged_at=workspace.clock())
                    catalog.record([], [verdict])
                elif isinstance(step, Check):
                    self._judge(self.graph.products[name], step.version, run)

    def _judge(self, product: Product, version: Version, run: str) -> None:
        workspace = self.workspace
        workspace.project.vouch([product.name])
        published = {name: Keep(version=self._version(name)) for name in self.names}
        inputs = Inputs(self.graph, self.observed, workspace.storage, workspace.config, published)
        order = judge_order(
            inputs, product, version, states=self.states, catalog=workspace.catalog, run=run
        )

        def schema() -> Schema:
            return workspace.project.definitions()[product.name].schema

        engine = inputs.engine()
        try:
            done = order.judge_version(engine, schema, workspace.clock)
        finally:
            engine.close()
        done = with_last(done, workspace.catalog, self.sides.target)
        workspace.catalog.record([], [done.verdict], done.judged)

    def _release(self, decisions: Mapping[str, Decision], why: str) -> Release:
        sides = self.sides
        moves = [
            Move(
                product=name,
                version=self._version(name).id,
                previous=sides.there[name].version if name in sides.there else "",
                waivers=waivers_of(step.verdict) if isinstance(step, Publish) else (),
                approvals=step.approvals if isinstance(step, Publish) else (),
            )
            for name, step in decisions.items()
        ]
        promotion = Promotion(
            source=sides.source,
            release=Release(
                id=0,
                environment=sides.target,
                at=self.workspace.clock(),
                run="",
                why=why,
                moves=tuple((move.product, move.version) for move in moves),
            ),
            moves=moves,
            expects=_releases(sides.there, needed(self.graph, sides, self.names)),
            expects_from=_releases(sides.here, self.names),
        )
        return self.workspace.catalog.environments.promote(promotion)


def _releases(pointers: Mapping[str, Pointer], names: Collection[str]) -> dict[str, int]:
    """Return the release of each product's pointer; 0 without a pointer."""
    return {name: pointers[name].release if name in pointers else 0 for name in names}
