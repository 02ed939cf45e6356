"""Random projects lived through: data, code and rules edited and reverted, rules failing, crashes at every step.

Everything is real (SQLite, files, DuckDB, Polars) but the definitions, which are made as values. An oracle in plain
Python says what a clean rebuild would publish. Held after every run:

- what is published of a product is the clean rebuild's content, or, where that is held back, the last good version;
- a crash publishes a release whole or not at all, and the next run comes to the same end without building what was kept;
- a second run does nothing; the plan is an upper bound of what is built.
"""

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.build.execute import execute
from assay.build.workspace import Workspace
from assay.catalog import open_catalog
from assay.catalog.writes import move_pointer
from assay.config import Config
from assay.decisions import Blocked, Build, Held, Keep, Maybe, Publish
from assay.declare.project import Project
from assay.declare.resolve import Definition, Resolved
from assay.engines.make import LAZY_FRAME, Recipe
from assay.errors import AssayError
from assay.events import Outcome
from assay.facts import Move
from assay.model import Column, Contract, Input, Kind, Product, Rule, Source, Where
from assay.plan.digests import code_of, digest
from assay.plan.graph import Graph
from assay.plan.ladder import Plan, plan
from assay.plan.request import Request, RunOptions
from assay.store.files import LocalStorage

pytestmark = pytest.mark.faults
LARGE = os.environ.get("ASSAY_FAULTS") == "large"
SEED = int(os.environ.get("ASSAY_SEED", int(time.time()) // 86_400))
HERE = Where("simulated.py", 1)
SOURCES = ("s.s0", "s.s1")


class Crash(BaseException):
    """The process dies here."""


@dataclass
class Made:
    """One simulated product: which inputs, which code, how strict its rule."""

    name: str
    reads: tuple[str, ...]
    lossy: bool
    sql: bool
    looks_at: str = ""
    group: str = ""
    code: int = 0
    bar: int = 0

    def values(self, inputs: list[list[int]]) -> list[int]:
        """What it makes of its inputs: a few numbers, few different ones when lossy."""
        total = sum(x * (i + 3) for i, values in enumerate(inputs) for x in values) + self.code * 7
        return [total % 2, 1] if self.lossy else [total % 97, total % 89, self.code]

    def passes(self, values: list[int], other: list[int] | None) -> bool:
        return not any(x % 5 == self.bar for x in values) and (
            other is None or sum(other) % 4 != self.bar
        )


@dataclass
class Life:
    """A project on disk, and what the oracle knows of it."""

    root: Path
    made: list[Made]
    release: str
    data: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SOURCES, 0))
    builds: list[str] = field(default_factory=list)
    seconds: int = 0

    def write_data(self) -> None:
        for name, value in self.data.items():
            self.root.joinpath("data").mkdir(exist_ok=True)
            self.root.joinpath(f"data/{name}.csv").write_text(f"x\n{value}\n{value * 2}\n")

    def project(self) -> Project:
        graph = Graph(
            products={m.name: self.product(m) for m in self.made},
            sources={
                n: Source(
                    name=n,
                    where=HERE,
                    pattern=f"data/{n}.csv",
                    format="csv",
                    columns=(Column(name="x", type="BIGINT"),),
                    reading="r",
                )
                for n in SOURCES
            },
        )
        definitions = {
            m.name: Definition(recipe=None if m.sql else self.recipe(m)) for m in self.made
        }
        config = Config(root=self.root, release=self.release)  # type: ignore[arg-type]
        return Project(
            config=config, graph=graph, resolved=Resolved(graph=graph, definitions=definitions)
        )

    def product(self, made: Made) -> Product:
        inputs = tuple(Input(alias=f"i{n}", name=read) for n, read in enumerate(made.reads))
        rules = [
            Rule(
                text="no number is barred",
                where=HERE,
                sql=f"select x from this where x % 5 = {made.bar}",
                inputs=(Input(alias="this", name="this"),),
            )
        ]
        if made.looks_at:
            query = f"select sum(x) from {made.looks_at} having sum(x) % 4 = {made.bar}"
            rules.append(
                Rule(
                    text="the other adds up",
                    where=HERE,
                    sql=query,
                    inputs=(Input(alias=made.looks_at, name=made.looks_at),),
                )
            )
        return Product(
            name=made.name,
            where=HERE,
            kind=Kind.SQL if made.sql else Kind.FUNCTION,
            owner="o",
            code=code_of({"code": digest([made.code, made.lossy])}),
            inputs=inputs,
            release_group=made.group,
            contract=Contract(digest=digest([made.bar, made.looks_at]), rules=tuple(rules)),
            sql=self.sql(made),
        )

    def sql(self, made: Made) -> str:
        parts = " union all ".join(
            f"select x * {i + 3} as x from i{i}" for i in range(len(made.reads))
        )
        total = f"with t as (select sum(x)::bigint + {made.code * 7} as t from ({parts}))"
        shown = "[t % 2, 1]" if made.lossy else f"[t % 97, t % 89, {made.code}]"
        return f"{total} select unnest({shown})::bigint as x from t"

    def recipe(self, made: Made) -> Recipe:
        def function(**inputs: pl.LazyFrame) -> pl.LazyFrame:
            read = [inputs[f"i{n}"].collect()["x"].to_list() for n in range(len(made.reads))]
            return pl.LazyFrame({"x": made.values(read)})

        return Recipe(
            function=function, handovers={f"i{n}": LAZY_FRAME for n in range(len(made.reads))}
        )

    def clean(self, before: dict[str, list[int]]) -> dict[str, list[int] | None]:
        """What a rebuild from nothing would publish over `before`; None where it would be held back or held."""
        content: dict[str, list[int] | None] = {n: [v, v * 2] for n, v in self.data.items()}
        for made in self.made:
            read = [content[name] for name in made.reads]
            other = content[made.looks_at] if made.looks_at else None
            if any(r is None for r in read) or (made.looks_at and other is None):
                content[made.name] = None
                continue
            values = made.values([r for r in read if r is not None])
            content[made.name] = values if made.passes(values, other) else None
        return self.without_torn_groups(content, before)

    def without_torn_groups(
        self, content: dict[str, list[int] | None], before: dict[str, list[int]]
    ) -> dict[str, list[int] | None]:
        """A group is published whole or not; what is made of a withheld member may not go out either."""
        out = dict(content)
        changed = True
        while changed:
            changed = False
            for made in self.made:
                group = [m.name for m in self.made if m.group and m.group == made.group]
                reads = [*made.reads, *([made.looks_at] if made.looks_at else [])]
                stuck = any(out[n] is None for n in group) or any(out.get(n) is None for n in reads)
                values = out[made.name]
                if values is not None and stuck and sorted(values) != before.get(made.name):
                    out[made.name], changed = None, True
        return out


class Doomed:
    """A catalog, storage or reporter whose process dies when the count of steps runs out."""

    def __init__(self, real: Any, fuse: "Fuse", steps: set[str]) -> None:
        self._real, self._fuse, self._steps = real, fuse, steps

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._real, name)
        if name not in self._steps:
            return value

        def call(*arguments: Any, **keywords: Any) -> Any:
            self._fuse.burn()
            result = value(*arguments, **keywords)
            self._fuse.burn()
            return result

        return call


class Fuse:
    """Counts steps; when it has burnt down, nothing reaches the disk any more."""

    def __init__(self, left: int, die: Callable[[], None]) -> None:
        self.left, self.die, self.steps = left, die, 0

    def burn(self) -> None:
        self.steps += 1
        if self.left and self.steps >= self.left:
            self.die()
            raise Crash


def run(life: Life, *, crash_at: int = 0) -> tuple[Outcome | None, Plan, int]:
    """Run everything once, in this life's next second; dies at a step if told to. Returns the plan made before."""
    life.seconds += 10
    now = datetime.fromtimestamp(datetime.now(UTC).timestamp() + life.seconds, UTC)
    project, storage = life.project(), LocalStorage(life.root / ".products/store")
    catalog = open_catalog(life.root / ".products/catalog.db")
    # A dead process writes no more: its catalog connection is made unusable, whoever still holds it.
    fuse = Fuse(crash_at, lambda: setattr(catalog.database, "_db", None))
    events = Doomed(lambda event: None, fuse, {"__call__"})
    database = catalog.database._db
    catalog.database._db = Doomed(database, fuse, {"execute", "executemany"})
    workspace = Workspace(
        project=project,
        environment="prod",
        catalog=catalog,
        storage=Doomed(storage, fuse, {"prepare", "seal"}),
        reporter=events.__getattr__("__call__"),
        clock=lambda: now,
    )
    request = Request(products=frozenset(project.graph.products))
    before = prediction(project, request, life)
    outcome = None
    with suppress(*((Crash, AssayError, AttributeError) if crash_at else ())):
        outcome = execute(workspace, request, workspace.observe(), options=RunOptions(jobs=2))
    database.close()
    return outcome, before, fuse.steps


def prediction(project: Project, request: Request, life: Life) -> Plan:
    """The plan as it stands, made without writing anything."""
    catalog = open_catalog(life.root / ".products/catalog.db")
    storage = LocalStorage(life.root / ".products/store")
    workspace = Workspace(
        project=project,
        environment="prod",
        catalog=catalog,
        storage=storage,
        clock=lambda: datetime.now(UTC),
    )
    made = plan(project.graph, workspace.observe(), request)
    catalog.close()
    return made


def published(life: Life) -> dict[str, list[int]]:
    """What a reader sees of every product."""
    catalog = open_catalog(life.root / ".products/catalog.db", create=False)
    found = {}
    for name, pointer in catalog.pointers("prod").items():
        [part] = catalog.version(pointer.version).parts
        file = life.root / ".products/store" / part.path
        assert hashlib.sha256(file.read_bytes()).hexdigest() == part.checksum
        rows = duckdb.connect().execute(f"from read_parquet('{file}')").fetchall()
        found[name] = sorted(x for (x,) in rows)
    catalog.close()
    return found


def orphans(life: Life) -> set[str]:
    """Files in the store that no version names."""
    catalog = open_catalog(life.root / ".products/catalog.db", create=False)
    named = {path for (path,) in catalog.database.rows("select path from parts")}
    catalog.close()
    store = life.root / ".products/store"
    return {str(f.relative_to(store)) for f in store.rglob("*") if f.is_file()} - named


def holds(life: Life, before: dict[str, list[int]]) -> None:
    """Published is the clean rebuild, or the last good version where that is held back."""
    now, clean = published(life), life.clean(before)
    for made in life.made:
        expected = clean[made.name]
        if expected is None:
            assert now.get(made.name) == before.get(made.name), (
                f"{made.name} should have kept its last good version"
            )
        else:
            assert now.get(made.name) == sorted(expected), made.name
    assert not orphans(life)


def built(outcome: Outcome) -> set[str]:
    return {name for name, result in outcome.results.items() if result.built}


@st.composite
def lives(draw: st.DrawFn) -> list[Made]:
    made: list[Made] = []
    for index in range(draw(st.integers(2, 5))):
        above = [*SOURCES, *(m.name for m in made)]
        reads = draw(st.lists(st.sampled_from(above), min_size=1, max_size=2, unique=True))
        looks_at = (
            draw(st.sampled_from(["", *(m.name for m in made)]))
            if made and draw(st.booleans())
            else ""
        )
        made.append(
            Made(
                name=f"d.p{index}",
                reads=tuple(reads),
                lossy=draw(st.booleans()),
                sql=draw(st.booleans()),
                looks_at=looks_at,
                group=draw(st.sampled_from(["", "", "", "g"])),
                bar=draw(st.integers(0, 4)),
            )
        )
    return made


EDITS = st.lists(
    st.tuples(
        st.sampled_from(["data", "code", "revert", "rule"]), st.integers(0, 99), st.integers(0, 2)
    ),
    min_size=1,
    max_size=2,
)
STEPS = st.lists(st.tuples(EDITS, st.integers(0, 120)), min_size=2, max_size=5)


def edit(life: Life, what: str, which: int, value: int) -> None:
    made = life.made[which % len(life.made)]
    match what:
        case "data":
            life.data[SOURCES[which % len(SOURCES)]] = value
        case "code":
            made.code += 1
        case "revert":
            made.code = max(0, made.code - 1)
        case "rule":
            made.bar = value


def live(
    made: list[Made], steps: list[tuple[list[tuple[str, int, int]], int]], release: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        life = Life(root=Path(folder), made=made, release=release)
        for edits, crash_at in steps:
            for change in edits:
                edit(life, *change)
            life.write_data()
            before = published(life) if (life.root / ".products/catalog.db").exists() else {}
            if crash_at:
                died, _, _ = run(life, crash_at=crash_at)
                between = published(life)
                clean = life.clean(before)
                for name, seen in between.items():
                    whole = clean[name] is not None and seen == sorted(clean[name])
                    assert whole or seen == before.get(name), f"{name} shows what never passed"
                if release == "coherent" and died is None:
                    torn_sets(life, before, between)
                before = between
            outcome, expected, _ = run(life)
            assert outcome is not None
            assert built(outcome) <= set(expected.builds), (
                "the plan is an upper bound of what is built"
            )
            sure = {
                n
                for n, d in expected.steps.items()
                if isinstance(d, Keep | Publish | Blocked | Held)
            }
            assert not built(outcome) & sure
            assert (
                not {n for n, d in expected.steps.items() if isinstance(d, Build)}
                - built(outcome)
                - {n for n, r in outcome.results.items() if isinstance(r.end, Held)}
            )
            holds(life, before)
            seen = published(life)
            again, settled, _ = run(life)
            assert again is not None
            assert not built(again)
            assert not any(r.judged for r in again.results.values())
            assert not [d for d in settled.steps.values() if isinstance(d, Build | Maybe | Publish)]
            assert published(life) == seen


def torn_sets(life: Life, before: dict[str, list[int]], between: dict[str, list[int]]) -> None:
    """After a crash, of every connected set either all that could change did, or nothing."""
    graph, clean = life.project().graph, life.clean(before)
    for members in graph.connected(graph.products):
        could = [n for n in members if clean[n] is not None and before.get(n) != sorted(clean[n])]
        did = [n for n in could if between.get(n) == sorted(clean[n])]
        assert did in ([], could), f"half of {members} was published: {did} of {could}"


@settings(
    max_examples=400 if LARGE else 4,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    print_blob=True,
)
@given(made=lives(), steps=STEPS, release=st.sampled_from(["coherent", "coherent", "as_ready"]))
def test_whatever_happens_readers_see_what_passed(
    made: list[Made], steps: list[Any], release: str
) -> None:
    live(made, steps, release)


@pytest.mark.long
def test_a_crash_at_every_step_of_one_run(tmp_path: Path) -> None:
    """By default at every twelfth, others every day: `tests/faults` goes through more of them."""
    at_steps(
        tmp_path, lambda last: range(1, last + 1) if LARGE else range(1 + SEED % 12, last + 1, 12)
    )


def test_the_control_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that publishes product by product, each in a transaction of its own, and dies after the first."""
    dies = []

    def product_by_product(writer: Any, environment: str, release: int, moved: Move) -> None:
        move_pointer(writer, environment, release, moved)
        writer.execute("commit")
        if dies:
            raise Crash
        writer.execute("begin immediate")

    def once(last: int) -> range:
        dies.append(True)
        return range(10 * last, 10 * last + 1)  # no other death comes before

    monkeypatch.setattr("assay.catalog.writes.move_pointer", product_by_product)
    with pytest.raises(AssertionError, match="half of"):
        at_steps(tmp_path, once)


def at_steps(folder: Path, chosen: Callable[[int], range]) -> None:
    """Crash a run at each of these of its steps, of as many as it has."""
    made = [
        Made(name="d.p0", reads=("s.s0",), lossy=False, sql=True, bar=9),
        Made(name="d.p1", reads=("d.p0",), lossy=False, sql=False, bar=9),
        Made(name="d.p2", reads=("d.p0", "s.s1"), lossy=True, sql=True, looks_at="d.p1", bar=9),
    ]
    first = Life(root=folder / "first", made=made, release="coherent")
    first.root.mkdir()
    first.write_data()
    run(first)

    def start(step: int) -> Life:
        root = folder / str(step)
        shutil.copytree(first.root, root)
        life = Life(root=root, made=[Made(**vars(m)) for m in made], release="coherent")
        life.data["s.s0"] = 5
        life.write_data()
        return life

    _, _, steps = run(start(0))
    assert steps > 40
    for step in chosen(steps):
        life = start(step)
        before = published(life)
        run(life, crash_at=step)
        between = published(life)
        torn_sets(life, before, between)
        outcome, _, _ = run(life)
        assert outcome is not None
        holds(life, before)
        again, _, _ = run(life)
        assert again is not None
        assert not built(again)
