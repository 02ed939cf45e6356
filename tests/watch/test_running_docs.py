"""The recipes of docs/running.md are what they seem: each is read by what reads it, as far as that is here."""

import ast
import re
import shutil
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from assay.cli.main import main, verb_of
from tests.conftest import ROOT, Place
from tests.watch.world import World

TEXT = (ROOT / "docs/running.md").read_text()


MODULE = """
sql_product("base", "select x, timestamp '2024-03-03' as at from numbers", owner="o", event_time="at",
    freshness=Freshness(by="07:00", covers="previous day"))
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.S)


def test_every_command_is_one_that_there_is() -> None:
    commands = re.findall(
        r"products ((?:run|materialize|gc|runs)\b(?: --[\w-]+(?: [\d.]+|(?<=--env) \w+)?)*)", TEXT
    )
    commands += [
        " ".join(re.findall(r'"([^"]+)"', line)[1:])
        for line in TEXT.splitlines()
        if 'command: ["products"' in line
    ]
    assert len(commands) > 8
    for command in commands:
        verb, *options = command.split()
        if options[-1:] == ["--now"]:
            options.append("2011-12-09T07:00")  # which the text gives in another form
        verb_of(verb).make_context(verb, options, parent=main.make_context("products", ["x"]))


def test_cron_lines() -> None:
    from cronsim import CronSim

    lines = blocks("cron")[0].splitlines()
    for line in lines:
        schedule = " ".join(line.split()[:5])
        assert next(CronSim(schedule, datetime(2024, 1, 1)))
        assert line.split()[5] == "cd" and "%" not in line, "cron reads % as a new line"


def test_the_unit_is_one_that_systemd_reads(tmp_path: Path) -> None:
    [unit] = blocks("ini")
    if not (verify := shutil.which("systemd-analyze")):
        pytest.skip("there is no systemd here")
    text = unit.replace("/srv/shop/.venv/bin/products", "/bin/true")
    text = text.replace("User=shop", "User=root").replace("/srv/shop", str(tmp_path))
    file = tmp_path / "products.service"
    file.write_text(text)
    done = subprocess.run(
        [verify, "verify", str(file)], capture_output=True, text=True, check=False
    )
    problems = [line for line in done.stderr.splitlines() if file.name in line]
    assert not problems, problems


def documents() -> dict[str, Any]:
    yaml = pytest.importorskip("yaml")
    loaded = [yaml.safe_load(block) for block in blocks("yaml")]
    return {
        item.get("kind", item.get("name", "")): item for item in loaded if isinstance(item, dict)
    }


def test_kubernetes() -> None:
    found = documents()
    cron, deployment = found["CronJob"], found["Deployment"]
    pod = cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["restartPolicy"] == "Never" and cron["spec"]["concurrencyPolicy"] == "Forbid"
    template = deployment["spec"]["template"]
    [container] = template["spec"]["containers"]
    assert deployment["spec"]["selector"]["matchLabels"] == template["metadata"]["labels"]
    [port] = container["ports"]
    assert str(port["containerPort"]) in container["command"]
    for probe in ("readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": "/healthz", "port": port["name"]}
    for spec in (pod, template["spec"]):
        mounts = {mount["name"] for mount in spec["containers"][0]["volumeMounts"]}
        assert mounts == {volume["name"] for volume in spec["volumes"]}


def test_github_actions() -> None:
    workflow = documents()["products"]
    events = workflow[True]  # YAML 1.1 reads `on` as true
    from cronsim import CronSim

    assert next(CronSim(events["schedule"][0]["cron"], datetime(2024, 1, 1)))
    [job] = workflow["jobs"].values()
    assert job["steps"][0]["run"].endswith("products materialize --due")


def test_python_is_python() -> None:
    assert len(blocks("python")) == 3
    for block in blocks("python"):
        ast.parse(block)


def test_the_replay_in_python_works(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write(
        "products/sales.py", 'sql_product("base", "from numbers", owner="o")\n', header=True
    )
    monkeypatch.chdir(place.root)
    code = (
        blocks("python")[-1]
        .replace("2011, 12, 12", "2011, 12, 5, 1")
        .replace("log=print", "log=reports.append")
    )
    reports: list[Any] = []
    scope: dict[str, Any] = {"reports": reports}
    exec(code, scope)
    assert [str(report.what) for report in reports] == ["started", "turn", "ended"]


def test_the_metrics_are_those_that_there_are(place: Place) -> None:
    pytest.importorskip("prometheus_client")
    from assay.watch.metrics import Metrics

    world = World(place.root)
    place.write("products/sales.py", MODULE, header=True)
    world.run(1, standings=True)
    names = {sample.name for family in Metrics(world.vitals).collect() for sample in family.samples}
    listed = set(re.findall(r"`(assay_\w+)", TEXT))
    assert listed == names
