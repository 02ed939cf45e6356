"""kill -9 at every catalog statement and file operation in turn, as a tracing shim counts them.

By default at a few of them, another few every day; `ASSAY_FAULTS=ci` at five of each, `large` at each, before it and after it.
"""

import os
import time
from pathlib import Path

import pytest

from tests.faults import checker
from tests.faults.checker import Wrong
from tests.faults.scenario import (
    MATERIALIZE,
    SCENES,
    Scene,
    begin,
    examine,
    report,
    setting,
    spread,
)
from tests.forge import Forge
from tests.server import Server

pytestmark = pytest.mark.faults
MOST = {"large": 1_000_000, "ci": 5}.get(setting(), 2)
SEED = int(os.environ.get("ASSAY_SEED", int(time.time()) // 86_400))


def kill_at(scene: Scene, name: str, at: int, *, after: bool, words: str = "") -> bool:
    """Kill the command at one point and check what it left; say whether it got that far."""
    with scene.copy() as root:
        ended = scene.run(root, *scene.command, at=at, after=after, words=words)
        try:
            if ended.killed:
                examine(scene, name, root, ended)
        except Wrong as wrong:
            where = scene.trace[at - 1] if at <= scene.points else "the end"
            told = f"killed {'after' if after else 'before'} {at} of {scene.points} ({str(where)[:200]}), ASSAY_SEED={SEED}"
            raise Wrong(f"{wrong}\n{told}\n{root}") from wrong
        return ended.killed


@pytest.mark.parametrize("name", SCENES)
def test_killed_at_every_step(name: str, forge: Forge, tmp_path: Path) -> None:
    at_every_step(begin(forge, tmp_path, name), name, MOST)


_ON_A_SERVER = [
    *("second", "restore", "approve", "approved", "gc"),
    *("env_create", "env_drop", "promote"),
]


@pytest.mark.parametrize("name", _ON_A_SERVER)
def test_killed_at_every_step_beside_a_server(
    name: str, forge: Forge, tmp_path: Path, server: Server
) -> None:
    """The same, with the catalog in PostgreSQL."""
    at_every_step(
        begin(forge, tmp_path, name, server=server), f"{name} on PostgreSQL", max(2, MOST // 3)
    )


@pytest.mark.parametrize("name", ["first", "second", "recoded"])
def test_killed_at_every_step_where_parts_share_files(
    name: str, forge: Forge, tmp_path: Path
) -> None:
    """The same, with the parts that are made at once put together."""
    scene = begin(forge, tmp_path, name, ["few_share"])
    word = "/parts-" if name != "second" else "/few-"
    assert any(word in str(told) for what, told in scene.trace)
    at_every_step(scene, name, max(2, MOST // 6))


@pytest.mark.parametrize("on_server", [False, True])
@pytest.mark.parametrize("name", ["first", "recoded"])
def test_killed_at_every_step_where_parts_are_built_together(
    name: str, on_server: bool, forge: Forge, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The same, with parts that are built two at a time, in one query."""
    server = request.getfixturevalue("server") if on_server else None
    scene = begin(forge, tmp_path, name, ["batches"], server=server)
    sealed = [str(told) for what, told in scene.trace if what == "chmod" and "/parts-" in str(told)]
    assert len([told for told in sealed if "data.parquet" in told]) == 2, "five parts: 2, 2 and 1"
    at_every_step(scene, f"{name} in batches", max(2, MOST // 3))


def at_every_step(scene: Scene, name: str, most: int) -> None:
    assert scene.points > 8
    points = list(spread(scene, most, SEED))
    killed = sum(kill_at(scene, name.partition(" ")[0], at, after=after) for at, after in points)
    told = f"{name}: {scene.points} operations, {killed} kills at {len(points)} points"
    report(told)
    assert killed >= len(points) // 2, (
        "small work is recorded in groups, as time goes, but not that much"
    )


def test_killed_while_copies_are_made_and_removed(forge: Forge, tmp_path: Path) -> None:
    """What is left of copies of files that engines cannot read is never read, and the next run removes it."""
    scene = begin(forge, tmp_path, "first")
    steps = [what for what, place in scene.trace if "copies-" in str(place)]
    for at in (steps.index("open"), len(steps) - 1):
        assert kill_at(scene, "first", at + 1, after=True, words="copies-")


@pytest.mark.parametrize(
    ("control", "name", "words"),
    [
        ("commit_per_product", "second", "two releases at once"),
        ("no_intents", "first", "left behind"),
        ("record_before_writing", "first", "is not whole"),
        ("forget_what_was_built", "second", "was recorded, and"),
    ],
)
def test_the_controls_are_caught(
    control: str, name: str, words: str, forge: Forge, tmp_path: Path
) -> None:
    """The same checker, of the same program with one protection taken out."""
    scene = begin(forge, tmp_path, name, [control])
    with pytest.raises(Wrong, match=words):
        for at in range(1, 11):
            kill_at(scene, name, at, after=False, words=TELLING[control])


# The operations at which a control should be caught, so that it need not be looked for.
TELLING = {
    "commit_per_product": "into moves values",
    "no_intents": "chmod",
    "record_before_writing": ".late', '",  # from aside into place, after it was recorded
    "forget_what_was_built": "insert into releases",
}


def test_files_are_flushed_before_they_are_recorded(forge: Forge, tmp_path: Path) -> None:
    scene = begin(forge, tmp_path / "good", "first")
    assert checker.durable(scene.trace) > 15
    control = begin(forge, tmp_path / "bad", "first", ["no_flush"])
    with pytest.raises(Wrong, match=r"before .* was flushed"):
        checker.durable(control.trace)


def test_what_the_first_run_does_is_counted_whole(forge: Forge, tmp_path: Path) -> None:
    """The shim sees every file: what is in the store in the end was made by operations that it counted."""
    scene = begin(forge, tmp_path, "first")
    with scene.copy() as root:
        assert scene.run(root, *MATERIALIZE).code == 0
        files = {path for (path,) in checker.rows(root, "select path from parts")}
    sealed = sum(
        what == "chmod" and Path(str(place)).suffix != "" and "/store/" in str(place)
        for what, place in scene.trace
    )
    assert sealed == len(files)
    assert {
        "sql",
        "mkdir",
        "open",
        "chmod",
        "execute",
        "sink_parquet",
        "replace",
        "unlink",
        "flock",
    } <= {what for what, _ in scene.trace}
