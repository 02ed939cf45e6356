"""The loop does not grow: not over turns without work, and not over those that build."""

import json
import os
import subprocess
import sys
from collections import Counter
from itertools import count
from pathlib import Path

import pytest

from tests.build.test_long_lived import alive, edit
from tests.conftest import Place, effort
from tests.watch.world import World

TIMEOUT = 3_000
MANY = effort(100, 100, 10_000)  # turns


@pytest.mark.long
@pytest.mark.parametrize(("turns", "edits"), [(MANY, 10)])
def test_turns_leave_nothing_behind(place: Place, turns: int, edits: int) -> None:
    """So many times, the definitions and the data are changed between two turns."""
    for day in (1, 2, 3):
        place.write(f"days/2024-01-0{day}.csv", f"y\n{day}\n")
    process = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.watch.test_long_lived",
            str(place.root),
            str(turns),
            str(edits),
        ],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    middle, end = map(json.loads, process.stdout.splitlines()[-2:])
    assert min(end["worked"], middle["worked"]) >= edits // 2
    for kind in ("threads", "files", "modules", "objects"):
        more = Counter(end[kind]) - Counter(middle[kind])
        assert not more, f"{kind}: {more}"


def run_long(root: Path, turns: int, edits: int) -> None:
    """Let the loop do so many turns; print what is alive after half of them, and at the end."""
    world = World(root)
    numbers = count()

    def act(number: int) -> None:
        if number % (turns // edits) == 0:
            edit(root, next(numbers))

    edit(root, next(numbers))
    for _ in range(2):
        world.run(turns // 2, act)
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        worked = len(world.told("turn"))
        world.reports.clear()
        counts = {"worked": worked, "resident": resident, **alive()}
        sys.stdout.write(json.dumps(counts) + "\n")


if __name__ == "__main__":
    run_long(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
