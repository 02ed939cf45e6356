"""Several runs on one store: each product is built by one of them at a time, the others say who or wait."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from tests.conftest import LONG, Place, until

PRODUCTS = """
import time

def told(name):
    with Path("built").open("a") as log: log.write(f"{name}\\n")

@product(owner="o")
def slow(numbers):
    told("slow")
    while not Path("go").exists(): time.sleep(0.02)
    return numbers

@product(owner="o")
def after(slow):
    told("after")
    return slow

@product(owner="o")
def beside(numbers):
    told("beside")
    return numbers
"""


class Runs:
    """Runs of the command in processes of their own, on one project."""

    def __init__(self, place: Place) -> None:
        self.place, self.running = place, []

    def begin(self, *arguments: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "assay", "materialize", "--json", *arguments]
        options = {"text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.running.append(subprocess.Popen(command, cwd=self.place.root, **options))
        return self.running[-1]

    def blocked(self, *arguments: str) -> "subprocess.Popen[str]":
        """Begin a run, and return when it is in the middle of `slow`."""
        run = self.begin(*arguments)
        until(lambda: "slow" in self.built() or run.poll() is not None)
        return run

    def go(self) -> None:
        (self.place.root / "go").touch()

    def built(self) -> list[str]:
        log = self.place.root / "built"
        return sorted(log.read_text().split()) if log.exists() else []


def came_out(run: "subprocess.Popen[str]") -> dict[str, dict]:
    out, err = run.communicate(timeout=LONG)
    assert "Traceback" not in err, err
    assert out, err
    *events, last = map(json.loads, out.splitlines())
    return {event["product"].partition(".")[2]: event for event in events} | {"": last}


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.long)])
def runs(place: Place, request: pytest.FixtureRequest) -> Iterator[Runs]:
    if request.param == "postgres":
        place.write(
            "pyproject.toml", f'[tool.products]\ncatalog = "{request.getfixturevalue("address")}"\n'
        )
    place.write("products/sales.py", PRODUCTS, header=True)
    place.write(
        "products/other.py",
        PRODUCTS.partition("@product")[0]
        + "\nothers = source.files('data/a.csv', columns={'x': pl.Int64}, owner='o')\n\n"
        + "@product(owner='o')\ndef apart(others):\n    told('apart')\n    return others\n",
        header=True,
    )
    made = Runs(place)
    yield made
    for run in made.running:
        run.kill()
        run.communicate()


def test_the_same_selection_says_who_is_at_it(runs: Runs) -> None:
    before = datetime.now(UTC)
    first = runs.blocked("-s", "domain:sales")
    second = runs.begin("-s", "domain:sales")
    told = came_out(second)
    assert told[""]["exit_code"] == 1
    assert (told["slow"]["result"], told["slow"]["pid"]) == ("busy", first.pid)
    assert before <= datetime.fromisoformat(told["slow"]["since"]) <= datetime.now(UTC)
    assert told["after"]["result"] == "held"
    assert told["after"]["waits_for"] == {"sales.slow": "another run builds sales.slow"}
    plain = runs.place.run("materialize", "-s", "slow")
    assert plain.code == 1
    assert re.search(
        rf"busy +sales.slow .*another run builds it: \S+ on \S+ \(process {first.pid}\), since 2",
        plain.out,
    )
    runs.go()
    assert came_out(first)[""]["exit_code"] == 0
    assert runs.built() == ["after", "beside", "slow"]


def test_the_same_selection_waits(runs: Runs) -> None:
    first = runs.blocked("-s", "domain:sales")
    second = runs.begin("-s", "domain:sales", "--wait", "10m")
    third = runs.begin("-s", "+after", "--wait", "600s")
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(timeout=1.5)
    assert runs.place.run("query", "from beside").code == 2, "readers see no half of a night"
    runs.go()
    assert [came_out(run)[""]["exit_code"] for run in (first, second, third)] == [0, 0, 0]
    assert runs.built() == ["after", "beside", "slow"], "nothing is built twice"


@pytest.mark.long
def test_runs_that_overlap_both_work(runs: Runs) -> None:
    first = runs.blocked("-s", "slow")
    second = runs.begin("-s", "domain:sales")
    told = came_out(second)
    assert {name: t["result"] for name, t in told.items() if name} == {
        "slow": "busy",
        "after": "held",
        "beside": "held",
    }
    together = "it is published together with sales.slow, which another run builds"
    assert told["beside"]["waits_for"] == {"sales.slow": together}, "nobody stopped it"
    assert (told[""]["exit_code"], told[""]["interrupted"]) == (1, False)
    third = came_out(runs.begin("-s", "apart"))
    assert (third["apart"]["result"], third[""]["exit_code"]) == ("published", 0)
    runs.go()
    assert came_out(first)["slow"]["result"] == "published"
    assert came_out(runs.begin())[""]["exit_code"] == 0
    assert runs.built() == ["after", "apart", "beside", "slow"]


def test_waiting_ends(runs: Runs) -> None:
    runs.blocked("-s", "slow")
    told = came_out(runs.begin("-s", "domain:sales", "--wait", "1s"))
    assert {name: t["result"] for name, t in told.items() if name} == {
        "slow": "busy",
        "after": "held",
        "beside": "held",
    }
    assert runs.built() == ["beside", "slow"]
    assert runs.place.run("materialize", "--wait", "soon").code == 2


@pytest.mark.parametrize("runs", ["sqlite"], indirect=True)
def test_what_the_dead_were_at_is_taken_over(runs: Runs) -> None:
    first = runs.blocked()
    second = runs.begin("--wait", "10m")
    first.kill()
    first.wait()
    runs.go()
    assert came_out(second)[""]["exit_code"] == 0
    assert runs.built().count("slow") == 2, "it was not recorded"
    assert len(list((runs.place.root / ".products/store/sales.slow").iterdir())) == 1


@pytest.mark.parametrize("runs", ["sqlite"], indirect=True)
def test_waiting_can_be_stopped(runs: Runs) -> None:
    runs.blocked("-s", "slow")
    second = runs.begin("-s", "domain:sales", "--wait", "10m")
    until(lambda: "beside" in runs.built())
    time.sleep(1)  # it is recorded, and the run waits
    second.send_signal(2)
    until(lambda: second.poll() is not None)
    told = came_out(second)
    assert (told[""]["exit_code"], told[""]["interrupted"]) == (130, True)
    assert told["beside"]["result"] == "left"
    assert came_out(runs.begin("-s", "beside"))["beside"]["built"] is False, (
        "what it has built is there"
    )


@pytest.mark.parametrize("runs", ["sqlite"], indirect=True)
def test_other_code_is_not_held_up(runs: Runs) -> None:
    runs.blocked("-s", "slow")
    runs.place.edit("products/sales.py", 'told("slow")\n', 'told("fast")\n    return numbers\n')
    runs.place.environment("dev")
    told = came_out(runs.begin("-s", "slow", "--env", "dev"))
    assert told["slow"]["result"] == "published"
    assert runs.built() == ["fast", "slow"]


@pytest.mark.long
@pytest.mark.parametrize("runs", ["sqlite"], indirect=True)
def test_many_at_once_build_everything_once(runs: Runs) -> None:
    runs.go()
    every = [runs.begin("--wait", "2m") for _ in range(4)]
    assert [came_out(run)[""]["exit_code"] for run in every] == [0] * 4
    assert runs.built() == ["after", "apart", "beside", "slow"]
    assert not list((runs.place.root / ".products/locks").iterdir())
