"""What a command works on: a project with its catalog open, as one environment at one moment."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from datetime import UTC, datetime
from typing import Any

import click
from msgspec import Struct
from msgspec.structs import replace

from assay.build.inputs import Inputs
from assay.build.world import World, look_around
from assay.catalog import CLOCKS_DIFFER, Catalog
from assay.config import bad_environment
from assay.decisions import Blocked, Build, Check, Decision, Held, Maybe, Publish
from assay.declare.project import Project, open_project
from assay.errors import UsageError
from assay.model import Version
from assay.plan.graph import full_name, rule_of
from assay.plan.ladder import Observed, Request, held_back, plan
from assay.plan.parts import within
from assay.plan.waivers import Restatement, looked_at
from assay.store.files import Storage
from assay.store.leases import reading
from assay.text import clean


class Session(Struct):
    """A project with its catalog open, as one environment at one moment."""

    project: Project
    catalog: Catalog
    storage: Storage
    environment: str
    clock: Callable[[], datetime]

    def world(self, reporter: Any = None) -> World:
        told = reporter or (lambda _: None)
        return World(catalog=self.catalog, storage=self.storage, reporter=told, clock=self.clock)

    def observe(self) -> Observed:
        return look_around(self.project, self.world(), self.environment)

    def request(
        self,
        observed: Observed,
        select: Iterable[str],
        exclude: Iterable[str] = (),
        *,
        force: bool = False,
        restate: Mapping[str, Restatement] | None = None,
        rules: Sequence[str] = (),
        parts: str = "",
    ) -> Request:
        """Return what selectors ask for; `restate` says why failing rows may go out, of which `rules` (all).

        `parts` are the parts of them to build, `A..B`.
        """
        graph = self.project.graph
        terms = [*select, *exclude]
        words = " ".join(terms).replace(",", " ").split()
        asks = any(
            word.lstrip("0123456789+").partition(":")[0] in {"stale", "blocked", "state"}
            for word in words
        )
        chosen = frozenset(graph.select(select, exclude, self.states(observed) if asks else None))
        if not chosen and terms:
            click.echo(clean(f"  nothing matches {' '.join(terms)}"), err=True)
        if parts:
            self._check_range(chosen, parts)
        asked = {graph.resolve(name): restatement for name, restatement in (restate or {}).items()}
        if left := sorted(asked.keys() - chosen):
            raise UsageError(f"{left[0]} is to be restated, and is not selected")
        restated = {
            name: self._looked_at(observed, name, told, rules) for name, told in asked.items()
        }
        return Request(
            products=chosen,
            forced=chosen if force else frozenset(),
            restated=restated,
            part_range=parts,
        )

    def _looked_at(
        self, observed: Observed, name: str, restatement: Restatement, words: Sequence[str]
    ) -> Restatement:
        """Return a restatement that is about the rows of a product that are held back now, as recorded."""
        product, facts = self.project.graph.products[name], observed.facts
        closed = [rule.text for rule in product.contract.closes]
        if not closed:
            raise UsageError(
                f"{name} has no rule about settled rows, so there is nothing to restate"
            )
        chosen = [rule_of(product, some).text for some in words] or closed
        if other := [text for text in chosen if text not in closed]:
            raise UsageError(
                f"{other[0]!r} of {name} is not about settled rows, so it cannot be restated"
            )
        steps = plan(
            self.project.graph,
            observed,
            Request(products=frozenset(self.project.graph.products)),
            in_parts=False,
        ).steps
        verdict = held_back(product, steps[name], facts)
        if verdict is None:
            return restatement
        grain = product.partition.grain if product.partition else ""
        return looked_at(
            verdict.results,
            version=verdict.version,
            rules=chosen,
            restatement=replace(restatement, grain=grain),
        )

    def _check_range(self, chosen: Iterable[str], parts: str) -> None:
        for name in sorted(chosen):
            product = self.project.graph.products[name]
            if not product.follows or product.partition is None:
                raise UsageError(
                    f"{name} is not made part by part, so no range of it can be built",
                    hint="Name products that follow the parts of an input (each=, partition_by=).",
                )
            try:
                within([], parts, product.partition.grain)
            except ValueError as error:
                raise UsageError(
                    f"--parts {parts}: {error}", hint="Write --parts 2011-11-01..2011-11-30."
                ) from None

    def resolve(self, name: str) -> str:
        """Return the full name of a product that is declared, or has a version recorded; UsageError for none."""
        graph = self.project.graph
        return (
            full_name(name, graph.products)
            or full_name(name, self.catalog.names())
            or graph.resolve(name)
        )

    def undeclared(self) -> dict[str, Version]:
        """Return what readers still see of products that are no longer declared, by name, sorted."""
        products = self.project.graph.products
        pointers = self.catalog.pointers(self.environment)
        return {
            n: self.catalog.version(pointers[n].version)
            for n in sorted(pointers.keys() - products.keys())
        }

    def states(self, observed: Observed) -> dict[str, set[str]]:
        """Return the products that each state selector means."""
        graph, facts = self.project.graph, observed.facts
        steps = plan(
            graph, observed, Request(products=frozenset(graph.products)), in_parts=False
        ).steps
        modified = {
            name
            for name, product in graph.products.items()
            if (pointer := facts.pointer(name)) is None
            or facts.version(pointer.version).key.code.digest != product.code.digest
            or not any(
                v.contract == product.contract.digest
                for v in self.catalog.verdicts(pointer.version)
            )
        }
        return {
            "stale": {
                n for n, d in steps.items() if isinstance(d, Build | Check | Maybe | Publish)
            },
            "blocked": {n for n, d in steps.items() if isinstance(d, Blocked | Held)},
            "state": modified,
        }


@contextmanager
def open_session(
    env: str | None = None,
    now: datetime | None = None,
    *,
    create: bool = False,
    reads: bool = True,
    last_good: bool = False,
) -> Iterator[Session]:
    """Open the project at or above the working directory; what it may read of the store stays there meanwhile.

    With `last_good`, declarations with mistakes give way to those last read without one, and that is said.
    """
    project = open_project(last_good=last_good)
    if project.outdated:
        click.echo(clean(f"  note: {project.outdated}"), err=True)
    storage, began = project.storage(), now or datetime.now(UTC)
    with (
        reading(storage.root, began.isoformat()) if reads else nullcontext(),
        closing(project.catalog(create=create)) as catalog,
    ):
        environment = environment_of(env) or project.config.environment
        project.set_clock(began)
        yield Session(
            project=project,
            catalog=catalog,
            storage=storage,
            environment=environment,
            clock=(lambda: now) if now else (lambda: datetime.now(UTC)),
        )


def check_now(session: Session, now: datetime | None, *, releases: bool = True) -> None:
    """Refuse a --now before the last release: what was read as of then would change.

    Where something is released (`releases`), refuse a --now in the future too, but in an environment for trying: what
    readers see today would be found by nobody who asks for today.
    """
    latest = datetime.now(UTC) + CLOCKS_DIFFER
    last = session.catalog.last_release(session.environment, latest)
    if (
        releases
        and now
        and now > latest
        and session.environment == session.project.config.environment
    ):
        raise UsageError(
            f"--now {now:%Y-%m-%d %H:%M:%S} UTC is in the future: what is released then would not be found as of today",
            hint="`products plan --now TIME` shows what a run would do then; `--env NAME` tries it elsewhere.",
        )
    if now and last and now < last.at:
        raise UsageError(
            f"--now cannot be before the last release (#{last.id}, {last.at:%Y-%m-%d %H:%M:%S} UTC)"
        )
    if last is None and session.environment != session.project.config.environment:
        click.echo(f"  {session.environment} is a new environment", err=True)


def environment_of(name: str | None) -> str | None:
    if name is not None and (problem := bad_environment(name)):
        raise UsageError(f"--env {problem}")
    return name


def inputs_as_of_now(session: Session, observed: Observed) -> tuple[Inputs, Mapping[str, Decision]]:
    """Return where everything is read as of now, and what is next for every product."""
    graph = session.project.graph
    steps = plan(graph, observed, Request(products=frozenset(graph.products)), in_parts=False).steps
    return Inputs(graph, observed, session.storage, session.project.config, steps), steps
