"""`products run` as a process of its own: files, signals, a second instance, health and metrics."""

import errno
import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from assay.cli.run_log import RunLog
from tests.conftest import LONG, Place, until

BASE = 'sql_product("base", "from numbers", owner="o")\n'
SLOW = """
@product(owner="o")
def quick(numbers):
    return numbers

@product(owner="o")
def slow(quick):
    import time
    Path(__file__).with_name("started").write_text("")
    while not Path(__file__).with_name("go").exists():
        time.sleep(0.05)
    return quick
"""


class Watch:
    """A running `products run --json`; what it writes is kept in a file."""

    def __init__(self, place: Place, name: str, *arguments: str) -> None:
        self.log = place.root.parent / f"{place.root.name}-{name}.log"
        command = [sys.executable, "-m", "assay", "run", "--json", *arguments]
        with self.log.open("w") as out:
            self.process = subprocess.Popen(command, cwd=place.root, stdout=out, stderr=out)

    def events(self, what: str = "") -> list[dict]:
        lines = self.log.read_text().splitlines()
        events = [json.loads(line) for line in lines if line.startswith("{")]
        return [event for event in events if what in {"", event["event"]}]

    def until(self, what: str, count: int = 1) -> dict:
        """Wait until something has happened so often; return the last of it."""

        def seen() -> bool:
            assert self.process.poll() is None or len(self.events(what)) >= count, (
                self.log.read_text()
            )
            return len(self.events(what)) >= count

        until(seen)
        return self.events(what)[count - 1]

    def stop(self, by: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(by)
        return self.process.wait(timeout=LONG)


@pytest.fixture
def watches(place: Place) -> Iterator[list[Watch]]:
    place.write("products/sales.py", BASE, header=True)
    running: list[Watch] = []
    yield running
    for watch in running:
        if watch.process.poll() is None:
            watch.process.kill()
            watch.process.wait()


def count(place: Place) -> int:
    return len(place.query("from base"))


def test_a_file_that_is_dropped_is_published(place: Place, watches: list[Watch]) -> None:
    """The next look would be in an hour: the file system tells of it."""
    watches.append(watch := Watch(place, "1", "--poll", "1h"))
    watch.until("turn")
    place.numbers("b", 4, 5)
    assert watch.until("result", 2)["reasons"] == ["input sales.numbers changed (1 file added)"]
    watch.until("turn", 2)
    assert count(place) == 5
    place.edit("products/sales.py", "from numbers", "from numbers where x > 1")
    watch.until("turn", 3)
    assert count(place) == 4
    assert watch.stop() == 0
    assert watch.events()[-1]["event"] == "ended"


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgres", marks=pytest.mark.long)])
def test_a_second_stands_by_and_takes_over(
    place: Place, watches: list[Watch], database: str, request: pytest.FixtureRequest
) -> None:
    if database == "postgres":
        address = request.getfixturevalue("address")
        place.write("pyproject.toml", f'[tool.products]\ncatalog = "{address}"\n')
    first = Watch(place, "1")
    watches.append(first)
    first.until("turn")
    second = Watch(place, "2", "--port", "0")
    watches.append(second)
    second.until("standing by")
    assert get(second, "/healthz")[1]["stage"] == "standing by"
    place.numbers("b", 4)
    first.until("turn", 2)
    assert first.stop(signal.SIGKILL) == -signal.SIGKILL
    second.until("leading")
    place.numbers("c", 5, 6)
    second.until("turn")
    assert count(place) == 6
    place.environment("try")
    third = Watch(place, "3", "--env", "try")
    watches.append(third)
    third.until("turn")
    assert third.events("standing by") == [], "another environment is watched by itself"
    assert second.stop() == 0


@pytest.mark.parametrize(
    "by", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.long)]
)
def test_a_signal_ends_it_and_what_is_finished_is_kept(
    place: Place, watches: list[Watch], by: signal.Signals
) -> None:
    place.write("products/sales.py", SLOW, header=True)
    watches.append(watch := Watch(place, "1"))
    until((place.root / "products/started").exists)
    watch.process.send_signal(by)
    (place.root / "products/go").write_text("")
    assert watch.process.wait(timeout=LONG) == 0, watch.log.read_text()
    assert watch.events()[-1]["event"] == "ended"
    [run] = place.run("runs", "--json").json
    assert run["state"] == "interrupted" and run["built"] >= 1
    built = {event["product"] for event in watch.events("result")}
    assert built == {"sales.quick", "sales.slow"}
    results = place.materialize()
    assert results["sales.quick"]["built"] is False, "what was finished is not done again"


def get(watch: Watch, path: str) -> tuple[int, dict]:
    try:
        with urlopen(page(watch, path)) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        return error.code, json.load(error)


def page(watch: Watch, path: str) -> str:
    port = watch.until("note")["port"]
    return f"http://127.0.0.1:{port}{path}"


@pytest.mark.long
def test_health_and_metrics(place: Place, watches: list[Watch]) -> None:
    watches.append(watch := Watch(place, "1", "--port", "0", "--healthy-within", "3s"))
    watch.until("turn")
    until(lambda: get(watch, "/healthz")[1]["stage"] == "waiting")
    code, health = get(watch, "/healthz")
    assert (code, health["ok"], health["problems"]) == (200, True, {})
    assert health["last_turn"] < health["next_moment"]
    with urlopen(page(watch, "/metrics")) as answer:
        lines = answer.read().decode().splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert values['assay_results_total{result="published"}'] == "1.0"
    assert values["assay_leading"] == "1.0"
    assert float(values['assay_turns_total{result="ok"}']) >= 1
    until(lambda: get(watch, "/healthz")[0] == 503)
    with pytest.raises(HTTPError, match="404"):
        urlopen(page(watch, "/etc/passwd"))
    assert watch.stop() == 0


@pytest.mark.long
def test_a_port_in_use_or_a_folder_without_a_project_is_a_mistake(
    place: Place, watches: list[Watch], tmp_path_factory: pytest.TempPathFactory
) -> None:
    watches.append(watch := Watch(place, "1", "--port", "0"))
    port = watch.until("note")["port"]
    ran = place.spawn("run", "--port", str(port))
    assert ran.code == 2 and f"cannot listen on 127.0.0.1:{port}" in ran.err
    assert Place(tmp_path_factory.mktemp("empty")).spawn("run").code == 2


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_log_on_a_full_disk_ends_nothing(place: Place, form: list[str]) -> None:
    place.write("products/sales.py", BASE, header=True)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "assay", "run", "--turns", "2", "--poll", "1s", *form],
            cwd=place.root,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert "Traceback" not in done.stderr
    assert (done.returncode, "could not be written: No space left" in done.stderr) == (1, True)
    assert count(place) == 3, "what was to be done was done"


def test_lines_that_are_missing_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    class Disk(io.StringIO):
        """A file on a disk that is full for two lines."""

        flushed = 0

        def flush(self) -> None:
            self.flushed += 1
            if self.flushed in {2, 3}:
                raise OSError(errno.ENOSPC, "No space left on device")

    log = RunLog(disk := Disk(), lambda: datetime(2024, 1, 1, tzinfo=UTC), as_json=False)
    for text in ("one", "two", "three", "four"):
        log.note(text)
    said = [line.split(maxsplit=3)[3] for line in disk.getvalue().splitlines()]
    assert said[-2:] == ["four", "the disk was full: lines of this log are missing"]
    with pytest.raises(OSError, match="gone"):
        monkeypatch.setattr(disk, "flush", lambda: (_ for _ in ()).throw(OSError(5, "gone")))
        log.note("five")


def test_lines_are_readable_without_json(place: Place) -> None:
    place.write("products/sales.py", BASE, header=True)
    lines = place.spawn("run", "--turns", "2", "--poll", "1s").out.splitlines()
    assert [line.split()[2] for line in lines] == [
        "started",
        "leading",
        "published",
        "turn",
        "ended",
    ]
    assert not [*(place.root / ".products/locks").iterdir()], "nothing is left behind"
