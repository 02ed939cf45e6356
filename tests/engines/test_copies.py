"""Copies of files that engines cannot read: when they are made, and what becomes of those left behind."""

import os
import socket
from pathlib import Path

import pytest

from assay.build import inspector, workers
from assay.engines.formats import copies
from tests.conftest import Place


def declare(place: Place, *names: str, encoding: str = "utf-8") -> None:
    products = [f"sql_product({name!r}, 'from raw', owner='o')\n" for name in names]
    place.write(
        "products/shop.py",
        "from assay import source, sql_product\n"
        f"raw = source.files('in/*.csv', columns={{'n': 'bigint'}}, encoding={encoding!r})\n"
        + "".join(products),
    )


def left(place: Place) -> list[Path]:
    return list((place.root / ".products/spill").glob("copies-*"))


def test_a_file_with_mixed_line_ends_is_inspected_once(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Path] = []
    inspect = inspector.inspect

    def counted(files, paths, engine, **how):  # type: ignore[no-untyped-def]
        seen.extend(paths)
        return inspect(files, paths, engine, **how)

    monkeypatch.setattr(inspector, "inspect", counted)
    (place.root / "in").mkdir()
    (place.root / "in/a.csv").write_bytes(b"n\n1\r\n2\n")
    declare(place, "p")
    assert place.materialize("-s", "shop.p")[""]["exit_code"] == 0
    assert len(seen) == 1
    declare(place, "p", "q")
    assert place.materialize("-s", "shop.q")[""]["exit_code"] == 0
    assert len(seen) == 1
    assert place.query("from q order by n") == [{"n": 1}, {"n": 2}]
    assert not left(place)
    (place.root / "in/a.csv").write_bytes(b"n\n1\r\nx\n")
    assert "line 3: column 'n' should be BIGINT" in place.run("materialize", "-s", "shop.q").out
    assert len(seen) == 2


def test_what_a_dead_process_with_the_same_number_left_is_not_read(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.write("in/a.csv", "n\n1\n")
    declare(place, "p", encoding="cp1252")
    with monkeypatch.context() as patched:
        patched.setattr(workers, "drop_copies", lambda *_, **__: None)
        place.materialize("-s", "shop.p")
    [folder] = left(place)
    for copy in folder.rglob("*.txt"):
        copy.write_text("n\n666\n")
    copies._cleared.discard(str(folder))  # as a process that has just begun
    assert place.materialize("-s", "shop.p", "--force")[""]["exit_code"] == 0
    assert place.query("from p") == [{"n": 1}]
    assert not left(place)


def test_what_dead_processes_left_is_removed_and_that_of_others_stays(place: Place) -> None:
    place.write("in/a.csv", "n\n1\n")
    declare(place, "p", encoding="cp1252")
    host, most = socket.gethostname(), int(Path("/proc/sys/kernel/pid_max").read_text())
    for name in (f"{host}-{most + 1}", f"{host}-{os.getppid()}", f"other.{host}-{most + 1}"):
        place.write(f".products/spill/copies-{name}/x/in/a.csv.txt", "n\n666\n")
    assert place.materialize("-s", "shop.p")[""]["exit_code"] == 0
    assert place.query("from p") == [{"n": 1}]
    kept = {f"copies-{host}-{os.getppid()}", f"copies-other.{host}-{most + 1}"}
    assert {folder.name for folder in left(place)} == kept
