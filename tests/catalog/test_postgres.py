"""A catalog in PostgreSQL, through the real command: shared, cut off, taken for dead, and silent about passwords."""

import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from threading import Thread
from typing import Any

import psycopg
import pytest

from assay.catalog import open_catalog
from assay.catalog.address import scrubbed, shown
from assay.catalog.database import Writer
from assay.catalog.owner import MARK
from assay.catalog.postgres import Postgres
from assay.catalog.postgres_runs import locked_connection
from assay.errors import CatalogError, Conflict
from assay.facts import Move
from assay.store.leases import FOLDER
from tests.catalog.test_catalog import NOW, verdict, version
from tests.conftest import LONG, Place, until
from tests.server import Server

PRODUCTS = """
import time

@product(owner="o")
def first(numbers):
    time.sleep(0.25)  # worth being recorded at once
    return numbers

@product(owner="o")
def second(first):
    Path("begun").touch()
    while not Path("go").exists(): time.sleep(0.02)
    return first

sql_product("third", "select sum(x)::bigint as x from second", owner="o")
"""
SUM = "select x from third"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take runs for dead, and give up, sooner than one would."""
    monkeypatch.setattr("assay.catalog.postgres_runs.GRACE", 0)
    monkeypatch.setattr("assay.catalog.postgres.DELAYS", (0, 0.1, 0.1))


@pytest.fixture
def team(place: Place, address: str) -> Place:
    place.write("products/sales.py", PRODUCTS, header=True)
    place.write("pyproject.toml", f'[tool.products]\ncatalog = "{address}"\n')
    return place


@pytest.fixture
def begun(team: Place) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts a run that stays in the middle of its second product until there is a file `go`."""
    running: list[subprocess.Popen[str]] = []

    def begin(delays: str = "(0, 0.1, 0.2, 0.5, 1, 2, 4)") -> "subprocess.Popen[str]":
        code = f"import assay.catalog.postgres as p; p.DELAYS = {delays}; from assay.cli.main import run; run()"
        command = [sys.executable, "-c", code, "materialize", "--json"]
        running.append(
            subprocess.Popen(
                command, cwd=team.root, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        )
        until(lambda: (team.root / "begun").exists() or running[-1].poll() is not None)
        until(lambda: told(team, "select count(*) from versions") == 1)
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def address_of(place: Place) -> str:
    return (place.root / "pyproject.toml").read_text().split('"')[1]


def told(place: Place, sql: str) -> Any:
    with psycopg.connect(address_of(place), autocommit=True) as connection:
        connection.execute("set search_path to assay")
        return connection.execute(sql).fetchone()[0]


def ended(place: Place, process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Let a run go on to its end; return its exit code, and what it said of what went wrong."""
    (place.root / "go").touch()
    _, err = process.communicate(timeout=LONG)
    return process.returncode, err


def finished(place: Place) -> None:
    """Hold that all is published, nothing is left over, and there is nothing to do."""
    assert place.query(SUM) == [{"x": 6}]
    assert place.materialize()[""]["exit_code"] == 0
    assert {t["state"] for t in place.run("status", "--json").json} == {"up to date", "read"}
    assert told(place, "select count(*) from intents") == 0
    assert told(place, "select count(*) from runs where state = 'running'") == 0
    store = place.root / ".products/store"
    files = {
        f.relative_to(store).as_posix()
        for f in store.rglob("*")
        if f.is_file() and FOLDER not in f.parts
    } - {MARK}
    with psycopg.connect(address_of(place)) as connection:
        assert files == {path for (path,) in connection.execute("select path from assay.parts")}


def test_every_verb_works_on_it(team: Place) -> None:
    (team.root / "go").touch()
    for verb in ("status", "ls", "plan"):
        assert team.run(verb, "--json").code == 0, "before anything is there"
    assert not (team.root / ".products/store").exists()
    made = team.materialize()
    assert [made[f"sales.{name}"]["result"] for name in ("first", "second", "third")] == [
        "published"
    ] * 3
    finished(team)
    team.numbers("a", 1, 2, 4)
    assert team.materialize()["sales.third"]["result"] == "published"
    assert team.run("query", "--json", SUM, "--as-of", "1").json == [{"x": 6}]
    history = team.run("history", "third", "--json").json
    assert [version["now"] for version in history] == [True, False]
    assert team.run("restore", "third", history[1]["version"]).code == 0
    assert team.query(SUM) == [{"x": 6}]
    assert team.run("restore", "third", "--unpin").code == 0
    team.environment("dev")
    assert team.materialize("--env", "dev")["sales.third"]["result"] == "published"
    for verb in (
        ["status"],
        ["why", "third"],
        ["show", "third"],
        ["gc"],
        ["why", "third", "--rules"],
        ["suggest", "third"],
    ):
        assert team.run(*verb).code == 0, verb
    assert not (team.root / ".products/catalog.db").exists()


def test_a_connection_that_is_cut_is_made_again(
    team: Place, begun: Callable[..., "subprocess.Popen[str]"]
) -> None:
    process = begun()
    ours = "from pg_stat_activity where application_name = 'assay' and datname = current_database()"
    before = told(team, f"select array_agg(pid) {ours}")
    assert len(before) == 2
    told(team, f"select count(pg_terminate_backend(pid)) {ours}")
    # A server answers before those processes have ended, and until then they hold the lock.
    cut = f"pid = any(array{before})"
    until(lambda: told(team, f"select count(*) from pg_stat_activity where {cut}") == 0)
    until(lambda: told(team, "select count(*) from pg_locks where locktype = 'advisory'") == 1)
    assert team.run("gc").code == 0, "another takes nothing of it"
    assert ended(team, process)[0] == 0
    finished(team)


@pytest.mark.long
def test_a_server_that_restarts_does_not_stop_a_run(
    server: Server, team: Place, begun: Callable[..., "subprocess.Popen[str]"]
) -> None:
    process = begun()
    server.stop("immediate")
    server.start()
    assert ended(team, process) == (0, "")
    finished(team)


def test_a_server_that_is_gone_is_told_and_nothing_is_lost(
    server: Server, team: Place, begun: Callable[..., "subprocess.Popen[str]"]
) -> None:
    process = begun("(0, 0.1)")
    server.stop()
    try:
        code, err = ended(team, process)
        assert code == 1
        assert "lost the connection to the catalog" in err
        assert "run it again when the server is back" in err
        assert f"{server.port}" in err
        assert "Traceback" not in err
        ran = team.run("status")
        assert (ran.code, "Is the server running" in ran.err) == (1, True)
    finally:
        server.start()
    events = team.materialize()
    assert events["sales.first"]["result"] == "published"
    assert told(team, "select count(*) from versions where product = 'sales.first'") == 1, (
        "it was not built again"
    )
    finished(team)


def test_what_was_killed_is_settled_by_the_next(
    team: Place, begun: Callable[..., "subprocess.Popen[str]"]
) -> None:
    process = begun()
    process.kill()
    process.wait()
    until(lambda: told(team, "select count(*) from pg_locks where locktype = 'advisory'") == 0)
    (team.root / "go").touch()
    team.materialize()
    assert told(team, "select count(*) from runs where state = 'crashed'") == 1
    finished(team)


def test_a_run_that_was_taken_for_dead_stops(
    team: Place, begun: Callable[..., "subprocess.Popen[str]"]
) -> None:
    process = begun()
    process.send_signal(signal.SIGSTOP)
    told(
        team,
        "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'assay' and datname = current_database()",
    )
    until(lambda: told(team, "select count(*) from pg_locks where locktype = 'advisory'") == 0)
    assert team.run("gc").code == 0
    assert told(team, "select state from runs where state <> 'done'") == "crashed"
    process.send_signal(signal.SIGCONT)
    code, err = ended(team, process)
    assert code == 1
    assert "was taken for dead by another" in err
    assert "run it again" in err
    assert team.query("select 1 as x") == [{"x": 1}]
    team.materialize()
    finished(team)


@pytest.mark.long
def test_two_processes_at_once(team: Place) -> None:
    (team.root / "go").touch()
    command = [sys.executable, "-m", "assay", "materialize", "--force", "--wait", "10m", "--json"]
    runs = [
        subprocess.Popen(command, cwd=team.root, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in runs:
        out, _ = process.communicate(timeout=LONG)
        assert process.returncode == 0, out
    finished(team)


def test_publishers_at_once_lose_nothing_and_see_the_past_as_it_was(address: str) -> None:
    """Each moves two products together, from what it has seen; a loser looks again. Readers never see half of it."""
    rounds, writers, torn = 15, 4, []

    def publish(me: int) -> None:
        catalog = open_catalog(address)
        for turn in range(rounds):
            ids = [f"{me}.{turn}.{product}" for product in "pq"]
            catalog.record([version(id, f"d.{id[-1]}") for id in ids], [verdict(id) for id in ids])
            while True:
                seen = catalog.pointers("prod")
                moves = [
                    Move(
                        product=f"d.{id[-1]}",
                        version=id,
                        previous=seen[f"d.{id[-1]}"].version if seen else "",
                    )
                    for id in ids
                ]
                expects = {name: seen[name].release if seen else 0 for name in ("d.p", "d.q")}
                try:
                    catalog.release("prod", moves, expects, run="", at=NOW, why="")
                    break
                except Conflict:
                    continue
        catalog.close()

    def read(over: list[bool]) -> None:
        catalog = open_catalog(address)
        while not over:
            torn.extend(
                s
                for s in [{p.version[:-2] for p in catalog.pointers("prod").values()}]
                if len(s) > 1
            )
        catalog.close()

    open_catalog(address).close()
    over: list[bool] = []
    reader = Thread(target=read, args=(over,))
    threads = [Thread(target=publish, args=(me,)) for me in range(writers)]
    for thread in [reader, *threads]:
        thread.start()
    for thread in threads:
        thread.join()
    over.append(True)
    reader.join()
    catalog = open_catalog(address)
    assert torn == []
    released = catalog.releases("d.p", "prod")
    assert [r.id for r in released] == list(range(rounds * writers, 0, -1)), (
        "no two from the same, none lost"
    )
    chain = catalog.database.rows(
        "select previous, version from moves where product = 'd.q' order by release"
    )
    assert [before for before, _ in chain] == ["", *[version for _, version in chain[:-1]]]
    seqs = catalog.database.rows("select seq from versions order by seq")
    assert seqs == [(n,) for n in range(1, 2 * rounds * writers + 1)]
    catalog.close()


@pytest.mark.parametrize("answered", [True, False])
def test_a_commit_that_was_not_answered_is_done_once(
    address: str, answered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = open_catalog(address)
    catalog.record([version("v1")], [verdict("v1")])
    database, cuts = catalog.database, []
    assert isinstance(database, Postgres)
    execute = psycopg.Connection.execute

    def cut(
        connection: psycopg.Connection, query: bytes | str, *values: object, **options: object
    ) -> object:
        if query == "commit" and not cuts:
            cuts.append(True)
            if answered:
                execute(connection, "commit")
            connection.close()
        return execute(connection, query, *values, **options)

    monkeypatch.setattr(psycopg.Connection, "execute", cut)
    made = catalog.release(
        "prod", [Move(product="d.p", version="v1")], {"d.p": 0}, run="", at=NOW, why=""
    )
    assert cuts
    assert made.id == 1
    assert [r.id for r in catalog.releases("d.p", "prod")] == [1]
    catalog.close()
    assert open_catalog(address).database.rows("select count(*) from writes") == [(0,)]


def test_a_run_takes_its_lock_back_from_a_connection_that_the_server_thinks_is_there(
    address: str,
) -> None:
    catalog = open_catalog(address)
    other = open_catalog(address)
    with catalog.runs.open("r1", "prod", NOW, {}, lambda path, keep=frozenset: None, recorded=0):
        assert not other.database.is_dead("r1")
        taken = locked_connection(other.database._server, "r1")
        assert not other.database.is_dead("r1")
        taken.close()
        until(
            lambda: (
                other.database.rows("select count(*) from pg_locks where locktype = 'advisory'")
                == [(1,)]
            )
        )
    until(lambda: other.database.is_dead("r1"))
    catalog.close()
    other.close()


def test_nobody_is_dead_when_the_server_has_just_come_back(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.catalog.postgres_runs.GRACE", 10**6)
    catalog = open_catalog(address)
    catalog.database.write(
        lambda w: w.execute(
            "insert into runs (id, state, started_at, environment, host, pid) values ('r0', 'running', '', '', '', 0)"
        )
    )
    assert catalog.runs.recover(lambda path, keep=frozenset: None) == []
    monkeypatch.setattr("assay.catalog.postgres_runs.GRACE", 0)
    assert catalog.runs.recover(lambda path, keep=frozenset: None) == ["r0"]
    catalog.close()


# ---------------------------------------------------------------------------------------------- whose it is


def test_a_catalog_of_another_store_is_refused(
    team: Place, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (team.root / "go").touch()
    team.materialize()
    other = Place(tmp_path_factory.mktemp("other"))
    for file in ("pyproject.toml", "products/sales.py"):
        other.write(file, (team.root / file).read_text())
    other.numbers("a", 1)
    for verb in ("materialize", "status"):
        ran = other.run(verb)
        assert (ran.code, "is that of another store than" in ran.err) == (1, True)
    mark = (team.root / ".products/store" / MARK).read_text()
    (other.root / ".products").rename(other.root / "was")
    (other.root / ".products").symlink_to(team.root / ".products")
    (other.root / "go").touch()
    assert other.materialize()["sales.first"]["result"] == "published"
    assert mark.strip() in other.run("status").err or other.run("status").code == 0


def test_the_command_copies_it_there_and_back(team: Place, server: Server) -> None:
    settings = (team.root / "pyproject.toml").read_text()
    (team.root / "go").touch()
    team.write("pyproject.toml", "[tool.products]\n")
    team.materialize()
    address = settings.split('"')[1].replace("assay@", "assay:hunter2-Opensesame@")
    ran = team.run("catalog", "copy", address, "--json")
    assert ran.code == 0, ran.err
    assert {t["table"]: t["rows"] for t in ran.json["tables"]}["versions"] == 3
    assert "hunter2" not in ran.out + ran.err
    assert "catalog = " in ran.json["next"]
    team.write("pyproject.toml", settings)
    assert {t["result"] for n, t in team.materialize().items() if n} == {"unchanged"}
    again = team.run("catalog", "copy", address)
    assert (again.code, "is not empty" in again.err) == (2, True)
    team.numbers("a", 1, 2, 4)
    team.materialize()
    for file in (team.root / ".products").glob("catalog.db*"):
        file.unlink()
    back = team.run("catalog", "copy", ".products/catalog.db")
    assert back.code == 0, back.err
    assert "take `catalog` out" in back.out
    team.write("pyproject.toml", "[tool.products]\n")
    assert {t["result"] for n, t in team.materialize().items() if n} == {"unchanged"}
    assert team.query(SUM) == [{"x": 7}]
    assert team.run("catalog", "copy", "mysql://u:hunter2@h/d").code == 2


# ---------------------------------------------------------------------------------------------- errors and secrets

SHOWN = {
    "postgresql://u:pass@h:5432/d": "postgresql://u@h:5432/d",
    "postgres://h/d": "postgresql://h/d",
    "postgresql:///d": "postgresql:///d",
    "postgresql://u:p@ss@h/d": "postgresql://u@h/d",
    "postgresql://u:pa/ss@h/d": "postgresql://u@h/d",
    "postgresql://u:pa?ss@h/d": "postgresql://…",
    "postgresql://u:123?ss@h/d": "postgresql://…",
    "postgresql://h/d?password=pass&user=u": "postgresql://h/d",
    "postgresql://u@h1:1,h2:2/d?sslpassword=pass": "postgresql://u@h1:1,h2:2/d",
    "postgresql://u:pass@[::1]:5432/d": "postgresql://u@[::1]:5432/d",
    "postgresql://u:pass": "postgresql://…",
}


@pytest.mark.parametrize("address", SHOWN)
def test_an_address_is_shown_without_what_is_secret(address: str) -> None:
    assert shown(address) == SHOWN[address]


def test_a_message_that_quotes_a_secret_is_scrubbed() -> None:
    assert (
        scrubbed("no %40bc1 or @bc1, x=y", "postgresql://u:%40bc1@h/d?password=x%3Dy")
        == "no … or …, …"
    )


@pytest.mark.parametrize(
    ("address", "words", "hint"),
    [
        (
            "postgresql://locked:WRONG@127.0.0.1:PORT/postgres",
            "password authentication failed",
            "PGPASSWORD",
        ),
        (
            "postgresql://locked@127.0.0.1:PORT/postgres?password=WRONG",
            "password authentication failed",
            "PGPASSWORD",
        ),
        (
            "postgresql://locked:WRONG@127.0.0.1:PORT/none",
            "password authentication failed",
            "PGPASSWORD",
        ),
        (
            "postgresql://assay:WRONG@127.0.0.1:PORT/none",
            'database "none" does not exist',
            "createdb",
        ),
        ("postgresql://assay:WRONG@127.0.0.1:1/none", "onnection refused", "Is the server running"),
        (
            "postgresql://assay:WRONG@no.such.host.invalid/none",
            "no.such.host.invalid",
            "Is the server running",
        ),
        (
            "postgresql://locked:hunter2-Opensesame@127.0.0.1:PORT/postgres",
            "permission denied",
            "grant create",
        ),
        (
            "postgresql://assay:WRONG@127.0.0.1:PORT/none?pasword=WRONG",
            "cannot read the address",
            "%40",
        ),
        ("postgresql://assay:s3cr3t?WRONG@127.0.0.1:PORT/none", "", ""),
        ("postgresql://assay:s3cr3t#WRONG@127.0.0.1:PORT/none", "", ""),
        ("postgresql://assay:s3cr3t/WRONG@127.0.0.1:PORT/none", "cannot ", "%2F"),
        ("postgresql://assay:1/WRONG@127.0.0.1:PORT/none", "cannot ", "%2F"),
        ("postgresql://assay:s3cr3t@WRONG@127.0.0.1:PORT/none", "", ""),
        ("postgresql://assay:%zzWRONG@127.0.0.1:PORT/none", "cannot read the address", "%40"),
        ("mysql://assay:WRONG@h/d", "should be postgresql://", ""),
    ],
)
@pytest.mark.parametrize("by", ["setting", "environment"])
def test_what_is_wrong_is_told_and_no_password(
    place: Place,
    server: Server,
    address: str,
    words: str,
    hint: str,
    by: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address = address.replace("WRONG", "Pa55wort").replace("PORT", str(server.port))
    monkeypatch.setenv("PGPASSWORD", "hunter3-Env")
    if by == "setting":
        place.write("pyproject.toml", f'[tool.products]\ncatalog = "{address}"\n')
    else:
        monkeypatch.setenv("ASSAY_CATALOG", address)
    for verb in (
        ["materialize", "--json"],
        ["status"],
        ["query", "--json", "select 1"],
        ["catalog", "copy", "x.db"],
    ):
        if "locked:hunter2" in address and verb[0] != "materialize":
            continue
        ran = place.run(*verb)
        assert ran.code in {1, 2}, ran.out
        assert words in ran.err
        assert hint in ran.err
        assert not any(secret in ran.out + ran.err for secret in ("Pa55", "hunter", "s3cr3t"))


def test_no_secret_is_kept_or_told(
    team: Place, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = address_of(team).rpartition("/")[2]
    server.ask(f"grant create on database {name} to locked")
    address = f"postgresql://locked:hunter2-Opensesame@127.0.0.1:{server.port}/{name}"
    (team.root / "go").touch()
    team.edit("pyproject.toml", address_of(team), address)
    said = "".join(str(vars(team.run(*verb))) for verb in (["materialize", "--json"], ["status"]))
    assert "hunter2" not in said
    for file in (team.root / ".products").rglob("*"):
        assert file.is_dir() or b"hunter2" not in file.read_bytes(), file
    stamp = (team.root / ".products/manifest.json").read_bytes()
    team.write("pyproject.toml", "[tool.products]\n")
    for variables in (
        {"ASSAY_CATALOG": address},
        {
            "ASSAY_CATALOG": address.replace(":hunter2-Opensesame", ""),
            "PGPASSWORD": "hunter2-Opensesame",
        },
    ):
        with monkeypatch.context() as patched:
            for variable, value in variables.items():
                patched.setenv(variable, value)
            assert {t["result"] for n, t in team.materialize().items() if n} == {"unchanged"}
    assert (team.root / ".products/manifest.json").read_bytes() == stamp, (
        "another catalog is no other declaration"
    )
    back = team.spawn("catalog", "copy", "x.db", ASSAY_CATALOG=address)
    assert (back.code, "hunter2" in back.out + back.err) == (0, False)
    moved = team.spawn(
        "catalog",
        "copy",
        server.database().replace("assay@", "locked:hunter2-Opensesame@"),
        ASSAY_CATALOG="x.db",
    )
    assert "hunter2" not in moved.out + moved.err
    assert (
        b"hunter2"
        not in (team.root / "x.db").read_bytes()
        + (team.root / ".products/store" / MARK).read_bytes()
    )


def test_a_traceback_does_not_quote_it(server: Server) -> None:
    wrong = server.address().replace("assay", "locked:Pa55wort")
    with pytest.raises(CatalogError) as caught:
        open_catalog(wrong)
    assert "Pa55" not in "".join(traceback.format_exception(caught.value))


def test_without_the_library_it_is_said_how_to_get_it(team: Place) -> None:
    code = "import sys; sys.modules['psycopg'] = None; from assay.cli.main import run; run()"
    done = subprocess.run(
        [sys.executable, "-c", code, "status"],
        cwd=team.root,
        capture_output=True,
        text=True,
        env=dict(os.environ),
        check=False,
    )
    assert done.returncode == 2
    assert "pip install 'assay[postgres]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_needs_no_right_to_write(team: Place, server: Server) -> None:
    (team.root / "go").touch()
    team.materialize()
    name = address_of(team).rpartition("/")[2]
    for right in ("usage on schema assay", "select on all tables in schema assay"):
        server.ask(f"grant {right} to locked", name)
    team.edit("pyproject.toml", "//assay@", "//locked:hunter2-Opensesame@")
    assert team.query(SUM) == [{"x": 6}]
    assert json.loads(team.run("status", "--json").out)
    ran = team.run("materialize", "--force")
    assert (ran.code, "permission denied" in ran.err, "grant" in ran.err) == (1, True, True)


@pytest.mark.parametrize(
    "granted", ["", "select on all tables in schema assay", "create on database"]
)
def test_a_schema_that_may_not_be_looked_into_is_not_taken_for_an_empty_one(
    team: Place, server: Server, granted: str
) -> None:
    (team.root / "go").touch()
    team.materialize()
    name = address_of(team).rpartition("/")[2]
    if granted:
        server.ask(f"grant {granted}{f' {name}' if 'database' in granted else ''} to locked", name)
    team.edit("pyproject.toml", "//assay@", "//locked:hunter2-Opensesame@")
    for verb in (["status"], ["query", SUM], ["verify", "--repair"], ["materialize"], ["gc"]):
        ran = team.run(*verb)
        assert (ran.code, ran.out) == (1, ""), verb
        assert "the user locked may not look into the schema assay" in ran.err
        assert "grant usage on schema assay to locked" in ran.err
    assert not (team.root / ".products/damaged").exists()


def test_a_schema_that_is_gone_is_told(address: str) -> None:
    """As where something between here and the server forgets the settings of a session."""
    catalog = open_catalog(address)
    with pytest.raises(
        CatalogError, match=r"no schema has been selected[\s\S]*connect to the server itself"
    ):
        catalog.database.prepare(forgetful)
    catalog.close()


def forgetful(writer: Writer) -> None:
    writer.define("set local search_path to nothing")
    writer.define("create table more (x integer)")


def test_what_stops_verify_is_no_damage(
    team: Place, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    (team.root / "go").touch()
    team.materialize()
    good = address_of(team)
    wrong = {"locked:Pa55wort@": "password", "assay@": "Upgrade Assay"}
    with psycopg.connect(good, autocommit=True) as connection:
        connection.execute("update assay.meta set value = '99' where name = 'schema'")
    for who, words in wrong.items():
        monkeypatch.setenv("ASSAY_CATALOG", good.replace("assay@", who))
        for verb in (["verify"], ["verify", "--repair", "--json"]):
            ran = team.run(*verb)
            assert (ran.code, ran.out, words in ran.err) == (1, "", True), ran.err


def test_damage_names_no_file_of_another_database(team: Place) -> None:
    (team.root / "go").touch()
    team.materialize()
    with psycopg.connect(address_of(team), autocommit=True) as connection:
        connection.execute("update assay.versions set built_at = 'yesterday'")
    ran = team.run("verify")
    assert (ran.code, "cannot be read" in ran.out, "catalog.db" in ran.out) == (1, True, False)
    with psycopg.connect(address_of(team), autocommit=True) as connection:
        connection.execute("alter table assay.versions drop column built_at")
    ran = team.run("verify")
    assert (ran.code, "Restore the schema assay" in ran.out, "catalog.db" in ran.out) == (
        1,
        True,
        False,
    )


def test_a_server_that_is_full_is_told(address: str) -> None:
    catalog = open_catalog(address)
    full = "create function full_disk() returns trigger language plpgsql as $$ begin raise exception 'could not extend file: No space left on device' using errcode = '53100'; end $$"
    catalog.database.write(lambda w: w.define(full))
    catalog.database.write(
        lambda w: w.define(
            "create trigger t before insert on versions for each row execute function full_disk()"
        )
    )
    with pytest.raises(CatalogError, match=r"No space left[\s\S]*make room"):
        catalog.record([version("v1")])
    assert catalog.versions("d.p") == []
    catalog.close()
