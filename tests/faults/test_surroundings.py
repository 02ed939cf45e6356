"""What is around a run fails it: disks, permissions, limits, clocks. One product's failure leaves unrelated ones to finish.

Each of these is told with what failed and why, publishes nothing half, and is over when its cause is.
"""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.faults import checker
from tests.forge import Ended, Forge
from tests.watch.world import World

DEFINITIONS = """
import polars as pl
from assay import product, source, sql_product

numbers = source.files("data/*.csv", columns={"gen": pl.Int64})
others = source.files("other/*.csv", columns={"x": pl.Int64})

big = sql_product("big", "select gen, md5(gen || ' ' || i) as noise from numbers, range(100000) r(i)", owner="o")
after_big = sql_product("after_big", "select max(gen) as gen from big", owner="o")

@product(owner="o")
def frame(numbers: pl.LazyFrame) -> pl.LazyFrame:
    import random
    gen = numbers.collect()["gen"][0]
    return pl.LazyFrame({"gen": gen, "noise": [random.random() for _ in range(300_000)]})

small = sql_product("small", "select x from others", owner="o")
after_small = sql_product("after_small", "select sum(x)::bigint as x from small", owner="o")
"""
LINKED, APART = {"t.big", "t.after_big", "t.frame"}, {"t.small", "t.after_small"}


@dataclass
class Yard:
    """A project in which one set of products needs much, and one needs little, and who works there."""

    root: Path
    forge: Forge

    def run(self, *arguments: str, **job: Any) -> Ended:
        ended = self.forge.run(self.root, *arguments, **job)
        assert "Traceback" not in ended.err + ended.out, ended.err
        return ended

    def powerless(self, *arguments: str, **job: Any) -> Ended:
        """Run as one who is stopped by permissions: root is not."""
        return self.run(*arguments, powerless=True, **job)

    def materialize(self, **job: Any) -> tuple[int | None, dict[str, dict[str, Any]]]:
        ended = self.run("materialize", "--json", **job)
        return ended.code, {event["product"]: event for event in ended.events if "product" in event}

    def generation(self, number: int) -> None:
        (self.root / "data/a.csv").write_text(f"gen\n{number}\n")
        (self.root / "other/b.csv").write_text(f"x\n{number}\n")

    def settings(self, text: str) -> None:
        (self.root / "pyproject.toml").write_text(f"[tool.products]\n{text}")

    def seen(self) -> dict[str, int]:
        """What readers see: the generation of each table that tells it; all of one set are of one."""
        return dict(checker.snapshot(self.root, mixed=True).generations)

    def mended(self, number: int) -> None:
        """The cause is gone: the next command makes everything right, and nothing is left behind."""
        code, told = self.materialize()
        assert code == 0, told
        assert self.seen() == dict.fromkeys(("t.big", "t.after_big", "t.frame"), number)
        checker.tidy(self.root)
        checker.complete(self.root)
        checker.coded(self.root)
        assert self.run("query", "select x from after_small", "--format", "csv").out.split() == [
            "x",
            str(number),
        ]


@pytest.fixture
def yard(forge: Forge, tmp_path: Path) -> Iterator[Yard]:
    """A project of generation 1, built; generation 2 is there to be built."""
    made = Yard(tmp_path / "yard", forge)
    for name in ("products", "data", "other"):
        (made.root / name).mkdir(parents=True)
    made.settings("")
    (made.root / "products/t.py").write_text(DEFINITIONS)
    made.generation(1)
    made.mended(1)
    made.generation(2)
    yield made
    subprocess.run(["chmod", "-R", "u+rwX", str(tmp_path)], check=True)


def failed_alone(told: dict[str, dict[str, Any]], *words: str) -> None:
    """The linked set failed, saying why; the one apart was published."""
    assert {told[name]["result"] for name in APART} == {"published"}, told
    failed = [
        event for name, event in told.items() if name in LINKED and event["result"] == "failed"
    ]
    assert failed
    for event in failed:
        assert any(word in event["error"] for word in words), event["error"]
    assert not [
        name for name in LINKED if told[name]["result"] == "published" and name != "t.frame"
    ]


# ---------------------------------------------------------------------------------------------- disks


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """Put a small file system where a folder is, with what is in it."""
    aside = folder.with_name("aside")
    folder.rename(aside)
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    try:
        if done.returncode:
            pytest.skip(f"cannot mount here: {done.stderr.decode().strip()}")
        shutil.copytree(aside, folder, dirs_exist_ok=True)
        yield
        shutil.rmtree(aside)
        shutil.copytree(folder, aside)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], capture_output=True, check=False)
        folder.rmdir()
        aside.rename(folder)


def test_a_full_disk_under_the_store(yard: Yard) -> None:
    used = sum(f.stat().st_size for f in (yard.root / ".products/store").rglob("*") if f.is_file())
    with small_disk(yard.root / ".products/store", f"{used // 1024 + 500}k"):
        yard.settings("jobs = 1\n")  # who comes after the one that failed finds room again
        code, told = yard.materialize()
        assert code == 1
        failed_alone(told, "No space left", "no space left", "rite")
        full = [event["error"] for event in told.values() if "No space" in event.get("error", "")]
        assert full
        assert all("`products gc`" in error and "t.py:" not in error for error in full), (
            "no line of the user's did it"
        )
        assert yard.seen()["t.big"] == 1
        left = [
            f
            for f in (yard.root / ".products/store").rglob("*/**/*")
            if f.is_file() and ".readers" not in f.parts
        ]
        assert len(left) == len(checker.rows(yard.root, "select distinct path from parts")), (
            "half files take no room"
        )
    yard.mended(2)


def test_a_disk_that_takes_no_more_files(yard: Yard) -> None:
    """There is room in bytes, and SQLite tells nothing of the reason."""
    state = yard.root / ".products"
    with small_disk(state, f"50m,nr_inodes={sum(1 for _ in state.rglob('*')) + 2}"):
        ended = yard.run("status")
        assert ended.code == 1
        assert "cannot use the catalog" in ended.err
        assert "No space left on device" in ended.err
        assert "df -i" in ended.err
        assert "another program" not in ended.err
    yard.mended(2)


def test_files_may_not_be_so_large(yard: Yard) -> None:
    """The same without being root: a limit on the size of a file."""
    code, told = yard.materialize(limits={"FSIZE": 500_000})
    assert code == 1
    failed_alone(told, "File too large", "rite")
    assert yard.seen() == {"t.big": 1, "t.after_big": 1, "t.frame": 1}
    yard.mended(2)


def test_a_full_disk_under_the_catalog(yard: Yard) -> None:
    (yard.root / "products/t.py").write_text(
        DEFINITIONS
        + "".join(
            f"p{n} = sql_product('p{n}', 'select {n} as x from others', owner='o')\n"
            for n in range(200)
        )
    )
    ended = yard.run("materialize", variants=["full_catalog"])
    assert ended.code == 1
    assert "cannot use the catalog" in ended.err
    assert "disk is full" in ended.err
    assert "make room, and run it again" in ended.err
    assert yard.seen() == {"t.big": 1, "t.after_big": 1, "t.frame": 1}
    yard.mended(2)


def test_all_of_it_is_on_a_full_disk(yard: Yard) -> None:
    state = yard.root / ".products"
    used = sum(f.stat().st_size for f in state.rglob("*") if f.is_file())
    with small_disk(state, f"{used // 1024 + 2000}k"):
        with (
            (state / "store/ballast").open("wb", buffering=0) as ballast,
            pytest.raises(OSError, match="No space"),
        ):
            while True:
                ballast.write(bytes(4096))
        ended = yard.run("materialize")
        assert ended.code == 1
        assert "catalog" in ended.err
        asked = yard.run("query", "from after_small")  # SQLite wants 32 KiB for those who read, too
        assert asked.code in {0, 1}
        assert asked.code == 0 or (
            "cannot use the catalog" in asked.err and "disk is full" in asked.err
        )
        looked = yard.run("verify")
        assert "damaged" not in looked.out
        assert looked.code == 0 or "disk is full" in looked.err
        (state / "store/ballast").unlink()
        assert yard.seen() == {"t.big": 1, "t.after_big": 1, "t.frame": 1}
    yard.mended(2)


def test_the_loop_on_a_full_disk(yard: Yard) -> None:
    """It says that the disk is full, and goes on when there is room."""
    state = yard.root / ".products"
    used = sum(f.stat().st_size for f in state.rglob("*") if f.is_file())
    with small_disk(state, f"{used // 1024 + 40_000}k"):
        ballast = state / "store/ballast"
        world = World(yard.root)

        def act(number: int) -> None:
            if number == 1:
                with suppress(OSError), ballast.open("wb", buffering=0) as file:
                    while True:
                        file.write(bytes(4096))
            elif number == 4:
                ballast.unlink()

        world.run(6, act, eager=True)
        assert world.vitals.turns["problem"] >= 1
        [problem] = world.told("problem")
        assert "disk is full" in problem or "No space left" in problem, problem
        assert world.told("recovered") == ["turn: as it should be again"]
        assert world.vitals.problems == {}
    yard.mended(2)


# ---------------------------------------------------------------------------------------------- permissions


def forbid(folder: Path) -> None:
    subprocess.run(["chmod", "-R", "a-w", str(folder)], check=True)


def permit(folder: Path) -> None:
    subprocess.run(["chmod", "-R", "u+w", str(folder)], check=True)
    for file in (folder / "store").rglob("*"):
        if file.is_file():
            file.chmod(0o444)


def test_a_store_that_is_read_only(yard: Yard) -> None:
    state = yard.root / ".products"
    forbid(state)
    ended = yard.powerless("materialize")
    assert ended.code == 1
    assert "catalog" in ended.err
    assert "read-only" in ended.err or "readonly" in ended.err or "denied" in ended.err
    asked = yard.powerless("query", "from after_small")
    assert asked.code == 0 or "cannot use the catalog" in asked.err
    permit(state)
    assert yard.seen()["t.big"] == 1
    yard.mended(2)


def test_one_product_may_not_be_written(yard: Yard) -> None:
    (yard.root / ".products/store/t.big").chmod(0o555)
    ended = yard.powerless("materialize", "--json")
    assert ended.code == 1
    failed_alone(
        {e["product"]: e for e in ended.events if "product" in e}, "Permission denied", "permission"
    )
    (yard.root / ".products/store/t.big").chmod(0o755)
    yard.mended(2)


def test_a_source_that_may_not_be_read(yard: Yard) -> None:
    (yard.root / "data/a.csv").chmod(0)
    ended = yard.powerless("materialize", "--json")
    assert ended.code == 1
    told = {e["product"]: e for e in ended.events if "product" in e}
    assert {told[name]["result"] for name in APART} == {"published"}
    assert "cannot read data/a.csv: Permission denied" in str(told["t.big"])
    assert {told[name]["result"] for name in LINKED} == {"held"}
    (yard.root / "data/a.csv").chmod(0o644)
    yard.mended(2)


def test_a_catalog_that_may_not_be_used(yard: Yard) -> None:
    file = yard.root / ".products/catalog.db"
    for mode, verbs in ((0o000, ("materialize", "status", "query")), (0o444, ("materialize",))):
        file.chmod(mode)
        for verb in verbs:
            ended = yard.powerless(verb, *(["select 1"] if verb == "query" else []))
            assert ended.code == 1, (verb, ended.out)
            assert "catalog.db" in ended.err
    file.chmod(0o644)
    yard.mended(2)


# ---------------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize("most", [8, 12, 16, 20, 24, 32, 48])
def test_too_many_open_files(yard: Yard, most: int) -> None:
    ended = yard.run("materialize", limits={"NOFILE": most})
    assert ended.code in {0, 1}
    assert ended.code == 0 or "`ulimit -n" in ended.out + ended.err, ended
    assert "another program" not in ended.err
    assert "was replaced" not in ended.out + ended.err
    assert 1 <= yard.seen()["t.after_big"] <= yard.seen()["t.big"] <= 2, (
        "never made of what is not out"
    )
    yard.mended(2)


HUNGRY = (
    "select max(gen) as gen, sum(length(t))::bigint as n from (select gen, i % 7 as k,"
    " string_agg(md5(i::varchar) || md5(gen::varchar), '') as t"
    " from (select max(gen) as gen from big), range(3000000) r(i) group by all)"
)


def test_memory_runs_out(yard: Yard) -> None:
    yard.settings('memory = "64MB"\nspill = "1MB"\n')
    (yard.root / "products/t.py").write_text(
        DEFINITIONS.replace('"select max(gen) as gen from big"', f"{HUNGRY!r}")
    )
    code, told = yard.materialize()
    assert code == 1, told
    assert {told[name]["result"] for name in APART} == {"published"}
    assert told["t.after_big"]["result"] == "failed"
    assert "emory" in told["t.after_big"]["error"]
    assert yard.seen()["t.after_big"] == 1
    yard.settings("")
    (yard.root / "products/t.py").write_text(DEFINITIONS)
    yard.mended(2)


@pytest.mark.parametrize("more", [50, 200, 600])
def test_the_process_may_have_no_more_memory(yard: Yard, more: int) -> None:
    """Where even an error finds no room the process dies: as after a kill, the next command goes on."""
    used = int(Path(f"/proc/{yard.forge.process.pid}/statm").read_text().split()[0]) * os.sysconf(
        "SC_PAGE_SIZE"
    )
    ended = yard.run("materialize", limits={"AS": used + more * 2**20, "CORE": 0})
    began = (
        ended.code != 70 or ended.out or ended.err
    )  # where there is no room for the tests' own process to begin
    assert not began or ended.code in {None, 0, 1, 127}, "127: the C library gave up"
    assert 1 <= yard.seen()["t.after_big"] <= yard.seen()["t.big"] <= 2, (
        "never made of what is not out"
    )
    yard.mended(2)


# ---------------------------------------------------------------------------------------------- clocks


def test_a_clock_that_was_set_back(yard: Yard) -> None:
    code, told = yard.materialize(variants=["set_back"])
    assert code == 0, told
    with closing(sqlite3.connect(yard.root / ".products/catalog.db")) as db:
        at = [moment for (moment,) in db.execute("select at from releases order by id")]
    assert at == sorted(at), "what was seen when must not change"
    seen = yard.run("query", "--as-of", at[0], "select gen from after_big", "--format", "csv")
    assert seen.code in {0, 2}
    status = yard.run("status", "--json", variants=["set_back"])
    assert status.code == 0
    yard.generation(3)  # of the same size, and by the files' clock in the future of ours
    code, told = yard.materialize(variants=["set_back"])
    assert {told[name]["result"] for name in LINKED | APART} == {"published"}
    yard.mended(3)
    assert yard.run("materialize", "--now", "2001-01-01").code == 2
