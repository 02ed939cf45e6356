"""kill -9 at random instants: inside SQLite's commit, DuckDB's COPY, a function, an import; wherever it hits.

By default a few, `ASSAY_FAULTS=ci` 50, `large` 3,000. A third of the commands that recover are killed as well.
"""

import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.faults.checker import Wrong
from tests.faults.scenario import Scene, begin, examine, report, setting
from tests.forge import Ended, Forge
from tests.server import Server

pytestmark = pytest.mark.faults
KILLS = {"large": 3_000, "ci": 50}.get(setting(), 4)
REAL = {"large": 60, "ci": 5}.get(setting(), 2)
SEED = os.environ.get("ASSAY_SEED", str(time.time_ns()))
NAMES = (("first", "second"), ("recoded", "gc"))


def took(scene: Scene) -> float:
    """Return how long the command takes when nobody kills it (seconds)."""
    with scene.copy() as root:
        started = time.monotonic()
        scene.run(root, *scene.command)
        return time.monotonic() - started


@pytest.mark.parametrize("share", [0, 1])
def test_killed_at_a_random_instant(share: int, forge: Forge, tmp_path: Path) -> None:
    kill_at_random(forge, tmp_path, NAMES[share], KILLS // 2)


def test_killed_at_a_random_instant_beside_a_server(
    forge: Forge, tmp_path: Path, server: Server
) -> None:
    """The same, with the catalog in PostgreSQL."""
    kill_at_random(forge, tmp_path, ["second"], KILLS // 6, server)


def kill_at_random(
    forge: Forge, folder: Path, names: Sequence[str], kills: int, server: Server | None = None
) -> None:
    chance = random.Random(f"{SEED}-{names}")
    scenes = {name: begin(forge, folder / name, name, server=server) for name in names}
    seconds = {name: took(scene) for name, scene in scenes.items()}
    killed = again = number = 0
    while killed < kills and (number := number + 1) < kills * 3:
        name = chance.choice(names)
        scene, delay = scenes[name], chance.uniform(0.01, seconds[name])
        with scene.copy() as root:
            ended = scene.run(root, *scene.command, seconds=delay)
            killed += ended.killed
            seconds[name] *= 1.02 if ended.killed else 0.95  # as quick as the machine is now
            if ended.killed and chance.random() < 0.3:
                more = scene.run(root, *scene.command, seconds=chance.uniform(0.01, seconds[name]))
                ended, again = (
                    Ended(more.code, ended.out + more.out, more.err, []),
                    again + more.killed,
                )
            if ended.killed:
                look(
                    scene,
                    name,
                    root,
                    ended,
                    f"kill {number} after {delay:.4f} s, ASSAY_SEED={SEED}",
                )
    where = "random instants on PostgreSQL" if server else "random instants"
    report(
        f"{where}: {killed} kills, {again} of them again as they recovered, of {number} commands"
    )
    assert killed == kills


def look(scene: Scene, name: str, root: Path, ended: Ended, where: str) -> None:
    try:
        examine(scene, name, root, ended)
    except Wrong as wrong:
        raise Wrong(f"{wrong}\n{name}, {where}\n{root}") from wrong


def test_a_process_of_its_own_is_killed(forge: Forge, tmp_path: Path) -> None:
    """As a user starts it: `python -m assay materialize`, and what it said by then, through a pipe."""
    chance = random.Random(SEED)
    scene = begin(forge, tmp_path, "second")
    command, killed, told, number = [sys.executable, "-m", "assay", *scene.command], 0, 0, 0
    with scene.copy() as root:
        started = time.monotonic()
        subprocess.run(command, cwd=root, capture_output=True, check=False)
        seconds = time.monotonic() - started
    while killed < REAL and (number := number + 1) < REAL * 3:
        with scene.copy() as root:
            running = subprocess.Popen(
                command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
            try:
                out, _ = running.communicate(timeout=(delay := chance.uniform(0.3, 1.0) * seconds))
                seconds *= 0.95  # quicker than when it was measured
            except subprocess.TimeoutExpired:
                running.kill()
                out, _ = running.communicate()
            if running.returncode < 0:
                killed, told = killed + 1, told + bool(out)
                look(
                    scene,
                    "second",
                    root,
                    Ended(None, out, "", []),
                    f"kill {number} after {delay:.4f} s, ASSAY_SEED={SEED}",
                )
    report(
        f"processes of their own: {killed} kills, {told} of them after something was acknowledged"
    )
    assert killed == REAL


def test_the_control_is_caught_at_random(forge: Forge, tmp_path: Path) -> None:
    """A release that commits product by product, slowly enough to be hit."""
    chance = random.Random(SEED)
    scene = begin(forge, tmp_path, "second", ["commit_per_product", "slowly"])
    seconds = took(scene)
    with pytest.raises(Wrong, match="two releases at once"):
        for _ in range(50):
            with scene.copy() as root:
                ended = scene.run(root, *scene.command, seconds=chance.uniform(0.6, 0.95) * seconds)
                if ended.killed:
                    examine(scene, "second", root, ended)
