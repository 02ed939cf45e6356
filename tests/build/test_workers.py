"""What users' code does to itself: hanging, crashing, being killed; one product fails, the others are there."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent
from threading import Event
from typing import Any

import pytest

from assay.build import deadlines
from assay.catalog import shared_catalog
from assay.engines import make as making
from tests.conftest import LONG, Place, mostly_long, until


def declare(place: Place, text: str) -> None:
    place.write(
        "products/sales.py", f"import ctypes, os, signal, sys, time\n{dedent(text)}", header=True
    )


OTHER = "\nsql_product('other', 'from numbers', owner='o')\n"
ENDS = {
    "a segfault": ("ctypes.string_at(0)", "crashed (SIGSEGV)"),
    "out of memory": (
        "os.kill(os.getpid(), signal.SIGKILL)",
        "was killed (SIGKILL): out of memory?",
    ),
    "an abort": ("os.abort()", "crashed (SIGABRT)"),
    "an exit": ("os._exit(3)", "ended with exit code 3 before it was done"),
    "deaf": (
        "os.closerange(3, 100); time.sleep(1000)",
        "said what nobody understands|answers no more",
    ),
}


def test_words_that_utf8_cannot_say_are_told(place: Place) -> None:
    declare(
        place,
        f"@product(owner='o', isolate=True)\ndef p(numbers):\n    raise ValueError('cannot read caf\\udce9.csv')\n{OTHER}",
    )
    told = place.materialize()
    assert "ValueError: cannot read caf\\udce9.csv" in told["sales.p"]["error"]
    assert "exit code" not in told["sales.p"]["error"]
    assert told["sales.other"]["result"] == "published"


@pytest.mark.parametrize(
    "case", mostly_long(["a segfault", "out of memory", "an exit"], "a segfault", "out of memory")
)
def test_a_crash_fails_one_product(place: Place, case: str) -> None:
    code, said = ENDS[case]
    declare(place, f"@product(owner='o', isolate=True)\ndef p(numbers):\n    {code}\n{OTHER}")
    told = place.materialize()
    assert told["sales.p"]["result"] == "failed"
    assert f"products/sales.py:9: the process that made sales.p {said}" in told["sales.p"]["error"]
    assert told["sales.other"]["result"] == "published"
    assert told[""]["exit_code"] == 1
    assert not list((place.root / ".products/store").glob("sales.p/*")), "nothing of it is left"


def test_the_control_a_crash_without_isolation_takes_the_run_with_it(place: Place) -> None:
    declare(place, f"@product(owner='o')\ndef p(numbers):\n    {ENDS['a segfault'][0]}\n{OTHER}")
    assert place.spawn("materialize").code == -signal.SIGSEGV
    assert place.run("query", "from other").code == 2


@pytest.mark.long
def test_what_is_made_is_the_same(place: Place) -> None:
    declare(
        place,
        """
        HOW = {HOW}

        @product(owner="o", event_time="d", **HOW)
        def lazy(numbers): return numbers.with_columns(d=pl.lit("2024-03-04 05:06").str.to_datetime(time_unit="us", time_zone="Europe/Berlin"),
                                                       e=pl.lit("a", dtype=pl.Enum(["a"])))

        sql_product("text", "select x, x::varchar as t, [1, 2] as l, date '2024-02-03' as d from numbers", owner="o", event_time="d", **HOW)

        @product(owner="o", file="pack.txt", **HOW)
        def pack(lazy, to: Path): to.write_text(str(lazy.collect().height))

        @product(owner="o", file="bytes.bin", **HOW)
        def raw(pack: Path): return pack.read_bytes() * 2
        """,
    )
    before = (place.root / "products/sales.py").read_text()
    for how in ("{}", "{'isolate': True}"):
        (place.root / "products/sales.py").write_text(before.replace("{HOW}", how))
        told = place.materialize("--force", "--jobs", "2")
        assert {name: one["result"] for name, one in told.items() if name} == dict.fromkeys(
            ["sales.lazy", "sales.text", "sales.pack", "sales.raw"], "published"
        ), told
        assert all(told[name]["built"] for name in told if name)
        digests = [
            v.digest for n in ("lazy", "text", "pack", "raw") for v in versions(place, f"sales.{n}")
        ]
    assert len(digests) == 8
    assert digests[::2] == digests[1::2]
    columns = [v.columns for v in versions(place, "sales.lazy")] + [
        v.data_as_of for v in versions(place, "sales.lazy")
    ]
    assert columns[0] == columns[1]
    assert columns[2] == columns[3] is not None


def versions(place: Place, name: str):
    from assay.declare.project import open_project

    catalog = shared_catalog(open_project(place.root).config)
    try:
        return catalog.versions(name)
    finally:
        catalog.close()


@pytest.mark.parametrize("isolate", mostly_long([False, True], False))
def test_an_exception_is_told_as_it_is_without(place: Place, isolate: bool) -> None:
    declare(
        place,
        f"""
        @product(owner="o", isolate={isolate})
        def p(numbers):
            print("said by the function")
            os.write(1, b"")
            raise LookupError("no such shop")

        @product(owner="o", isolate={isolate})
        def q(numbers): return 7

        sql_product("r", "select x / 0 as y, error('so it is')::int as z from numbers", owner="o", isolate={isolate})
        """,
    )
    ran = place.spawn("materialize", "--json")
    told = {event.get("product"): event for event in ran.events}
    assert told["sales.p"]["error"] == "products/sales.py:14: LookupError: no such shop"
    assert told["sales.p"]["detail"] == 'raise LookupError("no such shop")'
    assert "said by the function" in ran.err
    assert told["sales.q"]["error"].startswith(
        "products/sales.py:16: the function returned int\n  Return a polars"
    )
    assert "so it is" in told["sales.r"]["error"]


def test_what_users_code_prints_reaches_nobody_who_does_not_expect_it(place: Place) -> None:
    declare(
        place,
        """
        @product(owner="o", isolate=True)
        def p(numbers):
            print("{}")
            os.write(1, b"{}\\n")
            os.system("echo hello from a shell")
            return numbers
        """,
    )
    ran = place.spawn("materialize", "--json")
    assert [event.get("result") for event in ran.events] == ["published", None]
    assert ran.err.count("{}") == 2
    assert "hello from a shell" in ran.err


def test_words_are_hushed_there_too(place: Place) -> None:
    declare(
        place,
        """
        @product(owner="o", isolate=True, contract=pa.DataFrameSchema({"x": pa.Column(int, metadata={"sensitive": True})}))
        def p(numbers): raise ValueError("4111-1111")
        """,
    )
    told = place.materialize()["sales.p"]
    assert "4111" not in told["error"]
    assert "ValueError" in told["error"]


HANGS = {
    "in Python": "while True: sum(range(1000))",
    "in C": "time.sleep(1000)",
    "deaf to asking": "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(1000)",
}


@pytest.mark.parametrize("case", mostly_long(["in C", "deaf to asking"], "deaf to asking"))
def test_a_function_that_hangs_is_stopped_at_its_timeout(place: Place, case: str) -> None:
    declare(
        place,
        f"""
        @product(owner="o", timeout="1s")
        def p(numbers):
            Path("pid").write_text(str(os.getpid()))
            {HANGS[case]}
        sql_product("other", "from numbers", owner="o")
        """,
    )
    began = time.monotonic()
    told = place.materialize()
    assert time.monotonic() - began < LONG
    assert "products/sales.py:10: sales.p timed out after 1 s" in told["sales.p"]["error"]
    assert told["sales.other"]["result"] == "published"
    assert is_gone(place)
    assert not list((place.root / ".products/store").glob("sales.p/*"))


def test_sql_that_never_ends_is_stopped_at_its_timeout(place: Place) -> None:
    for_ever = "select count(*) as n from range(10000000000) a, range(1000000) b"
    declare(place, f"sql_product('p', '{for_ever}', owner='o', timeout=0.5)\n{OTHER}")
    began = time.monotonic()
    told = place.materialize("--jobs", "2")
    assert time.monotonic() - began < LONG
    assert "sales.p timed out after 0.5 s" in told["sales.p"]["error"]
    assert told["sales.other"]["result"] == "published", "an interrupt is for one product"


def test_what_is_quick_enough_is_published(place: Place) -> None:
    declare(
        place,
        """
        @product(owner="o", timeout="5 minutes")
        def p(numbers): return numbers

        sql_product("q", "from p", owner="o", timeout="1h")
        """,
    )
    told = place.materialize()
    assert [told[n]["result"] for n in ("sales.p", "sales.q")] == ["published"] * 2


PARTS = """
raw = source.files("in/{day:date}.csv", columns={"x": pl.Int64})

@product(owner="o", isolate=True, each="raw", retries=RETRIES)
def p(raw):
    frame = raw.collect()
    with open("pids", "a") as out:
        print(os.getpid(), frame["x"][0], file=out)
    if frame["x"][0] == 3 and not Path("fine").exists():
        Path("fine").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return frame
"""


@pytest.mark.parametrize("retries", mostly_long([0, 1], 0))
def test_parts_are_made_in_one_process_and_a_killed_one_loses_only_its_own(
    place: Place, retries: int
) -> None:
    for day in range(1, 6):
        place.write(f"in/2024-01-0{day}.csv", f"x\n{day}\n")
    declare(place, PARTS.replace("RETRIES", str(retries)))
    told = place.materialize("--force")["sales.p"]
    if not retries:
        assert told["result"] == "failed"
        assert "was killed (SIGKILL)" in told["error"]
        assert "It was making part 2024-01-03." in told["error"]
        told = place.materialize()["sales.p"]
    assert told["result"] == "published"
    said = [line.split() for line in (place.root / "pids").read_text().splitlines()]
    assert [value for _, value in said] == ["1", "2", "3", "3", "4", "5"], (
        "what was made stays made"
    )
    assert len({pid for pid, _ in said}) == 2
    assert place.query("select sum(x) as n from p") == [{"n": 15}]


def is_gone(place: Place) -> bool:
    """Whether the process that a function told of is gone, within a moment."""
    pid = int((place.root / "pid").read_text())
    for _ in range(50):
        try:
            if (
                Path(f"/proc/{pid}/stat").exists()
                and " Z " in Path(f"/proc/{pid}/stat").read_text()
            ):
                return True
            os.kill(pid, 0)
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.1)
    return False


def begun(place: Place, verb: str = "materialize") -> "subprocess.Popen[str]":
    """Begin a run, and return it when its function is at work."""
    command = [sys.executable, "-m", "assay", verb]
    run = subprocess.Popen(
        command, cwd=place.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for _ in range(1200):
        if (place.root / "pid").exists() and (place.root / "pid").read_text():
            return run
        time.sleep(0.05)
    run.kill()
    raise AssertionError(run.communicate())


def read_until(run: "subprocess.Popen[str]", word: str) -> str:
    """Return the first line with a word in it that a run writes."""
    assert run.stdout is not None
    return next((line for line in run.stdout if word in line), "")


def is_built(place: Place, product: str) -> bool:
    """Return whether a file of a product was written and sealed."""
    files = (place.root / ".products/store").glob(f"{product}/*/*")
    return any(not file.stat().st_mode & 0o222 for file in files)


WAITS = """
@product(owner="o", isolate=True)
def p(numbers):
    import subprocess
    Path("pid").write_text(str(os.getpid()))
    {how}
"""


LEFT = {
    "a function": "time.sleep(1000)",
    "one that has the interpreter for itself": "ctypes.PyDLL(None).sleep(1000)",
    "what a function has started": "subprocess.run(['sh', '-c', 'echo $$ > pid; sleep 1000'])",
}


@pytest.mark.parametrize("case", mostly_long(LEFT, *list(LEFT)[1:]))
def test_a_killed_run_leaves_nobody_behind(place: Place, case: str) -> None:
    declare(place, WAITS.format(how=LEFT[case]))
    run = begun(place)
    if "subprocess" in LEFT[case]:
        time.sleep(0.5)  # the function has told of itself before
    run.kill()
    run.wait()  # not for its pipes to be closed: whoever is left has them open
    assert is_gone(place)


def test_stopping_reaches_it_and_is_not_told_as_its_failure(place: Place) -> None:
    declare(place, WAITS.format(how="time.sleep(1000)") + OTHER)
    run = begun(place)
    run.send_signal(signal.SIGINT)
    began = time.monotonic()
    out, err = run.communicate()
    assert time.monotonic() - began < LONG
    assert run.returncode == 130, (out, err)
    assert "left       sales.p" in out
    assert "Traceback" not in err
    assert is_gone(place)
    assert not list((place.root / ".products/store").glob("sales.p/*"))


def test_what_it_starts_ends_with_it(place: Place) -> None:
    declare(
        place,
        """
        @product(owner="o", timeout=1)
        def p(numbers):
            import subprocess
            other = subprocess.Popen(["sleep", "100"])
            Path("pid").write_text(str(other.pid))
            other.wait()
        """,
    )
    assert "timed out" in place.materialize()["sales.p"]["error"]
    assert is_gone(place)


AWAY = {  # of the group of the process, and, of the second, of everything that it knows
    "in a session of its own": "subprocess.Popen(tells, start_new_session=True, env={})",
    "as a daemon": "if not os.fork(): os.setsid(); subprocess.Popen(tells, env={}); os._exit(0)",
}
ENDINGS = {
    "its time": "time.sleep(1000)",
    "a crash": "os.kill(os.getpid(), signal.SIGKILL)",
    "its work": "return numbers",
    "the run": "Path('pid').rename('told'); time.sleep(1000)",
}


@pytest.mark.parametrize(
    ("away", "ends"),
    mostly_long(
        [("in a session of its own", "its time"), *(("as a daemon", ends) for ends in ENDINGS)],
        ("as a daemon", "its work"),
        ("as a daemon", "the run"),
    ),
)
def test_what_it_starts_elsewhere_ends_with_it(place: Place, away: str, ends: str) -> None:
    declare(
        place,
        f"""
        @product(owner="o", isolate=True, timeout="{2 if ends == "its time" else 600}s")
        def p(numbers):
            import subprocess
            tells = ["/bin/sh", "-c", "echo $$ > pid.new; mv pid.new pid; exec sleep 1000"]
            {AWAY[away]}
            while not Path("pid").exists(): time.sleep(0.05)
            {ENDINGS[ends]}
        """,
    )
    if ends == "the run":
        run = subprocess.Popen([sys.executable, "-m", "assay", "materialize"], cwd=place.root)
        while not (place.root / "told").exists():
            time.sleep(0.05)
        run.kill()
        run.wait()
        (place.root / "told").rename(place.root / "pid")
    else:
        place.materialize()
    assert is_gone(place)


def test_code_that_was_edited_meanwhile_is_refused(place: Place) -> None:
    declare(
        place,
        """
        @product(owner="o")
        def p(numbers):
            file = Path("products/sales.py")
            file.write_text(file.read_text().replace("head(1)", "head(2)"))
            return numbers

        @product(owner="o", isolate=True)
        def q(p): return p.head(1)
        """,
    )
    told = place.materialize()
    assert "the definitions changed" in told["sales.q"]["error"]
    assert place.materialize()["sales.q"]["result"] == "published"


@pytest.mark.long
def test_functions_of_many_modules_and_made_in_loops_are_found(place: Place) -> None:
    place.write(
        "helping.py",
        "from assay import product\n\ndef made(name, n):\n    @product(owner='o', name=name, domain='far', isolate=True)\n    def make(): return __import__('polars').DataFrame({'n': [n]})\n",
    )
    place.write(
        "products/loops.py", "from helping import made\nfor n in (1, 2): made(f'n{n}', n)\n"
    )
    place.write(
        "products/near.py",
        """
        import polars as pl
        from assay import product
        for n in (1, 2):
            @product(owner="o", name=f"n{n}", isolate=True)
            def make(n=n): return pl.DataFrame({"n": [n]})
    """,
    )
    told = place.materialize()
    assert {n: t["result"] for n, t in told.items() if n} == dict.fromkeys(
        ["far.n1", "far.n2", "near.n1", "near.n2"], "published"
    ), told
    assert place.query("select (from far.n2) as a, (from near.n2) as b") == [{"a": 2, "b": 2}]


@pytest.mark.long
def test_each_has_its_share_of_memory_and_spills_for_itself(place: Place) -> None:
    place.write("pyproject.toml", "[tool.products]\nmemory = '400MB'\n")
    declare(
        place,
        """
        import duckdb
        @product(owner="o", isolate=True)
        def limit(numbers: duckdb.DuckDBPyRelation): return numbers.aggregate("max(current_setting('memory_limit')) as m")

        sql_product("large", "select a.range as x, hash(a.range)::varchar || repeat('x', 40) as t from range(4000000) a order by 2", owner="o", isolate=True)
        """,
    )
    told = place.materialize("--jobs", "2")
    assert told["sales.large"]["result"] == "published", told
    assert told[""]["spilled_bytes"] > 1_000_000
    assert not list((place.root / ".products/spill").glob("spill*"))
    assert place.query('from "limit"') == [{"m": "190.7 MiB"}]


def test_a_part_without_rows_is_made_in_a_process_of_its_own(place: Place) -> None:
    place.write(
        "products/sales.py",
        """
        import polars as pl
        from assay import product, source
        drops = source.files("drops/{day:date}.csv", columns={"x": "bigint"})
        @product(owner="o", partition_by="day", isolate=True)
        def p(drops: pl.LazyFrame) -> pl.LazyFrame:
            return drops.select("day", "x")
    """,
    )
    place.write("drops/2024-01-01.csv", "x\n1\n")
    place.write("drops/2024-01-02.csv", "x\n")
    assert place.materialize()[""]["exit_code"] == 0
    assert place.query("from p") == [{"day": "2024-01-01", "x": 1}]


def test_sql_and_judging_take_turns_and_functions_do_not(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    monkeypatch.setattr("assay.build.tasks.is_large", lambda size: taken.append(size) or True)
    declare(place, f"@product(owner='o')\ndef p(numbers): return numbers\n{OTHER}")
    assert place.materialize()[""]["exit_code"] == 0
    read = (place.root / "data/a.csv").stat().st_size
    made = [file.stat().st_size for file in (place.root / ".products/store").rglob("*.parquet")]
    assert set(taken) == {read, *made}, "one is made by a query; both are judged"


# ---------------------------------------------------------------------------- what hangs where no interrupt is heard


def test_sql_that_no_interrupt_ends_fails_at_its_timeout(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DuckDB may wait for ever, and then hears nothing: the product fails alone, and the run comes to its end."""
    real = making.duck.stage

    def stage(bench: Any, query: str, *rest: Any) -> Any:
        return Event().wait() if "deaf" in query else real(bench, query, *rest)

    monkeypatch.setattr(making.duck, "stage", stage)
    monkeypatch.setattr(deadlines, "GRACE", 0.2)
    declare(
        place, f"sql_product('p', 'select x as deaf from numbers', owner='o', timeout=0.1)\n{OTHER}"
    )
    told = place.materialize("--jobs", "1")
    assert "sales.p timed out after 0.1 s" in told["sales.p"]["error"]
    assert "DuckDB did not stop when it was told to" in told["sales.p"]["error"]
    assert told["sales.other"]["result"] == "published"
    assert told[""]["exit_code"] == 1


# A thread that waits for a lock which it has itself never comes back to Python, and no signal wakes it.
DEADLOCK = (
    "m = (ctypes.c_char * 64)(); lock = ctypes.CDLL(None).pthread_mutex_lock; lock(m); lock(m)"
)


def test_the_second_ctrl_c_ends_what_hangs(place: Place) -> None:
    declare(place, WAITS.format(how=DEADLOCK).replace(", isolate=True", "") + OTHER)
    run = begun(place)
    until(lambda: is_built(place, "sales.other"))
    run.send_signal(signal.SIGINT)
    assert "sales.p" in read_until(run, "stopping")
    until(lambda: place.recorded_parts("sales.other"))
    time.sleep(0.4)  # closer together they are one
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=30)
    assert (run.returncode, err) == (130, "stopped at once, while sales.p did not end\n"), out
    place.edit("products/sales.py", DEADLOCK, "return numbers")
    told = place.materialize()
    assert told[""]["exit_code"] == 0
    assert not told["sales.other"]["built"], "what was finished was recorded"
    assert len(list((place.root / ".products/store").glob("sales.p/*"))) == 1, (
        "what was left is gone"
    )


@pytest.mark.long
def test_sigterm_ends_what_hangs(place: Place) -> None:
    declare(place, WAITS.format(how=DEADLOCK).replace(", isolate=True", ""))
    run = begun(place)
    run.send_signal(signal.SIGTERM)
    _, err = run.communicate(timeout=30)
    assert (run.returncode, err) == (130, "stopped at once, while sales.p did not end\n")


def test_ctrl_c_ends_a_command_whose_main_thread_hangs(place: Place) -> None:
    place.write(
        "products/sales.py",
        f"import ctypes\nfrom pathlib import Path\nPath('pid').write_text('x')\n{DEADLOCK}\n",
    )
    run = begun(place, "ls")
    run.send_signal(signal.SIGINT)
    time.sleep(0.4)
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=30)
    assert (run.returncode, err) == (130, "stopped at once\n")


def test_a_forked_process_hands_no_signal_of_its_own_to_us(place: Place) -> None:
    forks = "pid = os.fork()\n    if not pid: os._exit(signal.set_wakeup_fd(-1) + 1)\n    assert os.waitpid(pid, 0)[1] == 0"
    declare(place, WAITS.format(how=f"{forks}\n    return numbers").replace(", isolate=True", ""))
    ran = place.spawn("materialize")
    assert ran.code == 0, ran


# ---------------------------------------------------------------------------- what would end the whole command

PANDERA = "contract=pa.DataFrameSchema({'x': pa.Column(int, pa.Check(ends, element_wise=True))})"
PLACES = {
    "a function": "@product(owner='o')\ndef p(numbers):\n    HOW\n",
    "a module": "HOW\n@product(owner='o')\ndef p(numbers): return numbers\n",
    "a check": f"def ends(x):\n    HOW\n@product(owner='o', {PANDERA})\ndef p(numbers): return numbers\n",
}
EARLY = {
    "_exit": (
        "os._exit(0)",
        "os._exit() would end the whole command: return, or raise an exception",
    ),
    "exec": (
        "os.execvp('true', ['true'])",
        "os.execv() would end the whole command: return, or raise an exception",
    ),
    "exit": ("sys.exit(0)", "SystemExit: 0"),
    "exit of C": ("ctypes.CDLL(None).exit(0)", "a library ended the whole command"),
    "exit of C, with the interpreter": (
        "ctypes.PyDLL(None).exit(0)",
        "a library ended the whole command",
    ),
}


TRIED = [("a function", case) for case in EARLY]
TRIED += [(place, case) for place in ("a module", "a check") for case in ("_exit", "exit of C")]


@pytest.mark.parametrize(
    ("place_of", "case"),
    mostly_long(
        TRIED,
        ("a function", "_exit"),
        ("a function", "exit"),
        ("a function", "exit of C, with the interpreter"),
        ("a module", "_exit"),
        ("a check", "exit of C"),
    ),
)
def test_a_run_that_did_not_come_to_its_end_says_so(place: Place, case: str, place_of: str) -> None:
    how, words = EARLY[case]
    declare(place, PLACES[place_of].replace("HOW", how) + OTHER)
    ran = place.spawn("materialize")
    assert ran.code in {1, 2}
    assert words in ran.out + ran.err
    if "of C" not in case:
        assert "products/sales.py:" in ran.out + ran.err, "and where it is"
        assert ("other" in ran.out) == (place_of != "a module"), (
            "what has nothing to do with it goes on"
        )


@pytest.mark.parametrize("verb", mostly_long(["ls", "plan"], "ls"))
def test_any_verb_that_reads_definitions_says_so_too(place: Place, verb: str) -> None:
    declare(place, "@product(owner='o')\ndef p(numbers): return numbers\nos._exit(0)")
    ran = place.spawn(verb)
    assert (ran.code, "os._exit() would end the whole command" in ran.err) == (2, True)


def test_what_users_code_forks_may_end_as_it_likes(place: Place) -> None:
    forks = """
    import multiprocessing, subprocess
    child = multiprocessing.get_context("fork").Process(target=os._exit, args=(7,)); child.start(); child.join()
    assert child.exitcode == 7
    pid = os.fork()
    if not pid: os.execvp("true", ["true"])
    assert os.waitpid(pid, 0)[1] == 0
    pid = os.fork()
    if not pid: ctypes.CDLL(None).exit(5)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5
    return numbers
"""
    declare(place, f"@product(owner='o')\ndef p(numbers):{forks}")
    ran = place.spawn("materialize")
    assert ran.code == 0, ran


def test_an_exit_function_does_not_end_it_either(place: Place) -> None:
    declare(
        place,
        "import atexit\natexit.register(os._exit, 0)\nsql_product('p', 'select error(x) from numbers', owner='o')",
    )
    assert place.spawn("materialize").code == 1
