"""docs/start.md, replayed: the commands as they are written, in a repository that had nothing of Assay."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

TEXT = (ROOT / "docs/start.md").read_text()
STEPS = TEXT[: TEXT.index("## Next")]
NUMBERS = re.compile(r"v[0-9a-f]{6}|\d+\.\d s|\s+")


def blocks() -> list[tuple[str, list[str]]]:
    """Return each command with the lines that it is said to print."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"^```\n(.*?)^```", STEPS, re.M | re.S):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


def plain(line: str) -> str:
    """Return a line without what differs from run to run."""
    return NUMBERS.sub(" ", line).strip()


@pytest.mark.long
def test_the_start_is_as_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "shop"\nversion = "1"\n')
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "products"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m assay "$@"\n')
    command.chmod(0o755)
    environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}
    codes = []
    for typed, said in blocks():
        done = subprocess.run(
            typed,
            shell=True,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        codes.append((typed, done.returncode))
        printed = [plain(line) for line in (done.stdout + done.stderr).splitlines()]
        for line in said:
            assert plain(line) in printed, f"{typed}\n{done.stdout}{done.stderr}"
    builds = [code for typed, code in codes if typed == "products materialize"]
    assert builds == [0, 3, 0]
    assert all(code == 0 for typed, code in codes if typed != "products materialize")
