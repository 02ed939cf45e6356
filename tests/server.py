"""A PostgreSQL server of the tests' own, in a temporary folder, on a socket or a port that nobody else uses."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

_NUMBERS = count(1)


def programs() -> str:
    """Return the folder of PostgreSQL's programs, '' when it is not installed."""
    found = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    found += [Path(there).parent for name in ("initdb",) if (there := shutil.which(name))]
    return next(
        (
            str(folder)
            for folder in found
            if (folder / "initdb").exists() and (folder / "pg_ctl").exists()
        ),
        "",
    )


@dataclass
class Server:
    """A server that can be stopped and started; `as_user` is what goes before a command that it may not do as root."""

    bin: str
    folder: Path
    port: int
    as_user: tuple[str, ...]

    def call(self, program: str, *arguments: str) -> None:
        command = [*self.as_user, f"{self.bin}/{program}", *arguments]
        with tempfile.TemporaryFile() as said:  # the server keeps what it was given open
            done = subprocess.run(
                command, cwd="/", stdout=said, stderr=said, env=_plain(), check=False
            )
            said.seek(0)
            assert done.returncode == 0, f"{command}: {said.read().decode()}"

    def start(self) -> None:
        options = f"-p {self.port} -k '{self.folder}' -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=40"
        log = f"{self.folder}/log"
        self.call("pg_ctl", "-D", f"{self.folder}/data", "-w", "-l", log, "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        self.call("pg_ctl", "-D", f"{self.folder}/data", "-w", "-m", mode, "stop")

    def address(self, database: str = "postgres", user: str = "assay") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def ask(self, sql: str, database: str = "postgres") -> list[tuple]:
        import psycopg

        with psycopg.connect(self.address(database), autocommit=True) as connection:
            done = connection.execute(sql)
            return done.fetchall() if done.description else []

    def database(self, like: str = "") -> str:
        """Make a fresh database, or a copy of the one at an address, and return its address."""
        name = f"d{os.getpid()}_{next(_NUMBERS)}"
        self.ask(f"create database {name} template {_name(like) if like else 'template0'}")
        return self.address(name)

    def drop(self, address: str) -> None:
        self.ask(f"drop database {_name(address)} with (force)")

    def forget(self, address: str) -> None:
        """Let go of what a killed process had connected, which the server notices by itself some time later."""
        there = f"from pg_stat_activity where datname = '{_name(address)}'"
        while self.ask(f"select pg_terminate_backend(pid) {there}"):
            time.sleep(0.01)


def started(folder: Path) -> Server:
    """Make and start a server in a folder; skips the test where there is none to be had, but in CI fails it."""
    bin = programs()
    if not bin:
        told = "PostgreSQL is not installed (apt-get install postgresql)"
        assert os.environ.get("CI") != "true", told
        pytest.skip(told)
    user: tuple[str, ...] = ()
    if os.geteuid() == 0:
        name = next((u.pw_name for u in pwd.getpwall() if u.pw_name == "postgres"), "nobody")
        user = (
            "setpriv",
            f"--reuid={name}",
            f"--regid={pwd.getpwnam(name).pw_gid}",
            "--clear-groups",
        )
        os.chown(folder, pwd.getpwnam(name).pw_uid, pwd.getpwnam(name).pw_gid)
    server = Server(bin, folder, _free_port(), user)
    server.call(
        "initdb",
        "-D",
        f"{folder}/data",
        "-U",
        "assay",
        "-A",
        "trust",
        "-N",
        "--locale=C.UTF-8",
        "-E",
        "UTF8",
    )
    rules = folder / "data/pg_hba.conf"
    rules.write_text(f"host all locked 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
    server.start()
    server.ask("create role locked login password 'hunter2-Opensesame'")
    return server


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _name(address: str) -> str:
    return address.rpartition("/")[2]


def _plain() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}
