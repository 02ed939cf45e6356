"""What is done to a project while it is killed: each a state to begin in and a command, with its end known."""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.faults import checker, project
from tests.faults.checker import Facts, Snapshot
from tests.forge import Ended, Forge
from tests.server import Server

LATER = ("--now", "2099-01-01T00:00")  # what gc replaced may be removed by then


@dataclass
class Scene:
    """A folder in the state before a command; copies of it are what is killed."""

    forge: Forge
    folder: Path
    command: Sequence[str]
    variants: Sequence[str] = ()
    mixed: bool = False
    server: Server | None = None  # what has the catalog, where that is not a file
    start: Facts = field(init=False)
    before: Snapshot = field(init=False)
    after: Snapshot = field(init=False)
    points: int = field(init=False)
    trace: list[list[Any]] = field(init=False)
    code: int = field(init=False)
    promises: list[tuple[Any, ...]] = field(init=False)
    _copies: int = 0

    @property
    def origin(self) -> Path:
        return self.folder / "origin"

    def run(self, root: Path, *arguments: str, **job: Any) -> Ended:
        ended = self.forge.run(root, *arguments, variants=list(self.variants), **job)
        if ended.killed and self.server:
            self.server.forget(checker.address(root))
        return ended

    def learn(self) -> None:
        """Run the command to its end once, and count what it does on the way."""
        self.start, self.before = (
            checker.facts(self.origin),
            checker.snapshot(self.origin, mixed=self.mixed),
        )
        with self.copy() as root:
            ended = self.run(root, *self.command, trace=True)
            assert ended.code in {0, 3}, ended.err
            self.trace, self.points, self.code = ended.trace, len(ended.trace), ended.code
            self.after = checker.snapshot(root, mixed=self.mixed)
            self.promises = checker.promises(root)

    def copy(self) -> "Copy":
        self._copies += 1
        return Copy(self.origin, self.folder / f"copy-{self._copies}", self.server)


class Copy:
    """A copy of a project that is removed when it is done with, unless something was wrong."""

    def __init__(self, origin: Path, root: Path, server: Server | None) -> None:
        self.origin, self.root, self.server = origin, root, server

    def __enter__(self) -> Path:
        shutil.copytree(self.origin, self.root)
        if self.server:
            there = checker.address(self.origin)
            settings = self.root / "pyproject.toml"
            settings.write_text(settings.read_text().replace(there, self.server.database(there)))
        return self.root

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            if self.server:
                self.server.drop(checker.address(self.root))
            shutil.rmtree(self.root)


def begin(
    forge: Forge,
    folder: Path,
    name: str,
    variants: Sequence[str] = (),
    server: Server | None = None,
) -> Scene:
    """Set a scene; its catalog is a file, or on a server."""
    command, make = SCENES[name]
    always = ("small_heaps", "no_grace")
    scene = Scene(forge, folder, command, (*always, *variants), name in MIXED, server)
    project.write(scene.origin, server.database() if server else "")
    told = make(Scene(forge, folder, command, always, server=server))
    scene.command = told or command
    scene.learn()
    if (
        name == "recovery"
    ):  # what the first of the two killed commands recorded is not to be done again, either
        with scene.copy() as root:
            shutil.rmtree(root)
            shutil.copytree(folder / "earlier", root)
            scene.start, scene.before = checker.facts(root), checker.snapshot(root)
    return scene


def _first(scene: Scene) -> None:
    """Nothing was ever built."""


def _materialized(scene: Scene) -> None:
    ended = scene.run(scene.origin, "materialize")
    assert ended.code == 0, (ended.out, ended.err)


def _second(scene: Scene) -> None:
    _materialized(scene)
    project.generation(scene.origin, 2)


def _recoded(scene: Scene) -> None:
    _materialized(scene)
    project.recoded(scene.origin)


def _recovery(scene: Scene) -> None:
    """A second run was killed when about two thirds of it was done."""
    _second(scene)
    shutil.copytree(scene.origin, scene.folder / "earlier")
    with scene.copy() as root:
        points = len(scene.run(root, "materialize", trace=True).trace)
    assert scene.run(scene.origin, "materialize", at=points * 2 // 3).killed
    assert checker.rows(scene.origin, "select * from intents")


def _restore(scene: Scene) -> list[str]:
    _second(scene)
    assert scene.run(scene.origin, "materialize").code == 3
    [(version, _)] = checker.rows(
        scene.origin,
        "select version, min(release) from moves where product = 't.base' group by 1 order by 2 limit 1",
    )
    return ["restore", "base", version, "--json"]


def _unpin(scene: Scene) -> list[str]:
    assert scene.run(scene.origin, *_restore(scene)).code == 0
    return ["restore", "base", "--unpin", "--json"]


def _created(scene: Scene) -> None:
    """An environment, in which the second generation is published."""
    _materialized(scene)
    assert scene.run(scene.origin, "env", "create", "try").code == 0
    project.generation(scene.origin, 2)
    assert scene.run(scene.origin, "materialize", "--env", "try").code == 3


def _waived(scene: Scene) -> None:
    """What the second run held back is waived, and not published yet."""
    _second(scene)
    assert scene.run(scene.origin, "materialize").code == 3
    until = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
    options = ["--rule", "is barred", "--until", until, "--because", "it is known"]
    ended = scene.run(scene.origin, "waive", "strict", *options)
    assert ended.code == 0, ended.err


def _awaiting(scene: Scene) -> list[str]:
    """What the second run held for an approval has none yet."""
    project.asking(scene.origin)
    approve = ["approve", "signed", "--as", "cfo@shop.example", "--because", "seen", "--json"]
    assert scene.run(scene.origin, "materialize").code == 3
    assert scene.run(scene.origin, *approve).code == 0
    assert scene.run(scene.origin, "materialize").code == 0
    project.generation(scene.origin, 2)
    assert scene.run(scene.origin, "materialize").code == 3
    return approve


def _approved(scene: Scene) -> None:
    """What the second run held for an approval is approved, and not published yet."""
    ended = scene.run(scene.origin, *_awaiting(scene))
    assert ended.code == 0, ended.err


def _undeclared(scene: Scene) -> None:
    _materialized(scene)
    project.undeclared(scene.origin)


def _compacted(scene: Scene) -> None:
    _materialized(scene)
    assert scene.run(scene.origin, "gc").code == 0
    assert checker.rows(scene.origin, "select * from replaced")


def _promises(scene: Scene) -> None:
    """Everything is watched since Friday the 5th, 06:00; there is no drop after that."""
    ended = scene.run(scene.origin, "materialize", "--now", "2024-01-05T06:00")
    assert ended.code == 0, (ended.out, ended.err)
    project.generation(scene.origin, 2)


MATERIALIZE = ["materialize", "--json"]
SCENES: dict[str, tuple[list[str], Callable[[Scene], list[str] | None]]] = {
    "first": (MATERIALIZE, _first),
    "second": (MATERIALIZE, _second),
    "recoded": (MATERIALIZE, _recoded),
    "waived": (MATERIALIZE, _waived),
    "approve": ([], _awaiting),
    "approved": (MATERIALIZE, _approved),
    "watched": (["run", "--turns", "1", "--json"], _second),
    "recovery": (MATERIALIZE, _recovery),
    "restore": ([], _restore),
    "unpin": ([], _unpin),
    "env_create": (["env", "create", "try", "--json"], _materialized),
    "env_again": (["env", "create", "try", "--again", "--json"], _created),
    "env_drop": (["env", "drop", "try", "--json"], _created),
    "promote": (["promote", "--from", "try", "--json"], _created),
    "retire": (["retire", "below_steady", "--json"], _undeclared),
    "promises": ([*MATERIALIZE, "--now", "2024-01-09T06:00"], _promises),
    "gc": (["gc", "--json"], _materialized),
    "sweep": (["gc", "--json", *LATER], _compacted),
}
# A restored product is of another generation than the others: that is what was asked for. A retired one is gone.
MIXED = {"restore", "unpin", "retire", "approve"}


ENVIRONMENTS = {"env_create", "env_again", "env_drop", "promote"}
# What a command says that was done already.
DONE = {"env_create": "there is an environment try already", "env_drop": "no environment try"}


def examine(scene: Scene, name: str, root: Path, ended: Ended) -> None:
    """Check what a killed command left, and that the next command mends it."""
    seen = checker.snapshot(root, mixed=scene.mixed)
    checker.one_of(seen, scene.before, scene.after)
    checker.complete(root)
    checker.coded(root)
    told = (
        [event for event in ended.events if isinstance(event, dict)]
        if scene.command == MATERIALIZE
        else []
    )
    checker.acknowledged(root, told)
    middle = checker.facts(root)
    again = scene.run(root, *scene.command)
    done = (
        scene.mixed and again.code == 2 and seen.contents == scene.after.contents
    )  # it was done: "is not pinned", "do not see it"
    done = done or (again.code == 2 and name in DONE and DONE[name] in again.err)
    if not done and again.code not in {0, 3}:
        raise checker.Wrong(f"the next command failed: {again.code} {again.out} {again.err}")
    if scene.mixed:
        assert scene.run(root, "materialize").code in {0, 3}
        assert scene.run(root, "restore", "base", "--unpin").code in {0, 2}
        assert scene.run(root, "materialize").code in {0, 3}
    else:
        checker.one_of(checker.snapshot(root), scene.after)
    if name in ENVIRONMENTS:
        checker.same_pointers(root, "prod", "try" if name != "env_drop" else "")
    if name == "promises":
        assert scene.promises
        checker.same_promises(root, scene.promises)
    if scene.command == MATERIALIZE:
        events = again.events
        checker.resumed(scene.start, middle, checker.facts(root), events)
        settled(scene, root)
    if name in {"gc", "sweep"}:
        assert scene.run(root, "gc", *LATER).code == 0
        checker.tidy(root, replaced=False)
    checker.acknowledged(root, told)
    checker.built_once(root)
    checker.tidy(root)


def settled(scene: Scene, root: Path) -> None:
    """Raise Wrong when there is still something to do."""
    before = checker.facts(root)
    last = scene.run(root, *MATERIALIZE)
    if last.code != scene.code or checker.facts(root) != before:
        raise checker.Wrong(f"there was still something to do: {last.code} {last.out}")


def spread(scene: Scene, most: int, seed: int) -> Iterator[tuple[int, bool]]:
    """Yield points to die at, evenly spread from a start that the seed chooses; every other one after the operation.

    All of them where `most` is no fewer: before each, and after those that change something.
    """
    if most >= scene.points:
        for at, told in enumerate(scene.trace, 1):
            yield at, False
            if not _only_reads(told):
                yield at, True
        return
    step = scene.points / most
    for index in range(most):
        at = 1 + int(index * step + (seed * 0.618 % 1) * step)
        yield min(at, scene.points), bool((index + seed) % 2)


def _only_reads(told: Sequence[Any]) -> bool:
    what, detail = told
    return what == "sql" and detail[0].lstrip().startswith(("select", "pragma synchronous"))


def setting() -> str:
    """How much is asked for: '' (a taste), 'ci', or 'large'."""
    return os.environ.get("ASSAY_FAULTS", "")


def report(told: str) -> None:
    """Keep a figure where `ASSAY_FAULTS_LOG` says, if it does: pytest's workers show nothing of what passed."""
    if log := os.environ.get("ASSAY_FAULTS_LOG"):
        with Path(log).open("a") as out:
            out.write(f"{told}\n")
