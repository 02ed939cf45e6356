"""The recipes of docs/ci.md do what they say: each is read by what reads it, and its commands run in a git repository."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from assay.cli.main import main, verb_of
from tests.conftest import ROOT, Place

pytestmark = pytest.mark.long

TEXT = (ROOT / "docs/ci.md").read_text()
BLOCKS = re.findall(r"```yaml\n# (\S+)\n(.*?)```", TEXT, re.S)
FILES: dict[str, str] = {name: f"# {name}\n{text}" for name, text in BLOCKS}
WORKFLOW, JOB, CONFIG = (
    ".github/workflows/contracts.yml",
    ".gitlab-ci.yml",
    ".pre-commit-config.yaml",
)
MODULE = """
contract = pa.DataFrameSchema({"x": pa.Column(int), "twice": pa.Column(int)})
sql_product("base", "select x, x * 2 as twice from numbers", owner="o", contract=contract)
sql_product("total", "select sum(twice)::bigint as total from base", owner="o")
"""
Shell = Callable[..., subprocess.CompletedProcess[str]]


def test_the_recipes_are_those_that_are_tested() -> None:
    assert list(FILES) == [WORKFLOW, JOB, CONFIG]


@pytest.mark.parametrize(
    ("name", "schema"),
    [
        (WORKFLOW, ["vendor.github-workflows"]),
        (JOB, ["vendor.gitlab-ci", "--data-transform", "gitlab-ci"]),
    ],
)
def test_they_are_valid_by_their_schemas(tmp_path: Path, name: str, schema: list[str]) -> None:
    file = tmp_path / "file.yml"
    file.write_text(FILES[name])
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", *schema, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_every_command_and_option_is_one_that_there_is() -> None:
    commands = re.findall(
        r"products ((?:check|materialize|freshness)\b(?: --[\w-]+(?: [\w./\"$:{}]+)?)*)", TEXT
    )
    assert len(commands) > 6
    for command in commands:
        verb, *words = command.replace("FILE", "file").split()
        verb_of(verb).make_context(verb, words, parent=main.make_context("products", ["x"]))
    listed = set(re.findall(r"--format (\w+)", TEXT))
    [formats] = [p.type.choices for p in verb_of("check").params if p.name == "format"]
    assert listed == set(formats)


# --------------------------------------------------------------------------- in a repository


@pytest.fixture
def checkout(tmp_path: Path) -> Place:
    """A clone, with a branch that renames a column: readers of `base` and `total` break."""
    origin = Place(tmp_path / "origin")
    origin.write("shop/pyproject.toml", "[tool.products]\n")
    origin.write("shop/products/sales.py", MODULE, header=True)
    origin.write("shop/data/a.csv", "x\n1\n")
    origin.write(".gitignore", ".products/\nreports/\n__pycache__/\n")
    git(origin.root, "init", "-q", "-b", "main")
    commit(origin.root)
    git(origin.root, "checkout", "-q", "-b", "feature")
    module = origin.root / "shop/products/sales.py"
    module.write_text(
        module.read_text().replace("twice", "double").replace("sum(double)", "sum(twice)")
    )
    commit(origin.root)
    git(tmp_path, "clone", "-q", "--branch", "feature", str(origin.root), "clone")
    return Place(tmp_path / "clone")


def git(folder: Path, *words: str) -> str:
    name = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", *name, *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def commit(folder: Path) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--no-verify", "-m", "a change")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Runs a command of a recipe as a job does: with `products` on the path."""
    tool = tmp_path / "bin/products"
    tool.parent.mkdir(exist_ok=True)
    tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m assay "$@"\n')
    tool.chmod(0o755)

    def run(command: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        path = f"{tool.parent}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            ["bash", "-e", "-c", command],
            cwd=folder,
            env={**os.environ, "PATH": path, **variables},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def steps() -> list[dict[str, Any]]:
    return yaml.safe_load(FILES[WORKFLOW])["jobs"]["check"]["steps"]


def commands(*first: str) -> list[str]:
    """Return the commands of the workflow that begin with one of these words."""
    return [step["run"] for step in steps() if step.get("run", "").split(" ", 1)[0] in first]


def test_the_workflow(checkout: Place, shell: Shell, tmp_path: Path) -> None:
    summary = tmp_path / "job-summary.md"
    summary.touch()
    shop, variables = (
        checkout.root / "shop",
        {"GITHUB_STEP_SUMMARY": str(summary), "GITHUB_BASE_REF": "main"},
    )
    [check, cat] = commands("products", "cat")
    done = shell(check, shop, **variables)
    assert done.returncode == 4, done.stderr
    annotations = [line for line in done.stdout.splitlines() if line.startswith("::error ")]
    assert any("title=breaking%3A sales.base.twice" in line for line in annotations)
    assert any("title=does not fit%3A sales.total" in line for line in annotations)
    assert all("file=shop/products/sales.py,line=" in line for line in annotations), (
        "of the repository"
    )
    assert shell(cat, shop, **variables).returncode == 0
    assert summary.read_text().startswith("### products check failed\n")
    uploads = [
        step["with"]["sarif_file"] for step in steps() if "upload-sarif" in step.get("uses", "")
    ]
    log = json.loads((shop / uploads[0]).read_text())
    assert {"breaking", "does-not-fit"} <= {r["ruleId"] for r in log["runs"][0]["results"]}
    [comment] = re.findall(r"--body-file (\S+)", *commands("gh"))
    assert (shop / comment).read_text() == summary.read_text()
    assert int(ElementTree.parse(shop / "reports/check.xml").getroot().get("failures")) > 0
    after = steps()[[step.get("run") for step in steps()].index(check) + 1 :]
    assert all("!cancelled()" in step["if"] for step in after), "they run though the check failed"


def test_without_the_history_the_check_says_so(checkout: Place, shell: Shell) -> None:
    """By default actions/checkout fetches one commit: that is no reason to find nothing."""
    [fetch] = [step["with"] for step in steps() if "checkout" in step.get("uses", "")]
    assert fetch == {"fetch-depth": 0}
    source = f"file://{checkout.root.parent / 'origin'}"
    git(checkout.root.parent, "clone", "-q", "--depth=1", "--branch", "feature", source, "shallow")
    [check] = commands("products")
    done = shell(check, checkout.root.parent / "shallow/shop", GITHUB_BASE_REF="main")
    assert done.returncode == 2 and done.stdout == ""
    assert "origin/main" in done.stderr and "Traceback" not in done.stderr


def test_the_job_of_gitlab(checkout: Place, shell: Shell) -> None:
    job = yaml.safe_load(FILES[JOB])["data contracts"]
    [check] = [command for command in job["script"] if command.startswith("products")]
    shop, base = checkout.root / "shop", git(checkout.root, "merge-base", "origin/main", "HEAD")
    assert shell(check, shop, CI_MERGE_REQUEST_DIFF_BASE_SHA=base).returncode == 4
    reports = {name: shop / path for name, path in job["artifacts"]["reports"].items()}
    root = ElementTree.parse(reports["junit"]).getroot()
    assert int(root.get("failures")) > 0
    issues = json.loads(reports["codequality"].read_text())
    assert {issue["location"]["path"] for issue in issues} == {"shop/products/sales.py"}


def hooks() -> list[dict[str, Any]]:
    """Return the hook of the recipe, and that of this repository."""
    [own] = yaml.safe_load(FILES[CONFIG])["repos"][0]["hooks"]
    return [own, *yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())]


def test_the_hook_of_pre_commit(checkout: Place, shell: Shell) -> None:
    entries = {(hook["id"], hook["entry"], hook["pass_filenames"]) for hook in hooks()}
    assert entries == {("products-check", "products check", False)}
    for hook in hooks():
        assert re.search(hook["files"], "products/finance/daily_revenue.sql")
        assert not re.search(hook["files"], "README.md")
    shop = checkout.root / "shop"
    hook = checkout.root / ".git/hooks/pre-commit"
    hook.write_text(f"#!/bin/sh\ncd shop && exec {hooks()[0]['entry']}\n")
    hook.chmod(0o755)
    attempt = 'git -c user.name=t -c user.email=t@example.org commit -qam "a change"'
    module = shop / "products/sales.py"
    module.write_text(module.read_text() + "# changed\n")
    refused = shell(attempt, checkout.root)
    assert refused.returncode == 1
    assert "sales.total" in refused.stdout + refused.stderr
    module.write_text(module.read_text().replace("sum(twice)", "sum(double)"))
    passed = shell(attempt, checkout.root)
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert git(checkout.root, "status", "--porcelain") == ""
