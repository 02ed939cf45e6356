"""The same project for other tools, and the commands that build it: dbt (dbt-duckdb), SQLMesh, Dagster, lea.

    LAB=FOLDER benchmarks/peers.sh && LAB=FOLDER python -m benchmarks.peers

installs them, each into an environment of its own, and prints which versions are there. `benchmarks.tiny` and
`benchmarks.heavy` run them beside Assay with `--peers dbt,sqlmesh`. Checks become each tool's own tests, audits,
blocking asset checks or assertions; nothing is sent to anyone.
"""

import argparse
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.measure import Side
from benchmarks.pipeline import Check, Pipeline, failing, put

QUIET = {
    "DO_NOT_TRACK": "1",
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "DBT_VERSION_CHECK": "false",
    "SQLMESH__DISABLE_ANONYMIZED_ANALYTICS": "true",
    "DAGSTER_DISABLE_TELEMETRY": "1",
    "PYTHONWARNINGS": "ignore",
    "PYTHONPATH": "",
}
THREADS = 2


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A tool: how a project is written for it, what builds it, and what that leaves behind."""

    write: Callable[[Path, Pipeline], None]
    program: str
    packages: Sequence[str]
    build: Sequence[str]
    again: Sequence[str]
    leaves: Sequence[str]
    before_again: Callable[[Path], object] = lambda _: None
    environment: Mapping[str, str] = field(default_factory=dict)


def installed() -> list[str]:
    """Return the peers that are installed under $LAB."""
    return [name for name in PEERS if (_program(name)).exists()]


def chosen(names: str) -> list[str]:
    """Return the peers of a list with commas; SystemExit for one that is not installed."""
    asked = [name for name in names.split(",") if name]
    for name in asked:
        if name not in installed():
            raise SystemExit(
                f"{name} is not installed: LAB=FOLDER benchmarks/peers.sh {name}, and set LAB here too"
            )
    return asked


def build(name: str, root: Path, pipeline: Pipeline) -> Side:
    """Write a project for a peer, and return building it from scratch."""
    peer, place = PEERS[name], root / name
    peer.write(place, pipeline)
    return _side(name, place, peer.build, lambda: _clear(place, peer.leaves))


def again(name: str, root: Path) -> Side:
    """Return building with a peer when nothing has changed since it was built."""
    peer, place = PEERS[name], root / name
    return _side(name, place, peer.again, lambda: peer.before_again(place))


def _side(name: str, place: Path, words: Sequence[str], prepare: Callable[[], object]) -> Side:
    peer = PEERS[name]
    environment = {**QUIET, **{k: v.format(place=place) for k, v in peer.environment.items()}}
    command = [str(_program(name)), *words]
    return Side(name=name, command=command, place=place, prepare=prepare, environment=environment)


def _program(name: str) -> Path:
    return Path(os.environ.get("LAB", "/nowhere")).absolute() / name / "bin" / PEERS[name].program


def _clear(place: Path, leaves: Sequence[str]) -> None:
    for left in leaves:
        path = place / left
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def versions() -> None:
    """Print what is installed."""
    code = "import sys; from importlib.metadata import version; print(*[f'{p} {version(p)}' for p in sys.argv[1:]])"
    for name in installed():
        command = [
            str(_program(name).with_name("python")),
            "-c",
            code,
            *PEERS[name].packages,
            "duckdb",
        ]
        print(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())


# ---------------------------------------------------------------------------------------------- dbt


_BETWEEN = """{% test between(model, column_name, low, high) %}
select {{ column_name }} from {{ model }} where {{ column_name }} < {{ low }} or {{ column_name }} > {{ high }}
{% endtest %}
"""


def _write_dbt(place: Path, pipeline: Pipeline) -> None:
    flags = "flags:\n  send_anonymous_usage_stats: false\n"
    models = "models:\n  bench:\n    +materialized: table\n"
    put(
        place / "dbt_project.yml",
        f"name: bench\nversion: '1.0'\nprofile: bench\nmodel-paths: [models]\n{flags}{models}",
    )
    target = f"type: duckdb\n      path: prod.duckdb\n      schema: {pipeline.name}\n      threads: {THREADS}\n"
    put(place / "profiles.yml", f"bench:\n  target: dev\n  outputs:\n    dev:\n      {target}")
    put(place / "tests/generic/between.sql", _BETWEEN)
    named = _named(pipeline, "{{{{ ref('{}') }}}}", place)
    told: dict[str, list[object]] = {}
    for model in pipeline.models:
        put(place / f"models/{model.name}.sql", model.query(named) + "\n")
        columns: dict[str, list[object]] = {}
        for check in model.checks:
            columns.setdefault(check.column, []).append(_dbt_test(check))
        if columns:
            tests = [{"name": name, "data_tests": tests} for name, tests in columns.items()]
            told.setdefault(model.name[:3], []).append({"name": model.name, "columns": tests})
    for start, listed in told.items():  # JSON is YAML
        put(place / f"models/_{start}.yml", json.dumps({"version": 2, "models": listed}, indent=1))


def _dbt_test(check: Check) -> object:
    allowed = check.allowed
    match check.kind:
        case "null":
            return "not_null"
        case "unique":
            return "unique"
        case "range":
            return {"between": {"arguments": {"low": allowed[0], "high": allowed[1]}}}
        case "set":
            return {"accepted_values": {"arguments": {"values": list(allowed)}}}
    return {"relationships": {"arguments": {"to": f"ref('{allowed[0]}')", "field": allowed[1]}}}


def _save_manifest(place: Path) -> None:
    """Keep what dbt compares with when it is asked for what was modified."""
    if not (place / "saved").exists():
        (place / "saved").mkdir()
        shutil.copy(place / "target/manifest.json", place / "saved")


def _named(pipeline: Pipeline, pattern: str, place: Path) -> Callable[[str], str]:
    """Return how another table is called: a model by the tool's way to, a file by reading it."""
    folder = f"{place.parent}/"
    return lambda name: (
        pipeline.tables[name].read(folder) if name in pipeline.tables else pattern.format(name)
    )


# ---------------------------------------------------------------------------------------------- SQLMesh


def _write_sqlmesh(place: Path, pipeline: Pipeline) -> None:
    connection = f"    connection:\n      type: duckdb\n      database: prod.duckdb\n      concurrent_tasks: {THREADS}\n"
    state = "    state_connection:\n      type: duckdb\n      database: state.duckdb\n"
    defaults = "default_gateway: local\ndisable_anonymized_analytics: true\nmodel_defaults:\n  dialect: duckdb\n"
    put(
        place / "config.yaml",
        f"gateways:\n  local:\n{connection}{state}{defaults}  start: 2026-01-01\n",
    )
    named = _named(pipeline, f"{pipeline.name}.{{}}", place)
    for model in pipeline.models:
        also = sorted(
            {str(c.allowed[0]) for c in model.checks if c.kind == "reference"} - set(model.reads)
        )
        audits = [_audit(place, model.name, check, named) for check in model.checks]
        about = [f"name {pipeline.name}.{model.name}", "kind FULL"]
        if also:  # an audit may read another model only if its own depends on it
            listed = [n for n in [*model.reads, *also] if n not in pipeline.tables]
            about.append(f"depends_on ({', '.join(map(named, listed))})")
        if audits:
            about.append(f"audits ({', '.join(audits)})")
        head = ",\n  ".join(about)
        put(place / f"models/{model.name}.sql", f"MODEL (\n  {head}\n);\n\n{model.query(named)}\n")


def _audit(place: Path, model: str, check: Check, named: Callable[[str], str]) -> str:
    column, allowed = check.column, check.allowed
    match check.kind:
        case "null":
            return f"not_null(columns := ({column}))"
        case "unique":
            return f"unique_values(columns := ({column}))"
        case "range":
            return (
                f"accepted_range(column := {column}, min_v := {allowed[0]}, max_v := {allowed[1]})"
            )
        case "set":
            return (
                f"accepted_values(column := {column}, is_in := ({', '.join(map(repr, allowed))}))"
            )
    audit = f"reference_{model}_{column}"
    put(
        place / f"audits/{audit}.sql",
        f"AUDIT (name {audit});\n{failing('@this_model', check, named)};\n",
    )
    return audit


# ---------------------------------------------------------------------------------------------- Dagster

_DAGSTER = """import json
from pathlib import Path

import dagster as dg
from dagster_duckdb import DuckDBResource

HERE = Path(__file__).parent


def asset_of(model):
    @dg.asset(name=model["name"], deps=model["reads"])
    def build(duckdb: DuckDBResource):
        with duckdb.get_connection() as connection:
            connection.execute(f"create or replace table {model['name']} as {model['query']}")

    return build


def check_of(model, name, query):
    @dg.asset_check(asset=model, name=name, blocking=True)
    def check(duckdb: DuckDBResource):
        with duckdb.get_connection() as connection:
            (failing,) = connection.execute(f"select count(*) from ({query})").fetchone()
        return dg.AssetCheckResult(passed=failing == 0, metadata={"failing": failing})

    return check


MODELS = json.loads((HERE / "models.json").read_text())
defs = dg.Definitions(
    assets=[asset_of(model) for model in MODELS],
    asset_checks=[check_of(m["name"], name, query) for m in MODELS for name, query in m["checks"].items()],
    resources={"duckdb": DuckDBResource(database=str(HERE / "prod.duckdb"))},
    executor=dg.in_process_executor,
)
"""


def _write_dagster(place: Path, pipeline: Pipeline) -> None:
    named = _named(pipeline, "{}", place)
    models = [
        {
            "name": model.name,
            "query": model.query(named),
            "reads": [name for name in model.reads if name not in pipeline.tables],
            "checks": {f"{c.kind}_{c.column}": failing(model.name, c, named) for c in model.checks},
        }
        for model in pipeline.models
    ]
    put(place / "models.json", json.dumps(models, indent=1))
    put(place / "defs.py", _DAGSTER)
    put(place / "home/dagster.yaml", "telemetry:\n  enabled: false\n")


# ---------------------------------------------------------------------------------------------- lea

_NOTES = {"null": "#NO_NULLS", "unique": "#UNIQUE"}


def _write_lea(place: Path, pipeline: Pipeline) -> None:
    put(place / ".env", "LEA_USERNAME=dev\nLEA_WAREHOUSE=duckdb\nLEA_DUCKDB_PATH=prod.duckdb\n")
    named = _named(pipeline, f"{pipeline.name}.{{}}", place)
    for model in pipeline.models:
        notes: dict[str, list[str]] = {}
        for check in model.checks:
            if check.kind in {"range", "reference"}:
                test = f"scripts/tests/{model.name}__{check.kind}_{check.column}.sql"
                put(place / test, failing(named(model.name), check, named) + "\n")
            else:
                listed = ", ".join(map(repr, check.allowed))
                notes.setdefault(check.column, []).append(
                    _NOTES.get(check.kind, f"#SET{{{listed}}}")
                )
        query = model.query(named, notes)
        put(place / f"scripts/{pipeline.name}/{model.name}.sql", query + "\n")


# ---------------------------------------------------------------------------------------------- all of them

_PLAN = ["plan", "--auto-apply", "--no-prompts"]
_MATERIALIZE = ["asset", "materialize", "--select", "*", "-f", "defs.py"]
PEERS = {
    "dbt": Peer(
        write=_write_dbt,
        program="dbt",
        packages=("dbt-core", "dbt-duckdb"),
        build=["build"],
        again=["build", "--select", "state:modified+", "--state", "saved"],
        leaves=("target", "prod.duckdb", "logs", "saved"),
        before_again=_save_manifest,
    ),
    "sqlmesh": Peer(
        write=_write_sqlmesh,
        program="sqlmesh",
        packages=("sqlmesh",),
        build=_PLAN,
        again=_PLAN,
        leaves=("prod.duckdb", "state.duckdb", "logs", ".cache"),
    ),
    "dagster": Peer(
        write=_write_dagster,
        program="dagster",
        packages=("dagster",),
        build=_MATERIALIZE,
        again=_MATERIALIZE,
        leaves=("prod.duckdb", "home/history", "home/storage", "home/schedules"),
        environment={"DAGSTER_HOME": "{place}/home"},
    ),
    "lea": Peer(
        write=_write_lea,
        program="lea",
        packages=("lea-cli",),
        build=["run", "--production"],
        again=["run", "--production"],
        leaves=("prod.duckdb", "scripts/.lea_cache"),
    ),
}


if __name__ == "__main__":
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    versions()
