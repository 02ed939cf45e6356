"""Pandera's own published tests of polars schemas, each validation in them judged by us too."""

import json
import os
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.conftest import ROOT

FILES = (
    "check",
    "builtin_checks",
    "container",
    "components",
    "model",
    "nested_model",
    "dtypes",
    "dataframe_generic",
)


@pytest.mark.long
def test_what_pandera_tests_we_judge_alike(tmp_path: Path) -> None:
    release = f"pandera=={version('pandera')}"
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--no-binary",
        "pandera",
        release,
    ]
    fetched = subprocess.run(
        [*command, "-d", str(tmp_path)], capture_output=True, text=True, check=False
    )
    archives = list(tmp_path.glob("pandera-*.tar.gz"))
    if fetched.returncode or not archives:
        told = f"pandera's sources cannot be had: {fetched.stderr[-300:]}"
        pytest.fail(told) if os.environ.get("CI") else pytest.skip(told)
    with tarfile.open(archives[0]) as archive:
        archive.extractall(tmp_path)
    [unpacked] = [folder for folder in tmp_path.glob("pandera-*") if folder.is_dir()]
    files = [f"tests/polars/test_polars_{name}.py" for name in FILES]
    files = [file for file in files if (unpacked / file).exists()]
    compared = tmp_path / "compared.json"
    environment = {**os.environ, "ASSAY_COMPARED": str(compared), "PYTHONPATH": str(ROOT / "tests")}
    environment.pop("PYTEST_ADDOPTS", None)
    # Run as if they were outside the source tree, so that the installed pandera is what is tested.
    (unpacked / "pandera").rename(unpacked / "not_this_one")
    arguments = [
        "-q",
        "-p",
        "pandera_plugin",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "--continue-on-collection-errors",  # some need libraries that we do not
        "-o",
        "addopts=",
        *files,
    ]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments],
        cwd=unpacked,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=280,
    )
    assert compared.exists(), ran.stdout[-2000:] + ran.stderr[-2000:]
    told = json.loads(compared.read_text())
    assert not told["differs"], "\n".join(told["differs"][:10])
    assert len(told["same"]) > 100, {kind: len(cases) for kind, cases in told.items()}
